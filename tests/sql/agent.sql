-- Agents, their keys, invites and members: made, edited, revoked, and what that does to windows and mail.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.agent_of(who text) returns jsonb language sql volatile as $$
  select x from jsonb_array_elements(t.does('designer', 'list_agents')) x where x ->> 'agent' = who
$$;
create function t.key_of(who text) returns uuid language sql stable as $$ select key_id from mesh_data.key where public_key = decode(t.public_key(who), 'hex') $$;

-- Agents
select is(t.does('commander', 'create_agent', '{"name": "New", "role": " tests ", "launch_prompt": "a\nb"}'), '{"agent": "new", "role": "tests", "next": "mesh run new"}', 'an agent is made and says how to run it');
select t.refuses('a name is used once in a mesh', 409, 'commander', 'create_agent', '{"name": "NEW"}');
select t.works('in another mesh it is free', 'scout', 'create_agent', '{"name": "new"}');
select is(t.agent_of('new') - 'created_at', '{"agent": "new", "kind": "agent", "role": "tests", "launch_prompt": "a\nb", "holder": "alice", "key": null}', 'everybody in the mesh sees it, as the owner''s');
select is(t.does('commander', 'edit_agent', '{"agent": "NEW", "role": "more"}'), '{"changed": "new", "role": "more", "launch_prompt": "a\nb", "next": null}', 'what is left out stays');
select is(t.does('commander', 'edit_agent', '{"agent": "new", "role": ""}') -> 'role', 'null', 'an empty text removes');
select t.send('designer', 'new', 'before');
select is(t.does('commander', 'edit_agent', '{"agent": "new", "name": "renamed"}') ->> 'changed', 'renamed', 'an agent is renamed');
select is((t.does('designer', 'mesh_info') -> 'backlog'), '1', 'its mail stays');
select t.refuses('the old name is gone', 404, 'designer', 'send_message', '{"to": "new", "message": "x"}');
select t.refuses('not to a name that is used', 409, 'commander', 'edit_agent', '{"agent": "renamed", "name": "backend"}');
select t.refuses('an agent that is not there', 404, 'commander', 'edit_agent', '{"agent": "nobody", "role": "x"}');
select t.refuses('a person is not removed', 409, 'commander', 'remove_agent', '{"agent": "alice"}');
select t.refuses('an agent does not remove itself', 409, 'commander', 'remove_agent', '{"agent": "commander"}');
select t.open('backend') as window \gset
select t.send('backend', 'commander', 'last words') as last \gset
select t.send('designer', 'backend', 'unread');
select is(t.does('commander', 'remove_agent', '{"agent": "Backend"}'), '{"removed": "backend"}', 'an agent is removed');
select t.refuses('its key is over', 401, 'backend', 'whoami');
select is(t.mail('backend') #>> '{0,ended}', 'this agent was removed', 'and its window');
select is(t.agent_of('backend'), null, 'it is in no list');
select t.refuses('nothing can be sent to it', 404, 'designer', 'send_message', '{"to": "backend", "message": "x"}');
select is(t.take('commander'), 'last words', 'what it sent stays');
select is(t.does('commander', 'message_status', jsonb_build_object('message_id', :'last')) #>> '{0,agent}', 'commander', 'and can be asked after');
select t.refuses('removing it again', 404, 'commander', 'remove_agent', '{"agent": "backend"}');
select t.agent('alice', 'proj', 'backend', false, 'second backend');
select is(t.take('second backend'), '', 'another agent of that name does not get the first one''s mail');
select t.does('commander', 'remove_agent', '{"agent": "tester"}');
select t.refuses('an invite to an agent that was removed is over', 410, 'the open invite', 'redeem_invite', t.redeeming('tester', 'the open invite'));

-- Keys
select ok(t.does('alice', 'create_agent_key', t.fitting('alice', 'create_agent_key'), 'proj') @> '{"agent": "backend", "mesh": "proj", "owner": "alice"}', 'the owner makes a key for an agent');
select t.works('which works', 'new', 'whoami');
select is(t.does('new', 'whoami') -> 'manage', 'true', 'and manages, if nothing else is said');
select is(t.does('new', 'whoami') ->> 'agent', 'backend', 'as that agent');
select is((t.agent_of('backend')) ->> 'key', left(t.public_key('new'), 12), 'whose identity is now the new one, for all to see');
select t.refuses('a key is not made twice', 409, 'alice', 'create_agent_key', t.fitting('alice', 'create_agent_key'), 'proj');
select t.refuses('not signed by ' || w, 403, 'alice', 'create_agent_key', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('x'), 'secret', t.secret('x'), 'certificate', t.signed(w)), 'proj') from unnest(array['bob', 'carol', 'commander', 'identity of backend']) w;
select t.refuses('not signed an hour ago', 400, 'alice', 'create_agent_key', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('x'), 'secret', t.secret('x'), 'certificate', t.signed('alice', clock_timestamp() - interval '1 hour')), 'proj');
select t.refuses('not for ' || w, c, 'alice', 'create_agent_key', jsonb_build_object('agent', w, 'identity_key', t.public_key('x'), 'secret', t.secret('x'), 'certificate', t.signed('alice')), 'proj')
from (values ('alice', 409), ('carol', 409), ('designer', 409), ('nobody', 404), ('scout', 404)) w (w, c);
select is((select count(*) from mesh_data.key where public_key = decode(t.public_key('x'), 'hex')), 0::bigint, 'none of these made a key');
select is((select string_agg(k ->> 'agent', ' ' order by k ->> 'agent') from jsonb_array_elements(t.does('alice', 'list_keys')) k where k -> 'revoked_at' = 'null' and k ->> 'kind' = 'agent'), 'backend backend commander designer', 'the owner lists the keys of the mesh');
select is((select string_agg(k ->> 'kind', ' ') from jsonb_array_elements(t.does('alice', 'list_keys')) k where (k -> 'this')::boolean), 'account', 'and which is this one');
select ok(not t.does('alice', 'list_keys')::text ~ (select string_agg(encode(verifier, 'hex'), '|') from mesh_data.key), 'no verifier is shown');
select is((select count(*) from jsonb_array_elements(t.does('bob', 'list_keys')) k where k ->> 'mesh' = 'proj'), 0::bigint, 'nor any key to another owner');
select t.open('commander') as window \gset
select is(t.does('alice', 'revoke_key', jsonb_build_object('key_id', t.key_of('new'))) -> 'sessions', '0', 'a key is revoked');
select t.refuses('and refused at once', 401, 'new', 'whoami');
select t.works('the agent''s other key works', 'second backend', 'whoami');
select t.works('revoking again is harmless', 'alice', 'revoke_key', jsonb_build_object('key_id', t.key_of('new')));
select t.refuses('a key of another mesh is not there', 404, 'bob', 'revoke_key', jsonb_build_object('key_id', t.key_of('commander')));
select t.refuses('nor another''s account key', 404, 'bob', 'revoke_key', jsonb_build_object('key_id', t.key_of('alice')));
select t.refuses('an owner does not revoke a member''s account key', 404, 'alice', 'revoke_key', jsonb_build_object('key_id', t.key_of('carol')));
update mesh_data.key set expires_at = now() + interval '1 hour' where key_id = t.key_of('second backend');
select t.works('a key works until it expires', 'second backend', 'whoami');
select t.pass('61 minutes');
select t.refuses('and then no more', 401, 'second backend', 'whoami');
select is(t.call('second backend', 'whoami') #>> '{answer,message}', 'this key has expired', 'which it is told');
select is(t.call('second backend', 'whoami') #>> '{answer,hint}', 'mesh setup backend', 'and what gives it a new one');
select t.pass('0');

-- Invites
create table t.invited as select t.does('alice', 'create_invite', jsonb_build_object('agent', 'Ux', 'role', 'looks', 'days', 3, 'uses', 2, 'invite', t.secret('ux'), 'certificate', t.signed('alice')), 'proj') as a;
select ok((select a @> '{"agent": "ux", "mesh": "proj", "uses": 2, "join_url": "{public_url}/join#{secret}", "next": "mesh join ''{public_url}/join#{secret}'' && mesh run ux"}' from t.invited), 'an invite is a URL with the secret in its fragment');
select ok((select (a ->> 'expires_at')::timestamptz - now() between interval '2 days 23 hours' and interval '3 days 1 hour' from t.invited), 'good for as long as was said');
select ok(t.does('ux', 'whoami') @> '{"kind": "invite", "mesh": "proj", "owner": "alice", "agent": "ux", "role": "looks", "account": null, "manage": false}', 'an invite tells its holder what it is for');
select t.refuses('not signed by ' || w, 403, 'alice', 'create_invite', jsonb_build_object('agent', 'x', 'invite', t.secret('x'), 'certificate', t.signed(w)), 'proj') from unnest(array['bob', 'ux', 'identity of commander']) w;
select t.refuses('not for ' || w, 409, 'alice', 'create_invite', jsonb_build_object('agent', w, 'invite', t.secret('x'), 'certificate', t.signed('alice')), 'proj') from unnest(array['alice', 'carol', 'commander', 'designer']) w;
select is(t.agent_of('x'), null, 'an invite that failed leaves no agent behind');
select is((select i ->> 'state' from jsonb_array_elements(t.does('alice', 'list_invites', '{}', 'proj')) i where i ->> 'agent' = 'ux'), 'outstanding', 'an invite is outstanding');
select t.refuses('joining must be signed by the invite: ' || w, 403, 'ux', 'redeem_invite', t.redeeming('ux1', 'ux') || jsonb_build_object('certificate', t.signed(w))) from unnest(array['alice', 'ux1', 'the open invite']) w;
select ok(t.does('ux', 'redeem_invite', t.redeeming('ux1', 'ux')) @> '{"agent": "ux", "mesh": "proj", "owner": "alice", "role": "looks", "next": "mesh run ux"}', 'it is redeemed for a key of that agent');
select is(t.does('ux1', 'whoami') - '{key_id,mesh_id,agent_id,mode_at,owner_key}'::text[], '{"kind": "agent", "mode": "open", "account": null, "mesh": "proj", "owner": "alice", "agent": "ux", "manage": false, "role": "looks", "launch_prompt": null, "display_name": "Ux1", "expires_at": null}', 'which manages nothing');
select is(t.does('ux', 'redeem_invite', t.redeeming('ux2', 'ux')) ->> 'agent', 'ux-2', 'a second use makes a second agent');
select t.refuses('a third is one too many', 410, 'ux', 'redeem_invite', t.redeeming('ux3', 'ux'));
select t.refuses('whose key does not exist', 401, 'ux3', 'whoami');
select is((select i - '{invite_id,created_at,expires_at}'::text[] from jsonb_array_elements(t.does('alice', 'list_invites', '{}', 'proj')) i where i ->> 'agent' = 'ux'),
  '{"agent": "ux", "state": "redeemed", "used": 2, "uses": 2, "joined": ["Ux1", "Ux2"]}', 'the owner sees who joined with it');
select is((select jsonb_array_length(a.chain) from mesh_data.agent a where a.name = 'ux-2' and a.removed_at is null), 2, 'the chain is owner and invite');
select t.invite('alice', 'proj', 'late', 'late') as late \gset
select t.pass('8 days');
select t.refuses('an invite that has expired', 410, 'late', 'redeem_invite', t.redeeming('late1', 'late'));
select is((select i ->> 'state' from jsonb_array_elements(t.does('alice', 'list_invites', '{}', 'proj')) i where i ->> 'agent' = 'late'), 'expired', 'is shown as that');
select t.pass('0');
select is(t.does('alice', 'revoke_invite', jsonb_build_object('invite_id', :'late'), 'proj'), jsonb_build_object('revoked', :'late', 'agent', 'late'), 'an invite is revoked');
select t.refuses('and over', 410, 'late', 'whoami');
select t.works('revoking again is harmless', 'alice', 'revoke_invite', jsonb_build_object('invite_id', :'late'), 'proj');
select t.refuses('an invite of another mesh is not there', 404, 'bob', 'revoke_invite', jsonb_build_object('invite_id', :'late'), 'other');
select t.works('who joined stays', 'ux1', 'whoami');

-- Members
select is((select string_agg(m ->> 'member', ' ' order by m ->> 'member') from jsonb_array_elements(t.does('designer', 'list_members')) m where m -> 'revoked_at' = 'null'), 'Designer Ux1 Ux2 alice carol', 'members are listed, owner and guests');
select is((select m ->> 'kind' from jsonb_array_elements(t.does('designer', 'list_members')) m where m ->> 'member' = 'alice'), 'owner', 'with who owns the mesh');
select t.open('ux1') as window \gset
select t.send('commander', 'ux', 'unread');
select t.refuses('there is no such member', 404, 'alice', 'revoke_member', '{"member": "nobody"}', 'proj');
select t.refuses('the owner stays', 409, 'alice', 'revoke_member', '{"member": "alice"}', 'proj');
select t.refuses('also as the holder of an agent', 409, 'alice', 'revoke_member', '{"member": "commander"}', 'proj');
select is(t.does('alice', 'revoke_member', '{"member": "UX"}', 'proj'), '{"revoked": "Ux1", "agents": ["ux"]}', 'a guest is revoked by the agent''s name');
select t.refuses('its key is over', 401, 'ux1', 'whoami');
select is(t.mail('ux1') #>> '{0,ended}', 'this key was revoked', 'and its window');
select is(t.agent_of('ux'), null, 'and its agent');
select t.works('another guest of the same invite stays', 'ux2', 'whoami');
select t.works('and is revoked by the display name', 'alice', 'revoke_member', '{"member": "ux2"}', 'proj');
select t.works('a member with an account too', 'alice', 'revoke_member', '{"member": "carol"}', 'proj');
select t.refuses('who finds the mesh no more', 404, 'carol', 'mesh_info', '{}', 'alice/proj');
select t.works('but is otherwise who it was', 'carol', 'create_mesh', '{"name": "own"}');
select is((select string_agg(e.kind, ' ' order by e.kind) from (select distinct e.kind from mesh_data.event e join mesh_data.mesh m using (mesh_id) where m.name = 'proj') e),
  'agent_created agent_edited agent_key_created agent_removed invite_created invite_redeemed invite_revoked member_left mesh_created mesh_transferred session_ended session_opened', 'the log tells what happened');
select ok(t.attempt('mesh_admin', 'select count(*) from mesh.events')::int > 10, 'and the administrator reads it');

select finish();
rollback;
