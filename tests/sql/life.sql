-- The life of mail: drained, put off, given back, dead, retried, expired, held. And that silence ends nothing.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.attempt('mesh_admin', 'select mesh.set_limits(turns_per_minute => 0)');
create function t.states(message_id uuid) returns text language sql stable as $$
  select string_agg(a.name || ' ' || d.state || ' ' || d.attempts, ', ' order by a.name) from mesh_data.delivery d join mesh_data.agent a on a.agent_id = d.agent_id where d.message_id = states.message_id
$$;
create function t.ids(message_ids text[]) returns jsonb language sql immutable as $$ select jsonb_build_object('message_ids', ids.message_ids) $$;
create function t.inbox(agent text) returns text language sql volatile as $$ select t.take(agent, '{"peek": true}', t.window(agent)) $$;

-- 1,000 messages read with limit 10 arrive, all and in order
select count(t.send('designer', 'backend', 'm' || n)) from generate_series(1, 1000) n;
select is((select string_agg(t.take('backend', '{"limit": 10}'), ' ') from generate_series(1, 100)), (select string_agg('m' || n, ' ') from generate_series(1, 1000) n), '1,000 messages read with limit 10 arrive, all and in order');
select is(t.take('backend'), '', 'and no more than these');
select is((select count(*) from mesh_data.delivery where state <> 'acknowledged'), 0::bigint, 'all of them settled');

-- Equal times keep the order of sending, also when the clock stands still or steps back
create or replace function mesh_lib.now() returns timestamptz language sql stable set search_path = '' as $$ select timestamptz '2030-01-01' $$;
select count(t.send('designer', 'backend', 'e' || n)) from generate_series(1, 20) n;
select is(t.take('backend'), (select string_agg('e' || n, ' ') from generate_series(1, 20) n), 'messages of equal times keep their order');
select is((select count(distinct sent_at) from mesh_data.message where body like 'e%'), 1::bigint, 'and their times are equal');
select t.send('designer', 'backend', 'b1');
create or replace function mesh_lib.now() returns timestamptz language sql stable set search_path = '' as $$ select timestamptz '2029-12-31' $$;
select t.send('designer', 'backend', 'b2');
select is(t.take('backend'), 'b1 b2', 'a clock that steps back changes no order');
select t.pass('0');
select t.take('backend');

