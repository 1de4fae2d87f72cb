-- What tables tell the log. A function that returns trigger is kept over a reload as long as it is the same, as its trigger is.

create function mesh_lib.status_changed() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  values (mesh_lib.new_id(), new.mesh_id, 'status_changed', new.agent_id, jsonb_build_object('from', old.status, 'to', new.status), mesh_lib.now());
  return null;
end
$$;
-- For each row, so that it can be `update of`: every acknowledgement writes activity, never its status, and so pays nothing.
create trigger activity_status after update of status on mesh_data.activity
  for each row when (old.status is distinct from new.status) execute function mesh_lib.status_changed();
