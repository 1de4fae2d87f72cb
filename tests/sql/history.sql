-- History: what was sent and received, whole and searchable. Reading changes nothing.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.attempt('mesh_admin', 'select mesh.set_limits(turns_per_minute => 0)');

create table t.who (who text, mesh text);
insert into t.who values ('alice', 'proj'), ('carol', 'alice/proj'), ('commander', null), ('backend', null), ('designer', null), ('bob', 'other'), ('scout', null), ('visitor', null);
create function t.listed(who text, arguments jsonb default '{}', mesh text default null) returns text language sql volatile as $$
  select t.texts(t.does(listed.who, 'list_messages', listed.arguments, coalesce(listed.mesh, (select w.mesh from t.who w where w.who = listed.who)))) $$;
-- Everybody to everybody, several times, to one, two and all
select t.does(w.who, 'send_message', jsonb_build_object('to', a.name, 'message', format('%s to %s %s', w.who, a.name, n)), w.mesh)
from generate_series(1, 3) n, t.who w, mesh_data.agent a
where a.name <> w.who and a.mesh_id = t.mesh_of(t.token(w.who), w.mesh);
select t.does(w.who, 'send_message', jsonb_build_object('to', '*', 'message', w.who || ' to all'), w.mesh) from t.who w;
select t.send('backend', 'alice,designer', 'backend to two');

-- Nothing more and nothing less than row-level security shows
select is(jsonb_array_length(t.does(w.who, 'list_messages', '{"limit": 1000}', w.mesh)), t.attempt_as(w.who, format(
    'select count(*) from mesh_data.message m where m.mesh_id = %L', t.mesh_of(t.token(w.who), w.mesh)), w.mesh)::integer, w.who || ' lists as many messages as row-level security shows')
from t.who w;
select is((select string_agg(m ->> 'message_id', ' ') from jsonb_array_elements(t.does(w.who, 'list_messages', '{"limit": 1000}', w.mesh)) m),
  t.attempt_as(w.who, 'select string_agg(m.message_id::text, '' '' order by m.message_id) from mesh_data.message m', w.mesh), 'and the same ones, in the order they were sent: ' || w.who)
from t.who w where w.who in ('commander', 'backend', 'designer', 'scout', 'visitor');
select is((select string_agg(m ->> 'message_id', ' ') from jsonb_array_elements(t.does(w.who, 'list_messages', jsonb_build_object('limit', 1000, 'query', q)::jsonb, w.mesh)) m),
  t.attempt_as(w.who, format('select string_agg(m.message_id::text, '' '' order by m.message_id) from mesh_data.message m where m.body ilike %L', '%' || q || '%'), w.mesh), format('%s finds %s as a plain query does', w.who, q))
from t.who w, unnest(array['to all', 'BACKEND', 'to designer 2']) q where w.who not in ('alice', 'carol', 'bob');

-- With whom
select is(t.listed('designer', '{"with": "backend"}'), (select string_agg(m.body, ' ' order by m.message_id) from mesh_data.message m
  where m.body ~ '^(designer to (backend|all)|backend to (designer|all|two))'), 'with an agent: what both said to each other, to all and to several');
select is(t.listed('designer', '{"with": "BACKEND", "query": "designer 3"}'), 'backend to designer 3', 'name and text without case');
select t.refuses('an agent of another mesh is not there', 404, 'designer', 'list_messages', '{"with": "scout"}');
select is(t.listed('designer', '{"query": "scout"}'), '', 'another mesh is not searched');
select is(t.listed('designer', '{"query": "commander to backend"}'), '', 'nor what others said to each other');

