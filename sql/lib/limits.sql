-- Limits of sending: who refuses whom, how much an inbox holds, how often two agents may answer each other, how much a key
-- may send in a day. Each is asked once for a batch, and answers with the letters it refuses, by their place in it.

-- Given back this often, a message is dead.
create function mesh_lib.max_attempts() returns integer
language sql immutable return 5;

-- A recipient's inbox may hold this many unacknowledged messages; then its senders are refused.
create function mesh_lib.inbox_limit() returns integer
language sql immutable return 10000;

-- Letters after those who block their senders: refused when they are named, and without a copy for them when they are not.
create function mesh_lib.heed_blocks(inout letters mesh_lib.letter[])
language plpgsql volatile set search_path = '' as $$
declare
  _met record;
begin
  for _met in
    select l.ordinality::integer as ordinal, array_agg(a.agent_id) as agents, array_agg(a.name order by a.name) as names
    from unnest(letters) with ordinality l cross join unnest(l.agents) u (agent_id)
    join mesh_data.block b on b.agent_id = u.agent_id and b.blocked_agent_id = (l.me).agent_id
    join mesh_data.agent a on a.agent_id = u.agent_id
    where l.error is null and not l.duplicate
    group by l.ordinality
  loop
    if exists (select from unnest(letters[_met.ordinal].addresses) x where not mesh_lib.is_one(x)) then
      letters[_met.ordinal].agents := array(select u from unnest(letters[_met.ordinal].agents) u where u <> all (_met.agents));
    else
      letters[_met.ordinal].error := mesh_lib.error_object('ME403',
        format('%s %s not take your messages', array_to_string(_met.names, ' and '), case cardinality(_met.names) when 1 then 'does' else 'do' end),
        'mesh peers', json_build_object('agent', _met.names[1], 'agents', _met.names)::text, '');
    end if;
  end loop;
end
$$;

-- Letters to an inbox that is full, of those that have open mail.
create function mesh_lib.to_full(letters mesh_lib.letter[], laden uuid[]) returns table (ordinal integer, error json)
language plpgsql volatile set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  -- An inbox without mail older than the last so many messages of all cannot hold that many.
  _old constant bigint := coalesce(pg_sequence_last_value('mesh_data.message_position'), 0) - mesh_lib.inbox_limit() + 1;
  _full uuid[];
begin
  if _old > 0 then
    -- Counting stops at the limit.
    _full := array(
      select u from unnest(to_full.laden) u
      where (select true from mesh_data.delivery d where d.agent_id = u and d.state in ('queued', 'delivered') and d.position <= _old limit 1)
        and exists (select from mesh_data.delivery d where d.agent_id = u and d.state in ('queued', 'delivered') offset mesh_lib.inbox_limit() - 1));
  end if;
  if cardinality(_full) > 0 then
    return query
      select l.ordinality::integer, mesh_lib.error_object('ME429',
        format('the inbox of %s is full: %s messages wait there', coalesce(min(a.name), 'the pool'), mesh_lib.inbox_limit()),
        'mesh peers', json_build_object('retry_after', 30, 'agent', min(a.name))::text, '')
      from unnest(to_full.letters) with ordinality l cross join unnest(l.agents) u (agent_id)
      left join mesh_data.agent a on a.agent_id = u.agent_id
      where l.error is null and not l.duplicate and u.agent_id = any (_full)
      group by l.ordinality;
  end if;
end
$$;

