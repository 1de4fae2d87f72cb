-- Identity cannot be forged by SQL. The attacker here has what an injection would give: arbitrary SQL as mesh_agent inside
-- a real call of the dispatch (mesh.scratch), or the password of a login. race_identity.sh has the attacks across backends.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.open('commander') as window \gset
select t.send('designer', 'commander', 'for commander only') as mail \gset

-- A call that runs whatever it is given, as mesh_agent, for anybody.
create function mesh.scratch(sql text) returns json language plpgsql volatile set search_path = '' as $$
declare
  _value text := 'done';
begin
  if sql ~* '^\s*(select|with|show|table|values)' then
    execute sql into _value;
  else
    execute sql;
  end if;
  return to_json(_value);
exception when others then
  return to_json(sqlstate);
end
$$;
comment on function mesh.scratch is E'---\nwho: anyone\n---\nRun SQL.\nsql: anything.';
grant execute on function mesh.scratch(text) to mesh_agent;
revoke execute on function mesh.scratch(text) from public;
alter function mesh.scratch(text) owner to mesh_owner;
grant usage on schema mesh, mesh_lib to mesh_owner;
refresh materialized view mesh_lib.callable;

create function t.inject(who text, sql text, mesh text default null) returns text language sql volatile as $$
  select t.call(who, 'scratch', jsonb_build_object('sql', sql), mesh) ->> 'answer'
$$;
-- Several calls in one transaction: [who, sql] each; the answers in order.
create function t.batch(variadic calls text[]) returns text[] language plpgsql volatile as $$
declare
  _tokens text[];
  _arguments text[];
begin
  for i in 1..cardinality(calls) by 2 loop
    _tokens := _tokens || t.token(calls[i]);
    _arguments := _arguments || jsonb_build_object('sql', calls[i + 1])::text;
  end loop;
  return t.relay_batch(_tokens, _arguments);
end
$$;
create function t.relay_batch(tokens text[], arguments text[]) returns text[] language sql volatile security definer set search_path = '' as $$
  select array_agg(c.answer #>> '{}' order by c.ordinal) from mesh_lib.call(relay_batch.tokens, array_fill(null::text, array[cardinality(tokens)]),
    array_fill(null::text, array[cardinality(tokens)]), array_fill('scratch'::text, array[cardinality(tokens)]), relay_batch.arguments) c
$$;
alter function t.relay_batch owner to mesh_relay;

\set me 'select (select name from mesh_data.agent where agent_id = mesh_lib.my_agent())'
\set captured 'select current_setting(''mesh.identity'')'

select is(t.inject('designer', :'me'), 'designer', 'a call knows who calls');
select is(t.inject('designer', 'select current_user || '' '' || session_user <> '''''), 'true', 'and runs');
select is(t.inject('designer', 'select current_user'), 'mesh_agent', 'as mesh_agent');

-- Guessing
select is(t.inject('designer', format('with s as materialized (select set_config(''mesh.identity'', %L, true)) select (mesh_lib.me()).agent_id::text || s from s', v)), null, 'a guessed setting is nobody: ' || left(v, 40))
from unnest(array['x', repeat('0', 64), repeat('0', 64) || '(agent,,,,,,t)', t.hex('') || '(agent,,,,,,t)', repeat('0', 63) || '(agent,,,,,,t)', ' ', '()',
  (select repeat('0', 64) || row('agent', k.key_id, null, k.mesh_id, k.agent_id, null, true)::text from mesh_data.key k where k.public_key = decode(t.public_key('commander'), 'hex'))]) v;
select is(t.batch('designer', 'set mesh.identity = ''(agent,,,,,,t)''', 'backend', :'me')::text, '{done,backend}', 'SET for the whole session does not outlive the next sign-in');
select is(t.inject('designer', :'me'), 'designer', 'nor any later one');
select is(t.batch('designer', 'set local mesh.identity = ''x''', 'backend', :'me')::text, '{done,backend}', 'nor does SET LOCAL');
select is(t.batch('designer', 'reset mesh.identity', 'backend', :'me')::text, '{done,backend}', 'nor RESET');
select is(t.batch('designer', 'reset all', 'backend', :'me')::text, '{done,backend}', 'nor RESET ALL');
-- The signature covers every field: with the real one, another agent, mesh, or manage is nobody.
create function t.tampered(who text, expression text) returns text language sql volatile as $$
  select t.inject(who, format('with s as materialized (select set_config(''mesh.identity'', %s, true) from (select current_setting(''mesh.identity'') as v) c) select coalesce((mesh_lib.me()).kind, ''nobody'') from s', expression))
