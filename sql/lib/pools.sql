-- Pools: role:x is the agents somebody put in a pool of that name, in their order, or else those whose role is x. The first
-- of them who is online gets the mail; while nobody is, it waits at the pool, whose id then stands for the recipient.

-- The x in role:x.
create function mesh_lib.role_in(address text) returns text
language sql immutable return lower(btrim(substr(role_in.address, length('role:') + 1)));

-- The id of a role's pool, made of the mesh and the role: mail can wait for a pool that nobody has made.
create function mesh_lib.pool_id(mesh_id uuid, address text) returns uuid
language sql immutable return ('ffffffff' || substr(md5(pool_id.mesh_id::text || ' ' || mesh_lib.role_in(pool_id.address)), 9))::uuid;

-- Ids of pools sort behind those of agents, so one look at the end of an index tells whether mail waits at any pool.
create function mesh_lib.first_pool_id() returns uuid
language sql immutable return 'ffffffff-0000-0000-0000-000000000000'::uuid;

-- Which of the addresses of a message is this pool's. A role may hold a comma. PL/pgSQL here and below, because it keeps its
-- plans: every message to a role asks.
create function mesh_lib.pool_address(mesh_id uuid, addresses text, pool_id uuid) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return (select a from unnest(string_to_array(pool_address.addresses, ',') || pool_address.addresses) a
    where a like 'role:%' and mesh_lib.pool_id(pool_address.mesh_id, a) = pool_address.pool_id limit 1);
end
$$;

-- The agents of a role, in order.
create function mesh_lib.role_agents(mesh_id uuid, address text) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  _pool_id constant uuid := mesh_lib.pool_id(role_agents.mesh_id, role_agents.address);
begin
  if exists (select from mesh_data.pool p where p.pool_id = _pool_id) then
    return array(
      select a.agent_id from mesh_data.pool_agent g join mesh_data.agent a on a.agent_id = g.agent_id and a.removed_at is null
      where g.pool_id = _pool_id order by g.ordinal);
  end if;
  return array(
    select a.agent_id from mesh_data.agent a
    where a.mesh_id = role_agents.mesh_id and a.removed_at is null and lower(btrim(a.role)) = mesh_lib.role_in(role_agents.address)
    order by a.name);
end
$$;

-- Those of these agents who can be given work now, in order: online, and not dnd. Volatile, so it sees what was committed
-- before this very look.
create function mesh_lib.ready(agents uuid[]) returns uuid[]
language plpgsql volatile set search_path = '' as $$
begin
  return array(
    select u.agent_id
    from unnest(ready.agents) with ordinality u (agent_id, ordinal)
    join mesh_data.session s on s.agent_id = u.agent_id and s.ended_at is null
    join mesh_data.presence p on p.session_id = s.session_id
    left join mesh_data.activity v on v.agent_id = u.agent_id
    where mesh_lib.presence(p.connected, p.confirmed_at) = 'online' and v.status is distinct from 'dnd'
    order by u.ordinal);
end
$$;

-- Of these agents those `among` these, in order; all, where it is null.
create function mesh_lib.selected(agents uuid[], among uuid[]) returns uuid[]
language plpgsql immutable set search_path = '' as $$
begin
  if selected.among is null then
    return selected.agents;
  end if;
  return array(
    select u.agent_id from unnest(selected.agents) with ordinality u (agent_id, ordinal)
    where u.agent_id = any (selected.among) order by u.ordinal);
end
$$;

-- These agents without the sender and those who block it.
create function mesh_lib.willing(agents uuid[], sender_agent_id uuid) returns uuid[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select u.agent_id from unnest(willing.agents) with ordinality u (agent_id, ordinal)
    where u.agent_id <> willing.sender_agent_id
      and not exists (select from mesh_data.block b where b.agent_id = u.agent_id and b.blocked_agent_id = willing.sender_agent_id)
    order by u.ordinal);
end
$$;

-- A person opens no window, so mail would wait in vain: where none but people have a role, the first of them gets it.
create function mesh_lib.first_person(agents uuid[]) returns uuid
language plpgsql stable set search_path = '' as $$
begin
  return (
    select case when bool_and(a.kind = 'person') then (array_agg(a.agent_id order by u.ordinal))[1] end
    from unnest(first_person.agents) with ordinality u (agent_id, ordinal) join mesh_data.agent a on a.agent_id = u.agent_id);
end
$$;

create function mesh_lib.pool_lock(pool_id uuid) returns bigint
language sql immutable return hashtextextended('pool ' || pool_lock.pool_id::text, 0);

