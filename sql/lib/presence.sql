-- How an agent is there, from what relays confirmed: one place that knows the limits of DESIGN.

-- online (confirmed within 30 s), reconnecting (within 90 s of the last confirmation), or offline.
create function mesh_lib.presence(connected boolean, confirmed_at timestamptz) returns text
language sql stable set search_path = '' as $$
  select case
    when presence.confirmed_at is null or presence.confirmed_at <= mesh_lib.now() - interval '90 seconds' then 'offline'
    when presence.connected and presence.confirmed_at > mesh_lib.now() - interval '30 seconds' then 'online'
    else 'reconnecting'
  end
$$;

-- What others see of an agent: offline, dnd, waiting, working or idle, and why it would be silent.
create function mesh_lib.peer_status(agent_id uuid, out status text, out why text, out session_id uuid)
language sql stable set search_path = '' as $$
  select case
      when x.presence = 'offline' then 'offline'
      when v.status = 'dnd' then 'dnd'
      when p.waiting_until > mesh_lib.now() then 'waiting'
      else coalesce(v.status, 'idle')
    end,
    case
      when a.kind = 'person' and x.presence = 'offline' then 'a person: reads mail with mesh inbox'
      when a.identity_key is null then 'nobody has joined as this agent yet'
      when s.session_id is null then 'no window is open'
      when x.presence = 'offline' then 'its window has been silent since ' || to_char(coalesce(p.confirmed_at, s.opened_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
      when x.presence = 'reconnecting' then 'its window is reconnecting'
      when v.status = 'dnd' then 'does not want to be disturbed'
    end,
    s.session_id
  from mesh_data.agent a
  left join mesh_data.activity v on v.agent_id = a.agent_id
  left join mesh_data.session s on s.agent_id = a.agent_id and s.ended_at is null
  left join mesh_data.presence p on p.session_id = s.session_id,
  lateral (select mesh_lib.presence(p.connected, p.confirmed_at) as presence) x
  where a.agent_id = peer_status.agent_id
$$;
