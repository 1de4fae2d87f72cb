-- What an agent needs to know when its window opens: one call, at most 16 KiB whatever the mesh holds. Each part has its share
-- of that; what is left out is counted in `more`, and the call that lists it has the rest.

create function mesh.catch_up(out agent text, out mesh text, out role text, out since timestamptz, out unread json, out peers json, out tasks json,
  out free_tasks json, out state json, out memories json, out private_memories json, out claims json, out more json, out next text)
language plpgsql stable set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _parts json;
begin
  select a.name, m.name, mesh_lib.one_line(a.role, 100), mesh_lib.left_at(_me) into catch_up.agent, catch_up.mesh, catch_up.role, catch_up.since
  from mesh_data.agent a join mesh_data.mesh m on m.mesh_id = a.mesh_id where a.agent_id = _me.agent_id;
  catch_up.unread := mesh_lib.unread_by();
  select json_object_agg(p.name, f.shown), json_object_agg(p.name, f.left_out) filter (where f.left_out > 0) into _parts, catch_up.more
  from (values
    ('peers', array(select mesh_lib.peers_at_a_glance(_me)), 3600),
    ('tasks', array(select mesh_lib.own_tasks(_me)), 1800),
    ('free_tasks', array(select mesh_lib.free_tasks(_me)), 1400),
    ('state', array(select mesh_lib.changed_state(_me, catch_up.since)), 2600),
    ('memories', array(select mesh_lib.newest_keys(_me.mesh_id)), 1800),
    ('private_memories', array(select mesh_lib.newest_keys(_me.agent_id)), 800),
    ('claims', array(select mesh_lib.claims_at_a_glance(_me)), 1600)) p (name, items, bytes)
  cross join lateral mesh_lib.fitting(p.items, p.bytes) f;
  catch_up.peers := _parts -> 'peers';
  catch_up.tasks := _parts -> 'tasks';
  catch_up.free_tasks := _parts -> 'free_tasks';
  catch_up.state := _parts -> 'state';
  catch_up.memories := _parts -> 'memories';
  catch_up.private_memories := _parts -> 'private_memories';
  catch_up.claims := _parts -> 'claims';
  catch_up.next := case
    when (catch_up.unread ->> 'total')::bigint > 0 then 'mesh inbox'
    when json_array_length(catch_up.tasks) > 0 then format('mesh task show %s', catch_up.tasks #>> '{0,task}')
    when json_array_length(catch_up.free_tasks) > 0 then 'mesh task claim'
  end;
end
$$;
comment on function mesh.catch_up is $$---
cli: catch-up <mesh>
alias: catchup
who: agent
mcp: core
---
Tell all an agent needs at the start of a session, in one call and at most 16 KiB: who you are, your unread mail, who is there, your tasks and those you may claim, what state changed since you left, the keys of memories (recall reads them), and claims on paths in force.
`since` is when your last window was closed or lost, else a day ago. `more` counts what each list leaves out, up to 200 or so: list_peers, list_tasks, list_state, recall and list_claims have it. Of a value of state with more than 200 bytes the beginning is there, of a claim the first five patterns: get_state and list_claims have all of it.
example: mesh catch-up$$;
grant execute on function mesh.catch_up() to mesh_agent;

-- The first of some items that together have at most so many bytes as JSON, and how many are left out.
create function mesh_lib.fitting(items json[], bytes integer, out shown json, out left_out bigint)
language sql immutable set search_path = '' as $$
  select coalesce(json_agg(s.item order by s.n) filter (where s.bytes <= fitting.bytes), '[]'), count(*) filter (where s.bytes > fitting.bytes)
  from (
    select u.item, u.n, sum(octet_length(u.item::text) + 2) over (order by u.n) as bytes
    from unnest(fitting.items) with ordinality u (item, n)
  ) s
$$;

-- When the caller's last window but this one was closed or last heard of; at most, when that was opened. Else a day ago.
create function mesh_lib.left_at(me mesh_lib.identity) returns timestamptz
language sql stable set search_path = '' as $$
  select coalesce((
    select case when s.ended_why = 'the window was closed' then s.ended_at else coalesce(p.confirmed_at, s.opened_at) end
    from mesh_data.session s left join mesh_data.presence p on p.session_id = s.session_id
    where s.mesh_id = (left_at.me).mesh_id and s.agent_id = (left_at.me).agent_id and s.ended_at is not null
      and s.session_id is distinct from (left_at.me).session_id
    order by s.ended_at desc limit 1), mesh_lib.now() - interval '1 day')
$$;

-- How much mail the caller has, from whom and in which rooms: those with most of it.
create function mesh_lib.unread_by() returns json
language sql stable set search_path = '' as $$
  with mail as materialized (
    select d.sender_agent_id, d.message_id from mesh_data.delivery d
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and d.claimant_id is distinct from (select mesh_lib.claimant())
      and mesh_lib.is_due(d.due_at, d.expires_at)
  )
  select json_build_object('total', (select count(*) from mail),
    'from', coalesce((select json_agg(json_build_object('agent', x.name, 'unread', x.n) order by x.n desc, x.name) from (
      select a.name, count(*) as n from mail m join mesh_data.agent a on a.agent_id = m.sender_agent_id group by a.name order by n desc, a.name limit 8) x), '[]'),
    'rooms', coalesce((select json_agg(json_build_object('room', '#' || x.name, 'unread', x.n) order by x.n desc, x.name) from (
      select r.name, count(*) as n from mail m join mesh_data.message g on g.message_id = m.message_id join mesh_data.room r on r.room_id = g.room_id
      group by r.room_id, r.name order by n desc, r.name limit 8) x), '[]'))
$$;

-- The lists are in PL/pgSQL, which keeps their plans.
-- The others, those first who are there.
create function mesh_lib.peers_at_a_glance(me mesh_lib.identity) returns setof json
language plpgsql stable set search_path = '' as $$
begin
  return query
    select json_strip_nulls(json_build_object('agent', a.name, 'kind', nullif(a.kind, 'agent'), 'status', t.status, 'role', mesh_lib.one_line(a.role, 80), 'summary', mesh_lib.one_line(v.summary, 120)))
    from mesh_data.agent a
    left join mesh_data.activity v on v.agent_id = a.agent_id
    left join mesh_data.session s on s.agent_id = a.agent_id and s.ended_at is null
    left join mesh_data.presence p on p.session_id = s.session_id
    cross join lateral (select mesh_lib.presence(p.connected, p.confirmed_at) as presence offset 0) x
    cross join lateral (select mesh_lib.status(v, p.waiting_until, x.presence) as status offset 0) t
    where a.mesh_id = (peers_at_a_glance.me).mesh_id and a.removed_at is null and a.agent_id <> (peers_at_a_glance.me).agent_id
    order by t.status = 'offline', a.name;
end
$$;

-- A task as lists show it.
create function mesh_lib.task_at_a_glance(task mesh_data.task, status text) returns json
language sql stable set search_path = '' as $$
  select json_strip_nulls(json_build_object('task', task.number, 'title', mesh_lib.one_line(task.title, 120), 'status', task_at_a_glance.status,
    'priority', nullif((mesh_lib.task_priorities())[task.priority + 1], 'normal'), 'progress', nullif(task.progress, 0)))
$$;

-- What the caller has claimed, then what was given to it and can be begun or is blocked.
create function mesh_lib.own_tasks(me mesh_lib.identity) returns setof json
language plpgsql stable set search_path = '' as $$
begin
  return query
    select mesh_lib.task_at_a_glance(t, s.status)
    from mesh_data.task t cross join lateral (select mesh_lib.task_status(t) as status offset 0) s
    where t.mesh_id = (own_tasks.me).mesh_id and t.status in ('open', 'claimed')
      and (own_tasks.me).agent_id = coalesce(case when t.status = 'claimed' then t.claimant_agent_id end, t.assignee_agent_id)
      and (s.status <> 'claimed' or t.claimant_agent_id = (own_tasks.me).agent_id)
    order by s.status <> 'claimed', t.priority, t.number;
end
$$;

-- What anybody may claim, up to 200.
create function mesh_lib.free_tasks(me mesh_lib.identity) returns setof json
language plpgsql stable set search_path = '' as $$
begin
  return query
    select mesh_lib.task_at_a_glance(t, null)
    from mesh_data.task t
    where t.mesh_id = (free_tasks.me).mesh_id and t.status in ('open', 'claimed')
      and (t.assignee_agent_id is null or exists (select from mesh_data.agent a where a.agent_id = t.assignee_agent_id and a.removed_at is not null))
      and t.claimant_agent_id is distinct from (free_tasks.me).agent_id and mesh_lib.task_status(t) = 'open'
    order by t.priority, t.number limit 200;
end
$$;

-- What is set or deleted since then, the newest first.
create function mesh_lib.changed_state(me mesh_lib.identity, since timestamptz) returns setof json
language plpgsql stable set search_path = '' as $$
begin
  return query
    select json_build_object('key', s.key,
      'value', case when octet_length(s.value::text) <= 200 then s.value else to_jsonb(left(s.value::text, 100) || '…') end,
      'deleted', s.value is null, 'version', s.version, 'by', a.name, 'changed_at', s.changed_at)
    from mesh_data.state s left join mesh_data.agent a on a.agent_id = s.agent_id
    where s.mesh_id = (changed_state.me).mesh_id and s.changed_at >= changed_state.since
    order by s.changed_at desc, s.key limit 200;
end
$$;

-- Keys of a reader's newest memories.
create function mesh_lib.newest_keys(reader_id uuid) returns setof json
language plpgsql stable set search_path = '' as $$
begin
  return query
    select to_json(m.key)
    from (select m.key, m.remembered_at from mesh_data.memory m where m.reader_id = newest_keys.reader_id order by m.remembered_at desc, m.memory_id desc limit 200) m
    where m.key is not null order by m.remembered_at desc;
end
$$;

-- Claims in force, the caller's own first.
create function mesh_lib.claims_at_a_glance(me mesh_lib.identity) returns setof json
language plpgsql stable set search_path = '' as $$
begin
  return query
    select json_build_object('agent', a.name, 'patterns', c.patterns[:5], 'reason', mesh_lib.one_line(c.reason, 100), 'exclusive', c.exclusive, 'expires_at', c.expires_at)
    from mesh_lib.claims_in_force((claims_at_a_glance.me).mesh_id) c join mesh_data.agent a on a.agent_id = c.agent_id
    order by c.agent_id <> (claims_at_a_glance.me).agent_id, c.token desc;
end
$$;
