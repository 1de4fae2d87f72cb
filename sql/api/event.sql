-- Events: the log of what happened in a mesh. Calls append to it; administrators read it in the view mesh.events.

grant insert (event_id, mesh_id, kind, agent_id, detail, happened_at) on mesh_data.event to mesh_agent;
create policy event_insert on mesh_data.event for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]) and agent_id is not distinct from (select mesh_lib.my_agent()));
