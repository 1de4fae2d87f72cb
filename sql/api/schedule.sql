-- Schedules: messages the server sends later, once or again and again, as the agent who scheduled them. Each agent sees its own.

grant select on mesh_data.schedule to mesh_agent;
grant insert (schedule_id, mesh_id, agent_id, key_id, addresses, body, envelope, boxes, keys, priority, cron, timezone, next_at) on mesh_data.schedule
  to mesh_agent;
create policy schedule_select on mesh_data.schedule for select to mesh_agent
  using (agent_id = (select mesh_lib.my_agent()));
create policy schedule_insert on mesh_data.schedule for insert to mesh_agent
  with check (agent_id = (select mesh_lib.my_agent()) and mesh_id = (select mesh_lib.my_mesh()) and key_id = (select (mesh_lib.me()).key_id));

-- ME400 unless there is such a day.
create function mesh_lib.check_day(day text) returns void
language plpgsql immutable set search_path = '' as $$
begin
  perform check_day.day::date;
exception when data_exception then
  perform mesh_lib.fail(400, format('there is no day %s', check_day.day), 'mesh schedule --help');
end
$$;

-- A time as the clock of a time zone shows it.
create function mesh_lib.clock_time("time" timestamptz, timezone text) returns text
language sql stable set search_path = '' as $$
  select to_char(clock_time."time" at time zone clock_time.timezone, 'YYYY-MM-DD HH24:MI ') || clock_time.timezone
$$;

-- When a message is due for the first time, from what its sender said of it. ME400 unless that is one time, within a year.
create function mesh_lib.due_at(at text, "in" text, cron text, timezone text) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  _now constant timestamptz := mesh_lib.now();
  _due_at timestamptz;
begin
  if num_nonnulls(due_at.at, due_at."in", due_at.cron) <> 1 then
    perform mesh_lib.fail(400, 'say when: one of at, in and cron', 'mesh schedule --help');
  end if;
  if due_at.cron is not null then
    _due_at := mesh_lib.cron_next(due_at.cron, due_at.timezone, _now);
    if _due_at is null then
      perform mesh_lib.fail(400, format('there is never a day for the cron expression %L', left(due_at.cron, 63)), 'mesh schedule --help');
    end if;
    return _due_at;
  end if;
  perform mesh_lib.check_day(substring(due_at.at from '^\s*(\d{4}-\d\d-\d\d)'));
  if due_at.at !~* '^\s*\d{4}-\d\d-\d\d[t ]\d\d:\d\d(:\d\d(\.\d+)?)?\s*(z|[+-]\d\d(:?\d\d)?)?\s*$' then
    perform mesh_lib.fail(400, format('at is a date and a time such as 2026-12-24T18:00, or 2026-12-24T18:00+01:00: not %L', left(due_at.at, 63)),
      'mesh schedule --help');
  end if;
  begin
    _due_at := case
      when due_at."in" is not null then _now + due_at."in"::interval
      when due_at.at ~* ':[\d.]+\s*(z|[+-][\d:]+)\s*$' then due_at.at::timestamptz
      else due_at.at::timestamp at time zone due_at.timezone
    end;
  exception when data_exception or invalid_datetime_format or datetime_field_overflow or interval_field_overflow then
    perform mesh_lib.fail(400, case
      when due_at.at is not null then format('there is no such time: %L', left(due_at.at, 63))
      else format('in is a span of time such as 10 minutes, 2h or PT5M: not %L', left(due_at."in", 63))
    end, 'mesh schedule --help');
  end;
  if _due_at < _now then
    perform mesh_lib.fail(400, 'this time is over: a message is scheduled for later', 'mesh schedule --help');
  elsif _due_at > _now + interval '366 days' then
    perform mesh_lib.fail(400, 'a message is scheduled for a year ahead at most', 'mesh schedule --help');
  end if;
  return _due_at;
end
$$;

