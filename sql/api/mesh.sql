-- Meshes: team workspaces. Seen by those in them; made and changed by accounts.

grant select on mesh_data.mesh to mesh_agent;
grant insert (mesh_id, owner_account_id, name), update (name, mode, mode_at) on mesh_data.mesh to mesh_agent;
create policy mesh_select on mesh_data.mesh for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy mesh_update on mesh_data.mesh for update to mesh_agent
  using (owner_account_id = (select mesh_lib.my_account())) with check (owner_account_id = (select mesh_lib.my_account()));

-- A definer: the mesh, its owner's membership and the owner's own agent begin to exist together, before anybody is in it.
create function mesh.create_mesh(name mesh.name, inout mode mesh.mode default 'sealed', out mesh text, out mesh_id uuid, out agent text, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _account mesh_data.account;
  _member_id uuid;
  _agent_id uuid;
begin
  create_mesh.mesh := mesh_lib.checked_name(create_mesh.name, 'a mesh');
  select * into _account from mesh_data.account a where a.account_id = _me.account_id for update;
  if (select count(*) from mesh_data.mesh m where m.owner_account_id = _me.account_id) >= 1000 then
    perform mesh_lib.fail(429, 'an account can own 1,000 meshes at most', 'mesh projects');
  end if;
  insert into mesh_data.mesh (owner_account_id, name, mode) values (_me.account_id, create_mesh.mesh, create_mesh.mode)
  on conflict do nothing returning mesh.mesh_id into create_mesh.mesh_id;
  if not found then
    perform mesh_lib.fail(409, format('you have a mesh %L already', create_mesh.mesh), 'mesh board ' || create_mesh.mesh);
  end if;
  insert into mesh_data.member (mesh_id, account_id, kind, display_name)
  values (create_mesh.mesh_id, _me.account_id, 'owner', coalesce(_account.display_name, _account.name)) returning member_id into _member_id;
  insert into mesh_data.agent (mesh_id, member_id, name, kind, role, identity_key)
  values (create_mesh.mesh_id, _member_id, _account.name, 'person', 'owner', _account.identity_key) returning agent_id into _agent_id;
  insert into mesh_data.activity (agent_id, mesh_id) values (_agent_id, create_mesh.mesh_id);
  create_mesh.agent := _account.name;
  create_mesh.next := 'mesh go commander --mesh ' || create_mesh.mesh;
  perform mesh_lib.record(create_mesh.mesh_id, 'mesh_created', jsonb_build_object('name', create_mesh.mesh));
end
$$;
comment on function mesh.create_mesh is $$---
cli: create <name>
alias: mesh create
who: account
mcp: never
---
Create a mesh. You are in it too, as an agent of kind person named like your account.
name: the mesh's name, unique among yours.
mode: sealed (what is written is read by those it is for, and by no server) or open (the server reads it, and can search it); default sealed.
example: mesh create proj$$;
alter function mesh.create_mesh(mesh.name, mesh.mode) owner to mesh_definer;
grant execute on function mesh.create_mesh(mesh.name, mesh.mode) to mesh_agent;

create function mesh.list_meshes() returns table (mesh text, owner text, mode text, agents bigint, online bigint, unread bigint, created_at timestamptz, mesh_id uuid)
language sql stable set search_path = '' as $$
  select m.name, o.owner, m.mode, count(a.agent_id), count(*) filter (where p.status <> 'offline'),
    mesh_lib.unread_in(m.mesh_id),
    m.created_at, m.mesh_id
  from mesh_data.mesh m
  cross join lateral mesh_lib.mesh_owner(m.mesh_id) o
  left join mesh_data.agent a on a.mesh_id = m.mesh_id and a.removed_at is null
  left join lateral mesh_lib.peer_status(a.agent_id) p on true
  group by m.mesh_id, m.name, m.mode, m.created_at, o.owner
  order by m.name
$$;
comment on function mesh.list_meshes is $$---
cli: projects
alias: list, ls, mesh list
who: any
columns: mesh owner mode agents online unread created_at
---
List the meshes you are in.
example: mesh projects$$;
grant execute on function mesh.list_meshes() to mesh_agent;

create function mesh.mesh_info(
  out mesh text, out mesh_id uuid, out owner text, out owner_key text, out mode text, out members bigint, out agents bigint, out online bigint,
  out backlog bigint, out dead bigint, out schema_version integer, out board json
)
language plpgsql stable set search_path = '' as $$
begin
  select m.name, m.mesh_id, o.owner, encode(o.identity_key, 'hex'), m.mode into mesh_info.mesh, mesh_info.mesh_id, mesh_info.owner, mesh_info.owner_key, mesh_info.mode
  from mesh_data.mesh m cross join lateral mesh_lib.mesh_owner(m.mesh_id) o where m.mesh_id = (select mesh_lib.my_mesh());
  select count(*) into mesh_info.members from mesh_data.member b where b.mesh_id = mesh_info.mesh_id and b.revoked_at is null;
  select b.backlog, b.dead into mesh_info.backlog, mesh_info.dead from mesh_lib.backlog() b;
  select s.version into mesh_info.schema_version from mesh_lib.schema_version() s (version);
  select count(*), count(*) filter (where p.status <> 'offline'),
    json_agg(json_build_object('agent', p.agent, 'kind', p.kind, 'status', p.status, 'role', p.role, 'summary', p.summary) order by p.agent)
  into mesh_info.agents, mesh_info.online, mesh_info.board
  from mesh.list_peers() p;
end
$$;
comment on function mesh.mesh_info is $$---
cli: board <mesh>
alias: mesh info
who: agent
---
Show a mesh: its members and agents, who is online, and what waits.
example: mesh board proj$$;
grant execute on function mesh.mesh_info() to mesh_agent;

create function mesh.rename_mesh(name mesh.name, out mesh text, out mesh_id uuid)
language plpgsql volatile set search_path = '' as $$
begin
  perform mesh_lib.must_own();
  update mesh_data.mesh m set name = mesh_lib.checked_name(rename_mesh.name, 'a mesh') where m.mesh_id = (select mesh_lib.my_mesh())
  returning m.name, m.mesh_id into rename_mesh.mesh, rename_mesh.mesh_id;
  perform mesh_lib.record(rename_mesh.mesh_id, 'mesh_renamed', jsonb_build_object('name', rename_mesh.mesh));
exception when unique_violation then
  perform mesh_lib.fail(409, format('you have a mesh %L already', lower(rename_mesh.name)), 'mesh projects');
end
$$;
comment on function mesh.rename_mesh is $$---
cli: mesh rename <mesh> <name>
who: account
mesh: yes
mcp: never
---
Give a mesh another name. Keys and invites go on working.
name: the new name, unique among yours.
example: mesh mesh rename proj website$$;
grant execute on function mesh.rename_mesh(mesh.name) to mesh_agent;

-- A definer: now, or just after what was sent last in a mesh while somebody waited to change its mode.
create function mesh_lib.mode_begins_at(mesh_id uuid) returns timestamptz
language sql stable security definer set search_path = '' as $$
  select greatest(mesh_lib.now(), max(m.sent_at) + interval '1 microsecond') from mesh_data.message m
  where m.mesh_id = mode_begins_at.mesh_id and m.mesh_id = mesh_lib.my_mesh()
    and m.message_id >= mesh_lib.first_id(mesh_lib.now() - interval '1 minute') and m.sent_at >= mesh_lib.now()
$$;
alter function mesh_lib.mode_begins_at(uuid) owner to mesh_definer;
grant execute on function mesh_lib.mode_begins_at(uuid) to mesh_agent;

create function mesh.set_mode(inout mode mesh.mode, certificate mesh.signed, out mesh text, out mesh_id uuid, out changed boolean, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _before text;
begin
  perform mesh_lib.must_own();
  perform mesh_lib.check_signer(set_mode.certificate, (mesh_lib.mesh_owner(mesh_lib.my_mesh())).identity_key, 'the account''s identity');
  -- What was begun in the open is committed, and nothing more is.
  perform pg_advisory_xact_lock(mesh_lib.mode_lock(mesh_lib.my_mesh()));
  select m.mode, m.name, m.mesh_id into _before, set_mode.mesh, set_mode.mesh_id from mesh_data.mesh m where m.mesh_id = (select mesh_lib.my_mesh()) for update;
  set_mode.changed := set_mode.mode <> _before;
  if set_mode.changed then
    update mesh_data.mesh m set mode = set_mode.mode, mode_at = mesh_lib.mode_begins_at(set_mode.mesh_id) where m.mesh_id = set_mode.mesh_id;
    perform mesh_lib.record(set_mode.mesh_id, 'mode_changed', jsonb_build_object('from', _before, 'to', set_mode.mode, 'certificate', set_mode.certificate));
    set_mode.next := case set_mode.mode when 'open' then 'tell everybody: each runs mesh trust --mode before anything is sent in the open' end;
  end if;
end
$$;
comment on function mesh.set_mode is $$---
cli: mesh mode <mesh> <mode>
who: account
mesh: yes
mcp: never
---
Make a mesh sealed or open from now on. What was sent before stays as it is: sealed mail stays sealed, and what the server could read it still can. What was scheduled before is not sent: it fails at its time, which `mesh schedule list` says.
mode: sealed (what is written is read by those it is for, and by no server) or open (the server reads it, and can search it).
certificate: the account's signature over this call.
example: mesh mesh mode proj sealed$$;
grant execute on function mesh.set_mode(mesh.mode, mesh.signed) to mesh_agent;

-- A definer: it deletes rows of tables where mesh_agent may delete nothing.
create function mesh.delete_mesh(confirm text, out deleted text)
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform mesh_lib.must_own();
  select m.name into delete_mesh.deleted from mesh_data.mesh m where m.mesh_id = (select mesh_lib.my_mesh()) for update;
  if delete_mesh.confirm <> delete_mesh.deleted then
    perform mesh_lib.fail(400, 'to delete a mesh and all its messages, give its name', format('mesh mesh delete %s %1$s', delete_mesh.deleted));
  end if;
  -- What is written most has no foreign key, which would cost every write a look-up.
  delete from mesh_data.delivery d using mesh_data.message m
  where m.mesh_id = (select mesh_lib.my_mesh()) and d.message_id = m.message_id;
  delete from mesh_data.message m where m.mesh_id = (select mesh_lib.my_mesh());
  delete from mesh_data.presence p where p.mesh_id = (select mesh_lib.my_mesh());
  delete from mesh_data.turn t using mesh_data.agent a where a.mesh_id = (select mesh_lib.my_mesh()) and a.agent_id in (t.agent_id, t.other_agent_id);
  delete from mesh_data.sent s using mesh_data.key k where k.mesh_id = (select mesh_lib.my_mesh()) and k.key_id = s.key_id;
  delete from mesh_data.mesh m where m.mesh_id = (select mesh_lib.my_mesh());
  perform mesh_lib.ping();
end
$$;
comment on function mesh.delete_mesh is $$---
cli: mesh delete <mesh> <confirm>
who: account
mesh: yes
mcp: never
destructive: yes
---
Delete a mesh: its agents, keys, invites and messages, for good.
confirm: the mesh's name once more, to be sure.
example: mesh mesh delete proj proj$$;
alter function mesh.delete_mesh(text) owner to mesh_definer;
grant execute on function mesh.delete_mesh(text) to mesh_agent;

-- A definer: it looks up another account by its name, which the caller may not read.
create function mesh.transfer_mesh(to_account mesh.name, out mesh text, out owner text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _to mesh_data.account;
begin
  perform mesh_lib.must_own();
  select a.* into _to from mesh_data.account a where a.name = lower(transfer_mesh.to_account);
  if not found or _to.account_id = _me.account_id then
    perform mesh_lib.fail(404, format('there is no other account %L', transfer_mesh.to_account), '');
  elsif exists (select from mesh_data.mesh m join mesh_data.mesh n on n.name = m.name where m.mesh_id = _me.mesh_id and n.owner_account_id = _to.account_id) then
    perform mesh_lib.fail(409, 'that account has a mesh of this name already: rename yours first', 'mesh mesh rename');
  end if;
  update mesh_data.mesh m set owner_account_id = _to.account_id where m.mesh_id = _me.mesh_id returning m.name into transfer_mesh.mesh;
  update mesh_data.member b set kind = 'guest' where b.mesh_id = _me.mesh_id and b.kind = 'owner';
  update mesh_data.key k set manage = false from mesh_data.member b
  where b.mesh_id = _me.mesh_id and b.account_id = _me.account_id and k.member_id = b.member_id;
  update mesh_data.agent a set role = null where a.agent_id = _me.agent_id and a.kind = 'person' and a.role = 'owner';
  -- Whoever was a member stays the same member, and the same person.
  update mesh_data.member b set kind = 'owner'
  where b.mesh_id = _me.mesh_id and b.account_id = _to.account_id and b.revoked_at is null;
  if not found then
    insert into mesh_data.member (mesh_id, account_id, kind, display_name)
    values (_me.mesh_id, _to.account_id, 'owner', coalesce(_to.display_name, _to.name));
  end if;
  transfer_mesh.owner := _to.name;
  perform mesh_lib.new_person(_me.mesh_id, _to.account_id);
  perform mesh_lib.record(_me.mesh_id, 'mesh_transferred', jsonb_build_object('to', _to.name));
end
$$;
comment on function mesh.transfer_mesh is $$---
cli: mesh transfer <mesh> <to_account>
who: account
mesh: yes
mcp: never
---
Give a mesh to another account. You stay in it as a member, without managing it.
to_account: the name of the new owner's account on this relay.
example: mesh mesh transfer proj bob$$;
alter function mesh.transfer_mesh(mesh.name) owner to mesh_definer;
grant execute on function mesh.transfer_mesh(mesh.name) to mesh_agent;

-- A definer: it revokes the leaver's own keys and frees its agents, across tables it may only read.
create function mesh.leave_mesh(out left_mesh text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _member mesh_data.member;
begin
  select b.* into _member from mesh_data.member b
  where b.mesh_id = _me.mesh_id and b.revoked_at is null
    and (b.account_id = _me.account_id or b.member_id = (select k.member_id from mesh_data.key k where k.key_id = _me.key_id));
  if _member.kind = 'owner' then
    perform mesh_lib.fail(409, 'the owner cannot leave: transfer or delete the mesh', 'mesh mesh transfer');
  end if;
  perform mesh_lib.end_member(_member.member_id);
  select m.name into leave_mesh.left_mesh from mesh_data.mesh m where m.mesh_id = _me.mesh_id;
end
$$;
comment on function mesh.leave_mesh is $$---
cli: mesh leave <mesh>
who: agent
mcp: never
destructive: yes
---
Leave a mesh you were invited to: your keys for it stop working and your agents in it are removed.
example: mesh mesh leave proj$$;
alter function mesh.leave_mesh() owner to mesh_definer;
grant execute on function mesh.leave_mesh() to mesh_agent;
