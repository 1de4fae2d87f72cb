-- Rooms: who is in one, what is said there, and whose turn it is.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.room(who text, name text) returns jsonb language sql volatile as $$
  select r from jsonb_array_elements(t.does(who, 'list_rooms', '{}', case who when 'alice' then 'proj' end)) r where r ->> 'room' = room.name
$$;
create function t.turn(name text) returns text language sql volatile as $$ select t.room('designer', turn.name) ->> 'turn' $$;
-- A send into a room: 200, or why not.
create function t.say(who text, room text, message text, extra jsonb default '{}') returns text language sql volatile as $$
  select concat_ws(' ', c ->> 'status', c #>> '{answer,data,turn}')
  from t.call(who, 'send_message', jsonb_build_object('to', room, 'message', message) || extra, case when who in ('alice', 'carol') then 'alice/proj' end) c
$$;
create function t.history(who text, room text, extra jsonb default '{}') returns text language sql volatile as $$
  select t.texts(t.does(who, 'room_history', jsonb_build_object('room', room) || extra))
$$;

-- Made, and listed by everybody in the mesh
create table t.made as select t.does('designer', 'create_room', '{"name": "#Hall", "members": ["backend", "Commander, alice"], "topic": " the header "}') as a;
select is((select a - 'room_id' from t.made), '{"room": "#hall", "topic": "the header", "mode": "free", "moderator": null, "members": ["designer", "backend", "commander", "alice"], "turn": null, "next": "mesh send ''#hall'' \"hello\""}',
  'a guest makes a room, is its first member, and is told how to speak there');
select is(t.room('designer', '#hall') - '{room_id,created_at}'::text[], '{"room": "#hall", "topic": "the header", "mode": "free", "members": 4, "member": true, "turn": null, "unread": 0, "moderator": null}', 'it is listed');
select is(t.room('backend', '#hall') ->> 'member', 'true', 'to its members');
select t.refuses('a name is used once among open rooms', 409, 'backend', 'create_room', '{"name": "hall"}');
select is(t.call('backend', 'create_room', '{"name": "HALL"}') #>> '{answer,hint}', 'mesh room join hall', 'the refusal says how to join');
select t.works('in another mesh it is free', 'visitor', 'create_room', '{"name": "hall"}');
select t.refuses('no room is called ' || n, 400, 'backend', 'create_room', jsonb_build_object('name', n)) from unnest(array['', '#', 'all', 'deadbeef', 'a b', '##x', repeat('z', 64), '@x']) n;
select t.works('a name of 63 characters has room for #', 'backend', 'create_room', jsonb_build_object('name', '#' || repeat('z', 63)));
select t.refuses('there is no such mode', 400, 'backend', 'create_room', '{"name": "x", "mode": "round"}');
select t.refuses('a topic is short', 413, 'backend', 'create_room', jsonb_build_object('name', 'x', 'topic', repeat('x', 501)));
select t.refuses('a topic is one line', 400, 'backend', 'create_room', '{"name": "x", "topic": "a\nb"}');
select t.refuses('a member that is not there', 404, 'backend', 'create_room', '{"name": "x", "members": ["scout"]}');
select t.refuses('a moderator that is not there', 404, 'backend', 'create_room', '{"name": "x", "mode": "moderated", "moderator": "scout"}');
select is((select count(*) from mesh_data.room where name = 'x'), 0::bigint, 'a room that failed is not there');
select is((select jsonb_agg(m order by m) from jsonb_array_elements(t.does('backend', 'create_room', '{"name": "everybody", "members": ["*"]}') -> 'members') m),
  '["alice", "backend", "carol", "commander", "designer", "tester"]', '* is everybody, also who has not joined the mesh yet');

-- Joined, invited, left
select t.refuses('who is in no room does not write there', 403, 'carol', 'send_message', '{"to": "#hall", "message": "x"}', 'alice/proj');
select is(t.call('carol', 'send_message', '{"to": "#hall", "message": "x"}', 'alice/proj') #>> '{answer,hint}', 'mesh room join hall', 'the refusal says how to join');
select t.refuses('nor reads', 403, 'carol', 'room_history', '{"room": "#hall"}', 'alice/proj');
select t.refuses('nor invites', 403, 'carol', 'invite_to_room', '{"room": "hall", "agents": ["tester"]}', 'alice/proj');
select is(t.room('alice', '#everybody') ->> 'member', 'true', 'an owner may be in a room');
select t.send('designer', '#hall', 'before') as before \gset
select is(t.does('carol', 'join_room', '{"room": "#HALL"}', 'alice/proj'),
  '{"room": "#hall", "topic": "the header", "mode": "free", "moderator": null, "members": ["designer", "backend", "commander", "alice", "carol"], "turn": null, "next": "mesh room history hall"}', 'anybody in the mesh joins');
select is(t.does('carol', 'join_room', '{"room": "hall"}', 'alice/proj') -> 'members', '["designer", "backend", "commander", "alice", "carol"]', 'once');
select is(t.texts(t.does('carol', 'room_history', '{"room": "hall"}', 'alice/proj')), 'before', 'and reads what was said before');
select is((select count(*) from mesh_data.delivery d join mesh_data.agent a using (agent_id) where a.name = 'carol'), 0::bigint, 'which is no mail to it');
select is(t.does('backend', 'invite_to_room', '{"room": "hall", "agents": ["tester", "TESTER", "designer"]}'), '{"room": "#hall", "members": ["designer", "backend", "commander", "alice", "carol", "tester"]}', 'a member brings others in, once');
select t.refuses('nobody who is not there', 404, 'backend', 'invite_to_room', '{"room": "hall", "agents": ["nobody"]}');
select t.refuses('into a room that is not there', 404, 'backend', 'invite_to_room', '{"room": "hal", "agents": ["tester"]}');
select ok((t.call('backend', 'join_room', '{"room": "hal"}') #> '{answer,data,candidates}') @> '[{"name": "#hall"}]', 'a room that is not there: the answer names those there are');
select is(t.does('carol', 'leave_room', '{"room": "#hall"}', 'alice/proj'), '{"room": "#hall", "members": ["designer", "backend", "commander", "alice", "tester"]}', 'who leaves is out');
select t.refuses('once', 404, 'carol', 'leave_room', '{"room": "#hall"}', 'alice/proj');
select t.refuses('and writes there no more', 403, 'carol', 'send_message', '{"to": "#hall", "message": "x"}', 'alice/proj');

-- What is said reaches all of them, with and without a window
select t.take('backend'), t.take('backend'), t.take('commander'), t.take('commander');
select t.open('commander') as window \gset
select t.does('designer', 'send_message', '{"to": "#Hall", "message": "first"}') as sent \gset
select is((select jsonb_agg(r ->> 'agent' || ' ' || (r ->> 'state')) from jsonb_array_elements(:'sent'::jsonb -> 'recipients') r), '["alice queued", "backend queued", "commander pushed", "tester queued"]', 'all members get it but its sender, now or later');
select is(t.texts(t.mail('commander')), 'first', 'it is pushed to who has a window');
select is(t.does('backend', 'check_messages', '{"peek": true}') #>> '{messages,0,to}', '#hall', 'it says where it was said');
select is(t.room('backend', '#hall') ->> 'unread', '1', 'the list tells how much of the open mail is from a room');
select is(t.room('designer', '#hall') ->> 'unread', '0', 'of the caller''s own');
select t.send('designer', 'backend', 'direct');
select is(t.room('backend', '#hall') ->> 'unread', '1', 'direct mail is not from the room');
select is(t.take('backend') || t.take('backend'), 'first direct', 'it is taken like other mail');
select is(t.room('backend', '#hall') ->> 'unread', '0', 'and then no more unread');
select is(t.say('backend', '#hall', 'second', jsonb_build_object('reply_to', :'sent'::jsonb ->> 'message_id', 'mentions', '["commander"]'::jsonb, 'data', '{"a": 1}'::jsonb)), '200', 'a member answers');
select t.refuses('who is not in the room cannot be mentioned', 400, 'backend', 'send_message', '{"to": "#hall", "message": "x", "mentions": ["carol"]}');
select is(t.does('backend', 'room_history', '{"room": "hall"}') #- '{0,sent_at}' #- '{1,sent_at}' #- '{2,sent_at}' #- '{2,message_id}',
  jsonb_build_array(
    jsonb_build_object('message_id', :'before', 'from', 'designer', 'message', 'before', 'reply_to', null, 'answers', 0, 'mentions', null, 'data', null, 'envelope', null),
    jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id', 'from', 'designer', 'message', 'first', 'reply_to', null, 'answers', 1, 'mentions', null, 'data', null, 'envelope', null),
    jsonb_build_object('from', 'backend', 'message', 'second', 'reply_to', :'sent'::jsonb ->> 'message_id', 'answers', 0, 'mentions', array['commander'], 'data', '{"a": 1}'::jsonb, 'envelope', null)),
  'the history has it all, the newest last');
select is(t.history('backend', 'hall'), 'before first second', 'reading takes nothing and changes nothing');
select is(t.history('tester 1', 'hall'), 'before first second', 'who redeems an invite reads as the agent it becomes')
from t.does('the open invite', 'redeem_invite', t.redeeming('tester 1', 'the open invite'));
select is(t.say('alice', '#hall', 'third'), '200', 'the owner speaks too');
select is(t.say('backend', '#hall,carol', 'and carol'), '200', 'a message goes to a room and to others');
select is(t.texts(t.does('carol', 'check_messages', '{}', 'alice/proj') -> 'messages'), 'and carol', 'who get it without being in the room');
select t.refuses('but not to two rooms', 400, 'backend', 'send_message', '{"to": "#hall,#everybody", "message": "x"}');
select is(t.say('backend', '#hall,#hall', 'twice'), '200', 'the same room twice is one room');
select t.refuses('a room that is not there', 404, 'backend', 'send_message', '{"to": "#nothing", "message": "x"}');
select t.refuses('a name that is none', 404, 'backend', 'send_message', '{"to": "#", "message": "x"}');
select is(t.does('backend', 'create_room', '{"name": "alone", "members": []}') -> 'members', '["backend"]', 'a room of one');
select is(t.does('backend', 'send_message', '{"to": "#alone", "message": "note"}') -> 'recipients', '[]', 'is written to by nobody else');
select is(t.history('backend', 'alone'), 'note', 'and keeps notes');
-- A removed agent is out; its words stay, and whoever gets its name is somebody else.
select t.does('alice', 'create_agent', '{"name": "shortlived"}', 'proj'), t.does('backend', 'invite_to_room', '{"room": "alone", "agents": ["shortlived"]}');
select t.does('alice', 'remove_agent', '{"agent": "shortlived"}', 'proj'), t.does('alice', 'create_agent', '{"name": "shortlived"}', 'proj');
select is(t.does('backend', 'join_room', '{"room": "alone"}') -> 'members', '["backend"]', 'a removed agent is in no room, nor is another of that name');
select is(t.room('backend', '#alone') ->> 'members', '1', 'nor is it counted');
select is(t.does('backend', 'send_message', '{"to": "#alone", "message": "note 2"}') -> 'recipients', '[]', 'nor written to');

-- Answered where it was said
select is((t.does('commander', 'reply', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id', 'message', 'fourth'))) ->> 'to', '#hall', 'a reply goes to the room');
select is(t.history('backend', 'hall', jsonb_build_object('thread', :'sent'::jsonb ->> 'message_id')), 'first second fourth', 'and is in the thread');

-- Pages and threads
select t.does('backend', 'create_room', '{"name": "long", "members": ["designer"]}');
select t.send('backend', '#long', 'm' || n) from generate_series(1, 60) n;
select is(t.history('designer', 'long'), (select string_agg('m' || n, ' ' order by n) from generate_series(11, 60) n), 'history is the newest fifty');
select t.does('designer', 'room_history', '{"room": "long", "limit": 2}') #>> '{0,message_id}' as m59 \gset
select is(t.history('designer', 'long', jsonb_build_object('before', :'m59', 'limit', 3)), 'm56 m57 m58', 'or what was before a message');
select is(t.history('designer', 'long', jsonb_build_object('before', :'m59', 'limit', 200)), (select string_agg('m' || n, ' ' order by n) from generate_series(1, 58) n), 'back to the beginning');
select t.send('designer', '#long', 'a1', jsonb_build_object('reply_to', :'m59')) as a1 \gset
select t.send('backend', '#long', 'a2', jsonb_build_object('reply_to', :'m59')), t.send('backend', '#long', 'a3', jsonb_build_object('reply_to', :'a1')), t.send('backend', 'designer', 'aside', jsonb_build_object('reply_to', :'m59'));
select is(t.history('designer', 'long', jsonb_build_object('thread', :'m59')), 'm59 a1 a2', 'a thread is one message and the answers to it');
select is(t.does('designer', 'room_history', jsonb_build_object('room', 'long', 'thread', :'m59')) #>> '{0,answers}', '2', 'as many as were said in the room');
select is(t.history('designer', 'long', jsonb_build_object('thread', :'a1')), 'a1 a3', 'an answer may have answers');
select t.refuses('a limit is 1 to 200', 400, 'designer', 'room_history', jsonb_build_object('room', 'long', 'limit', n)) from unnest(array[0, -1, 201]) n;
select t.refuses(w || ' is a message of this room', 404, 'backend', 'room_history', jsonb_build_object('room', 'long', w, i))
from unnest(array['thread', 'before']) w, unnest(array[:'before'::uuid, gen_random_uuid(), (select message_id from mesh_data.message where body = 'aside')]) i;
-- Against a plain query, by everybody who is in a room
select is((select jsonb_agg(h ->> 'message_id' order by n) from jsonb_array_elements(t.does(a.name, 'room_history', jsonb_build_object('room', r.name, 'limit', 200), case when a.name in ('alice', 'carol') then 'alice/proj' end)) with ordinality u (h, n)),
  (select jsonb_agg(m.message_id order by m.position) from mesh_data.message m where m.room_id = r.room_id), format('%s reads all of #%s, and nothing else', a.name, r.name))
from mesh_data.room r join mesh_data.mesh m on m.mesh_id = r.mesh_id and m.name = 'proj' join mesh_data.room_member s on s.room_id = r.room_id join mesh_data.agent a on a.agent_id = s.agent_id
where a.name in ('alice', 'carol', 'backend', 'designer', 'commander') order by 1;
select t.refuses(format('%s is not in #%s and does not read it', a.name, r.name), 403, a.name, 'room_history', jsonb_build_object('room', r.name), case when a.name in ('alice', 'carol') then 'alice/proj' end)
from mesh_data.room r join mesh_data.mesh m on m.mesh_id = r.mesh_id and m.name = 'proj' join mesh_data.agent a on a.mesh_id = m.mesh_id and a.removed_at is null
where a.name in ('alice', 'carol', 'backend', 'designer', 'commander') and not exists (select from mesh_data.room_member s where s.room_id = r.room_id and s.agent_id = a.agent_id) order by 1;

-- Edited and renamed
select t.refuses('who did not make it does not edit it: ' || w, 403, w, 'edit_room', '{"room": "hall", "topic": "x"}', case w when 'carol' then 'alice/proj' end) from unnest(array['backend', 'carol']) w;
select is(t.does('designer', 'edit_room', '{"room": "#hall", "topic": "new"}') ->> 'topic', 'new', 'who made it does');
select is(t.does('commander', 'edit_room', '{"room": "hall", "topic": ""}') -> 'topic', 'null', 'and a key that manages the mesh; an empty text removes');
select is(t.does('alice', 'edit_room', '{"room": "hall", "name": "#Lobby"}', 'proj') ->> 'room', '#lobby', 'and the mesh''s owner, who renames it');
select t.refuses('the old name is gone', 404, 'backend', 'send_message', '{"to": "#hall", "message": "x"}');
select is(t.say('backend', '#lobby', 'moved'), '200', 'the new one is good');
select is(t.history('backend', 'lobby', '{"limit": 2}'), 'fourth moved', 'its history moves with it');
select is((select mesh_lib.room_address(m.room_id) from mesh_data.message m where m.body = 'first'), '#lobby', 'an answer to what was said before goes to the new name');
select t.refuses('not to a name that is used', 409, 'designer', 'edit_room', '{"room": "lobby", "name": "long"}');
select t.refuses('nor to what is no name', 400, 'designer', 'edit_room', '{"room": "lobby", "name": "a b"}');
select t.refuses('nor to what is no mode', 400, 'designer', 'edit_room', '{"room": "lobby", "mode": "loud"}');
select t.refuses('a moderator is a member', 409, 'designer', 'edit_room', '{"room": "lobby", "moderator": "carol"}');
select is(t.does('designer', 'edit_room', '{"room": "lobby", "moderator": "Backend"}') ->> 'moderator', 'backend', 'a room gets a moderator');
select is(t.does('backend', 'edit_room', '{"room": "lobby", "moderator": "commander"}') ->> 'moderator', 'commander', 'who may edit it, and hand that on');
select t.refuses('and then no more', 403, 'backend', 'edit_room', '{"room": "lobby", "topic": "x"}');
select is(t.does('designer', 'edit_room', '{"room": "lobby", "moderator": ""}') -> 'moderator', 'null', 'or lose');

-- Turns: one after the other. Three with windows, one without.
select t.open('backend') as backend, t.open('designer') as designer \gset
select is(t.does('backend', 'create_room', '{"name": "round", "members": ["carol", "commander", "designer"], "mode": "round-robin"}') -> 'turn', 'null', 'a round begins with anybody');
select is(t.say('commander', '#round', 'r1'), '200', 'somebody begins');
select is(t.turn('#round'), 'designer', 'then it is the turn of the next');
select is(t.say(w, '#round', 'x'), '409 designer', w || ' is told whose turn it is') from unnest(array['commander', 'backend']) w;
select is(t.say('designer', '#round', 'r2'), '200', 'who speaks');
select is(t.say('backend', '#round', 'r3'), '200', 'then the first again');
select is(t.turn('#round'), 'commander', 'who is not there is passed over');
select is(t.texts(t.does('carol', 'check_messages', '{}', 'alice/proj') -> 'messages'), 'r1 r2 r3', 'but gets what is said');
select t.does('commander', 'close_session', '{}', null, :'window');
select is(t.turn('#round'), 'designer', 'the turn of who is gone passes on');
select is(t.say('backend', '#round', 'x'), '409 designer', 'to one');
select is(t.say('designer', '#round', 'r4'), '200', 'who speaks');
select is(t.turn('#round'), 'backend', 'and the round goes on without it');
select t.open('commander', ' again') as window \gset
select is(t.turn('#round'), 'backend', 'who comes back waits for its turn');
select t.say('backend', '#round', 'r5');
select is(t.turn('#round'), 'commander', 'which comes');
select t.does('commander', 'leave_room', '{"room": "round"}');
select is(t.turn('#round'), 'designer', 'who leaves passes its turn on');
select t.does('commander', 'join_room', '{"room": "round"}');
select t.say('designer', '#round', 'r6');
select is(t.turn('#round'), 'commander', 'who joins again is the last of the round');
-- What is refused for another reason takes no turn, and a repeated send neither.
select is(t.say('commander', '#round', ''), '400', 'a message that is none');
select is(t.turn('#round'), 'commander', 'takes no turn');
update mesh_data.setting set daily_messages = 1;
select is(t.say('commander', '#round', 'x'), '429', 'nor one too many of today');
select is(t.turn('#round'), 'commander', 'which takes no turn');
update mesh_data.setting set daily_messages = 100000;
select is(t.say('commander', '#round', 'r7', '{"key": "r7"}'), '200', 'one with a key');
select is(t.turn('#round'), 'backend', 'takes it');
select is(t.say('commander', '#round', 'r7', '{"key": "r7"}'), '200', 'the same again is a duplicate, whoever''s turn it is');
select is(t.turn('#round'), 'backend', 'and moves nothing');
select t.say('backend', '#round', 'r8'), t.say('designer', '#round', 'r9');
select is(t.turn('#round'), 'commander', 'a round later');
select is(t.say('commander', '#round', 'r7', '{"key": "r7"}'), '200', 'a duplicate again');
select is(t.turn('#round'), 'commander', 'takes no turn that has come since');
select is(t.say('backend', '#round', 'x', '{"key": "refused"}'), '409 commander', 'the key of what was refused');
select t.say('commander', '#round', 'r10');
select is(t.say('backend', '#round', 'r11', '{"key": "refused"}'), '200', 'is free when the turn comes');
select is(t.history('commander', 'round'), 'r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11', 'the history is in the order of turns');
select is(t.does('carol', 'send_message', '{"to": "#round", "message": "a word"}', 'alice/proj') ->> 'duplicate', 'false', 'a person speaks out of turn');
select is(t.turn('#round'), 'designer', 'and takes nobody''s');
-- Removed while it has the turn
select is(t.turn('#round'), 'designer', 'a guest has the turn');
select t.does('alice', 'revoke_member', '{"member": "designer"}', 'proj');
select is(t.room('backend', '#round') ->> 'turn', 'commander', 'and is thrown out: the turn passes on');
select is(t.say('commander', '#round', 'r12'), '200', 'to who may speak');
select t.does('commander', 'close_session', '{}', null, :'window');
select is(t.room('backend', '#round') ->> 'turn', 'backend', 'one is left');
select is(t.say('backend', '#round', 'r' || n), '200', 'who is alone may go on') from generate_series(13, 15) n;
select is(t.room('backend', '#round') ->> 'turn', null, 'and anybody may come in');
select is(t.say('carol', '#round', 'r16'), '200', 'also without a window');
select is(t.room('backend', '#round') ->> 'turn', null, 'a person takes nobody''s turn');
select t.does('backend', 'close_session', '{}', null, :'backend');
select is(t.say(w, '#round', 'y'), '200', 'with nobody there ' || w || ' may speak') from unnest(array['carol', 'carol', 'commander']) w;

-- A batch: turns are taken in the order of the letters
select t.guest('alice', 'proj', 'painter');
select t.open('backend', ' again') as backend, t.open('painter') as painter, t.open('commander', ' third') as window \gset
select t.does('backend', 'create_room', '{"name": "batch", "members": ["painter"], "mode": "round-robin"}'), t.does('backend', 'create_room', '{"name": "batch2", "members": ["painter"], "mode": "reactive"}');
create function t.batch(variadic calls text[]) returns text language sql volatile security definer set search_path = '' as $$
  select string_agg(c.status::text, ' ' order by c.ordinal)
  from mesh_lib.call(
    array(select t.token(batch.calls[i]) from generate_series(1, cardinality(batch.calls), 3) i),
    array_fill(null::text, array[cardinality(batch.calls) / 3]), array_fill(null::text, array[cardinality(batch.calls) / 3]), array_fill('send_message'::text, array[cardinality(batch.calls) / 3]),
    array(select jsonb_build_object('to', batch.calls[i + 1], 'message', batch.calls[i + 2])::text from generate_series(1, cardinality(batch.calls), 3) i)) c
$$;
select is(t.batch('backend', '#batch', 'b1', 'backend', '#batch', 'x', 'painter', '#batch', 'b2', 'commander', '#batch', 'x', 'backend', '#batch2', 'c1', 'backend', '#batch2', 'x',
  'painter', '#batch', 'x', 'painter', '#batch2', 'c2', 'backend', 'painter', 'direct', 'backend', '#batch', 'b3'), '200 409 200 403 200 409 409 200 200 200', 'each of a batch takes its turn, or is refused');
select is(t.history('painter', 'batch') || ', ' || t.history('painter', 'batch2'), 'b1 b2 b3, c1 c2', 'and is said in that order');
select is(t.take('painter'), 'b1 c1 direct b3', 'and comes in it');

-- Nobody twice in a row
select t.does('backend', 'create_room', '{"name": "react", "members": ["painter", "commander", "carol"], "mode": "reactive"}');
select is(t.say('painter', '#react', 's1'), '200', 'anybody begins');
select is(t.say('painter', '#react', 'x'), '409', 'nobody speaks twice in a row');
select is(t.room('backend', '#react') ->> 'turn', null, 'it is nobody''s turn above others');
select is(t.say('carol', '#react', 's2'), '200', 'anybody else, also without a window');
select is(t.say('painter', '#react', 's3'), '200', 'and then the first again');
select t.does('painter', 'leave_room', '{"room": "react"}'), t.does('painter', 'join_room', '{"room": "react"}');
select is(t.say('painter', '#react', 'x'), '409', 'who leaves and joins has still spoken last');
select is(t.say('backend', '#react', 's4') || t.say('painter', '#react', 's5'), '200200', 'until somebody else did');

-- Whom the moderator gives the floor
select is(t.does('painter', 'create_room', '{"name": "panel", "members": ["backend", "commander"], "mode": "moderated"}') ->> 'moderator', 'painter', 'the moderator is who made the room');
select is(t.say('backend', '#panel', 'x'), '409 painter', 'nobody speaks before the moderator');
select is(t.say('painter', '#panel', 'p1') || t.say('painter', '#panel', 'p2'), '200200', 'who may always');
select is(t.does('painter', 'give_floor', '{"room": "#panel", "agent": "Backend"}'), '{"room": "#panel", "turn": "backend"}', 'the moderator gives the floor');
select is(t.say('backend', '#panel', 'p3') || t.say('backend', '#panel', 'p4'), '200200', 'who has it may go on');
select is(t.say('painter', '#panel', 'p5'), '200', 'the moderator still may');
select is(t.say('commander', '#panel', 'x'), '409 backend', 'nobody else may, not even who may manage the mesh');
select t.refuses('only the moderator gives it', 403, w, 'give_floor', '{"room": "panel", "agent": "commander"}', case w when 'alice' then 'proj' end) from unnest(array['backend', 'commander', 'alice']) w;
select t.refuses('to a member', 409, 'painter', 'give_floor', '{"room": "panel", "agent": "carol"}');
select t.refuses('who is there', 404, 'painter', 'give_floor', '{"room": "panel", "agent": "nobody"}');
select t.refuses('in a moderated room', 409, 'backend', 'give_floor', '{"room": "react", "agent": "painter"}');
select t.does('painter', 'give_floor', '{"room": "panel", "agent": "commander"}');
select is(t.say('backend', '#panel', 'x') || t.say('commander', '#panel', 'p6'), '409 commander200', 'it is given on');
select t.does('commander', 'leave_room', '{"room": "panel"}'), t.does('commander', 'join_room', '{"room": "panel"}');
select is(t.say('commander', '#panel', 'x'), '409 painter', 'who leaves gives it back');
select t.refuses('the moderator does not leave a room without one', 409, 'painter', 'leave_room', '{"room": "panel"}');
select is(t.does('painter', 'edit_room', '{"room": "panel", "moderator": "backend"}') ->> 'turn', 'backend', 'another one is named');
select t.works('and the first may go', 'painter', 'leave_room', '{"room": "panel"}');
select t.refuses('a moderated room has a moderator', 409, 'painter', 'edit_room', '{"room": "panel", "moderator": ""}');
select is(t.does('painter', 'edit_room', '{"room": "panel", "mode": "free"}') ->> 'mode', 'free', 'who made it may still edit it');
select is(t.say('commander', '#panel', 'p7') || t.say('commander', '#panel', 'p8'), '200200', 'and in a free room anybody speaks');
select is(t.does('backend', 'edit_room', '{"room": "panel", "mode": "Reactive"}') ->> 'mode', 'reactive', 'a mode can change again');
select is(t.say('commander', '#panel', 'p9'), '200', 'and turns begin anew');
select t.does('commander', 'create_agent', '{"name": "chair"}');
select t.does('backend', 'create_room', '{"name": "panel3", "members": ["commander"], "mode": "moderated"}'), t.does('commander', 'invite_to_room', '{"room": "panel3", "agents": ["chair"]}');
select t.does('backend', 'edit_room', '{"room": "panel3", "moderator": "chair"}');
select is(t.say('commander', '#panel3', 'x'), '409 chair', 'whom nobody gave the floor waits for the moderator');
select t.does('commander', 'remove_agent', '{"agent": "chair"}');
select is(t.say('commander', '#panel3', 'x'), '200', 'but not for one who was removed');
select is(t.does('commander', 'create_room', '{"name": "panel2", "members": ["backend"], "mode": "moderated", "moderator": "painter"}') -> 'members', '["commander", "painter", "backend"]', 'a moderator who is named is a member');

-- Closed
select t.send('backend', '#lobby', 'last words', '{"key": "last"}') as last \gset
select t.refuses('who did not make it does not close it', 403, 'backend', 'close_room', '{"room": "lobby"}');
select ok(t.does('commander', 'close_room', '{"room": "#lobby"}') @> '{"room": "#lobby", "next": "mesh room history lobby"}', 'a room is closed');
select t.refuses('once', 410, 'commander', 'close_room', '{"room": "lobby"}');
select is(t.room('backend', '#lobby'), null, 'it is in no list');
select t.refuses('nothing is said there', 410, 'backend', 'send_message', '{"to": "#lobby", "message": "x"}');
select t.refuses('nothing is answered there', 410, 'alice', 'reply', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id', 'message', 'x'), 'proj');
select t.refuses('nobody joins', 410, 'carol', 'join_room', '{"room": "lobby"}', 'alice/proj');
select t.refuses('or is invited', 410, 'backend', 'invite_to_room', '{"room": "lobby", "agents": ["carol"]}');
select t.refuses('or edits it', 410, 'commander', 'edit_room', '{"room": "lobby", "topic": "x"}');
select is(t.does('backend', 'send_message', '{"to": "#lobby", "message": "last words", "key": "last"}') - 'recipients', jsonb_build_object('message_id', :'last', 'duplicate', true), 'a repeated send is still answered');
select is(t.history('backend', 'lobby', '{"limit": 1}'), 'last words', 'its members still read it');
select t.refuses('nobody else does', 403, 'carol', 'room_history', '{"room": "lobby"}', 'alice/proj');
select ok(t.take('commander', '{"limit": 100}') like '%last words%', 'what was said is still delivered');
select (t.does('commander', 'create_room', '{"name": "lobby"}') ->> 'room_id') as lobby \gset
select t.refuses('its name is free: who is in the new room alone is heard', 403, 'backend', 'send_message', '{"to": "#lobby", "message": "x"}');
select is(t.does('alice', 'reply', jsonb_build_object('message_id', :'last', 'message', 'x'), 'proj') ->> 'to', 'backend', 'an answer to what was said in the old one does not go there');
select is(t.history('commander', 'lobby'), '', 'the new room has a history of its own');
select is(t.does('backend', 'room_history', jsonb_build_object('room', (select room_id from mesh_data.room where name = 'lobby' and closed_at is not null), 'limit', 1)) #>> '{0,message}', 'last words', 'the old one is read by its id');
select t.refuses('by its members', 403, 'backend', 'room_history', jsonb_build_object('room', :'lobby'));

-- Strangers
select t.refuses('nobody from another mesh finds a room with ' || f, 404, w, f, a || jsonb_build_object('room', 'panel'))
from unnest(array['scout', 'visitor', 'bob']) w, (values ('join_room', '{}'::jsonb), ('room_history', '{}'), ('leave_room', '{}'), ('edit_room', '{}'), ('close_room', '{}'), ('invite_to_room', '{"agents": ["scout"]}'), ('give_floor', '{"agent": "scout"}')) v (f, a) order by 1;
select t.refuses('nor by its id', 404, 'visitor', 'room_history', jsonb_build_object('room', :'lobby'));
select t.refuses('nor writes there', 404, 'visitor', 'send_message', '{"to": "#panel", "message": "x"}');
select is((select jsonb_agg(r ->> 'room') from jsonb_array_elements(t.does('scout', 'list_rooms')) r), '["#hall"]', 'it lists its own');
select is(t.attempt_as('visitor', format('select mesh_lib.seat(%L, array[mesh_lib.my_agent()])', :'lobby')), 'ME403', 'nor does SQL seat it there');
select is(t.attempt_as('backend', format('select mesh_lib.seat(%L, array(select agent_id from mesh_data.agent where name = ''painter''))', :'lobby')), 'ME403', 'nor anybody whom who is outside would bring');
select is(t.attempt_as('backend', format('update mesh_data.room set topic = ''x'' where room_id = %L', :'lobby')), 'done', 'an update of somebody else''s room');
select is((select topic from mesh_data.room where room_id = :'lobby'), null, 'changes nothing');

-- Limits
insert into mesh_data.agent (mesh_id, name) select mesh_id, 'extra-' || n from mesh_data.mesh, generate_series(1, 1100) n where name = 'proj';
select t.refuses('a room has 1,000 members', 429, 'commander', 'invite_to_room', '{"room": "lobby", "agents": ["*"]}');
select is(jsonb_array_length(t.does('commander', 'join_room', '{"room": "lobby"}') -> 'members'), 1, 'all of too many, or none');
select t.works('a thousand', 'commander', 'invite_to_room', jsonb_build_object('room', 'lobby', 'agents', (select array_agg('extra-' || n) from generate_series(1, 999) n)));
select is(t.room('commander', '#lobby') ->> 'members', '1000', 'fit');
select t.does('commander', 'edit_room', '{"room": "lobby", "mode": "round-robin"}');
select is(t.say('commander', '#lobby', 'to all'), '200', 'and hear each other');
insert into mesh_data.room (mesh_id, name) select mesh_id, 'extra-' || n from mesh_data.mesh, generate_series(1, 1000) n where name = 'proj';
select t.refuses('a mesh has 1,000 open rooms', 429, 'commander', 'create_room', '{"name": "one-too-many"}');

select is((select string_agg(distinct e.kind, ' ' order by e.kind) from mesh_data.event e where e.kind ~ 'room'), 'room_closed room_created room_edited', 'the log tells what happened to rooms');

select finish();
rollback;
