-- What several calls know and do about meshes and their members.

-- Whether the caller owns the mesh it acts in. Persons have no key but the account's.
create function mesh_lib.is_owner() returns boolean
language sql stable set search_path = '' as $$ select coalesce(mesh_lib.my_mesh() = any (mesh_lib.owned_meshes()), false) $$;
-- ME403 unless the caller owns the mesh it acts in.
create function mesh_lib.must_own() returns void
language plpgsql stable set search_path = '' as $$
begin
  if not mesh_lib.is_owner() then
    perform mesh_lib.fail(403, 'only the owner of this mesh may do that', '');
  end if;
end
$$;

-- ME403 unless the caller may manage the mesh it acts in. Row-level security does not hold a definer, so each one that is
-- for managers asks.
create function mesh_lib.must_manage() returns void
language plpgsql stable set search_path = '' as $$
begin
  if not coalesce(mesh_lib.my_mesh() = any (mesh_lib.managed_meshes()), false) then
    perform mesh_lib.fail(403, 'this key may not manage the mesh', '');
  end if;
end
$$;

-- A definer: a member may know the name and the identity of the mesh's owner, and nothing else of that account.
create function mesh_lib.mesh_owner(mesh_id uuid, out owner text, out identity_key bytea)
language sql stable security definer set search_path = '' as $$
  select a.name, a.identity_key
  from mesh_data.mesh m join mesh_data.account a on a.account_id = m.owner_account_id
  where m.mesh_id = mesh_owner.mesh_id and m.mesh_id = any (mesh_lib.my_meshes())
$$;
alter function mesh_lib.mesh_owner(uuid) owner to mesh_definer;
grant execute on function mesh_lib.mesh_owner(uuid) to mesh_agent;

-- A definer: an account has an agent in each of its meshes, and is only one of them at a time.
create function mesh_lib.unread_in(mesh_id uuid) returns bigint
language sql stable security definer set search_path = '' as $$
  select count(*)
  from mesh_data.agent a join mesh_data.delivery d on d.agent_id = a.agent_id and d.state in ('queued', 'delivered') and mesh_lib.is_due(d.due_at, d.expires_at)
  where a.mesh_id = unread_in.mesh_id and a.removed_at is null and case (mesh_lib.me()).kind
    when 'agent' then a.agent_id = mesh_lib.my_agent()
    else a.kind = 'person' and a.member_id in (select b.member_id from mesh_data.member b where b.account_id = mesh_lib.my_account() and b.revoked_at is null) end
$$;
alter function mesh_lib.unread_in(uuid) owner to mesh_definer;
grant execute on function mesh_lib.unread_in(uuid) to mesh_agent;

-- A definer: counts of the whole mesh, of which an agent may read only its own rows.
create function mesh_lib.backlog(out backlog bigint, out dead bigint)
language sql stable security definer set search_path = '' as $$
  select count(*) filter (where d.state in ('queued', 'delivered')), count(*) filter (where d.state = 'dead')
  from mesh_data.delivery d where d.mesh_id = (select mesh_lib.my_mesh()) and d.state in ('queued', 'delivered', 'dead')
$$;
alter function mesh_lib.backlog() owner to mesh_definer;
grant execute on function mesh_lib.backlog() to mesh_agent;

-- A definer: the number of the newest migration, for people who compare installations.
create function mesh_lib.schema_version() returns integer
language sql stable security definer set search_path = '' as $$ select max(c.schema_version) from mesh_data.code c $$;
alter function mesh_lib.schema_version() owner to mesh_definer;
grant execute on function mesh_lib.schema_version() to mesh_agent;

-- The person agent of a mesh's owner: the one there is, or a new one; another agent of that name makes it `name-2`,
-- `name-3` and so on.
create function mesh_lib.new_person(mesh_id uuid, account_id uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  _agent_id uuid;
begin
  update mesh_data.agent a set role = coalesce(a.role, 'owner') from mesh_data.member b
  where b.mesh_id = new_person.mesh_id and b.account_id = new_person.account_id and b.kind = 'owner' and b.revoked_at is null
    and a.member_id = b.member_id and a.kind = 'person' and a.removed_at is null;
  if found then
    return;
  end if;
  insert into mesh_data.agent (mesh_id, member_id, name, kind, role, identity_key)
  select new_person.mesh_id, b.member_id, mesh_lib.free_name(new_person.mesh_id, c.name), 'person', 'owner', c.identity_key
  from mesh_data.account c
  join mesh_data.member b on b.account_id = c.account_id and b.mesh_id = new_person.mesh_id and b.kind = 'owner' and b.revoked_at is null
  where c.account_id = new_person.account_id
  returning agent.agent_id into _agent_id;
  insert into mesh_data.activity (agent_id, mesh_id) values (_agent_id, new_person.mesh_id);
end
$$;

-- This name, or the first of name-2, name-3, … that no agent of the mesh has.
create function mesh_lib.free_name(mesh_id uuid, name text) returns text
language sql volatile set search_path = '' as $$
  select n.name
  from generate_series(1, 10000) i, lateral (select left(free_name.name, 58) || case i when 1 then '' else '-' || i end as name) n
  where not exists (select from mesh_data.agent a where a.mesh_id = free_name.mesh_id and a.name = n.name and a.removed_at is null)
  order by i limit 1
$$;

-- Called by definers: a member goes. Keys stop, sessions end, its agents keep their mail for whoever takes the name next.
create function mesh_lib.end_member(member_id uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  _mesh_id uuid;
begin
  update mesh_data.member b set revoked_at = mesh_lib.now()
  where b.member_id = end_member.member_id and b.revoked_at is null returning b.mesh_id into _mesh_id;
  if not found then
    return;
  end if;
  update mesh_data.key k set revoked_at = mesh_lib.now() where k.member_id = end_member.member_id and k.revoked_at is null;
  perform mesh_lib.end_sessions(array(select k.key_id from mesh_data.key k where k.member_id = end_member.member_id), 'this key was revoked');
  update mesh_data.agent a set removed_at = mesh_lib.now() where a.member_id = end_member.member_id and a.removed_at is null;
  perform mesh_lib.forget_identities(array(select a.agent_id from mesh_data.agent a where a.member_id = end_member.member_id));
  perform mesh_lib.record(_mesh_id, 'member_left', jsonb_build_object('member_id', end_member.member_id));
  perform mesh_lib.ping();
end
$$;

-- Called by definers: the live sessions of these keys end, and the relays hear of it.
create function mesh_lib.end_sessions(key_ids uuid[], why text) returns void
language sql volatile set search_path = '' as $$
  -- In the order of their ids, as relays confirm them.
  update mesh_data.session s set ended_at = mesh_lib.now(), ended_why = end_sessions.why
  from (select s.session_id from mesh_data.session s where s.key_id = any (end_sessions.key_ids) and s.ended_at is null order by 1 for update) l
  where s.session_id = l.session_id;
  select mesh_lib.ping();
$$;
