-- Done: a report at the end of a task.

create function mesh.done(summary mesh.sealed, "to" mesh.addresses default null, request_id mesh.request_id default null, seen mesh.seen default null,
  out message_id uuid, out reported_to text, out recipients json, out counts json, out status text)
language plpgsql volatile set search_path = '' as $$
declare
  _key constant text := 'done ' || done.request_id;
  -- Null when it is sealed: then it is for its readers only, and no summary.
  _said constant text := case when jsonb_typeof(done.summary) = 'string' then done.summary #>> '{}' end;
  _asked mesh_data.message;
  _addresses text[];
  _sqlstate text; _message text; _detail text;
begin
  perform mesh_lib.lock_inbox();
  select m.* into _asked from mesh_data.message m where m.message_id = (mesh_lib.sent_as(_key)).message_id;
  if found then
    -- Run again: the same report. To somebody else it is another.
    _addresses := coalesce(mesh_lib.addresses(done."to"), string_to_array(_asked.address, ','));
    _asked.message_id := _asked.reply_to;
  else
    if done."to" is null then
      _asked := mesh_lib.in_hand(done.seen);
    end if;
    perform mesh_lib.settle(done.seen);
    _addresses := coalesce(mesh_lib.addresses(done."to"), array[mesh_lib.report_address(_asked)]);
    if _addresses = '{NULL}' then
      perform mesh_lib.fail(404, 'there is nobody to report to: say to whom', 'mesh done "…" --to <agent>');
    end if;
  end if;
  begin
    select s.message_id, s.recipients, s.counts into done.message_id, done.recipients, done.counts
    from mesh_lib.send_one(mesh_lib.letter(mesh_lib.me(), _addresses, done.summary, key => _key, reply_to => _asked.message_id)) s;
  exception when sqlstate 'ME403' or sqlstate 'ME409' or sqlstate 'ME410' or sqlstate 'ME429' then
    if (select bool_and(mesh_lib.would_take(a)) from unnest(_addresses) a) then
      raise;
    end if;
    get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _detail = pg_exception_detail;
    perform mesh_lib.fail(mesh_lib.status_of(_sqlstate), _message, 'mesh done "…" --to <agent>', nullif(_detail, '')::jsonb);
  end;
  done.reported_to := array_to_string(_addresses, ', ');

  update mesh_data.activity v set summary = case when _said is null then v.summary else mesh_lib.checked_text(_said, 'the summary', 500) end,
    status = case v.status when 'working' then 'idle' else v.status end,
    status_at = case v.status when 'working' then mesh_lib.now() else v.status_at end, reported_at = mesh_lib.now()
  where v.agent_id = mesh_lib.my_agent() returning v.status into done.status;
  perform mesh_lib.ping();
end
$$;
comment on function mesh.done is $$---
cli: done <summary>
who: agent
mcp: core
line: summary 500
---
Report that a task is done, and be idle. Goes to who gave it: the sender of the newest message you took since your last report that answers none of yours, or the room it was said in; `reported_to` says to whom.
Where you may not speak in that room now, it goes to the sender itself; where that one takes none from you, and without a task, to commander, else to the owner of the mesh. Acknowledges what your last check returned.
The answer lists up to 100 recipients, those who are not shown it now first; of more, counts says how many are in each state, and message_status lists all.
summary: what was done, in a sentence of up to 500 characters; in an open mesh your peers see it in their list, too.
to: whom to tell instead: an agent's name, @group, role:x, #room, or * for everybody else; default who gave the task.
request_id: names this call, so that it reports once however often it is run; the client fills it in.
seen: the claims of the answers that arrived; the client fills it in.
example: mesh done "the header is on the new grid, see branch header"$$;
grant execute on function mesh.done(mesh.sealed, mesh.addresses, mesh.request_id, mesh.seen) to mesh_agent;

-- What the caller works on: the newest message it has in its hands, or else the last one that it acknowledged since its last
-- report, of a thousand. With `seen`, only what arrived with those answers is in its hands. Answers to its own questions come last.
-- Read from the newest settled on, whatever the statistics say.
create function mesh_lib.in_hand(seen uuid[]) returns mesh_data.message
language plpgsql stable
  set search_path = '' set enable_sort = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
  _message mesh_data.message;
begin
  select m.* into _message
  from (
    select d.message_id, 'infinity'::timestamptz as settled_at, d.position from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id = (select mesh_lib.claimant())
      and (in_hand.seen is null or d.claim_id = any (in_hand.seen))
    union all
    (select d.message_id, d.settled_at, d.position from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state = 'acknowledged'
      and d.settled_at > (select coalesce(v.reported_at, '-infinity') from mesh_data.activity v where v.agent_id = (select mesh_lib.my_agent()))
    order by d.settled_at desc, d.position desc limit 1000)
  ) t
  join mesh_data.message m on m.message_id = t.message_id
  order by m.reply_to is not null, t.settled_at desc, t.position desc limit 1;
  return _message;
end
$$;

-- Where a report goes: where an answer to this message would, else to its sender itself, to commander, to the owner of the
-- mesh; the first of them that takes it. When none does, the first, to say why. Null when there is nobody.
create function mesh_lib.report_address(asked mesh_data.message) returns text
language plpgsql volatile set search_path = '' as $$
declare
  _addresses constant text[] := array_remove(array[mesh_lib.answer_address(report_address.asked),
    (select a.name from mesh_data.agent a where a.agent_id = (report_address.asked).sender_agent_id and a.removed_at is null)] || mesh_lib.superiors(), null);
  _address text;
begin
  foreach _address in array _addresses loop
    if mesh_lib.would_take(_address) then
      return _address;
    end if;
  end loop;
  return _addresses[1];
end
$$;

-- A definer: it sees who blocks the caller, and whose inbox is full. Whether a letter of the caller's to this agent or room would
-- reach somebody now who could open it.
create function mesh_lib.would_take(address text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _letter mesh_lib.letter := mesh_lib.letter(_me, array[would_take.address], '""');
begin
  _letter.agents := array(
    select a.agent_id from mesh_data.agent a
    where a.agent_id = any (mesh_lib.recipients(_me, would_take.address, false)) and a.agent_id <> _me.agent_id
      and (a.identity_key is not null or not mesh_lib.is_sealed(a.mesh_id)));
  if would_take.address like '#%' then
    perform mesh_lib.check_turn(mesh_lib.room_named(_me.mesh_id, would_take.address), _me.agent_id);
  end if;
  _letter := (mesh_lib.heed_blocks(array[_letter]))[1];
  return _letter.error is null and _letter.agents <> '{}' and not exists (select from mesh_lib.to_full(array[_letter], _letter.agents));
exception when sqlstate 'ME403' or sqlstate 'ME404' or sqlstate 'ME409' or sqlstate 'ME410' then
  return false;
end
$$;
alter function mesh_lib.would_take(text) owner to mesh_definer;
grant execute on function mesh_lib.would_take(text) to mesh_agent;

-- To whom an agent reports that nobody asked: commander, then the owner of the mesh; not to itself.
create function mesh_lib.superiors() returns text[]
language sql stable set search_path = '' as $$
  select array(
    select a.name from mesh_data.agent a
    where a.mesh_id = (select mesh_lib.my_mesh()) and a.removed_at is null and a.agent_id <> (select mesh_lib.my_agent())
      and (a.name = 'commander' or a.kind = 'person' and a.member_id = mesh_lib.owner_member())
    order by a.name = 'commander' desc)
$$;
