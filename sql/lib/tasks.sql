-- Tasks: what the calls of sql/api/task.sql know and do together. A task is open, claimed, completed or failed; an open one is
-- blocked as long as one it depends on is not completed.

-- The words for priorities, from 0 on.
create function mesh_lib.task_priorities() returns text[]
language sql immutable return array['urgent', 'high', 'normal', 'low'];

-- A claim holds this long after its agent was last heard of.
create function mesh_lib.task_lease() returns interval
language sql immutable return interval '10 minutes';

-- A definer: since when relays have looked without a pause of a minute; null when none does. While nobody looked, nobody was
-- heard of.
create function mesh_lib.watched_since() returns timestamptz
language sql stable security definer set search_path = '' as $$
  select w.began_at from mesh_data.watch w where w.looked_at > mesh_lib.now() - interval '1 minute'
$$;
alter function mesh_lib.watched_since() owner to mesh_definer;
grant execute on function mesh_lib.watched_since() to mesh_agent;

-- How long an agent that stays silent from now on keeps what it claimed: -infinity when it was removed, infinity for people, who
-- have no window to be heard of by, and while no relay looks. After a pause of all relays, windows have two minutes to come back.
create function mesh_lib.agent_lease(agent_id uuid) returns timestamptz
language sql stable set search_path = '' as $$
  select case
      when a.removed_at is not null then '-infinity'
      when a.kind = 'person' or w.since is null then 'infinity'
      else greatest(h.heard_at + mesh_lib.task_lease(), w.since + interval '2 minutes')
    end
  from mesh_data.agent a
  cross join lateral (select mesh_lib.watched_since() as since) w
  cross join lateral (
    select greatest(max(p.confirmed_at), max(s.ended_at)) as heard_at
    from mesh_data.session s left join mesh_data.presence p on p.session_id = s.session_id
    where s.mesh_id = a.mesh_id and s.agent_id = a.agent_id
  ) h
  where a.agent_id = agent_lease.agent_id
$$;

-- Who has claimed tasks of a mesh, or of any, with its lease: asked once for each of them, not for each task.
create function mesh_lib.holders(mesh_id uuid default null) returns table (agent_id uuid, lease timestamptz)
language sql stable set search_path = '' as $$
  select c.agent_id, mesh_lib.agent_lease(c.agent_id)
  from (select distinct t.claimant_agent_id as agent_id from mesh_data.task t
    where t.status = 'claimed' and (holders.mesh_id is null or t.mesh_id = holders.mesh_id)) c
$$;

-- When a claim ends, of its agent's lease and its own.
create function mesh_lib.lease_end(of_agent timestamptz, of_task timestamptz) returns timestamptz
language sql immutable return case when lease_end.of_agent = '-infinity' then lease_end.of_agent else greatest(lease_end.of_agent, lease_end.of_task) end;

-- The same of a claimed task.
create function mesh_lib.lease_ends_at(task mesh_data.task) returns timestamptz
language sql stable return mesh_lib.lease_end(mesh_lib.agent_lease((lease_ends_at.task).claimant_agent_id), (lease_ends_at.task).lease_ends_at);

-- Whether somebody has the task: its claim has not ended.
create function mesh_lib.is_held(task mesh_data.task) returns boolean
language sql stable return (is_held.task).status = 'claimed' and coalesce(mesh_lib.lease_ends_at(is_held.task) > mesh_lib.now(), false);

create function mesh_lib.is_blocked(task_id uuid) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from mesh_data.task_dependency d join mesh_data.task o on o.task_id = d.depends_on_task_id
    where d.task_id = is_blocked.task_id and o.status <> 'completed')
$$;

-- As others see it: open, blocked, claimed, completed or failed.
create function mesh_lib.task_status(task mesh_data.task) returns text
language sql stable set search_path = '' as $$
  select case
    when (task_status.task).status in ('completed', 'failed') then (task_status.task).status
    when mesh_lib.is_held(task_status.task) then 'claimed'
    when mesh_lib.is_blocked((task_status.task).task_id) then 'blocked'
    else 'open' end
$$;

