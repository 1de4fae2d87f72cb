-- The roles of Mesh. Roles belong to the whole cluster, so this file runs before the migrations, outside them, and
-- may run any number of times. Passwords are set by the operator, never here.
--
-- mesh_owner    owns the tables. Nobody logs in as it.
-- mesh_definer  owns the few SECURITY DEFINER functions; the tables have explicit policies for it.
-- mesh_agent    runs what agents call, under row-level security. Nobody logs in as it.
-- mesh_relay    the relay's login: it may execute the entry points in mesh_lib, and read nothing.
-- mesh_worker   the login of outbound jobs. It can do nothing yet.
-- mesh_admin    the person at psql: readable views and the administration functions.
do $$
declare
  _role text;
begin
  foreach _role in array array['mesh_owner', 'mesh_definer', 'mesh_agent', 'mesh_relay', 'mesh_worker', 'mesh_admin'] loop
    begin
      execute format('create role %I %s', _role,
        case when _role in ('mesh_relay', 'mesh_worker', 'mesh_admin') then 'login' else 'nologin' end);
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
  -- Whoever migrates must be able to hand objects to these roles.
  if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    foreach _role in array array['mesh_owner', 'mesh_definer', 'mesh_agent'] loop
      execute format('grant %I to current_user', _role);
    end loop;
  end if;
end
$$;
