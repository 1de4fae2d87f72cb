-- Peers: the other agents of the mesh, as they are right now.

create function mesh.list_peers("group" text default null) returns table (
  agent text, kind text, status text, role text, groups text, summary text, editor text, cwd text, host text, since timestamptz, why text,
  key text, trust mesh.chain
)
language sql stable set search_path = '' as $$
  select a.name, a.kind, p.status, a.role,
    (select string_agg(m.name || coalesce(':' || m.role, ''), ', ' order by m.name) from mesh_data.group_member m where m.agent_id = a.agent_id), v.summary, s.editor, s.cwd, s.host,
    coalesce(greatest(s.opened_at, v.status_at), v.status_at), p.why, mesh_lib.key_prefix(a.identity_key),
    nullif(a.chain || case when s.hello is not null then jsonb_build_array(s.hello) else '[]' end, '[]')
  from mesh_data.agent a
  cross join lateral mesh_lib.peer_status(a.agent_id) p
  left join mesh_data.activity v on v.agent_id = a.agent_id
  left join mesh_data.session s on s.session_id = p.session_id
  where a.mesh_id = (select mesh_lib.my_mesh()) and a.removed_at is null
    and (list_peers."group" is null or a.agent_id = any ((select mesh_lib.group_agents(mesh_lib.my_mesh(), list_peers."group"))::uuid[]))
  order by a.name
$$;
comment on function mesh.list_peers is $$---
cli: peers <mesh>
alias: peer list
who: agent
mcp: core
columns: agent status role groups summary host cwd why key trust
---
List everybody in the mesh: status (waiting, working, idle, dnd, offline), role, groups, what they work on, and why they would be silent.
group: only those in this group or under it; default everybody.
example: mesh peers
example: mesh peers --group web$$;
grant execute on function mesh.list_peers(text) to mesh_agent;
