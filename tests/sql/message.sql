-- Delivery: what "sent" means. Nothing but check_messages and wait takes mail, and only the next call settles it.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.state(message_id uuid, agent text) returns text language sql stable as $$
  select d.state from mesh_data.delivery d join mesh_data.agent a on a.agent_id = d.agent_id where d.message_id = state.message_id and a.name = state.agent
$$;
create function t.inbox(agent text) returns text language sql volatile as $$ select t.take(agent, '{"peek": true}', t.window(agent)) $$;

-- Stored when answered, for windows open and closed
select t.send('designer', 'commander', 'one') as one \gset
select t.send('designer', 'commander', 'two') as two \gset
select is(t.state(:'one', 'commander'), 'queued', 'a message to an agent without a window is stored');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'one')) #>> '{0,state}', 'queued', 'its sender sees it queued');
select ok(t.does('designer', 'message_status', jsonb_build_object('message_id', :'one')) #>> '{0,waits_for}' <> '', 'and why it waits');
select t.open('commander') as window \gset
select is(t.does('commander', 'open_session', t.opening('commander')) ->> 'unread', '2', 'who opens a window is told what waits');
select t.open('commander') as window \gset
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'one')) #>> '{0,state}', 'pushed', 'with a window open it counts as pushed');

-- Push, receipt and peek consume nothing
select is(t.texts(t.mail('commander')), 'one two', 'a push shows the mail in order');
select is(t.texts(t.mail('commander')), 'one two', 'a push takes nothing');
select is(t.texts(t.mail('commander', 1)), 'one', 'at most as many as asked, oldest first');
select t.receipt('commander', :'one');
select is(t.state(:'one', 'commander'), 'delivered', 'a receipt says delivered');
select is(t.texts(t.mail('commander')), 'two', 'what was received is not pushed again');
select is(t.inbox('commander'), 'one two', 'but it is still in the inbox');
select is(t.inbox('commander'), 'one two', 'and looking takes nothing');
select is(t.does('commander', 'check_messages', '{"peek": true}', null, :'window') -> 'claim', 'null', 'a look has no claim');
select t.receipt('commander', :'one');
select ok(t.state(:'one', 'commander') = 'delivered' and t.state(:'two', 'commander') = 'queued', 'a receipt twice is harmless');

