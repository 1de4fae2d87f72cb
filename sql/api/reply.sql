-- Reply: an answer to a message, to whoever it came from.

create function mesh.reply(inout message_id uuid, message mesh.sealed, priority text default null, key mesh.request_key default null, data mesh.sealed_data default null,
  seen mesh.seen default null, out "to" text, out duplicate boolean, out recipients json, out counts json)
language plpgsql volatile set search_path = '' as $$
declare
  _answered mesh_data.message;
begin
  perform mesh_lib.settle(reply.seen);
  _answered := mesh_lib.message_to_read(reply.message_id);
  if _answered.room_id is null and _answered.sender_agent_id = mesh_lib.my_agent() then
    perform mesh_lib.fail(400, 'this message is your own: send to its recipients', 'mesh send ' || mesh_lib.shell_word(_answered.address) || ' "…"');
  end if;
  -- Of an answer that is repeated, where it went: its sender may have another name by now.
  reply."to" := coalesce(
    (select m.address from mesh_data.message m where m.message_id = (mesh_lib.sent_as(reply.key)).message_id and m.reply_to = _answered.message_id),
    mesh_lib.answer_address(_answered));
  if reply."to" is null then
    perform mesh_lib.fail(410, 'its sender was removed from the mesh: nobody would read the answer', 'mesh peers');
  end if;
  -- Who answers a message has read it.
  update mesh_data.delivery d set state = 'acknowledged', settled_at = mesh_lib.now()
  where d.message_id = _answered.message_id and d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered');
  select s.message_id, s.duplicate, s.recipients, s.counts into reply.message_id, reply.duplicate, reply.recipients, reply.counts
  from mesh_lib.send_one(mesh_lib.letter(mesh_lib.me(), array[reply."to"], reply.message, mesh_lib.priority(reply.priority), reply.data, reply.key,
    _answered.message_id)) s;
end
$$;
comment on function mesh.reply is $$---
cli: reply <message_id> <message>
who: agent
mcp: core
---
Answer a message: to its sender, in whatever window that is now, or to the room it was said in. Acknowledges it, and what your last check returned.
The answer lists up to 100 recipients, those who are not shown it now first; of more, counts says how many are in each state, and message_status lists all.
message_id: the id of the message to answer.
message: the answer, 1 to 65,536 bytes.
priority: now (shown at once), next (when the recipient is not working) or low (when it is idle or asks); default next.
key: a word of yours for this message, 1 to 200 characters; sending again with it sends nothing twice. Default none.
data: JSON for programs beside the text, up to 65,536 bytes; default none.
seen: the claims of the answers that arrived; the client fills it in.
example: mesh reply 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f "the dark one"$$;
grant execute on function mesh.reply(uuid, mesh.sealed, text, mesh.request_key, mesh.sealed_data, mesh.seen) to mesh_agent;
