-- Laws over the catalogue of the database: what holds for every function, table and policy, also for those still to come.
begin;
\ir helpers.psql
select no_plan();

create view t.code as
select p.oid, p.oid::regprocedure::text as name, p.proname, p.pronamespace::regnamespace::text as schema, p.proowner::regrole::text as owner,
  p.prosecdef, p.proacl, p.proconfig, p.provolatile, p.prosrc, p.proretset, l.lanname, obj_description(p.oid, 'pg_proc') as comment
from pg_proc p join pg_language l on l.oid = p.prolang
where p.pronamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace);

create view t.tables as
select c.oid, c.relname::text as name, c.relkind, c.relispartition, c.relrowsecurity, c.relforcerowsecurity, c.relowner::regrole::text as owner
from pg_class c where c.relnamespace = 'mesh_data'::regnamespace and c.relkind in ('r', 'p', 'f', 'v', 'm');

-- Functions

select ok(c.comment is not null and (c.comment ~ '^---\n' or has_function_privilege('mesh_admin', c.oid, 'execute')), c.name || ' has a comment, with front matter if agents call it')
from t.code c where c.schema = 'mesh' order by c.name;

create view t.help as
select c.*, case when c.comment ~ '^---\n' then split_part(c.comment, E'\n---\n', 2) else c.comment end as help,
  coalesce(mesh_lib.front(c.comment, 'who'), 'agent') as who, mesh_lib.front(c.comment, 'mcp') as mcp, mesh_lib.front(c.comment, 'mesh') as mesh,
  mesh_lib.front(c.comment, 'destructive') as destructive
from t.code c where c.schema = 'mesh';

-- An imperative begins a sentence and is no third person: Send, not Sends.
select ok(split_part(h.help, E'\n', 1) ~ '^[A-Z][a-z]+[^s\sA-Z]? [^\n]*[.:]' and split_part(h.help, ' ', 1) !~ '(^(This|The|A|An|It|Returns?)$)|([^s]s$)',
  h.name || ': the help begins with an imperative sentence') from t.help h order by h.name;
