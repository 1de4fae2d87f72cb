-- Deliveries: how mail is put into an inbox, claimed and settled. What "sent" means is in docs/protocol.md.

-- A recipient's inbox may hold this many unacknowledged messages; then its senders are refused.
create function mesh_lib.inbox_limit() returns integer
language sql immutable set search_path = '' as $$ select 10000 $$;

-- Store a message and one delivery for each recipient, and wake the relays. A definer: it writes other agents' inboxes,
-- and counts them. Rows are made in the order of the recipients' ids, as every other writer locks them.
create function mesh_lib.deliver(message_id uuid, address text, body text, data jsonb, reply_to uuid, recipients uuid[]) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _full text;
begin
  select a.name into _full from unnest(deliver.recipients) r (agent_id) join mesh_data.agent a on a.agent_id = r.agent_id
  where (select count(*) from (select from mesh_data.delivery d
    where d.agent_id = r.agent_id and d.state in ('queued', 'delivered') limit mesh_lib.inbox_limit()) n) >= mesh_lib.inbox_limit()
  order by a.name limit 1;
  if found then
    perform mesh_lib.fail(429, format('the inbox of %s is full: %s messages wait there', _full, mesh_lib.inbox_limit()), 'mesh peers',
      jsonb_build_object('retry_after', 30, 'agent', _full));
  end if;
  insert into mesh_data.message (message_id, mesh_id, sender_agent_id, address, body, data, reply_to, sent_at)
  values (deliver.message_id, _me.mesh_id, _me.agent_id, deliver.address, deliver.body, deliver.data, deliver.reply_to, mesh_lib.now());
  insert into mesh_data.delivery (message_id, mesh_id, agent_id, sender_agent_id, position)
  select deliver.message_id, _me.mesh_id, a.agent_id, _me.agent_id, nextval('mesh_data.message_position')
  from (select a.agent_id from mesh_data.agent a where a.agent_id = any (deliver.recipients) and a.mesh_id = _me.mesh_id order by a.agent_id) a;
  perform mesh_lib.ping();
end
$$;
alter function mesh_lib.deliver(uuid, text, text, jsonb, uuid, uuid[]) owner to mesh_definer;
grant execute on function mesh_lib.deliver(uuid, text, text, jsonb, uuid, uuid[]) to mesh_agent;

-- Who took what was last returned: the window, or the key where there is none.
create function mesh_lib.claimant() returns uuid
language sql stable set search_path = '' as $$ select coalesce((mesh_lib.me()).session_id, (mesh_lib.me()).key_id) $$;

-- Settle what the caller's earlier answers returned. With `seen` only that answer counts as arrived, and what others of
-- its claims hold is free again; without it every earlier answer of this caller did arrive.
create function mesh_lib.settle(seen uuid) returns void
language sql volatile set search_path = '' as $$
  update mesh_data.delivery d
  set state = case when settle.seen is null or d.claim_id = settle.seen then 'acknowledged' else d.state end,
    settled_at = case when settle.seen is null or d.claim_id = settle.seen then mesh_lib.now() end,
    claim_id = case when settle.seen is null or d.claim_id = settle.seen then d.claim_id end,
    claimant_id = case when settle.seen is null or d.claim_id = settle.seen then d.claimant_id end
  where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id = (select mesh_lib.claimant())
$$;

-- Claim up to at_most of the caller's open messages, oldest first, whoever held them before: an agent has one window.
create function mesh_lib.claim(at_most integer, claim_id uuid) returns json
language sql volatile set search_path = '' as $$
  with next as (
    select d.message_id, d.position from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered')
    order by d.position limit claim.at_most for update
  ), claimed as (
    update mesh_data.delivery d set claim_id = claim.claim_id, claimant_id = mesh_lib.claimant()
    from next n where d.message_id = n.message_id and d.agent_id = (select mesh_lib.my_agent())
    returning d.message_id, d.position
  )
  select coalesce(json_agg(mesh_lib.frame(m, a.name) order by c.position), '[]')
  from claimed c
  join mesh_data.message m on m.message_id = c.message_id
  join mesh_data.agent a on a.agent_id = (select mesh_lib.my_agent())
$$;

-- How many of the caller's messages are open and not in its hands.
create function mesh_lib.unread() returns bigint
language sql stable set search_path = '' as $$
  select count(*) from mesh_data.delivery d
  where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id is distinct from (select mesh_lib.claimant())
$$;
