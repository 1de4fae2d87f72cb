-- Asking and answering: ask_agent, reply, broadcast, done, and what agents say of themselves.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.open('commander') as window \gset
select t.open('backend') as backend \gset

create function t.state(message_id uuid, agent text) returns text language sql stable as $$
  select d.state from mesh_data.delivery d join mesh_data.agent a on a.agent_id = d.agent_id where d.message_id = state.message_id and a.name = state.agent
$$;
-- One run of an ask, as the relay makes them: all of one call have the same request_id.
create function t.ask(request_id uuid, "to" text, timeout integer default 5, extra jsonb default '{}') returns jsonb language sql volatile as $$
  select t.does('commander', 'ask_agent', jsonb_build_object('to', "to", 'message', 'which blue?', 'timeout', ask.timeout, 'request_id', ask.request_id) || ask.extra,
    null, t.window('commander'))
$$;
create function t.asked(request_id uuid) returns uuid language sql volatile as $$ select i.message_id from mesh_data.idempotency i where i.key = 'ask ' || asked.request_id $$;
create function t.answer(who text, message_id uuid, message text, extra jsonb default '{}') returns jsonb language sql volatile as $$
  select t.does(who, 'reply', jsonb_build_object('message_id', message_id, 'message', message) || extra, case who when 'alice' then 'proj' end)
$$;
create function t.status_of(who text) returns text language sql volatile as $$ select t.does('designer', 'get_agent_status', jsonb_build_object('agent', who)) ->> 'status' $$;

