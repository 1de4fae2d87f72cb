-- The log of a mesh: who wrote which line (for those who follow it), and the chain of seals that shows when one was changed.

set local role mesh_owner;

-- changed_in: the transaction that wrote it, because ids are not committed in their order. seal_number: its place in the chain.
alter table mesh_data.event
  add column changed_in xid8 not null default pg_current_xact_id(),
  add column seal_number bigint;
create index event_by_agent on mesh_data.event (agent_id, event_id);
-- Tool calls are many: what else happened is found without them.
create index event_without_tools on mesh_data.event (mesh_id, event_id) where kind <> 'tool_used';
create index event_unsealed on mesh_data.event (mesh_id, event_id) where seal_number is null;

-- When mail of an agent was delivered and settled, which is where its events are.
create index delivery_delivered on mesh_data.delivery (agent_id, delivered_at) where delivered_at is not null;
create index delivery_settled on mesh_data.delivery (agent_id, settled_at) where settled_at is not null;

-- The chain of a mesh: each seal has the digest of the one before. event_ids and digests, one for each event in the
-- order they were committed, name an event that was changed; they go when all its events are dropped, and rows_digest stands for them.
create table mesh_data.seal (
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  number bigint not null constraint seal_number_begins_with_1 check (number >= 1),
  events integer not null constraint seal_has_events check (events > 0),
  first_event_id uuid not null,
  last_event_id uuid not null,
  event_ids uuid[],
  digests bytea[],
  rows_digest bytea not null constraint seal_rows_digest_is_32_bytes check (octet_length(rows_digest) = 32),
  previous_digest bytea not null constraint seal_previous_digest_is_32_bytes check (octet_length(previous_digest) = 32),
  digest bytea not null constraint seal_digest_is_32_bytes check (octet_length(digest) = 32),
  -- Took all there was: what is sealed after it was committed after it.
  whole boolean not null,
  -- Events with a lesser id were dropped when their time of retention was over.
  dropped_before uuid,
  sealed_at timestamptz not null,
  primary key (mesh_id, number)
);
alter table mesh_data.seal enable row level security, force row level security;
