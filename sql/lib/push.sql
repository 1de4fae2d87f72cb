-- What a relay may ask between calls. Each row is proved by the push secret that open_session gave to that session, so
-- the relay's own password reads nothing. These are definers because a relay is nobody under row-level security.

-- One message as its recipients see it; `box`: the reader's, where it is sealed.
create function mesh_lib.frame(message mesh_data.message, sender mesh_data.agent, box text) returns json
language sql stable return json_build_object('message_id', (frame.message).message_id, 'from', (frame.sender).name, 'from_kind', (frame.sender).kind,
  'to', (frame.message).address, 'priority', (array['now', 'next', 'low'])[(frame.message).priority + 1], 'message', coalesce((frame.message).body, (frame.message).notice),
  'mentions', (frame.message).mentions, 'data', (frame.message).data, 'reply_to', (frame.message).reply_to, 'sent_at', (frame.message).sent_at,
  'envelope', case when num_nonnulls((frame.message).envelope, (frame.message).notice) > 0 then mesh_lib.envelope(frame.message, frame.box) end);

-- The same with its sender looked up. In PL/pgSQL, which keeps its plan: SQL would make one for each statement it is used in.
create function mesh_lib.frame(message mesh_data.message, box text) returns json
language plpgsql stable set search_path = '' as $$
begin
  return (select mesh_lib.frame(frame.message, a, frame.box) from mesh_data.agent a where a.agent_id = frame.message.sender_agent_id);
end
$$;

-- Neither sorting nor hashing: the front of each queue is read, however long it is.
create function mesh_lib.mail(session_ids uuid[], push_secrets text[], at_most integer)
returns table (session_id uuid, ended text, frame json, attempts smallint)
language plpgsql volatile security definer
  set search_path = '' set enable_sort = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
begin
  return query
    select u.session_id, coalesce(s.ended_why, case when s.session_id is null then 'this session is not known here' end), q.frame, q.attempts
    from unnest(mail.session_ids, mail.push_secrets) u (session_id, push_secret)
    left join mesh_data.session s on s.session_id = u.session_id and s.push_verifier = sha256(convert_to(u.push_secret, 'UTF8'))
    left join mesh_data.activity v on v.agent_id = s.agent_id
    left join mesh_data.presence p on p.session_id = s.session_id
    left join lateral (
      select d.priority, d.position, d.attempts, mesh_lib.frame(m, d.box) as frame
      from (
        select d.* from mesh_data.delivery d
        where d.agent_id = s.agent_id and d.state in ('queued', 'delivered') and d.state = 'queued' and d.claim_id is null
          and mesh_lib.is_due(d.due_at, d.expires_at)
          and mesh_lib.is_pushed(d.priority, mesh_lib.status(v, p.waiting_until, 'online'))
        order by d.priority, d.position limit mail.at_most
      ) d
      join mesh_data.message m on m.message_id = d.message_id
    ) q on s.ended_at is null
    where s.session_id is null or s.ended_at is not null or q.frame is not null
    order by q.priority, q.position;
end
$$;
comment on function mesh_lib.mail is 'Queued mail of these sessions, oldest first, at most at_most for each; or why a session is over. attempts: how often it was given back. Consumes nothing.';

create function mesh_lib.receipt(session_ids uuid[], push_secrets text[], message_ids uuid[]) returns void
language plpgsql volatile security definer
  set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
begin
  -- In the order of their ids, as every other writer does, and each found by its id: an index of open mail would be as cheap
  -- to the planner, and is walked from end to end, so the condition does not look like that index's.
  with proved as materialized (
    select u.message_id, s.agent_id
    from unnest(receipt.session_ids, receipt.push_secrets, receipt.message_ids) u (session_id, push_secret, message_id)
    join mesh_data.session s on s.session_id = u.session_id and s.push_verifier = sha256(convert_to(u.push_secret, 'UTF8'))
    order by 1, 2
  )
  update mesh_data.delivery d set state = 'delivered', delivered_at = mesh_lib.now()
  from proved p
  where d.message_id = p.message_id and d.agent_id = p.agent_id and case when d.state = 'queued' then coalesce(d.due_at <= mesh_lib.now(), true) end;
end
$$;
comment on function mesh_lib.receipt is 'The clients of these sessions have these messages in hand: delivered, not yet acknowledged.';

