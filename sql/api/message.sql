-- Messages: send, check, acknowledge, wait. At least once, in order per sender and recipient; the id is stable, so twice is harmless.

grant select on mesh_data.message, mesh_data.delivery, mesh_data.idempotency to mesh_agent;
grant update (state, claim_id, claimant_id, settled_at) on mesh_data.delivery to mesh_agent;

create policy delivery_select on mesh_data.delivery for select to mesh_agent
  using (agent_id = (select mesh_lib.my_agent()) or sender_agent_id = (select mesh_lib.my_agent()));
create policy delivery_update on mesh_data.delivery for update to mesh_agent
  using (agent_id = (select mesh_lib.my_agent())) with check (agent_id = (select mesh_lib.my_agent()));
-- A message is seen by its sender and by those it was delivered to; the primary key makes the second a single probe.
create policy message_select on mesh_data.message for select to mesh_agent
  using (sender_agent_id = (select mesh_lib.my_agent()) or exists (
    select from mesh_data.delivery d where d.message_id = message.message_id and d.agent_id = (select mesh_lib.my_agent())));
create policy idempotency_select on mesh_data.idempotency for select to mesh_agent
  using (sender_agent_id = (select mesh_lib.my_agent()));

-- The dispatch takes the set form; this one is for other functions.
create function mesh.send_message("to" mesh.addresses, message mesh.sealed, priority text default null, reply_to uuid default null, mentions text[] default null,
  key mesh.request_key default null, expires_in double precision default null, data mesh.sealed_data default null,
  out message_id uuid, out duplicate boolean, out recipients json, out counts json)
language plpgsql volatile set search_path = '' as $$
begin
  select s.* into send_message.message_id, send_message.duplicate, send_message.recipients, send_message.counts
  from mesh_lib.send_one(mesh_lib.letter(mesh_lib.me(), mesh_lib.addresses(send_message."to"), send_message.message, mesh_lib.priority(send_message.priority),
    send_message.data, send_message.key, send_message.reply_to, send_message.mentions, mesh_lib.now() + make_interval(secs => send_message.expires_in))) s;
end
$$;
comment on function mesh.send_message is $$---
cli: send <to> <message>
alias: message send, msg
who: agent
mcp: core
set: send_messages
---
Send a message. It is stored when this answers, and waits for those who are offline.
The answer lists up to 100 recipients, those who are not shown it now first; of more, counts says how many are in each state, and message_status lists all.
to: one address, or several with commas between: an agent's name, 8 or more hex digits its key begins with, @group with its subgroups, role:x, #room, or * for everybody else.
message: the text, 1 to 65,536 bytes.
priority: now (shown at once), next (when the recipient is not working) or low (when it is idle or asks); default next, or what a pool says.
reply_to: the id of the message this answers; default none.
mentions: names of recipients who are meant above all, up to 100: they hear it now; default none.
key: a word of yours for this message, 1 to 200 characters; sending again with it sends nothing twice. Default none.
expires_in: seconds after which it is worth nothing to those who have not taken it; default never.
data: JSON for programs beside the text, up to 65,536 bytes; default none.
example: mesh send designer "the header is done"
example: mesh send '*' "build is green again"$$;
grant execute on function mesh.send_message(mesh.addresses, mesh.sealed, text, uuid, text[], mesh.request_key, double precision, mesh.sealed_data) to mesh_agent;

create function mesh.check_messages("limit" integer default 20, peek boolean default false, seen mesh.seen default null,
  out messages mesh.frames, out unread bigint, out claim uuid, out pending boolean)
language plpgsql volatile set search_path = '' as $$
begin
  if check_messages."limit" not between 1 and 100 then
    perform mesh_lib.fail(400, 'limit is 1 to 100', '');
  end if;
  check_messages.pending := false;
  if check_messages.peek then
    select coalesce(json_agg(mesh_lib.frame(m, d.box) order by d.priority, d.position), '[]') into check_messages.messages
    from (select d.message_id, d.priority, d.position, d.box from mesh_data.delivery d
      where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and mesh_lib.is_due(d.due_at, d.expires_at) order by d.priority, d.position limit check_messages."limit") d
    join mesh_data.message m on m.message_id = d.message_id;
  else
    perform mesh_lib.settle(check_messages.seen);
    check_messages.claim := gen_random_uuid();
    check_messages.messages := mesh_lib.claim(check_messages."limit", check_messages.claim);
  end if;
  check_messages.unread := mesh_lib.unread();
