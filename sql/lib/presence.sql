-- How an agent is there, from what relays confirmed: one place that knows the limits of DESIGN.

-- online (confirmed within 30 s), reconnecting (within 90 s of the last confirmation), or offline.
create function mesh_lib.presence(connected boolean, confirmed_at timestamptz) returns text
language sql stable return case
    when presence.connected and presence.confirmed_at > mesh_lib.now() - interval '30 seconds' then 'online'
    when presence.confirmed_at > mesh_lib.now() - interval '90 seconds' then 'reconnecting'
    else 'offline'
  end;

-- What an agent is doing, as others see it: offline, dnd, waiting, working or idle. Working decays when nothing was heard
-- of it for ten minutes; dnd is only ever set and cleared by hand.
create function mesh_lib.status(activity mesh_data.activity, waiting_until timestamptz, presence text) returns text
language sql stable return case
    when status.presence = 'offline' then 'offline'
    when (status.activity).status = 'dnd' then 'dnd'
    when status.waiting_until > mesh_lib.now() then 'waiting'
    when (status.activity).status = 'working' and greatest((status.activity).status_at, (status.activity).heard_at) > mesh_lib.now() - interval '10 minutes' then 'working'
    else 'idle'
  end;

-- Why an agent would be silent; null when it would not.
create function mesh_lib.why_silent(kind text, joined boolean, session_id uuid, heard_at timestamptz, presence text, status text) returns text
language sql stable return case
    when why_silent.presence = 'online' then case why_silent.status when 'dnd' then 'does not want to be disturbed' when 'working' then 'is working' end
    when why_silent.kind = 'person' and why_silent.presence = 'offline' then 'a person: reads mail with mesh inbox'
    when not why_silent.joined then 'nobody has joined as this agent yet'
    when why_silent.session_id is null then 'no window is open'
    when why_silent.presence = 'offline' then 'its window has been silent since ' || to_char(why_silent.heard_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
    else 'its window is reconnecting'
  end;

-- All of it for one agent.
create function mesh_lib.peer_status(agent_id uuid, out status text, out why text, out session_id uuid, out online boolean)
language sql stable set search_path = '' as $$
  select t.status, mesh_lib.why_silent(a.kind, a.identity_key is not null, s.session_id, coalesce(p.confirmed_at, s.opened_at), x.presence, t.status), s.session_id, x.presence = 'online'
  from mesh_data.agent a
  left join mesh_data.activity v on v.agent_id = a.agent_id
  left join mesh_data.session s on s.agent_id = a.agent_id and s.ended_at is null
  left join mesh_data.presence p on p.session_id = s.session_id
  cross join lateral (select mesh_lib.presence(p.connected, p.confirmed_at) as presence) x
  cross join lateral (select mesh_lib.status(v, p.waiting_until, x.presence) as status) t
  where a.agent_id = peer_status.agent_id
$$;
