-- People, their meshes, the agents in them, and the credentials for all of it.
-- Tables only: what may be done with them is in sql/.

revoke create on schema public from public;
do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$;

create schema mesh_data authorization mesh_owner;
set local role mesh_owner;

-- The one row of secrets and switches of this installation.
create table mesh_data.setting (
  setting_id boolean primary key default true constraint setting_is_one_row check (setting_id),
  identity_secret bytea not null constraint identity_secret_is_32_bytes check (octet_length(identity_secret) = 32),
  signup_open boolean not null default false
);
insert into mesh_data.setting (identity_secret)
select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- Each call takes one value; it binds a signed identity to its call. Unlogged and cached: it costs no WAL.
create unlogged sequence mesh_data.call_ordinal cache 1000;

-- Which sql/ is loaded: what `mesh migrate` compares before it touches anything.
create table mesh_data.code (
  part text primary key constraint code_part_is_known check (part in ('guard', 'rest')),
  hash text not null,
  release text not null,
  schema_version integer not null,
  loaded_at timestamptz not null default now()
);

create table mesh_data.account (
  account_id uuid primary key default gen_random_uuid(),
  name text not null constraint account_name_is_a_name check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  display_name text constraint account_display_name_is_short check (length(display_name) between 1 and 100),
  identity_key bytea constraint account_identity_key_is_32_bytes check (octet_length(identity_key) = 32),
  created_at timestamptz not null default now()
);
create unique index account_name_is_unique on mesh_data.account (name);

create table mesh_data.mesh (
  mesh_id uuid primary key default gen_random_uuid(),
  owner_account_id uuid not null references mesh_data.account,
  name text not null constraint mesh_name_is_a_name check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  mode text not null default 'open' constraint mesh_mode_is_open check (mode = 'open'),
  created_at timestamptz not null default now()
);
create unique index mesh_name_is_unique_per_owner on mesh_data.mesh (owner_account_id, name);

-- Who is in a mesh: its owner, and the guests who redeemed an invite (with or without an account of their own).
create table mesh_data.member (
  member_id uuid primary key default gen_random_uuid(),
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  account_id uuid references mesh_data.account on delete set null,
  kind text not null constraint member_kind_is_known check (kind in ('owner', 'guest')),
  display_name text constraint member_display_name_is_short check (length(display_name) between 1 and 100),
  invite_id uuid,
  joined_at timestamptz not null default now(),
  revoked_at timestamptz
);
create unique index mesh_has_one_owner on mesh_data.member (mesh_id) where kind = 'owner' and revoked_at is null;
create index member_by_mesh on mesh_data.member (mesh_id);
create index member_by_account on mesh_data.member (account_id) where revoked_at is null;

-- A durable named slot: the address of a message. Removed agents keep their row, so history keeps its names.
create table mesh_data.agent (
  agent_id uuid primary key default gen_random_uuid(),
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  member_id uuid references mesh_data.member on delete set null,
  name text not null constraint agent_name_is_a_name check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  kind text not null default 'agent' constraint agent_kind_is_known check (kind in ('agent', 'person')),
  role text constraint agent_role_is_short check (length(role) <= 200),
  launch_prompt text constraint agent_launch_prompt_is_short check (length(launch_prompt) <= 20000),
  identity_key bytea constraint agent_identity_key_is_32_bytes check (octet_length(identity_key) = 32),
  chain jsonb not null default '[]',
  created_at timestamptz not null default now(),
  removed_at timestamptz,
  unique (mesh_id, agent_id)
);
create unique index agent_name_is_unique_per_mesh on mesh_data.agent (mesh_id, name) where removed_at is null;
create index agent_by_member on mesh_data.agent (member_id);