$$;
select is(t.tampered('designer', 'v'), 'agent', 'a setting put back as it was is who it was');
select is(t.tampered('designer', 'regexp_replace(v, '',f\)$'', '',t)'')'), 'nobody', 'managing added is nobody');
select is(t.tampered('designer', format('replace(v, (mesh_lib.me()).agent_id::text, %L)', (select agent_id from mesh_data.agent where name = 'commander'))), 'nobody', 'another agent put in is nobody');
select is(t.tampered('designer', 'left(v, 64) || replace(substr(v, 65), ''agent,'', ''account,'')'), 'nobody', 'an account is nobody');
select is(t.tampered('designer', 'v || '' '''), 'nobody', 'something added is nobody');
select is(t.tampered('designer', 'upper(v)'), 'nobody', 'the signature in capitals is nobody');

-- Replay: a signed setting is good in its own call only.
create table t.kept (setting text);
insert into t.kept select (t.batch('commander', :'captured'))[1];
select ok((select setting ~ '^[0-9a-f]{64}\(agent,' from t.kept), 'the attacker holds commander''s signed setting');
create function t.replay(who text) returns text language sql volatile as $$
  select t.inject(who, format('with s as materialized (select set_config(''mesh.identity'', %L, true)) select coalesce((mesh_lib.me()).agent_id::text, ''nobody'') from s', (select setting from t.kept)))
$$;
select is(t.replay('designer'), 'nobody', 'replayed by another caller in a later call it is nobody');
select is(t.replay('commander'), 'nobody', 'even by its own');
select is((t.batch('commander', 'select set_config(''my.kept'', current_setting(''mesh.identity''), false)',
  'designer', 'with s as materialized (select set_config(''mesh.identity'', current_setting(''my.kept''), true)) select coalesce((mesh_lib.me()).agent_id::text, ''nobody'') from s'))[2], 'nobody',
  'kept in a setting and replayed in the next call of one batch it is nobody');
select is((t.batch('designer', 'discard sequences'))[1] <> '' and t.replay('designer') = 'nobody', true, 'DISCARD SEQUENCES brings no old ordinal back');
select is(t.inject('designer', 'select nextval(''mesh_data.call_ordinal'')'), '42501', 'nobody moves the ordinal');
select is(t.inject('designer', 'select setval(''mesh_data.call_ordinal'', 1)'), '42501', 'nor sets it');
select is(t.inject('designer', 'select last_value from mesh_data.call_ordinal'), '42501', 'nor reads it');
select is(t.inject('designer', 'select setval(''mesh_data.message_position'', 1)'), '42501', 'nor the order of messages');
select is(t.inject('designer', 'select mesh_lib.sign_in(''mt_guess'', null, null)'), 'ME401', 'signing in needs a bearer');
select is(t.inject('designer', format('select (mesh_lib.sign_in(%L, null, null)).kind', t.secret('commander') ->> 'verifier')), 'ME401', 'and a verifier is none');
select is((t.batch('designer', format('select (mesh_lib.sign_in(%L, null, null)).kind', t.token('backend')), 'designer', :'me'))[2], 'designer', 'signing in twice in a call is over with the call');
select is(t.batch(null, :'me', 'mallory', :'me', 'designer', :'me', 'mallory', :'me')::text, (array[null, '{"code":"ME401","message":"this key is not known here","hint":"mesh login"}', 'designer', '{"code":"ME401","message":"this key is not known here","hint":"mesh login"}'])::text,
  'in a batch each call is its own caller''s, and one that failed to sign in is nobody''s');
select is(current_setting('mesh.identity'), '', 'after a batch no identity is left');

-- The secret and the helpers behind it
select is(t.inject(w.who, 'select ' || c.call, w.mesh), '42501', w.who || ' may not: ' || c.call)
from (values ('designer', null), ('alice', 'proj')) w (who, mesh), (values ('mesh_lib.signature(''x'')'), ('mesh_lib.in_mesh(mesh_lib.me(), null)'),
  ('mesh_lib.mail(''{}'', ''{}'', 1)'), ('mesh_lib.receipt(''{}'', ''{}'', ''{}'')'), ('mesh_lib.confirm(''{}'', ''{}'', null)'), ('mesh_lib.disconnected(''{}'', ''{}'', null)'), ('mesh_lib.not_waiting(''{}'', ''{}'', null)'), ('mesh_lib.refused_keys(''{}'')'),
  ('mesh_lib.call(''{}'', ''{}'', ''{}'', ''{}'', ''{}'') is null'), ('mesh.create_account(''x'')'), ('mesh.allow_signup(true)'),
  ('identity_secret from mesh_data.setting'), ('1 from mesh_data.setting'), ('verifier from mesh_data.key'), ('verifier from mesh_data.invite'), ('push_verifier from mesh_data.session'),
  ('rolpassword from pg_authid'), ('pg_read_file(''postgresql.conf'')'), ('pg_ls_dir(''.'')'), ('lo_import(''/etc/passwd'')'), ('1 from mesh.accounts'), ('1 from mesh.keys')) c (call)