-- One asks one
select gen_random_uuid() as r \gset
select is(t.ask(:'r', 'designer'), 'null', 'an ask without an answer is null: the relay runs it again');
select t.asked(:'r') as asked \gset
select is(t.take('designer', '{"peek": true}'), 'which blue?', 'the first run sends');
select is(t.ask(:'r', 'designer'), 'null', 'the next has no answer either');
select is(t.take('designer', '{"peek": true}'), 'which blue?', 'and sends nothing more');
select is(t.status_of('commander'), 'waiting', 'who asks is seen as waiting');
select is(t.answer('designer', :'asked', 'the dark one') ->> 'to', 'commander', 'the answer goes to who asked');
select is(t.state(:'asked', 'designer'), 'acknowledged', 'who answers has read the question');
select t.ask(:'r', 'designer') as answered \gset
select is(t.texts(:'answered'::jsonb -> 'answers'), 'the dark one', 'the next run brings the answer');
select ok(:'answered'::jsonb @> jsonb_build_object('message_id', :'asked', 'pending', false, 'waiting_for', '[]'::jsonb, 'next', null, 'unread', 0), 'and says that nobody is left to wait for');
select is(:'answered'::jsonb #>> '{answers,0,reply_to}', :'asked', 'an answer says what it answers');
select is(t.status_of('commander'), 'idle', 'who has its answer waits no more');
select is(t.texts(t.ask(:'r', 'designer') -> 'answers'), 'the dark one', 'a call that is made again, its answer being lost, brings the same');
select is((select count(*) from mesh_data.message m where m.body = 'which blue?'), 1::bigint, 'all of it asked once');
select is(t.take('commander', '{}', :'window'), '', 'the next check finds nothing');
select is((select distinct d.state from mesh_data.delivery d join mesh_data.message m using (message_id) where m.reply_to = :'asked'), 'acknowledged', 'and acknowledges the answer');

-- The first run settles what was taken before, a later one nothing
select t.send('backend', 'commander', 'news') as news \gset
select t.does('commander', 'check_messages', '{}', null, :'window') ->> 'claim' as claim \gset
select gen_random_uuid() as r \gset
select t.ask(:'r', 'designer', 5, jsonb_build_object('seen', array[:'claim']));
select is(t.state(:'news', 'commander'), 'acknowledged', 'an ask acknowledges what the last check returned');
select t.send('backend', 'commander', 'more news') as news \gset
select t.take('commander', '{}', :'window');
select t.ask(:'r', 'designer', 5, jsonb_build_object('seen', array[:'claim']));
select is(t.state(:'news', 'commander'), 'queued', 'a run after the first acknowledges nothing');

-- The time is out; a late answer is mail
select t.ask(:'r', 'designer', 0) as pending \gset
select ok(:'pending'::jsonb @> jsonb_build_object('message_id', t.asked(:'r'), 'pending', true, 'answers', '[]'::jsonb, 'waiting_for', '["designer"]'::jsonb, 'claim', null,
  'next', 'mesh wait --thread ' || t.asked(:'r')), 'when the time is out an ask says that it is pending, and how to go on');
select t.take('commander', '{}', :'window'), t.answer('designer', t.asked(:'r'), 'late');
select is(t.texts(t.does('commander', 'wait', jsonb_build_object('timeout', 5, 'thread', t.asked(:'r')), null, :'window') -> 'messages'), 'late', 'a late answer is waited for by its thread');
select is(t.take('commander', '{}', :'window'), '', 'and is one message');


-- Waiting in a thread that there is not
select t.send('designer', 'backend', 'aside') as aside \gset
select t.refuses(format('waiting %s s for answers to %s', n, w.what), 404, 'commander', 'wait', jsonb_build_object('timeout', n, 'thread', w.thread), null, :'window')
from unnest(array[0, 5]) n, (values ('no message', gen_random_uuid()), ('a message between others', :'aside')) w (what, thread);
select is(t.status_of('commander'), 'idle', 'is no wait that others see');
select is(t.call('designer', 'wait', jsonb_build_object('timeout', 5, 'thread', :'aside')) -> 'answer', 'null', 'its sender waits');
select is(t.texts(t.does('backend', 'wait', jsonb_build_object('timeout', 5, 'thread', :'aside')) -> 'messages'), 'aside', 'its recipient has it at once');
select t.send('backend', 'commander,designer', 'told to both', jsonb_build_object('reply_to', :'aside'));
select is(t.texts(t.does('commander', 'wait', jsonb_build_object('timeout', 5, 'thread', :'aside'), null, :'window') -> 'messages'), 'told to both', 'who is sent an answer to it');
select is(t.call('commander', 'wait', jsonb_build_object('timeout', 5, 'thread', :'aside'), null, :'window') -> 'answer', 'null', 'may wait for the next');
delete from mesh_data.message where message_id = :'aside';
select is(t.texts(t.does('designer', 'wait', jsonb_build_object('timeout', 5, 'thread', :'aside')) -> 'messages'), 'told to both', 'an answer outlives its question');
select is(t.call('designer', 'wait', jsonb_build_object('timeout', 5, 'thread', :'aside')) -> 'answer', 'null', 'and is waited after');
select t.take('designer'), t.take('backend'), t.take('commander', '{}', :'window'), t.does('commander', 'wait', '{"timeout": 0}', null, :'window');

-- One asks several
select gen_random_uuid() as r \gset
select t.ask(:'r', 'designer,backend');
select t.asked(:'r') as asked \gset
select t.answer('backend', :'asked', 'light');
select is(t.ask(:'r', 'designer,backend'), 'null', 'of two who were asked one answer is not all');
select t.ask(:'r', 'designer,backend', 0) as part \gset
select is(t.texts(:'part'::jsonb -> 'answers') || (:'part'::jsonb ->> 'waiting_for') || (:'part'::jsonb ->> 'pending'), 'light["designer"]true', 'when the time is out what has come is given, with who is missing');
select is(t.take('commander', '{}', :'window'), '', 'what was given does not come again');
select gen_random_uuid() as r \gset
select t.ask(:'r', 'designer,backend');
select t.answer('backend', t.asked(:'r'), 'light'), t.answer('designer', t.asked(:'r'), 'dark');
select is(t.texts(t.ask(:'r', 'designer,backend') -> 'answers'), 'light dark', 'two answers are all');
select t.send('backend', 'commander', 'between');
select gen_random_uuid() as r \gset
select t.ask(:'r', 'designer'), t.answer('designer', t.asked(:'r'), 'blue');
select is(t.ask(:'r', 'designer') ->> 'unread', '1', 'other mail is left alone and counted');
select is(t.take('commander', '{}', :'window'), 'between', 'and there for the next check');

-- An answer somebody took on the way still ends the ask
select gen_random_uuid() as r \gset
select t.ask(:'r', 'designer'), t.answer('designer', t.asked(:'r'), 'taken'), t.take('commander', '{}', :'window'), t.take('commander', '{}', :'window');
select is(t.texts(t.ask(:'r', 'designer') -> 'answers'), 'taken', 'an answer that was taken meanwhile is an answer');

-- Refusals
select is(t.call('commander', 'ask_agent', '{"to": "designer", "message": "x", "timeout": 9}') #>> '{answer,pending}', 'true', 'without a request_id it does not wait: run again it would ask again');
select t.does('bob', 'create_mesh', '{"name": "empty", "mode": "open"}');
select t.refuses('asking nobody', 404, 'bob', 'ask_agent', '{"to": "*", "message": "x"}', 'empty');
select is((select count(*) from mesh_data.message m join mesh_data.mesh e using (mesh_id) where e.name = 'empty'), 0::bigint, 'and nothing is sent');
select t.refuses('asking oneself', 400, 'commander', 'ask_agent', '{"to": "commander", "message": "x"}');
select t.refuses('asking an unknown agent', 404, 'commander', 'ask_agent', jsonb_build_object('to', 'nobody', 'message', 'x', 'request_id', gen_random_uuid()));
select t.refuses('another question under the same request_id', 409, 'commander', 'ask_agent', jsonb_build_object('to', 'designer', 'message', 'another', 'request_id', :'r'));
select t.refuses('a wait that is too long', 400, 'commander', 'ask_agent', '{"to": "designer", "message": "x", "timeout": 56}');
select is((select a.value ->> 'type' from mesh_lib.callable c, jsonb_array_elements(c.description::jsonb -> 'arguments') a where c.name = 'ask_agent' and a.value ->> 'name' = 'request_id'), 'mesh.request_id', 'clients learn from the type to fill the request_id in');

-- Reply
select t.take('designer'), t.take('designer'), t.take('backend'), t.take('backend'), t.take('commander'), t.take('commander'), t.take('commander', '{}', :'window'), t.take('commander', '{}', :'window');
select t.send('designer', '*', 'all') as all \gset
select t.answer('backend', :'all', 'to you') as reply \gset
select is(:'reply'::jsonb ->> 'to', 'designer', 'an answer to a broadcast goes to its sender');
select isnt(:'reply'::jsonb ->> 'message_id', :'all', 'and has an id of its own');
select is(t.does('designer', 'check_messages', '{"peek": true}') #>> '{messages,0,reply_to}', :'all', 'it says what it answers');
select is(t.state(:'all', 'backend') || ' ' || t.state(:'all', 'commander'), 'acknowledged queued', 'and acknowledges that message for who answered');
select is(t.answer('commander', :'all', 'once', '{"key": "r"}') ->> 'duplicate' || (t.answer('commander', :'all', 'once', '{"key": "r"}') ->> 'duplicate'), 'falsetrue', 'with a key a repeated answer is one');
select t.take('designer'), t.take('designer');
select t.send('designer', 'backend', 'one') as one \gset
select t.send('designer', 'backend', 'two') as two \gset
select t.take('backend', '{}', :'backend');
select t.does('backend', 'reply', jsonb_build_object('message_id', :'two', 'message', 'yes'), null, :'backend');
select is(t.state(:'one', 'backend'), 'acknowledged', 'an answer acknowledges what the last check returned');
select t.refuses('who is no party to a message does not answer it: ' || w, 404, w, 'reply', jsonb_build_object('message_id', :'two', 'message', 'x')) from unnest(array['commander', 'scout']) w;
select t.refuses('nor one that is not there', 404, 'backend', 'reply', jsonb_build_object('message_id', gen_random_uuid(), 'message', 'x'));
select t.refuses('nor one''s own', 400, 'designer', 'reply', jsonb_build_object('message_id', :'two', 'message', 'x'));
select is(t.call('designer', 'reply', jsonb_build_object('message_id', m, 'message', 'x')) #>> '{answer,hint}', h, 'which says how to send another') from (values (:'all'::uuid, $$mesh send '*' "…"$$), (:'two', 'mesh send backend "…"')) c (m, h);
select t.refuses('an empty answer', 400, 'backend', 'reply', jsonb_build_object('message_id', :'two', 'message', ''));
select t.open('designer', ' again', '{"takeover": true}');
select is(t.answer('backend', :'one', 'late') ->> 'to', 'designer', 'an answer reaches the agent in whatever window');
select is(t.take('designer'), 'yes late', 'where it is read');
select t.agent('alice', 'proj', 'shortlived'), t.send('shortlived', 'backend', 'bye') as bye \gset
select t.answer('backend', :'bye', 'farewell', '{"key": "bye"}') ->> 'message_id' as farewell \gset
select t.does('alice', 'edit_agent', '{"agent": "shortlived", "name": "shorter"}', 'proj');
select is(t.answer('backend', :'bye', 'farewell', '{"key": "bye"}') ->> 'message_id', :'farewell', 'a repeated answer is the same one, whatever its sender is called now');
select t.does('alice', 'remove_agent', '{"agent": "shorter"}', 'proj');
select is(t.answer('backend', :'bye', 'farewell', '{"key": "bye"}') ->> 'message_id', :'farewell', 'or removed');
select t.refuses('an answer to an agent that was removed', 410, 'backend', 'reply', jsonb_build_object('message_id', :'bye', 'message', 'x'));
select t.agent('alice', 'proj', 'shortlived', true, 'another of that name');
select t.refuses('also when another has its name', 410, 'backend', 'reply', jsonb_build_object('message_id', :'bye', 'message', 'x'));

-- In a room
select t.does('designer', 'create_room', '{"name": "hall", "members": ["backend", "commander"]}');
select t.take('backend', '{}', :'backend'), t.take('backend', '{}', :'backend');
select t.send('designer', '#hall', 'build it') as task \gset
select is(t.answer('backend', :'task', 'I do') ->> 'to', '#hall', 'an answer to what was said in a room goes to the room');
select t.send('designer', '#hall', 'and that') as task \gset
select t.take('backend', '{}', :'backend');
select is(t.does('backend', 'done', '{"summary": "both are built"}', null, :'backend') ->> 'reported_to', '#hall', 'so does a report');
select gen_random_uuid() as r \gset
select t.ask(:'r', '#hall'), t.answer('backend', t.asked(:'r'), 'navy');
select ok(t.ask(:'r', '#hall', 0) @> '{"pending": true, "waiting_for": ["designer"]}', 'who asks a room waits for all of its members');

-- Broadcast
create function t.reached(answer jsonb) returns text language sql immutable as $$ select coalesce(string_agg(r ->> 'agent', ' ' order by r ->> 'agent'), '') from jsonb_array_elements(answer -> 'recipients') r $$;
select is(t.reached(t.does('backend', 'broadcast', '{"message": "x"}')), 'alice carol commander designer shortlived tester', 'a broadcast goes to everybody else');
select is(t.reached(t.does('backend', 'broadcast', '{"message": "x", "exclude": ["tester", "Shortlived"]}')), 'alice carol commander designer', 'but for whom it excludes');
select is(t.reached(t.does('backend', 'broadcast', '{"message": "x", "to": ["designer", "alice"], "exclude": ["alice"]}')), 'designer', 'or to those it names');
select is((select t.does('backend', 'broadcast', b) ->> 'message_id' from (values ('{"message": "x", "key": "b"}'::jsonb)) v (b)), t.does('backend', 'broadcast', '{"message": "x", "key": "b"}') ->> 'message_id', 'with a key it is sent once');
select t.refuses('a broadcast to nobody known', 404, 'backend', 'broadcast', '{"message": "x", "to": "nobody"}');
select t.refuses('excluding nobody known', 404, 'backend', 'broadcast', '{"message": "x", "exclude": ["nobody"]}');
select t.refuses('a priority that is none', 400, 'backend', 'broadcast', '{"message": "x", "priority": "urgent"}');

-- Done
select t.take('backend', '{}', :'backend'), t.take('backend', '{}', :'backend'), t.take('commander', '{}', :'window'), t.take('commander', '{}', :'window'), t.take('alice'), t.take('designer'), t.take('designer');
create function t.done(who text, extra jsonb default '{}', session uuid default null) returns jsonb language sql volatile as $$
  select t.does(who, 'done', jsonb_build_object('summary', 'the header is done') || extra, case who when 'alice' then 'proj' end, session)
$$;
select t.does('backend', 'set_status', '{"status": "working"}');
select t.send('alice', 'backend', 'first'), t.send('designer', 'backend', 'do the header') as task \gset
select t.take('backend', '{}', :'backend');
select t.done('backend', '{"request_id": "00000000-0000-4000-8000-000000000001"}', :'backend') as done \gset
select ok(:'done'::jsonb @> '{"reported_to": "designer", "status": "idle"}', 'a report goes to who gave the newest task in hand, and its agent is idle');
select is(t.state(:'task', 'backend'), 'acknowledged', 'it acknowledges what was taken');
select ok(t.does('designer', 'get_agent_status', '{"agent": "backend"}') @> '{"summary": "the header is done", "status": "idle"}', 'all see the summary');
select ok(t.does('designer', 'check_messages') #> '{messages,0}' @> jsonb_build_object('message', 'the header is done', 'reply_to', :'task'), 'the report answers the task');
select is(t.done('backend', '{"request_id": "00000000-0000-4000-8000-000000000001"}', :'backend') ->> 'message_id', :'done'::jsonb ->> 'message_id', 'run again it is the same report');
select t.refuses(c.fact || ', with the request_id of an earlier one', 409, 'backend', 'done', '{"summary": "the header is done", "request_id": "00000000-0000-4000-8000-000000000001"}' || c.other, null, :'backend')
from (values ('another report', '{"summary": "something else"}'::jsonb), ('a report to somebody else', '{"to": "commander"}')) c (fact, other);
select is(t.done('backend', '{}', :'backend') ->> 'reported_to', 'commander', 'with nothing in hand it goes to commander');
select t.send('designer', 'backend', 'one more task'), t.take('backend', '{}', :'backend'), t.take('backend', '{}', :'backend');
select is(t.done('backend', '{}', :'backend') ->> 'reported_to', 'designer', 'a task that was acknowledged meanwhile still says to whom');
select is(t.done('backend', '{}', :'backend') ->> 'reported_to', 'commander', 'once');
select t.send('alice', 'backend', 'aside'), t.send('designer', 'backend', 'by hand') as task, t.take('backend', '{}', :'backend') \gset
select t.does('backend', 'ack_messages', jsonb_build_object('message_ids', (select array_agg(d.message_id) from mesh_data.delivery d join mesh_data.agent a using (agent_id) where a.name = 'backend' and d.state = 'queued')), null, :'backend');
select t.done('backend', '{"request_id": "00000000-0000-4000-8000-000000000002"}', :'backend') as done \gset
select is(:'done'::jsonb ->> 'reported_to', 'designer', 'so does one that was acknowledged by ack_messages');
select is((select m.reply_to from mesh_data.message m where m.message_id = (:'done'::jsonb ->> 'message_id')::uuid), :'task', 'which the report answers');
select is(t.done('backend', '{"request_id": "00000000-0000-4000-8000-000000000002"}', :'backend') ->> 'message_id', :'done'::jsonb ->> 'message_id', 'run again it is the same report');
select is(t.done('backend', '{}', :'backend') ->> 'reported_to', 'commander', 'and another report is on nothing');
select gen_random_uuid() as r \gset
select t.ask(:'r', 'backend'), t.send('designer', 'backend', 'an answer', jsonb_build_object('reply_to', t.send('backend', 'designer', 'a question'))), t.take('backend', '{}', :'backend');
select t.does('backend', 'ack_messages', jsonb_build_object('message_ids', array[t.asked(:'r')]), null, :'backend');
select t.take('backend', '{}', :'backend');
select is(t.done('backend', '{}', :'backend') ->> 'reported_to', 'commander', 'a task comes before an answer that was taken after it');
select is(t.texts(t.ask(:'r', 'backend') -> 'answers'), 'the header is done', 'and a report answers who asked');
select t.send('designer', 'backend', 'of yesterday'), t.take('backend', '{}', :'backend'), t.take('backend', '{}', :'backend'), t.done('backend', '{"to": "commander"}', :'backend');
select is(t.done('backend', '{}', :'backend') ->> 'reported_to', 'commander', 'what was taken before a report to somebody else is reported on');
select t.take('designer'), t.take('designer'), t.take('commander', '{}', :'window'), t.take('commander', '{}', :'window'), t.take('alice'), t.take('alice');
update mesh_data.activity set reported_at = mesh_lib.now();
select is(t.done('commander') ->> 'reported_to', 'alice', 'of commander to the owner');
select is(t.done('backend', '{"to": "alice, designer"}', :'backend') ->> 'reported_to', 'alice, designer', 'or to whom it says');
select t.send('designer', 'backend', 'not arrived'), t.take('backend', '{}', :'backend');
select is(t.done('backend', jsonb_build_object('seen', array[gen_random_uuid()]), :'backend') ->> 'reported_to', 'commander', 'a task whose answer was lost is not in hand');
select is(t.take('backend', '{}', :'backend'), 'not arrived', 'and comes again');
select t.does('backend', 'set_status', '{"status": "dnd"}');
select is(t.done('backend', '{}', :'backend') ->> 'status', 'dnd', 'who does not want to be disturbed stays so');
select t.refuses('a summary of two lines', 400, 'backend', 'done', jsonb_build_object('summary', E'a\nb'));
select t.refuses('an empty summary', 400, 'backend', 'done', '{"summary": ""}');
select t.refuses('a summary that is too long', 413, 'backend', 'done', jsonb_build_object('summary', repeat('x', 501)));

-- A report goes to who takes it
create function t.given(room text) returns jsonb language sql volatile as $$ select t.does('backend', 'set_status', '{"status": "working"}') from (select t.send('designer', room, 'in ' || room)) s $$;
create function t.report() returns text language sql volatile as $$ select concat_ws(' ', d ->> 'reported_to', d ->> 'status') from (select t.take('backend', '{}', t.window('backend'))) k, lateral (select t.done('backend', '{}', t.window('backend')) as d offset 0) r $$;
select t.does('designer', 'create_room', '{"name": "round", "members": ["commander", "backend"], "mode": "round-robin"}'), t.does('designer', 'create_room', '{"name": "closed", "members": ["backend"]}'),
  t.does('designer', 'create_room', '{"name": "left", "members": ["commander", "backend"]}'), t.does('designer', 'create_room', '{"name": "last", "members": ["backend"], "mode": "reactive"}');
select t.given('#round');
select t.refuses('a report to a room, out of turn', 409, 'backend', 'done', '{"summary": "x", "to": "#round"}', null, :'backend');
select is(t.call('backend', 'done', '{"summary": "x", "to": "#round"}', null, :'backend') #>> '{answer,hint}', 'mesh done "…" --to <agent>', 'says how to report to somebody else');
select is(t.report(), 'designer idle', 'a report on what was said in a room goes to who said it, when it is another''s turn there');
select is((select m.address || ' ' || r.body from mesh_data.message m join mesh_data.message r on r.message_id = m.reply_to where m.body = 'the header is done' order by m.message_id desc limit 1), 'designer in #round', 'and answers it');
select t.send('commander', '#round', 'your turn');
select is(t.report(), '#round idle', 'and to the room in its turn');
select t.given('#last');
select is(t.report(), '#last idle', 'also where the last to speak is silent');
select t.given('#last');
select t.send('backend', '#last', 'I go first');
select is(t.report(), 'designer idle', 'until then it goes to who spoke before');
select t.given('#closed');
select t.does('designer', 'close_room', '{"room": "closed"}');
select is(t.report(), 'designer idle', 'when the room was closed');
select t.given('#left');
select t.does('backend', 'leave_room', '{"room": "left"}');
select is(t.report(), 'designer idle', 'when the reporter left it');
select t.given('backend');
select t.does('designer', 'block_agent', '{"agent": "backend"}');
select is(t.report(), 'commander idle', 'to commander when who gave the task takes nothing from it');
select t.does('designer', 'unblock_agent', '{"agent": "backend"}'), t.given('backend');
select t.does('designer', 'block_agent', '{"agent": "backend"}'), t.does('commander', 'block_agent', '{"agent": "backend"}');
select is(t.report(), 'alice idle', 'to the owner when commander does not either');
select t.does('designer', 'unblock_agent', '{"agent": "backend"}');
select t.send('designer', 'backend', 'for nobody'), t.take('backend', '{}', :'backend');
select t.does('designer', 'block_agent', '{"agent": "backend"}'), t.does('alice', 'block_agent', '{"agent": "backend"}', 'proj');
select t.refuses('a report that nobody takes', 403, 'backend', 'done', '{"summary": "x"}', null, :'backend');
select is(t.call('backend', 'done', '{"summary": "x"}', null, :'backend') #> '{answer,data,agent}', '"designer"', 'says who gave the task');
select t.does('alice', 'unblock_agent', '{"agent": "backend"}', 'proj'), t.does('designer', 'unblock_agent', '{"agent": "backend"}'), t.does('commander', 'unblock_agent', '{"agent": "backend"}');
select t.done('backend', '{}', :'backend'), t.given('backend');
select t.take('commander', '{}', :'window'), t.take('commander', '{}', :'window'), t.take('backend', '{}', :'backend');
select t.send('alice', 'designer', 'more') from generate_series(1, 3);
create or replace function mesh_lib.inbox_limit() returns integer language sql immutable set search_path = '' as 'select 3';
select is(t.report(), 'commander idle', 'a full inbox takes nothing');
create or replace function mesh_lib.inbox_limit() returns integer language sql immutable set search_path = '' as 'select 10000';
select t.take('designer'), t.take('designer'), t.take('alice'), t.take('alice'), t.take('commander', '{}', :'window'), t.take('commander', '{}', :'window');
select t.does('alice', 'remove_agent', '{"agent": "commander"}', 'proj');
select is(t.done('backend') ->> 'reported_to', 'alice', 'without a commander a report goes to the owner');
select t.take('alice'), t.take('alice');
update mesh_data.activity set reported_at = mesh_lib.now();
select t.refuses('the owner has nobody to report to', 404, 'alice', 'done', '{"summary": "x"}', 'proj');

-- Profiles
select ok(t.does('designer', 'set_profile', '{"about": "knows colours", "role": "design", "capabilities": ["CSS", "figma", "css", ""]}')
  @> '{"agent": "designer", "about": "knows colours", "role": "design", "capabilities": ["css", "figma"]}', 'an agent says what it is for and can do');
select ok(t.does('backend', 'get_agent_status', '{"agent": "Designer"}') @> '{"agent": "designer", "kind": "agent", "about": "knows colours", "role": "design", "capabilities": ["css", "figma"], "unread": null}', 'and others see it');
select ok(t.does('designer', 'set_profile', '{"role": ""}') @> '{"about": "knows colours", "role": null, "capabilities": ["css", "figma"]}', 'what is left out stays, an empty text removes');
select ok(t.does('designer', 'set_profile', '{"capabilities": [], "about": ""}') @> '{"about": null, "capabilities": []}', 'so does an empty list');
select is(t.does('backend', 'get_agent_status') ->> 'agent', 'backend', 'by default one asks for oneself');
select ok((t.does('backend', 'get_agent_status') ->> 'unread')::integer >= 0, 'and learns what is unread');
select ok(t.does('designer', 'get_agent_status', '{"agent": "backend"}') @> '{"cwd": "/tmp", "editor": "test"}', 'where an agent runs is seen');
select t.refuses('a word that is too long', 413, 'designer', 'set_profile', jsonb_build_object('capabilities', jsonb_build_array(repeat('x', 64))));
select t.refuses('too many words', 413, 'designer', 'set_profile', jsonb_build_object('capabilities', (select jsonb_agg('c' || n) from generate_series(1, 51) n)));
select t.refuses('a profile with control characters', 400, 'designer', 'set_profile', jsonb_build_object('about', U&'\202E'));
select t.refuses('the status of an agent of another mesh', 404, 'scout', 'get_agent_status', '{"agent": "designer"}');

-- Whoever has SQL as an agent sends as nobody else
select t.attempt_as('designer', format('select (mesh_lib.send_one(mesh_lib.letter(row(''agent'', k.key_id, null, k.mesh_id, k.agent_id, null, true)::mesh_lib.identity, ''{tester}'', ''"forged"''))).message_id
  from (values (%L::uuid, %L::uuid, %L::uuid)) k (key_id, mesh_id, agent_id)', k.key_id, k.mesh_id, k.agent_id))
from mesh_data.key k join mesh_data.agent a on a.agent_id = k.agent_id where a.name = 'backend' and k.revoked_at is null limit 1;
select is((select a.name from mesh_data.message m join mesh_data.agent a on a.agent_id = m.sender_agent_id where m.body = 'forged'), 'designer', 'a forged sender is nobody: the caller sends');

select finish();
rollback;