create function mesh_lib.confirm(session_ids uuid[], push_secrets text[], relay_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _agents uuid[];
  -- Those of whom it is not known here, after a crash of the server, are held, so that none ends meanwhile and keeps its name here.
  _unknown constant uuid[] := array(
    select s.session_id
    from unnest(confirm.session_ids, confirm.push_secrets) u (session_id, push_secret)
    join mesh_data.session s on s.session_id = u.session_id and s.push_verifier = sha256(convert_to(u.push_secret, 'UTF8'))
    where s.ended_at is null and not exists (select from mesh_data.presence p where p.session_id = s.session_id and p.agent_id is not null)
    order by s.session_id for share of s);
begin
  with confirmed as (
    insert into mesh_data.presence (session_id, mesh_id, agent_id, confirmed_at, connected, relay_id)
    select s.session_id, s.mesh_id, case when s.session_id = any (_unknown) then s.agent_id end, mesh_lib.now(), true, confirm.relay_id
    from unnest(confirm.session_ids, confirm.push_secrets) u (session_id, push_secret)
    join mesh_data.session s on s.session_id = u.session_id and s.push_verifier = sha256(convert_to(u.push_secret, 'UTF8'))
    where s.ended_at is null
    order by s.session_id
    on conflict on constraint presence_pkey do update
      set agent_id = coalesce(presence.agent_id, excluded.agent_id), confirmed_at = excluded.confirmed_at, connected = true, relay_id = excluded.relay_id
    returning presence.agent_id
  )
  select array_agg(c.agent_id) filter (where c.agent_id is not null) into _agents from confirmed c;
  perform mesh_lib.take_pool_mail(_agents, false);
  -- Any relay sweeps: what was silent for an hour is forgotten here. The session itself stays until another takes its place.
  delete from mesh_data.presence p where p.confirmed_at < mesh_lib.now() - interval '1 hour';
end
$$;
comment on function mesh_lib.confirm is 'These sessions have a live socket at this relay. Said every 15 s; 30 s of silence is reconnecting, 90 s offline.';

create function mesh_lib.disconnected(session_ids uuid[], push_secrets text[], relay_id uuid) returns void
language sql volatile security definer set search_path = '' as $$
  update mesh_data.presence p set connected = false
  from unnest(disconnected.session_ids, disconnected.push_secrets) u (session_id, push_secret)
  join mesh_data.session s on s.session_id = u.session_id and s.push_verifier = sha256(convert_to(u.push_secret, 'UTF8'))
  where p.session_id = s.session_id and coalesce(p.relay_id = disconnected.relay_id, true)
$$;
comment on function mesh_lib.disconnected is 'The sockets that this relay had of these sessions are gone: reconnecting, and offline 90 s after they were last confirmed. Not those that another has confirmed since.';

create function mesh_lib.not_waiting(session_ids uuid[], push_secrets text[], relay_id uuid) returns void
language sql volatile security definer set search_path = '' as $$
  update mesh_data.presence p set waiting_until = null
  from unnest(not_waiting.session_ids, not_waiting.push_secrets) u (session_id, push_secret)
  join mesh_data.session s on s.session_id = u.session_id and s.push_verifier = sha256(convert_to(u.push_secret, 'UTF8'))
  where p.session_id = s.session_id and p.waiting_until is not null and coalesce(p.relay_id = not_waiting.relay_id, true)
$$;
comment on function mesh_lib.not_waiting is 'These sessions gave up waiting at this relay before there was an answer.';

create function mesh_lib.refused_keys(key_ids uuid[]) returns setof uuid
language sql stable security definer set search_path = '' as $$
  select u.key_id from unnest(refused_keys.key_ids) u (key_id)
  where not exists (select from mesh_data.key k where k.key_id = u.key_id and k.revoked_at is null and (k.expires_at is null or k.expires_at > mesh_lib.now()))
    and not exists (select from mesh_data.invite i where i.invite_id = u.key_id and i.revoked_at is null and i.expires_at > mesh_lib.now())
$$;
comment on function mesh_lib.refused_keys is 'Those of these keys that are no longer good: revoked, expired or deleted.';

create function mesh_lib.horizon(out oldest bigint, out next bigint, out snapshot text)
language sql stable security definer set search_path = '' as $$
  -- The end of a snapshot is the last transaction that ended, plus one: younger ones may be open. age() counts from the next.
  select pg_snapshot_xmin(s.s)::text::bigint, pg_snapshot_xmax(s.s)::text::bigint + age(pg_snapshot_xmax(s.s)::xid), s.s::text from pg_current_snapshot() s (s)
$$;
comment on function mesh_lib.horizon is 'The oldest transaction that is open, and the one that comes next: equal when none is open; and all of it, to ask mesh_lib.news with.';

create function mesh_lib.health() returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object('release', c.release, 'catalogue', left(c.hash, 16)) from mesh_data.code c where c.part = 'rest'
$$;
comment on function mesh_lib.health is 'Which release''s sql/ is loaded, and the hash of its catalogue.';

alter function mesh_lib.mail(uuid[], text[], integer) owner to mesh_definer;
alter function mesh_lib.receipt(uuid[], text[], uuid[]) owner to mesh_definer;
alter function mesh_lib.confirm(uuid[], text[], uuid) owner to mesh_definer;
alter function mesh_lib.disconnected(uuid[], text[], uuid) owner to mesh_definer;
alter function mesh_lib.not_waiting(uuid[], text[], uuid) owner to mesh_definer;
alter function mesh_lib.refused_keys(uuid[]) owner to mesh_definer;
alter function mesh_lib.horizon() owner to mesh_definer;
alter function mesh_lib.health() owner to mesh_definer;
grant execute on function mesh_lib.mail(uuid[], text[], integer), mesh_lib.receipt(uuid[], text[], uuid[]), mesh_lib.confirm(uuid[], text[], uuid),
  mesh_lib.disconnected(uuid[], text[], uuid), mesh_lib.not_waiting(uuid[], text[], uuid), mesh_lib.refused_keys(uuid[]), mesh_lib.horizon(), mesh_lib.health() to mesh_relay;