where c.call not like 'mesh_lib.call%' order by 1;
-- mesh_lib.call is mesh_agent's own, so SQL as mesh_agent may call it; that needs bearers like any other call.
select is(t.inject('designer', 'select status from mesh_lib.call(array[''mt_guess''], array[null::text], array[null::text], array[''whoami''], array[''{}''])'), '401', 'the dispatch itself needs a bearer');
-- Helpers that definers call run with the caller's rights, so calling them directly gains nothing.
create table t.helper (call text);
insert into t.helper values ('mesh_lib.new_account(''mallory'', null, ''account'', ''{}'')'), ('mesh_lib.end_member((select member_id from mesh_data.member limit 1))'),
  ('mesh_lib.end_sessions(array(select key_id from mesh_data.session), ''x'')'), ('mesh_lib.new_person(mesh_lib.my_mesh(), (select account_id from mesh_data.account limit 1))'),
  ('mesh_lib.record(gen_random_uuid(), ''x'')');
create function t.everything() returns text language sql stable as $$
  select md5(string_agg(x, ',' order by x)) from (select a::text from mesh_data.account a union all select m::text from mesh_data.member m union all select s::text from mesh_data.session s
    union all select k::text from mesh_data.key k union all select g::text from mesh_data.agent g union all select e::text from mesh_data.event e) y (x)
$$;
select t.everything() as before \gset
select t.inject('designer', 'select ' || call) from t.helper;
select is(t.everything(), :'before', 'helpers of definers, called directly by a guest, change nothing');
select is(t.inject('designer', 'select mesh_lib.new_account(''mallory'', null, ''account'', ''{}'')'), '42501', 'no account is made that way');
-- What sends takes its sender as an argument, so nobody but definers may call it; the set forms sign in every row.
select is(t.inject('designer', 'select ' || c), '42501', 'designer may not: ' || c)
from unnest(array['mesh_lib.deliver(null)', 'mesh_lib.post(array[mesh_lib.letter(mesh_lib.me(), array[''*''], ''"x"'')], null)',
  'mesh_lib.identify(''x'', null, null)', 'mesh_lib.requests(''send_message'', ''{}'', ''{}'', ''{}'', ''{}'')']) c;