-- What an agent says it is doing. Narrow and often written, so it has room for HOT updates and no second index.
create table mesh_data.activity (
  agent_id uuid primary key,
  mesh_id uuid not null,
  status text not null default 'idle' constraint activity_status_is_known check (status in ('idle', 'working', 'dnd')),
  summary text constraint activity_summary_is_short check (length(summary) <= 500),
  epoch bigint not null default 0,
  status_at timestamptz not null default now(),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
) with (fillfactor = 50);

-- A credential. Only a verifier is stored: SHA-256 of the bearer text, which itself is derived from the key.
create table mesh_data.key (
  key_id uuid primary key default gen_random_uuid(),
  kind text not null constraint key_kind_is_known check (kind in ('account', 'agent', 'ticket')),
  verifier bytea not null constraint verifier_is_32_bytes check (octet_length(verifier) = 32),
  public_key bytea constraint key_public_key_is_32_bytes check (octet_length(public_key) = 32),
  account_id uuid references mesh_data.account on delete cascade,
  mesh_id uuid references mesh_data.mesh on delete cascade,
  agent_id uuid,
  member_id uuid references mesh_data.member on delete cascade,
  manage boolean not null default false,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade,
  constraint scoped_key_names_its_agent check ((kind = 'agent') = (agent_id is not null and mesh_id is not null and member_id is not null)),
  constraint account_key_names_its_account check (kind = 'agent' or account_id is not null)
);
create unique index key_verifier_is_unique on mesh_data.key (verifier);
create index key_by_account on mesh_data.key (account_id);
create index key_by_agent on mesh_data.key (mesh_id, agent_id);
create index key_by_member on mesh_data.key (member_id);

create table mesh_data.invite (
  invite_id uuid primary key default gen_random_uuid(),
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  agent_id uuid not null,
  verifier bytea not null constraint invite_verifier_is_32_bytes check (octet_length(verifier) = 32),
  public_key bytea not null constraint invite_public_key_is_32_bytes check (octet_length(public_key) = 32),
  certificate jsonb not null,
  max_uses integer not null constraint invite_uses_are_1_to_1000 check (max_uses between 1 and 1000),
  used integer not null default 0 constraint invite_is_not_overused check (used between 0 and max_uses),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create unique index invite_verifier_is_unique on mesh_data.invite (verifier);
create index invite_by_mesh on mesh_data.invite (mesh_id, agent_id);
alter table mesh_data.member add foreign key (invite_id) references mesh_data.invite on delete set null;
create index member_by_invite on mesh_data.member (invite_id);

-- One live window of an agent.
create table mesh_data.session (
  session_id uuid primary key default gen_random_uuid(),
  mesh_id uuid not null,
  agent_id uuid not null,
  key_id uuid not null references mesh_data.key on delete cascade,
  epoch bigint not null,
  session_key bytea not null constraint session_key_is_32_bytes check (octet_length(session_key) = 32),
  hello jsonb not null,
  push_verifier bytea not null constraint push_verifier_is_32_bytes check (octet_length(push_verifier) = 32),
  editor text constraint session_editor_is_short check (length(editor) <= 100),
  cwd text constraint session_cwd_is_short check (length(cwd) <= 4096),
  host text constraint session_host_is_short check (length(host) <= 255),
  opened_at timestamptz not null default now(),
  ended_at timestamptz,
  ended_why text constraint ended_session_says_why check ((ended_at is null) = (ended_why is null)),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create unique index session_key_is_unique on mesh_data.session (session_key);
create unique index agent_has_one_live_session on mesh_data.session (agent_id) where ended_at is null;
create index session_by_agent on mesh_data.session (mesh_id, agent_id);
create index session_by_key on mesh_data.session (key_id) where ended_at is null;

-- Whether a session's socket is alive. Lost with the server, as it should be: relays say it again within 15 s.
create unlogged table mesh_data.presence (
  session_id uuid primary key,
  mesh_id uuid not null,
  confirmed_at timestamptz not null,
  connected boolean not null,
  waiting_until timestamptz
) with (fillfactor = 50);
