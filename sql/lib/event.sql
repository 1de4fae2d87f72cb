-- The log of what happened in a mesh, and the ping that wakes relays.

-- After sql/lib/definer.sql: the log is appended to. What seals it says so in its events; retention deletes.
revoke update on mesh_data.event from mesh_definer;
grant update (seal_number) on mesh_data.event to mesh_definer;

-- Append to the log of a mesh. An agent of another mesh, as which an account may be acting, is not named in it.
create function mesh_lib.record(mesh_id uuid, kind text, detail jsonb default '{}') returns void
language sql volatile set search_path = '' as $$
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  values (mesh_lib.new_id(), record.mesh_id, record.kind, case when record.mesh_id = mesh_lib.my_mesh() then mesh_lib.my_agent() end, record.detail, mesh_lib.now())
$$;

-- Tell the relays that something changed. Nothing but the fact: a ping may be forged or lost, and harms nobody. Commits
-- that notify wait for each other, so of those that happen at once only one does: it holds the token. A relay that hears
-- of it looks until what was open then has ended. Called after the change, which so has a transaction id. While whoever
-- holds the token does not commit, or when it rolls back, relays hear nothing of the others and find by their own polls.
create function mesh_lib.ping() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform from mesh_data.wake for update skip locked;
  if found then
    perform pg_notify('mesh', '');
  end if;
end
$$;
alter function mesh_lib.ping() owner to mesh_definer;