-- send_one is for whoever is signed in; what a letter finds on its way it finds anew.
create function t.forge(fields jsonb) returns text language sql stable as $$
  select format('with r as materialized (select set_config(''mesh.relay'', ''00000000-0000-0000-0000-000000000001'', true)),
      s as materialized (select s.* from r, mesh_lib.send_one(jsonb_populate_record(null::mesh_lib.letter,
        jsonb_build_object(''addresses'', array[''visitor''], ''body'', ''forged'', ''everyone'', false) || %L::jsonb)) s)
    select to_jsonb(s) || jsonb_build_object(''effects'', current_setting(''mesh.effects'')) from s', forge.fields)
$$;
select t.does('commander', 'create_room', '{"name": "talk", "mode": "reactive"}') ->> 'room_id' as room \gset
update mesh_data.presence set relay_id = '00000000-0000-0000-0000-000000000001';
select t.inject('scout', t.forge(jsonb_build_object('message_id', :'mail', 'duplicate', true)))::jsonb as forged \gset
select ok(:'forged' !~ 'for commander only' and :'forged'::jsonb @> '{"duplicate": false}' and :'forged'::jsonb ->> 'message_id' <> :'mail',
  'a letter that says it was sent before shows nobody that message');
select isnt(t.inject('scout', t.forge(jsonb_build_object('room_id', :'room', 'agents', array[(select agent_id from mesh_data.agent where name = 'commander')],
  'me', '(agent,,,,,,t)'))), null, 'a letter that says where it goes and who sends it');
select results_eq($$select a.name, r.name, m.room_id from mesh_data.message m join mesh_data.agent a on a.agent_id = m.sender_agent_id
    join mesh_data.delivery d using (message_id) join mesh_data.agent r on r.agent_id = d.agent_id where m.body = 'forged'$$,
  $$values ('scout', 'visitor', null::uuid), ('scout', 'visitor', null)$$, 'is of who sent it, and goes to its addresses only');
select is((select floor_agent_id from mesh_data.room where room_id = :'room'), null, 'no turn was taken');
select is(t.inject('designer', format('insert into mesh_data.idempotency (sender_agent_id, key, body_hash, message_id) values (mesh_lib.my_agent(), ''x'', ''x'', %L)', :'mail')), '42501',
  'nor is a key made for a message of others');
select is(t.inject('designer', 'select ' || c), 'ME403', 'a guest may not: ' || c)
from unnest(array['count(*) from mesh.tail()', 'mesh.create_pool(''mine'', ''{designer}'')', 'mesh.remove_agent(''backend'')']) c;
select t.does('commander', 'create_pool', '{"name": "theirs", "agents": ["backend"]}');
select is(t.inject('designer', 'select ' || c), 'ME403', 'nor: ' || c) from unnest(array['mesh.edit_pool(''theirs'', ''{designer}'')', 'mesh.delete_pool(''theirs'')']) c;
select is(t.inject('designer', format('select mesh_lib.waiting_at(%L)', (select agent_id from mesh_data.agent where name = 'commander'))), '0', 'the inbox of another is not counted');
-- Nor does SQL say what a relay shows to whom.
select is(t.call('designer', 'scratch', jsonb_build_object('sql', format('select set_config(''mesh.effects'', %s, true)', e))) -> 'effects', 'null', 'no relay hears of effects that SQL made: ' || e)
from unnest(array['''{"push": {"sessions": [], "after": [], "frame": {"message_id": "x"}}}''', '''x''', 'repeat(''0'', 64) || ''{}''', 'current_setting(''mesh.identity'')']) e;
select is(t.inject('designer', 'select mesh_lib.tell_relay(''{}'')'), '42501', 'nor tells it any');
select is(t.inject('designer', format('select (mesh_lib.message_to_read(%L)).body', m.message_id)), 'ME404', 'no message of another mesh is read')
from mesh_data.message m where m.body = 'forged';
select is(t.inject('designer', 'select status from mesh_lib.send_messages(array[''mt_guess''], array[null::text], array[null::text], array[''{"to": "*", "message": "x"}''], null)'), '401', 'a set form needs a bearer');
select is(t.inject('designer', format('select (mesh_lib.mesh_owner(%L)).owner', (select mesh_id from mesh_data.mesh where name = 'other'))), null, 'the owner of another mesh is not told');

-- Becoming somebody else
select is(t.inject('designer', 'set ' || w || r), case when w like '%role%' then '42501' else '42501' end, 'no ' || w || r) from unnest(array['role ', 'local role ', 'session authorization ']) w,
  unnest(array['mesh_owner', 'mesh_definer', 'mesh_admin', 'postgres']) r where exists (select from pg_roles where rolname = r) order by 1;
select is(t.inject('designer', 'select set_config(''role'', ''mesh_owner'', true)'), '42501', 'not by set_config');
select isnt(t.inject('designer', 'select set_config(''session_authorization'', ''mesh_owner'', true)'), 'mesh_owner', 'nor that of the session');
select is(t.attempt(r, 'set role ' || other), '42501', format('%s is no member of %s', r, other))
from unnest(array['mesh_relay', 'mesh_agent', 'mesh_worker', 'mesh_admin']) r, unnest(array['mesh_owner', 'mesh_definer', 'mesh_agent', 'mesh_relay', 'mesh_admin', 'mesh_worker', 'postgres', 'pg_read_all_data', 'pg_monitor', 'pg_execute_server_program']) other
where r <> other and exists (select from pg_roles where rolname = other) order by 1;
select is(t.attempt(r, s), '42501', format('%s may not: %s', r, s)) from unnest(array['mesh_relay', 'mesh_agent', 'mesh_worker', 'mesh_admin']) r,
  unnest(array['create role mallory', 'alter role mesh_relay superuser', 'alter role mesh_agent login', 'grant mesh_owner to mesh_relay', 'alter database ' || quote_ident(current_database()) || ' set mesh.identity = ''x''',
    'create schema evil', 'create table public.evil ()', 'create table mesh.evil ()', 'create table mesh_lib.evil ()', 'create table mesh_data.evil ()', 'create temporary table evil ()',
    'create function public.evil() returns int language sql as ''select 1''', 'create function mesh.evil() returns int language sql as ''select 1''', 'create function mesh_lib.evil() returns int language sql as ''select 1''',
    'create function pg_temp.evil() returns int language sql as ''select 1''', 'create or replace function mesh_lib.now() returns timestamptz language sql as ''select null::timestamptz''',
    'create or replace function mesh_lib.me() returns mesh_lib.identity language sql as ''select null::mesh_lib.identity''', 'alter function mesh_lib.me() security invoker', 'alter function mesh_lib.me() owner to mesh_agent',
    'drop function mesh_lib.me()', 'alter function mesh_lib.signature(text) set search_path = public', 'grant execute on function mesh_lib.signature(text) to mesh_agent', 'drop schema mesh cascade', 'drop policy message_select on mesh_data.message',
    'create policy evil on mesh_data.message using (true)', 'alter table mesh_data.message no force row level security', 'alter table mesh_data.message owner to mesh_agent', 'create trigger evil before insert on mesh_data.message for each row execute function mesh_lib.me()',
    'create rule evil as on select to mesh_data.message do instead select 1', 'create index evil on mesh_data.message (body)', 'create view public.evil as select 1', 'create extension dblink', 'load ''plpgsql''', 'create event trigger evil on ddl_command_start execute function mesh_lib.me()',
    'refresh materialized view mesh_lib.callable', 'drop materialized view mesh_lib.callable', 'create publication evil for all tables', 'checkpoint', 'create operator public.= (leftarg = bytea, rightarg = bytea, function = byteaeq)',
    'comment on table mesh_data.message is ''evil''', 'set session_replication_role = replica']) s order by 1;
select ok(t.attempt(r, s) ~ '^(42501|0A000|22023|25001|42601)$', format('%s may not: %s', r, s)) from unnest(array['mesh_relay', 'mesh_agent', 'mesh_worker', 'mesh_admin']) r,
  unnest(array['copy mesh_data.message to program ''cat''', 'copy mesh_data.setting to stdout', 'alter system set fsync = off', 'copy mesh_data.key from ''/etc/passwd''', 'vacuum full mesh_data.message x', 'set row_security = on x']) s order by 1;
-- row_security = off does not switch policies off: it makes a query that they would filter fail.
select is(t.inject('designer', 'select set_config(''row_security'', ''off'', true) from mesh_data.agent limit 0'), null, 'row_security may be set');
-- A setting of one call is there in the next of the batch; SQL injection could spoil its connection, not more.
select is((t.batch('designer', 'set local row_security = off', 'designer', 'select count(*) from mesh_data.message'))[2]::json ->> 'code', 'ME403', 'off, a query is refused instead of unfiltered');
set local row_security = on;

-- What mesh_agent owns is the dispatch. It cannot replace it (no CREATE in the schema), and it cannot make it run as
-- anybody else. It can drop it, make it SECURITY INVOKER or give it settings: that stops the relay until the next
-- `mesh migrate` and reads nothing. Accepted: SET ROLE is an error in a definer, so the dispatch must be mesh_agent's own.
select is(t.inject('designer', 'create or replace function mesh_lib.call(tokens text[], meshes text[], sessions text[], functions text[], arguments text[]) returns table (ordinal integer, status integer, answer json, caller jsonb, effects json) language sql as ''select 1, 1, null::json, null::jsonb, null::json'''),
  '42501', 'the dispatch is not replaced by its owner');
select is(t.inject('designer', 'alter function mesh_lib.call(text[], text[], text[], text[], text[], uuid) ' || s), e, 'the dispatch: ' || s)
from (values ('owner to mesh_definer', '42501'), ('rename to evil', '42501'), ('set schema public', '42501'), ('set role = mesh_definer', '42501'), ('set session_authorization = mesh_owner', '42501')) w (s, e);
select is(t.inject('designer', 'select set_config(''search_path'', ''public'', true)'), 'public', 'a caller may set search_path');
select is((t.batch('designer', 'set local search_path = pg_temp, public, evil', 'backend', :'me'))[2], 'backend', 'and every function has its own');
select set_eq($$select p.oid::regprocedure::text from pg_proc p where p.proowner = 'mesh_agent'::regrole$$, array['mesh_lib.call(text[],text[],text[],text[],text[],uuid)'], 'mesh_agent owns the dispatch');
select is_empty($$select c.relname from pg_class c where c.relowner in ('mesh_agent'::regrole, 'mesh_relay'::regrole, 'mesh_admin'::regrole, 'mesh_worker'::regrole, 'mesh_definer'::regrole)$$, 'and no table, view or sequence');

-- The logins. mesh_relay has its entry points; mesh_worker nothing; mesh_admin no body, no verifier, no hello.
create view t.readable as select c.oid::regclass::text as name, c.relkind from pg_class c where c.relnamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace, 'mesh_data'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'S');
select is(t.attempt(r, 'select 1 from ' || v.name || ' limit 0'), '42501', format('%s does not read %s', r, v.name)) from unnest(array['mesh_relay', 'mesh_worker']) r, t.readable v
where not (r = 'mesh_relay' and v.name in ('mesh_lib.callable', 'mesh_lib.gate')) order by 1;
select is(t.attempt('mesh_worker', 'select ' || e), '42501', 'mesh_worker may not ' || e) from unnest(array['mesh_lib.health()', 'mesh_lib.catalogue()', 'mesh_lib.me()', 'mesh_lib.now()', 'mesh.whoami()']) e;
select is(t.attempt('mesh_relay', 'select ' || e), '42501', 'mesh_relay may not ' || e) from unnest(array['mesh_lib.me()', 'mesh_lib.sign_in(null, null, null)', 'mesh_lib.run(''whoami'', ''{}'')', 'mesh.whoami()', 'mesh.create_account(''x'')', 'mesh.allow_signup(true)',
  'mesh_lib.deliver(null)', 'mesh_lib.ping()']) e;
