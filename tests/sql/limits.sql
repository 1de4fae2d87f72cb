-- Limits: turns of two agents, messages of a key in a day, and the administrator who sets them.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.does('bob', 'create_mesh', '{"name": "two", "mode": "open"}'), t.agent('bob', 'two', 'lone');
create function t.say(who text, "to" text, extra jsonb default '{}') returns text language sql volatile as $$
  select t.call(say.who, 'send_message', jsonb_build_object('to', say.to, 'message', 'x') || extra) ->> 'status' $$;
-- One batch of sends by these, as a relay makes it: the statuses.
create function t.batch(who text[], "to" text[], keys text[] default null) returns text language sql volatile security definer set search_path = '' as $$
  select string_agg(c.status::text, ' ' order by c.ordinal) from mesh_lib.call(array(select t.token(w) from unnest(batch.who) w), array_fill(null::text, array[cardinality(batch.who)]),
    array_fill(null::text, array[cardinality(batch.who)]), array_fill('send_message'::text, array[cardinality(batch.who)]),
    array(select jsonb_strip_nulls(jsonb_build_object('to', u.a, 'message', 'x', 'key', u.k))::text from unnest(batch.to, batch.keys) u (a, k))) c $$;
create function t.set(what text) returns text language sql volatile as $$ select t.attempt('mesh_admin', 'select mesh.set_limits(' || what || ')::text') $$;

-- Turns
select is(t.set('turns_per_minute => 4'), '(100000,4,90)', 'the administrator sets limits and sees all of them');
select is((select string_agg(t.say(case n % 2 when 1 then 'backend' else 'designer' end, case n % 2 when 1 then 'designer' else 'backend' end), ' ' order by n) from generate_series(1, 14) n),
  '200 200 200 200 200 200 200 200 200 200 200 200 200 429', 'two agents that answer each other get three minutes'' worth of turns');
select is(t.call('designer', 'send_message', '{"to": "backend", "message": "x"}') #>> '{answer,message}', 'you and backend have answered each other too often: at most 4 turns a minute', 'then they are told so');
select is(t.call('designer', 'send_message', '{"to": "backend", "message": "x"}') #> '{answer,data}', '{"agent": "backend", "retry_after": 15}', 'and when to go on');
select is(t.say('designer', 'backend', '{"priority": "now"}'), '429', 'whatever the priority');
select is(t.batch(array['designer', 'designer', 'commander'], array['backend', 'backend', 'backend']), '429 429 200', 'all of a batch that would take that turn, and nothing of others');
select is(t.say('designer', 'commander') || t.say('commander', 'backend'), '200200', 'others are not harmed');
select is(t.say('backend', 'designer'), '200', 'nor is who spoke last: a stream in one direction is no turn');
select is((select string_agg(distinct t.say('backend', 'designer'), ' ') from generate_series(1, 50)), '200', 'however long it is');
select is((select string_agg(distinct t.say(w, '*'), ' ') from generate_series(1, 20), unnest(array['backend', 'designer']) w), '200', 'broadcasts do not count');
select t.pass('16 seconds');
select is(t.say('designer', 'backend') || t.say('backend', 'designer'), '200429', 'a quarter of a minute is one turn');
select t.pass('10 minutes');
select is((select string_agg(t.say(case n % 2 when 0 then 'backend' else 'designer' end, case n % 2 when 0 then 'designer' else 'backend' end), ' ' order by n) from generate_series(0, 12) n),
  '200 200 200 200 200 200 200 200 200 200 200 200 429', 'time refills it, to three minutes'' worth and no more');
select is(t.say('backend', 'commander,designer') || t.say('backend', '*'), '200200', 'mail to several is no turn');
select t.set('turns_per_minute => 0');
select is((select string_agg(distinct t.say(case n % 2 when 0 then 'backend' else 'designer' end, case n % 2 when 0 then 'designer' else 'backend' end), ' ') from generate_series(1, 40) n), '200', '0 is no limit');
select t.set('turns_per_minute => 1');
select is((select string_agg(distinct t.call(w.who, 'send_message', '{"to": "*", "message": "x"}', w.mesh) ->> 'status', ' ') from generate_series(1, 10), (values ('bob', 'two'), ('lone', null)) w (who, mesh)), '200', 'a broadcast in a mesh of two is one, too');
select t.set('turns_per_minute => 0');

-- Quota
select t.noon(1);
select t.set('daily_messages => 5');
delete from mesh_data.sent;
select is(t.batch(array_fill('designer'::text, array[8]), array_fill('backend'::text, array[8])), '200 200 200 200 200 429 429 429', 'a batch beyond the daily quota: exactly the excess is refused, also in the first of the day');
select is(t.call('designer', 'send_message', '{"to": "backend", "message": "x"}') #>> '{answer,message}', 'this key has sent its 5 messages of today', 'it says why');
select ok((t.call('designer', 'send_message', '{"to": "backend", "message": "x"}') #>> '{answer,data,retry_after}')::integer between 1 and 86400, 'and when to try again');
select is(t.batch(array['backend', 'designer', 'commander', 'backend'], array['commander', 'commander', 'designer', 'commander']), '200 429 200 200', 'other keys are not harmed');
select is(t.batch(array_fill('backend'::text, array[5]), array_fill('designer'::text, array[5]), array[null, 'k', null, null, null]), '200 200 200 429 429', 'a batch that begins within the quota ends at it');
select is(t.batch(array['backend', 'backend'], array['designer', 'designer'], array['k', 'new']), '200 429', 'a duplicate is answered before the quota');
select is((select messages from mesh_data.sent order by messages desc limit 1), 5::bigint, 'what was refused is not counted');
select is(t.batch(array['commander', 'commander', 'commander', 'commander', 'commander', 'commander'], array['nobody', 'backend', 'nobody', 'backend', 'backend', 'backend']), '404 200 404 200 200 200', 'nor what was refused for another reason');
select is(t.say('commander', 'backend'), '429', 'then it is five');
select is(t.batch(array['backend'], array['designer'], array['again']), '429', 'a key of idempotency that was refused');
select t.noon(2);
select is(t.batch(array['backend'], array['designer'], array['again']), '200', 'is free the next day, when there is a new quota');
select t.set('daily_messages => 2');
select is(t.batch(array['backend', 'backend'], array['designer', 'designer']), '200 429', 'a limit that is lowered holds at once');
select t.set('daily_messages => 1');
select is(t.say('backend', 'designer'), '429', 'also below what was sent');
select t.set('daily_messages => 4');
select is(t.batch(array['backend', 'backend', 'backend'], array['designer', 'designer', 'designer']), '200 200 429', 'and raised, it gives the difference');
select t.set('daily_messages => 0');
select is((select string_agg(distinct t.say('designer', 'backend'), ' ') from generate_series(1, 20)), '200', '0 is no limit');

-- Who sets them
select is(t.set(''), '(0,0,90)', 'without arguments it shows them');
select is(t.set('retention_days => 7'), '(0,0,7)', 'what is left out stays');
select is(t.set(w || ' => -1'), 'ME400', 'no limit is negative: ' || w) from unnest(array['daily_messages', 'turns_per_minute', 'retention_days']) w;
select is(t.attempt(r, 'select mesh.set_limits()'), '42501', r || ' does not set them') from unnest(array['mesh_relay', 'mesh_worker', 'mesh_agent']) r;

select finish();
rollback;
