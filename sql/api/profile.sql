-- Profiles: what an agent is and can do, in its own words, and what others see of it.

-- A definer: an agent's row is written by who may manage; this writes the caller's own words only.
create function mesh.set_profile(inout about text default null, inout role text default null, inout capabilities text[] default null, out agent text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _in_role constant boolean := set_profile.role <> '';
begin
  update mesh_data.agent a
  set about = case when set_profile.about is null then a.about else mesh_lib.checked_text(set_profile.about, 'about', 2000, true) end,
    role = case when set_profile.role is null then a.role else mesh_lib.checked_text(set_profile.role, 'the role', 200) end,
    capabilities = case when set_profile.capabilities is null then a.capabilities else mesh_lib.checked_capabilities(set_profile.capabilities) end
  where a.agent_id = mesh_lib.my_agent()
  returning a.about, a.role, a.capabilities, a.name into set_profile.about, set_profile.role, set_profile.capabilities, set_profile.agent;
  if _in_role then
    perform mesh_lib.take_waiting(array[mesh_lib.my_agent()]);
  end if;
end
$$;
comment on function mesh.set_profile is $$---
cli: set-profile
who: agent
---
Say what you are for and what you can do, so that others know what to ask you. What is left out stays; an empty text or list removes.
about: what you are for and know, up to 2,000 characters.
role: your part in the team, up to 200 characters; mail to role:x reaches you when it is x.
capabilities: words for what you can do, up to 50 of up to 63 characters.
example: mesh set-profile --role reviewer --about "reads SQL with pleasure" --capabilities sql,rust$$;
alter function mesh.set_profile(text, text, text[]) owner to mesh_definer;
grant execute on function mesh.set_profile(text, text, text[]) to mesh_agent;

create function mesh.get_agent_status(inout agent text default null, out kind text, out status text, out why text, out summary text, out role text, out about text,
  out capabilities text[], out editor text, out cwd text, out host text, out since timestamptz, out unread bigint)
language plpgsql stable set search_path = '' as $$
declare
  _agent_id constant uuid := case when get_agent_status.agent is null then mesh_lib.my_agent()
    else mesh_lib.agent_id_of(mesh_lib.my_mesh(), lower(get_agent_status.agent)) end;
begin
  select a.name, a.kind, p.status, p.why, v.summary, a.role, a.about, a.capabilities, s.editor, s.cwd, s.host, coalesce(greatest(s.opened_at, v.status_at), v.status_at)
  into get_agent_status.agent, get_agent_status.kind, get_agent_status.status, get_agent_status.why, get_agent_status.summary, get_agent_status.role,
    get_agent_status.about, get_agent_status.capabilities, get_agent_status.editor, get_agent_status.cwd, get_agent_status.host, get_agent_status.since
  from mesh_data.agent a
  cross join lateral mesh_lib.peer_status(a.agent_id) p
  left join mesh_data.activity v on v.agent_id = a.agent_id
  left join mesh_data.session s on s.session_id = p.session_id
  where a.agent_id = _agent_id;
  if _agent_id = mesh_lib.my_agent() then
    get_agent_status.unread := mesh_lib.unread();
  end if;
end
$$;
comment on function mesh.get_agent_status is $$---
cli: agent status <agent>
who: agent
---
Tell what one agent is and does: status and why it would be silent, summary, role, what it says of itself, where it runs. Of yourself also how much is unread.
agent: its name, or 8 or more hex digits its key begins with; default yourself.
example: mesh agent status designer$$;
grant execute on function mesh.get_agent_status(text) to mesh_agent;
