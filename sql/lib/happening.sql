-- What happened in a mesh, from two sources: the log (mesh_data.event), and messages with their deliveries, of which nothing
-- is written twice. Sorted by id, which is sorted by time.

-- message_id: of what is read from messages. Its detail is looked up at the end, for what is shown.
create type mesh_lib.happening as (event_id uuid, happened_at timestamptz, kind text, agent_id uuid, detail jsonb, message_id uuid);

-- What is looked for. reader_id: only what this agent is party to, and what is the mesh's own; null for its owner, who sees all.
-- agent_id: only what this agent did. before: only lesser ids. horizon: only what this transaction or a later one wrote; `next` is
-- the one that comes next. most: the newest so many.
create type mesh_lib.event_search as (
  mesh_id uuid, reader_id uuid, agent_id uuid, kind text, from_at timestamptz, before uuid, horizon bigint, next bigint, most integer
);

-- The time in an id, to the millisecond: its first 48 bits.
create function mesh_lib.time_of(id uuid) returns timestamptz
language sql immutable return to_timestamp(('x' || lpad(translate(left(time_of.id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0);

-- The id of a step of a delivery: as mesh_lib.new_id() would have made it then, and the same whenever it is asked for.
create function mesh_lib.step_id(at timestamptz, message_id uuid, agent_id uuid, kind text) returns uuid
language sql immutable set search_path = '' as $$
  select (lpad(to_hex(floor(m)::bigint), 12, '0') || to_hex(28672 + floor(m % 1 * 4096)::integer)
    || '8' || substr(md5(step_id.message_id::text || step_id.agent_id::text || step_id.kind), 1, 15))::uuid
  from (select extract(epoch from step_id.at) * 1000) e (m)
$$;

-- Where to go on: a UUIDv8 of a time and of the oldest transaction that was open then. What is committed later was written by that
-- one or one after it.
create function mesh_lib.cursor_at(at timestamptz, horizon bigint) returns uuid
language sql immutable set search_path = '' as $$
  select (lpad(to_hex(floor(extract(epoch from cursor_at.at) * 1000)::bigint), 12, '0') || '80008' || lpad(to_hex(cursor_at.horizon), 15, '0'))::uuid
$$;
create function mesh_lib.cursor_horizon(cursor_id uuid) returns bigint
language sql immutable set search_path = '' as $$
  select ('x0' || substr(replace(cursor_horizon.cursor_id::text, '-', ''), 18))::bit(64)::bigint
$$;

-- Whether a kind is asked for: by its name, or by the words it begins with.
create function mesh_lib.is_kind(kind text, asked text) returns boolean
language sql immutable return coalesce(is_kind.kind = is_kind.asked or starts_with(is_kind.kind, is_kind.asked || '_'), true);

-- Who reads of it beside the owner, who reads everything: the whole mesh, only the agents that have to do with it, or nobody.
create function mesh_lib.audience(kind text, detail jsonb) returns text
language sql immutable return case
    when audience.kind ~ '^(invite|member|agent_key)_' then 'owner'
    when audience.kind in ('tool_used', 'memory_edited') or audience.detail -> 'private' = 'true' then 'agent'
    else 'mesh'
  end;

-- Whether an agent reads of it: it did it, or it was done to it. Null is the owner.
create function mesh_lib.reads_event(reader_id uuid, kind text, agent_id uuid, detail jsonb) returns boolean
language sql immutable return reads_event.reader_id is null or case mesh_lib.audience(reads_event.kind, reads_event.detail)
    when 'mesh' then true
    when 'agent' then reads_event.reader_id = reads_event.agent_id or reads_event.detail ->> 'agent_id' = reads_event.reader_id::text
    else false
  end;

-- From the log. Tool calls may be by far the most in it, and have indexes of their own: `event_by_mesh` is read for the owner
-- only, who is shown them.
create function mesh_lib.logged(search mesh_lib.event_search) returns setof mesh_lib.happening
language plpgsql stable set search_path = '' as $$
declare
  _first constant uuid := mesh_lib.first_id(coalesce(search.from_at, '1970-01-01'));
begin
  if search.reader_id is null and search.agent_id is null and mesh_lib.is_kind('tool_used', search.kind) then
    return query
      select e.event_id, e.happened_at, e.kind, e.agent_id, e.detail, null::uuid from mesh_data.event e
      where e.mesh_id = search.mesh_id and e.event_id >= _first and e.event_id < search.before and mesh_lib.is_kind(e.kind, search.kind)
        and (search.horizon is null or e.changed_in >= search.horizon::text::xid8)
      order by e.event_id desc limit search.most;
    return;
  end if;
  if search.agent_id is null then
    return query
      select e.event_id, e.happened_at, e.kind, e.agent_id, e.detail, null::uuid from mesh_data.event e
      where e.mesh_id = search.mesh_id and e.kind <> 'tool_used' and e.event_id >= _first and e.event_id < search.before
        and mesh_lib.is_kind(e.kind, search.kind) and (search.horizon is null or e.changed_in >= search.horizon::text::xid8)
        and mesh_lib.reads_event(search.reader_id, e.kind, e.agent_id, e.detail)
      order by e.event_id desc limit search.most;
  end if;
  return query
    select e.event_id, e.happened_at, e.kind, e.agent_id, e.detail, null::uuid from mesh_data.event e
    where e.agent_id = coalesce(search.agent_id, search.reader_id) and e.mesh_id = search.mesh_id and e.event_id >= _first and e.event_id < search.before
      and (search.agent_id is not null or e.kind = 'tool_used')
      and mesh_lib.is_kind(e.kind, search.kind) and (search.horizon is null or e.changed_in >= search.horizon::text::xid8)
      and mesh_lib.reads_event(search.reader_id, e.kind, e.agent_id, e.detail)
    order by e.event_id desc limit search.most;
end
$$;

-- Messages that were sent: a reader's own. Each sender is asked for its newest. The id of a sealed one tells the time of its
-- sender's clock.
create function mesh_lib.sent(search mesh_lib.event_search) returns setof mesh_lib.happening
language plpgsql stable set search_path = '' as $$
begin
  if not mesh_lib.is_kind('message_sent', search.kind) then
    return;
  end if;
  return query
    select s.message_id, s.sent_at, 'message_sent', a.agent_id, null::jsonb, s.message_id
    from mesh_data.agent a cross join lateral (
      select m.message_id, m.sent_at from mesh_data.message m
      where m.mesh_id = search.mesh_id and m.sender_agent_id = a.agent_id and m.message_id < search.before
        and m.message_id >= mesh_lib.first_id(coalesce(search.from_at, '1970-01-02') - mesh_lib.clock_skew()) and m.sent_at >= coalesce(search.from_at, '1970-01-01')
        and (search.horizon is null or search.next - age(m.xmin) >= search.horizon)
      order by m.message_id desc limit search.most
    ) s
    where a.mesh_id = search.mesh_id and a.agent_id = coalesce(search.agent_id, search.reader_id, a.agent_id)
      and a.agent_id = coalesce(search.reader_id, a.agent_id)
    order by s.message_id desc limit search.most;
end
$$;

-- What became of messages: of those a reader got, and of the newest 1,000 it sent. Each recipient, and each pool, is asked for
-- its newest. All that happened in one moment is taken, since their ids decide which of it is shown.
create function mesh_lib.steps(search mesh_lib.event_search) returns setof mesh_lib.happening
language plpgsql stable set search_path = '' as $$
declare
  _from constant timestamptz := coalesce(search.from_at, '1970-01-01');
  _at constant timestamptz := mesh_lib.time_of(search.before);
  _until constant timestamptz := _at + interval '1 millisecond';
  _states constant text[] := array(select s from unnest(array['acknowledged', 'expired', 'dead']) s where mesh_lib.is_kind('message_' || s, search.kind));
  _delivered constant boolean := mesh_lib.is_kind('message_delivered', search.kind);
  _recipients constant uuid[] := array(
    select a.agent_id from mesh_data.agent a where a.mesh_id = search.mesh_id
    union all select p.pool_id from mesh_data.pool p where p.mesh_id = search.mesh_id);
begin
  if cardinality(_states) = 0 and not _delivered then
    return;
  end if;
  return query
    select s.event_id, s.at, s.kind, s.agent_id, null::jsonb, s.message_id
    from (
      select mesh_lib.step_id(n.at, n.message_id, n.agent_id, n.kind) as event_id, n.*
      from (
        select s.* from unnest(_recipients) r (agent_id) cross join lateral (
          (select d.message_id, d.agent_id, 'message_' || d.state as kind, d.settled_at as at from mesh_data.delivery d
            where d.agent_id = r.agent_id and d.settled_at between _from and _until and d.state = any (_states)
              and (d.settled_at < _at or mesh_lib.step_id(d.settled_at, d.message_id, d.agent_id, 'message_' || d.state) < search.before)
              and (search.horizon is null or search.next - age(d.xmin) >= search.horizon)
            order by d.settled_at desc fetch first (search.most) rows with ties)
          union all
          (select d.message_id, d.agent_id, 'message_delivered', d.delivered_at from mesh_data.delivery d
            where _delivered and d.agent_id = r.agent_id and d.delivered_at between _from and _until
              and (d.delivered_at < _at or mesh_lib.step_id(d.delivered_at, d.message_id, d.agent_id, 'message_delivered') < search.before)
              and (search.horizon is null or search.next - age(d.xmin) >= search.horizon)
            order by d.delivered_at desc fetch first (search.most) rows with ties)
        ) s
        where r.agent_id = coalesce(search.agent_id, r.agent_id) and r.agent_id = coalesce(search.reader_id, r.agent_id)
        union all
        select d.message_id, d.agent_id, v.kind, v.at
        from (
          select m.message_id from mesh_data.message m
          where search.reader_id is not null and m.mesh_id = search.mesh_id and m.sender_agent_id = search.reader_id and m.message_id < search.before
          order by m.message_id desc limit 1000
        ) m
        join mesh_data.delivery d on d.message_id = m.message_id
        cross join lateral (values ('message_' || d.state, d.settled_at), ('message_delivered', d.delivered_at)) v (kind, at)
        where v.at between _from and _until and mesh_lib.is_kind(v.kind, search.kind) and d.agent_id = coalesce(search.agent_id, d.agent_id)
          and d.agent_id <> search.reader_id and mesh_lib.step_id(v.at, d.message_id, d.agent_id, v.kind) < search.before
          and (search.horizon is null or search.next - age(d.xmin) >= search.horizon)
        order by 4 desc fetch first (search.most) rows with ties
      ) n
    ) s
    order by s.event_id desc limit search.most;
end
$$;

-- What is told of a step of a message: ids, names and states, never its text.
create function mesh_lib.message_event(message_id uuid, kind text, agent_id uuid) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select jsonb_strip_nulls(jsonb_build_object('message_id', m.message_id, 'from', a.name, 'to', m.address, 'reply_to', m.reply_to)
      || case when message_event.kind = 'message_sent'
        then jsonb_build_object('priority', (array['now', 'next', 'low'])[m.priority + 1],
          'recipients', (select count(*) from mesh_data.delivery d where d.message_id = m.message_id))
        else (
          select jsonb_build_object('reason', d.reason, 'attempts', nullif(d.attempts, 0))
          from mesh_data.delivery d where d.message_id = m.message_id and d.agent_id = message_event.agent_id) end)
    from mesh_data.message m join mesh_data.agent a on a.agent_id = m.sender_agent_id
    where m.message_id = message_event.message_id);
end
$$;