-- Release
select t.send('designer', 'commander', 'r1') as r1 \gset
select t.send('designer', 'commander', 'r2') as r2 \gset
select t.open('commander') as window \gset
select is(t.take('commander', '{}', :'window'), 'r1 r2', 'taken');
select is(t.does('commander', 'release_messages', t.ids(array[:'r1']) || '{"retry_after": 60, "reason": "the build is broken"}', null, :'window'), '{"released": 1, "dead": 0, "already": 0}', 'one is given back for a minute');
select is(t.states(:'r1'), 'commander queued 1', 'it is queued again, and that was one attempt');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'r1')) #>> '{0,reason}', 'the build is broken', 'its sender is told why');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'r1')) #>> '{0,waits_for}', 'its time', 'and what it waits for');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'r1')) #>> '{0,state}', 'queued', 'and that it is not pushed before, though its recipient is there');
select is(t.inbox('commander'), 'r2', 'before its time it is not in the inbox');
select is(t.texts(t.mail('commander')), '', 'nor pushed');
select is(t.does('commander', 'check_messages', '{"peek": true}', null, :'window') ->> 'unread', '0', 'nor unread');
select is(t.take('commander', '{}', :'window'), '', 'nor taken');
select is((t.does('commander', 'list_meshes') #>> '{0,unread}') || (t.tried('commander', 'open_session', null) #>> '{answer,unread}'), '00', 'nor counted in a list, nor told to a window that opens');
select is(t.states(:'r1') || ', ' || t.states(:'r2'), 'commander queued 1, commander acknowledged 0', 'the next check settles what was kept, not what was given back');
select t.receipt('commander', :'r1');
select is(t.states(:'r1'), 'commander queued 1', 'a late receipt of it says nothing');
select mesh_lib.now() as now \gset
select is(mesh_lib.due_since(:'now'), false, 'nothing has become due');
select t.pass('61 seconds');
select is(mesh_lib.due_since(:'now'), true, 'after a minute something has');
select is(mesh_lib.due_since(mesh_lib.now()), false, 'which is news once');
select is(t.texts(t.mail('commander')), 'r1', 'and is pushed again');
select is(t.take('commander', '{}', :'window'), 'r1', 'and taken');
select is(t.does('commander', 'release_messages', t.ids(array[:'r1', :'r2', :'r1']), null, :'window'), '{"released": 1, "dead": 0, "already": 1}', 'what is settled is not given back; the same id twice is one');
select is(t.texts(t.mail('commander')), 'r1', 'without retry_after it is pushed at once');
select is((select jsonb_build_object('reason', d.reason, 'taken', d.claim_id is not null) from mesh_data.delivery d where d.message_id = :'r1'), '{"reason": "the build is broken", "taken": false}', 'without a reason the last one stays');

select t.refuses('what is not there spoils a release', 404, 'commander', 'release_messages', t.ids(array[:'r1', gen_random_uuid()::text]), null, :'window');
select t.send('designer', 'backend', 'not yours') as other \gset
select is(t.call('commander', 'release_messages', t.ids(array[:'r1', :'other']), null, :'window') #> '{answer,data}', t.ids(array[:'other']), 'so does mail of others; it says which');
select is(t.states(:'r1'), 'commander queued 2', 'and gives nothing back');
select t.refuses('a sender does not release', 404, 'designer', 'release_messages', t.ids(array[:'r1']));
select t.refuses('retry_after ' || r, 400, 'commander', 'release_messages', t.ids(array[:'r1']) || jsonb_build_object('retry_after', r), null, :'window') from unnest(array[-1, 86401]) r;
select t.works('retry_after null is none', 'commander', 'release_messages', t.ids(array[:'r1']) || '{"retry_after": null}', null, :'window');
select t.refuses('no ids', 400, 'commander', 'release_messages', '{"message_ids": []}', null, :'window');
select t.refuses('a reason of 501 characters', 413, 'commander', 'release_messages', t.ids(array[:'r1']) || jsonb_build_object('reason', repeat('x', 501)), null, :'window');
select t.refuses('a reason that writes backwards', 400, 'commander', 'release_messages', t.ids(array[:'r1']) || jsonb_build_object('reason', E'a\u202eb'), null, :'window');

-- Dead
select t.does('commander', 'release_messages', t.ids(array[:'r1']), null, :'window');
select is(t.states(:'r1'), 'commander queued 4', 'four attempts leave it alive');
select t.send('designer', 'commander', 'r3') as r3 \gset
select is(t.does('commander', 'release_messages', t.ids(array[:'r1', :'r3']) || '{"reason": "gave up", "retry_after": 5}', null, :'window'), '{"released": 1, "dead": 1, "already": 0}', 'the fifth makes it dead');
select is(t.states(:'r1') || ', ' || t.states(:'r3'), 'commander dead 5, commander queued 1', 'and not the other');
select t.pass('2 minutes');
select is(t.take('commander', '{}', :'window'), 'r3', 'what is dead does not come again');
select is(t.does('commander', 'release_messages', t.ids(array[:'r1']), null, :'window'), '{"released": 0, "dead": 0, "already": 1}', 'nor is it given back');
select ok(t.does(w.who, 'list_dead_messages', '{}', null) -> 0 @> jsonb_build_object('message_id', :'r1', 'from', 'designer', 'agent', 'commander', 'message', 'r1', 'attempts', 5, 'reason', 'gave up'), w.who || ' sees it on the list of the dead')
from (values ('commander'), ('designer')) w (who);
select ok(t.does('designer', 'list_dead_messages') #>> '{0,dead_at}' <> '', 'and since when');
select is(t.does(w, 'list_dead_messages'), '[]', w || ' does not') from unnest(array['backend', 'scout', 'visitor']) w;
select is(t.does('alice', 'list_dead_messages', '{}', 'proj'), '[]', 'nor does the owner of the mesh');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', :'r1')) #>> '{0,state}', 'dead', 'message_status says dead');
select is(t.does('alice', 'mesh_info', '{}', 'proj') ->> 'dead', '1', 'the mesh counts it');

-- Retry
select t.refuses('who is no party to it does not retry: ' || w, 404, w, 'retry_message', jsonb_build_object('message_id', :'r1')) from unnest(array['backend', 'scout', 'visitor']) w;
select is(t.does('designer', 'retry_message', jsonb_build_object('message_id', :'r1')), jsonb_build_object('message_id', :'r1', 'agents', array['commander']), 'its sender has it tried again');
select is(t.states(:'r1'), 'commander queued 0', 'with all attempts before it');
select is(t.texts(t.mail('commander')), 'r1', 'it is pushed');
select t.refuses('what is not dead is not retried', 409, 'designer', 'retry_message', jsonb_build_object('message_id', :'r1'));
select t.does('commander', 'release_messages', t.ids(array[:'r1']), null, :'window') from generate_series(1, 5);
select t.works('its recipient has it tried again', 'commander', 'retry_message', jsonb_build_object('message_id', :'r1'));
select is(t.take('commander', '{}', :'window'), 'r1', 'and takes it');
select t.does('commander', 'release_messages', t.ids(array[:'r1']), null, :'window') from generate_series(1, 5);
select is(t.does('commander', 'ack_messages', t.ids(array[:'r1']), null, :'window') ->> 'acknowledged', '1', 'an acknowledgement by its recipient always settles');
select is(t.does('designer', 'list_dead_messages'), '[]', 'then it is dead no more');
select t.send('designer', 'commander,backend', 'two') as two \gset
select t.does(w, 'release_messages', t.ids(array[:'two'])) from unnest(array['commander', 'backend']) w, generate_series(1, 5);
select is(t.states(:'two'), 'backend dead 5, commander dead 5', 'dead for both');
select t.refuses('one of them cannot have the other try', 409, 'commander', 'retry_message', jsonb_build_object('message_id', :'two', 'agent', 'backend'));
select is(t.does('designer', 'retry_message', jsonb_build_object('message_id', :'two', 'agent', 'Backend')) -> 'agents', '["backend"]', 'the sender has one try');
select is(t.states(:'two'), 'backend queued 0, commander dead 5', 'and only that one');
select is(t.does('commander', 'retry_message', jsonb_build_object('message_id', :'two')) -> 'agents', '["commander"]', 'a recipient only itself');
select t.take('commander', '{}', :'window'), t.take('commander', '{}', :'window'), t.take('backend'), t.take('backend');

-- Acknowledging
select t.send('designer', 'commander', 'a') as a \gset
select t.refuses('an acknowledgement by somebody else is refused: ' || w, 404, w, 'ack_messages', t.ids(array[:'a'])) from unnest(array['backend', 'designer', 'scout']) w;
select is(t.does('commander', 'ack_messages', t.ids(array[:'a']), null, :'window') || t.does('commander', 'ack_messages', t.ids(array[:'a']), null, :'window'), '{"acknowledged": 0, "already": 1}', 'repeating one is harmless');

-- Held mail flushes on idle, in order
select t.does('commander', 'set_status', '{"status": "working"}', null, :'window');
select t.send('designer', 'commander', 'n1'), t.send('backend', 'commander', 'l1', '{"priority": "low"}'), t.send('designer', 'commander', 'n2'), t.send('backend', 'commander', 'n3');
select is(t.texts(t.mail('commander')), '', 'mail is held while its recipient is working');
select t.send('designer', 'commander', 'now!', '{"priority": "now"}');
select is(t.texts(t.mail('commander')), 'now!', 'but not what is for now');
select t.does('commander', 'set_status', '{"status": "dnd"}', null, :'window');
select is(t.texts(t.mail('commander')), 'now!', 'the same when it is not to be disturbed');
select t.does('commander', 'set_status', '{"status": "idle"}', null, :'window');
select is(t.texts(t.mail('commander')), 'now! n1 n2 n3 l1', 'held mail flushes on idle, in order');
select t.does('commander', 'set_status', '{"status": "dnd"}', null, :'window');
select is(t.take('commander', '{}', :'window'), 'now! n1 n2 n3 l1', 'who asks gets it whatever its status');
select t.take('commander', '{}', :'window');
select t.does('commander', 'set_status', '{"status": "idle"}', null, :'window');

-- Expiry
select t.send('designer', 'commander', 'x' || n, jsonb_build_object('expires_in', n * 10)) from generate_series(1, 3) n;
select t.send('designer', 'commander', 'x for ever');
select is(t.take('commander', '{"limit": 1}', :'window'), 'x1', 'mail that expires is taken before it does');
select t.pass('145 seconds');
select is(t.inbox('commander'), 'x3 x for ever', 'later it is in no inbox');
select is(t.does('commander', 'check_messages', '{"peek": true}', null, :'window') ->> 'unread', '2', 'nor counted');
select is(t.texts(t.mail('commander')), 'x3 x for ever', 'nor pushed');
select is(mesh_lib.expire(), 1::bigint, 'it is settled as expired, unless somebody has it in hand');
select is((select string_agg(m.body || ' ' || d.state, ', ' order by m.body) from mesh_data.delivery d join mesh_data.message m on m.message_id = d.message_id where m.body ~ '^x\d'), 'x1 queued, x2 expired, x3 queued', 'the right one');
select is(t.take('commander', '{}', :'window'), 'x3 x for ever', 'the next check settles what was taken in time');
select is((select string_agg(d.state, ' ') from mesh_data.delivery d join mesh_data.message m on m.message_id = d.message_id where m.body = 'x1'), 'acknowledged', 'which was not too late');
select is(t.does('designer', 'message_status', jsonb_build_object('message_id', (select message_id from mesh_data.message where body = 'x2'))) #>> '{0,state}', 'expired', 'its sender sees it expired');
select t.take('commander', '{}', :'window');
select t.send('designer', 'commander', 'x4', '{"expires_in": 1}') as x4 \gset
select t.does('commander', 'release_messages', t.ids(array[:'x4']), null, :'window') from generate_series(1, 5);
select t.pass('200 seconds');
select t.refuses('what expired is not retried', 409, 'designer', 'retry_message', jsonb_build_object('message_id', :'x4'));
select t.refuses('what expires at once is not sent', 400, 'designer', 'send_message', jsonb_build_object('to', 'commander', 'message', 'x', 'expires_in', e)) from unnest(array[0, -5]) e;

-- A window that ignores its mail
select count(t.send('designer', 'commander', 'i' || n)) from generate_series(1, 25) n;
select t.texts(t.mail('commander')) <> '', t.take('commander', '{"limit": 5}', :'window') <> '';
select count(t.pass(n * interval '90 seconds') || t.presence('commander', 'confirm') || t.mail('commander')::text) from generate_series(3, 13) n;
select t.open('commander', ' later', jsonb_build_object('takeover', true, 'hello', t.signed('identity of commander', mesh_lib.now()))) as later \gset
select is(t.take('commander', '{"limit": 100}', :'later'), (select string_agg('i' || n, ' ') from generate_series(1, 25) n), 'a window that ignored its mail for ten lease times: the next finds all of it');
select is((select count(*) from mesh_data.delivery d join mesh_data.message m on m.message_id = d.message_id where m.body ~ '^i\d' and (d.state = 'dead' or d.attempts > 0)), 0::bigint, 'none of it dead, no attempt counted');
select t.take('commander', '{}', :'later');

-- A restarted agent gets its mail under its name
select t.send('designer', 'commander', 'while you were away') is null, t.does('commander', 'close_session', '{}', null, :'later') is null;
select t.send('designer', 'commander', 'and closed') is null;
delete from t.session;
select t.open('commander', ' restarted', jsonb_build_object('hello', t.signed('identity of commander', mesh_lib.now()))) as restarted \gset
select is(t.does('commander', 'open_session', t.opening('commander', ' restarted') || jsonb_build_object('hello', t.signed('identity of commander', mesh_lib.now()))) ->> 'unread', '2', 'a restarted agent is told of its mail');
select is(t.take('commander', '{}', :'restarted'), 'while you were away and closed', 'and gets it under its name');
select t.send('designer', 'commander', 'renamed') is null, t.does('alice', 'edit_agent', '{"agent": "commander", "name": "captain"}', 'proj') is null;
select t.send('designer', 'captain', 'by its new name') is null;
select is(t.take('commander', '{}', :'restarted'), 'renamed by its new name', 'also when that name was changed');

select finish();
rollback;
