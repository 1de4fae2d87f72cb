-- What a mesh agrees on (state), and what its windows are told of at once (news).

set local role mesh_owner;

-- A key and its value. A key that was deleted keeps its row for a while, so its versions do not begin again: who waits to
-- write over version 3 does not meet another 3. JSON null is a value; only a deleted key has none.
create table mesh_data.state (
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  key text not null collate "C" constraint state_key_is_1_to_200_characters check (length(key) between 1 and 200),
  value jsonb constraint state_value_is_at_most_65536_bytes check (octet_length(value::text) <= 65536),
  version bigint not null,
  agent_id uuid not null,
  changed_at timestamptz not null,
  primary key (mesh_id, key)
);
create index state_live on mesh_data.state (mesh_id, key) where value is not null;
create index state_by_change on mesh_data.state (mesh_id, changed_at);
create index state_deleted on mesh_data.state (changed_at) where value is null;

-- Kept for a day. changed_in finds what was committed since a snapshot, in whatever order it was.
create table mesh_data.news (
  news_id uuid primary key,
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  kind text not null constraint news_kind_is_a_word check (kind ~ '^[a-z_]{1,40}$'),
  agent_id uuid,
  text text not null constraint news_text_is_1_to_500_characters check (length(text) between 1 and 500),
  detail jsonb not null default '{}' constraint news_detail_is_small check (octet_length(detail::text) <= 8192),
  changed_in xid8 not null default pg_current_xact_id(),
  happened_at timestamptz not null
);
create index news_by_change on mesh_data.news (changed_in);
create index news_by_mesh on mesh_data.news (mesh_id);

-- Who is to hear of it.
create index session_live_by_mesh on mesh_data.session (mesh_id) where ended_at is null;

alter table mesh_data.state enable row level security, force row level security;
alter table mesh_data.news enable row level security, force row level security;