-- Who gets what is sent to a role: of `everyone` all of it; else the first who is ready, or the pool, where the mail waits. Only
-- those `among` these count, where it is not null: nobody when there are none.
-- ME404 when nobody has the role and no pool has the name, ME409 when nobody is ready and the pool does not queue.
-- A sender about to queue and an agent that arrives, or that becomes free otherwise, cannot miss each other: the sender shares the
-- pool's lock until it has committed, and looks once more under it; who arrives says so, then takes the lock for itself, and looks
-- for mail under it. Whoever comes second sees what the first has committed.
create function mesh_lib.role_recipients(me mesh_lib.identity, address text, everyone boolean, among uuid[]) returns uuid[]
language plpgsql volatile set search_path = '' as $$
declare
  _mesh_id constant uuid := (role_recipients.me).mesh_id;
  _pool_id constant uuid := mesh_lib.pool_id(_mesh_id, role_recipients.address);
  _fallback constant text := (select p.fallback from mesh_data.pool p where p.pool_id = _pool_id);
  _agents uuid[] := mesh_lib.role_agents(_mesh_id, role_recipients.address);
  _willing uuid[];
  _first uuid;
begin
  if cardinality(_agents) = 0 and _fallback is null then
    perform mesh_lib.fail(404, format('nobody in this mesh has the role %L', left(mesh_lib.role_in(role_recipients.address), 64)), 'mesh peers',
      jsonb_build_object('asked', left(role_recipients.address, 64), 'candidates', mesh_lib.roles(_mesh_id)));
  end if;
  _agents := mesh_lib.selected(_agents, role_recipients.among);
  if role_recipients.everyone or cardinality(_agents) = 0 and role_recipients.among is not null then
    return _agents;
  end if;
  _willing := mesh_lib.willing(_agents, (role_recipients.me).agent_id);
  _first := (mesh_lib.ready(_willing))[1];
  if _first is null and _fallback = 'reject' then
    perform mesh_lib.fail(409, format('nobody of %s is online', left(role_recipients.address, 64)), 'mesh peers',
      jsonb_build_object('asked', left(role_recipients.address, 64), 'candidates', mesh_lib.candidates(_mesh_id, _agents)));
  end if;
  _first := coalesce(_first, mesh_lib.first_person(_willing));
  if _first is null then
    perform pg_advisory_xact_lock_shared(mesh_lib.pool_lock(_pool_id));
    -- Who is in it, and whom they block, may have changed as well.
    _agents := mesh_lib.selected(mesh_lib.role_agents(_mesh_id, role_recipients.address), role_recipients.among);
    _first := (mesh_lib.ready(mesh_lib.willing(_agents, (role_recipients.me).agent_id)))[1];
  end if;
  return array[coalesce(_first, _pool_id)];
end
$$;

-- The roles that mail can be sent to, up to a hundred.
create function mesh_lib.roles(mesh_id uuid) returns text[]
language sql stable set search_path = '' as $$
  select array(
    select 'role:' || p.name from mesh_data.pool p where p.mesh_id = roles.mesh_id
    union
    select 'role:' || lower(btrim(a.role)) from mesh_data.agent a where a.mesh_id = roles.mesh_id and a.removed_at is null and a.role is not null
    order by 1 limit 100)
$$;

-- The priority of mail that names none, when all of it goes to one role.
create function mesh_lib.pool_priority(mesh_id uuid, addresses text[]) returns smallint
language plpgsql stable set search_path = '' as $$
begin
  return (select p.priority from mesh_data.pool p
    where cardinality(pool_priority.addresses) = 1 and p.pool_id = mesh_lib.pool_id(pool_priority.mesh_id, pool_priority.addresses[1]));
end
$$;

-- The pools that these agents may take mail from, with those of them who do not mind being disturbed, in order.
create function mesh_lib.pools_of(agent_ids uuid[]) returns table (pool_id uuid, agents uuid[])
language sql stable set search_path = '' as $$
  with agent as materialized (
    select a.mesh_id, a.agent_id, a.name, mesh_lib.pool_id(a.mesh_id, 'role:' || a.role) as role_id
    from mesh_data.agent a left join mesh_data.activity v on v.agent_id = a.agent_id
    where a.agent_id = any (pools_of.agent_ids) and a.removed_at is null and v.status is distinct from 'dnd'
  )
  select g.pool_id, array_agg(a.agent_id order by g.ordinal)
  from agent a join mesh_data.pool_agent g on g.mesh_id = a.mesh_id and g.agent_id = a.agent_id
  group by g.pool_id
  union all
  select a.role_id, array_agg(a.agent_id order by a.name)
  from agent a where a.role_id is not null and not exists (select from mesh_data.pool p where p.pool_id = a.role_id)
  group by a.role_id
