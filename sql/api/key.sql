-- Keys: credentials. What is stored is a verifier, which nobody may read back. Issued and revoked with the account key.

grant select (key_id, kind, public_key, account_id, mesh_id, agent_id, member_id, manage, created_at, expires_at, revoked_at),
  insert (kind, verifier, public_key, mesh_id, agent_id, member_id, manage, expires_at) on mesh_data.key to mesh_agent;
create policy key_select on mesh_data.key for select to mesh_agent
  using (account_id = (select mesh_lib.my_account()) or mesh_id = any ((select mesh_lib.owned_meshes())::uuid[]));
create policy key_insert on mesh_data.key for insert to mesh_agent
  with check (kind = 'agent' and mesh_id = any ((select mesh_lib.owned_meshes())::uuid[]));

create function mesh.create_agent_key(inout agent text, identity_key mesh.public_key, secret mesh.new_secret, certificate mesh.signed,
  manage boolean default true, out mesh text, out mesh_id uuid, out owner text, out key_id uuid)
language plpgsql volatile set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.agent_named(create_agent_key.agent);
  _owner_key bytea;
begin
  perform mesh_lib.must_own();
  select m.name, m.mesh_id, o.owner, o.identity_key
  into create_agent_key.mesh, create_agent_key.mesh_id, create_agent_key.owner, _owner_key
  from mesh_data.mesh m cross join lateral mesh_lib.mesh_owner(m.mesh_id) o where m.mesh_id = mesh_lib.my_mesh();
  perform mesh_lib.check_signer(create_agent_key.certificate, _owner_key, 'the account''s identity');
  if _agent.kind = 'person' then
    perform mesh_lib.fail(409, 'a person signs in with the account key', 'mesh login');
  elsif _agent.member_id is distinct from mesh_lib.owner_member() then
    perform mesh_lib.fail(409, 'this agent belongs to a guest', 'mesh member list');
  end if;
  insert into mesh_data.key (kind, verifier, public_key, mesh_id, agent_id, member_id, manage)
  values ('agent', decode(create_agent_key.secret ->> 'verifier', 'hex'), decode(create_agent_key.secret ->> 'public_key', 'hex'),
    _agent.mesh_id, _agent.agent_id, _agent.member_id, coalesce(create_agent_key.manage, true))
  returning key.key_id into create_agent_key.key_id;
  update mesh_data.agent a
  set key_at = case when a.identity_key <> decode(create_agent_key.identity_key, 'hex') then mesh_lib.now() else a.key_at end,
    identity_key = decode(create_agent_key.identity_key, 'hex'), chain = jsonb_build_array(create_agent_key.certificate::jsonb)
  where a.agent_id = _agent.agent_id;
  perform mesh_lib.record(_agent.mesh_id, 'agent_key_created', jsonb_build_object('agent', _agent.name, 'key_id', create_agent_key.key_id));
  create_agent_key.agent := _agent.name;
end
$$;
comment on function mesh.create_agent_key is $$---
who: account
mesh: yes
mcp: never
---
Make a key for one of your own agents, and put its identity under your signature.
agent: the agent's name.
identity_key: the agent's durable public key; another one than before replaces it, visibly, and opens nothing that was sealed for that.
secret: the scoped key's verifier and public key; the client makes the key and keeps it.
certificate: the account's signature over this call.
manage: may this key add and edit agents; default true.
example: mesh setup backend$$;
grant execute on function mesh.create_agent_key(text, mesh.public_key, mesh.new_secret, mesh.signed, boolean) to mesh_agent;

create function mesh.list_keys() returns table (
  key_id uuid, kind text, mesh text, agent text, key text, manage boolean, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz, this boolean
)
language sql stable set search_path = '' as $$
  select k.key_id, k.kind, m.name, a.name, mesh_lib.key_prefix(k.public_key), k.manage, k.created_at, k.expires_at, k.revoked_at,
    k.key_id = (mesh_lib.me()).key_id
  from mesh_data.key k
  left join mesh_data.mesh m on m.mesh_id = k.mesh_id
  left join mesh_data.agent a on a.agent_id = k.agent_id
  order by k.created_at
$$;
comment on function mesh.list_keys is $$---
cli: key list
alias: keys
who: account
mcp: never
columns: key_id kind mesh agent manage created_at revoked_at this
---
List your account's keys and the keys of agents in your meshes.
example: mesh key list$$;
grant execute on function mesh.list_keys() to mesh_agent;

-- A definer: the sessions of the revoked key end in the same transaction.
create function mesh.revoke_key(key_id uuid, out revoked uuid, out sessions bigint)
language plpgsql volatile security definer set search_path = '' as $$
begin
  update mesh_data.key k set revoked_at = coalesce(k.revoked_at, mesh_lib.now())
  where k.key_id = revoke_key.key_id
    and (k.account_id = mesh_lib.my_account() or k.mesh_id = any (mesh_lib.owned_meshes()))
  returning k.key_id into revoke_key.revoked;
  if not found then
    perform mesh_lib.fail(404, 'there is no such key', 'mesh key list');
  end if;
  select count(*) into revoke_key.sessions from mesh_data.session s where s.key_id = revoke_key.revoked and s.ended_at is null;
  perform mesh_lib.end_sessions(array[revoke_key.revoked], 'this key was revoked');
end
$$;
comment on function mesh.revoke_key is $$---
cli: key revoke <key_id>
who: account
mcp: never
destructive: yes
---
Revoke a key at once: its next call is refused and its open windows close within a second.
key_id: the key's id, as mesh key list shows it.
example: mesh key revoke 0b6f5c9e-2f6e-4a57-9a53-1d2f5f7f7c55$$;
alter function mesh.revoke_key(uuid) owner to mesh_definer;
grant execute on function mesh.revoke_key(uuid) to mesh_agent;
