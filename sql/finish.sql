-- Loaded last: owners, the last privileges, and the catalogue made from what is there now.

do $$
declare
  _function record;
begin
  for _function in
    select p.oid::regprocedure as name, p.proowner from pg_catalog.pg_proc p
    where p.pronamespace in ('mesh'::regnamespace, 'mesh_lib'::regnamespace)
  loop
    execute format('revoke execute on function %s from public', _function.name);
    if _function.proowner not in ('mesh_definer'::regrole, 'mesh_agent'::regrole, 'mesh_owner'::regrole) then
      execute format('alter function %s owner to mesh_owner', _function.name);
    end if;
  end loop;
end
$$;

-- A restored dump refreshes the catalogue as its owner.
grant usage on schema mesh, mesh_lib to mesh_owner;

-- Helpers are callable by the roles whose functions use them; they hold no secret and run with the caller's rights.
do $$
declare
  _helper regprocedure;
begin
  for _helper in
    select p.oid from pg_catalog.pg_proc p where p.pronamespace = 'mesh_lib'::regnamespace and not p.prosecdef
  loop
    execute format('grant execute on function %s to mesh_definer, mesh_agent', _helper);
  end loop;
end
$$;
grant execute on function mesh_lib.send_messages(text[], text[], text[], text[], uuid),
  mesh_lib.ack_many(text[], text[], text[], text[], uuid) to mesh_agent;
grant execute on function mesh_lib.ping() to mesh_agent;
grant execute on function mesh_lib.me(), mesh_lib.my_meshes(), mesh_lib.owned_meshes(), mesh_lib.managed_meshes() to mesh_agent;

create materialized view mesh_lib.callable as
select p.proname::text as name, mesh_lib.front(c.comment, 'set') as set_function,
  coalesce('mesh ' || btrim(regexp_replace(mesh_lib.front(c.comment, 'cli'), ' *<[^>]*>', '', 'g')) || ' --help', '') as help,
  -- A set is an array, a row an object (null when all of it is null), and one lone column an object too.
  case
    when p.proretset then 'coalesce(json_agg(to_json(f)) filter (where f is distinct from null), ''[]'')'
    when o.columns > 1 then 'case when not f is null then to_json(f) end'
    when o.columns = 1 then format('json_build_object(%L, f)', o.first)
    else 'to_json(f)'
  end as answer,
  coalesce(mesh_lib.front(c.comment, 'who'), 'agent') as who,
  coalesce(mesh_lib.front(c.comment, 'mesh') = 'yes', coalesce(mesh_lib.front(c.comment, 'who'), 'agent') in ('agent', 'manage')) as needs_mesh,
  g.arguments,
  coalesce((select jsonb_object_agg(a ->> 'name', a ->> 'json_type') from jsonb_array_elements(g.arguments) a), '{}') as types,
  array(select a ->> 'name' from jsonb_array_elements(g.arguments) a where (a ->> 'required')::boolean) as required,
  mesh_lib.describe(p.oid) as description
from pg_catalog.pg_proc p, lateral (select obj_description(p.oid, 'pg_proc') as comment) c,
  lateral (select count(*) as columns, min(a.name) as first from mesh_lib.arguments(p.oid) a where a.output) o,
  lateral (
    select coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'type', a.type, 'required', a.required, 'json_type',
      case
        when a.type in ('mesh.addresses', 'mesh.sealed') then 'any'
        when coalesce(mesh_lib.json_schema(a.type_id) ->> 'type', 'any') = 'integer' then 'number'
        else coalesce(mesh_lib.json_schema(a.type_id) ->> 'type', 'any')
      end) order by a.ordinal), '[]') as arguments
    from mesh_lib.arguments(p.oid) a where a.input
  ) g
where p.pronamespace = 'mesh'::regnamespace and p.prokind = 'f' and has_function_privilege('mesh_agent', p.oid, 'execute');
create unique index callable_name on mesh_lib.callable (name);
alter materialized view mesh_lib.callable owner to mesh_owner;
grant select on mesh_lib.callable to mesh_agent, mesh_definer, mesh_admin, mesh_relay;
analyze mesh_lib.callable;
