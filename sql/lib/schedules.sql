-- What is sent at its time. Any number of relays call mesh_lib.tick(): a row is theirs who locks it, and what it sends has a
-- key, so each time of a schedule is sent once.

-- As whom a schedule sends: who made it. ME403 when the key it was made with is no longer good, or its agent is gone.
create function mesh_lib.scheduler(schedule mesh_data.schedule) returns mesh_lib.identity
language plpgsql stable set search_path = '' as $$
declare
  _key mesh_data.key;
begin
  select k.* into _key from mesh_data.key k where k.key_id = scheduler.schedule.key_id;
  if _key.revoked_at is not null then
    perform mesh_lib.fail(403, 'the key this was scheduled with was revoked', '');
  elsif _key.expires_at <= mesh_lib.now() then
    perform mesh_lib.fail(403, 'the key this was scheduled with has expired', '');
  elsif not exists (select from mesh_data.agent a where a.agent_id = scheduler.schedule.agent_id and a.removed_at is null) then
    perform mesh_lib.fail(403, 'the agent that scheduled this was removed', '');
  end if;
  return (_key.kind, _key.key_id, case when _key.kind <> 'agent' then _key.account_id end, scheduler.schedule.mesh_id, scheduler.schedule.agent_id,
    null, _key.manage)::mesh_lib.identity;
end
$$;

-- What a schedule sends: a text, or its envelope with the boxes of those who have the key that it was sealed for. ME409 when its
-- sender has not: nobody would believe it.
create function mesh_lib.scheduled_content(schedule mesh_data.schedule) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  _boxes jsonb;
begin
  if schedule.envelope is null then
    return to_jsonb(schedule.body);
  end if;
  select jsonb_object_agg(b.key, b.value) into _boxes
  from jsonb_each(schedule.boxes) b join mesh_data.agent a on a.agent_id = b.key::uuid and encode(a.identity_key, 'hex') = schedule.keys ->> b.key;
  if not coalesce(_boxes ? schedule.agent_id::text, false) then
    perform mesh_lib.fail(409, 'its sender has another key than it was sealed with: schedule it again', 'mesh schedule list');
  end if;
  return schedule.envelope || jsonb_build_object('boxes', _boxes);
end
$$;

-- Send what is due of one schedule, and set its next time: after now, so what was missed is sent once. What it sends may be
-- refused: that ends it when it was its only time. False: somebody holds what it needs, and it is put behind the others.
create function mesh_lib.send_scheduled(schedule mesh_data.schedule) returns boolean
language plpgsql volatile set search_path = '' as $$
declare
  _next_at timestamptz;
  _error json;
  _posted record;
  _message_id uuid;
  _skipped text[];
  _sqlstate text; _message text; _hint text; _detail text; _constraint text;
begin
  begin
    select p.status, p.answer into _posted from mesh_lib.post(array[mesh_lib.letter(mesh_lib.scheduler(schedule), schedule.addresses,
      mesh_lib.scheduled_content(schedule), schedule.priority,
      key => format('schedule %s %s', schedule.schedule_id, extract(epoch from schedule.next_at)),
      occurrence_at => schedule.next_at)], null) p;
    if _posted.status = 200 then
      _message_id := (_posted.answer ->> 'message_id')::uuid;
      _skipped := array(select r ->> 'agent' from json_array_elements(_posted.answer -> 'recipients') r where r ->> 'state' = 'skipped');
    elsif _posted.status = 503 then
      perform mesh_lib.fail(503, _posted.answer ->> 'message', '');
    else
      _error := _posted.answer;
    end if;
    if schedule.cron is not null then
      _next_at := mesh_lib.cron_next(schedule.cron, schedule.timezone, mesh_lib.now());
    end if;
  exception when others then
    get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint,
      _detail = pg_exception_detail, _constraint = constraint_name;
    if mesh_lib.status_of(_sqlstate) = 503 then
      update mesh_data.schedule s set next_at = mesh_lib.now() + interval '3 seconds' where s.schedule_id = send_scheduled.schedule.schedule_id;
      return false;
    end if;
    _message_id := null;
    _error := mesh_lib.error_object(_sqlstate, _message, _hint, _detail, _constraint);
  end;
  update mesh_data.schedule s
  set next_at = _next_at, last_at = mesh_lib.now(), last_message_id = coalesce(_message_id, s.last_message_id), last_error = _error, skipped = nullif(_skipped, '{}'),
    sent = s.sent + case when _message_id is not null then 1 else 0 end
  where s.schedule_id = send_scheduled.schedule.schedule_id;
  return true;
end
$$;

-- Waits half a second for a lock at most, and once: what is held keeps nothing else from being sent.
create function mesh_lib.tick() returns double precision
language plpgsql volatile security definer set search_path = '' set lock_timeout = '500ms' as $$
declare
  _due mesh_data.schedule;
begin
  for _due in
    select s.* from mesh_data.schedule s where s.next_at <= mesh_lib.now() order by s.next_at limit 100 for update skip locked
  loop
    exit when not mesh_lib.send_scheduled(_due);
  end loop;
  delete from mesh_data.schedule s where s.next_at is null and s.last_at < mesh_lib.now() - interval '30 days';
  perform mesh_lib.expire();
  begin
    perform mesh_lib.seal_events();
  exception when lock_not_available then
    -- A partition comes or goes; the next tick seals.
    null;
  end;
  perform mesh_lib.look_after_tasks();
  if mesh_lib.due_since(mesh_lib.now() - interval '2 seconds') then
    perform mesh_lib.ping();
  end if;
  return (select greatest(extract(epoch from s.next_at - mesh_lib.now()), 0) from mesh_data.schedule s where s.next_at is not null order by s.next_at limit 1);
end
$$;
comment on function mesh_lib.tick is 'Send what is due, expire what is over, seal the log. Any relay, about once a second; returns in how many seconds something is due again.';
alter function mesh_lib.tick() owner to mesh_definer;
grant execute on function mesh_lib.tick() to mesh_relay;
