-- Pools: who gets what is sent to role:x, made and edited by keys that may manage.

grant select on mesh_data.pool, mesh_data.pool_agent to mesh_agent;
create policy pool_select on mesh_data.pool for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy pool_agent_select on mesh_data.pool_agent for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));

-- A definer: the id of a pool stands for a role of this mesh, so nobody may choose it.
create function mesh.create_pool(name mesh.name, inout agents text[], inout fallback text default 'queue', inout priority text default null,
  inout capabilities text[] default null, out pool text, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _pool mesh_data.pool;
begin
  perform mesh_lib.must_manage();
  create_pool.pool := mesh_lib.checked_name(mesh_lib.pool_name(create_pool.name), 'a pool');
  create_pool.priority := lower(create_pool.priority);
  perform mesh_lib.check_pool(create_pool.agents, create_pool.fallback, create_pool.priority);
  if (select count(*) from mesh_data.pool p where p.mesh_id = (select mesh_lib.my_mesh())) >= 1000 then
    perform mesh_lib.fail(429, 'a mesh can have 1,000 pools at most', 'mesh pool list');
  end if;
  insert into mesh_data.pool as p (pool_id, mesh_id, name, fallback, priority, capabilities)
  values (mesh_lib.pool_id(mesh_lib.my_mesh(), 'role:' || create_pool.pool), mesh_lib.my_mesh(), create_pool.pool, lower(create_pool.fallback),
    mesh_lib.priority(nullif(create_pool.priority, '')), mesh_lib.checked_capabilities(create_pool.capabilities))
  on conflict do nothing returning p.* into _pool;
  if not found then
    perform mesh_lib.fail(409, format('there is a pool %L already', create_pool.pool), 'mesh pool edit ' || create_pool.pool);
  end if;
  perform mesh_lib.set_pool_agents(_pool, create_pool.agents);
  perform mesh_lib.hand_out(_pool);
  perform mesh_lib.record(_pool.mesh_id, 'pool_created', jsonb_build_object('pool', _pool.name));
  create_pool.agents := mesh_lib.pool_agent_names(_pool.pool_id);
  create_pool.fallback := _pool.fallback;
  create_pool.capabilities := _pool.capabilities;
  create_pool.next := format('mesh send role:%s "hello"', _pool.name);
end
$$;
comment on function mesh.create_pool is $$---
cli: pool create <name> <agents>
alias: role create
who: manage
---
Say who gets what is sent to role:name: the first of these agents who is online and may be disturbed.
name: the pool's name, the x of role:x.
agents: names of 1 to 1,000 agents, in the order they are tried.
fallback: when nobody is online: queue (the first to come online gets it) or reject (the sender is told); default queue.
priority: of mail that names none: now, next or low; default next.
capabilities: words for what its agents can do, up to 50; default none.
example: mesh pool create coder backend designer
example: mesh pool create oncall commander --fallback reject --priority now$$;
alter function mesh.create_pool(mesh.name, text[], text, text, text[]) owner to mesh_definer;
grant execute on function mesh.create_pool(mesh.name, text[], text, text, text[]) to mesh_agent;

-- A definer: mesh_agent deletes nothing, and agents leave a pool by it.
create function mesh.edit_pool(name mesh.name, inout agents text[] default null, inout fallback text default null, inout priority text default null,
  inout capabilities text[] default null, out pool text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _pool mesh_data.pool := mesh_lib.pool_named(edit_pool.name);
begin
  perform mesh_lib.must_manage();
  perform mesh_lib.check_pool(edit_pool.agents, edit_pool.fallback, edit_pool.priority);
  update mesh_data.pool p
  set fallback = coalesce(lower(edit_pool.fallback), p.fallback),
    priority = case when edit_pool.priority is null then p.priority else mesh_lib.priority(nullif(edit_pool.priority, '')) end,
    capabilities = case when edit_pool.capabilities is null then p.capabilities else mesh_lib.checked_capabilities(edit_pool.capabilities) end
  where p.pool_id = _pool.pool_id returning p.* into _pool;
  if edit_pool.agents is not null then
    perform mesh_lib.set_pool_agents(_pool, edit_pool.agents);
    perform mesh_lib.hand_out(_pool);
  end if;
  perform mesh_lib.record(_pool.mesh_id, 'pool_edited', jsonb_build_object('pool', _pool.name));
  edit_pool.pool := _pool.name;
  edit_pool.agents := mesh_lib.pool_agent_names(_pool.pool_id);
  edit_pool.fallback := _pool.fallback;
  edit_pool.priority := (array['now', 'next', 'low'])[_pool.priority + 1];
  edit_pool.capabilities := _pool.capabilities;
end
$$;
comment on function mesh.edit_pool is $$---
cli: pool edit <name>
alias: role edit
who: manage
---
Change a pool. What is left out stays; mail that waits goes to who is in it from now on, in a sealed mesh to those of them for whom it was sealed.
name: the pool's name.
agents: names of all its 1 to 1,000 agents, in order.
fallback: queue or reject.
priority: of mail that names none: now, next or low; an empty text removes it.
capabilities: words for what its agents can do, up to 50.
example: mesh pool edit coder --agents designer,backend$$;
alter function mesh.edit_pool(mesh.name, text[], text, text, text[]) owner to mesh_definer;
grant execute on function mesh.edit_pool(mesh.name, text[], text, text, text[]) to mesh_agent;

-- A definer: mesh_agent deletes nothing.
create function mesh.delete_pool(name mesh.name, out deleted text, out waiting bigint)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _pool constant mesh_data.pool := mesh_lib.pool_named(delete_pool.name);
begin
  perform mesh_lib.must_manage();
  delete from mesh_data.pool p where p.pool_id = _pool.pool_id;
  perform mesh_lib.hand_out(_pool);
  perform mesh_lib.record(_pool.mesh_id, 'pool_deleted', jsonb_build_object('pool', _pool.name));
  delete_pool.deleted := _pool.name;
  delete_pool.waiting := mesh_lib.waiting_at(_pool.pool_id);
end
$$;
comment on function mesh.delete_pool is $$---
cli: pool delete <name>
alias: role delete
who: manage
destructive: yes
---
Delete a pool. role:name then means the agents with that role; mail that waits goes to the first of them who is online or comes online, in a sealed mesh the first for whom it was sealed.
name: the pool's name.
example: mesh pool delete coder$$;
alter function mesh.delete_pool(mesh.name) owner to mesh_definer;
grant execute on function mesh.delete_pool(mesh.name) to mesh_agent;

create function mesh.list_pools() returns table (
  pool text, agents text[], online text[], waiting bigint, fallback text, priority text, capabilities text[], created_at timestamptz
)
language sql stable set search_path = '' as $$
  select p.name, mesh_lib.pool_agent_names(p.pool_id),
    array(select a.name from unnest(mesh_lib.ready(mesh_lib.role_agents(p.mesh_id, 'role:' || p.name))) with ordinality r (agent_id, n)
      join mesh_data.agent a on a.agent_id = r.agent_id order by r.n),
    mesh_lib.waiting_at(p.pool_id), p.fallback, (array['now', 'next', 'low'])[p.priority + 1], p.capabilities, p.created_at
  from mesh_data.pool p where p.mesh_id = (select mesh_lib.my_mesh())
  order by p.name
$$;
comment on function mesh.list_pools is $$---
cli: pool list <mesh>
alias: pools, role list, roles
who: agent
columns: pool agents online waiting fallback priority
---
List the pools of the mesh: their agents in order, who of them would take mail now, and how much waits.
Besides, role:x reaches agents whose role is x.
example: mesh pool list$$;
grant execute on function mesh.list_pools() to mesh_agent;