-- Pages
select is(t.listed('designer', '{"limit": 1}'), 'backend to two', 'the newest');
select t.does('designer', 'list_messages', '{"limit": 3}') as page \gset
select is(t.listed('designer', jsonb_build_object('limit', 100, 'before', :'page'::jsonb #>> '{0,message_id}')) || ' ' || t.texts(:'page'), t.listed('designer', '{"limit": 1000}'), 'a page and what was before it are all of it');
select t.refuses('limit ' || l, 400, 'designer', 'list_messages', jsonb_build_object('limit', l)) from unnest(array[0, -1, 1001]) l;

-- Text is text
select t.send('commander', 'backend', b) from unnest(array['100% done', 'a_b', 'axb', 'it''s "so"', 'back\slash', 'to & from | !(x)', 'GRÜßE', E'two\nlines']) b;
select is(t.listed('backend', jsonb_build_object('query', q.query)), q.found, 'a query is plain text: ' || q.query)
from (values ('0% D', '100% done'), ('a_b', 'a_b'), ('''s "S', 'it''s "so"'), ('k\s', 'back\slash'), ('& from |', 'to & from | !(x)'), ('grüße', 'GRÜßE'), (E'o\nl', E'two\nlines'), ('%%', ''), ('.*', '')) q (query, found);

-- Rooms
select t.does('backend', 'create_room', '{"name": "plans"}');
select t.send('backend', '#plans', 'alone');
select t.does('designer', 'join_room', '{"room": "plans"}');
select t.send('backend', '#plans', 'in the room ' || n) from generate_series(1, 3) n;
select is(t.listed('designer', '{"room": "#plans"}'), 'alone in the room 1 in the room 2 in the room 3', 'a member of a room sees all that was said in it, also before it came');
select is(t.listed('designer', '{"room": "Plans", "query": "ROOM 2", "with": "backend"}'), 'in the room 2', 'and searches it');
select is(t.listed('designer', '{"room": "plans", "limit": 2}'), 'in the room 2 in the room 3', 'the newest of it');
select jsonb_build_object('message_id', m.message_id, 'message', 'yes') as alone from mesh_data.message m where m.body = 'alone' \gset
select is(t.does('designer', 'get_message', :'alone'::jsonb - 'message') @> '{"message": "alone", "recipients": []}', true, 'also one by one');
select is(t.tried('designer', 'reply', null, :'alone') #>> '{answer,to}', '#plans', 'and answers it');
select t.refuses('who is not in the room does not: ' || f, 404, 'commander', f, case f when 'reply' then :'alone' else :'alone'::jsonb - 'message' end)
from unnest(array['get_message', 'message_status', 'reply']) f;
select t.refuses('a room one is not in is not read', 403, 'commander', 'list_messages', '{"room": "plans"}');
select t.refuses('nor under its address', 403, 'commander', 'list_messages', '{"with": "#plans"}');
select is(t.does('designer', 'list_messages', '{"with": "#plans"}'), t.does('designer', 'list_messages', '{"room": "plans"}'), 'a room goes by its address, too');
select t.refuses('a room of another mesh is not there: ' || w, 404, w, 'list_messages', '{"room": "plans"}') from unnest(array['scout', 'visitor']) w;
select t.does('designer', 'list_messages', '{"room": "plans", "limit": 1}') #>> '{0,message_id}' as last \gset
select is(t.listed('designer', jsonb_build_object('room', 'plans', 'before', :'last', 'limit', 1)), 'in the room 2', 'and what was before it');
select is(t.listed('designer', '{"query": "alone"}'), '', 'what was said there before it came is not its own mail');
select t.does('backend', 'close_room', '{"room": "plans"}');
select is(t.listed('designer', '{"room": "plans", "limit": 1}'), 'in the room 3', 'a closed room can still be read');

-- One message whole
select t.send('backend', 'designer,commander', 'whole', '{"data": {"a": 1}, "priority": "low", "mentions": ["designer"], "expires_in": 60}') as whole \gset
select t.take('commander') is null, t.take('commander') is null;
select t.does('backend', 'get_message', jsonb_build_object('message_id', :'whole')) as got \gset
select ok(:'got'::jsonb @> '{"from": "backend", "from_kind": "agent", "to": "designer,commander", "message": "whole", "data": {"a": 1}, "priority": "low", "mentions": ["designer"], "reply_to": null}', 'a message is read whole');
select is((select string_agg(r ->> 'agent' || ' ' || (r ->> 'state'), ', ') from jsonb_array_elements(:'got'::jsonb -> 'recipients') r), 'commander acknowledged, designer queued', 'its sender sees what became of it for each recipient');
select is((select string_agg(r ->> 'agent', ' ') from jsonb_array_elements(t.does('designer', 'get_message', jsonb_build_object('message_id', :'whole')) -> 'recipients') r), 'designer', 'a recipient sees its own state');
select t.refuses('who is no party to it does not find it: ' || w, 404, w, 'get_message', jsonb_build_object('message_id', :'whole')) from unnest(array['scout', 'visitor']) w;
select t.refuses('not even the owner of the mesh', 404, 'alice', 'get_message', jsonb_build_object('message_id', :'whole'), 'proj');

-- Reading changes nothing
create function t.all_mail() returns text language sql stable as $$
  select md5(coalesce((select string_agg(d.ctid || ' ' || d.xmin || ' ' || d::text, ',' order by d.message_id, d.agent_id) from mesh_data.delivery d), '')
    || coalesce((select string_agg(m.ctid || ' ' || m.xmin || ' ' || m::text, ',' order by m.message_id) from mesh_data.message m), '')) $$;
select t.open('designer'), t.open('backend');
create function t.harmless(who text, function text, mesh text) returns boolean language plpgsql volatile as $$
declare
  _before constant text := t.all_mail();
begin
  perform t.call(harmless.who, harmless.function, t.fitting(harmless.who, harmless.function), harmless.mesh);
  return t.all_mail() = _before;
end
$$;
select ok(t.harmless(w.who, c.name, w.mesh), format('reading changes nothing: %s by %s', c.name, w.who))
from mesh_lib.callable c, t.who w where (c.description ->> 'read_only')::boolean and w.who in ('alice', 'commander', 'designer', 'backend') order by 1;
select is(t.texts(t.mail('designer', 1)), t.texts(t.mail('designer', 1)), 'nor does a relay that looks for mail');

select finish();
rollback;