create function mesh.schedule_message("to" mesh.addresses, message mesh.sealed, inout at text default null, "in" text default null, cron text default null,
  timezone text default 'UTC', priority text default null,
  out schedule_id uuid, out next_at timestamptz, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _addresses constant text[] := mesh_lib.addresses(schedule_message."to");
  _priority constant smallint := coalesce(mesh_lib.priority(schedule_message.priority), 1);
  _timezone constant text := mesh_lib.checked_timezone(coalesce(schedule_message.timezone, 'UTC'));
  _letter constant mesh_lib.letter := mesh_lib.letter(mesh_lib.me(), _addresses, schedule_message.message);
  _schedule_id constant uuid := gen_random_uuid();
  _address text;
begin
  if coalesce(cardinality(_addresses), 0) not between 1 and 1000 then
    perform mesh_lib.fail(400, 'a message goes to 1 to 1,000 addresses', 'mesh peers');
  elsif _priority < 0 then
    perform mesh_lib.fail(400, 'priority is now, next or low', '');
  elsif _letter.body = '' then
    perform mesh_lib.fail(400, 'a message has 1 to 65,536 bytes', '');
  elsif octet_length(_letter.body) > 65536 then
    perform mesh_lib.fail(413, 'a message has 1 to 65,536 bytes', '');
  elsif (select count(*) from mesh_data.schedule s where s.agent_id = (select mesh_lib.my_agent()) and s.next_at is not null) >= 1000 then
    perform mesh_lib.fail(429, 'an agent can have 1,000 schedules at most', 'mesh schedule list');
  end if;
  -- Whom a group, role or room means is seen when it is sent; a name that nobody has is most likely a mistake now.
  foreach _address in array _addresses loop
    if mesh_lib.is_one(_address) and mesh_lib.agent_id_of(mesh_lib.my_mesh(), _address) = mesh_lib.my_agent() and cardinality(_addresses) = 1 then
      perform mesh_lib.fail(400, 'that is you: a message goes to somebody else', 'mesh peers');
    end if;
  end loop;
  schedule_message.schedule_id := mesh_lib.check_scheduled(_addresses, schedule_message.message, _schedule_id);
  if schedule_message.schedule_id = _schedule_id then
    insert into mesh_data.schedule (schedule_id, mesh_id, agent_id, key_id, addresses, body, envelope, boxes, keys, priority, cron, timezone, next_at)
    values (_schedule_id, mesh_lib.my_mesh(), mesh_lib.my_agent(), (mesh_lib.me()).key_id, _addresses, _letter.body, _letter.envelope, _letter.boxes,
      (select jsonb_object_agg(a.agent_id, encode(a.identity_key, 'hex')) from mesh_data.agent a where a.mesh_id = (select mesh_lib.my_mesh()) and _letter.boxes ? a.agent_id::text),
      _priority, schedule_message.cron, _timezone, mesh_lib.due_at(schedule_message.at, schedule_message."in", schedule_message.cron, _timezone));
  end if;
  select s.next_at into schedule_message.next_at from mesh_data.schedule s where s.schedule_id = schedule_message.schedule_id;
  if not found then
    perform mesh_lib.fail(410, 'this was scheduled already, and is over or cancelled', 'mesh schedule list');
  end if;
  schedule_message.at := mesh_lib.clock_time(schedule_message.next_at, _timezone);
  schedule_message.next := 'mesh schedule cancel ' || schedule_message.schedule_id;
end
$$;
comment on function mesh.schedule_message is $$---
cli: schedule <to> <message>
group: messages
who: agent
---
Schedule a message for later, once or again and again. It is sent as you, also while you are away, as long as your key is good. If the server is down at that time, a message for one time is sent as soon as it is back, and a recurring one once, for the latest time it missed.
to: one address, or several with commas between: an agent's name, @group, role:x, #room, or * for everybody else; who that is, is seen when it is sent. In a sealed mesh it is sealed now, for those who are there: who comes later, or gets another key, is skipped.
message: the text, 1 to 65,536 bytes.
at: when: 2026-12-24T18:00 by the clock of timezone, or 2026-12-24T18:00+01:00 with an offset from UTC; at most a year ahead. Or say in or cron.
in: after how long: 10 minutes, 2h, PT5M; at most a year.
cron: again and again: minute, hour, day of the month, month and day of the week, such as 0 9 * * mon-fri; or @hourly, @daily, @weekly, @monthly.
timezone: whose clock at and cron mean, such as Europe/Berlin; default UTC.
priority: now (shown at once), next (when the recipient is not working) or low (when it is idle or asks); default next.
example: mesh schedule backend "is the migration through?" --in "20 minutes"
example: mesh schedule '*' "stand-up: what do you do today?" --cron "0 9 * * mon-fri" --timezone Europe/Berlin$$;
grant execute on function mesh.schedule_message(mesh.addresses, mesh.sealed, text, text, text, text, text) to mesh_agent;

create function mesh.list_scheduled() returns table (
  schedule_id uuid, "to" text, message text, state text, at text, next_at timestamptz, cron text, timezone text, priority text, sent bigint,
  last_at timestamptz, last_message_id uuid, error text, skipped text[], envelope mesh.envelope
)
language sql stable set search_path = '' as $$
  select s.schedule_id, array_to_string(s.addresses, ', '), s.body,
    case when s.next_at is not null then 'scheduled' when s.last_error is not null then 'failed' else 'sent' end,
    mesh_lib.clock_time(s.next_at, s.timezone), s.next_at, s.cron, s.timezone, (array['now', 'next', 'low'])[s.priority + 1], s.sent, s.last_at, s.last_message_id, s.last_error ->> 'message', s.skipped,
    (s.envelope || jsonb_build_object('box', s.boxes -> s.agent_id::text))::json::mesh.envelope
  from mesh_data.schedule s
  where s.agent_id = (select mesh_lib.my_agent())
  order by s.next_at, s.last_at desc
$$;
comment on function mesh.list_scheduled is $$---
cli: schedule list
alias: schedules
who: agent
columns: schedule_id to message state at cron error
---
List the messages you scheduled: what is to come, and for 30 days what was sent or failed, and why. `at` is the next time, by the clock of its time zone. `skipped` is who was meant the last time and could not read it: it came, or got another key, after the message was sealed.
example: mesh schedule list$$;
grant execute on function mesh.list_scheduled() to mesh_agent;

-- A definer: mesh_agent deletes nothing.
create function mesh.cancel_scheduled(schedule_id uuid, out cancelled uuid, out "to" text, out message text, out envelope mesh.envelope)
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from mesh_data.schedule s
  where s.schedule_id = cancel_scheduled.schedule_id and s.agent_id = (select mesh_lib.my_agent()) and s.next_at is not null
  returning s.schedule_id, array_to_string(s.addresses, ', '), s.body, s.envelope || jsonb_build_object('box', s.boxes -> s.agent_id::text)
  into cancel_scheduled.cancelled, cancel_scheduled."to", cancel_scheduled.message, cancel_scheduled.envelope;
  if found then
    return;
  elsif exists (select from mesh_data.schedule s where s.schedule_id = cancel_scheduled.schedule_id and s.agent_id = (select mesh_lib.my_agent())) then
    perform mesh_lib.fail(410, 'it is over: this message was sent, or failed', 'mesh schedule list');
  end if;
  perform mesh_lib.fail(404, 'you have no such schedule', 'mesh schedule list');
end
$$;
comment on function mesh.cancel_scheduled is $$---
cli: schedule cancel <schedule_id>
who: agent
destructive: yes
---
Cancel a message you scheduled. What a recurring one has sent already stays.
schedule_id: the id that schedule_message gave.
example: mesh schedule cancel 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f$$;
alter function mesh.cancel_scheduled(uuid) owner to mesh_definer;
grant execute on function mesh.cancel_scheduled(uuid) to mesh_agent;
