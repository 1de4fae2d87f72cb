-- Meshes and accounts: made, renamed, handed over, left, deleted with all that hangs on them.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select mesh_id as proj from mesh_data.mesh where name = 'proj' \gset
select mesh_id as other from mesh_data.mesh where name = 'other' \gset

-- Made
select is(t.does('bob', 'create_mesh', '{"name": "New"}') - 'mesh_id', '{"mesh": "new", "mode": "sealed", "agent": "bob", "next": "mesh go commander --mesh new"}', 'a mesh is made, with its owner in it, and says how to go on');
select t.refuses('a name is used once by an owner', 409, 'bob', 'create_mesh', '{"name": "NEW"}');
select t.works('another owner may use it too', 'carol', 'create_mesh', '{"name": "new"}');
select is((select a.kind || ' ' || a.role from mesh_data.agent a join mesh_data.mesh m using (mesh_id) join mesh_data.account o on o.account_id = m.owner_account_id
  where m.name = 'new' and o.name = 'bob'), 'person owner', 'the owner is in it as a person');
select t.refuses('of several meshes one must say which', 400, 'bob', 'list_agents');
select is(t.call('bob', 'list_agents') #> '{answer,data,candidates}', '["new", "other"]', 'and is told which there are');
select t.works('one''s only mesh need not be named', 'alice', 'list_agents');
select is(t.does('bob', 'whoami', '{}', 'new') ->> 'mesh', 'new', 'an account acts in the mesh it names');
select is(t.does('bob', 'whoami', '{}', :'other') ->> 'mesh', 'other', 'or whose id it gives');
select is(t.does('bob', 'whoami') ->> 'mesh', null, 'or in none');
select is(t.does('carol', 'whoami', '{}', 'alice/proj') ->> 'owner', 'alice', 'a member names the owner');
select ok(t.does('commander', 'mesh_info') @> '{"mesh": "proj", "owner": "alice", "mode": "open", "members": 3, "agents": 6, "online": 0, "backlog": 0, "dead": 0}', 'mesh_info counts members, agents and mail');
select t.send('backend', '*', 'x');
select is(t.does('commander', 'mesh_info') -> 'backlog', '5', 'the backlog is all of the mesh''s');
select is(t.does('visitor', 'mesh_info') -> 'backlog', '0', 'and of no other');
select is(t.does('commander', 'mesh_info') ->> 'owner_key', t.public_key('alice'), 'members learn the owner''s identity');
select is((select string_agg(m ->> 'mesh', ' ') from jsonb_array_elements(t.does('bob', 'list_meshes')) m), 'new other', 'an account lists its meshes');

-- Renamed
select is(t.does('alice', 'rename_mesh', '{"name": "Site"}', 'proj'), jsonb_build_object('mesh', 'site', 'mesh_id', :'proj'), 'a mesh is renamed');
select t.refuses('the old name is gone', 404, 'alice', 'mesh_info', '{}', 'proj');
select is(t.does('commander', 'whoami') ->> 'mesh', 'site', 'keys go on working');
select t.refuses('not to a name the owner uses', 409, 'bob', 'rename_mesh', '{"name": "other"}', 'new');
select t.does('alice', 'rename_mesh', '{"name": "proj"}', 'site');

-- Handed over
select t.refuses('not to an account that is not there', 404, 'alice', 'transfer_mesh', '{"to_account": "nobody"}', 'proj');
select t.refuses('not to oneself', 404, 'alice', 'transfer_mesh', '{"to_account": "alice"}', 'proj');
select t.does('carol', 'create_mesh', '{"name": "proj"}');
select t.refuses('not where the name is used', 409, 'alice', 'transfer_mesh', '{"to_account": "carol"}', 'proj');
select t.does('carol', 'delete_mesh', '{"confirm": "proj"}', 'carol/proj');
select t.open('commander') as window \gset
select is(t.does('alice', 'transfer_mesh', '{"to_account": "bob"}', 'proj'), '{"mesh": "proj", "owner": "bob"}', 'a mesh is given away');
select is(t.does('bob', 'whoami', '{}', 'proj') - '{key_id,mesh_id,agent_id,mode,mode_at,owner_key,expires_at,display_name,launch_prompt}'::text[],
  '{"kind": "account", "account": "bob", "mesh": "proj", "owner": "bob", "agent": "bob", "manage": true, "role": "owner"}', 'the new owner owns it and is in it');
select is(t.does('alice', 'whoami', '{}', 'bob/proj') - '{key_id,mesh_id,agent_id,mode,mode_at,owner_key,expires_at,display_name,launch_prompt}'::text[],
  '{"kind": "account", "account": "alice", "mesh": "proj", "owner": "bob", "agent": "alice", "manage": false, "role": null}', 'the old one stays as a member, and is not called owner');
select t.refuses('who may no longer rename it', 403, 'alice', 'rename_mesh', '{"name": "mine"}', 'bob/proj');
select t.refuses('nor give it to somebody', 403, 'alice', 'transfer_mesh', '{"to_account": "carol"}', 'bob/proj');
select t.refuses('nor delete it', 403, 'alice', 'delete_mesh', '{"confirm": "proj"}', 'bob/proj');
select t.refuses('nor invite', 403, 'alice', 'create_invite', t.fitting('alice', 'create_invite'), 'bob/proj');
select t.refuses('nor make keys', 403, 'alice', 'create_agent_key', t.fitting('alice', 'create_agent_key'), 'bob/proj');
select t.works('the keys of the old owner''s agents work on', 'commander', 'send_message', '{"to": "bob", "message": "hello"}', null, :'window');
select t.refuses('without managing', 403, 'commander', 'create_agent', '{"name": "more"}');
select t.works('guests stay', 'designer', 'whoami');
select t.works('the new owner may revoke them', 'bob', 'revoke_member', '{"member": "designer"}', 'proj');
select t.refuses('which works', 401, 'designer', 'whoami');
select is(t.does('bob', 'transfer_mesh', '{"to_account": "alice"}', 'proj') ->> 'owner', 'alice', 'and given back');
select is(t.does('alice', 'whoami', '{}', 'alice/proj') - '{key_id,mesh_id,agent_id,mode,mode_at,owner_key,expires_at,display_name,launch_prompt}'::text[],
  '{"kind": "account", "account": "alice", "mesh": "proj", "owner": "alice", "agent": "alice", "manage": true, "role": "owner"}', 'its owner is again who it was');
select is((select count(*) from mesh_data.member where mesh_id = :'proj' and account_id = (select account_id from mesh_data.account where name = 'alice') and revoked_at is null), 1::bigint, 'and a member once');
select is((select string_agg(name, ' ') from mesh_data.agent where mesh_id = :'proj' and name like 'alice%' and removed_at is null), 'alice', 'as one person');
select is(t.does('alice', 'whoami') ->> 'mesh', 'proj', 'in its only mesh, unnamed');
select t.works('and may do what owners do', 'alice', 'create_invite', t.fitting('alice', 'create_invite'), 'proj');
select t.does('bob', 'create_agent', '{"name": "carol"}', 'other');
select t.does('bob', 'transfer_mesh', '{"to_account": "carol"}', 'other');
select is(t.does('carol', 'whoami', '{}', 'carol/other') ->> 'agent', 'carol-2', 'a person whose name an agent has gets the next');

-- Left
select t.refuses('an owner does not leave', 409, 'alice', 'leave_mesh', '{}', 'proj');
select t.refuses('nor does the owner''s agent', 409, 'commander', 'leave_mesh');
select t.guest('alice', 'proj', 'helper');
select t.open('helper');
select t.send('commander', 'helper', 'x');
select is(t.does('helper', 'leave_mesh'), '{"left_mesh": "proj"}', 'a guest leaves');
select t.refuses('its key is over', 401, 'helper', 'whoami');
select is(t.call('helper', 'whoami') #>> '{answer,hint}', 'mesh join', 'and only an invite gives it another, for it has no account');
select is(t.mail('helper') #>> '{0,ended}', 'this key was revoked', 'and its window');
select is(t.does('commander', 'list_agents') @> '[{"agent": "helper"}]', false, 'and its agent');
select t.refuses('to which nothing can be sent', 404, 'commander', 'send_message', '{"to": "helper", "message": "x"}');
select is(t.does('carol', 'leave_mesh', '{}', 'alice/proj'), '{"left_mesh": "proj"}', 'a member with an account leaves');
select t.refuses('and finds the mesh no more', 404, 'carol', 'mesh_info', '{}', 'alice/proj');
select is(t.does('commander', 'list_agents') @> '[{"agent": "carol"}]', false, 'nor is it found there');
select t.works('its account is what it was', 'carol', 'whoami');

-- Deleted
select t.refuses('the name must be given once more', 400, 'alice', 'delete_mesh', '{"confirm": "other"}', 'proj');
select t.refuses('an account with a mesh is not deleted', 409, 'alice', 'delete_account', '{"confirm": "alice"}');
select t.open('backend');
select t.send('backend', 'commander', 'x', '{"key": "k"}');
select t.does('commander', 'check_messages', '{}', null, :'window');
insert into mesh_data.group_member (mesh_id, agent_id, name) select a.mesh_id, a.agent_id, 'web' from mesh_data.agent a where a.name = 'backend';
insert into mesh_data.pool (pool_id, mesh_id, name) select gen_random_uuid(), a.mesh_id, 'coder' from mesh_data.agent a where a.name = 'backend';
insert into mesh_data.pool_agent (pool_id, mesh_id, agent_id, ordinal) select p.pool_id, a.mesh_id, a.agent_id, 1 from mesh_data.agent a, mesh_data.pool p where a.name = 'backend';
insert into mesh_data.room (mesh_id, name) select a.mesh_id, 'plan' from mesh_data.agent a where a.name = 'backend';
insert into mesh_data.room_member (room_id, mesh_id, agent_id) select r.room_id, a.mesh_id, a.agent_id from mesh_data.agent a, mesh_data.room r where a.name = 'backend';
insert into mesh_data.block (mesh_id, agent_id, blocked_agent_id) select a.mesh_id, a.agent_id, b.agent_id from mesh_data.agent a, mesh_data.agent b where a.name = 'backend' and b.name = 'designer';
insert into mesh_data.schedule (mesh_id, agent_id, key_id, addresses, body) select k.mesh_id, k.agent_id, k.key_id, '{backend}', 'x' from mesh_data.key k where k.mesh_id = :'proj' limit 1;
select t.does('backend', 'set_state', '{"key": "target", "value": 1}');
select t.does('backend', 'remember', '{"content": "what the header needs"}'), t.does('backend', 'create_task', '{"title": "x"}'), t.does('backend', 'create_task', '{"title": "y", "depends_on": [1]}'), t.does('backend', 'claim_paths', '{"patterns": ["x"], "reason": "x"}');
-- Every row of every table that tells of the mesh, by its id or that of something in it.
create function t.traces() returns table (name text, n bigint) language plpgsql as $$
declare
  _ids constant text := (select string_agg(d.id::text, '|') from t.doomed d);
begin
  for name in select c.relname from pg_class c where c.relnamespace = 'mesh_data'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1 loop
    execute format('select count(*) from mesh_data.%I x where x::text ~ %L', name, _ids) into n;
    return next;
  end loop;
end
$$;
select t.seal_rows();
select mesh_lib.seal_events('0');
create table t.doomed as
select mesh_id as id from mesh_data.mesh where mesh_id = :'proj' union select agent_id from mesh_data.agent where mesh_id = :'proj'
union select message_id from mesh_data.message where mesh_id = :'proj' union select session_id from mesh_data.session where mesh_id = :'proj' union select key_id from mesh_data.key where mesh_id = :'proj';
select set_eq('select name from t.traces() where n > 0', $$select c.relname::text from pg_class c where c.relnamespace = 'mesh_data'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  and c.relname not in ('setting', 'code', 'account', 'wake', 'watch')$$, 'the mesh has rows in every table there is');
select is(t.does('alice', 'delete_mesh', '{"confirm": "proj"}', 'proj'), '{"deleted": "proj"}', 'a mesh is deleted');
select is((select string_agg(name || ' ' || n, ', ') from t.traces() where n > 0), null, 'and left no row in any table');
select t.refuses('keys are unknown: ' || w, 401, w, 'whoami') from unnest(array['commander', 'backend', 'designer']) w;
select t.refuses('and so are invites', 401, 'the open invite', 'whoami');
select is(t.mail('commander') #>> '{0,ended}', 'this session is not known here', 'the relay is told that windows are over');
select t.works('the name is free', 'alice', 'create_mesh', '{"name": "proj"}');

-- Accounts
select t.works('a mesh elsewhere is as it was', 'scout', 'whoami');
select t.does('alice', 'delete_mesh', '{"confirm": "proj"}', 'proj');
select t.refuses('an account is not deleted by another name', 400, 'alice', 'delete_account', '{"confirm": "bob"}');
select is(t.does('alice', 'delete_account', '{"confirm": "alice"}'), '{"deleted": "alice"}', 'an account without meshes is deleted');
select t.refuses('and its key unknown', 401, 'alice', 'whoami');
select is((select count(*) from mesh_data.account where name = 'alice'), 0::bigint, 'nothing of it is left');
select t.does('carol', 'delete_mesh', '{"confirm": "new"}', 'carol/new');
select t.does('bob', 'transfer_mesh', '{"to_account": "carol"}', 'new');
select t.agent('carol', 'new', 'pilot');
select t.does('carol', 'transfer_mesh', '{"to_account": "bob"}', 'new'), t.does('carol', 'transfer_mesh', '{"to_account": "bob"}', 'other');
select t.open('pilot') as window \gset
select t.works('the agent of a member', 'pilot', 'whoami', '{}', null, :'window');
select t.does('carol', 'delete_account', '{"confirm": "carol"}');
select t.refuses('is refused when its account is deleted', 401, 'pilot', 'whoami', '{}', null, :'window');
select is(t.mail('pilot') #>> '{0,ended}', 'this key was revoked', 'its window ends');
select is((select string_agg(a ->> 'agent', ' ') from jsonb_array_elements(t.does('bob', 'list_agents', '{}', 'new')) a), 'bob', 'and its agents are gone from the meshes of others');

-- A ticket is used once
select is((t.does('dave''s ticket', 'whoami') ->> 'kind') || ' ' || (t.does('dave''s ticket', 'whoami') ->> 'account'), 'ticket dave', 'a ticket says what it is');
select ok((t.does('dave''s ticket', 'whoami') ->> 'expires_at')::timestamptz between now() + interval '6 days 23 hours' and now() + interval '7 days 1 hour', 'and that it lasts 7 days');
select t.pass('8 days');
select t.refuses('and no longer', 401, 'dave''s ticket', 'redeem_ticket', jsonb_build_object('secret', t.secret('dave')));
select t.pass('0');
select is(t.does('dave''s ticket', 'redeem_ticket', jsonb_build_object('secret', t.secret('dave'))) ->> 'account', 'dave', 'it becomes an account key');
select t.refuses('once', 410, 'dave''s ticket', 'redeem_ticket', jsonb_build_object('secret', t.secret('dave again')));
select is((t.does('dave', 'whoami') ->> 'kind') || ' ' || (t.does('dave', 'whoami') ->> 'account'), 'account dave', 'which is all of the account');
select is((select encode(identity_key, 'hex') from mesh_data.account where name = 'dave'), t.public_key('dave'), 'and its identity');
select matches(t.attempt('mesh_admin', 'select mesh.create_account(''erin'')'), '^mc_[0-9a-f]{48}$', 'an administrator gets a key with a checksum');
select is(t.attempt('mesh_admin', 'select mesh.create_account(''Erin'')'), 'ME409', 'a name is used once');
select is(t.attempt('mesh_admin', format('select mesh.create_account(%L)', n)), 'ME400', n || ' is no account') from unnest(array['all', '../x', 'deadbeef', '😀']) n;
select is(encode(mesh_lib.hmac('key', 'The quick brown fox jumps over the lazy dog'), 'hex'), 'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8', 'HMAC is HMAC');
select t.attempt('mesh_admin', 'select mesh.allow_signup(true)');
select t.works('where signup is open, nobody becomes somebody', null, 'signup', jsonb_build_object('name', 'frank', 'secret', t.secret('frank'), 'display_name', 'Frank'));
select t.works('and is', 'frank', 'create_mesh', '{"name": "first"}');
select t.refuses('names are used once', 409, null, 'signup', jsonb_build_object('name', 'Frank', 'secret', t.secret('frank 2')));
select t.refuses('and keys too', 409, null, 'signup', jsonb_build_object('name', 'grace', 'secret', t.secret('frank')));
select is((select count(*) from mesh_data.account where name = 'grace'), 0::bigint, 'of which nothing is left');

select finish();
rollback;
