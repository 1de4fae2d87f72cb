-- Blocks: from whom an agent takes no mail.
begin;
\ir helpers.psql
select no_plan();
select t.world();
create function t.written() returns bigint language sql stable as $$ select count(*) from mesh_data.message $$;

select t.send('designer', 'backend', 'before');
select is(t.does('backend', 'block_agent', '{"agent": "Designer", "reason": "noise"}'), '{"blocked": "designer", "reason": "noise", "next": "mesh unblock designer"}', 'an agent blocks another');
select is(t.does('backend', 'list_blocks') #>> '{0,agent}', 'designer', 'and sees whom it blocks');
select is(t.does('backend', 'block_agent', '{"agent": "designer", "reason": "spam"}') ->> 'reason', 'spam', 'blocking again changes the reason');
select is(jsonb_array_length(t.does('backend', 'list_blocks')), 1, 'and is one block');
select is(t.take('backend', '{"peek": true}'), 'before', 'mail that was there stays');

-- Refused before anything is queued
select t.written() as before \gset
select t.refuses('a message to who blocks its sender', 403, 'designer', 'send_message', '{"to": "backend", "message": "x"}');
select is(t.call('designer', 'send_message', '{"to": "backend", "message": "x"}') #>> '{answer,message}', 'backend does not take your messages', 'it says who');
select t.refuses('by its key as well', 403, 'designer', 'send_message', jsonb_build_object('to', left(t.public_key('identity of backend'), 12), 'message', 'x'));
select t.refuses('several single addresses, one of whom blocks', 403, 'designer', 'send_message', '{"to": ["commander", "backend"], "message": "x"}');
select is(t.call('designer', 'send_message', '{"to": "backend,commander", "message": "x"}') #> '{answer,data}', '{"agent": "backend", "agents": ["backend"]}', 'it says who of them');
select t.does('commander', 'block_agent', '{"agent": "designer"}');
select is(t.call('designer', 'send_message', '{"to": "backend,alice,commander", "message": "x"}') #>> '{answer,message}', 'backend and commander do not take your messages', 'or which of them');
select t.does('commander', 'unblock_agent', '{"agent": "designer"}');
select is(t.written(), :before::bigint, 'nothing of it is written');
select is(t.take('commander') || t.take('backend', '{"peek": true}'), 'before', 'nor queued for anybody');
select t.refuses('a key of a refused message', 403, 'designer', 'send_message', '{"to": "backend", "message": "x", "key": "k"}');
select t.works('is free', 'designer', 'send_message', '{"to": "commander", "message": "x", "key": "k"}');

-- Of many it is left out
select is((select string_agg(r ->> 'agent', ' ' order by r ->> 'agent') from jsonb_array_elements(t.does('designer', 'send_message', '{"to": "*", "message": "all"}') -> 'recipients') r), 'alice carol commander tester', '* leaves out who blocks its sender');
select is(t.take('backend', '{"peek": true}'), 'before', 'who hears nothing of it');
select is((select string_agg(r ->> 'agent', ' ' order by r ->> 'agent') from jsonb_array_elements(t.does('designer', 'send_message', '{"to": "*,backend", "message": "all"}') -> 'recipients') r), 'alice carol commander tester', 'also when it is named beside others by a broadcast');
select t.works('what the blocker sends arrives', 'backend', 'send_message', '{"to": "designer", "message": "I may"}');
select is(t.take('designer'), 'I may', 'a block is one way');
select t.works('others are not blocked', 'commander', 'send_message', '{"to": "backend", "message": "hello"}');

-- A dead message is not sent past a block
select t.send('commander', 'designer', 'dead') as dead \gset
select t.does('designer', 'release_messages', jsonb_build_object('message_ids', array[:'dead'])) from generate_series(1, 5);
select t.does('designer', 'block_agent', '{"agent": "commander"}');
select t.refuses('its sender cannot have it retried', 409, 'commander', 'retry_message', jsonb_build_object('message_id', :'dead'));
select t.works('who blocks may', 'designer', 'retry_message', jsonb_build_object('message_id', :'dead'));

-- Nobody else sees it
select is(t.does(w, 'list_blocks'), '[]', w || ' does not see whom others block') from unnest(array['commander', 'scout']) w;
select is(t.does('alice', 'list_blocks', '{}', 'proj'), '[]', 'nor does the owner');
select is(t.attempt_as('commander', 'select count(*) from mesh_data.block'), '0', 'nor does direct SQL, in whose mesh there are two');
select is((select count(*) from mesh_data.event where kind ~ 'block' or detail::text ~ 'block'), 0::bigint, 'nor does the log');

-- Unblock
select t.refuses('whom one does not block', 404, 'commander', 'unblock_agent', '{"agent": "designer"}');
select is(t.does('backend', 'list_blocks') #>> '{0,agent}', 'designer', 'the block of another stays');
select is(t.does('backend', 'unblock_agent', '{"agent": "designer"}'), '{"unblocked": "designer"}', 'a block is taken back');
select is(t.does('backend', 'list_blocks'), '[]', 'and gone');
select t.works('its mail comes again', 'designer', 'send_message', '{"to": "backend", "message": "after"}');
select is(t.take('backend'), 'before hello after', 'what was refused meanwhile does not come');
select t.refuses('not oneself', 400, 'backend', 'block_agent', '{"agent": "backend"}');
select t.refuses('not an agent of another mesh', 404, 'backend', 'block_agent', '{"agent": "scout"}');
select t.refuses('not for a reason of 201 characters', 413, 'backend', 'block_agent', jsonb_build_object('agent', 'designer', 'reason', repeat('x', 201)));

select finish();
rollback;
