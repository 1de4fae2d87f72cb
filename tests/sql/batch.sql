-- Batches: calls of many callers in one transaction, each with its own answer; priorities; what a relay may push at once.
begin;
\ir helpers.psql
select no_plan();
select t.world();

-- One call for each row of (who, function, arguments), as the relay `relay` would make them.
create function t.batch(relay uuid, variadic calls text[]) returns jsonb language sql volatile security definer set search_path = '' as $$
  select jsonb_agg(to_jsonb(c) order by c.ordinal)
  from mesh_lib.call(
    array(select t.token(batch.calls[i]) from generate_series(1, cardinality(batch.calls), 3) i),
    array_fill(null::text, array[cardinality(batch.calls) / 3]), array_fill(null::text, array[cardinality(batch.calls) / 3]),
    array(select batch.calls[i + 1] from generate_series(1, cardinality(batch.calls), 3) i),
    array(select batch.calls[i + 2] from generate_series(1, cardinality(batch.calls), 3) i), batch.relay) c
$$;
create function t.statuses(answers jsonb) returns text language sql immutable as $$ select string_agg(a ->> 'status', ' ') from jsonb_array_elements(answers) a $$;

-- A poison call harms nobody else
select is(t.statuses(t.batch(null,
    'designer', 'send_message', '{"to": "commander", "message": "a"}',
    'designer', 'send_message', '{"to": "nobody", "message": "b"}',
    'nobody at all', 'send_message', '{"to": "commander", "message": "c"}',
    'backend', 'send_message', '{"to": "commander", "message": "d"}')), '200 404 401 200', 'each send of a batch has its own answer');
select is(t.statuses(t.batch(null,
    'designer', 'send_message', '{"to": "commander", "message": "e"}',
    'designer', 'send_message', '{"to": "commander", "message": "f", "reply_to": "no uuid"}',
    'designer', 'send_message', '{"to": "commander", "message": 7}',
    'designer', 'send_message', '{"to": "commander", "message": "\u0000"}',
    'designer', 'send_message', 'no json',
    'designer', 'send_message', '{"to": "commander", "message": "g"}')), '200 400 400 400 400 200', 'what breaks the set form breaks one call');
select is(t.statuses(t.batch(null,
    'designer', 'send_message', '{"to": "commander", "message": "h"}',
    'designer', 'whoami', '{}',
    'designer', 'ack_messages', '{"message_ids": ["00000000-0000-0000-0000-000000000000"]}',
    'designer', 'send_message', '{"to": "commander", "message": "i"}')), '200 200 404 200', 'runs of different calls keep their order');
select t.open('commander') as window \gset
select is(t.take('commander', '{}', :'window'), 'a d e g h i', 'what was sent arrived, in order');
select is(t.take('commander', '{}', :'window'), '', 'once');

-- The same key twice in one batch
select is((select jsonb_agg(a -> 'answer' -> 'duplicate') from jsonb_array_elements(t.batch(null,
    'designer', 'send_message', '{"to": "commander", "message": "k", "key": "one"}',
    'designer', 'send_message', '{"to": "commander", "message": "k", "key": "one"}')) a), '[false, true]', 'a key twice in a batch is one message');
select is(t.statuses(t.batch(null,
    'designer', 'send_message', '{"to": "nobody", "message": "l", "key": "two"}',
    'designer', 'send_message', '{"to": "commander", "message": "m", "key": "two"}')), '404 409', 'a key is taken by the first of a batch, even when refused');
select is(t.statuses(t.batch(null, 'designer', 'send_message', '{"to": "commander", "message": "m", "key": "two"}')), '200', 'and free again afterwards');
select is(t.statuses(t.batch(null,
    'designer', 'send_message', '{"to": "nobody", "message": "l", "key": "three"}',
    'designer', 'send_message', '{"to": "nobody", "message": "l", "key": "three"}')), '404 404', 'what repeats a refused letter of its batch was not sent either');
select is(t.take('commander', '{}', :'window'), 'k m', 'two messages');

