-- Tasks: the list of work of a mesh. Everybody in it sees all of them; who works on one has claimed it, alone.

grant select on mesh_data.task, mesh_data.task_dependency, mesh_data.task_step to mesh_agent;
create policy task_select on mesh_data.task for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy task_dependency_select on mesh_data.task_dependency for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy task_step_select on mesh_data.task_step for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));

-- A definer: mesh_agent writes no task, or it could write over one that another has claimed. So are all below that write.
create function mesh.create_task(inout title text, details text default null, inout assignee text default null, inout priority text default 'normal',
  inout tags text[] default null, depends_on integer[] default null, inout room text default null, request_id mesh.request_id default null,
  out task integer, out task_id uuid, out status text, out why text, out notices json, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _title constant text := mesh_lib.checked_text(create_task.title, 'the title', 200);
  _details constant text := mesh_lib.checked_text(create_task.details, 'the details', 20000, true);
  _priority constant smallint := mesh_lib.task_priority(create_task.priority);
  _tags constant text[] := mesh_lib.checked_tags(create_task.tags);
  _waits_for constant text := 'depends on ' || (select string_agg(n::text, ', ' order by n) from (select distinct unnest(create_task.depends_on) as n) d);
  _assignee constant uuid := case when create_task.assignee is not null then mesh_lib.agent_id_of(_me.mesh_id, lower(btrim(create_task.assignee))) end;
  _room_id constant uuid := case when create_task.room is not null then (mesh_lib.room_named(_me.mesh_id, create_task.room)).room_id end;
  _task mesh_data.task;
begin
  if _title is null then
    perform mesh_lib.fail(400, 'a task has a title', 'mesh task create --help');
  end if;
  perform mesh_lib.lock_tasks();
  select t.* into _task from mesh_data.task t
  where t.mesh_id = _me.mesh_id and t.created_by_agent_id = _me.agent_id and t.request_id = create_task.request_id;
  if found then
    -- What it depends on may have changed since; its first step says what that was.
    if row(_task.title, _task.details, _task.priority, _task.tags, _task.assignee_agent_id, _task.room_id) is distinct from
        row(_title, _details, _priority, _tags, _assignee, _room_id)
      or (select s.note from mesh_data.task_step s where s.task_id = _task.task_id and s.step = 'created') is distinct from _waits_for
    then
      perform mesh_lib.fail(409, 'this request_id was used for another task', 'mesh task show ' || _task.number, jsonb_build_object('task', _task.number));
    end if;
  else
    if (select count(*) from mesh_data.task t where t.mesh_id = _me.mesh_id and t.status in ('open', 'claimed')) >= 10000 then
      perform mesh_lib.fail(429, 'a mesh can have 10,000 unfinished tasks at most', 'mesh task list');
    end if;
    if _room_id is not null then
      -- Only who may speak there has it told something.
      perform mesh_lib.room_recipients(_me, create_task.room);
    end if;
    insert into mesh_data.task as t (task_id, mesh_id, number, title, details, priority, tags, room_id, request_id, created_by_agent_id, created_at,
      assignee_agent_id, changed_at)
    values (mesh_lib.new_id(), _me.mesh_id, coalesce((select max(n.number) from mesh_data.task n where n.mesh_id = _me.mesh_id), 0) + 1, _title, _details,
      _priority, _tags, _room_id, create_task.request_id, _me.agent_id, mesh_lib.now(), _assignee, mesh_lib.now())
    returning t.* into _task;
    perform mesh_lib.set_dependencies(_task, mesh_lib.dependencies(create_task.depends_on));
    perform mesh_lib.add_step(_task, _me.agent_id, 'created', _waits_for);
    create_task.notices := mesh_lib.notify_agents(array[_assignee], _room_id,
      format('task %s was %s: %s', _task.number, case when _assignee is null then 'created' when _room_id is null then 'given to you'
        else 'given to ' || mesh_lib.name_of(_assignee) end, _task.title),
      jsonb_build_object('task', _task.number, 'step', 'created'));
  end if;
  create_task.task := _task.number;
  create_task.task_id := _task.task_id;
  create_task.title := _task.title;
  create_task.assignee := mesh_lib.name_of(_task.assignee_agent_id);
  create_task.priority := (mesh_lib.task_priorities())[_task.priority + 1];
  create_task.tags := _task.tags;
  create_task.room := mesh_lib.room_address(_task.room_id);
  create_task.status := mesh_lib.task_status(_task);
  create_task.why := mesh_lib.waits_for(_task.task_id);
  create_task.next := format('mesh task %s %s', case when create_task.status = 'open' and coalesce(_task.assignee_agent_id = _me.agent_id, true)
    then 'claim' else 'show' end, _task.number);
end
$$;
comment on function mesh.create_task is $$---
cli: task create <title>
alias: task add
who: agent
mcp: core
---
Create a task, for whoever claims it or for one agent. It gets a number by which everybody in the mesh knows it.
title: what is to be done, in a line of up to 200 characters.
details: all one has to know to do it, up to 20,000 characters; default none.
assignee: the agent who is to do it, and hears so; default anybody.
priority: urgent, high, normal or low; default normal.
tags: words to find it by, up to 20; default none.
depends_on: numbers of tasks that are to be completed before this can be claimed, up to 50; default none.
room: a room that is told of it now, and when it ends; you are in it. Default none.
request_id: names this call, so that it makes one task however often it is run; another task with it is ME409. The client fills it in.
example: mesh task create "port the header to the new grid" --assignee designer --priority high
example: mesh task create "release 1.2" --depends-on 12,13 --room '#release'$$;
alter function mesh.create_task(text, text, text, text, text[], integer[], text, mesh.request_id) owner to mesh_definer;
grant execute on function mesh.create_task(text, text, text, text, text[], integer[], text, mesh.request_id) to mesh_agent;

create function mesh.claim_task(inout task integer default null, out task_id uuid, out title text, out details text, out priority text, out tags text[],
  out room text, out created_by text, out progress smallint, out depends_on json, out history json, out lease_ends_at timestamptz, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _task mesh_data.task;
begin
  if claim_task.task is not null then
    _task := mesh_lib.task_to_change(claim_task.task);
    perform mesh_lib.must_be_free(_task);
  else
    _task := mesh_lib.next_task();
  end if;
  if _task.status = 'open' then
    perform mesh_lib.add_step(_task, _me.agent_id, 'claimed', null);
  end if;
  update mesh_data.task t
  set status = 'claimed', claimant_agent_id = _me.agent_id, claimed_at = coalesce(t.claimed_at, mesh_lib.now()),
    lease_ends_at = mesh_lib.first_lease_ends_at(), changed_at = mesh_lib.now()
  where t.task_id = _task.task_id returning t.* into _task;
  claim_task.task := _task.number;
  claim_task.task_id := _task.task_id;
  claim_task.title := _task.title;
  claim_task.details := _task.details;
  claim_task.priority := (mesh_lib.task_priorities())[_task.priority + 1];
  claim_task.tags := _task.tags;
  claim_task.room := mesh_lib.room_address(_task.room_id);
  claim_task.created_by := mesh_lib.name_of(_task.created_by_agent_id);
  claim_task.progress := _task.progress;
  claim_task.depends_on := mesh_lib.tasks_json(mesh_lib.depends_on(_task.task_id));
  claim_task.history := mesh_lib.task_history(_task.task_id);
  claim_task.lease_ends_at := nullif(mesh_lib.lease_ends_at(_task), 'infinity');
  claim_task.next := format('mesh task complete %s "…"', _task.number);
end
$$;
comment on function mesh.claim_task is $$---
cli: task claim <task>
who: agent
mcp: core
---
Claim a task, so that you and nobody else work on it: of many who claim one, one gets it.
Claiming what you have already renews the claim.
The claim holds while your window is online, and for 10 minutes after it was last heard of; without a window for an hour after each claim_task and update_task. Then the task is open again. People keep what they claimed.
task: its number; default the next you may take: first what was given to you, then the most urgent, then the oldest.
example: mesh task claim
example: mesh task claim 12$$;
alter function mesh.claim_task(integer) owner to mesh_definer;
grant execute on function mesh.claim_task(integer) to mesh_agent;

create function mesh.update_task(inout task integer, inout progress integer default null, note text default null, inout depends_on integer[] default null,
  out status text, out why text, out lease_ends_at timestamptz)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _note constant text := mesh_lib.checked_text(update_task.note, 'the note', 2000, true);
  _owns constant boolean := coalesce(_me.mesh_id = any (mesh_lib.owned_meshes()), false);
  _task mesh_data.task;
begin
  if num_nonnulls(update_task.progress, _note, update_task.depends_on) = 0 then
    perform mesh_lib.fail(400, 'say what is new: progress, a note, or what it depends on', 'mesh task update --help');
  elsif update_task.progress not between 0 and 100 then
    perform mesh_lib.fail(400, 'progress is 0 to 100, in percent', '');
  end if;
  if update_task.depends_on is not null then
    perform mesh_lib.lock_tasks();
  end if;
  _task := mesh_lib.task_to_change(update_task.task);
  if (select count(*) from mesh_data.task_step s where s.task_id = _task.task_id) >= 1000 then
    perform mesh_lib.fail(429, 'the history of a task can have 1,000 steps at most', 'mesh task show ' || _task.number);
  end if;
  if update_task.progress is not null then
    perform mesh_lib.must_have(_task);
  end if;
  if update_task.depends_on is not null then
    if _task.created_by_agent_id <> _me.agent_id and not _owns then
      perform mesh_lib.fail(403, format('only %s, who made task %s, or the owner of the mesh, says what it depends on',
        mesh_lib.name_of(_task.created_by_agent_id), _task.number), 'mesh task show ' || _task.number);
    elsif _task.status <> 'open' then
      perform mesh_lib.fail(409, format('task %s is %s: what it depends on matters no more', _task.number, _task.status), 'mesh task show ' || _task.number);
    end if;
    perform mesh_lib.set_dependencies(_task, mesh_lib.dependencies(update_task.depends_on));
  end if;
  perform mesh_lib.add_step(_task, _me.agent_id, 'updated', concat_ws(': ', update_task.progress || ' %',
    'depends on ' || coalesce(nullif(array_to_string(update_task.depends_on, ', '), ''), case when update_task.depends_on is not null then 'nothing' end), _note));
  update mesh_data.task t
  set progress = coalesce(update_task.progress, t.progress), changed_at = mesh_lib.now(),
    lease_ends_at = case when t.status = 'claimed' and t.claimant_agent_id = _me.agent_id then mesh_lib.first_lease_ends_at() else t.lease_ends_at end
  where t.task_id = _task.task_id returning t.* into _task;
  update_task.progress := _task.progress;
  update_task.depends_on := array(select t.number from mesh_data.task t where t.task_id = any (mesh_lib.depends_on(_task.task_id)) order by t.number);
  update_task.status := mesh_lib.task_status(_task);
  update_task.why := case when update_task.status = 'blocked' then mesh_lib.waits_for(_task.task_id) end;
  update_task.lease_ends_at := case when update_task.status = 'claimed' then nullif(mesh_lib.lease_ends_at(_task), 'infinity') end;
end
$$;
comment on function mesh.update_task is $$---
cli: task update <task>
who: agent
---
Say how a task you have gets on, or note something about any task. What you have is renewed by it.
task: its number.
progress: how much is done, 0 to 100 percent: of a task you have.
note: what others should know, up to 2,000 characters; it is kept in the task's history.
depends_on: numbers of all the tasks it waits for from now on, up to 50: of an open task you made; an empty list for none.
example: mesh task update 12 --progress 40 --note "the grid is in, the menu is next"$$;
alter function mesh.update_task(integer, integer, text, integer[]) owner to mesh_definer;
grant execute on function mesh.update_task(integer, integer, text, integer[]) to mesh_agent;

create function mesh.complete_task(inout task integer, inout result text, out status text, out finished_at timestamptz, out free integer[],
  out notices json, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _result constant text := mesh_lib.checked_text(complete_task.result, 'the result', 20000, true);
  _task mesh_data.task;
begin
  if _result is null then
    perform mesh_lib.fail(400, 'say what came out of it', 'mesh task complete --help');
  end if;
  perform mesh_lib.lock_tasks();
  _task := mesh_lib.task_to_change(complete_task.task);
  if not mesh_lib.is_finished(_task, 'completed', _result) then
    perform mesh_lib.must_have(_task);
    if mesh_lib.task_status(_task) = 'blocked' then
      perform mesh_lib.fail(409, format('task %s is blocked: %s', _task.number, mesh_lib.waits_for(_task.task_id)), 'mesh task show ' || _task.number);
    end if;
    select f.free, f.notices into complete_task.free, complete_task.notices from mesh_lib.finish_task(_task, 'completed', _result) f;
  end if;
  _task := mesh_lib.task_numbered(complete_task.task);
  complete_task.result := _task.result;
  complete_task.status := _task.status;
  complete_task.finished_at := _task.finished_at;
  complete_task.next := 'mesh task claim';
end
$$;
comment on function mesh.complete_task is $$---
cli: task complete <task> <result>
alias: task done
who: agent
mcp: core
---
Complete a task you have. Who made it hears of it, so does its room, and tasks that waited for it alone can begin.
task: its number.
result: what came out of it, up to 20,000 characters.
example: mesh task complete 12 "the header is on the new grid, see branch header"$$;
alter function mesh.complete_task(integer, text) owner to mesh_definer;
grant execute on function mesh.complete_task(integer, text) to mesh_agent;

create function mesh.fail_task(inout task integer, inout reason text, out status text, out finished_at timestamptz, out notices json, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _reason constant text := mesh_lib.checked_text(fail_task.reason, 'the reason', 500);
  _task mesh_data.task;
begin
  if _reason is null then
    perform mesh_lib.fail(400, 'say why it failed', 'mesh task fail --help');
  end if;
  perform mesh_lib.lock_tasks();
  _task := mesh_lib.task_to_change(fail_task.task);
  if not mesh_lib.is_finished(_task, 'failed', _reason) then
    perform mesh_lib.must_have(_task);
    fail_task.notices := (mesh_lib.finish_task(_task, 'failed', _reason)).notices;
  end if;
  _task := mesh_lib.task_numbered(fail_task.task);
  fail_task.reason := _task.result;
  fail_task.status := _task.status;
  fail_task.finished_at := _task.finished_at;
  fail_task.next := 'mesh task show ' || _task.number;
end
$$;
comment on function mesh.fail_task is $$---
cli: task fail <task> <reason>
who: agent
---
Fail a task you have: it cannot be done. Who made it hears of it, and tasks that wait for it stay blocked. To leave it to others, release it.
task: its number.
reason: why, up to 500 characters.
example: mesh task fail 12 "the design is not there"$$;
alter function mesh.fail_task(integer, text) owner to mesh_definer;
grant execute on function mesh.fail_task(integer, text) to mesh_agent;

create function mesh.release_task(inout task integer, reason text default null, out status text, out notices json, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _reason constant text := mesh_lib.checked_text(release_task.reason, 'the reason', 500);
  _held mesh_data.task;
  _task mesh_data.task;
begin
  _held := mesh_lib.task_to_change(release_task.task);
  perform mesh_lib.must_have(_held);
  if _held.status <> 'claimed' then
    perform mesh_lib.fail(409, format('nobody has task %s', _held.number), 'mesh task show ' || _held.number);
  end if;
  update mesh_data.task t
  set status = 'open', claimant_agent_id = null, claimed_at = null, lease_ends_at = null, assignee_agent_id = null, changed_at = mesh_lib.now()
  where t.task_id = _held.task_id returning t.* into _task;
  perform mesh_lib.add_step(_task, _me.agent_id, 'released', _reason);
  release_task.notices := mesh_lib.notify_agents(array[_task.created_by_agent_id, _held.claimant_agent_id], _task.room_id,
    format('task %s is open again: %s (%s%s)', _task.number, _task.title, mesh_lib.name_of(_me.agent_id), ': ' || _reason),
    jsonb_build_object('task', _task.number, 'step', 'released'));
  release_task.status := mesh_lib.task_status(_task);
  release_task.next := 'mesh task claim';
end
$$;
comment on function mesh.release_task is $$---
cli: task release <task>
who: agent
---
Give a task you have back: from now on anybody may claim it, also when it was given to you.
task: its number.
reason: why, up to 500 characters; default none.
example: mesh task release 12 --reason "I am needed elsewhere"$$;
alter function mesh.release_task(integer, text) owner to mesh_definer;
grant execute on function mesh.release_task(integer, text) to mesh_agent;

create function mesh.list_tasks(status text default null, assignee text default null, tag text default null, "limit" integer default 50, after uuid default null)
returns table (task integer, title text, status text, why text, priority text, assignee text, claimant text, progress smallint, tags text[],
  created_by text, created_at timestamptz, changed_at timestamptz, task_id uuid)
language sql stable set search_path = '' as $$
  select t.number, t.title, l.status, case when l.status = 'blocked' then mesh_lib.waits_for(t.task_id) end, (mesh_lib.task_priorities())[t.priority + 1],
    a.name, case when l.status not in ('open', 'blocked') then c.name end, t.progress, t.tags, m.name, t.created_at, t.changed_at, t.task_id
  from mesh_lib.tasks_to_list(list_tasks.status, list_tasks.assignee, list_tasks.tag, list_tasks."limit", list_tasks.after) l
  join mesh_data.task t on t.task_id = l.task_id
  join mesh_data.agent m on m.agent_id = t.created_by_agent_id
  left join mesh_data.agent a on a.agent_id = t.assignee_agent_id
  left join mesh_data.agent c on c.agent_id = t.claimant_agent_id
  order by l.ordinal
$$;
comment on function mesh.list_tasks is $$---
cli: task list <mesh>
alias: tasks
who: agent
mcp: core
columns: task title status why priority assignee claimant progress tags
---
List tasks: what is to be done, the most urgent and oldest first; or what is completed or failed, the newest first.
status: open, blocked, claimed, completed, failed or all; default what is not finished.
assignee: only tasks given to this agent or claimed by it; default all.
tag: only tasks with this tag; default all.
limit: how many at most, 1 to 1,000; default 50.
after: the task_id of the last task seen: only those that come after it; default from the first.
example: mesh task list
example: mesh task list --status completed --tag web$$;
grant execute on function mesh.list_tasks(text, text, text, integer, uuid) to mesh_agent;

create function mesh.get_task(inout task integer, out task_id uuid, out title text, out details text, out status text, out why text, out priority text,
  out tags text[], out assignee text, out claimant text, out claimed_at timestamptz, out lease_ends_at timestamptz, out progress smallint, out result text, out room text,
  out created_by text, out created_at timestamptz, out changed_at timestamptz, out finished_at timestamptz, out depends_on json, out needed_by json, out history json)
language plpgsql stable set search_path = '' as $$
declare
  _task constant mesh_data.task := mesh_lib.task_numbered(get_task.task);
begin
  get_task.task_id := _task.task_id;
  get_task.title := _task.title;
  get_task.details := _task.details;
  get_task.status := mesh_lib.task_status(_task);
  get_task.why := case when get_task.status = 'blocked' then mesh_lib.waits_for(_task.task_id) end;
  get_task.priority := (mesh_lib.task_priorities())[_task.priority + 1];
  get_task.tags := _task.tags;
  get_task.assignee := mesh_lib.name_of(_task.assignee_agent_id);
  if get_task.status not in ('open', 'blocked') then
    get_task.claimant := mesh_lib.name_of(_task.claimant_agent_id);
    get_task.claimed_at := _task.claimed_at;
  end if;
  get_task.lease_ends_at := case when get_task.status = 'claimed' then nullif(mesh_lib.lease_ends_at(_task), 'infinity') end;
  get_task.progress := _task.progress;
  get_task.result := _task.result;
  get_task.room := mesh_lib.room_address(_task.room_id);
  get_task.created_by := mesh_lib.name_of(_task.created_by_agent_id);
  get_task.created_at := _task.created_at;
  get_task.changed_at := _task.changed_at;
  get_task.finished_at := _task.finished_at;
  get_task.depends_on := mesh_lib.tasks_json(mesh_lib.depends_on(_task.task_id));
  get_task.needed_by := mesh_lib.tasks_json(mesh_lib.needed_by(_task.task_id));
  get_task.history := mesh_lib.task_history(_task.task_id);
end
$$;
comment on function mesh.get_task is $$---
cli: task show <task>
alias: task get
who: agent
---
Show one task whole: its details, what it depends on with the first 2,000 characters of their results, what waits for it, and what was done to it, the latest 100 steps.
task: its number.
example: mesh task show 12$$;
grant execute on function mesh.get_task(integer) to mesh_agent;
