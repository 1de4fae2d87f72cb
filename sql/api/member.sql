-- Members: who is in a mesh, as its owner or as a guest who redeemed an invite.

grant select on mesh_data.member to mesh_agent;
create policy member_select on mesh_data.member for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));

-- The owner's membership in the caller's mesh: agents that are made belong to it.
create function mesh_lib.owner_member() returns uuid
language sql stable set search_path = '' as $$
  select b.member_id from mesh_data.member b where b.mesh_id = (select mesh_lib.my_mesh()) and b.kind = 'owner' and b.revoked_at is null
$$;

create function mesh.list_members() returns table (
  member_id uuid, member text, kind text, agents text[], joined_at timestamptz, revoked_at timestamptz
)
language sql stable set search_path = '' as $$
  select b.member_id, b.display_name, b.kind,
    array(select a.name from mesh_data.agent a where a.member_id = b.member_id and a.removed_at is null order by a.name),
    b.joined_at, b.revoked_at
  from mesh_data.member b
  where b.mesh_id = (select mesh_lib.my_mesh())
  order by b.joined_at
$$;
comment on function mesh.list_members is $$---
cli: member list <mesh>
alias: members
who: agent
columns: member kind agents joined_at revoked_at member_id
---
List who is in the mesh: its owner and its guests, with the agents they hold.
example: mesh member list$$;
grant execute on function mesh.list_members() to mesh_agent;

-- A definer: it revokes keys and ends sessions of somebody else.
create function mesh.revoke_member(member text, out revoked text, out agents text[])
language plpgsql volatile security definer set search_path = '' as $$
declare
  _member mesh_data.member;
begin
  perform mesh_lib.must_own();
  select b.* into _member from mesh_data.member b
  where b.mesh_id = (select mesh_lib.my_mesh()) and b.revoked_at is null and (
    b.member_id::text = lower(revoke_member.member)
    or exists (select from mesh_data.agent a where a.member_id = b.member_id and a.name = lower(revoke_member.member) and a.removed_at is null)
    or lower(b.display_name) = lower(revoke_member.member))
  order by b.member_id::text = lower(revoke_member.member) desc limit 1;
  if not found then
    perform mesh_lib.fail(404, format('there is no member %L', left(revoke_member.member, 63)), 'mesh member list');
  elsif _member.kind = 'owner' then
    perform mesh_lib.fail(409, 'the owner cannot be revoked: transfer or delete the mesh', 'mesh mesh transfer');
  end if;
  revoke_member.agents := array(select a.name from mesh_data.agent a where a.member_id = _member.member_id and a.removed_at is null order by a.name);
  perform mesh_lib.end_member(_member.member_id);
  revoke_member.revoked := coalesce(_member.display_name, _member.member_id::text);
end
$$;
comment on function mesh.revoke_member is $$---
cli: member revoke <member>
who: account
mesh: yes
mcp: never
destructive: yes
---
Take a guest out of the mesh at once: keys stop working, open windows close, the guest's agents are removed.
member: the name of an agent the guest holds, the guest's display name, or the member's id.
example: mesh member revoke designer$$;
alter function mesh.revoke_member(text) owner to mesh_definer;
grant execute on function mesh.revoke_member(text) to mesh_agent;