select is(t.attempt('mesh_admin', format('select %I from mesh_data.%I limit 0', c.col, c.tab)), '42501', format('mesh_admin does not read %s.%s', c.tab, c.col))
from (values ('message', 'body'), ('message', 'message_id'), ('message', 'data'), ('key', 'verifier'), ('key', 'public_key'), ('invite', 'verifier'), ('invite', 'certificate'), ('session', 'hello'), ('session', 'push_verifier'), ('session', 'session_key'),
  ('idempotency', 'key'), ('idempotency', 'body_hash'), ('setting', 'identity_secret'), ('setting', 'signup_open')) c (tab, col);
select isnt(t.attempt('mesh_admin', 'select count(*) from ' || v.name), '42501', 'mesh_admin reads ' || v.name) from t.readable v where v.relkind = 'v' and v.name <> 'mesh_lib.gate';
select is(t.attempt('mesh_admin', 'select ' || e), '42501', 'mesh_admin may not ' || e) from unnest(array['mesh_lib.me()', 'mesh_lib.signature(''x'')', 'mesh_lib.sign_in(null, null, null)', 'mesh_lib.call(''{}'', ''{}'', ''{}'', ''{}'', ''{}'')', 'mesh.whoami()',
  'mesh_lib.mail(''{}'', ''{}'', 1)', 'mesh.delete_mesh(''proj'')']) e;