-- Two agents that answer each other have a token bucket: a turn is a message to whom spoke last. It holds three minutes'
-- worth of turns. Letters beyond it are refused. What goes to everybody answers nobody.
create function mesh_lib.count_turns(letters mesh_lib.letter[], rate real) returns table (ordinal integer, error json)
language plpgsql volatile set search_path = '' as $$
begin
  return query
    with pair as materialized (
      -- Letters to one agent, when it was the last of the two to speak, or neither ever did.
      select l.i, l.sender_id, l.agent_id, least(l.sender_id, l.agent_id) as a, greatest(l.sender_id, l.agent_id) as b
      from (
        select x.ordinality::integer as i, (x.me).agent_id as sender_id, x.agents[1] as agent_id
        from unnest(count_turns.letters) with ordinality x where x.error is null and not x.duplicate and cardinality(x.agents) = 1 and x.addresses <> array['*']
      ) l
      left join mesh_data.turn t on t.agent_id = least(l.sender_id, l.agent_id) and t.other_agent_id = greatest(l.sender_id, l.agent_id)
      where t.last_agent_id is distinct from l.sender_id
    ), first as materialized (
      select distinct on (p.a, p.b) p.* from pair p order by p.a, p.b, p.i
    ), held as materialized (
      -- A row that another batch holds is not waited for, and its turn not counted.
      select t.*, f.i, f.sender_id, least(3 * count_turns.rate, t.turns_left + count_turns.rate * extract(epoch from mesh_lib.now() - t.counted_at) / 60) as now_left
      from mesh_data.turn t join first f on f.a = t.agent_id and f.b = t.other_agent_id
      order by t.agent_id, t.other_agent_id for update of t skip locked
    ), counted as (
      update mesh_data.turn t set last_agent_id = h.sender_id, counted_at = mesh_lib.now(), turns_left = h.now_left - 1
      from held h where t.agent_id = h.agent_id and t.other_agent_id = h.other_agent_id and h.now_left >= 1
    ), begun as (
      insert into mesh_data.turn (agent_id, other_agent_id, last_agent_id, turns_left, counted_at)
      select f.a, f.b, f.sender_id, 3 * count_turns.rate, mesh_lib.now() from first f
      where not exists (select from mesh_data.turn t where t.agent_id = f.a and t.other_agent_id = f.b)
      order by f.a, f.b on conflict do nothing
    )
    -- All of a batch that would take the turn which is not left.
    select p.i, mesh_lib.error_object('ME429', format('you and %s have answered each other too often: at most %s turns a minute', a.name, count_turns.rate), '',
      json_build_object('retry_after', ceil((1 - h.now_left) * 60 / count_turns.rate), 'agent', a.name)::text, '')
    from held h join pair p on p.a = h.agent_id and p.b = h.other_agent_id and p.sender_id = h.sender_id join mesh_data.agent a on a.agent_id = p.agent_id
    where h.now_left < 1;
end
$$;

-- A key sends so many messages in a day, UTC; what is beyond it is refused.
create function mesh_lib.count_sent(letters mesh_lib.letter[], daily integer) returns table (ordinal integer, error json)
language plpgsql volatile set search_path = '' as $$
declare
  _today constant date := (mesh_lib.now() at time zone 'UTC')::date;
  -- Keys that send more than is left, and what is left to them.
  _over uuid[];
  _left bigint[];
  _counted bigint;
begin
  -- A row that another batch holds is not waited for, and these not counted.
  with total as materialized (
    select (l.me).key_id, count(*) as messages from unnest(count_sent.letters) l where l.error is null and not l.duplicate group by 1
  ), held as (
    select s.key_id, s.messages, t.messages as more
    from total t join mesh_data.sent s on s.key_id = t.key_id and s.day = _today order by s.key_id for update of s skip locked
  ), counted as (
    update mesh_data.sent s set messages = greatest(h.messages, least(h.messages + h.more, count_sent.daily))
    from held h where s.key_id = h.key_id and s.day = _today
    returning s.key_id, h.messages as before, h.more
  )
  select array_agg(c.key_id) filter (where c.before + c.more > count_sent.daily), array_agg(count_sent.daily - c.before) filter (where c.before + c.more > count_sent.daily),
    coalesce(sum(c.more), 0)
  into _over, _left, _counted from counted c;

  if _counted < (select count(*) from unnest(count_sent.letters) l where l.error is null and not l.duplicate) then
    -- Keys that are new today.
    with begun as (
      insert into mesh_data.sent (key_id, day, messages)
      select (l.me).key_id, _today, least(count(*), count_sent.daily) from unnest(count_sent.letters) l
      where l.error is null and not l.duplicate and not exists (select from mesh_data.sent s where s.key_id = (l.me).key_id and s.day = _today)
      group by 1 order by 1 on conflict do nothing
      returning key_id
    )
    select _over || coalesce(array_agg(b.key_id), '{}'), _left || coalesce(array_agg(count_sent.daily::bigint), '{}') into _over, _left from begun b;
  end if;
  if cardinality(_over) > 0 then
    return query
      select n.i, mesh_lib.error_object('ME429', format('this key has sent its %s messages of today', count_sent.daily), '',
        json_build_object('retry_after', ceil(extract(epoch from (_today + 1)::timestamp at time zone 'UTC' - mesh_lib.now())))::text, '')
      from (
        select l.ordinality::integer as i, (l.me).key_id, row_number() over (partition by (l.me).key_id order by l.ordinality) as nth
        from unnest(count_sent.letters) with ordinality l where l.error is null and not l.duplicate
      ) n
      join unnest(_over, _left) o (key_id, messages_left) on o.key_id = n.key_id
      where n.nth > o.messages_left;
  end if;
end
$$;
