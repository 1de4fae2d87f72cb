-- What calls have in common that wait, or that send and are run more than once.

-- Others see the caller's window as waiting for so many seconds. Said once per wait, so that waiting writes nothing.
create function mesh_lib.begin_wait(timeout integer) returns void
language sql volatile set search_path = '' as $$
  update mesh_data.presence p set waiting_until = mesh_lib.now() + make_interval(secs => begin_wait.timeout)
  where p.session_id = (mesh_lib.me()).session_id and (p.waiting_until is null or p.waiting_until <= mesh_lib.now())
$$;

create function mesh_lib.end_wait() returns void
language sql volatile set search_path = '' as $$
  update mesh_data.presence p set waiting_until = null
  where p.session_id = (mesh_lib.me()).session_id and p.waiting_until is not null
$$;

-- The message the caller has sent with this key, or null.
create function mesh_lib.sent_as(key text) returns mesh_data.idempotency
language sql stable set search_path = '' as $$
  select i.* from mesh_data.idempotency i where i.sender_agent_id = (select mesh_lib.my_agent()) and i.key = sent_as.key
$$;

-- Where an answer to a message goes: to its room, else to its sender, the durable agent. Null when that agent was removed.
create function mesh_lib.answer_address(message mesh_data.message) returns text
language sql stable set search_path = '' as $$
  select coalesce(mesh_lib.room_address((answer_address.message).room_id),
    (select a.name from mesh_data.agent a where a.agent_id = (answer_address.message).sender_agent_id and a.removed_at is null))
$$;
