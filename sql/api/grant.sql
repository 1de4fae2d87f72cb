-- Grants: reading what was sealed before one came. Who wants to read it asks; whoever holds its key and is asked may box it
-- for the other, which any reader could also do by telling.

grant select on mesh_data.box, mesh_data.key_request to mesh_agent;
create policy box_select on mesh_data.box for select to mesh_agent
  using (agent_id = (select mesh_lib.my_agent()));
create policy key_request_select on mesh_data.key_request for select to mesh_agent
  using (agent_id = (select mesh_lib.my_agent()));

-- A definer: it looks for messages that the caller cannot see yet, in a room where it is.
create function mesh.request_keys(inout room text, message_ids uuid[] default null, out requested bigint, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _room_id constant uuid := mesh_lib.room_to_read(_me, request_keys.room);
begin
  if cardinality(request_keys.message_ids) not between 1 and 1000 then
    perform mesh_lib.fail(400, 'ask for 1 to 1,000 messages at a time', '');
  end if;
  with wanted as (
    insert into mesh_data.key_request (message_id, agent_id, mesh_id, created_at)
    select m.message_id, _me.agent_id, _me.mesh_id, mesh_lib.now()
    from (
      select r.message_id, r.sender_agent_id, r.sent_at, r.position from mesh_data.message r
      where r.room_id = _room_id and r.envelope is not null and (request_keys.message_ids is null or r.message_id = any (request_keys.message_ids))
      order by r.position desc limit 10000
    ) m
    where request_keys.message_ids is not null or not mesh_lib.can_open(m.message_id, m.sender_agent_id, m.sent_at, _me.agent_id)
    order by m.position desc limit 1000
    on conflict do nothing
    returning 1
  )
  select count(*) into request_keys.requested from wanted;
  request_keys.room := '#' || mesh_lib.room_name(request_keys.room);
  request_keys.next := format('ask a member of %s to run: mesh grant %s', request_keys.room, (select a.name from mesh_data.agent a where a.agent_id = _me.agent_id));
end
$$;
comment on function mesh.request_keys is $$---
cli: room ask <room>
who: agent
---
Ask to read what was sealed in a room before you came, or for a key you had before: the newest 1,000 messages, of the last 10,000 there. A member who can read them grants it.
room: the room's name, with or without #; you are in it.
message_ids: ids of messages said there, up to 1,000: only these, also when you have a box of them that does not open. Default all that you have none of.
example: mesh room ask standup$$;
alter function mesh.request_keys(text, uuid[]) owner to mesh_definer;
grant execute on function mesh.request_keys(text, uuid[]) to mesh_agent;

-- A definer: requests are others', and what they ask for was sent to the caller.
create function mesh.list_key_requests("for" text default null, after uuid default null, "limit" integer default 200) returns table (
  agent text, agent_id uuid, identity_key text, chain mesh.chain, room text, message_id uuid, "from" text, sent_at timestamptz, envelope mesh.envelope
)
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _agent_id constant uuid := case when list_key_requests."for" is not null then (mesh_lib.agent_named(list_key_requests."for")).agent_id end;
begin
  if list_key_requests."limit" not between 1 and 1000 then
    perform mesh_lib.fail(400, 'limit is 1 to 1,000', '');
  end if;
  return query
    select a.name, a.agent_id, encode(a.identity_key, 'hex'), a.chain::mesh.chain, mesh_lib.room_address(m.room_id), m.message_id, s.name, m.sent_at,
      mesh_lib.envelope_for(m, _me.agent_id)
    from mesh_data.key_request q
    join mesh_data.agent a on a.agent_id = q.agent_id and a.removed_at is null and a.identity_key is not null
    join mesh_data.message m on m.message_id = q.message_id
    join mesh_data.agent s on s.agent_id = m.sender_agent_id
    where q.mesh_id = _me.mesh_id and q.agent_id <> _me.agent_id and (_agent_id is null or q.agent_id = _agent_id)
      and (list_key_requests.after is null or m.position > (select l.position from mesh_data.message l where l.message_id = list_key_requests.after and l.mesh_id = _me.mesh_id))
      -- Who asks must still be in the room, and who is asked must be able to read it.
      and exists (select from mesh_data.room_member r where r.room_id = m.room_id and r.agent_id = q.agent_id)
      and mesh_lib.can_open(m.message_id, m.sender_agent_id, m.sent_at, _me.agent_id)
    order by a.name, m.position limit list_key_requests."limit";
end
$$;
comment on function mesh.list_key_requests is $$---
cli: room requests
who: agent
columns: agent room from sent_at message_id
---
List messages that others ask to read and you can: sealed in a room of theirs before they came. `mesh grant <agent>` lets one read them.
for: only what this agent asks for; default everybody.
after: the id of a message: only what was said after it, so that what cannot be granted stands in the way of nothing. Default all.
limit: how many at most, 1 to 1,000; default 200.
example: mesh room requests$$;
alter function mesh.list_key_requests(text, uuid, integer) owner to mesh_definer;
grant execute on function mesh.list_key_requests(text, uuid, integer) to mesh_agent;

-- A definer: it writes what another may read.
create function mesh.grant_key(inout agent text, boxes mesh.boxes, identity_key mesh.public_key default null, out granted bigint)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _agent constant mesh_data.agent := mesh_lib.agent_named(grant_key.agent);
begin
  if (select count(*) from jsonb_object_keys(grant_key.boxes)) not between 1 and 1000
    or exists (select from jsonb_each_text(grant_key.boxes) b where not mesh_lib.is_box(b.value))
  then
    perform mesh_lib.fail(400, 'boxes are an object of message ids and sealed boxes, 1 to 1,000, that the client makes', 'mesh grant ' || _agent.name);
  elsif decode(grant_key.identity_key, 'hex') <> _agent.identity_key then
    perform mesh_lib.fail(409, format('%s has another key than these boxes are for', _agent.name), 'mesh grant ' || _agent.name);
  end if;
  with asked as (
    -- Only what was asked for, and the caller can read.
    delete from mesh_data.key_request q
    where q.agent_id = _agent.agent_id and grant_key.boxes ? q.message_id::text
      and exists (select from mesh_data.message m where m.message_id = q.message_id and m.mesh_id = _me.mesh_id
        and exists (select from mesh_data.room_member r where r.room_id = m.room_id and r.agent_id = _agent.agent_id)
        and mesh_lib.can_open(m.message_id, m.sender_agent_id, m.sent_at, _me.agent_id))
    returning q.message_id
  ), mail as (
    update mesh_data.delivery d set box = grant_key.boxes ->> a.message_id::text from asked a
    where d.message_id = a.message_id and d.agent_id = _agent.agent_id
  ), given as (
    insert into mesh_data.box (message_id, agent_id, mesh_id, box, granted_by_agent_id, created_at)
    select a.message_id, _agent.agent_id, _me.mesh_id, grant_key.boxes ->> a.message_id::text, _me.agent_id, mesh_lib.now() from asked a
    -- One that is there is for a key from before.
    on conflict on constraint box_pkey do update set box = excluded.box, granted_by_agent_id = excluded.granted_by_agent_id, created_at = excluded.created_at
    returning 1
  )
  select count(*) into grant_key.granted from given;
  grant_key.agent := _agent.name;
  if grant_key.granted > 0 then
    perform mesh_lib.record(_me.mesh_id, 'keys_granted', jsonb_build_object('agent', _agent.name, 'messages', grant_key.granted));
  end if;
end
$$;
comment on function mesh.grant_key is $$---
who: agent
mcp: never
---
Let an agent read messages it asked for: the client boxes their keys for it.
agent: the agent's name.
boxes: a sealed box for it by message id, up to 1,000, as the client makes them.
identity_key: the key they are for, as list_key_requests gave it; refused when the agent has another by now. Default not asked.
example: mesh grant designer$$;
alter function mesh.grant_key(text, mesh.boxes, mesh.public_key) owner to mesh_definer;
grant execute on function mesh.grant_key(text, mesh.boxes, mesh.public_key) to mesh_agent;

-- What a delivery says that could not be opened.
create function mesh_lib.unopened(reason text) returns text
language sql immutable return 'could not be opened: ' || unopened.reason;

create function mesh.report_unopened(message_ids uuid[], reason text, out reported bigint)
language plpgsql volatile set search_path = '' as $$
declare
  _reason constant text := coalesce(mesh_lib.checked_text(report_unopened.reason, 'the reason', 400), 'it gave no reason');
begin
  if cardinality(report_unopened.message_ids) not between 1 and 1000 then
    perform mesh_lib.fail(400, 'report 1 to 1,000 messages at a time', '');
  end if;
  perform mesh_lib.lock_inbox();
  with back as (
    update mesh_data.delivery d
    set claim_id = null, claimant_id = null, due_at = mesh_lib.now() + interval '5 minutes', reason = mesh_lib.unopened(_reason)
    where d.message_id = any (report_unopened.message_ids) and d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered')
    returning 1
  )
  select count(*) into report_unopened.reported from back;
end
$$;
comment on function mesh.report_unopened is $$---
who: agent
mcp: never
---
Say that messages in your inbox could not be opened. They stay unacknowledged, come again in five minutes or with retry_unopened, and their senders see why.
message_ids: ids of messages in your inbox, 1 to 1,000; what is settled is left alone.
reason: why, up to 400 characters.
example: mesh inbox$$;
grant execute on function mesh.report_unopened(uuid[], text) to mesh_agent;

create function mesh.retry_unopened(out retried bigint)
language plpgsql volatile set search_path = '' as $$
begin
  perform mesh_lib.lock_inbox();
  with again as (
    update mesh_data.delivery d set state = 'queued', delivered_at = null, due_at = mesh_lib.now()
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.due_at > mesh_lib.now() and d.reason like mesh_lib.unopened('%')
    returning 1
  )
  select count(*) into retry_unopened.retried from again;
  if retry_unopened.retried > 0 then
    perform mesh_lib.ping();
  end if;
end
$$;
comment on function mesh.retry_unopened is $$---
who: agent
mcp: never
---
Have mail that could not be opened come again at once: because your client now has what it lacked, such as a key you trust.
example: mesh trust designer$$;
grant execute on function mesh.retry_unopened() to mesh_agent;
