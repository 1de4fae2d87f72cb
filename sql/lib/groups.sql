-- Groups: @web is everybody in group web, and in those under it such as web/ui. A group is there as long as somebody is in it.

-- A group as people write it, as it is stored, or ME400.
create function mesh_lib.checked_group("group" text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  _group constant text := (select string_agg(mesh_lib.checked_name(p.name, 'a group'), '/' order by p.n)
    from regexp_split_to_table(ltrim(btrim(checked_group."group"), '@'), '/') with ordinality p (name, n));
begin
  if length(_group) > 200 then
    perform mesh_lib.fail(413, 'a group has at most 200 characters with those it is under', '');
  end if;
  return _group;
end
$$;

-- Every group of a mesh, with those that are there because one under them is.
create function mesh_lib.group_names(mesh_id uuid) returns setof text
language sql stable set search_path = '' as $$
  select distinct array_to_string(p.path[1:n], '/')
  from (
    select distinct string_to_array(m.name, '/') as path
    from mesh_data.group_member m join mesh_data.agent a on a.agent_id = m.agent_id and a.removed_at is null
    where m.mesh_id = group_names.mesh_id
  ) p, generate_series(1, cardinality(p.path)) n
  order by 1
$$;

-- Who is in a group or under it; ME404 when nobody is. The index finds what is under it between web/ and web0: 0 follows /.
create function mesh_lib.group_agents(mesh_id uuid, "group" text) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  _group constant text := lower(ltrim(btrim(group_agents."group"), '@'));
  _agents constant uuid[] := array(
    select distinct m.agent_id
    from mesh_data.group_member m join mesh_data.agent a on a.agent_id = m.agent_id and a.removed_at is null
    where m.mesh_id = group_agents.mesh_id and (m.name = _group or m.name ~>=~ (_group || '/') and m.name ~<~ (_group || '0')));
begin
  if cardinality(_agents) = 0 then
    perform mesh_lib.fail(404, format('there is no group %L in this mesh', left(_group, 64)), 'mesh group list', jsonb_build_object('asked', '@' || left(_group, 64),
      'candidates', array(select '@' || g from mesh_lib.group_names(group_agents.mesh_id) g limit 100)));
  end if;
  return _agents;
end
$$;

-- The agent whose groups the caller may change: its own, or one of this name where it may manage.
create function mesh_lib.grouped_agent(name text) returns mesh_data.agent
language plpgsql stable set search_path = '' as $$
declare
  _agent mesh_data.agent;
begin
  if grouped_agent.name is not null then
    _agent := mesh_lib.agent_named(grouped_agent.name);
  else
    select a.* into _agent from mesh_data.agent a where a.agent_id = mesh_lib.my_agent();
  end if;
  if _agent.agent_id <> mesh_lib.my_agent() and not (mesh_lib.me()).manage then
    perform mesh_lib.fail(403, 'this key may not manage the mesh: it changes its own groups only', '');
  end if;
  return _agent;
end
$$;