-- Taken, then settled by the next call
select is(t.take('commander', '{}', :'window'), 'one two', 'check_messages takes both');
select ok(t.state(:'one', 'commander') = 'delivered' and t.state(:'two', 'commander') = 'queued', 'taking settles nothing');
select is(t.texts(t.mail('commander')), '', 'what was taken is not pushed');
select is(t.inbox('commander'), 'one two', 'a look after it still shows both');
select is(t.state(:'two', 'commander'), 'queued', 'a look settles nothing');
select is(t.take('commander', '{}', :'window'), '', 'the next check finds nothing new');
select ok(t.state(:'one', 'commander') = 'acknowledged' and t.state(:'two', 'commander') = 'acknowledged', 'and acknowledged what the one before returned');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'one')) #>> '{0,state}', 'acknowledged', 'the sender sees it acknowledged');
select ok(t.does('designer', 'message_status', jsonb_build_object('message_id', :'one')) #>> '{0,acknowledged_at}' is not null, 'and when');
select is(t.does('commander', 'check_messages', '{}', null, :'window') ->> 'unread', '0', 'nothing is unread');
select t.send('designer', 'commander', 'three');
select is(t.texts(t.does('commander', 'wait', '{"timeout": 5}', null, :'window') -> 'messages'), 'three', 'wait takes mail that is there at once');
select t.send('designer', 'commander', 'four');
select is(t.texts(t.does('commander', 'wait', '{"timeout": 0}', null, :'window') -> 'messages'), 'four', 'the next wait settles and takes the next');
select is(t.call('commander', 'wait', '{"timeout": 5}', null, :'window') -> 'answer', 'null', 'with nothing there wait answers null: the relay asks again');
select is(t.does('commander', 'wait', '{"timeout": 0}', null, :'window') -> 'pending', 'true', 'and pending at the end of the time');
select is((select count(*) from mesh_data.delivery where state <> 'acknowledged'), 0::bigint, 'all of it is settled');

-- In order, and in part
select t.send('designer', 'commander', 'm' || n) from generate_series(1, 5) n;
select is(t.take('commander', '{"limit": 2}', :'window'), 'm1 m2', 'the oldest come first');
select is(t.does('commander', 'check_messages', '{"limit": 2, "peek": true}', null, :'window') ->> 'unread', '3', 'unread counts what is not in hand');
select is(t.take('commander', '{"limit": 2}', :'window'), 'm3 m4', 'then the next');
select is(t.take('commander', '{"limit": 2}', :'window'), 'm5', 'then the last');
select t.take('commander', '{}', :'window');

-- A lost answer loses nothing: seen names the answers that arrived
select t.send('designer', 'commander', 's1'), t.send('designer', 'commander', 's2');
select t.does('commander', 'check_messages', '{"limit": 1}', null, :'window') ->> 'claim' as first \gset
select is(t.take('commander', jsonb_build_object('seen', array[gen_random_uuid()]), :'window'), 's1 s2', 'an answer that was lost comes again');
select is((select count(*) from mesh_data.delivery where state <> 'acknowledged'), 2::bigint, 'nothing of it was acknowledged');
select t.does('commander', 'check_messages', jsonb_build_object('limit', 1, 'seen', '[]'::jsonb), null, :'window') ->> 'claim' as second \gset
select is(t.take('commander', jsonb_build_object('seen', array[:'second']), :'window'), 's2', 'the answer that arrived is settled, and the rest comes');
select is(t.take('commander', jsonb_build_object('seen', array[:'second']), :'window'), 's2', 'the same seen twice: what came after it comes again');
select is(t.texts(t.does('commander', 'wait', jsonb_build_object('timeout', 0, 'seen', array[:'second']), null, :'window') -> 'messages'), 's2', 'wait knows seen too');
select is(t.take('commander', '{}', :'window'), '', 'without seen the answer counts as arrived');

-- Several answers at once: all zeros says that others are under way
select t.send('designer', 'commander', 'p' || n) from generate_series(1, 4) n;
select t.does('commander', 'check_messages', '{"limit": 1, "seen": []}', null, :'window') ->> 'claim' as first \gset
create function t.beside(claims text[]) returns jsonb language sql as $$
  select jsonb_build_object('limit', 1, 'seen', claims || array['00000000-0000-0000-0000-000000000000'])
$$;
select t.does('commander', 'check_messages', t.beside('{}'), null, :'window') as second \gset
select is(t.texts(:'second'::jsonb -> 'messages'), 'p2', 'what an answer holds that is under way is not given to another call');
select is(t.take('commander', t.beside('{}') || '{"limit": 9}', :'window'), 'p3 p4', 'each gets what is left');
select is(t.does('commander', 'wait', jsonb_build_object('timeout', 5, 'seen', t.beside('{}') -> 'seen'), null, :'window'), 'null', 'and waits when nothing is');
select is((select count(*) from mesh_data.delivery where state <> 'acknowledged'), 4::bigint, 'nothing of it is acknowledged');
select is(t.take('commander', t.beside(array[:'first', :'second'::jsonb ->> 'claim']), :'window'), '', 'several answers arrive at once');
select is((select string_agg(m.body, ' ' order by m.body) from mesh_data.delivery d join mesh_data.message m using (message_id) where d.state <> 'acknowledged'), 'p3 p4', 'those and no others are acknowledged');
select is(t.take('commander', '{"seen": []}', :'window'), 'p3 p4', 'what no answer under way holds was lost, and comes again');
select t.refuses('more than 1,000 answers at once', 413, 'commander', 'check_messages', jsonb_build_object('seen', array_fill(gen_random_uuid(), array[1001])), null, :'window');
select t.refuses('one answer that is no list', 400, 'commander', 'check_messages', jsonb_build_object('seen', gen_random_uuid()), null, :'window');
select t.take('commander', '{}', :'window');

-- A session that dies gets it again, in the next one
select t.send('designer', 'commander', 'd1');
select is(t.take('commander', '{}', :'window'), 'd1', 'taken by a window');
select is(t.does('commander', 'open_session', t.opening('commander', ' again') || '{"takeover": true}') ->> 'unread', '1', 'a new window is told of what the old one never acknowledged');
select t.open('commander', ' again') as again \gset
select t.refuses('the old window is over', 409, 'commander', 'check_messages', '{}', null, :'window');
select is(t.take('commander', '{}', :'again'), 'd1', 'the new window gets it again');
select is(t.take('commander', '{}', :'again'), '', 'and settles it');
select t.send('designer', 'commander', 'd2');
select is(t.take('commander', '{}', :'again'), 'd2', 'taken');
select t.does('commander', 'close_session', '{}', null, :'again');
delete from t.session;
select is(t.take('commander'), 'd2', 'a closed window gives back what it had not acknowledged');
select t.take('commander');

-- Acknowledging at once
select t.send('designer', 'commander', 'a1') as a1 \gset
select t.send('designer', 'commander', 'a2') as a2 \gset
select t.refuses('nobody acknowledges the mail of others: ' || w, 404, w, 'ack_messages', jsonb_build_object('message_ids', array[:'a1'])) from unnest(array['backend', 'designer', 'scout', 'visitor']) w;
select t.refuses('not even the owner of the mesh', 404, 'alice', 'ack_messages', jsonb_build_object('message_ids', array[:'a1']), 'proj');
select t.refuses('one that is not there spoils it', 404, 'commander', 'ack_messages', jsonb_build_object('message_ids', array[:'a1'::uuid, gen_random_uuid()]));
select is(t.state(:'a1', 'commander'), 'queued', 'and leaves the others alone');
select is(t.does('commander', 'ack_messages', jsonb_build_object('message_ids', array[:'a1'])), '{"acknowledged": 1, "already": 0}', 'the recipient acknowledges');
select is(t.does('commander', 'ack_messages', jsonb_build_object('message_ids', array[:'a1'])), '{"acknowledged": 0, "already": 1}', 'twice is harmless');
select is(t.does('commander', 'ack_messages', jsonb_build_object('message_ids', array[:'a1', :'a1', :'a2'])), '{"acknowledged": 1, "already": 1}', 'so is the same id twice');
select t.receipt('commander', :'a1');
select is(t.state(:'a1', 'commander'), 'acknowledged', 'a late receipt takes nothing back');
select t.send('designer', 'commander', 'a3') as a3 \gset
update mesh_data.delivery set state = 'dead' where message_id = :'a3';
select is(t.inbox('commander'), '', 'a dead message is in no inbox');
select is(t.does('commander', 'ack_messages', jsonb_build_object('message_ids', array[:'a3'])) ->> 'acknowledged', '1', 'its recipient may still settle it');

-- Sending twice with one key
select t.does('designer', 'send_message', '{"to": "commander", "message": "k", "key": "k1"}') as sent \gset
select is(:'sent'::jsonb -> 'duplicate', 'false', 'the first is no duplicate');
select is(t.does('designer', 'send_message', '{"to": "COMMANDER", "message": "k", "key": "k1"}') - 'recipients', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id', 'duplicate', true), 'the same again answers with the same id');
select t.refuses('another text with the key', 409, 'designer', 'send_message', '{"to": "commander", "message": "other", "key": "k1"}');
select t.refuses('another recipient with the key', 409, 'designer', 'send_message', '{"to": "backend", "message": "k", "key": "k1"}');
select t.refuses('other data with the key', 409, 'designer', 'send_message', '{"to": "commander", "message": "k", "key": "k1", "data": {"a": 1}}');
select t.refuses('another reply_to with the key', 409, 'designer', 'send_message', '{"to": "commander", "message": "k", "key": "k1", "reply_to": "00000000-0000-0000-0000-000000000000"}');
select is(t.does('backend', 'send_message', '{"to": "commander", "message": "k", "key": "k1"}') -> 'duplicate', 'false', 'keys are each sender''s own');
select is(t.inbox('commander'), 'k k', 'one message of each is there');
select t.refuses('a key of a message that failed', 404, 'designer', 'send_message', '{"to": "nobody", "message": "k", "key": "k2"}');
select is(t.does('designer', 'send_message', '{"to": "commander", "message": "k", "key": "k2"}') -> 'duplicate', 'false', 'is free');
select t.does('commander', 'remove_agent', '{"agent": "tester"}');
select t.refuses('nothing goes to a removed agent', 404, 'designer', 'send_message', '{"to": "tester", "message": "x"}');
select t.does('commander', 'create_agent', '{"name": "shortlived"}');
select t.does('designer', 'send_message', '{"to": "shortlived", "message": "x", "key": "k3"}') ->> 'message_id' as gone \gset
select t.does('commander', 'remove_agent', '{"agent": "shortlived"}');
select is(t.does('designer', 'send_message', '{"to": "shortlived", "message": "x", "key": "k3"}') ->> 'message_id', :'gone', 'a repeat is answered before its recipient is looked for');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'gone')) #>> '{0,agent}', 'shortlived', 'and its status still names the recipient');

