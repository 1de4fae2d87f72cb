-- Groups: labels that agents wear, and can be addressed by.

grant select on mesh_data.group_member to mesh_agent;
grant insert (agent_id, name, mesh_id, role), update (role) on mesh_data.group_member to mesh_agent;
create policy group_member_select on mesh_data.group_member for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
-- A foreign key sees to it that the mesh is the agent's.
create policy group_member_insert on mesh_data.group_member for insert to mesh_agent
  with check (agent_id = (select mesh_lib.my_agent()) or mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]));
create policy group_member_update on mesh_data.group_member for update to mesh_agent
  using (agent_id = (select mesh_lib.my_agent()) or mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]))
  with check (agent_id = (select mesh_lib.my_agent()) or mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]));

create function mesh.join_group(inout "group" text, inout role text default null, inout agent text default null, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.grouped_agent(join_group.agent);
  _role constant text := coalesce(join_group.role, substr(join_group."group", nullif(strpos(join_group."group", ':'), 0) + 1));
begin
  join_group.agent := _agent.name;
  join_group."group" := mesh_lib.checked_group(split_part(join_group."group", ':', 1));
  if (select count(*) from mesh_data.group_member m where m.agent_id = _agent.agent_id and m.name <> join_group."group") >= 100 then
    perform mesh_lib.fail(429, 'an agent can be in 100 groups at most', 'mesh group list');
  end if;
  insert into mesh_data.group_member as m (agent_id, name, mesh_id, role)
  values (_agent.agent_id, join_group."group", _agent.mesh_id, mesh_lib.checked_text(_role, 'the role', 63))
  on conflict on constraint group_member_pkey do update set role = case when _role is null then m.role else excluded.role end
  returning m.role into join_group.role;
  perform mesh_lib.record(_agent.mesh_id, 'group_joined', jsonb_build_object('group', join_group."group", 'agent', _agent.name));
  join_group.next := 'mesh peers --group ' || join_group."group";
end
$$;
comment on function mesh.join_group is $$---
cli: group join <group>
who: agent
---
Join a group: mail to @group, or to one it is under, reaches you. Joining again changes your role there.
group: its name, like web; web/ui is under web; web/ui:lead says your role there, too.
role: what you are in that group, up to 63 characters; default what you were, an empty text removes it.
agent: whom to put there, for keys that may manage; default yourself.
example: mesh group join web/ui
example: mesh group join web/ui:lead$$;
grant execute on function mesh.join_group(text, text, text) to mesh_agent;

-- A definer: mesh_agent deletes nothing.
create function mesh.leave_group(inout "group" text, inout agent text default null)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.grouped_agent(leave_group.agent);
begin
  leave_group.agent := _agent.name;
  leave_group."group" := mesh_lib.checked_group(split_part(leave_group."group", ':', 1));
  delete from mesh_data.group_member m where m.agent_id = _agent.agent_id and m.name = leave_group."group";
  if not found then
    perform mesh_lib.fail(404, format('%s is not in the group %s itself', _agent.name, leave_group."group"), 'mesh group list', jsonb_build_object('asked', leave_group."group",
      'candidates', array(select m.name from mesh_data.group_member m where m.agent_id = _agent.agent_id order by m.name)));
  end if;
  perform mesh_lib.record(_agent.mesh_id, 'group_left', jsonb_build_object('group', leave_group."group", 'agent', _agent.name));
end
$$;
comment on function mesh.leave_group is $$---
cli: group leave <group>
who: agent
---
Leave a group, though not those under it.
group: its name.
agent: whom to take out of it, for keys that may manage; default yourself.
example: mesh group leave web/ui$$;
alter function mesh.leave_group(text, text) owner to mesh_definer;
grant execute on function mesh.leave_group(text, text) to mesh_agent;

create function mesh.list_groups() returns table ("group" text, agents text[], joined boolean, role text, members json)
language sql stable set search_path = '' as $$
  select g.name,
    array(select a.name from mesh_data.agent a where a.agent_id = any ((select mesh_lib.group_agents(mesh_lib.my_mesh(), g.name))::uuid[]) order by a.name),
    i.agent_id is not null, i.role,
    (select coalesce(json_agg(json_build_object('agent', a.name, 'role', m.role, 'status', p.status) order by a.name), '[]')
      from mesh_data.group_member m
      join mesh_data.agent a on a.agent_id = m.agent_id and a.removed_at is null
      cross join lateral mesh_lib.peer_status(a.agent_id) p
      where m.mesh_id = (select mesh_lib.my_mesh()) and m.name = g.name)
  from mesh_lib.group_names(mesh_lib.my_mesh()) g (name)
  left join mesh_data.group_member i on i.agent_id = (select mesh_lib.my_agent()) and i.name = g.name
  order by g.name
$$;
comment on function mesh.list_groups is $$---
cli: group list <mesh>
alias: groups
who: agent
columns: group agents joined role
---
List the groups of the mesh: whom @group reaches with the groups under it, whether you are in it yourself, and as what.
`members` are those in the group itself, each with role and status.
example: mesh group list$$;
grant execute on function mesh.list_groups() to mesh_agent;
