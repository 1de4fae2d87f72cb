-- The chain over the log: what is sealed, and that whatever is changed afterwards is found, and named.
begin;
\ir helpers.psql
select no_plan();
select t.world();
create function t.verify(arguments jsonb default '{}', who text default 'alice') returns jsonb language sql volatile as $$
  select t.call(who, 'verify_events', arguments, case who when 'alice' then 'proj' end) $$;
create function t.proj() returns uuid language sql stable as $$ select m.mesh_id from mesh_data.mesh m where m.name = 'proj' $$;
-- What verify says of a change, which is then undone: the first seal, and what is wrong with it.
create function t.found(change text, arguments jsonb default '{}') returns text language plpgsql volatile as $$
declare
  _answer jsonb;
begin
  begin
    execute change;
    _answer := t.verify(arguments);
    raise exception 'undo';
  exception when raise_exception then
    null;
  end;
  return coalesce((_answer #>> '{answer,data,seal}') || ': ' || (select string_agg(p ->> 'problem', ', ' order by p ->> 'seal', p ->> 'event_id' nulls first) from jsonb_array_elements(_answer #> '{answer,data,problems}') p),
    _answer #>> '{answer,message}', 'nothing');
end
$$;

-- Appended to

select is((select string_agg(a.attname, ' ') from pg_attribute a where a.attrelid = 'mesh_data.event'::regclass and a.attnum > 0 and has_column_privilege('mesh_definer', a.attrelid, a.attnum, 'update')),
  'seal_number', 'no function changes more of an event than in what seal it is');
select is_empty($$select c.oid::regprocedure from pg_proc c where c.pronamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace)
  and c.prosrc ~ 'delete from mesh_data.event' and c.oid <> 'mesh_lib.forget(timestamptz)'::regprocedure$$, 'only retention deletes from the log');
select is_empty($$select c.oid::regprocedure from pg_proc c where c.pronamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace)
  and c.prosrc ~ 'update mesh_data.seal' and c.oid <> 'mesh_lib.unseal_dropped(uuid)'::regprocedure$$, 'and only it changes a seal');

-- Sealing