select is(t.attempt(r, format('%s mesh_data.%I%s', w.what, n, w.rest)), '42501', format('%s does not: %s %s', r, w.what, n))
from unnest(array['mesh_relay', 'mesh_worker', 'mesh_admin']) r, unnest(array['message', 'key', 'setting', 'event', 'code', 'account']) n,
  (values ('delete from', ''), ('truncate', ''), ('update', ' set ' || 'x = 1'), ('lock table', ' in access exclusive mode')) w (what, rest) where w.what <> 'update' order by 1;

-- What everybody may see tells nothing.
select is_empty($$select proname from pg_proc where prosrc ~ 'mt_[0-9a-f]{8}|mc_[0-9a-f]{8}' and pronamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace)$$, 'no function''s text holds a secret');
select is(t.attempt('mesh_relay', 'select count(*) from pg_stats where schemaname = ''mesh_data'''), '0', 'statistics show the relay no values');
select is(t.inject('designer', 'select count(*) from pg_stats where schemaname = ''mesh_data'' and (tablename, attname) in ((''message'', ''body''), (''key'', ''verifier''))'), '0', 'nor an agent');

-- Pings carry nothing and may be forged.
select is(t.inject('designer', 'notify mesh, ''forged'''), 'done', 'a forged ping is accepted');
select is(t.take('commander', '{}', :'window'), 'for commander only', 'and harmless');
select is(t.attempt('mesh_relay', 'listen mesh'), 'done', 'the relay listens');

select finish();
rollback;