-- What an unfinished task waits for, in words; null when for nothing.
create function mesh_lib.waits_for(task_id uuid) returns text
language sql stable set search_path = '' as $$
  select string_agg(format(case o.status when 'failed' then 'task %s failed' else 'waits for task %s' end, o.number), ', '
    order by o.status = 'failed' desc, o.number)
  from mesh_data.task_dependency d join mesh_data.task o on o.task_id = d.depends_on_task_id
  where d.task_id = waits_for.task_id and o.status <> 'completed'
$$;

-- The task of this number in the caller's mesh, or ME404.
create function mesh_lib.task_numbered(number integer) returns mesh_data.task
language plpgsql stable set search_path = '' as $$
declare
  _task mesh_data.task;
begin
  select t.* into _task from mesh_data.task t where t.mesh_id = (select mesh_lib.my_mesh()) and t.number = task_numbered.number;
  if not found then
    perform mesh_lib.fail(404, format('there is no task %s in this mesh', task_numbered.number), 'mesh task list');
  end if;
  return _task;
end
$$;

-- The same, locked; a claim that has ended is taken back first.
create function mesh_lib.task_to_change(number integer) returns mesh_data.task
language plpgsql volatile set search_path = '' as $$
declare
  _task mesh_data.task := mesh_lib.task_numbered(task_to_change.number);
begin
  select t.* into _task from mesh_data.task t where t.task_id = _task.task_id for update;
  if _task.status = 'claimed' and not mesh_lib.is_held(_task) and _task.claimant_agent_id is distinct from mesh_lib.my_agent() then
    _task := mesh_lib.lapse(_task);
  end if;
  return _task;
end
$$;

-- One at a time for a mesh: numbers are given, and what depends on what is judged and answered to, as of now.
create function mesh_lib.lock_tasks() returns void
language sql volatile set search_path = '' as $$ select pg_advisory_xact_lock(hashtextextended('tasks ' || mesh_lib.my_mesh(), 0)) $$;

-- Append to a task's history.
create function mesh_lib.add_step(task mesh_data.task, agent_id uuid, step text, note text) returns void
language sql volatile set search_path = '' as $$
  insert into mesh_data.task_step (task_id, mesh_id, agent_id, step, note, happened_at)
  values ((add_step.task).task_id, (add_step.task).mesh_id, add_step.agent_id, add_step.step, add_step.note, mesh_lib.now())
$$;

-- Called by definers: the claim of a locked task has ended.
create function mesh_lib.lapse(task mesh_data.task) returns mesh_data.task
language plpgsql volatile set search_path = '' as $$
declare
  _task mesh_data.task;
begin
  perform mesh_lib.add_step(lapse.task, (lapse.task).claimant_agent_id, 'lapsed', null);
  update mesh_data.task t set status = 'open', claimant_agent_id = null, claimed_at = null, lease_ends_at = null, changed_at = mesh_lib.now()
  where t.task_id = (lapse.task).task_id returning t.* into _task;
  return _task;
end
$$;

-- Until when a claim holds that is made or renewed now. Who has no window is not heard of otherwise, and has an hour.
create function mesh_lib.first_lease_ends_at() returns timestamptz
language sql stable set search_path = '' as $$
  select mesh_lib.now() + case when exists (
      select from mesh_data.session s join mesh_data.presence p on p.session_id = s.session_id
      where s.agent_id = mesh_lib.my_agent() and s.ended_at is null and p.relay_id is not null and mesh_lib.presence(p.connected, p.confirmed_at) <> 'offline')
    then mesh_lib.task_lease() else interval '1 hour' end
$$;

-- ME409 unless the caller may claim this task, or has it.
create function mesh_lib.must_be_free(task mesh_data.task) returns void
language plpgsql stable set search_path = '' as $$
declare
  _task constant mesh_data.task := must_be_free.task;
  _show constant text := 'mesh task show ' || _task.number;
