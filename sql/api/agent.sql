-- Agents: durable named slots in a mesh. Seen by everybody in it; made and edited by keys that may manage.

grant select on mesh_data.agent to mesh_agent;
grant insert (mesh_id, member_id, name, kind, role, launch_prompt), update (name, role, launch_prompt, removed_at, identity_key, key_at, chain) on mesh_data.agent to mesh_agent;
create policy agent_select on mesh_data.agent for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy agent_insert on mesh_data.agent for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]) and kind = 'agent');
create policy agent_update on mesh_data.agent for update to mesh_agent
  using (mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]))
  with check (mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]));

create function mesh.create_agent(name mesh.name, inout role text default null, launch_prompt text default null, out agent text, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _agent_id uuid;
begin
  create_agent.agent := mesh_lib.checked_name(create_agent.name, 'an agent');
  if (select count(*) from mesh_data.agent a where a.mesh_id = (select mesh_lib.my_mesh()) and a.removed_at is null) >= 10000 then
    perform mesh_lib.fail(429, 'a mesh can have 10,000 agents at most', 'mesh agent list');
  end if;
  insert into mesh_data.agent (mesh_id, member_id, name, role, launch_prompt)
  values (mesh_lib.my_mesh(), mesh_lib.owner_member(), create_agent.agent,
    mesh_lib.checked_text(create_agent.role, 'the role', 200), mesh_lib.checked_text(create_agent.launch_prompt, 'the launch prompt', 20000, true))
  on conflict do nothing returning agent_id, agent.role into _agent_id, create_agent.role;
  if not found then
    perform mesh_lib.fail(409, format('there is an agent %L already', create_agent.agent), 'mesh peers');
  end if;
  insert into mesh_data.activity (agent_id, mesh_id) values (_agent_id, mesh_lib.my_mesh());
  perform mesh_lib.record(mesh_lib.my_mesh(), 'agent_created', jsonb_build_object('agent', create_agent.agent));
  create_agent.next := 'mesh run ' || create_agent.agent;
end
$$;
comment on function mesh.create_agent is $$---
cli: agent add <name>
who: manage
columns: agent role
---
Add an agent to the mesh: a name that mail can be sent to, before and after a window runs it.
name: the agent's name.
role: what it is for, up to 200 characters; default none.
launch_prompt: what its editor is told at launch, up to 20,000 characters; default none.
example: mesh agent add backend --role "API and database"$$;
grant execute on function mesh.create_agent(mesh.name, text, text) to mesh_agent;

create function mesh.edit_agent(agent text, name mesh.name default null, inout role text default null, inout launch_prompt text default null,
  out changed text, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.agent_named(edit_agent.agent);
  _in_role constant boolean := edit_agent.role <> '';
begin
  update mesh_data.agent a
  set name = coalesce(mesh_lib.checked_name(edit_agent.name, 'an agent'), a.name),
    role = case when edit_agent.role is null then a.role else mesh_lib.checked_text(edit_agent.role, 'the role', 200) end,
    launch_prompt = case when edit_agent.launch_prompt is null then a.launch_prompt
      else mesh_lib.checked_text(edit_agent.launch_prompt, 'the launch prompt', 20000, true) end
  where a.agent_id = _agent.agent_id
  returning a.name, a.role, a.launch_prompt into edit_agent.changed, edit_agent.role, edit_agent.launch_prompt;
  if _in_role then
    perform mesh_lib.take_waiting(array[_agent.agent_id]);
  end if;
  perform mesh_lib.record(mesh_lib.my_mesh(), 'agent_edited', jsonb_build_object('agent', edit_agent.changed));
  -- What the owner signed of it has the old name.
  if edit_agent.changed <> _agent.name and _agent.identity_key is not null and _agent.kind = 'agent' and _agent.member_id = mesh_lib.owner_member()
    and mesh_lib.is_sealed(_agent.mesh_id)
  then
    edit_agent.next := 'mesh recover --renamed';
  end if;
exception when unique_violation then
  perform mesh_lib.fail(409, format('there is an agent %L already', lower(edit_agent.name)), 'mesh peers');
end
$$;
comment on function mesh.edit_agent is $$---
cli: agent edit <agent>
who: manage
destructive: yes
---
Change an agent's name, role or launch prompt. What is left out stays; an empty text removes.
agent: the agent's present name.
name: its new name; mail follows it. In a sealed mesh who has not met the agent yet refuses it under a name that the owner did not sign: `next` is what the owner then runs. Of a guest's agent such a reader runs mesh trust.
role: what it is for, up to 200 characters.
launch_prompt: what its editor is told at launch, up to 20,000 characters.
example: mesh agent edit backend --role "API"$$;
grant execute on function mesh.edit_agent(text, mesh.name, text, text) to mesh_agent;

-- A definer: the keys and sessions of the removed agent end with it, in tables a managing agent may not write.
create function mesh.remove_agent(agent text, out removed text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.agent_named(remove_agent.agent);
begin
  perform mesh_lib.must_manage();
  if _agent.kind = 'person' then
    perform mesh_lib.fail(409, 'a person is a member, not an agent to remove', 'mesh member list');
  elsif _agent.agent_id = mesh_lib.my_agent() then
    perform mesh_lib.fail(409, 'an agent cannot remove itself', 'mesh mesh leave');
  end if;
  update mesh_data.agent a set removed_at = mesh_lib.now() where a.agent_id = _agent.agent_id;
  update mesh_data.key k set revoked_at = mesh_lib.now() where k.agent_id = _agent.agent_id and k.revoked_at is null;
  update mesh_data.invite i set revoked_at = mesh_lib.now() where i.agent_id = _agent.agent_id and i.revoked_at is null;
  perform mesh_lib.forget_identities(array[_agent.agent_id]);
  update mesh_data.session s set ended_at = mesh_lib.now(), ended_why = 'this agent was removed' where s.agent_id = _agent.agent_id and s.ended_at is null;
  perform mesh_lib.record(_agent.mesh_id, 'agent_removed', jsonb_build_object('agent', _agent.name));
  perform mesh_lib.ping();
  remove_agent.removed := _agent.name;
end
$$;
comment on function mesh.remove_agent is $$---
cli: agent remove <agent>
who: manage
destructive: yes
---
Remove an agent: its keys and invites stop working and its name is free again. Messages it sent stay.
agent: the agent's name.
example: mesh agent remove backend$$;
alter function mesh.remove_agent(text) owner to mesh_definer;
grant execute on function mesh.remove_agent(text) to mesh_agent;

create function mesh.list_agents() returns table (
  agent text, kind text, role text, launch_prompt text, holder text, key text, created_at timestamptz
)
language sql stable set search_path = '' as $$
  select a.name, a.kind, a.role, a.launch_prompt, b.display_name, mesh_lib.key_prefix(a.identity_key), a.created_at
  from mesh_data.agent a
  left join mesh_data.member b on b.member_id = a.member_id
  where a.mesh_id = (select mesh_lib.my_mesh()) and a.removed_at is null
  order by a.name
$$;
comment on function mesh.list_agents is $$---
cli: agent list <mesh>
alias: agents
who: agent
columns: agent kind role holder key created_at
---
List the agents of the mesh, whether a window runs them or not.
example: mesh agent list$$;
grant execute on function mesh.list_agents() to mesh_agent;