select is((t.verify() -> 'answer') - '{unsealed,unsealed_since}'::text[], '{"head": null, "seals": 0, "events": 0, "sealed_at": null, "dropped": 0, "kept_since": null, "late": 0}', 'at first nothing is sealed');
select cmp_ok((t.verify() #>> '{answer,unsealed}')::integer, '>', 5, 'verify counts what is not');
select is((t.verify() #>> '{answer,unsealed_since}')::timestamptz, (select min(happened_at) from mesh_data.event where mesh_id = t.proj()), 'and says since when');
select is(mesh_lib.seal_events(), 0::bigint, 'what has just happened is not sealed yet');
select cmp_ok(mesh_lib.seal_events('0'), '>', 10::bigint, 'then it is');
select is(mesh_lib.seal_events('0'), 0::bigint, 'once');
select t.does('commander', 'create_room', '{"name": "hall"}'), t.does('backend', 'set_status', '{"status": "dnd"}');
select is(t.verify() #>> '{answer,unsealed}', '2', 'what happens then is the unsealed tail');
select t.pass('61 seconds');
select t.attempt('mesh_relay', 'select mesh_lib.tick()');
select is(t.verify() #>> '{answer,unsealed}', '0', 'which relays seal after a minute');
select t.does('commander', 'create_room', jsonb_build_object('name', 'r' || n)) from generate_series(1, 3) n;
select mesh_lib.seal_events('0');
select is((t.verify() -> 'answer') - '{head,sealed_at}'::text[], jsonb_build_object('seals', 3, 'events', (select count(*) from mesh_data.event where mesh_id = t.proj()), 'unsealed', 0, 'unsealed_since', null, 'dropped', 0, 'kept_since', null, 'late', 0),
  'three seals over all events: the log is whole');
select t.verify() #>> '{answer,head}' as head \gset
select is((select count(distinct mesh_id) from mesh_data.seal), 2::bigint, 'each mesh has a chain of its own');
select is(t.verify(jsonb_build_object('head', :'head')) ->> 'status', '200', 'the head is in the chain');
select is(t.verify(jsonb_build_object('head', (select encode(digest, 'hex') from mesh_data.seal where mesh_id = t.proj() and number = 1))) ->> 'status', '200', 'as is an earlier one');
select is(t.verify('{}', 'commander') ->> 'status', '200', 'an agent that manages verifies, too');
select t.refuses('a head of other signs', 400, 'alice', 'verify_events', '{"head": "xyz"}', 'proj');

-- Whatever a superuser changes

create table t.e as select e.* from mesh_data.event e where e.mesh_id = t.proj() and e.seal_number = 2 and e.kind = 'room_created';
select is(t.found(format('update mesh_data.event set %s where event_id = %L', s, e.event_id)), '2: the event was edited', 'an event is edited: ' || s)
from t.e e, unnest(array['kind = ''room_closed''', 'detail = detail || ''{"room": "hell"}''', 'agent_id = null', 'happened_at = happened_at - interval ''1 microsecond''', 'changed_in = ''1''', 'seal_number = null', 'seal_number = 3']) s;
select is((select t.call('alice', 'verify_events', '{}', 'proj') #>> '{answer,data,problems,0,event_id}' from (select 1) x) , null, 'undone');
update mesh_data.event set detail = '{"room": "hell"}' where event_id = (select event_id from t.e);
select t.is_refusal(t.verify(), 409, 'an edited event is a refusal');
select is(t.verify() #> '{answer,data,problems}', jsonb_build_array(jsonb_build_object('seal', 2, 'event_id', e.event_id, 'problem', 'the event was edited')), 'that names it') from t.e e;
select is(t.verify() #>> '{answer,message}', format('the log is not what was sealed: seal 2: the event was edited %s', e.event_id), 'in words') from t.e e;
update mesh_data.event set detail = e.detail from t.e e where event.event_id = e.event_id;
select is(t.verify() ->> 'status', '200', 'put back as it was, all is well');
select is(t.found(format('delete from mesh_data.event where event_id = %L', e.event_id)), '2: the event is missing', 'one is deleted') from t.e e;
select is(t.found(format('insert into mesh_data.event select mesh_lib.new_id(), mesh_id, kind, agent_id, detail, happened_at, changed_in, 2 from t.e')), '2: the event was added', 'one is added');
select is(t.found(format('update mesh_data.event set event_id = mesh_lib.new_id() where event_id = %L', e.event_id)), '2: the event is missing, the event was added', 'one is renamed') from t.e e;
select is(t.found(format('update mesh_data.event set mesh_id = (select mesh_id from mesh_data.mesh where name = ''other'') where event_id = %L', e.event_id)), '2: the event is missing', 'one is moved to another mesh') from t.e e;
select is(t.found('update mesh_data.seal set ' || s || ' where mesh_id = t.proj() and number = 2'), f, 'a seal is edited: ' || s)
from (values ('sealed_at = sealed_at - interval ''1 day''', '2: the seal was edited'), ('events = events + 1', '2: the seal was edited'), ('number = 7', '3: the seals before it are missing, the seals before it are missing, the event was edited, the event was edited'),
  ('digest = sha256(digest)', '2: the seal was edited, it does not follow the seal before it'), ('previous_digest = sha256(digest)', '2: it does not follow the seal before it'),
  ('rows_digest = sha256(digest)', '2: the seal was edited'), ('digests = digests[2:] || digests[:1]', '2: its list of events was edited, the event was edited, the event was edited'), ('digests = null', '2: its list of events was edited, the event was edited, the event was edited')) w (s, f);
select is(left(t.found('delete from mesh_data.seal where mesh_id = t.proj() and number = 2'), 24), '2: the event was added, ', 'a seal is deleted');
select is(t.found('delete from mesh_data.seal where mesh_id = t.proj() and number = 3; delete from mesh_data.event where mesh_id = t.proj() and seal_number = 3'), 'nothing', 'the end is cut off, seal and events: the chain alone does not show it');
select is(left(t.found('delete from mesh_data.seal where mesh_id = t.proj() and number = 3; delete from mesh_data.event where mesh_id = t.proj() and seal_number = 3', jsonb_build_object('head', :'head')), 80),
  'the log is whole in itself, but the head that was kept is not in it: it was writ', 'a head that was kept does');
select is(left(t.found('update mesh_data.event set detail = ''{}'', seal_number = null where mesh_id = t.proj(); delete from mesh_data.seal where mesh_id = t.proj(); select mesh_lib.seal_events(''0'')', jsonb_build_object('head', :'head')), 80),
  'the log is whole in itself, but the head that was kept is not in it: it was writ', 'and a chain that was written anew');

select is(t.found('update mesh_data.seal set dropped_before = ''ffffffff-ffff-ffff-ffff-ffffffffffff'' where mesh_id = t.proj(); update mesh_data.event set detail = ''{}'' where event_id = (select event_id from t.e)'),
  '2: the event was edited', 'an event is edited, and said to be dropped');

select is(t.found('update mesh_data.event set detail = ''{}'' where event_id = (select event_id from t.e)', jsonb_build_object('since', s.sealed_at + d)), f, 'events sealed since then are looked at')
from mesh_data.seal s, (values (interval '0', '2: the event was edited'), ('1 microsecond', 'nothing'), ('1 day', 'nothing')) w (d, f) where s.mesh_id = t.proj() and s.number = 2;
select is(t.found('update mesh_data.seal set events = 1000 where mesh_id = t.proj() and number = 1', jsonb_build_object('since', now() + interval '1 day')), '1: the seal was edited', 'all seals are');

-- What says it is older than the seals

select t.pass('10 minutes');
insert into mesh_data.event (event_id, mesh_id, kind, detail, happened_at) select mesh_lib.first_id(mesh_lib.now() - interval '1 day'), t.proj(), 'room_created', '{}', mesh_lib.now() - interval '1 day';
select is(t.verify() #>> '{answer,late}', '1', 'an event that was written down late is counted');
select mesh_lib.seal_events('0');
select is(t.verify() #>> '{answer,late}', '1', 'also when it is sealed');

-- Retention

select t.verify() #>> '{answer,head}' as head \gset
select (t.verify() #>> '{answer,events}')::integer as events \gset
select t.pass('200 days');
select mesh_lib.maintain();
select is((t.verify() -> 'answer') - '{sealed_at,unsealed_since,late}'::text[], jsonb_build_object('head', :'head', 'seals', 4, 'events', :events, 'dropped', :events, 'kept_since', (t.verify() #>> '{answer,kept_since}'), 'unsealed', 0), 'events are dropped, the chain over them stays whole');
select is((select count(*) from mesh_data.event where mesh_id = t.proj()), 0::bigint, 'they are gone');
select t.does('commander', 'create_room', '{"name": "later"}');
select mesh_lib.seal_events('0');
select is((t.verify(jsonb_build_object('head', :'head')) ->> 'status'), '200', 'it goes on from there');
select is(t.found('update mesh_data.seal set sealed_at = sealed_at - interval ''1 day'' where mesh_id = t.proj() and number = 2'), '2: the seal was edited', 'and an old seal is still watched');

select finish();
rollback;