$$;

-- Agents who were just written to be online take the mail that waits at their pools, or at this one of them. The row of their
-- presence, which the caller has locked, keeps two who would take mail for one agent apart; the lock of a pool, those who would take one mail.
-- Who is `arriving` waits for that lock, the pools in the order of their ids, and so misses no sender. Senders that wait for
-- one another's pools only share them. What may remain is a circle of two batches that each sent to a role and then opened
-- a window: a deadlock, of which one batch fails, having changed nothing, and is run again. Who was there before never waits,
-- be it for a lock or a row, and takes what it could not have now when it is confirmed next. (A window that is confirmed while
-- another takes over its agent has a row of presence of its own: should both be given one message that waited at two pools,
-- one of them fails as a whole, and is tried again.)
create function mesh_lib.take_pool_mail(agent_ids uuid[], arriving boolean, pool_id uuid default null) returns void
language plpgsql volatile set search_path = '' as $$
declare
  _pool record;
  _taken bigint := 0;
begin
  if not take_pool_mail.arriving and not exists (
    select from mesh_data.delivery d where d.agent_id >= mesh_lib.first_pool_id() and d.state in ('queued', 'delivered')
  ) then
    return;
  end if;
  for _pool in
    select p.pool_id, p.agents from mesh_lib.pools_of(take_pool_mail.agent_ids) p
    where coalesce(p.pool_id = take_pool_mail.pool_id, true)
      and (take_pool_mail.arriving or exists (select from mesh_data.delivery d where d.agent_id = p.pool_id and d.state in ('queued', 'delivered')))
    order by p.pool_id
  loop
    if take_pool_mail.arriving then
      perform pg_advisory_xact_lock(mesh_lib.pool_lock(_pool.pool_id));
    elsif not pg_try_advisory_xact_lock(mesh_lib.pool_lock(_pool.pool_id)) then
      continue;
    end if;
    _taken := _taken + mesh_lib.hand_over(_pool.pool_id, _pool.agents);
  end loop;
  if _taken > 0 then
    perform mesh_lib.ping();
  end if;
end
$$;

-- A definer: it gives mail of others to others. These agents of the caller's mesh may have become free for what waits at their pools, or
-- at this one of them, in another way than by coming online: who of them is ready takes it now, as who arrives does. Called when what
-- made them free is written. Their presence is locked first, as by who arrives, and in the order in which relays confirm it.
create function mesh_lib.take_waiting(agent_ids uuid[], pool_id uuid default null) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _agents constant uuid[] := array(
    select a.agent_id from mesh_data.agent a
    where a.agent_id = any (take_waiting.agent_ids) and a.mesh_id = (select mesh_lib.my_mesh()) and a.removed_at is null);
begin
  perform from mesh_data.presence p where p.agent_id = any (_agents) order by p.session_id for update;
  perform mesh_lib.take_pool_mail(mesh_lib.ready(_agents), true, take_waiting.pool_id);
end
$$;
alter function mesh_lib.take_waiting(uuid[], uuid) owner to mesh_definer;
grant execute on function mesh_lib.take_waiting(uuid[], uuid) to mesh_agent;

-- Called by definers, when a pool was made, edited or deleted: whom its name means now takes what waits there.
create function mesh_lib.hand_out(pool mesh_data.pool) returns void
language sql volatile set search_path = '' as $$
  select mesh_lib.take_waiting(mesh_lib.role_agents((hand_out.pool).mesh_id, 'role:' || (hand_out.pool).name), (hand_out.pool).pool_id)
$$;

-- Give what waits at a pool to the first of these agents, and what that one may not have or hold to the next: not its own
-- mail, not from whom it blocks, nothing it has already, no more than its inbox takes. Returns how many were given.
create function mesh_lib.hand_over(pool_id uuid, agents uuid[]) returns bigint
language plpgsql volatile set search_path = '' as $$
declare
  _agent_id uuid;
  _given bigint;
  _all bigint := 0;