select ok(a.description ~ '\S', h.name || ': argument ' || a.name || ' is documented')
from t.help h, mesh_lib.arguments(h.oid) a where a.input order by h.name, a.ordinal;
select is_empty($$select f ->> 'name', a ->> 'name' from jsonb_path_query(mesh_lib.catalogue()::jsonb, '$.functions[*]') f, jsonb_path_query(f, '$.arguments[*]') a
  where jsonb_typeof(a -> 'default') not in ('null', replace(a #>> '{schema,type}', 'integer', 'number'))$$, 'a default in the catalogue is of the type of its argument');
select is(mesh_lib.default_value('''"*"''::jsonb'), '"*"', 'a default that is JSON is read as such');
select is(mesh_lib.default_value('''{}''::text[]'), 'null', 'a default that is a list is not read');
select ok(h.help ~ '\nexample: \S', h.name || ' has an example') from t.help h order by h.name;
select ok(h.who in ('anyone', 'ticket', 'invite', 'any', 'agent', 'manage', 'account') and coalesce(h.mcp in ('core', 'more', 'never'), true)
  and coalesce(h.mesh in ('yes', 'no'), true) and coalesce(h.destructive = 'yes', true), h.name || ': who, mcp, mesh and destructive are words we know')
from t.help h order by h.name;
select is_empty($$select h.name || ': ' || m[1] from t.help h, regexp_matches(split_part(h.comment, E'\n---\n', 1), '(?:^|\n)([a-z]+): ', 'g') m
  where h.comment ~ '^---\n' and m[1] not in ('cli', 'alias', 'who', 'mesh', 'mcp', 'destructive', 'columns', 'follow', 'group', 'line', 'more', 'set')$$, 'front matter has no word the catalogue ignores');
select is_empty($$select h.name || ': ' || m[1] from t.help h, regexp_matches(h.help, '\n([a-z_]+): ', 'g') m
  where m[1] <> 'example' and not exists (select from mesh_lib.arguments(h.oid) a where a.input and a.name = m[1])$$,
  'no comment documents an argument that is not there');
select is_empty($$select h.name || ' <' || m[1] || '>' from t.help h, regexp_matches(mesh_lib.front(h.comment, 'cli'), '<([^>]*)>', 'g') m
  where m[1] <> 'mesh' and not exists (select from mesh_lib.arguments(h.oid) a where a.input and a.name = m[1])$$,
  'positional arguments of CLI verbs exist');
select is_empty($$select h.name || ' ' || w from t.help h, unnest(string_to_array(mesh_lib.front(h.comment, 'columns'), ' ')) w
  where not exists (select from mesh_lib.arguments(h.oid) a where a.output and a.name = w)$$, 'columns of CLI tables exist');
select is_empty($$select h.name || ' ' || mesh_lib.front(h.comment, 'follow') from t.help h, lateral string_to_array(mesh_lib.front(h.comment, 'follow'), ' ') f
  where f is not null and (not exists (select from mesh_lib.arguments(h.oid) a where a.input and a.name = f[1])
    or not exists (select from mesh_lib.arguments(h.oid) a where a.output and a.name = f[2]) or cardinality(f) not in (2, 4)
    or cardinality(f) = 4 and not exists (select from mesh_lib.arguments(h.oid) a where a.output and a.name = f[3])
    or cardinality(f) = 4 and not exists (select from mesh_lib.arguments(h.oid) a where a.input and a.name = f[4] and a.type = 'boolean'))$$, 'what is followed is an argument and a column');
select is_empty($$select verb from (
    select regexp_replace(trim(v), '\s*<.*', '') as verb from t.help h,
      unnest(array[mesh_lib.front(h.comment, 'cli')] || string_to_array(mesh_lib.front(h.comment, 'alias'), ',')) v) x
  where verb is not null group by verb having count(*) > 1$$, 'no two functions have the same CLI verb');
select is_empty($$select h.name from t.help h where has_function_privilege('mesh_agent', h.oid, 'execute')
  and (h.comment like '%psql%' or has_function_privilege('mesh_admin', h.oid, 'execute'))$$, 'a function is for agents or for administrators, not both');

-- A body in standard SQL is parsed when it is made: no search_path reaches it, and it can be inlined.
select is_empty($$select c.name from t.code c join pg_proc p on p.oid = c.oid where not coalesce('search_path=""' = any (c.proconfig), false)
  and (p.prosqlbody is null or p.prosecdef)$$, 'every function pins search_path to nothing, or has a parsed body');
select is_empty($$select c.name from t.code c where exists (select from aclexplode(coalesce(c.proacl, acldefault('f', c.owner::regrole))) x where x.grantee = 0)$$,
  'no function of ours is executable by PUBLIC');
select is_empty($$select c.name from t.code c, aclexplode(c.proacl) x where x.grantee::regrole::text in ('mesh_worker')$$, 'mesh_worker may execute nothing');
select is_empty($$select c.proname from t.code c where c.schema = 'mesh' group by c.proname having count(*) > 1$$, 'no overloads in mesh');
select is_empty($$select c.name from t.code c where c.provolatile <> 'v' and c.prosrc ~* '\m(insert into|update\s+mesh_data|delete from|nextval|pg_notify|set_config)\M'$$,
  'a function that writes is volatile');
select is_empty($$select c.name from t.code c where c.name <> 'mesh_lib.now()' and c.prosrc ~* '(clock_timestamp|statement_timestamp|current_timestamp|(?<!mesh_lib\.)\mnow)\s*\(|current_timestamp'$$,
  'one place knows the clock: mesh_lib.now()');
select is_empty($$select c.name from t.code c where c.name <> 'mesh_lib.ping()' and c.prosrc ~* 'pg_notify|\mnotify\M'$$, 'one place notifies: mesh_lib.ping()');
select is_empty($$select c.name from t.code c where c.name not like 'mesh_lib.fail(%' and c.prosrc ~* 'raise exception'$$, 'one place raises errors: mesh_lib.fail()');
select is_empty($$select c.name from t.code c where c.name not in ('mesh_lib.me()') and c.prosrc ~* 'current_setting\(''mesh\.identity'$$, 'one place reads the identity: mesh_lib.me()');
select is_empty($$select c.name || ': ' || x.message from t.code c
  left join lateral (select g.* from pg_trigger g where g.tgfoid = c.oid limit 1) g on true,
  plpgsql_check_function_tb(c.oid::regprocedure, coalesce(g.tgrelid, 0), oldtable => g.tgoldtable, newtable => g.tgnewtable) x
  where c.lanname = 'plpgsql' and not (x.message ~ 'is reserved keyword$' or x.message ~ '^unmodified OUT variable' or x.message in ('unused parameter "relay_id"', 'unused parameter "follow"'))$$, 'plpgsql_check has nothing to say');

-- A word means one thing: an argument of this name has this type everywhere.
select is_empty($$
  select a.name, string_agg(distinct a.type, ', ') from t.help h, mesh_lib.arguments(h.oid) a where a.input
  group by a.name having count(distinct case when a.type in ('mesh.mode', 'mesh.name', 'mesh.request_key', 'mesh.sealed') then 'text' when a.type = 'mesh.given_back' then 'uuid[]' else a.type end) > 1$$, 'an argument''s name has one type in all calls');
select is_empty($$select h.name, a.name from t.help h, mesh_lib.arguments(h.oid) a where a.name !~ '^[a-z][a-z_]*$' or a.name ~ '_at$' and a.type !~ '^timestamp with'
  or a.name ~ '(^|_)id$' and a.type not in ('uuid', 'mesh.request_id')$$, 'names: plain words, *_at is a time, *_id an uuid');

-- SECURITY DEFINER: these and no others, with the reason each needs more than its caller has.
create table t.definer (name text primary key, owner text not null, why text not null);
insert into t.definer values
  ('mesh_lib.call', 'mesh_agent', 'the dispatch: the relay becomes mesh_agent'),
  ('mesh_lib.signature', 'mesh_definer', 'reads the identity secret'),
  ('mesh_lib.me', 'mesh_definer', 'asks for a signature'),
  ('mesh_lib.sign_in', 'mesh_definer', 'reads verifiers of all keys'),
  ('mesh_lib.in_mesh', 'mesh_definer', 'finds an account''s meshes before it is anybody'),
  ('mesh_lib.my_meshes', 'mesh_definer', 'policies ask it, so it stands outside them'),
  ('mesh_lib.owned_meshes', 'mesh_definer', 'policies ask it'),
  ('mesh_lib.managed_meshes', 'mesh_definer', 'policies ask it'),
  ('mesh_lib.mode_begins_at', 'mesh_definer', 'when others sent last'),
  ('mesh_lib.mesh_owner', 'mesh_definer', 'name and identity of somebody else''s account'),
  ('mesh_lib.unread_in', 'mesh_definer', 'an account''s agents in all its meshes'),
  ('mesh_lib.backlog', 'mesh_definer', 'counts deliveries of others'),
  ('mesh_lib.waiting_at', 'mesh_definer', 'counts deliveries of others'),
  ('mesh_lib.take_waiting', 'mesh_definer', 'gives mail of others to others'),
  ('mesh_lib.schema_version', 'mesh_definer', 'one number of a table nobody else reads'),
  ('mesh_lib.identify', 'mesh_definer', 'reads verifiers of all keys'),
  ('mesh_lib.identify_all', 'mesh_definer', 'as identify, for a batch'),
  ('mesh_lib.requests', 'mesh_definer', 'as identify, for a batch'),
  ('mesh_lib.send_messages', 'mesh_definer', 'sends for each caller of a batch'),
  ('mesh_lib.ack_many', 'mesh_definer', 'settles for each caller of a batch'),
  ('mesh_lib.send_one', 'mesh_definer', 'delivers, for functions that send among other things'),
  ('mesh_lib.would_take', 'mesh_definer', 'who blocks the caller, and whose inbox is full'),
  ('mesh_lib.check_scheduled', 'mesh_definer', 'addresses as deliver does, before it is stored'),
  ('mesh.keep_identity', 'mesh_definer', 'writes what mesh_agent only reads'),
  ('mesh.grant_key', 'mesh_definer', 'writes what another may read'),
  ('mesh.list_key_requests', 'mesh_definer', 'requests of others, for messages of the caller''s'),
  ('mesh.request_keys', 'mesh_definer', 'finds messages that the caller cannot see yet'),
  ('mesh_lib.deliver', 'mesh_definer', 'writes and counts others'' inboxes'),
  ('mesh_lib.seat', 'mesh_definer', 'writes who is in a room'),
  ('mesh_lib.mail', 'mesh_definer', 'the relay is nobody; push secrets prove the sessions'),
  ('mesh_lib.receipt', 'mesh_definer', 'as mail'),
  ('mesh_lib.confirm', 'mesh_definer', 'as mail'),
  ('mesh_lib.disconnected', 'mesh_definer', 'as mail'),
  ('mesh_lib.news', 'mesh_definer', 'as mail'),
  ('mesh_lib.not_waiting', 'mesh_definer', 'as mail'),
  ('mesh_lib.tell_news', 'mesh_definer', 'writes what others are shown, in the caller''s name'),
  ('mesh_lib.refused_keys', 'mesh_definer', 'whether keys are good, for the relay'),
  ('mesh_lib.health', 'mesh_definer', 'the release, for the relay'),
  ('mesh_lib.horizon', 'mesh_definer', 'two numbers of the server, for the relay'),
  ('mesh_lib.ping', 'mesh_definer', 'takes the token, a row nobody else reads'),
  ('mesh_lib.tick', 'mesh_definer', 'sends what others scheduled, for the relay'),
  ('mesh_lib.watched_since', 'mesh_definer', 'one time of a table nobody else reads'),
  ('mesh.claim_task', 'mesh_definer', 'mesh_agent writes no task: it could write over what another has claimed'),
  ('mesh.complete_task', 'mesh_definer', 'as claim_task'),
  ('mesh.create_task', 'mesh_definer', 'as claim_task'),
  ('mesh.fail_task', 'mesh_definer', 'as claim_task'),
  ('mesh.release_task', 'mesh_definer', 'as claim_task'),
  ('mesh.update_task', 'mesh_definer', 'as claim_task'),
  ('mesh.whoami', 'mesh_definer', 'tells tickets and invites what they are'),
  ('mesh.signup', 'mesh_definer', 'nobody makes an account'),
  ('mesh.redeem_ticket', 'mesh_definer', 'a ticket may write nothing else'),
  ('mesh.redeem_invite', 'mesh_definer', 'an invite is nobody in the mesh yet'),
  ('mesh.delete_account', 'mesh_definer', 'deletes what hangs on it'),
  ('mesh.create_mesh', 'mesh_definer', 'nobody is in the mesh yet'),
  ('mesh.delete_mesh', 'mesh_definer', 'deletes what hangs on it'),
  ('mesh.transfer_mesh', 'mesh_definer', 'looks up another account'),
  ('mesh.leave_mesh', 'mesh_definer', 'revokes keys, frees agents'),
  ('mesh_lib.told_relay', 'mesh_definer', 'asks for a signature'),
  ('mesh_lib.message_to_read', 'mesh_definer', 'what was said in a room before one came'),
  ('mesh.edit_memory', 'mesh_definer', 'writes what no other agent may read'),
  ('mesh.forget', 'mesh_definer', 'nobody may read what is forgotten, so nobody could write it'),
  ('mesh.recall', 'mesh_definer', 'full text, which row-level security keeps off indexes; filters itself'),
  ('mesh.remove_agent', 'mesh_definer', 'ends keys and sessions'),
  ('mesh.revoke_member', 'mesh_definer', 'ends keys and sessions of somebody else'),
  ('mesh.revoke_key', 'mesh_definer', 'ends its sessions'),
  ('mesh.open_session', 'mesh_definer', 'makes the push secret'),
  ('mesh.close_session', 'mesh_definer', 'writes the session''s row'),
  ('mesh.leave_group', 'mesh_definer', 'deletes a row'),
  ('mesh.create_pool', 'mesh_definer', 'makes an id that stands for a role'),
  ('mesh.edit_pool', 'mesh_definer', 'deletes who is no longer in it'),
  ('mesh.delete_pool', 'mesh_definer', 'deletes a row'),
  ('mesh.list_events', 'mesh_definer', 'the owner sees who writes to whom, and nobody reads the log as a table; filters itself'),
  ('mesh.list_messages', 'mesh_definer', 'searches bodies, which row-level security keeps off indexes; filters itself'),
  ('mesh.maintain', 'mesh_definer', 'for the administrator'),
  ('mesh.report_tool', 'mesh_definer', 'counts in the log, which nobody reads'),
  ('mesh.retry_message', 'mesh_definer', 'a sender has its recipients try again'),
  ('mesh.set_limits', 'mesh_definer', 'for the administrator'),
  ('mesh.verify_events', 'mesh_definer', 'the log and its seals are no agent''s to read'),
  ('mesh.unblock_agent', 'mesh_definer', 'mesh_agent deletes nothing'),
  ('mesh_lib.attach_partition', 'mesh_owner', 'only a table''s owner makes it a partition; reads no row'),
  ('mesh_lib.create_partition', 'mesh_definer', 'moves rows of all meshes'),
  ('mesh_lib.detach_partition', 'mesh_owner', 'as attach_partition'),
  ('mesh_lib.drop_month', 'mesh_definer', 'moves rows of all meshes'),
  ('mesh_lib.drop_partition', 'mesh_owner', 'as attach_partition'),
  ('mesh_lib.forget', 'mesh_definer', 'deletes rows of all meshes'),
  ('mesh_lib.maintain', 'mesh_definer', 'as create_partition, for all of them'),
  ('mesh_lib.maintain_hourly', 'mesh_definer', 'as maintain, for the relay'),
  ('mesh_lib.prepare_partition', 'mesh_owner', 'as attach_partition'),
  ('mesh.cancel_scheduled', 'mesh_definer', 'mesh_agent deletes nothing'),
  ('mesh.tail', 'mesh_definer', 'who writes to whom, for those who manage the mesh'),
  ('mesh.set_profile', 'mesh_definer', 'an agent writes some of its own row'),
  ('mesh.leave_room', 'mesh_definer', 'deletes, which an agent never may'),
  ('mesh.room_history', 'mesh_definer', 'who joins later reads what was sent to others before'),
  ('mesh.create_account', 'mesh_definer', 'for the administrator'),
  ('mesh.allow_signup', 'mesh_definer', 'one switch beside the identity secret');
select set_eq('select c.schema || ''.'' || c.proname, c.owner from t.code c where c.prosecdef', 'select d.name, d.owner from t.definer d', 'SECURITY DEFINER is the frozen list, with these owners');
select is_empty($$select c.name from t.code c where not c.prosecdef and c.owner <> 'mesh_owner'$$, 'every other function is mesh_owner''s');
select is_empty($$select c.name from t.code c where c.prosecdef and c.schema = 'mesh_lib' and (
    has_function_privilege('mesh_relay', c.oid, 'execute') <> (c.proname in ('call', 'mail', 'receipt', 'confirm', 'disconnected', 'news', 'not_waiting', 'refused_keys', 'horizon', 'health', 'tick', 'maintain_hourly'))
    or has_function_privilege('mesh_admin', c.oid, 'execute'))$$, 'definers in mesh_lib: the relay''s entry points are the relay''s only, and no administrator''s');
select set_eq($$select c.name from t.code c where has_function_privilege('mesh_relay', c.oid, 'execute')$$,
  $$select p::regprocedure::text from unnest(array['mesh_lib.call(text[],text[],text[],text[],text[],uuid)', 'mesh_lib.mail(uuid[],text[],integer)', 'mesh_lib.receipt(uuid[],text[],uuid[])',
    'mesh_lib.confirm(uuid[],text[],uuid)', 'mesh_lib.disconnected(uuid[],text[],uuid)', 'mesh_lib.news(uuid[],text[],text,uuid[])', 'mesh_lib.not_waiting(uuid[],text[],uuid)', 'mesh_lib.refused_keys(uuid[])', 'mesh_lib.horizon()', 'mesh_lib.health()', 'mesh_lib.tick()', 'mesh_lib.maintain_hourly()', 'mesh_lib.catalogue()']) p$$,
  'mesh_relay may execute its entry points, and nothing else of ours');

-- Tables

select is_empty($$select t.name from t.tables t where t.relkind not in ('r', 'p') or not (t.relrowsecurity and t.relforcerowsecurity)$$, 'row-level security is enabled and forced on every table and partition');
select is_empty($$select t.name from t.tables t where t.owner <> 'mesh_owner'$$, 'every table is mesh_owner''s');
select is_empty($$select t.name, x.grantee::regrole from t.tables t join pg_class c on c.oid = t.oid, aclexplode(c.relacl) x
  where x.grantee = 0 or x.grantee::regrole::text in ('mesh_relay', 'mesh_worker')
    or x.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER') and x.grantee::regrole::text <> 'mesh_owner'$$, 'tables: nothing for PUBLIC, relay or worker, and nobody truncates or adds triggers');
select is_empty($$select t.name, a.attname, x.grantee from t.tables t join pg_attribute a on a.attrelid = t.oid, aclexplode(a.attacl) x
  where x.grantee = 0 or x.grantee::regrole::text not in ('mesh_agent', 'mesh_admin', 'mesh_definer', 'mesh_owner')$$, 'columns: nothing for PUBLIC, relay or worker');
select is_empty($$select t.name, x.grantee::regrole from t.tables t join pg_class c on c.oid = t.oid, aclexplode(c.relacl) x
  where t.relispartition and x.grantee::regrole::text not in ('mesh_owner', 'mesh_definer')$$, 'partitions are reached through their parent only');
select is_empty($$select t.name, a.attname from t.tables t join pg_attribute a on a.attrelid = t.oid
  where (a.attname in ('verifier', 'push_verifier', 'identity_secret')) and (has_column_privilege('mesh_agent', t.oid, a.attnum, 'select') or has_column_privilege('mesh_admin', t.oid, a.attnum, 'select'))$$,
  'no verifier and no secret is readable by mesh_agent or mesh_admin');
select is_empty($$select t.name from t.tables t where has_table_privilege('mesh_agent', t.oid, 'delete') or has_any_column_privilege('mesh_admin', t.oid, 'insert, update')
  or has_table_privilege('mesh_admin', t.oid, 'delete')$$, 'mesh_agent deletes nothing, mesh_admin writes nothing');
select is_empty($$select t.name from t.tables t where not t.relispartition
  and not exists (select from pg_policy p where p.polrelid = t.oid and p.polroles = array['mesh_definer'::regrole::oid])$$, 'every table says what mesh_definer may do');

-- Policies compare a column with the identity, read once per statement: never a function of the row.
create function t.is_plain(expression text) returns boolean language sql immutable as $$
  select regexp_replace(regexp_replace(expression, '\s+', ' ', 'g'),
    '\w+ = \( ?SELECT (mesh_lib\.my_\w+\(\) AS my_\w+|\(mesh_lib\.me\(\)\)\.\w+ AS \w+)\)'
    '|\w+ = ANY \(\( ?SELECT mesh_lib\.\w+_meshes\(\) AS \w+_meshes\)::uuid\[\]\)'
    '|NOT \(\w+ IS DISTINCT FROM \( ?SELECT mesh_lib\.my_agent\(\) AS my_agent\)\)'
    '|kind = ''agent''::text|AND|OR|\(|\)| ', '', 'g') = ''
$$;
select ok(t.is_plain(coalesce(p.qual, '')) and t.is_plain(coalesce(p.with_check, '')), 'policy ' || p.policyname || ' has an allowed form')
from pg_policies p where p.schemaname = 'mesh_data' and p.roles = '{mesh_agent}' and p.policyname <> 'message_select' order by 1;
select is((select regexp_replace(qual, '\s+', ' ', 'g') from pg_policies where policyname = 'message_select'),
  '((sender_agent_id = ( SELECT mesh_lib.my_agent() AS my_agent)) OR (EXISTS ( SELECT FROM mesh_data.delivery d WHERE ((d.message_id = message.message_id) AND (d.agent_id = ( SELECT mesh_lib.my_agent() AS my_agent))))))',
  'message_select is the one policy with EXISTS: one probe of a primary key');
select is_empty($$select policyname from pg_policies where schemaname = 'mesh_data' and not (
  roles = '{mesh_agent}' or roles = '{mesh_definer}' and qual = 'true' and with_check = 'true' or roles = '{mesh_admin}' and cmd = 'SELECT' and qual = 'true')$$,
  'other policies are mesh_definer''s and mesh_admin''s reading');
select is_empty($$select policyname from pg_policies where schemaname = 'mesh_data' and (permissive <> 'PERMISSIVE' or policyname !~ ('^' || tablename || '_(select|insert|update|delete|definer|admin)$'))$$,
  'policies are named <table>_<command>');

-- Tables do not depend on code.
select is_empty($$
  select pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
  from pg_depend d
  where d.classid in ('pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_class'::regclass)
    and (d.refclassid = 'pg_proc'::regclass and exists (select from t.code c where c.oid = d.refobjid)
      or d.refclassid = 'pg_type'::regclass and exists (select from pg_type y where y.oid = d.refobjid and y.typnamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace)))
    and case d.classid
      when 'pg_attrdef'::regclass then (select a.adrelid from pg_attrdef a where a.oid = d.objid)
      when 'pg_constraint'::regclass then (select k.conrelid from pg_constraint k where k.oid = d.objid)
      else (select coalesce(i.indrelid, d.objid) from (select 1) one left join pg_index i on i.indexrelid = d.objid) end in (select oid from t.tables)$$,
  'no default, check, index or column of a table depends on mesh or mesh_lib');
-- What tables tell the log they tell after the fact, and nothing that is written often: row triggers look at columns that changed.
select is_empty($$select g.tgname from pg_trigger g join pg_proc p on p.oid = g.tgfoid where not g.tgisinternal and g.tgrelid in (select oid from t.tables)
  and (p.pronamespace <> 'mesh_lib'::regnamespace or g.tgtype & 66 <> 0 or g.tgtype & 1 = 1 and (g.tgattr::text = '' or g.tgqual is null))$$,
  'triggers come after, run code of ours, and are for whole statements, or for one column when it changed');

-- Deleting the row at the other end must not scan: the columns of a foreign key lead some index, or hold a unique one's.
-- Known: two of them have a partial index only, which a delete of the other end cannot use.
select set_eq($$
  select k.conrelid::regclass::text, (select string_agg(a.attname, ',' order by x.n) from unnest(k.conkey) with ordinality x (attnum, n) join pg_attribute a on a.attrelid = k.conrelid and a.attnum = x.attnum)
  from pg_constraint k join t.tables t on t.oid = k.conrelid and not t.relispartition
  where k.contype = 'f' and not exists (
    select from pg_index i where i.indrelid = k.conrelid and i.indpred is null and i.indisvalid
      and (k.conkey @> (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality(k.conkey)])
      and (i.indisunique or cardinality(k.conkey) <= i.indnkeyatts))$$,
  $$values ('mesh_data.member', 'account_id'), ('mesh_data.session', 'key_id')$$, 'foreign keys have an index on the referencing side');
select is_empty($$select conrelid::regclass, conname from pg_constraint where conrelid in (select oid from t.tables) and contype = 'c' and conname ~ '_check\d*$' and conparentid = 0$$,
  'check constraints are named as sentences');
select is_empty($$select t.name, a.attname from t.tables t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  where (a.attname ~ '_at$') <> (a.atttypid = 'timestamptz'::regtype) and a.attname <> 'waiting_until'$$, 'every time is timestamptz and ends in _at');

-- Schemas, roles and views

select is_empty($$select n.nspname, x.grantee, x.privilege_type from pg_namespace n, aclexplode(n.nspacl) x
  where n.nspname in ('mesh', 'mesh_lib', 'mesh_data', 'public') and x.privilege_type = 'CREATE' and x.grantee not in (n.nspowner, 'mesh_owner'::regrole)$$, 'nobody creates in our schemas or in public');
select is_empty($$select n.nspname from pg_namespace n, aclexplode(n.nspacl) x where n.nspname in ('mesh', 'mesh_lib', 'mesh_data') and x.grantee = 0$$, 'PUBLIC does not even look into our schemas');
select is_empty($$select d.datname, x.privilege_type from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
  where d.datname = current_database() and x.grantee <> d.datdba and x.privilege_type in ('TEMPORARY', 'CREATE')$$, 'nobody makes temporary tables or schemas');
select is_empty($$select rolname from pg_roles where rolname ~ '^mesh_(owner|definer|agent|relay|worker|admin)$' and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication)$$, 'no role of ours is more than a role');
select set_eq($$select rolname::text from pg_roles where rolname ~ '^mesh_(owner|definer|agent|relay|worker|admin)$' and rolcanlogin$$, array['mesh_relay', 'mesh_worker', 'mesh_admin'], 'relay, worker and admin log in, nobody else');
select is_empty($$select m.roleid::regrole, m.member::regrole from pg_auth_members m where m.member::regrole::text ~ '^mesh_(owner|definer|agent|relay|worker|admin)$'$$, 'our roles are members of nothing');
select is_empty($$select c.relname from pg_class c where c.relnamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace) and c.relkind = 'v' and not coalesce('security_invoker=true' = any (c.reloptions), false)$$, 'views run with the rights of their reader');
select is_empty($$select c.relname, x.grantee::regrole from pg_class c, aclexplode(c.relacl) x
  where c.relnamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace) and c.relkind in ('r', 'v', 'm', 'S') and c.relname not in ('callable', 'gate')
    and x.grantee::regrole::text not in ('mesh_admin', 'mesh_owner') and x.grantee <> c.relowner$$, 'views are the administrator''s, but for the two a relay comes by');
select is_empty($$select defaclobjtype from pg_default_acl d, aclexplode(d.defaclacl) x where x.grantee = 0$$, 'nothing is granted to PUBLIC by default');

-- What is made from the catalogue

select cmp_ok((select count(*) from mesh_lib.callable c where c.description ->> 'mcp' = 'core'), '<=', 24::bigint, 'agents see at most 24 core tools');
select is_empty($$select c.name from mesh_lib.callable c where c.description::text ~ '"(anyOf|oneOf|allOf|\$ref)"' or c.description::text ~ '"type" ?: ?\['$$, 'schemas have no anyOf, no $ref and no type arrays');
select is_empty($$select c.name, a ->> 'name' from mesh_lib.callable c, json_array_elements(c.description -> 'arguments') a
  where json_typeof(a -> 'schema') <> 'object' or coalesce(a ->> 'description', '') = '' or json_typeof(a -> 'required') <> 'boolean'$$, 'every argument has a schema and a description');
select is_empty($$select c.name from mesh_lib.callable c where c.description ->> 'mcp' <> 'never' and c.description ->> 'who' in ('account', 'ticket', 'invite', 'anyone')$$, 'what needs more than an agent''s key is no tool');
select is_empty($$select h.proname from t.help h where has_function_privilege('mesh_agent', h.oid, 'execute') except select c.name from mesh_lib.callable c$$, 'the dispatch knows every function an agent may execute');
select is_empty($$select c.name from mesh_lib.callable c join t.help h on h.proname = c.name where (c.description ->> 'read_only')::boolean <> (h.provolatile <> 'v')$$, 'read_only is volatility');
-- A window of its own ends with close_session: nothing that somebody made.
select is_empty($$select h.name from t.help h where h.proname ~ '^(cancel|clear|close|delete|drop|erase|forget|purge|remove|reset|revoke|wipe)(_|$)' and h.destructive is null and h.proname <> 'close_session'$$,
  'what takes away is destructive');
select is_empty($$select h.name from t.help h where h.destructive = 'yes' and (h.provolatile <> 'v' or h.mcp = 'core')$$, 'what is destructive writes, and is no core tool: some editors refuse it when nobody is there to ask');
select is((mesh_lib.catalogue() ->> 'protocol')::integer, 1, 'the catalogue says its protocol');
select is(json_array_length(mesh_lib.catalogue() -> 'functions')::bigint, (select count(*) from mesh_lib.callable), 'the catalogue holds every call');

-- Ids

create temporary table made on commit drop as select n, mesh_lib.new_id()::text as id from generate_series(1, 20000) n;
select is_empty($$select m.id from made m where m.id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]'$$, 'an id is a UUIDv7 at any moment of a millisecond');
select is_empty($$select * from (select left(m.id, 18) < lag(left(m.id, 18)) over (order by m.n) as back from made m) x where x.back$$, 'and sorts by time');

select finish();
rollback;