end
$$;
comment on function mesh.check_messages is $$---
cli: inbox
who: agent
mcp: core
columns: messages
more: unread mesh inbox
---
Take your mail, oldest first. The next check_messages, wait, ask_agent, reply or done acknowledges it; what is never acknowledged comes again.
`unread` is how many more there are to take: what this window holds and has not acknowledged is listed by peek and not counted.
limit: how many at most, 1 to 100; default 20.
peek: look without taking; default false.
seen: the claims of the answers that arrived; the client fills it in.
example: mesh inbox
example: mesh inbox --peek$$;
grant execute on function mesh.check_messages(integer, boolean, mesh.seen) to mesh_agent;

create function mesh.wait(timeout mesh.awaited default 50, "from" text default null, thread uuid default null, seen mesh.seen default null,
  out messages mesh.frames, out unread bigint, out claim uuid, out pending boolean)
language plpgsql volatile set search_path = '' as $$
declare
  _claim constant uuid := gen_random_uuid();
  _from constant uuid := case when wait."from" is not null then mesh_lib.agent_id_of(mesh_lib.my_mesh(), lower(wait."from")) end;
begin
  perform mesh_lib.settle(wait.seen);
  wait.messages := mesh_lib.claim(20, _claim, _from, wait.thread);
  -- What retention took since may have answers here, and who is no party to a message may be to an answer.
  if json_array_length(wait.messages) = 0 and wait.thread is not null and not exists (select from mesh_data.message m where m.reply_to = wait.thread) then
    perform mesh_lib.message_to_read(wait.thread);
  end if;
  if json_array_length(wait.messages) = 0 and wait.timeout > 0 then
    -- All null: the relay asks again at the next wake.
    wait.messages := null;
    perform mesh_lib.begin_wait(wait.timeout);
    return;
  end if;
  perform mesh_lib.end_wait();
  wait.claim := _claim;
  wait.unread := mesh_lib.unread();
  wait.pending := json_array_length(wait.messages) = 0;
end
$$;
comment on function mesh.wait is $$---
cli: wait
who: agent
mcp: core
columns: messages
more: unread mesh inbox
---
Wait for mail and take it, like check_messages. Others see you as waiting. `pending` true means nothing came in time: wait again.
timeout: seconds to wait, 0 to 55; default 50.
from: only mail from this agent; default from all.
thread: the id of a message: only that one and answers to it; default any.
seen: the claims of the answers that arrived; the client fills it in.
example: mesh wait --timeout 30
example: mesh wait --from designer$$;
grant execute on function mesh.wait(mesh.awaited, text, uuid, mesh.seen) to mesh_agent;

-- The dispatch takes the set form, mesh_lib.ack_many; nothing else acknowledges by id.
create function mesh.ack_messages(message_ids uuid[], out acknowledged bigint, out already bigint)
language plpgsql volatile set search_path = '' as $$
begin
  perform mesh_lib.fail(500, format('%s messages: ack_messages has a set form only', cardinality(ack_messages.message_ids)), '');
end
$$;
comment on function mesh.ack_messages is $$---
cli: ack <message_ids>
who: agent
mcp: core
set: ack_many
---
Acknowledge messages at once, without taking the next. Repeating it is harmless.
message_ids: ids of messages in your inbox, 1 to 1,000.
example: mesh ack 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f$$;
grant execute on function mesh.ack_messages(uuid[]) to mesh_agent;

create function mesh.message_status(message_id uuid) returns table (
  agent text, state text, waits_for text, reason text, attempts smallint, due_at timestamptz, expires_at timestamptz,
  delivered_at timestamptz, acknowledged_at timestamptz
)
language plpgsql stable set search_path = '' as $$
declare
  _message constant mesh_data.message := mesh_lib.message_to_read(message_status.message_id);
begin
  -- To its sender all recipients, to a recipient itself: row-level security says so.
  return query
    select b.agent, b.state, b.waits_for, (b.delivery).reason, (b.delivery).attempts,
      case when (b.delivery).state in ('queued', 'delivered') then (b.delivery).due_at end, (b.delivery).expires_at, (b.delivery).delivered_at,
      case (b.delivery).state when 'acknowledged' then (b.delivery).settled_at end
    from mesh_lib.became(_message) b
    order by 1;
end
$$;
comment on function mesh.message_status is $$---
cli: message status <message_id>
who: agent
mcp: core
columns: agent state waits_for reason delivered_at acknowledged_at
---
Tell what became of a message, per recipient: queued, pushed, delivered, acknowledged, expired or dead, why it waits, and why it came back.
message_id: the id that send_message gave.
example: mesh message status 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f$$;
grant execute on function mesh.message_status(uuid) to mesh_agent;
