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

-- Settle what the caller's earlier answers returned. With `seen` only those answers count as arrived, and what others of its
-- claims hold is free again, unless they may be under way; without it every earlier answer of this caller did arrive.
create function mesh_lib.settle(seen uuid[]) returns void
language plpgsql volatile set search_path = '' set enable_seqscan = off as $$
declare
  _frees constant boolean := coalesce('00000000-0000-0000-0000-000000000000' <> all (settle.seen), true);
begin
  if cardinality(settle.seen) > 1000 then
    perform mesh_lib.fail(413, 'seen names up to 1,000 answers: say the newest; what the others held comes again', '');
  end if;
  perform mesh_lib.lock_inbox();
  -- Who works and looks after its mail is still at it.
  update mesh_data.activity v set heard_at = mesh_lib.now()
  where v.agent_id = (select mesh_lib.my_agent()) and v.status = 'working' and v.heard_at < mesh_lib.now() - interval '1 minute';
  update mesh_data.delivery d
  set state = case when settle.seen is null or d.claim_id = any (settle.seen) then 'acknowledged' else d.state end,
    settled_at = case when settle.seen is null or d.claim_id = any (settle.seen) then mesh_lib.now() end,
    claim_id = case when settle.seen is null or d.claim_id = any (settle.seen) then d.claim_id end,
    claimant_id = case when settle.seen is null or d.claim_id = any (settle.seen) then d.claimant_id end
  where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id = (select mesh_lib.claimant())
    and (_frees or d.claim_id = any (settle.seen));
end
$$;

-- Claim up to at_most of the caller's open messages, oldest first, whoever else held them before: an agent has one window. What
-- other answers of the caller hold, only `among` these. Only those from one agent, in one thread or `among` these, where these
-- are not null. Planned as mesh_lib.mail is.
create function mesh_lib.claim(at_most integer, claim_id uuid, from_agent_id uuid default null, thread uuid default null, among uuid[] default null) returns json
language plpgsql volatile
  set search_path = '' set enable_sort = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
declare
  _claimed json;
begin
  with next as (
    select d.message_id from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and mesh_lib.is_due(d.due_at, d.expires_at)
      and (claim.from_agent_id is null or d.sender_agent_id = claim.from_agent_id)
      and case when claim.among is null then d.claimant_id is distinct from (select mesh_lib.claimant()) else d.message_id = any (claim.among) end
      and (claim.thread is null or exists (
        select from mesh_data.message m where m.message_id = d.message_id and (m.message_id = claim.thread or m.reply_to = claim.thread)))
    order by d.priority, d.position limit claim.at_most for update
  ), claimed as (
    update mesh_data.delivery d set claim_id = claim.claim_id, claimant_id = mesh_lib.claimant()
    from next n where d.message_id = n.message_id and d.agent_id = (select mesh_lib.my_agent())
    returning d.message_id, d.priority, d.position, d.box
  )
  select coalesce(json_agg(mesh_lib.frame(m, c.box) order by c.priority, c.position), '[]') into _claimed
  from claimed c
  join mesh_data.message m on m.message_id = c.message_id;
  return _claimed;
end
$$;

-- How many of the caller's messages are to be had and not in its hands.
create function mesh_lib.unread() returns bigint
language plpgsql stable set search_path = '' set enable_seqscan = off as $$
begin
  return (select count(*) from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id is distinct from (select mesh_lib.claimant())
      and mesh_lib.is_due(d.due_at, d.expires_at));
end
$$;

-- ack_messages for a batch of callers: mesh.ack_messages says what the arguments mean. Rows are locked in the order of
-- their ids, as every other writer does. One probe of an index for each id, whatever the statistics say.
create function mesh_lib.ack_many(tokens text[], meshes text[], sessions text[], arguments text[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects json)
language plpgsql volatile security definer set search_path = '' set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  return query
    with asked as materialized (
      select r.ordinal, r.me, r.error, i.id, d.state, count(*) over (partition by r.ordinal) as ids,
        count(*) filter (where d.state is null) over (partition by r.ordinal) as missing
      from mesh_lib.requests('ack_messages', ack_many.tokens, ack_many.meshes, ack_many.sessions, ack_many.arguments) r
      left join lateral (select distinct e::uuid from jsonb_array_elements_text(r.given -> 'message_ids') e limit 1001) i (id) on r.error is null
      left join lateral (select d.state from mesh_data.delivery d where d.message_id = i.id and d.agent_id = (r.me).agent_id offset 0) d on true
    ), done as (
      update mesh_data.delivery d set state = 'acknowledged', settled_at = mesh_lib.now()
      from (
        select a.ordinal, a.id, (a.me).agent_id from asked a where a.missing = 0 and a.ids <= 1000 and a.state <> 'acknowledged' order by 2, 3
      ) l
      where d.message_id = l.id and d.agent_id = l.agent_id and d.state <> 'acknowledged'
      returning l.ordinal
    ), judged as (
      select a.ordinal, (array_agg(a.me))[1] as me, count(a.id) as asked,
        coalesce((array_agg(a.error))[1], case
          when count(a.id) not between 1 and 1000 then mesh_lib.error_object('ME400', 'acknowledge 1 to 1,000 messages at a time', '', '', '')
          when min(a.missing) > 0 then mesh_lib.error_object('ME404', 'some of these messages are not in your inbox', 'mesh inbox',
            json_build_object('message_ids', array_agg(a.id) filter (where a.state is null))::text, '')
        end) as error
      from asked a group by a.ordinal
    ), counted as (
      select d.ordinal, count(*) as acknowledged from done d group by d.ordinal
    )
    select j.ordinal, case when j.error is null then 200 else mesh_lib.status_of(j.error ->> 'code') end,
      coalesce(j.error, json_build_object('acknowledged', coalesce(c.acknowledged, 0), 'already', j.asked - coalesce(c.acknowledged, 0))),
      mesh_lib.caller(j.me), null::json
    from judged j left join counted c on c.ordinal = j.ordinal;
end
$$;
alter function mesh_lib.ack_many(text[], text[], text[], text[], uuid) owner to mesh_definer;

-- Whether mail that was put off has become due since then: relays look for it, and this is cheap to ask.
create function mesh_lib.due_since(since timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select exists (select from mesh_data.delivery d
    where d.state in ('queued', 'delivered') and d.due_at is not null and d.due_at > due_since.since and d.due_at <= mesh_lib.now())
$$;

-- Settle mail that nobody took in its time, up to 1,000 at once; returns how much. What a window has in hand may still be
-- acknowledged, for a day. What another call holds is left to the next time.
create function mesh_lib.expire() returns bigint
language sql volatile set search_path = '' as $$
  with late as (
    select d.message_id, d.agent_id from mesh_data.delivery d
    where d.state in ('queued', 'delivered') and d.expires_at is not null and d.expires_at <= mesh_lib.now()
      and (d.claim_id is null or d.expires_at <= mesh_lib.now() - interval '1 day')
    order by d.expires_at limit 1000 for update skip locked
  ), expired as (
    update mesh_data.delivery d set state = 'expired', settled_at = mesh_lib.now()
    from late l where d.message_id = l.message_id and d.agent_id = l.agent_id
    returning 1
  )
  select count(*) from expired
$$;
