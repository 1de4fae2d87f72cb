-- What tables tell the log: of each statement, what it changed. A function that returns trigger is kept over a reload as long as
-- it is the same, as its trigger is.

create function mesh_lib.status_changed() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  values (mesh_lib.new_id(), new.mesh_id, 'status_changed', new.agent_id, jsonb_build_object('from', old.status, 'to', new.status), mesh_lib.now());
  return null;
end
$$;
-- For each row, because only so it can be `update of`: what takes and settles mail writes activity, never its status, and so pays nothing.
create trigger activity_status after update of status on mesh_data.activity
  for each row when (old.status is distinct from new.status) execute function mesh_lib.status_changed();

create function mesh_lib.session_opened() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  select mesh_lib.new_id(), s.mesh_id, 'session_opened', s.agent_id, jsonb_strip_nulls(jsonb_build_object('epoch', s.epoch, 'editor', s.editor)), mesh_lib.now()
  from added s;
  return null;
end
$$;
create trigger session_opened after insert on mesh_data.session referencing new table as added
  for each statement execute function mesh_lib.session_opened();

create function mesh_lib.session_ended() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  values (mesh_lib.new_id(), new.mesh_id, 'session_ended', new.agent_id, jsonb_build_object('epoch', new.epoch, 'why', new.ended_why), mesh_lib.now());
  -- When it was last heard of is still of use; that its agent is there is over.
  update mesh_data.presence p set agent_id = null where p.session_id = new.session_id;
  return null;
end
$$;
create trigger session_ended after update of ended_at on mesh_data.session
  for each row when (old.ended_at is null and new.ended_at is not null) execute function mesh_lib.session_ended();

-- Keys and versions: what a key was set to is not the log's.
create function mesh_lib.state_changed() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  select mesh_lib.new_id(), s.mesh_id, case when s.value is null then 'state_deleted' else 'state_set' end, mesh_lib.my_agent(),
    jsonb_build_object('key', s.key, 'version', s.version), mesh_lib.now()
  from changed s;
  return null;
end
$$;
create trigger state_added after insert on mesh_data.state referencing new table as changed
  for each statement execute function mesh_lib.state_changed();
create trigger state_changed after update on mesh_data.state referencing new table as changed
  for each statement execute function mesh_lib.state_changed();

create function mesh_lib.task_stepped() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  select mesh_lib.new_id(), s.mesh_id, 'task_' || s.step, s.agent_id, jsonb_build_object('task', t.number, 'title', t.title), mesh_lib.now()
  from added s join mesh_data.task t on t.task_id = s.task_id
  order by s.ordinal;
  return null;
end
$$;
create trigger task_stepped after insert on mesh_data.task_step referencing new table as added
  for each statement execute function mesh_lib.task_stepped();

-- By whoever did it: who manages the mesh may release a claim of somebody else.
create function mesh_lib.claim_changed() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  insert into mesh_data.event (event_id, mesh_id, kind, agent_id, detail, happened_at)
  select mesh_lib.new_id(), c.mesh_id, case when tg_op = 'INSERT' then 'claim_made' when c.released_at is not null then 'claim_released' else 'claim_renewed' end,
    mesh_lib.my_agent(), jsonb_build_object('claim_id', c.claim_id, 'patterns', c.patterns[:10], 'exclusive', c.exclusive, 'until', coalesce(c.released_at, c.expires_at)), mesh_lib.now()
  from changed c;
  return null;
end
$$;
create trigger claim_made after insert on mesh_data.claim referencing new table as changed
  for each statement execute function mesh_lib.claim_changed();
create trigger claim_changed after update on mesh_data.claim referencing new table as changed
  for each statement execute function mesh_lib.claim_changed();
