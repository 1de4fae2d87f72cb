-- Tasks: who may do what, leases, dependencies, notices and history.
begin;
\ir helpers.psql
select no_plan();
select t.world();
update mesh_data.setting set turns_per_minute = 0;
create function t.task(who text, title text, extra jsonb default '{}', mesh text default null) returns integer language sql volatile as $$
  select (t.does(who, 'create_task', jsonb_build_object('title', title) || extra, mesh) ->> 'task')::integer
$$;
create function t.step(who text, function text, task integer, extra jsonb default '{}', mesh text default null) returns jsonb language sql volatile as $$
  select t.call(who, function, jsonb_build_object('task', task) || extra, mesh)
$$;
-- The status of the answer, and what it says.
create function t.said(answer jsonb) returns text language sql immutable as $$ select concat_ws(': ', answer ->> 'status', answer #>> '{answer,message}') $$;
create function t.state(task integer) returns text language sql volatile as $$
  select concat_ws(' ', s ->> 'status', s ->> 'claimant', s ->> 'why') from (select t.does('commander', 'get_task', jsonb_build_object('task', task)) as s) s
$$;
create function t.steps(task integer) returns text language sql volatile as $$
  select string_agg(concat_ws(' ', h.value ->> 'step', h.value ->> 'agent', '(' || (h.value ->> 'note') || ')'), ', ' order by h.ordinality)
  from jsonb_array_elements(t.does('commander', 'get_task', jsonb_build_object('task', task)) -> 'history') with ordinality h
$$;
create function t.tasks(who text, arguments jsonb default '{}', mesh text default null) returns text language sql volatile as $$
  select string_agg(k.value ->> 'task', ' ' order by k.ordinality) from jsonb_array_elements(t.does(who, 'list_tasks', arguments, mesh)) with ordinality k
$$;
create function t.tick() returns text language sql volatile as $$ select t.attempt('mesh_relay', 'select mesh_lib.tick()') $$;

-- Making
select t.does('commander', 'create_task', '{"title": " port the header ", "details": "line one\nline two", "assignee": "Backend", "priority": "HIGH", "tags": ["Web", "#web", "css"]}') as made \gset
select ok(:'made'::jsonb @> '{"task": 1, "title": "port the header", "assignee": "backend", "priority": "high", "tags": ["css", "web"], "status": "open", "why": null, "next": "mesh task show 1"}', 'a task is made, and says what it is');
select is(t.take('backend'), 'task 1 was given to you: port the header', 'who is given it hears so');
select is(t.does('backend', 'check_messages', '{"peek": true}') ->> 'unread', '0', 'once');
select is(t.does('designer', 'create_task', '{"title": "for anybody"}') ->> 'next', 'mesh task claim 2', 'numbers follow each other');
select is(t.task('scout', 'in another mesh'), 1, 'each mesh has its own');
select is(t.task('carol', 'of a member', '{}', 'alice/proj'), 3, 'a member with an account makes one, too');
select is(t.does('backend', 'create_task', '{"title": "for myself", "assignee": "backend"}') -> 'notices', '[]', 'nobody is told what it did itself');
select t.does('backend', 'create_task', '{"title": "once", "request_id": "6f0f2f1e-0000-4000-8000-000000000001", "assignee": "designer"}');
select is(t.does('backend', 'create_task', '{"title": "once", "request_id": "6f0f2f1e-0000-4000-8000-000000000001", "assignee": "designer"}') ->> 'task', '5', 'a call that is made again makes no second task');
select is(t.take('designer'), 'task 5 was given to you: once', 'and tells nobody twice');
select t.refuses(b.fact, b.status, 'backend', 'create_task', '{"title": "x"}' || b.arguments::jsonb) from (values
  ('no title', 400, '{"title": "  "}'), ('a title of two lines', 400, '{"title": "a\nb"}'), ('a long title', 413, jsonb_build_object('title', repeat('x', 201))::text), ('long details', 413, jsonb_build_object('details', repeat('x', 20001))::text),
  ('a priority that is none', 400, '{"priority": "now"}'), ('21 tags', 413, jsonb_build_object('tags', array(select 't' || n from generate_series(1, 21) n))::text), ('a long tag', 413, jsonb_build_object('tags', array[repeat('x', 64)])::text),
  ('an unknown assignee', 404, '{"assignee": "nobody"}'), ('an agent of another mesh', 404, '{"assignee": "scout"}'), ('an unknown room', 404, '{"room": "nowhere"}'), ('an unknown task to wait for', 404, '{"depends_on": [1, 99]}'),
  ('51 tasks to wait for', 413, jsonb_build_object('depends_on', array(select n from generate_series(1, 51) n))::text), ('a word for a task', 400, '{"depends_on": ["one"]}'), ('a number that is none', 400, '{"depends_on": [99999999999]}')) b (fact, status, arguments);

-- Claiming
select is(t.said(t.step('designer', 'claim_task', 1)), '403: task 1 was given to backend', 'what was given to another is not had');
select t.step('backend', 'claim_task', 1) -> 'answer' as claimed \gset
select ok(:'claimed'::jsonb @> '{"task": 1, "details": "line one\nline two", "created_by": "commander", "depends_on": [], "next": "mesh task complete 1 \"…\""}', 'who claims is told all of it');
select is(t.state(1), 'claimed backend', 'and has it');
select ok(t.said(t.step('commander', 'claim_task', 1)) ~ '^409: backend has task 1 since \d{4}-', 'nobody else gets it');
select is(t.step('backend', 'claim_task', 1) ->> 'status', '200', 'who has it may claim it again');
select is(t.steps(1), 'created commander, claimed backend', 'which is no step');
select is(t.said(t.step('backend', 'claim_task', 99)), '404: there is no task 99 in this mesh', 'what is not there');
select is(t.said(t.step('visitor', 'claim_task', 2)), '404: there is no task 2 in this mesh', 'what is in another mesh is not there');
select t.task('commander', 'urgent', '{"priority": "urgent"}'), t.task('commander', 'low, for the guest', '{"priority": "low", "assignee": "designer"}');
select is(t.call('designer', 'claim_task') #>> '{answer,task}', '5', 'the next: what was given to one');
select is(t.call('designer', 'claim_task') #>> '{answer,task}', '7', 'however little it matters');
select is(t.call('designer', 'claim_task') #>> '{answer,task}', '6', 'then what is most urgent');
select is(t.call('designer', 'claim_task') #>> '{answer,task}', '2', 'then what is oldest');
select is(t.call('designer', 'claim_task') #>> '{answer,task}', '3', 'and so on');
select is(t.said(t.call('designer', 'claim_task')), '404: there is no task now that you could claim', 'what was given to others is not in line');
select is(t.call('scout', 'claim_task') #>> '{answer,task}', '1', 'each mesh has its own line');

-- Getting on
select t.take('commander'), t.take('designer');
select is(t.step('backend', 'update_task', 1, '{"progress": 40, "note": "half way"}') -> 'answer' ->> 'progress', '40', 'who has it says how it gets on');
select is(t.said(t.step('designer', 'update_task', 1, '{"progress": 50}')), '403: backend has task 1: only it, or the owner of the mesh, may do that', 'nobody else does');
select is(t.step('alice', 'update_task', 1, '{"progress": 45}', 'proj') ->> 'status', '200', 'but the owner');
select is(t.step('designer', 'update_task', 1, '{"note": "mind the\nmenu"}') ->> 'status', '200', 'anybody notes something');
select is(t.steps(1), 'created commander, claimed backend, updated backend (40 %: half way), updated alice (45 %), updated designer (mind the
menu)', 'all of it is kept');
select t.refuses(b.fact, b.status, 'backend', 'update_task', '{"task": 1}' || b.arguments::jsonb) from (values
  ('nothing new', 400, '{}'), ('an empty note', 400, '{"note": ""}'), ('more than all', 400, '{"progress": 101}'), ('less than nothing', 400, '{"progress": -1}'), ('a long note', 413, jsonb_build_object('note', repeat('x', 2001))::text),
  ('an unknown task', 404, '{"task": 99, "note": "x"}'), ('a text for a number', 400, '{"task": "1", "note": "x"}')) b (fact, status, arguments);

-- Ending
select is(t.said(t.step('designer', 'complete_task', 1, '{"result": "x"}')), '403: backend has task 1: only it, or the owner of the mesh, may do that', 'only who has it completes it');
select is(t.said(t.step('commander', 'fail_task', 1, '{"reason": "x"}')), '403: backend has task 1: only it, or the owner of the mesh, may do that', 'or fails it; who made it and who may manage do not');
select is(t.said(t.step('designer', 'release_task', 1)), '403: backend has task 1: only it, or the owner of the mesh, may do that', 'or gives it back');
select is(t.said(t.step('scout', 'complete_task', 2, '{"result": "x"}')), '404: there is no task 2 in this mesh', 'in another mesh there is none to end');
select is(t.said(t.step('backend', 'complete_task', 4, '{"result": "x"}')), '409: nobody has task 4 now: claim it first', 'what nobody has is claimed first');
select is(t.said(t.step('backend', 'release_task', 4)), '409: nobody has task 4 now: claim it first', 'also to give it back');
select t.refuses('a result of nothing', 400, 'backend', 'complete_task', '{"task": 1, "result": " "}');
select t.refuses('a long result', 413, 'backend', 'complete_task', jsonb_build_object('task', 1, 'result', repeat('x', 20001)));
select t.refuses('no reason', 400, 'backend', 'fail_task', '{"task": 1, "reason": ""}');
select t.refuses('a long reason', 413, 'backend', 'fail_task', jsonb_build_object('task', 1, 'reason', repeat('x', 501)));
select t.step('backend', 'complete_task', 1, '{"result": "done,\nsee branch header"}') as completed \gset
select ok(:'completed'::jsonb #> '{answer}' @> '{"task": 1, "status": "completed", "free": [], "next": "mesh task claim"}', 'a task is completed');
select is(t.take('commander'), 'task 1 completed: port the header (backend: done, see branch header)', 'who made it hears of it');
select is(t.step('backend', 'complete_task', 1, '{"result": "done,\nsee branch header"}') #>> '{answer,finished_at}', :'completed'::jsonb #>> '{answer,finished_at}', 'said again, it is answered again');
select is(t.take('commander'), '', 'and nobody is told again');
select is(t.said(t.step('backend', 'complete_task', 1, '{"result": "otherwise"}')), '410: task 1 is completed already', 'said otherwise, it is refused');
select is(t.said(t.step('backend', 'fail_task', 1, '{"reason": "x"}')), '410: task 1 is completed already', 'so is failing it');
select is(t.said(t.step('backend', 'release_task', 1)), '410: task 1 is completed already', 'giving it back');
select is(t.said(t.step('backend', 'claim_task', 1)), '410: task 1 is completed already', 'and claiming it');
select is(t.step('backend', 'update_task', 1, '{"note": "afterwards"}') ->> 'status', '200', 'but something may be noted');
select is(t.does('designer', 'get_task', '{"task": 1}') -> 'progress', '100', 'what is completed is done');
select is(t.step('designer', 'fail_task', 5, '{"reason": "no way"}') #>> '{answer,status}', 'failed', 'a task fails');
select is(t.take('backend'), 'task 5 failed: once (designer: no way)', 'which who made it hears, too');
select is(t.step('designer', 'fail_task', 5, '{"reason": "no way"}') ->> 'status', '200', 'twice without harm');
select is(t.said(t.step('designer', 'complete_task', 5, '{"result": "x"}')), '410: task 5 is failed already', 'it is over');
select is(t.step('alice', 'complete_task', 6, '{"result": "I did"}', 'proj') #>> '{answer,status}', 'completed', 'the owner completes what another has');
select is(t.take('commander') || ' / ' || t.take('designer'), 'task 6 completed: urgent (alice: I did) / task 6 completed: urgent (alice: I did)', 'who made it and who had it hear so');
select is(t.step('alice', 'complete_task', 6, '{"result": "I did"}', 'proj') ->> 'status', '200', 'twice without harm');
select is(t.step('alice', 'fail_task', 4, '{"reason": "not needed"}', 'proj') ->> 'status', '200', 'the owner ends what nobody has');
select is(t.said(t.step('carol', 'complete_task', 2, '{"result": "x"}', 'alice/proj')), '403: designer has task 2: only it, or the owner of the mesh, may do that', 'another member with an account does not');

-- Giving back
select t.take('backend');
select is(t.step('designer', 'release_task', 7, '{"reason": "no time"}') #>> '{answer,status}', 'open', 'who has a task gives it back');
select is(t.take('commander'), 'task 7 is open again: low, for the guest (designer: no time)', 'who made it hears so');
select is(t.call('backend', 'claim_task') #>> '{answer,task}', '7', 'then anybody may have it, also what was given to one');
select is(t.steps(7), 'created commander, claimed designer, released designer (no time), claimed backend', 'its history says so');
select is(t.step('alice', 'release_task', 7, '{}', 'proj') ->> 'status', '200', 'the owner takes it back');
select is(t.take('backend'), 'task 7 is open again: low, for the guest (alice)', 'and who had it hears so');
select is(t.said(t.step('alice', 'release_task', 7, '{}', 'proj')), '409: nobody has task 7', 'once');

-- What waits for others. 8 is first, 9 and 10 wait for it, 11 for both of those.
select t.task('commander', 'first'), t.task('commander', 'second', '{"depends_on": [8], "assignee": "designer"}'), t.task('commander', 'third', '{"depends_on": [8, 8], "assignee": "backend", "priority": "urgent"}'),
  t.task('designer', 'last', '{"depends_on": [9, 10], "assignee": "backend"}');
select t.take('designer'), t.take('backend');
select is(t.state(9), 'blocked waits for task 8', 'a task waits');
select is(t.state(11), 'blocked waits for task 9, waits for task 10', 'for all it depends on');
select is(t.said(t.step('backend', 'claim_task', 10)), '409: task 10 is blocked: waits for task 8', 'it cannot be claimed');
select is(t.said(t.step('alice', 'claim_task', 10, '{}', 'proj')), '409: task 10 is blocked: waits for task 8', 'nor by the owner');
select is(t.said(t.step('alice', 'complete_task', 10, '{"result": "x"}', 'proj')), '409: task 10 is blocked: waits for task 8', 'nor completed');
select is(t.call('backend', 'claim_task') #>> '{answer,task}', '8', 'what waits is not in line');
select is(t.step('backend', 'complete_task', 8, '{"result": "x"}') #> '{answer,free}', '[9, 10]', 'what waited for it alone can begin');
select is(t.take('designer') || ' / ' || t.take('backend'), 'task 9 can begin: second / ', 'and who is to do it hears so, but who did that');
select is(t.state(10) || ', ' || t.state(11), 'open, blocked waits for task 9, waits for task 10', 'the rest waits on');
select is((select string_agg(d ->> 'task', ' ') from jsonb_array_elements(t.does('backend', 'get_task', '{"task": 8}') -> 'needed_by') d), '9 10', 'a task says who needs it');
select is(t.does('backend', 'get_task', '{"task": 9}') -> 'depends_on', '[{"task": 8, "title": "first", "status": "completed", "result": "x"}]', 'and what it depends on, with the results');
update mesh_data.task set result = repeat('y', 3000) where number = 8;
select is(length(t.does('backend', 'get_task', '{"task": 9}') #>> '{depends_on,0,result}'), 2001, 'of a long one the beginning');
update mesh_data.task set result = 'x' where number = 8;
select t.step('designer', 'claim_task', 9), t.step('backend', 'claim_task', 10), t.take('designer');
select t.step('designer', 'fail_task', 9, '{"reason": "no"}');
select is(t.state(11), 'blocked task 9 failed, waits for task 10', 'what depends on a task that failed stays blocked, and says so');
select is(t.take('backend') || ' / ' || t.take('designer'), 'task 11 blocked by task 9, which failed: last / ', 'as who is to do it hears');
select is(t.said(t.step('backend', 'claim_task', 11)), '409: task 11 is blocked: task 9 failed, waits for task 10', 'and cannot be claimed');
select is(t.said(t.step('backend', 'update_task', 11, '{"depends_on": [10]}')), '403: only designer, who made task 11, or the owner of the mesh, says what it depends on', 'who made it says what it depends on');
select is(t.step('designer', 'update_task', 11, '{"depends_on": [10], "note": "without it"}') #>> '{answer,why}', 'waits for task 10', 'so it can go on without');
select is(t.steps(11), 'created designer (depends on 9, 10), updated designer (depends on 10: without it)', 'which is kept');
select is(t.step('backend', 'complete_task', 10, '{"result": "x"}') #> '{answer,free}', '[11]', 'then it can begin');
select t.step('backend', 'claim_task', 11);
select is(t.said(t.step('designer', 'update_task', 11, '{"depends_on": []}')), '409: task 11 is claimed: what it depends on matters no more', 'while somebody has it this changes no more');

-- Circles
select t.task('commander', 'a'), t.task('commander', 'b', '{"depends_on": [12]}'), t.task('commander', 'c', '{"depends_on": [13]}');
select is(t.said(t.step('commander', 'update_task', 12, '{"depends_on": [12]}')), '409: task 12 cannot wait for itself', 'a task cannot wait for itself');
select is(t.said(t.step('commander', 'update_task', 12, '{"depends_on": [13]}')), '409: task 13 waits for task 12 already, or for one that does: they would wait for each other', 'nor for one that waits for it');
select is(t.said(t.step('commander', 'update_task', 12, '{"depends_on": [8, 14]}')), '409: task 14 waits for task 12 already, or for one that does: they would wait for each other', 'nor for one that waits for such a one');
select is(t.state(12) || ', ' || t.state(13), 'open, blocked waits for task 12', 'what is refused changes nothing');
select is(t.step('alice', 'update_task', 14, '{"depends_on": [12, 13]}', 'proj') ->> 'status', '200', 'two ways to one task are no circle, and the owner says so, too');
select is(t.step('commander', 'update_task', 13, '{"depends_on": []}') #>> '{answer,status}', 'open', 'an empty list is for none');
select is(t.step('commander', 'update_task', 12, '{"depends_on": [13]}') #>> '{answer,status}', 'blocked', 'and then the other way is no circle');
-- Thirty layers of two: a billion ways from the last to the first.
select t.task('commander', 'layer', jsonb_build_object('depends_on', case when n > 1 then jsonb_build_array(13 + n / 2 * 2, 14 + n / 2 * 2) else '[]' end)) from generate_series(0, 59) n;
select is(t.step('commander', 'update_task', 15, jsonb_build_object('depends_on', array[(select max(number) from mesh_data.task)])) ->> 'status', '409', 'a circle over a billion ways is found');
select t.does('alice', 'fail_task', jsonb_build_object('task', n, 'reason', 'layers'), 'proj') from generate_series(12, 74) n;
select t.does('alice', 'fail_task', jsonb_build_object('task', n, 'reason', 'tidied'), 'proj') from unnest(array[2, 3, 7, 11]) n;
select is((select count(*) from mesh_data.task where result = 'layers'), 63::bigint, 'all of them end');
select t.take(w, '{"limit": 100}'), t.take(w, '{"limit": 100}') from unnest(array['commander', 'designer', 'backend']) w;

-- Leases: 75 is of a window, 76 of an agent without one, 77 of a person
select t.task('commander', 'of a window'), t.task('commander', 'without a window'), t.task('commander', 'of a person');
select t.open('backend'), t.presence('backend', 'confirm');
update mesh_data.presence p set relay_id = gen_random_uuid();
select t.step('backend', 'claim_task', 75, '{}'), t.step('designer', 'claim_task', 76), t.step('alice', 'claim_task', 77, '{}', 'proj');
create function t.held() returns text language sql volatile as $$ select t.state(75) || ', ' || t.state(76) || ', ' || t.state(77) $$;
-- A relay ticks and confirms every few seconds, up to then.
create function t.watch(until interval, confirmed boolean default true) returns text language plpgsql volatile as $$
declare
  _at interval := until - interval '3 minutes';
begin
  while _at <= until loop
    perform t.pass(_at);
    if confirmed then
      perform t.presence('backend', 'confirm');
    end if;
    perform t.tick();
    _at := _at + interval '20 seconds';
  end loop;
  return 'watched';
end
$$;
select is(t.does('backend', 'get_task', '{"task": 75}') ->> 'lease_ends_at', null, 'while no relay looks no claim ends');
select t.watch('3 minutes');
select is(round(extract(epoch from (t.does('backend', 'get_task', '{"task": 75}') ->> 'lease_ends_at')::timestamptz - mesh_lib.now()) / 60), 10::numeric, 'a window''s claim ends 10 minutes after it was heard of');
select cmp_ok(round(extract(epoch from (t.does('backend', 'get_task', '{"task": 76}') ->> 'lease_ends_at')::timestamptz - mesh_lib.now()) / 60), '>', 55::numeric, 'that of an agent without one an hour after it was made');
select is(t.does('backend', 'get_task', '{"task": 77}') ->> 'lease_ends_at', null, 'that of a person does not');
select t.watch('30 minutes'), t.watch('33 minutes');
select is(t.held(), 'claimed backend, claimed designer, claimed alice', 'as long as a window is there its claim holds');
select t.watch('36 minutes', false), t.watch('39 minutes', false), t.watch('42 minutes 50 seconds', false);
select is(t.held(), 'claimed backend, claimed designer, claimed alice', 'nine minutes of silence are no end');
select t.pass('43 minutes 10 seconds');
select is(t.state(75) || ' ' || t.steps(75), 'open created commander, claimed backend', 'ten are, also before anybody writes it down');
select is(t.tasks('commander', '{"status": "open"}'), '75', 'it is listed as open');
savepoint silent;
select is(t.call('designer', 'claim_task') #>> '{answer,task}', '75', 'and had by another');
select is(t.steps(75), 'created commander, claimed backend, lapsed backend, claimed designer', 'with the lapse in its history');
select is(t.said(t.step('backend', 'complete_task', 75, '{"result": "x"}')), '403: designer has task 75: only it, or the owner of the mesh, may do that', 'who was away completes it no more');
rollback to silent;
select is(t.step('backend', 'complete_task', 75, '{"result": "just in time"}') ->> 'status', '200', 'who comes back before anybody took it has it still');
rollback to silent;
select is(t.step('backend', 'update_task', 75, '{"note": "still here"}') #>> '{answer,status}', 'claimed', 'and keeps it');
rollback to silent;
select t.watch('45 minutes', false);
select is(t.steps(75), 'created commander, claimed backend, lapsed backend', 'a relay writes it down');
select is(t.said(t.step('backend', 'complete_task', 75, '{"result": "x"}')), '409: nobody has task 75 now: claim it first', 'after which it is claimed anew');
select is(t.step('backend', 'claim_task', 75) ->> 'status', '200', 'by who had it, or another');
select is(t.held(), 'claimed backend, claimed designer, claimed alice', 'the claim without a window holds');
select t.watch('58 minutes');
select is(t.step('designer', 'update_task', 76, '{"progress": 10}') ->> 'status', '200', 'and is renewed by an update');
select t.watch('1 hour 30 minutes'), t.watch('1 hour 33 minutes');
select is(t.held(), 'claimed backend, claimed designer, claimed alice', 'so it holds on');
select t.watch('2 hours 1 minute');
select is(t.held(), 'claimed backend, open, claimed alice', 'for an hour from then');
-- The machine sleeps for eight hours.
select t.pass('10 hours'), t.tick();
select is(t.held(), 'claimed backend, open, claimed alice', 'while nobody looked nobody was gone');
select t.pass('10 hours 1 minute'), t.tick(), t.presence('backend', 'confirm'), t.watch('10 hours 10 minutes');
select is(t.held(), 'claimed backend, open, claimed alice', 'and who comes back has what it had');
select t.does('backend', 'close_session', '{}', null, t.window('backend'));
select t.watch('10 hours 18 minutes', false);
select is(t.state(75), 'claimed backend', 'a window that was closed may be opened again');
select t.watch('10 hours 22 minutes', false);
select is(t.state(75), 'open', 'for ten minutes');
select t.step('designer', 'claim_task', 75), t.task('commander', 'for who goes', '{"assignee": "designer"}');
select t.does('alice', 'remove_agent', '{"agent": "designer"}', 'proj');
select is(t.state(75), 'open', 'the claims of an agent that was removed are over');
select is(t.step('backend', 'claim_task', 78) ->> 'status', '200', 'and what was given to it is for anybody');

-- Listing. To be done are now 75, 76, 77 (alice), 78 (backend) and these.
select t.task('commander', 'x', '{"priority": "low", "tags": ["web"]}'), t.task('commander', 'y', '{"priority": "urgent", "tags": ["web", "css"]}'), t.task('commander', 'z', '{"depends_on": [79], "assignee": "commander"}');
select is(t.tasks('backend', l.arguments::jsonb), l.tasks, 'listed: ' || l.fact) from (values
  ('what is to be done, the most urgent and oldest first', '{}', '80 75 76 77 78 81 79'), ('what is open', '{"status": "open"}', '80 75 76 79'), ('what is blocked', '{"status": "Blocked"}', '81'), ('what is claimed', '{"status": "claimed"}', '77 78'),
  ('of one agent', '{"assignee": "backend"}', '78'), ('what was given to one', '{"assignee": "commander"}', '81'), ('with a tag', '{"tag": "#Web"}', '80 79'), ('with a tag and open', '{"tag": "css", "status": "open"}', '80'),
  ('the first', '{"limit": 3}', '80 75 76'), ('what failed, the newest first', '{"status": "failed", "limit": 3}', '74 73 72'), ('all, the newest first', '{"status": "all", "limit": 4}', '81 80 79 78'), ('nothing', '{"tag": "none"}', null)) l (fact, arguments, tasks);
select is(t.tasks('backend', jsonb_build_object('limit', 3, 'after', k.task_id)), '77 78 81', 'and what comes after') from mesh_data.task k join mesh_data.mesh m using (mesh_id) where m.name = 'proj' and k.number = 76;
select is(t.tasks('backend', jsonb_build_object('status', 'all', 'limit', 3, 'after', k.task_id)), '75 74 73', 'in either order') from mesh_data.task k join mesh_data.mesh m using (mesh_id) where m.name = 'proj' and k.number = 76;
select is(t.tasks('visitor'), '1', 'a guest of another mesh lists its own');
select ok(t.does('backend', 'list_tasks', '{"status": "blocked"}') -> 0 @> '{"task": 81, "title": "z", "status": "blocked", "why": "waits for task 79", "priority": "normal", "assignee": "commander", "claimant": null, "created_by": "commander"}', 'a row says what one wants to know');
select t.refuses(b.fact, b.status, 'backend', 'list_tasks', b.arguments::jsonb) from (values ('a status that is none', 400, '{"status": "done"}'), ('a limit of 0', 400, '{"limit": 0}'), ('a limit of 1,001', 400, '{"limit": 1001}'),
  ('an agent nobody is', 404, '{"assignee": "nobody"}'), ('a cursor that is none', 404, '{"after": "6f0f2f1e-0000-4000-8000-000000000001"}')) b (fact, status, arguments);
select t.refuses('a cursor of another mesh', 404, 'scout', 'list_tasks', jsonb_build_object('after', k.task_id)) from mesh_data.task k join mesh_data.mesh m using (mesh_id) where m.name = 'proj' and k.number = 76;
select t.refuses('a task that is not there', 404, 'backend', 'get_task', '{"task": 999}');
select t.refuses('a task of number 0', 404, 'backend', 'get_task', '{"task": 0}');

-- Notices: rooms, blocks and full inboxes
select t.take(w, '{"limit": 100}'), t.take(w, '{"limit": 100}') from unnest(array['commander', 'backend']) w;
select t.take('alice', '{"limit": 100}') is not null from (select 1) x where false;
select t.does('commander', 'create_room', '{"name": "build", "members": ["alice"]}');
select is(t.does('commander', 'create_task', '{"title": "in a room", "room": "#build", "assignee": "backend"}') -> 'notices' -> 1 ->> 'to', '#build', 'a room gets notices');
select is(t.take('backend'), 'task 82 was given to backend: in a room', 'beside who is given the task');
select is(t.texts(t.does('alice', 'room_history', '{"room": "build"}', 'proj')), 'task 82 was given to backend: in a room', 'where they are kept');
select t.step('backend', 'claim_task', 82);
select is(t.step('backend', 'complete_task', 82, '{"result": "built"}') #> '{answer,notices,1}', '{"to": "#build", "refused": "you are not in #build"}', 'who is not in the room does not speak there, and hears so');
select is(t.take('commander'), 'task 82 completed: in a room (backend: built)', 'who made it is told all the same');
select t.does('commander', 'create_task', '{"title": "for the room", "room": "build"}');
select is(t.texts(t.does('alice', 'room_history', '{"room": "build"}', 'proj')), 'task 82 was given to backend: in a room task 83 was created: for the room', 'what is for anybody is said in the room alone');
select t.does('commander', 'close_room', '{"room": "build"}');
select is(t.step('commander', 'claim_task', 83) ->> 'status' || (t.step('commander', 'complete_task', 83, '{"result": "x"}') #>> '{answer,notices,0,refused}'), '200the room #build is closed', 'a room that was closed stops nothing');
select t.does('alice', 'create_room', '{"name": "other"}', 'proj');
select is((t.call('backend', 'create_task', '{"title": "x", "room": "#other"}') -> 'answer') - 'data', '{"code": "ME403", "message": "you are not in #other", "hint": "mesh room join other"}', 'a task is for a room one is in');
select t.refuses('a room that was closed, for a new task', 410, 'commander', 'create_task', '{"title": "x", "room": "build"}');
select t.does('commander', 'create_room', '{"name": "round", "members": ["backend", "alice"], "mode": "round-robin"}');
select t.does('alice', 'send_message', '{"to": "#round", "message": "I begin"}', 'proj');
select is(t.does('backend', 'create_task', '{"title": "out of turn", "room": "round"}') -> 'notices' -> 0 ->> 'refused', null, 'a notice waits for no turn');
select is(t.call('commander', 'send_message', '{"to": "#round", "message": "my turn"}') ->> 'status', '200', 'and takes none');
select t.step('alice', 'fail_task', k.number, '{"reason": "tidied"}', 'proj') from mesh_data.task k where k.title = 'out of turn';
select t.does('backend', 'block_agent', '{"agent": "commander"}');
select is(t.does('commander', 'create_task', '{"title": "unheard", "assignee": "backend"}') -> 'notices', '[{"to": "backend", "refused": "backend does not take your messages"}]', 'who blocks the caller is not told, and the answer says so');
select is(t.step('backend', 'claim_task', 85) ->> 'status', '200', 'but it has the task');
select t.does('backend', 'unblock_agent', '{"agent": "commander"}');
insert into mesh_data.delivery (message_id, mesh_id, agent_id, sender_agent_id, position)
select mesh_lib.new_id(), a.mesh_id, a.agent_id, a.agent_id, nextval('mesh_data.message_position') from mesh_data.agent a, generate_series(1, 10000) where a.name = 'commander';
select ok(t.step('backend', 'complete_task', 85, '{"result": "x"}') #>> '{answer,notices,0,refused}' like 'the inbox of commander is full%', 'a full inbox stops nothing');
select is(t.state(85), 'completed backend', 'the task is completed');

-- A call that is made again
create function t.again(other jsonb, who text default 'commander') returns jsonb language sql volatile as $$
  select t.call(who, 'create_task', '{"title": "a", "details": "b", "priority": "low", "tags": ["c"], "depends_on": [85, 84], "assignee": "backend", "room": "#round", "request_id": "00000000-0000-4000-8000-000000000001"}' || other)
$$;
select t.again('{}') #>> '{answer,task}' as again \gset
select is(t.again('{"title": " a", "tags": ["#C"], "depends_on": [84, 85, 85]}') #>> '{answer,task}', :'again', 'said in other words it is the same call');
select is(t.said(t.again(c.other)), '409: this request_id was used for another task', c.fact || ' is another call') from (values ('another title', '{"title": "z"}'::jsonb), ('other details', '{"details": null}'),
  ('another priority', '{"priority": "high"}'), ('another tag', '{"tags": ["z"]}'), ('another task to wait for', '{"depends_on": [84]}'), ('another assignee', '{"assignee": null}'), ('another room', '{"room": null}')) c (fact, other);
select is(t.again('{"title": "z"}') #>> '{answer,hint}', 'mesh task show ' || :'again', 'which says what the first one made');
select t.step('commander', 'update_task', :again, '{"depends_on": []}');
select is(t.again('{}') #>> '{answer,task}', :'again', 'also when that has changed since');
select t.does('commander', 'leave_room', '{"room": "round"}');
select is(t.again('{}') #>> '{answer,task}', :'again', 'and when its room is left');
select isnt(t.again('{}', 'backend') #>> '{answer,task}', :'again', 'another agent''s request_id is another');
select t.step('alice', 'fail_task', k.number, '{"reason": "tidied"}', 'proj') from mesh_data.task k where k.title = 'a';

-- Limits
insert into mesh_data.task_step (task_id, mesh_id, step, happened_at) select k.task_id, k.mesh_id, 'updated', mesh_lib.now() from mesh_data.task k join mesh_data.mesh m using (mesh_id), generate_series(1, 1000) where m.name = 'proj' and k.number = 81;
select t.refuses('the 1,001st step', 429, 'backend', 'update_task', '{"task": 81, "note": "x"}');
insert into mesh_data.task (task_id, mesh_id, number, title, created_by_agent_id, created_at, changed_at, priority)
select mesh_lib.new_id(), a.mesh_id, 100 + n, 'x', a.agent_id, mesh_lib.now(), mesh_lib.now(), 3 from mesh_data.agent a, generate_series(1, 9999 - (
  select count(*)::integer from mesh_data.task k join mesh_data.mesh m using (mesh_id) where m.name = 'proj' and k.status in ('open', 'claimed'))) n where a.name = 'backend';
select t.works('the 10,000th unfinished task', 'backend', 'create_task', '{"title": "x"}');
select t.refuses('one more', 429, 'backend', 'create_task', '{"title": "x"}');
-- As after an hour when there was hardly a task: joined the other way round, this takes minutes.
update pg_class set reltuples = 0, relpages = 5 where oid in ('mesh_data.task'::regclass, 'mesh_data.presence'::regclass, 'mesh_data.session'::regclass, 'mesh_data.agent'::regclass)
  or relkind = 'i' and relname in ('task_pkey', 'task_mesh_id_number_key', 'task_unfinished', 'task_claimed', 'task_of_a_request');
set local statement_timeout = '10s';
select is(t.call('backend', 'claim_task') #>> '{answer,task}', '80', 'the next of 10,000 is found, whatever the statistics say');
select is(jsonb_array_length(t.does('backend', 'list_tasks', '{"limit": 100}')), 100, 'and what is to do is listed');
set local statement_timeout = 0;

-- In a sealed mesh notices are the server's own words, and readable to it
select t.does('alice', 'set_mode', jsonb_build_object('mode', 'sealed', 'certificate', t.signed('alice', mesh_lib.now())), 'proj');
select t.step('alice', 'fail_task', 81, '{"reason": "tidied"}', 'proj'), t.take('backend', '{"limit": 100}'), t.take('backend', '{"limit": 100}');
select is(t.does('commander', 'create_task', '{"title": "in secret", "assignee": "backend"}') -> 'notices' -> 0 ->> 'refused', null, 'in a sealed mesh notices are sent as they are');
select ok(t.does('backend', 'check_messages') #> '{messages,0}' @> '{"from": "commander", "message": "task 10094 was given to you: in secret", "envelope": {"notice": true}}', 'and told from what people say');

select finish();
rollback;
