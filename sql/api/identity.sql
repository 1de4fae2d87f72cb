-- Identities: the public keys by which clients know each other, and private halves kept for an account's other machines.

grant select (agent_id, mesh_id, identity_key, wrapped) on mesh_data.wrapped_identity to mesh_agent;
create policy wrapped_identity_select on mesh_data.wrapped_identity for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.owned_meshes())::uuid[]));

create function mesh.list_identities(agent_ids uuid[] default null) returns table (
  agent_id uuid, agent text, kind text, identity_key text, chain mesh.chain, removed boolean
)
language plpgsql stable set search_path = '' as $$
begin
  if cardinality(list_identities.agent_ids) > 1000 then
    perform mesh_lib.fail(413, 'ask for 1,000 agents at a time', '');
  end if;
  return query
    select a.agent_id, a.name, a.kind, encode(a.identity_key, 'hex'), a.chain::mesh.chain, a.removed_at is not null
    from mesh_data.agent a
    where a.mesh_id = (select mesh_lib.my_mesh()) and a.identity_key is not null
      and (a.agent_id = any (list_identities.agent_ids) or list_identities.agent_ids is null and a.removed_at is null)
    order by a.name, a.removed_at desc;
end
$$;
comment on function mesh.list_identities is $$---
cli: identities <mesh>
who: agent
columns: agent kind identity_key chain agent_id
---
List the public keys of the agents of this mesh, each with the certificates from the mesh's owner down to it.
agent_ids: ids of agents, up to 1,000, also of removed ones; default all who are there.
example: mesh identities$$;
grant execute on function mesh.list_identities(uuid[]) to mesh_agent;

create function mesh.get_wrapped_identity(inout agent text, out agent_id uuid, out identity_key text, out wrapped text)
language plpgsql stable set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.agent_named(get_wrapped_identity.agent);
begin
  perform mesh_lib.must_own();
  select a.name, a.agent_id, encode(w.identity_key, 'hex'), w.wrapped
  into get_wrapped_identity.agent, get_wrapped_identity.agent_id, get_wrapped_identity.identity_key, get_wrapped_identity.wrapped
  from mesh_data.agent a join mesh_data.wrapped_identity w on w.agent_id = a.agent_id and w.identity_key = a.identity_key
  where a.agent_id = _agent.agent_id;
  if not found then
    perform mesh_lib.fail(404, format('the identity of %s is not kept here', _agent.name), 'mesh setup ' || _agent.name);
  end if;
end
$$;
comment on function mesh.get_wrapped_identity is $$---
who: account
mesh: yes
mcp: never
---
Get the private half of one of your agents' identities, as a machine of yours left it: sealed under the account key, which the server does not have.
agent: the agent's name.
example: mesh setup backend$$;
grant execute on function mesh.get_wrapped_identity(text) to mesh_agent;

-- A definer: mesh_agent does not write what is kept of identities. Not an argument of create_agent_key: that is signed, and shown to all.
create function mesh.keep_identity(inout agent text, identity_key mesh.public_key, wrapped text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.agent_named(keep_identity.agent);
begin
  perform mesh_lib.must_own();
  if length(keep_identity.wrapped) > 1000 or keep_identity.wrapped !~ '^[A-Za-z0-9+/=._-]+$' then
    perform mesh_lib.fail(400, 'a wrapped identity is a text of up to 1,000 characters that the client makes', 'mesh setup ' || _agent.name);
  elsif _agent.member_id is distinct from mesh_lib.owner_member() then
    perform mesh_lib.fail(409, 'this agent belongs to a guest', 'mesh member list');
  end if;
  insert into mesh_data.wrapped_identity (agent_id, mesh_id, identity_key, wrapped)
  values (_agent.agent_id, _agent.mesh_id, decode(keep_identity.identity_key, 'hex'), keep_identity.wrapped)
  on conflict on constraint wrapped_identity_pkey do update set identity_key = excluded.identity_key, wrapped = excluded.wrapped, created_at = mesh_lib.now();
  keep_identity.agent := _agent.name;
end
$$;
comment on function mesh.keep_identity is $$---
who: account
mesh: yes
mcp: never
---
Keep the private half of one of your agents' identities for your other machines: sealed under the account key, which the server does not have. It is given out as long as the agent has that identity.
agent: the agent's name.
identity_key: the identity's public key.
wrapped: its private half, as the client sealed it, up to 1,000 characters.
example: mesh setup backend$$;
alter function mesh.keep_identity(text, mesh.public_key, text) owner to mesh_definer;
grant execute on function mesh.keep_identity(text, mesh.public_key, text) to mesh_agent;