-- To whom
select t.refuses('there is no such agent', 404, 'designer', 'send_message', '{"to": "nobody", "message": "x"}');
select ok((t.call('designer', 'send_message', '{"to": "comander", "message": "x"}') #> '{answer,data,candidates}') @> '[{"name": "commander"}]', 'the answer names those there are');
select t.refuses('not to oneself', 400, 'designer', 'send_message', '{"to": "designer", "message": "x"}');
select t.refuses('agents of other meshes do not exist', 404, 'designer', 'send_message', '{"to": "scout", "message": "x"}');
select t.refuses('nor by the other''s path', 404, 'designer', 'send_message', '{"to": "bob/other/scout", "message": "x"}');
select t.does('commander', 'check_messages'), t.does('commander', 'check_messages');
select t.does('designer', 'send_message', '{"to": "*", "message": "all"}') as sent \gset
select is((select string_agg(r ->> 'agent', ' ') from jsonb_array_elements(:'sent'::jsonb -> 'recipients') r), 'alice backend carol commander', '* is everybody else in the mesh');
select is(t.take(a), case a when 'designer' then '' else 'all' end, a || ': a broadcast goes to all but its sender') from unnest(array['backend', 'commander', 'designer']) a;
select is(t.texts(t.does('alice', 'check_messages', '{}', 'proj') -> 'messages'), 'all', 'an owner has an inbox too');
select is(t.take('scout') || t.take('visitor'), '', 'another mesh hears nothing');
select is(t.does('commander', 'check_messages', '{"peek": true}') #>> '{messages,0,to}', '*', 'a broadcast says so');
select is((select jsonb_agg(k order by k) from jsonb_object_keys(t.does('backend', 'check_messages', '{"peek": true}') #> '{messages,0}') k),
  '["data", "envelope", "from", "from_kind", "mentions", "message", "message_id", "priority", "reply_to", "sent_at", "to"]', 'a message has these fields');
select is(t.does('backend', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id')) #>> '{0,agent}', 'backend', 'a recipient learns its own state');
select is(jsonb_array_length(t.does('backend', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id'))), 1, 'and not that of the others');
select t.refuses('who is no party to a message does not find it: ' || w, 404, w, 'message_status', jsonb_build_object('message_id', :'a1')) from unnest(array['backend', 'scout', 'visitor']) w;
select t.does('bob', 'create_mesh', '{"name": "empty", "mode": "open"}');
select is(t.does('bob', 'send_message', '{"to": "*", "message": "anybody?"}', 'empty') -> 'recipients', '[]', 'alone in a mesh, * is nobody, and no error');
select t.send('commander', 'designer', 'reply', jsonb_build_object('reply_to', :'sent'::jsonb ->> 'message_id', 'data', '{"b": [1, null]}'::jsonb));
select ok(t.does('designer', 'check_messages', '{}') #> '{messages,0}' @> jsonb_build_object('message', 'reply', 'from', 'commander', 'from_kind', 'agent', 'to', 'designer',
  'data', '{"b": [1, null]}'::jsonb, 'reply_to', :'sent'::jsonb ->> 'message_id'), 'reply and data arrive as they were sent');
select t.send('backend', 'designer', E'\u202e\u0007 "''{}\\ <script>');
select is(t.take('designer'), E'\u202e\u0007 "''{}\\ <script>', 'a text arrives as it was sent, whatever it is');

-- Two keys of one agent without a window: both get it, each settles its own
select t.does('alice', 'create_agent_key', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('identity of backend'), 'secret', t.secret('backend 2'), 'certificate', t.signed('alice')), 'proj');
select t.take('backend'), t.take('backend');
select t.send('designer', 'backend', 'both') as both \gset
select is(t.take('backend'), 'both', 'taken by one key');
select is(t.take('backend 2'), 'both', 'and by the other: an agent is one recipient');
select is(t.take('backend'), 'both', 'the first does not settle what the second took');
select is(t.take('backend'), '', 'but it settles what it took again');
select is(t.state(:'both', 'backend'), 'acknowledged', 'so it is settled once');

-- A full inbox refuses the sender, and evicts nothing
create or replace function mesh_lib.inbox_limit() returns integer language sql immutable set search_path = '' as 'select 3';
select t.take('backend');
select t.send('designer', 'backend', 'f' || n) from generate_series(1, 3) n;
select t.refuses('a full inbox', 429, 'designer', 'send_message', '{"to": "backend", "message": "f4"}');
select t.refuses('a broadcast that one inbox cannot hold', 429, 'designer', 'send_message', '{"to": "*", "message": "f4"}');
select is(t.call('designer', 'send_message', '{"to": "backend", "message": "f4"}') #> '{answer,data}', '{"retry_after": 30, "agent": "backend"}', 'it says whose and when to try again');
select is(t.inbox('backend'), 'f1 f2 f3', 'what is there stays');
select t.works('another inbox is not full', 'designer', 'send_message', '{"to": "commander", "message": "f4"}');
select t.take('backend', '{"limit": 1}'), t.take('backend', '{"limit": 1}');
select t.works('one acknowledged makes room', 'designer', 'send_message', '{"to": "backend", "message": "f5"}');

-- Silence never makes a message dead
select t.pass('30 days');
select is(t.inbox('backend'), 'f2 f3 f5', 'a month later all of it is there');

-- Only what one may read can be answered.
select t.send('designer', 'alice', 'a secret') as secret \gset
select t.refuses('an answer to a message of others', 404, 'commander', 'send_message', jsonb_build_object('to', 'designer', 'message', 'me!', 'reply_to', :'secret'));
select t.refuses('an answer to nothing', 404, 'commander', 'send_message', jsonb_build_object('to', 'designer', 'message', 'x', 'reply_to', gen_random_uuid()));

-- Held mail is not called pushed.
select t.pass('0');
select t.open('commander', ' held', '{"takeover": true}');
select t.does('commander', 'set_status', '{"status": "dnd"}');
select t.send('designer', 'commander', 'held') as held \gset
select is((t.does('designer', 'message_status', jsonb_build_object('message_id', :'held')) #> '{0}') - '{attempts}'::text[],
  '{"agent": "commander", "state": "queued", "waits_for": "does not want to be disturbed", "reason": null, "due_at": null, "expires_at": null, "delivered_at": null, "acknowledged_at": null}',
  'what waits for dnd to end is queued');
select t.does('commander', 'set_status', '{"status": "idle"}');
select ok(t.does('designer', 'message_status', jsonb_build_object('message_id', :'held')) -> 0 @> '{"state": "pushed", "waits_for": null}', 'and then pushed');

-- Ids sort in the order they were made.
select t.pass('0');
create table t.id as select n, mesh_lib.new_id() as id from generate_series(1, 20000) n;
select is((select count(*) from t.id where id::text !~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'), 0::bigint, 'an id is a UUIDv7');
select is_empty('select n from (select n, id, lag(id) over (order by n) as before from t.id) i where id < before', 'and none sorts before an earlier one');
select ok(mesh_lib.new_id() > (select id from t.id order by n desc limit 1), 'nor in a later statement');

select finish();
rollback;