begin
  if _task.status in ('completed', 'failed') then
    perform mesh_lib.fail(410, format('task %s is %s already', _task.number, _task.status), _show);
  elsif _task.status = 'claimed' and _task.claimant_agent_id <> mesh_lib.my_agent() then
    perform mesh_lib.fail(409, format('%s has task %s since %s UTC', mesh_lib.name_of(_task.claimant_agent_id), _task.number,
      to_char(_task.claimed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')), _show,
      jsonb_build_object('agent', mesh_lib.name_of(_task.claimant_agent_id), 'claimed_at', _task.claimed_at));
  elsif mesh_lib.is_blocked(_task.task_id) then
    perform mesh_lib.fail(409, format('task %s is blocked: %s', _task.number, mesh_lib.waits_for(_task.task_id)), _show,
      jsonb_build_object('depends_on', mesh_lib.tasks_json(mesh_lib.depends_on(_task.task_id))));
  elsif _task.assignee_agent_id <> mesh_lib.my_agent() and not coalesce(mesh_lib.my_mesh() = any (mesh_lib.owned_meshes()), false)
    and exists (select from mesh_data.agent a where a.agent_id = _task.assignee_agent_id and a.removed_at is null) then
    perform mesh_lib.fail(403, format('task %s was given to %s', _task.number, mesh_lib.name_of(_task.assignee_agent_id)), _show);
  end if;
end
$$;

-- The next task the caller may take, locked: what was given to it comes first, then what is most urgent, then what is oldest.
-- What another is just claiming is not waited for. ME404 when there is none. What a task waits for is looked up for it alone,
-- whatever the statistics say: they may be of an hour when there was hardly a task.
create function mesh_lib.next_task() returns mesh_data.task
language plpgsql volatile set search_path = '' set enable_seqscan = off as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _task mesh_data.task;
  _given boolean;
begin
  foreach _given in array array[true, false] loop
    select t.* into _task from mesh_data.task t left join mesh_lib.holders(_me.mesh_id) h on h.agent_id = t.claimant_agent_id
    where t.mesh_id = _me.mesh_id and t.status in ('open', 'claimed')
      and case when _given then t.assignee_agent_id = _me.agent_id else t.assignee_agent_id is null
        or exists (select from mesh_data.agent a where a.agent_id = t.assignee_agent_id and a.removed_at is not null) end
      -- Who has claimed it meanwhile is no holder known here.
      and (t.status = 'open' or mesh_lib.lease_end(h.lease, t.lease_ends_at) <= mesh_lib.now() and h.agent_id is not null)
      and not exists (select from mesh_data.task_dependency d
        where d.task_id = t.task_id and (select o.status from mesh_data.task o where o.task_id = d.depends_on_task_id) <> 'completed' offset 0)
    order by t.priority, t.number limit 1 for update of t skip locked;
    if found then
      return case _task.status when 'open' then _task else mesh_lib.lapse(_task) end;
    end if;
  end loop;
  perform mesh_lib.fail(404, 'there is no task now that you could claim', 'mesh task list');
  return null;
end
$$;

-- Called by the tick: says that a relay looks, takes back what is claimed by agents that are gone, and forgets claims on paths
-- that are long over. Every 15 s, by one relay, and waits for nobody.
create function mesh_lib.look_after_tasks() returns void
language plpgsql volatile set search_path = '' as $$
declare
  _task mesh_data.task;
begin
  perform from mesh_data.watch w where w.looked_at <= mesh_lib.now() - interval '15 seconds' for update skip locked;
  if not found then
    return;
  end if;
  update mesh_data.watch w set looked_at = mesh_lib.now(),
    began_at = case when w.looked_at > mesh_lib.now() - interval '1 minute' then w.began_at else mesh_lib.now() end;
  for _task in
    select t.* from mesh_data.task t join mesh_lib.holders() h on h.agent_id = t.claimant_agent_id
    where t.status = 'claimed' and mesh_lib.lease_end(h.lease, t.lease_ends_at) <= mesh_lib.now()
    limit 1000 for update of t skip locked
  loop
    perform mesh_lib.lapse(_task);
  end loop;
  delete from mesh_data.claim c where c.claim_id in (
    select o.claim_id from mesh_data.claim o where o.expires_at < mesh_lib.now() - interval '7 days' limit 1000 for update skip locked);
end
$$;

-- The tasks a task is to depend on, or ME404, ME413.
create function mesh_lib.dependencies(numbers integer[]) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  _numbers constant integer[] := array(select distinct n from unnest(dependencies.numbers) n);
  _missing integer[];
begin
  if cardinality(_numbers) > 50 then
    perform mesh_lib.fail(413, 'a task depends on at most 50 others', '');
  end if;
  _missing := array(select n from unnest(_numbers) n where not exists (
    select from mesh_data.task t where t.mesh_id = (select mesh_lib.my_mesh()) and t.number = n) order by n);
  if cardinality(_missing) > 0 then
    perform mesh_lib.fail(404, format('there is no task %s in this mesh', array_to_string(_missing, ', ')), 'mesh task list');
  end if;
  return array(select t.task_id from mesh_data.task t where t.mesh_id = (select mesh_lib.my_mesh()) and t.number = any (_numbers));
end
$$;

-- Called under lock_tasks: a task depends on these from now on, or ME409 when one of them depends on it.
create function mesh_lib.set_dependencies(task mesh_data.task, others uuid[]) returns void
language plpgsql volatile set search_path = '' as $$
declare
  _task constant mesh_data.task := set_dependencies.task;
  _waiting integer;
begin
  -- Of the two ways round this is the shorter: nothing waits for a new task.
  with recursive waiting (task_id) as (
    select _task.task_id
    union
    select d.task_id from waiting w join mesh_data.task_dependency d on d.depends_on_task_id = w.task_id
  )
  select t.number into _waiting from waiting w join mesh_data.task t on t.task_id = w.task_id
  where w.task_id = any (set_dependencies.others) order by t.number limit 1;
  if found then
    perform mesh_lib.fail(409, case when _waiting = _task.number then format('task %s cannot wait for itself', _task.number)
      else format('task %s waits for task %s already, or for one that does: they would wait for each other', _waiting, _task.number) end,
      'mesh task show ' || _waiting);
  end if;
  delete from mesh_data.task_dependency d where d.task_id = _task.task_id and d.depends_on_task_id <> all (set_dependencies.others);
  insert into mesh_data.task_dependency (task_id, depends_on_task_id, mesh_id)
  select _task.task_id, o, _task.mesh_id from unnest(set_dependencies.others) o on conflict do nothing;
end
$$;

-- The tasks of the caller's mesh that are wanted, as others see them: what is to be done in the order it is to be done; or what
-- is finished, or all, the newest first. mesh.list_tasks says what the arguments mean.
create function mesh_lib.tasks_to_list(wanted text, agent text, tag text, at_most integer, after uuid)
returns table (ordinal bigint, task_id uuid, status text)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  _mesh constant uuid := mesh_lib.my_mesh();
  _wanted constant text := lower(btrim(tasks_to_list.wanted));
  _agent constant uuid := case when tasks_to_list.agent is not null then mesh_lib.agent_id_of(_mesh, lower(btrim(tasks_to_list.agent))) end;
  _tag constant text := ltrim(lower(btrim(tasks_to_list.tag)), '#');
  _to_do constant boolean := coalesce(_wanted in ('open', 'blocked', 'claimed'), true);
  _after mesh_data.task;
begin
  if tasks_to_list.at_most not between 1 and 1000 then
    perform mesh_lib.fail(400, 'limit is 1 to 1,000', '');
  elsif _wanted not in ('open', 'blocked', 'claimed', 'completed', 'failed', 'all') then
    perform mesh_lib.fail(400, 'the status of a task is open, blocked, claimed, completed or failed; or all', '');
  end if;
  if tasks_to_list.after is not null then
    select t.* into _after from mesh_data.task t where t.task_id = tasks_to_list.after and t.mesh_id = _mesh;
    if not found then
      perform mesh_lib.fail(404, 'there is no such task to go on after', 'mesh task list');
    end if;
  end if;
  return query
    with listed as (
      select t.task_id, t.number, case when _to_do then t.priority end as priority,
        case when t.status in ('completed', 'failed') then t.status
          when t.status = 'claimed' and mesh_lib.lease_end(h.lease, t.lease_ends_at) > mesh_lib.now() then 'claimed'
          when exists (select from mesh_data.task_dependency d
            where d.task_id = t.task_id and (select o.status from mesh_data.task o where o.task_id = d.depends_on_task_id) <> 'completed' offset 0) then 'blocked'
          else 'open' end as status
      from (
        select u.* from mesh_data.task u where _to_do and u.mesh_id = _mesh and u.status in ('open', 'claimed')
        union all
        select f.* from mesh_data.task f where not _to_do and f.mesh_id = _mesh and _wanted in (f.status, 'all')
      ) t
      left join mesh_lib.holders(_mesh) h on h.agent_id = t.claimant_agent_id
      where (_agent is null or _agent in (t.assignee_agent_id, t.claimant_agent_id)) and (_tag is null or _tag = any (t.tags))
        and (_after.task_id is null or case when _to_do then (t.priority, t.number) > (_after.priority, _after.number) else t.number < _after.number end)
    )
    select row_number() over (), l.task_id, l.status
    from (
      select l.* from listed l where _wanted is null or _wanted = 'all' or l.status = _wanted
      order by l.priority, case when _to_do then l.number else -l.number end limit tasks_to_list.at_most
    ) l;
end
$$;

-- A priority as it is stored, or ME400.
create function mesh_lib.task_priority(word text) returns smallint
language plpgsql immutable set search_path = '' as $$
declare
  _priority constant integer := array_position(mesh_lib.task_priorities(), lower(btrim(coalesce(task_priority.word, 'normal')))) - 1;
begin
  if _priority is null then
    perform mesh_lib.fail(400, 'the priority of a task is urgent, high, normal or low', '');
  end if;
  return _priority;
end
$$;

-- ME403 unless the task is the caller's: it has claimed it, or owns the mesh. ME410 when it is finished; ME409 when nobody has it.
create function mesh_lib.must_have(task mesh_data.task) returns void
language plpgsql stable set search_path = '' as $$
declare
  _number constant integer := (must_have.task).number;
begin
  if (must_have.task).status in ('completed', 'failed') then
    perform mesh_lib.fail(410, format('task %s is %s already', _number, (must_have.task).status), 'mesh task show ' || _number);
  elsif (must_have.task).claimant_agent_id = mesh_lib.my_agent() or coalesce(mesh_lib.my_mesh() = any (mesh_lib.owned_meshes()), false) then
    return;
  elsif (must_have.task).status = 'claimed' then
    perform mesh_lib.fail(403,
      format('%s has task %s: only it, or the owner of the mesh, may do that', mesh_lib.name_of((must_have.task).claimant_agent_id), _number),
      'mesh task show ' || _number);
  end if;
  perform mesh_lib.fail(409, format('nobody has task %s now: claim it first', _number), 'mesh task claim ' || _number);
end
$$;

create function mesh_lib.name_of(agent_id uuid) returns text
language sql stable set search_path = '' as $$ select a.name from mesh_data.agent a where a.agent_id = name_of.agent_id $$;

-- Tasks as JSON: number, title, status and the first 2,000 characters of the result; the first 100 of them.
create function mesh_lib.tasks_json(task_ids uuid[]) returns json
language sql stable set search_path = '' as $$
  select coalesce(json_agg(json_build_object('task', t.number, 'title', t.title, 'status', mesh_lib.task_status(t),
    'result', case when length(t.result) > 2000 then left(t.result, 2000) || '…' else t.result end) order by t.number), '[]')
  from mesh_data.task t
  where t.task_id in (select o.task_id from mesh_data.task o where o.task_id = any (tasks_json.task_ids) order by o.number limit 100)
$$;

create function mesh_lib.depends_on(task_id uuid) returns uuid[]
language sql stable set search_path = '' as $$ select array(select d.depends_on_task_id from mesh_data.task_dependency d where d.task_id = depends_on.task_id) $$;

create function mesh_lib.needed_by(task_id uuid) returns uuid[]
language sql stable set search_path = '' as $$ select array(select d.task_id from mesh_data.task_dependency d where d.depends_on_task_id = needed_by.task_id) $$;

-- What was done to a task: the latest 100 steps, in order.
create function mesh_lib.task_history(task_id uuid) returns json
language sql stable set search_path = '' as $$
  select coalesce(json_agg(json_build_object('step', s.step, 'agent', a.name, 'note', s.note, 'happened_at', s.happened_at) order by s.ordinal), '[]')
  from (select h.* from mesh_data.task_step h where h.task_id = task_history.task_id order by h.ordinal desc limit 100) s
  left join mesh_data.agent a on a.agent_id = s.agent_id
$$;

-- Whether the caller has finished the task so: what is said again is answered again.
create function mesh_lib.is_finished(task mesh_data.task, status text, result text) returns boolean
language sql stable set search_path = '' as $$
  select (is_finished.task).status = is_finished.status and (is_finished.task).result = is_finished.result and exists (
    select from mesh_data.task_step s
    where s.task_id = (is_finished.task).task_id and s.step = is_finished.status and s.agent_id = (select mesh_lib.my_agent()))
$$;

-- Called by definers, for a locked task that is the caller's: it ends as completed or failed. Tells who made it and who had it,
-- and whoever has to do with what waited for it: each agent once.
create function mesh_lib.finish_task(task mesh_data.task, status text, result text, out free integer[], out notices json)
language plpgsql volatile set search_path = '' as $$
declare
  _me constant uuid := mesh_lib.my_agent();
  _task mesh_data.task;
  _what text;
  _next record;
begin
  update mesh_data.task t
  set status = finish_task.status, result = finish_task.result, finished_at = mesh_lib.now(), changed_at = mesh_lib.now(), lease_ends_at = null,
    progress = case finish_task.status when 'completed' then 100 else t.progress end
  where t.task_id = (finish_task.task).task_id returning t.* into _task;
  perform mesh_lib.add_step(_task, _me, finish_task.status, finish_task.result);
  notices := mesh_lib.notify_agents(array[_task.created_by_agent_id, _task.claimant_agent_id], _task.room_id,
    format('task %s %s: %s (%s: %s)', _task.number, _task.status, _task.title, mesh_lib.name_of(_me), mesh_lib.shortened(_task.result)),
    jsonb_build_object('task', _task.number, 'step', _task.status));
  free := case _task.status when 'completed' then array(
    select t.number from mesh_data.task t
    where t.task_id = any (mesh_lib.needed_by(_task.task_id)) and t.status = 'open' and not mesh_lib.is_blocked(t.task_id) order by t.number) end;
  _what := case _task.status when 'completed' then 'can begin' else format('blocked by task %s, which failed', _task.number) end;
  for _next in
    select u.agent_id, array_agg(distinct t.number order by t.number) as numbers, min(t.title) as title
    from mesh_data.task t
    cross join lateral unnest(array[t.assignee_agent_id, case _task.status when 'failed' then t.created_by_agent_id end]) u (agent_id)
    where t.task_id = any (mesh_lib.needed_by(_task.task_id)) and t.status = 'open' and (_task.status = 'failed' or t.number = any (free))
      and u.agent_id is not null
    group by u.agent_id order by u.agent_id
  loop
    notices := (notices::jsonb || mesh_lib.notify_agents(array[_next.agent_id], null,
      case cardinality(_next.numbers) when 1 then format('task %s %s: %s', _next.numbers[1], _what, _next.title)
        else format('tasks %s%s %s', array_to_string(_next.numbers[:20], ', '), case when cardinality(_next.numbers) > 20 then ' and more' else '' end, _what) end,
      jsonb_build_object('tasks', to_jsonb(_next.numbers[:20]), 'step', case _task.status when 'completed' then 'free' else 'blocked' end))::jsonb)::json;
  end loop;
end
$$;

-- The beginning of a text, on one line.
create function mesh_lib.shortened(value text) returns text
language sql immutable set search_path = '' as $$
  select case when length(v.line) > 300 then left(v.line, 299) || '…' else v.line end from (select regexp_replace(shortened.value, '\s+', ' ', 'g') as line) v
$$;