begin
  foreach _agent_id in array hand_over.agents loop
    exit when not exists (select from mesh_data.delivery d where d.agent_id = hand_over.pool_id and d.state in ('queued', 'delivered'));
    with mail as materialized (
      select d.message_id from mesh_data.delivery d
      where d.agent_id = hand_over.pool_id and d.state in ('queued', 'delivered') and mesh_lib.is_due(d.due_at, d.expires_at)
        and d.sender_agent_id <> _agent_id
        and not exists (select from mesh_data.block b where b.agent_id = _agent_id and b.blocked_agent_id = d.sender_agent_id)
        and not exists (select from mesh_data.delivery e where e.message_id = d.message_id and e.agent_id = _agent_id)
        -- What is sealed, only to those for whom it was sealed, and for the key they have now.
        and (exists (select from mesh_data.box b where b.message_id = d.message_id and b.agent_id = _agent_id
            and b.created_at > coalesce((select a.key_at from mesh_data.agent a where a.agent_id = _agent_id), '-infinity'))
          or exists (select from mesh_data.message m where m.message_id = d.message_id and m.envelope is null))
      order by d.priority, d.position
      limit mesh_lib.inbox_limit() - (select count(*) from (
        select from mesh_data.delivery o where o.agent_id = _agent_id and o.state in ('queued', 'delivered') limit mesh_lib.inbox_limit()) o)
      for update of d skip locked
    )
    update mesh_data.delivery d
    set agent_id = _agent_id, box = (select b.box from mesh_data.box b where b.message_id = d.message_id and b.agent_id = _agent_id)
    from mail m where d.message_id = m.message_id and d.agent_id = hand_over.pool_id;
    get diagnostics _given = row_count;
    _all := _all + _given;
  end loop;
  return _all;
end
$$;

-- A definer: how much mail of others waits at a pool of the caller's mesh.
create function mesh_lib.waiting_at(pool_id uuid) returns bigint
language sql stable security definer set search_path = '' as $$
  select count(*) from mesh_data.delivery d
  where d.agent_id = waiting_at.pool_id and d.agent_id >= mesh_lib.first_pool_id() and d.mesh_id = (select mesh_lib.my_mesh()) and d.state in ('queued', 'delivered')
    and coalesce(d.expires_at > mesh_lib.now(), true)
$$;
alter function mesh_lib.waiting_at(uuid) owner to mesh_definer;
grant execute on function mesh_lib.waiting_at(uuid) to mesh_agent;

-- The pool of this name in the caller's mesh, or ME404 with those there are.
create function mesh_lib.pool_named(name text) returns mesh_data.pool
language plpgsql stable set search_path = '' as $$
declare
  _pool mesh_data.pool;
begin
  select p.* into _pool from mesh_data.pool p where p.mesh_id = (select mesh_lib.my_mesh()) and p.name = mesh_lib.pool_name(pool_named.name);
  if not found then
    perform mesh_lib.fail(404, format('there is no pool %L', left(pool_named.name, 63)), 'mesh pool list', jsonb_build_object('asked', mesh_lib.pool_name(pool_named.name),
      'candidates', array(select p.name from mesh_data.pool p where p.mesh_id = (select mesh_lib.my_mesh()) order by p.name limit 100)));
  end if;
  return _pool;
end
$$;

-- A pool's name, also where somebody wrote its address.
create function mesh_lib.pool_name(name text) returns text
language sql immutable return regexp_replace(lower(btrim(pool_name.name)), '^role:\s*', '');

-- What a pool may be made of, or ME400.
create function mesh_lib.check_pool(agents text[], fallback text, priority text) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if cardinality(check_pool.agents) not between 1 and 1000 then
    perform mesh_lib.fail(400, 'a pool has 1 to 1,000 agents', 'mesh peers');
  elsif lower(check_pool.fallback) not in ('queue', 'reject') then
    perform mesh_lib.fail(400, format('there is no fallback %L: use queue or reject', left(check_pool.fallback, 63)), '');
  elsif check_pool.priority <> '' and mesh_lib.priority(check_pool.priority) < 0 then
    perform mesh_lib.fail(400, 'priority is now, next or low', '');
  end if;
end
$$;

-- Called by definers: these are a pool's agents from now on, in this order, each once.
create function mesh_lib.set_pool_agents(pool mesh_data.pool, agents text[]) returns void
language plpgsql volatile set search_path = '' as $$
begin
  delete from mesh_data.pool_agent g where g.pool_id = (set_pool_agents.pool).pool_id;
  insert into mesh_data.pool_agent (pool_id, agent_id, mesh_id, ordinal)
  select (set_pool_agents.pool).pool_id, x.agent_id, (set_pool_agents.pool).mesh_id, min(n)
  from unnest(set_pool_agents.agents) with ordinality u (name, n),
    lateral mesh_lib.agent_id_of((set_pool_agents.pool).mesh_id, lower(btrim(u.name))) x (agent_id)
  group by x.agent_id;
end
$$;

-- The names of a pool's agents, in order.
create function mesh_lib.pool_agent_names(pool_id uuid) returns text[]
language sql stable set search_path = '' as $$
  select array(select a.name from mesh_data.pool_agent g join mesh_data.agent a on a.agent_id = g.agent_id and a.removed_at is null
    where g.pool_id = pool_agent_names.pool_id order by g.ordinal)
$$;
