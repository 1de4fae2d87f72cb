-- The log: what is in it, who sees what of it, in which order, and what a window may report.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.open('commander'), t.open('backend'), t.open('designer');

create function t.events(who text, arguments jsonb default '{}', mesh text default null) returns jsonb language sql volatile as $$
  select t.does(who, 'list_events', arguments, coalesce(mesh, case who when 'alice' then 'proj' when 'carol' then 'alice/proj' end))
$$;
-- Kinds with who did it, in order.
create function t.kinds(events jsonb) returns text language sql immutable as $$
  select coalesce(string_agg((e.value ->> 'event') || coalesce(' ' || (e.value ->> 'by'), ''), ', ' order by e.ordinality), '') from jsonb_array_elements(events) with ordinality e
$$;

-- A status

select t.does('backend', 'set_status', '{"status": "working"}'), t.does('backend', 'set_status', '{"status": "working"}'), t.does('backend', 'set_status', '{"status": "dnd"}');
select is(t.events('alice', '{"kind": "status"}') #> '{0,detail}', '{"from": "idle", "to": "working"}', 'a status that changed is an event, with what it was');
select is(t.kinds(t.events('designer', '{"kind": "status_changed"}')), 'status_changed backend, status_changed backend', 'one that did not is none; everybody in the mesh sees it');
select is(t.kinds(t.events('alice', '{"kind": "status"}')), 'status_changed backend, status_changed backend', 'a kind may be asked for by the words it begins with');
select is(t.kinds(t.events('alice', '{"kind": "stat"}')), '', 'by whole words');
select t.does('backend', 'set_status', '{"status": "idle"}');

-- What the mesh agrees on, its work, and what is being edited

select t.does('backend', 'set_state', '{"key": "target", "value": "a secret place"}'), t.does('designer', 'set_state', '{"key": "target", "value": 2}'), t.does('designer', 'delete_state', '{"key": "target"}');
select is(t.kinds(t.events('commander', '{"kind": "state"}')), 'state_set backend, state_set designer, state_deleted designer', 'a key is set, set again and deleted');
select is((select jsonb_agg(e -> 'detail') from jsonb_array_elements(t.events('alice', '{"kind": "state"}')) e),
  '[{"key": "target", "version": 1}, {"key": "target", "version": 2}, {"key": "target", "version": 3}]', 'to what is not told');
select t.does('backend', 'create_task', '{"title": "port the header"}') ->> 'task' as number \gset
select t.does('backend', 'claim_task', jsonb_build_object('task', :number)), t.does('backend', 'complete_task', jsonb_build_object('task', :number, 'result', 'ported'));
select is(t.kinds(t.events('designer', '{"kind": "task"}')), 'task_created backend, task_claimed backend, task_completed backend', 'the steps of a task');
select is(t.events('designer', '{"kind": "task_claimed"}') #> '{0,detail}', jsonb_build_object('task', :number, 'title', 'port the header'), 'with its number and title');
select t.does('backend', 'claim_paths', '{"patterns": ["src/**"], "ttl": 600, "reason": "porting"}') ->> 'claim_id' as claim \gset
select t.does('backend', 'renew_claim', jsonb_build_object('claim_id', :'claim', 'ttl', 700)), t.does('backend', 'release_claim', jsonb_build_object('claim_id', :'claim'));
select is(t.kinds(t.events('designer', '{"kind": "claim"}')), 'claim_made backend, claim_renewed backend, claim_released backend', 'a claim is made, renewed and released');
select is((t.events('designer', '{"kind": "claim_made"}') #> '{0,detail}') - 'until', jsonb_build_object('claim_id', :'claim', 'patterns', '["src/**"]'::jsonb, 'exclusive', true), 'with its patterns');
select is(t.kinds(t.events('carol', '{"kind": "session"}')), 'session_opened commander, session_opened backend, session_opened designer', 'windows open');
select t.does('commander', 'close_session', '{}', null, t.window('commander'));
select is(t.events('alice', '{"kind": "session_ended"}') #>> '{0,detail,why}', 'the window was closed', 'and end, with why');

-- A message

select t.send('backend', 'designer', 'the secret plan') as m \gset
select is(t.kinds(t.events('alice', '{"kind": "message"}')), 'message_sent backend', 'a message is sent: the owner sees it');
select is(t.events('alice', '{"kind": "message"}') #>> '{0,event_id}', :'m', 'its id is the message''s');
select is(t.events('alice', '{"kind": "message"}') #> '{0,detail}', jsonb_build_object('message_id', :'m', 'from', 'backend', 'to', 'designer', 'priority', 'next', 'recipients', 1), 'with whom it is for');
select is(t.kinds(t.events('designer', '{"kind": "message"}')), '', 'its recipient does not have it yet');
select t.receipt('designer', :'m');
select is(t.kinds(t.events(w.who, '{"kind": "message"}')), w.expected, w.who || ' sees of a delivered message: ' || w.expected)
from (values ('alice', 'message_sent backend, message_delivered designer'), ('backend', 'message_sent backend, message_delivered designer'), ('designer', 'message_delivered designer'),
  ('commander', ''), ('carol', '')) w (who, expected);
select t.does('designer', 'ack_messages', jsonb_build_object('message_ids', jsonb_build_array(:'m')));
select is(t.kinds(t.events('alice', '{"kind": "message"}')), 'message_sent backend, message_delivered designer, message_acknowledged designer', 'the same, acknowledged');
select is(t.events('alice', '{"kind": "message_acknowledged"}') #> '{0,detail}', jsonb_build_object('message_id', :'m', 'from', 'backend', 'to', 'designer'), 'a step says of which message it is');
select is(t.kinds(t.events('alice', '{"kind": "message", "agent": "designer"}')), 'message_delivered designer, message_acknowledged designer', 'of one agent');
select is(t.kinds(t.events('backend', '{"kind": "message", "agent": "designer"}')), 'message_delivered designer, message_acknowledged designer', 'a sender asks so what became of its mail');
select is(t.kinds(t.events('commander', '{"kind": "message", "agent": "designer"}')), '', 'others do not');
select is((select string_agg(e ->> 'event_id', ',') from jsonb_array_elements(t.events('alice')) e) , (select string_agg(e ->> 'event_id', ',') from jsonb_array_elements(t.events('alice')) e), 'an event has the same id each time');
select t.send('commander', 'designer', 'too late', '{"expires_in": 1}') as late \gset
select t.pass('2 seconds');
select t.attempt('mesh_relay', 'select mesh_lib.tick()');
select is(t.kinds(t.events('alice', '{"kind": "message_expired"}')), 'message_expired designer', 'one that nobody took expires');
select t.send('commander', 'designer', 'no good') as bad \gset
select t.does('designer', 'release_messages', jsonb_build_object('message_ids', jsonb_build_array(:'bad'), 'reason', 'cannot', 'retry_after', 0)) from generate_series(1, 5);
select is(t.events('alice', '{"kind": "message_dead"}') #> '{0,detail}', jsonb_build_object('message_id', :'bad', 'from', 'commander', 'to', 'designer', 'reason', 'cannot', 'attempts', 5), 'one that was given back five times is dead, with the reason');
select is(t.kinds(t.events('commander', '{"kind": "message_dead"}')), 'message_dead designer', 'its sender sees that');
select is(strpos(t.events('alice', '{"limit": 500}')::text, 'secret plan'), 0, 'no event has the text of a message');

-- Who sees what

select t.does('designer', 'report_tool', '{"tool": "Bash", "seconds": 0.25}'), t.does('backend', 'report_tool', '{"tool": "Edit", "ok": false}');
select is(t.events('alice', '{"kind": "tool_used"}') #> '{0,detail}', '{"tool": "Bash", "ok": true, "seconds": 0.250}', 'what a window reported');
select is(t.kinds(t.events(w.who, '{"kind": "tool_used"}')), w.expected, w.who || ' sees of tools: ' || w.expected)
from (values ('alice', 'tool_used designer, tool_used backend'), ('designer', 'tool_used designer'), ('backend', 'tool_used backend'), ('commander', ''), ('carol', '')) w (who, expected);
select ok(t.kinds(t.events('alice')) like '%invite_created%agent_key_created%' or t.kinds(t.events('alice')) like '%agent_key_created%invite_created%', 'the owner sees who was let in');
select is(t.kinds(t.events(w.who, '{"kind": "invite"}')), '', w.who || ' does not') from (values ('commander'), ('backend'), ('designer'), ('carol')) w (who);
select ok(t.kinds(t.events('designer')) like '%agent_created%', 'everybody sees what the mesh as a whole knows');
select is(t.kinds(t.events('scout', '{"limit": 500}')) like '%backend%', false, 'another mesh sees nothing of it');
select is(t.attempt_as(w, 'select count(*) from mesh_data.event', case w when 'alice' then 'proj' end), '42501', w || ' does not read the log as a table') from unnest(array['alice', 'backend']) w;
select is(t.attempt_as('backend', s), '42501', 'nor: ' || s) from unnest(array['delete from mesh_data.event', 'update mesh_data.event set kind = kind', 'update mesh_data.event set seal_number = 1']) s;

-- Pages

select is((select string_agg(p, '') from (
  with recursive page as (
    select t.events('alice', '{"limit": 3}') as e
    union all select t.events('alice', jsonb_build_object('limit', 3, 'before', p.e #> '{0,event_id}')) from page p where jsonb_array_length(p.e) > 0
  ) select (select string_agg(x ->> 'event_id', ' ' order by o desc) || ' ' from jsonb_array_elements(e) with ordinality x (x, o)) as p from page) q),
  (select string_agg(x ->> 'event_id', ' ' order by o desc) || ' ' from jsonb_array_elements(t.events('alice', '{"limit": 500}')) with ordinality x (x, o)), 'pages of three are the whole, each once');
select is((select bool_and(ok) from (select x ->> 'event_id' > lag(x ->> 'event_id') over (order by o) and (x ->> 'happened_at')::timestamptz >= lag((x ->> 'happened_at')::timestamptz) over (order by o) as ok
  from jsonb_array_elements(t.events('alice', '{"limit": 500}')) with ordinality x (x, o)) y), true, 'in the order of time, which is that of ids');
select is(t.kinds(t.events('alice', jsonb_build_object('since', mesh_lib.now() - interval '1 hour', 'kind', 'status'))), t.kinds(t.events('alice', '{"kind": "status"}')), 'since a time');
select is(t.events('alice', jsonb_build_object('since', mesh_lib.now() + interval '1 hour')), '[]', 'since a time to come: nothing');
select is(t.events('alice', jsonb_build_object('since', s, 'kind', 'status')), e, 'since ' || s) from (values ('20000-01-01', '[]'::jsonb), ('1900-01-01', t.events('alice', '{"kind": "status"}'))) w (s, e);
select t.refuses('a limit of ' || n, 400, 'alice', 'list_events', jsonb_build_object('limit', n), 'proj') from unnest(array[0, -1, 501]) n;
select t.refuses('a kind that is none', 400, 'alice', 'list_events', '{"kind": "%"}', 'proj');
select t.refuses('an agent who is not there', 404, 'alice', 'list_events', '{"agent": "nobody"}', 'proj');
select t.refuses('an event''s id is no cursor', 400, 'alice', 'list_events', jsonb_build_object('after', t.events('alice') #> '{0,event_id}'), 'proj');

-- Going on

select t.events('alice') #>> '{0,cursor}' as cursor \gset
select t.does('commander', 'create_room', '{"name": "hall"}');
select t.send('commander', 'designer', 'after that') as m2 \gset
select ok(t.kinds(t.events('alice', jsonb_build_object('after', :'cursor'))) like '%room_created commander, message_sent commander', 'what happened after an answer');
select is(t.kinds(t.events('alice', jsonb_build_object('after', :'cursor', 'kind', 'room'))), 'room_created commander', 'of one kind');

-- What a window may report

select t.refuses('a tool without a name', 400, 'backend', 'report_tool', '{"tool": " "}');
select t.refuses('a name of 101 characters', 413, 'backend', 'report_tool', jsonb_build_object('tool', repeat('x', 101)));
select t.refuses('a name of two lines', 400, 'backend', 'report_tool', '{"tool": "a\nb"}');
select t.refuses('a time before it began', 400, 'backend', 'report_tool', '{"tool": "x", "seconds": -1}');
select count(t.does('backend', 'report_tool', '{"tool": "x"}')) from generate_series(1, 119);
select t.refuses('the 121st in a minute', 429, 'backend', 'report_tool', '{"tool": "x"}');
select t.works('but not of another agent', 'designer', 'report_tool', '{"tool": "x"}');
select t.pass('70 seconds');
select t.works('and it may a minute later', 'backend', 'report_tool', '{"tool": "x"}');

select finish();
rollback;
