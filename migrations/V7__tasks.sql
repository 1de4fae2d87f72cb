-- The list of work of a mesh (tasks), and what is being edited (claims on paths).

set local role mesh_owner;

-- People and agents call a task by its number, which is the mesh's own. Whether an open task waits for others, and whether a
-- claimed one has come back because its agent is gone, follows from other rows: status says what was last done to it.
create table mesh_data.task (
  task_id uuid primary key,
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  number integer not null constraint task_number_is_positive check (number >= 1),
  title text not null constraint task_title_is_1_to_200_characters check (length(title) between 1 and 200),
  details text constraint task_details_are_short check (length(details) <= 20000),
  priority smallint not null default 2 constraint task_priority_is_0_to_3 check (priority between 0 and 3),
  tags text[] not null default '{}' constraint task_tags_are_few check (cardinality(tags) <= 20),
  room_id uuid,
  request_id uuid,
  created_by_agent_id uuid not null,
  created_at timestamptz not null,
  assignee_agent_id uuid,
  status text not null default 'open' constraint task_status_is_known check (status in ('open', 'claimed', 'completed', 'failed')),
  claimant_agent_id uuid constraint claimed_task_has_a_claimant check (status <> 'claimed' or claimant_agent_id is not null),
  claimed_at timestamptz,
  -- When the claim ends unless its agent is heard of.
  lease_ends_at timestamptz,
  progress smallint not null default 0 constraint task_progress_is_0_to_100 check (progress between 0 and 100),
  result text constraint task_result_is_short check (length(result) <= 20000),
  finished_at timestamptz constraint finished_task_says_when check ((status in ('completed', 'failed')) = (finished_at is not null)),
  changed_at timestamptz not null,
  unique (mesh_id, number)
);
create index task_unfinished on mesh_data.task (mesh_id, priority, number) where status in ('open', 'claimed');
create index task_claimed on mesh_data.task (claimant_agent_id) where status = 'claimed';
create unique index task_of_a_request on mesh_data.task (mesh_id, created_by_agent_id, request_id) where request_id is not null;

-- A task waits until those it depends on are completed.
create table mesh_data.task_dependency (
  task_id uuid not null references mesh_data.task on delete cascade,
  depends_on_task_id uuid not null references mesh_data.task on delete cascade,
  mesh_id uuid not null,
  primary key (task_id, depends_on_task_id),
  constraint task_does_not_depend_on_itself check (task_id <> depends_on_task_id)
);
create index task_dependency_by_other on mesh_data.task_dependency (depends_on_task_id);

-- What was done to a task, by whom; a lapse is the server's. Only ever appended to.
create table mesh_data.task_step (
  task_id uuid not null references mesh_data.task on delete cascade,
  ordinal bigint not null generated always as identity,
  mesh_id uuid not null,
  agent_id uuid,
  step text not null constraint task_step_is_known check (step in ('created', 'claimed', 'updated', 'completed', 'failed', 'released', 'lapsed')),
  note text constraint task_step_note_is_short check (length(note) <= 20000),
  happened_at timestamptz not null,
  primary key (task_id, ordinal)
);

-- Since when relays have been looking without a pause: while nobody looked, nobody was seen to be gone.
create table mesh_data.watch (
  watch_id boolean primary key default true constraint watch_is_one_row check (watch_id),
  began_at timestamptz not null default '-infinity',
  looked_at timestamptz not null default '-infinity'
);
insert into mesh_data.watch default values;

-- An advisory lock on paths of a repository. patterns are as they were given, globs what they mean (sql/lib/globs.sql). Tokens
-- of a mesh are in the order of its claims.
create sequence mesh_data.claim_token;
create table mesh_data.claim (
  claim_id uuid primary key,
  mesh_id uuid not null,
  agent_id uuid not null,
  patterns text[] not null,
  globs text[] not null constraint claim_globs_are_1_to_100 check (cardinality(globs) between 1 and 100),
  exclusive boolean not null,
  reason text not null constraint claim_reason_is_1_to_500_characters check (length(reason) between 1 and 500),
  token bigint not null,
  claimed_at timestamptz not null,
  expires_at timestamptz not null,
  released_at timestamptz,
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index claim_by_agent on mesh_data.claim (mesh_id, agent_id);
create index claim_in_force on mesh_data.claim (mesh_id, token) where released_at is null;
create index claim_by_end on mesh_data.claim (expires_at);

do $$
declare
  _table text;
begin
  foreach _table in array array['task', 'task_dependency', 'task_step', 'watch', 'claim'] loop
    execute format('alter table mesh_data.%I enable row level security, force row level security', _table);
  end loop;
end
$$;
