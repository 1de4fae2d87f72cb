-- Invites: a one-time way into one mesh as one agent. The secret is the bearer; the owner signs what it may become.

grant select (invite_id, mesh_id, agent_id, public_key, certificate, max_uses, used, created_at, expires_at, revoked_at),
  insert (mesh_id, agent_id, verifier, public_key, certificate, max_uses, expires_at), update (revoked_at) on mesh_data.invite to mesh_agent;
create policy invite_select on mesh_data.invite for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.owned_meshes())::uuid[]));
create policy invite_insert on mesh_data.invite for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.owned_meshes())::uuid[]));
create policy invite_update on mesh_data.invite for update to mesh_agent
  using (mesh_id = any ((select mesh_lib.owned_meshes())::uuid[])) with check (mesh_id = any ((select mesh_lib.owned_meshes())::uuid[]));

create function mesh.create_invite(inout agent text, invite mesh.new_secret, certificate mesh.signed, role text default null,
  days integer default 7, inout uses integer default 1, mode mesh.mode default null,
  out mesh text, out join_url text, out expires_at timestamptz, out invite_id uuid, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _agent mesh_data.agent;
  _owner_key bytea;
begin
  perform mesh_lib.must_own();
  if create_invite.days not between 1 and 365 then
    perform mesh_lib.fail(400, 'an invite lasts 1 to 365 days', '');
  elsif create_invite.uses not between 1 and 1000 then
    perform mesh_lib.fail(400, 'an invite has 1 to 1,000 uses', '');
  elsif (select count(*) from mesh_data.invite i where i.mesh_id = (select mesh_lib.my_mesh()) and i.revoked_at is null and i.expires_at > mesh_lib.now()) >= 1000 then
    perform mesh_lib.fail(429, 'a mesh can have 1,000 outstanding invites at most', 'mesh invite list');
  end if;
  create_invite.agent := mesh_lib.checked_name(create_invite.agent, 'an agent');
  if not exists (select from mesh_data.agent a where a.mesh_id = (select mesh_lib.my_mesh()) and a.name = create_invite.agent and a.removed_at is null) then
    perform mesh.create_agent(create_invite.agent, create_invite.role);
  elsif create_invite.role is not null then
    perform mesh.edit_agent(create_invite.agent, null, create_invite.role);
  end if;
  _agent := mesh_lib.agent_named(create_invite.agent);
  if _agent.kind = 'person' then
    perform mesh_lib.fail(409, 'this name belongs to a person in the mesh', 'mesh peers');
  elsif _agent.identity_key is not null then
    perform mesh_lib.fail(409, format('%s is taken: remove the agent first, or invite another name', _agent.name), 'mesh agent remove ' || _agent.name);
  end if;
  select m.name, o.identity_key into create_invite.mesh, _owner_key
  from mesh_data.mesh m cross join lateral mesh_lib.mesh_owner(m.mesh_id) o where m.mesh_id = (select mesh_lib.my_mesh());
  if create_invite.mode <> (select m.mode from mesh_data.mesh m where m.mesh_id = (select mesh_lib.my_mesh())) then
    perform mesh_lib.fail(409, format('this mesh is not %s', create_invite.mode), 'mesh board');
  end if;
  perform mesh_lib.check_signer(create_invite.certificate, _owner_key, 'the account''s identity');
  insert into mesh_data.invite (mesh_id, agent_id, verifier, public_key, certificate, max_uses, expires_at)
  values (mesh_lib.my_mesh(), _agent.agent_id, decode(create_invite.invite ->> 'verifier', 'hex'), decode(create_invite.invite ->> 'public_key', 'hex'),
    create_invite.certificate, create_invite.uses, mesh_lib.now() + make_interval(days => create_invite.days))
  returning invite.expires_at, invite.invite_id into create_invite.expires_at, create_invite.invite_id;
  perform mesh_lib.record(_agent.mesh_id, 'invite_created', jsonb_build_object('agent', _agent.name, 'invite_id', create_invite.invite_id));
  create_invite.join_url := '{public_url}/join#{secret}';
  create_invite.next := format('mesh join ''%s'' && mesh run %s', create_invite.join_url, _agent.name);
end
$$;
comment on function mesh.create_invite is $$---
cli: invite <mesh> <agent>
alias: invite create
who: account
mesh: yes
mcp: never
columns: agent join_url expires_at uses
---
Invite somebody into a mesh as one agent. Prints a join URL, whose secret is in the fragment and reaches no server.
agent: the name the guest's agent will have; it is added when it is not there yet.
invite: the invite's verifier and public key; the client makes the invite.
certificate: the account's signature over this call.
role: what the agent is for, up to 200 characters; default none, or as it is.
days: how long the invite is good, 1 to 365; default 7.
mode: sealed or open, as the mesh is; who joins believes this and no server. The client fills it in.
uses: how many may join with it, 1 to 1,000; default 1. Further ones become name-2, name-3 and so on.
example: mesh invite proj designer --role "UI designer" --days 7$$;
grant execute on function mesh.create_invite(text, mesh.new_secret, mesh.signed, text, integer, integer, mesh.mode) to mesh_agent;

create function mesh.list_invites() returns table (
  invite_id uuid, agent text, state text, used integer, uses integer, joined text[], created_at timestamptz, expires_at timestamptz
)
language sql stable set search_path = '' as $$
  select i.invite_id, a.name,
    case when i.revoked_at is not null then 'revoked' when i.used >= i.max_uses then 'redeemed'
      when i.expires_at <= mesh_lib.now() then 'expired' else 'outstanding' end,
    i.used, i.max_uses,
    array(select coalesce(b.display_name, 'a guest') from mesh_data.member b where b.invite_id = i.invite_id order by b.joined_at),
    i.created_at, i.expires_at
  from mesh_data.invite i join mesh_data.agent a on a.agent_id = i.agent_id
  where i.mesh_id = (select mesh_lib.my_mesh())
  order by i.created_at
$$;
comment on function mesh.list_invites is $$---
cli: invite list <mesh>
alias: invites
who: account
mesh: yes
mcp: never
columns: agent state used uses joined expires_at invite_id
---
List the invites of the mesh, outstanding and redeemed.
example: mesh invite list$$;
grant execute on function mesh.list_invites() to mesh_agent;

create function mesh.revoke_invite(invite_id uuid, out revoked uuid, out agent text)
language plpgsql volatile set search_path = '' as $$
begin
  update mesh_data.invite i set revoked_at = coalesce(i.revoked_at, mesh_lib.now())
  from mesh_data.agent a
  where i.invite_id = revoke_invite.invite_id and i.mesh_id = (select mesh_lib.my_mesh()) and a.agent_id = i.agent_id
  returning i.invite_id, a.name into revoke_invite.revoked, revoke_invite.agent;
  if not found then
    perform mesh_lib.fail(404, 'there is no such invite in this mesh', 'mesh invite list');
  end if;
  perform mesh_lib.record(mesh_lib.my_mesh(), 'invite_revoked', jsonb_build_object('agent', revoke_invite.agent, 'invite_id', revoke_invite.revoked));
end
$$;
comment on function mesh.revoke_invite is $$---
cli: invite revoke <invite_id>
who: account
mesh: yes
mcp: never
destructive: yes
---
Revoke an invite: nobody can join with it any more. Who joined already stays.
invite_id: the invite's id, as mesh invite list shows it.
example: mesh invite revoke 0b6f5c9e-2f6e-4a57-9a53-1d2f5f7f7c55$$;
grant execute on function mesh.revoke_invite(uuid) to mesh_agent;

-- A definer: whoever holds an invite is nobody in the mesh until this is done. The row lock makes one of two redeems win.
create function mesh.redeem_invite(identity_key mesh.public_key, secret mesh.new_secret, certificate mesh.signed, display_name text default null,
  out agent text, out mesh text, out mesh_id uuid, out owner text, out role text, out launch_prompt text, out key_id uuid, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _invite mesh_data.invite;
  _agent mesh_data.agent;
  _member_id uuid;
begin
  select i.* into _invite from mesh_data.invite i where i.invite_id = (mesh_lib.me()).key_id for update;
  if _invite.used >= _invite.max_uses then
    perform mesh_lib.fail(410, 'this invite is used up', '');
  elsif _invite.revoked_at is not null then
    perform mesh_lib.fail(410, 'this invite was revoked', '');
  end if;
  perform mesh_lib.check_signer(redeem_invite.certificate, _invite.public_key, 'the invite''s key');
  update mesh_data.invite i set used = i.used + 1 where i.invite_id = _invite.invite_id;
  insert into mesh_data.member (mesh_id, kind, display_name, invite_id)
  values (_invite.mesh_id, 'guest', mesh_lib.checked_text(redeem_invite.display_name, 'the display name', 100), _invite.invite_id)
  returning member_id into _member_id;
  select a.* into _agent from mesh_data.agent a where a.agent_id = _invite.agent_id for update;
  if _agent.removed_at is not null then
    perform mesh_lib.fail(410, 'the agent of this invite was removed', '');
  elsif _agent.identity_key is not null then
    insert into mesh_data.agent (mesh_id, name, role, launch_prompt)
    values (_agent.mesh_id, mesh_lib.free_name(_agent.mesh_id, _agent.name), _agent.role, _agent.launch_prompt)
    returning agent.* into _agent;
    insert into mesh_data.activity (agent_id, mesh_id) values (_agent.agent_id, _agent.mesh_id);
  end if;
  update mesh_data.agent a
  set member_id = _member_id, identity_key = decode(redeem_invite.identity_key, 'hex'),
    chain = jsonb_build_array(_invite.certificate, redeem_invite.certificate::jsonb)
  where a.agent_id = _agent.agent_id;
  insert into mesh_data.key (kind, verifier, public_key, mesh_id, agent_id, member_id)
  values ('agent', decode(redeem_invite.secret ->> 'verifier', 'hex'), decode(redeem_invite.secret ->> 'public_key', 'hex'),
    _agent.mesh_id, _agent.agent_id, _member_id)
  returning key.key_id into redeem_invite.key_id;
  select _agent.name, m.name, m.mesh_id, o.name, _agent.role, _agent.launch_prompt, 'mesh run ' || _agent.name
  into redeem_invite.agent, redeem_invite.mesh, redeem_invite.mesh_id, redeem_invite.owner, redeem_invite.role, redeem_invite.launch_prompt, redeem_invite.next
  from mesh_data.mesh m join mesh_data.account o on o.account_id = m.owner_account_id where m.mesh_id = _agent.mesh_id;
  perform mesh_lib.record(_agent.mesh_id, 'invite_redeemed', jsonb_build_object('agent', _agent.name, 'invite_id', _invite.invite_id));
  perform mesh_lib.ping();
end
$$;
comment on function mesh.redeem_invite is $$---
who: invite
mcp: never
---
Join a mesh with an invite as the bearer. Makes a key for the invited agent, and nothing else of the mesh is open to it.
identity_key: the public half of the identity made for this agent on the guest's machine.
secret: the scoped key's verifier and public key; the client makes the key and keeps it.
certificate: the invite's signature over this call.
display_name: how people see the guest, up to 100 characters; default none.
example: mesh join 'https://mesh.example.org/join#mc_inv_…' --display-name Alice$$;
alter function mesh.redeem_invite(mesh.public_key, mesh.new_secret, mesh.signed, text) owner to mesh_definer;
grant execute on function mesh.redeem_invite(mesh.public_key, mesh.new_secret, mesh.signed, text) to mesh_agent;
