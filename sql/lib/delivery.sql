-- Deliveries: how mail is claimed and settled. What "sent" means is in docs/protocol.md.

-- Who took what was last returned: the window, or the key where there is none.
create function mesh_lib.claimant() returns uuid
language sql stable set search_path = '' as $$ select coalesce((mesh_lib.me()).session_id, (mesh_lib.me()).key_id) $$;

-- Whether open mail is to be had now: it is not put off, and has not expired.
create function mesh_lib.is_due(due_at timestamptz, expires_at timestamptz) returns boolean
language sql stable return coalesce(is_due.due_at <= mesh_lib.now(), true) and coalesce(is_due.expires_at > mesh_lib.now(), true);

-- One at a time for an agent: two drains at once return each message once.
create function mesh_lib.lock_inbox() returns void
language sql volatile set search_path = '' as $$ select pg_advisory_xact_lock(hashtextextended('inbox ' || mesh_lib.my_agent(), 0)) $$;

-- Settle what the caller's earlier answers returned. With `seen` only that answer counts as arrived, and what others of
-- its claims hold is free again; without it every earlier answer of this caller did arrive.
create function mesh_lib.settle(seen uuid) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform mesh_lib.lock_inbox();
  update mesh_data.delivery d
  set state = case when settle.seen is null or d.claim_id = settle.seen then 'acknowledged' else d.state end,
    settled_at = case when settle.seen is null or d.claim_id = settle.seen then mesh_lib.now() end,
    claim_id = case when settle.seen is null or d.claim_id = settle.seen then d.claim_id end,
    claimant_id = case when settle.seen is null or d.claim_id = settle.seen then d.claimant_id end
  where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id = (select mesh_lib.claimant());
end
$$;

-- Claim up to at_most of the caller's open messages, oldest first, whoever held them before: an agent has one window.
-- Only those from one agent, in one thread or `among` these, where these are not null.
create function mesh_lib.claim(at_most integer, claim_id uuid, from_agent_id uuid default null, thread uuid default null, among uuid[] default null) returns json
language plpgsql volatile set search_path = '' as $$
#variable_conflict use_column
declare
  _claimed json;
begin
  with next as (
    select d.message_id from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and mesh_lib.is_due(d.due_at, d.expires_at)
      and (claim.from_agent_id is null or d.sender_agent_id = claim.from_agent_id)
      and (claim.among is null or d.message_id = any (claim.among))
      and (claim.thread is null or exists (
        select from mesh_data.message m where m.message_id = d.message_id and (m.message_id = claim.thread or m.reply_to = claim.thread)))
    order by d.priority, d.position limit claim.at_most for update
  ), claimed as (
    update mesh_data.delivery d set claim_id = claim.claim_id, claimant_id = mesh_lib.claimant()
    from next n where d.message_id = n.message_id and d.agent_id = (select mesh_lib.my_agent())
    returning d.message_id, d.priority, d.position
  )
  select coalesce(json_agg(mesh_lib.frame(m) order by c.priority, c.position), '[]') into _claimed
  from claimed c
  join mesh_data.message m on m.message_id = c.message_id;
  return _claimed;
end
$$;

-- How many of the caller's messages are open and not in its hands.
create function mesh_lib.unread() returns bigint
language plpgsql stable set search_path = '' as $$
begin
  return (select count(*) from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id is distinct from (select mesh_lib.claimant())
      and coalesce(d.expires_at > mesh_lib.now(), true));
end
$$;

-- ack_messages for a batch of callers: mesh.ack_messages says what the arguments mean. Rows are locked in the order of
-- their ids, as every other writer does.
create function mesh_lib.ack_many(tokens text[], meshes text[], sessions text[], arguments text[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects jsonb)
language plpgsql volatile security definer set search_path = '' as $$
begin
  return query
    with calls as materialized (
      select c.ordinal, c.me, c.error,
        array(select distinct i::uuid from jsonb_array_elements_text(c.given -> 'message_ids') i) as ids
      from mesh_lib.requests('ack_messages', ack_many.tokens, ack_many.meshes, ack_many.sessions, ack_many.arguments) c
    ), found as materialized (
      select c.ordinal, d.message_id, d.agent_id, d.state
      from calls c cross join unnest(c.ids) i (id) join mesh_data.delivery d on d.message_id = i.id and d.agent_id = (c.me).agent_id
      where c.error is null and cardinality(c.ids) between 1 and 1000
    ), counted as (
      select c.ordinal, count(f.message_id) as mine, count(f.message_id) filter (where f.state <> 'acknowledged') as open,
        array(select i from unnest(min(c.ids)) i where i <> all (array_remove(array_agg(f.message_id), null))) as missing
      from calls c left join found f on f.ordinal = c.ordinal
      group by c.ordinal
    ), judged as (
      select c.ordinal, c.me, n.mine, n.open, coalesce(c.error, case
        when cardinality(c.ids) not between 1 and 1000 then mesh_lib.error_object('ME400', 'acknowledge 1 to 1,000 messages at a time', '', '', '')
        when cardinality(n.missing) > 0 then mesh_lib.error_object('ME404', 'some of these messages are not in your inbox', 'mesh inbox',
          json_build_object('message_ids', n.missing)::text, '')
      end) as error
      from calls c join counted n on n.ordinal = c.ordinal
    ), locked as materialized (
      select d.message_id, d.agent_id from mesh_data.delivery d
      where (d.message_id, d.agent_id) in (
        select f.message_id, f.agent_id from found f join judged j on j.ordinal = f.ordinal and j.error is null where f.state <> 'acknowledged')
      order by d.message_id, d.agent_id for update
    ), done as (
      update mesh_data.delivery d set state = 'acknowledged', settled_at = mesh_lib.now()
      from locked l where d.message_id = l.message_id and d.agent_id = l.agent_id
    )
    select j.ordinal, case when j.error is null then 200 else mesh_lib.status_of(j.error ->> 'code') end,
      coalesce(j.error, json_build_object('acknowledged', j.open, 'already', j.mine - j.open)), mesh_lib.caller(j.me), null::jsonb
    from judged j;
end
$$;
alter function mesh_lib.ack_many(text[], text[], text[], text[], uuid) owner to mesh_definer;