-- Acknowledging in a batch
select t.send('designer', 'commander', 'n') as n \gset
select t.send('designer', 'commander', 'o') as o \gset
select is((select jsonb_agg(a -> 'answer') from jsonb_array_elements(t.batch(null,
    'commander', 'ack_messages', format('{"message_ids": ["%s", "%s"]}', :'n', :'o'),
    'designer', 'ack_messages', format('{"message_ids": ["%s"]}', :'n'))) a) #>> '{1,code}', 'ME404', 'nobody acknowledges another''s mail');
select is(t.take('commander', '{}', :'window'), '', 'what was acknowledged is settled');

-- Several addresses
select is(jsonb_array_length(t.does('designer', 'send_message', '{"to": "commander, Backend,commander", "message": "p"}') -> 'recipients'), 2, 'several addresses: each recipient once');
select is(jsonb_array_length(t.does('designer', 'send_message', '{"to": ["commander", "designer"], "message": "q"}') -> 'recipients'), 1, 'the sender is left out');
select t.refuses('one unknown address refuses all of it', 404, 'designer', 'send_message', '{"to": "commander,nobody", "message": "r"}');
select t.refuses('no address', 400, 'designer', 'send_message', '{"to": [], "message": "r"}');
select is(t.take('commander', '{}', :'window'), 'p q', 'and nothing of it is stored');

-- Priorities
select t.send('designer', 'commander', 'low', '{"priority": "low"}');
select t.send('designer', 'commander', 'next');
select t.send('designer', 'commander', 'now', '{"priority": "now"}');
select t.refuses('a priority that is none', 400, 'designer', 'send_message', '{"to": "commander", "message": "x", "priority": "urgent"}');
select is(t.texts(t.mail('commander')), 'now next low', 'who is idle is shown all, by priority');
select t.does('commander', 'set_status', '{"status": "working"}', null, :'window');
select is(t.texts(t.mail('commander')), 'now', 'who works is shown what is now');
select is(t.does('designer', 'send_message', '{"to": "commander", "message": "next 2"}') #>> '{recipients,0,waits_for}', 'is working', 'and the sender is told why it waits');
select t.does('commander', 'set_status', '{"status": "dnd"}', null, :'window');
select is(t.texts(t.mail('commander')), 'now', 'likewise with do not disturb');
select t.does('commander', 'set_status', '{"status": "idle"}', null, :'window');
select is(t.texts(t.mail('commander')), 'now next next 2 low', 'becoming idle flushes what was held, in order');
select t.does('commander', 'set_status', '{"status": "working"}', null, :'window');
select is(t.take('commander', '{}', :'window'), 'now next next 2 low', 'who asks gets all of it');
select is(t.take('commander', '{}', :'window'), '', 'once');
select t.does('commander', 'set_status', '{"status": "idle"}', null, :'window');

-- What the relay of a batch may push without looking
update mesh_data.presence set relay_id = '00000000-0000-4000-8000-000000000001';
select is(t.batch('00000000-0000-4000-8000-000000000002', 'designer', 'send_message', '{"to": "commander", "message": "s"}') #> '{0,effects,push}', null,
  'another relay''s window is left to that relay');
select t.batch('00000000-0000-4000-8000-000000000001', 'designer', 'send_message', '{"to": "commander", "message": "t"}') as pushed \gset
select is(:'pushed'::jsonb #>> '{0,effects,push,sessions,0}', :'window', 'the window of the caller''s own relay is named');
select is(:'pushed'::jsonb #>> '{0,effects,push,frame,message}', 't', 'with what to show it');
select is(:'pushed'::jsonb #>> '{0,effects,push,after,0}', (select m.message_id::text from mesh_data.message m where m.body = 's'), 'after the mail it was owed before');
select is(t.texts(t.mail('commander')), 's t', 'and none of it is taken');
select t.batch('00000000-0000-4000-8000-000000000001', 'designer', 'send_message', '{"to": "commander", "message": "at once", "priority": "now"}') as pushed \gset
select is(:'pushed'::jsonb #> '{0,effects,push,sessions}', jsonb_build_array(:'window'), 'what is for now goes once to a window');
select is(:'pushed'::jsonb #>> '{0,effects,push,after,0}', null, 'past what is less urgent');
-- What is before a letter in its own batch the relay knows. A repeated message is left to the next look: another may have come between.
select t.send('designer', 'commander', 'u', '{"key": "u"}'), t.send('designer', 'commander', 'v');
select t.batch('00000000-0000-4000-8000-000000000001', 'designer', 'send_message', '{"to": "commander", "message": "u", "key": "u"}',
  'designer', 'send_message', '{"to": "commander", "message": "w"}', 'designer', 'send_message', '{"to": "commander", "message": "x"}') as pushed \gset
select is((select string_agg(m.body, ' ' order by a.ordinality) from jsonb_array_elements(:'pushed') with ordinality a
  left join mesh_data.message m on m.message_id::text = a.value #>> '{effects,push,after,0}'), 'v v', 'of a batch with a repeated message, each new one after what was before all of it');
select is(:'pushed'::jsonb #> '{0,effects}', 'null', 'and a repeated one is not pushed past a look');

-- Of more than a hundred recipients the answer lists a hundred, and counts
insert into mesh_data.agent (mesh_id, member_id, name) select a.mesh_id, a.member_id, 'crowd-' || n from mesh_data.agent a, generate_series(1, 120) n where a.name = 'designer';
select t.does('designer', 'send_message', '{"to": "*", "message": "y", "key": "y"}') as sent \gset
select t.does('designer', 'broadcast', '{"message": "z"}') as cast \gset
select is((select sum(c.value::integer) from jsonb_each_text(:'sent'::jsonb -> 'counts') c), (select count(*) from mesh_data.delivery d join mesh_data.message m using (message_id) where m.body = 'y'), 'every recipient counts');
select is(:'cast'::jsonb -> 'counts', :'sent'::jsonb -> 'counts', 'alone and in a batch');
select is(jsonb_array_length(:'sent'::jsonb -> 'recipients'), 100, 'a hundred are listed');
select ok((select bool_and(r ->> 'waits_for' is not null) from jsonb_array_elements(:'sent'::jsonb -> 'recipients') r), 'first those who are not shown it now');
select is(jsonb_array_length(t.does('designer', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb -> 'message_id'))),
  (select sum(c.value::integer)::integer from jsonb_each_text(:'sent'::jsonb -> 'counts') c), 'message_status lists all');
select is(t.does('designer', 'send_message', '{"to": "*", "message": "y", "key": "y"}') - 'recipients', (:'sent'::jsonb || '{"duplicate": true}') - 'recipients', 'a repeated message is counted alike');
select is(t.does('designer', 'done', '{"summary": "w", "to": "*"}') -> 'counts', :'sent'::jsonb -> 'counts', 'so does a report');
select t.does('designer', 'create_room', '{"name": "crowd", "members": ["*"]}');
select is((select sum(c.value::integer) from jsonb_each_text(t.does('designer', 'reply', jsonb_build_object('message_id', t.send('commander', '#crowd', 'v'), 'message', 'u')) -> 'counts') c),
  (select sum(c.value::integer) from jsonb_each_text(:'sent'::jsonb -> 'counts') c), 'and an answer in a room');
select is(t.does('designer', 'send_message', '{"to": "commander", "message": "one"}') ? 'counts', false, 'a few are not');

select * from finish();
rollback;
