-- Done: a report at the end of a task.

create function mesh.done(summary mesh.sealed, "to" mesh.addresses default null, request_id mesh.request_id default null, seen mesh.seen default null,
  out message_id uuid, out reported_to text, out recipients json, out status text)
language plpgsql volatile set search_path = '' as $$
declare
  _key constant text := 'done ' || done.request_id;
  -- Null when it is sealed: then it is for its readers only, and no summary.
  _said constant text := case when jsonb_typeof(done.summary) = 'string' then done.summary #>> '{}' end;
  _asked mesh_data.message;
  _addresses text[];
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
    _addresses := coalesce(mesh_lib.addresses(done."to"), array[coalesce(mesh_lib.answer_address(_asked), mesh_lib.superior())]);
    if _addresses = '{NULL}' then
      perform mesh_lib.fail(404, 'there is nobody to report to: say to whom', 'mesh done "…" --to <agent>');
    end if;
  end if;
  select s.message_id, s.recipients into done.message_id, done.recipients
  from mesh_lib.send_one(mesh_lib.letter(mesh_lib.me(), _addresses, done.summary, key => _key, reply_to => _asked.message_id)) s;
  done.reported_to := array_to_string(_addresses, ', ');

  update mesh_data.activity v set summary = case when _said is null then v.summary else mesh_lib.checked_text(_said, 'the summary', 500) end,
    status = case v.status when 'working' then 'idle' else v.status end,
    status_at = case v.status when 'working' then mesh_lib.now() else v.status_at end, taken_message_id = null
  where v.agent_id = mesh_lib.my_agent() returning v.status into done.status;
  perform mesh_lib.ping();
end
$$;
comment on function mesh.done is $$---
cli: done <summary>
who: agent
mcp: core
---
Report that a task is done, and be idle. Goes to who gave it: the sender of the newest message you took that answers none of yours, else commander, else the owner of the mesh. Acknowledges what your last check returned.
summary: what was done, in a sentence of up to 500 characters; in an open mesh your peers see it in their list, too.
to: whom to tell instead: an agent's name, @group, role:x, #room, or * for everybody else; default who gave the task.
request_id: names this call, so that it reports once however often it is run; the client fills it in.
seen: the claim of the last answer that arrived; the client fills it in.
example: mesh done "the header is on the new grid, see branch header"$$;
grant execute on function mesh.done(mesh.sealed, mesh.addresses, mesh.request_id, mesh.seen) to mesh_agent;

-- What the caller works on: the newest message it has in its hands, or else the last one it took before. With `seen`, only what
-- arrived with that answer is in its hands. Answers to its own questions come last.
create function mesh_lib.in_hand(seen uuid) returns mesh_data.message
language sql stable set search_path = '' as $$
  select m.*
  from (
    select d.message_id, 0 as rank, d.position from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id = (select mesh_lib.claimant())
      and (in_hand.seen is null or d.claim_id = in_hand.seen)
    union all
    select v.taken_message_id, 1, 0 from mesh_data.activity v where v.agent_id = (select mesh_lib.my_agent())
  ) t
  join mesh_data.message m on m.message_id = t.message_id
  order by m.reply_to is not null, t.rank, t.position desc limit 1
$$;
-- To whom an agent reports that nobody asked: commander, or the owner of the mesh; null for who is that itself.
create function mesh_lib.superior() returns text
language sql stable set search_path = '' as $$
  select a.name from mesh_data.agent a
  where a.mesh_id = (select mesh_lib.my_mesh()) and a.removed_at is null and a.agent_id <> (select mesh_lib.my_agent())
    and (a.name = 'commander' or a.kind = 'person' and a.member_id = mesh_lib.owner_member())
  order by a.name = 'commander' desc limit 1
$$;
