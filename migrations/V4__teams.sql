-- Ways to address more than one agent (groups, pools, rooms), the life of mail (due, expiry, attempts, blocks, limits), and
-- mail that the server sends itself (schedules).

set local role mesh_owner;

-- What makes ids of one moment sort as they were made. Unlogged and cached: it costs no WAL.
create unlogged sequence mesh_data.id_counter cache 1000;

-- @web/ui: a label on an agent, with what the agent is in that group. A group is there as long as somebody is in it.
create table mesh_data.group_member (
  agent_id uuid not null,
  name text not null constraint group_name_is_a_path check (length(name) <= 200 and name ~ '^[a-z0-9][a-z0-9._-]{0,62}(/[a-z0-9][a-z0-9._-]{0,62})*$'),
  mesh_id uuid not null,
  role text constraint group_role_is_short check (length(role) between 1 and 63),
  joined_at timestamptz not null default now(),
  primary key (agent_id, name),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index group_member_by_name on mesh_data.group_member (mesh_id, name text_pattern_ops);
create index group_member_by_agent on mesh_data.group_member (mesh_id, agent_id);

-- role:x without such a pool is whoever has the role.
create index agent_by_role on mesh_data.agent (mesh_id, lower(btrim(role))) where removed_at is null and role is not null;

-- role:x as somebody arranged it. Its id is made of the mesh and the name, so mail that waits for a role finds a pool of
-- that name made later, and survives it.
create table mesh_data.pool (
  pool_id uuid primary key,
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  name text not null constraint pool_name_is_a_name check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  fallback text not null default 'queue' constraint pool_fallback_is_known check (fallback in ('queue', 'reject')),
  priority smallint constraint pool_priority_is_0_to_2 check (priority between 0 and 2),
  capabilities text[] not null default '{}' constraint pool_capabilities_are_few check (cardinality(capabilities) <= 50),
  created_at timestamptz not null default now(),
  unique (mesh_id, name)
);
create table mesh_data.pool_agent (
  pool_id uuid not null references mesh_data.pool on delete cascade,
  agent_id uuid not null,
  mesh_id uuid not null,
  ordinal integer not null,
  primary key (pool_id, agent_id),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index pool_agent_by_agent on mesh_data.pool_agent (mesh_id, agent_id);

-- #name. The floor is one column for all modes: whose turn it is (round-robin), who spoke last (reactive), or to whom the
-- moderator gave it (moderated).
create table mesh_data.room (
  room_id uuid primary key default gen_random_uuid(),
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  name text not null constraint room_name_is_a_name check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  topic text constraint room_topic_is_short check (length(topic) between 1 and 500),
  mode text not null default 'free' constraint room_mode_is_known check (mode in ('free', 'round-robin', 'reactive', 'moderated')),
  floor_agent_id uuid,
  moderator_agent_id uuid constraint moderated_room_has_a_moderator check (mode <> 'moderated' or moderator_agent_id is not null),
  created_by_agent_id uuid,
  created_at timestamptz not null default now(),
  closed_at timestamptz
);
create unique index room_name_is_unique_per_mesh on mesh_data.room (mesh_id, name) where closed_at is null;
create index room_by_mesh on mesh_data.room (mesh_id);
-- Who is in a room; turns go by ordinal.
create table mesh_data.room_member (
  room_id uuid not null references mesh_data.room on delete cascade,
  agent_id uuid not null,
  mesh_id uuid not null,
  ordinal bigint not null generated always as identity,
  joined_at timestamptz not null default now(),
  primary key (room_id, agent_id),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index room_member_by_agent on mesh_data.room_member (mesh_id, agent_id);

-- From whom an agent takes no mail.
create table mesh_data.block (
  agent_id uuid not null,
  blocked_agent_id uuid not null,
  mesh_id uuid not null,
  reason text constraint block_reason_is_short check (length(reason) between 1 and 200),
  created_at timestamptz not null default now(),
  primary key (agent_id, blocked_agent_id),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade,
  foreign key (mesh_id, blocked_agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index block_by_agent on mesh_data.block (mesh_id, agent_id);
create index block_by_blocked on mesh_data.block (mesh_id, blocked_agent_id);

-- Mail the server sends later, once or again and again, as the agent who scheduled it.
create table mesh_data.schedule (
  schedule_id uuid primary key default gen_random_uuid(),
  mesh_id uuid not null,
  agent_id uuid not null,
  key_id uuid not null references mesh_data.key on delete cascade,
  addresses text[] not null,
  body text not null constraint schedule_body_is_1_to_65536_bytes check (octet_length(body) between 1 and 65536),
  priority smallint not null default 1 constraint schedule_priority_is_0_to_2 check (priority between 0 and 2),
  cron text constraint schedule_cron_is_short check (length(cron) <= 200),
  timezone text not null default 'UTC',
  next_at timestamptz,
  last_at timestamptz,
  last_message_id uuid,
  last_error json,
  sent bigint not null default 0,
  created_at timestamptz not null default now(),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index schedule_due on mesh_data.schedule (next_at) where next_at is not null;
create index schedule_over on mesh_data.schedule (last_at) where next_at is null;
create index schedule_by_agent on mesh_data.schedule (mesh_id, agent_id);
create index schedule_by_key on mesh_data.schedule (key_id);

-- What the limits count. Lost with the server, which forgives.
-- A pair of agents, the smaller id first: who spoke last, and how many turns they have left.
create unlogged table mesh_data.turn (
  agent_id uuid not null,
  other_agent_id uuid not null,
  last_agent_id uuid not null,
  turns_left real not null,
  counted_at timestamptz not null,
  primary key (agent_id, other_agent_id)
) with (fillfactor = 50);
-- Messages of a key in a day, UTC.
create unlogged table mesh_data.sent (
  key_id uuid not null,
  day date not null,
  messages bigint not null,
  primary key (key_id, day)
) with (fillfactor = 50);

-- The token of the ping: who holds its row pings, for all whose changes are committed meanwhile.
create table mesh_data.wake (
  wake_id boolean primary key default true constraint wake_is_one_row check (wake_id)
);
insert into mesh_data.wake default values;

alter table mesh_data.setting
  add column daily_messages integer not null default 100000 constraint daily_messages_is_not_negative check (daily_messages >= 0),
  add column turns_per_minute integer not null default 30 constraint turns_per_minute_is_not_negative check (turns_per_minute >= 0),
  add column retention_days integer not null default 90 constraint retention_days_is_not_negative check (retention_days >= 0),
  add column maintained_at timestamptz;

-- What an agent says of itself to others.
alter table mesh_data.agent
  add column about text constraint agent_about_is_short check (length(about) between 1 and 2000),
  add column capabilities text[] not null default '{}' constraint agent_capabilities_are_few check (cardinality(capabilities) <= 50);

-- When an agent that works was last heard of: it is idle when that is long ago.
alter table mesh_data.activity
  add column heard_at timestamptz not null default now(),
  add column taken_message_id uuid;

-- What is said in a room has a position there: clocks do not tell who spoke first.
alter table mesh_data.message
  add column room_id uuid,
  add column position bigint,
  add column mentions text[] constraint message_mentions_are_few check (cardinality(mentions) between 1 and 100),
  add column expires_at timestamptz;
create index message_by_room on mesh_data.message (room_id, position) where room_id is not null;
create index message_by_reply on mesh_data.message (reply_to) where reply_to is not null;

-- Mail waits until it is due (after a release), and in vain once it has expired. `reason` says why it came back or died.
-- agent_id is a pool's id as long as the mail waits for one of its agents.
alter table mesh_data.delivery
  add column due_at timestamptz,
  add column expires_at timestamptz,
  add column attempts smallint not null default 0,
  add column reason text constraint delivery_reason_is_short check (length(reason) between 1 and 500);
create index delivery_due on mesh_data.delivery (due_at) where state in ('queued', 'delivered') and due_at is not null;
create index delivery_expiring on mesh_data.delivery (expires_at) where state in ('queued', 'delivered') and expires_at is not null;
create index delivery_dead on mesh_data.delivery (agent_id) where state = 'dead';
create index delivery_dead_by_sender on mesh_data.delivery (sender_agent_id) where state = 'dead';

do $$
declare
  _table text;
begin
  foreach _table in array array['group_member', 'pool', 'pool_agent', 'room', 'room_member', 'block', 'schedule', 'turn', 'sent', 'wake'] loop
    execute format('alter table mesh_data.%I enable row level security, force row level security', _table);
  end loop;
end
$$;

-- Every look into a queue asks every partition: those of the months after the next two are made when they are near.
do $$
declare
  _partition record;
  _empty boolean;
begin
  for _partition in
    select c.relname from pg_catalog.pg_class c join pg_catalog.pg_inherits i on i.inhrelid = c.oid
    where c.relnamespace = 'mesh_data'::regnamespace
      and substring(c.relname from '_(\d{4}_\d{2})$') > to_char(now() + interval '2 months', 'YYYY_MM')
  loop
    execute format('select not exists (select from mesh_data.%I)', _partition.relname) into _empty;
    if _empty then
      execute format('drop table mesh_data.%I', _partition.relname);
    end if;
  end loop;
end
$$;
