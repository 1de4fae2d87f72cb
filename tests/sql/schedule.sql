-- Schedules: messages for later, the cron expressions they understand, and the tick that sends them; mail that expires.
begin;
\ir helpers.psql
select no_plan();

-- Cron expressions
create function t.next(cron text, after text, timezone text default 'UTC') returns text language sql stable as $$
  select to_char(mesh_lib.cron_next(cron, timezone, after::timestamptz) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
$$;
select is(t.next(c.cron, '2026-03-04 10:07:30Z'), c.next, c.cron || ': ' || c.fact) from (values
  ('* * * * *', '2026-03-04 10:08:00', 'every minute'),
  ('7 * * * *', '2026-03-04 11:07:00', 'a minute that began is over'),
  ('*/15 * * * *', '2026-03-04 10:15:00', 'every quarter of an hour'),
  ('5/20 * * * *', '2026-03-04 10:25:00', 'from 5 on, every 20'),
  ('0 9-17/4 * * *', '2026-03-04 13:00:00', 'a range with a step'),
  ('30 8,20 * * *', '2026-03-04 20:30:00', 'a list'),
  ('0 0 1 * *', '2026-04-01 00:00:00', 'the first of a month'),
  ('0 9 * * mon-fri', '2026-03-05 09:00:00', 'working days'),
  ('0 9 * * MON', '2026-03-09 09:00:00', 'a name in capitals'),
  ('0 0 * * 0', '2026-03-08 00:00:00', 'Sunday is 0'),
  ('0 0 * * 7', '2026-03-08 00:00:00', 'and 7'),
  ('0 0 * * sat-sun', '2026-03-07 00:00:00', 'a week may end on Sunday'),
  ('0 0 * * */3', '2026-03-07 00:00:00', 'Sunday, Wednesday, Saturday'),
  ('0 0 13 * fri', '2026-03-06 00:00:00', 'both days restricted: either'),
  ('0 0 13 3 */2', '2027-03-13 00:00:00', 'a * with a step restricts nothing by itself: both'),
  ('0 0 31 * *', '2026-03-31 00:00:00', 'the last of a long month'),
  ('0 0 31 apr-jul *', '2026-05-31 00:00:00', 'short months are left out'),
  ('0 0 29 2 *', '2028-02-29 00:00:00', 'the next leap day'),
  ('0 0 25 dec *', '2026-12-25 00:00:00', 'a month by its name'),
  ('  0  12   * * * ', '2026-03-04 12:00:00', 'more blanks than needed'),
  ('@hourly', '2026-03-04 11:00:00', 'every hour'), ('@daily', '2026-03-05 00:00:00', 'every day'), ('@weekly', '2026-03-08 00:00:00', 'on Sundays'),
  ('@monthly', '2026-04-01 00:00:00', 'on the first'), ('@Yearly', '2027-01-01 00:00:00', 'on New Year''s Day'),
  ('0 0 30 2 *', null, 'never')) c (cron, next, fact);
select is(t.next('0 0 29 2 *', '2096-03-01 00:00Z'), '2104-02-29 00:00:00', 'eight years to a leap day are not too far');
create function t.cron_error(cron text) returns text language plpgsql as $$
begin
  perform mesh_lib.cron_next(cron, 'UTC', '2026-01-01');
  return 'fine';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end
$$;
select ok(t.cron_error(c.cron) like 'ME400%' || c.says || '%', c.cron || ' is refused: ' || c.says || substr(t.cron_error(c.cron), 1, 0)) from (values
  ('60 * * * *', 'the minute'), ('-1 * * * *', 'the minute'), ('1-70 * * * *', 'the minute'), ('*/0 * * * *', 'the minute'), ('1.5 * * * *', 'the minute'), ('*-5 * * * *', 'the minute'),
  ('1,,2 * * * *', 'the minute'), (', * * * *', 'the minute'), ('mon * * * *', 'the minute'), ('99999999999 * * * *', 'the minute'),
  ('* 24 * * *', 'the hour'), ('* 5-3 * * *', 'the hour'), ('* * 0 * *', 'the day of the month'), ('* * 32 * *', 'the day of the month'), ('* * L * *', 'the day of the month'),
  ('* * * 13 *', 'the month'), ('* * * 0 *', 'the month'), ('* * * mon *', 'the month'), ('* * * * 8', 'the day of the week'), ('* * * * jan', 'the day of the week'), ('* * * * fri-mon', 'the day of the week'),
  ('* * * *', '5 fields'), ('* * * * * *', '5 fields'), ('', '5 fields'), ('@reboot', '5 fields'), ('often', '5 fields')) c (cron, says);

-- Clocks that change. Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00.
select is(t.next(c.cron, c.after, c.timezone), c.next, c.fact) from (values
  ('0 9 * * *', '2026-03-28 12:00Z', 'Europe/Berlin', '2026-03-29 07:00:00', 'nine o''clock in summer time'),
  ('0 9 * * *', '2026-10-24 12:00Z', 'Europe/Berlin', '2026-10-25 08:00:00', 'and in winter time'),
  ('30 2 * * *', '2026-03-28 12:00Z', 'Europe/Berlin', '2026-03-29 01:00:00', 'a time that does not exist is the moment of the change'),
  ('30 2 * * *', '2026-03-29 01:00Z', 'Europe/Berlin', '2026-03-30 00:30:00', 'once'),
  ('*/20 2,3 * * *', '2026-03-28 12:00Z', 'Europe/Berlin', '2026-03-29 01:00:00', 'several that do not exist'),
  ('*/20 2,3 * * *', '2026-03-29 01:00Z', 'Europe/Berlin', '2026-03-29 01:20:00', 'are one'),
  ('30 2 * * *', '2026-10-24 12:00Z', 'Europe/Berlin', '2026-10-25 00:30:00', 'a time that happens twice is the first'),
  ('30 2 * * *', '2026-10-25 00:30Z', 'Europe/Berlin', '2026-10-26 01:30:00', 'and once'),
  ('30 2 * * *', '2026-10-25 01:10Z', 'Europe/Berlin', '2026-10-26 01:30:00', 'also for who asks between the two'),
  ('0 * * * *', '2026-03-29 00:30Z', 'Europe/Berlin', '2026-03-29 01:00:00', 'every hour goes on over the change'),
  ('0 12 30 12 *', '2011-12-29 00:00Z', 'Pacific/Apia', '2011-12-30 10:00:00', 'a day that did not exist is the moment it was skipped'),
  ('0 0 * * *', '2026-09-05 12:00Z', 'America/Santiago', '2026-09-06 04:00:00', 'a midnight that does not exist is one o''clock'),
  ('45 23 * * *', '2026-04-03 12:00Z', 'Asia/Kathmandu', '2026-04-03 18:00:00', 'offsets need not be hours')) c (cron, after, timezone, next, fact);
create function t.minutes(timezone text, "from" text) returns bigint language sql as $$
  with recursive n (at, ordinal) as (
    select "from"::timestamptz, 0 union all select mesh_lib.cron_next('*/10 * * * *', timezone, n.at), n.ordinal + 1 from n where n.ordinal < 200
  ) select count(distinct at) from n where not exists (select from n o where o.ordinal > n.ordinal and o.at <= n.at)
$$;
select is(t.minutes('Europe/Berlin', '2026-03-28 12:00Z'), 201::bigint, 'over a change every next time is later');
select is(t.minutes('Australia/Lord_Howe', '2026-04-04 00:00Z'), 201::bigint, 'also where half an hour is changed');

-- Scheduling
select t.world();
create function t.tick() returns text language sql volatile as $$ select t.attempt('mesh_relay', 'select mesh_lib.tick()') $$;
create function t.schedule(who text, extra jsonb) returns uuid language sql volatile as $$
  select (t.does(who, 'schedule_message', '{"to": "commander", "message": "later"}' || extra) ->> 'schedule_id')::uuid
$$;
create function t.listed(who text, schedule_id uuid) returns jsonb language sql volatile as $$
  select s from jsonb_array_elements(t.does(who, 'list_scheduled')) s where s ->> 'schedule_id' = listed.schedule_id::text
$$;
create function t.shown(who text) returns text language sql volatile as $$ select t.take(who, '{"peek": true, "limit": 100}') $$;
select t.refuses(c.fact, 400, 'designer', 'schedule_message', '{"to": "commander", "message": "x"}' || c.arguments::jsonb) from (values
  ('no time at all', '{}'), ('two times', '{"in": "1 hour", "cron": "@daily"}'), ('a time that is over', '{"at": "2020-01-01T00:00:00Z"}'), ('a negative span', '{"in": "-1 minutes"}'),
  ('more than a year', '{"in": "2 years"}'), ('the end of time', '{"at": "infinity"}'), ('before all time', '{"at": "-infinity"}'), ('no span', '{"in": "soon"}'), ('an empty span', '{"in": ""}'),
  ('a span beyond all measure', '{"in": "999999999999 years"}'), ('no time', '{"at": "tomorrowish"}'), ('a day that is none', '{"at": "2027-02-31T10:00Z"}'), ('a word for a time', '{"at": "tomorrow"}'), ('a time with the name of a zone', '{"at": "2027-01-01 10:00 Europe/Berlin"}'), ('a wrong cron expression', '{"cron": "61 * * * *"}'), ('a cron expression of no day', '{"cron": "0 0 30 2 *"}'),
  ('an unknown time zone', '{"cron": "@daily", "timezone": "Europe/Atlantis"}'), ('a time zone that is an offset', '{"cron": "@daily", "timezone": "UTC+3"}'),
  ('an empty message', '{"in": "1 hour", "message": ""}'), ('a priority that is none', '{"in": "1 hour", "priority": "high"}'), ('oneself', '{"in": "1 hour", "to": "designer"}'), ('nobody', '{"in": "1 hour", "to": []}')) c (fact, arguments);
select t.refuses('an unknown agent', 404, 'designer', 'schedule_message', '{"to": "nobody", "message": "x", "in": "1 hour"}');
select t.refuses('a message that is too long', 413, 'designer', 'schedule_message', jsonb_build_object('to', 'commander', 'message', repeat('x', 65537), 'in', '1 hour'));
select t.refuses('a cron expression that is too long', 413, 'designer', 'schedule_message', jsonb_build_object('to', 'commander', 'message', 'x', 'cron', '1' || repeat(',1', 100) || ' * * * *'));
select t.refuses('a time zone with a name longer than any has', 400, 'designer', 'schedule_message', jsonb_build_object('to', 'commander', 'message', 'x', 'cron', '@daily', 'timezone', repeat('x', 101)));
select t.works('a span in words: ' || s, 'designer', 'schedule_message', jsonb_build_object('to', 'commander', 'message', 'x', 'in', s)) from unnest(array['10 minutes', '2h', 'PT5M', '1 day 3 hours', '1 year', '0']) s;
select is(mesh_lib.due_at(a.at, null, null, a.timezone), a.due_at::timestamptz, a.fact) from (
  select to_char(mesh_lib.now() at time zone 'UTC' + interval '1 day', 'YYYY-MM-DD') as day) d
cross join lateral (values
  (d.day || 'T12:00', 'UTC', d.day || ' 12:00Z', 'a time without an offset is in UTC'), (d.day || ' 12:00:30', 'Asia/Tokyo', d.day || ' 03:00:30Z', 'or by the clock that is named'),
  (d.day || 'T12:00+01:00', 'Asia/Tokyo', d.day || ' 11:00Z', 'an offset counts'), (d.day || 'T12:00:00.5z', 'Asia/Tokyo', d.day || ' 12:00:00.5Z', 'and Z'), (d.day || ' 12:00 -0230', 'UTC', d.day || ' 14:30Z', 'also a negative one')) a (at, timezone, due_at, fact);
select t.does('designer', 'schedule_message', '{"to": "commander", "message": "x", "cron": "@daily", "timezone": "europe/berlin"}') as daily \gset
select is(:'daily'::jsonb ->> 'next', 'mesh schedule cancel ' || (:'daily'::jsonb ->> 'schedule_id'), 'who schedules is told how to cancel');
select is(t.listed('designer', (:'daily'::jsonb ->> 'schedule_id')::uuid) ->> 'timezone', 'Europe/Berlin', 'a time zone has its proper name');
select is(jsonb_array_length(t.does('backend', 'list_scheduled')), 0, 'the schedules of others are not listed');
select t.does('designer', 'cancel_scheduled', jsonb_build_object('schedule_id', s ->> 'schedule_id')) from jsonb_array_elements(t.does('designer', 'list_scheduled')) s;
select is(t.does('designer', 'list_scheduled'), '[]', 'what is cancelled is gone');

-- Sending, once
select is(t.tick(), null, 'with nothing scheduled a tick does nothing');
select t.schedule('designer', '{"in": "1 hour", "priority": "now"}') as once \gset
select ok(t.tick()::numeric between 3590 and 3600, 'a tick says in how many seconds something is due');
select is(t.shown('commander'), '', 'before its time nothing is sent');
select t.pass('2 hours');
select t.tick();
select is(t.shown('commander'), 'later', 'a late tick sends at once');
select t.tick(), t.tick();
select is(t.shown('commander'), 'later', 'and no more');
select ok(t.does('commander', 'check_messages', '{"peek": true}') #> '{messages,0}' @> '{"from": "designer", "to": "commander", "priority": "now"}', 'as who scheduled it');
select ok(t.listed('designer', :'once') @> '{"state": "sent", "sent": 1, "next_at": null, "error": null}', 'it is listed as sent');
select is(t.listed('designer', :'once') ->> 'last_message_id', t.does('commander', 'check_messages', '{"peek": true}') #>> '{messages,0,message_id}', 'with the message');
select t.refuses('cancelling what was sent', 410, 'designer', 'cancel_scheduled', jsonb_build_object('schedule_id', :'once'));
select t.refuses('cancelling the schedule of another', 404, 'backend', 'cancel_scheduled', jsonb_build_object('schedule_id', :'once'));
select t.take('commander'), t.take('commander');

-- Sending again and again
select t.schedule('designer', '{"cron": "*/10 * * * *"}') as again \gset
select t.pass('2 hours 10 minutes');
select t.tick();
select t.pass('2 hours 20 minutes');
select t.tick();
select is(t.shown('commander'), 'later later', 'a recurring message comes again');
select t.pass('9 hours');
select t.tick(), t.tick();
select is(t.shown('commander'), 'later later later', 'what was missed meanwhile comes once');
select ok(t.listed('designer', :'again') @> '{"state": "scheduled", "sent": 3}' and (t.listed('designer', :'again') ->> 'next_at')::timestamptz > mesh_lib.now(), 'and goes on after now');
select t.does('designer', 'cancel_scheduled', jsonb_build_object('schedule_id', :'again'));
select t.pass('10 hours');
select t.tick();
select is(t.shown('commander'), 'later later later', 'until it is cancelled');
select t.take('commander'), t.take('commander');

-- Whom a role means is seen when it is sent; what is refused is said
select t.does('designer', 'schedule_message', '{"to": "*", "message": "to all", "in": "1 minute"}');
select t.does('designer', 'schedule_message', '{"to": "tester", "message": "x", "in": "1 minute"}') ->> 'schedule_id' as refused \gset
select t.does('designer', 'schedule_message', '{"to": "tester", "message": "x", "cron": "* * * * *"}') ->> 'schedule_id' as recurring \gset
select t.does('alice', 'remove_agent', '{"agent": "tester"}', 'proj');
select t.pass('11 hours');
select t.tick();
select is(t.shown('commander') || t.shown('backend'), 'to allto all', 'one that is refused does not stop the others');
select ok(t.listed('designer', :'refused') @> '{"state": "failed", "sent": 0}' and t.listed('designer', :'refused') ->> 'error' like '%tester%', 'a message for one time that is refused has failed, and says why');
select ok(t.listed('designer', :'recurring') @> '{"state": "scheduled", "sent": 0}' and t.listed('designer', :'recurring') ->> 'error' like '%tester%', 'a recurring one goes on');
select t.take('commander'), t.take('commander'), t.take('backend'), t.take('backend');

-- As long as the key is good and the agent is there
select t.schedule('backend', '{"cron": "@hourly"}') as keyless \gset
select t.schedule('designer', '{"cron": "@hourly"}') as homeless \gset
select t.does('alice', 'revoke_key', jsonb_build_object('key_id', k.key_id), 'proj') from mesh_data.key k join mesh_data.agent a on a.agent_id = k.agent_id where a.name = 'backend' and k.revoked_at is null;
update mesh_data.agent set removed_at = mesh_lib.now() where name = 'designer';
select t.pass('13 hours');
select t.tick();
select is(t.shown('commander'), '', 'a key that was revoked sends nothing, nor an agent that was removed');
select is((select string_agg(s.last_error ->> 'message' || coalesce(s.next_at::text, ''), '; ' order by s.last_error ->> 'message') from mesh_data.schedule s where s.schedule_id in (:'keyless', :'homeless')),
  'the agent that scheduled this was removed; the key this was scheduled with was revoked', 'their schedules are over, and say why');
update mesh_data.agent set removed_at = null where name = 'designer';

-- An account schedules as its agent
select t.does('alice', 'schedule_message', '{"to": "commander", "message": "of an account", "in": "1 minute"}', 'proj');
select t.pass('14 hours');
select t.tick();
select is(t.does('commander', 'check_messages') #>> '{messages,0,from}', 'alice', 'an account sends as its agent');

-- Many
select t.does('commander', 'schedule_message', jsonb_build_object('to', 'designer', 'message', 'm' || n, 'in', '1 minute')) from generate_series(1, 1000) n;
select t.refuses('the 1001st schedule', 429, 'commander', 'schedule_message', '{"to": "designer", "message": "x", "in": "1 minute"}');
select t.works('of another agent the first is not refused', 'designer', 'schedule_message', '{"to": "commander", "message": "x", "in": "1 day"}');
update mesh_data.setting set turns_per_minute = 0;
select t.pass('15 hours');
select is(t.tick(), '0', 'when more is due than one tick sends, the next is due at once');
select is((select count(*) from mesh_data.schedule s where s.sent = 1 and s.body ~ '^m\d'), 100::bigint, 'a tick sends 100');
select t.tick() from generate_series(1, 9);
select is((select count(*) from mesh_data.message m where m.body ~ '^m\d'), 1000::bigint, 'ten send all');
select t.works('what was sent makes room', 'commander', 'schedule_message', '{"to": "designer", "message": "x", "in": "1 minute"}');
select t.pass('60 days');
select t.tick();
select is((select count(*) from mesh_data.schedule s where s.body ~ '^m\d'), 0::bigint, 'what is over for 30 days is forgotten');

-- Mail that expires
select t.pass('60 days');
select t.send('commander', 'designer', 'soon over', '{"expires_in": 60}') as expiring \gset
select t.send('commander', 'designer', 'lasting') as lasting \gset
select t.tick();
select is((select string_agg(d.state, ' ' order by d.position) from mesh_data.delivery d where d.message_id in (:'expiring', :'lasting')), 'queued queued', 'before its time no mail expires');
select t.pass('60 days 2 minutes');
select t.tick();
select is((select string_agg(d.state || case when d.settled_at is not null then '!' else '' end, ' ' order by d.position) from mesh_data.delivery d where d.message_id in (:'expiring', :'lasting')), 'expired! queued', 'then it is settled as expired');
select is(t.does('commander', 'message_status', jsonb_build_object('message_id', :'expiring')) #>> '{0,state}', 'expired', 'as its sender sees');

select finish();
rollback;
