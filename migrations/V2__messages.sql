-- Messages and their deliveries, partitioned by message_id: a UUIDv7 (RFC 9562), so its order is the order of time,
-- the id alone finds the partition, and old partitions can be dropped whole.

set local role mesh_owner;

-- The order of delivery. A sequence, not the clock: clocks step back.
create sequence mesh_data.message_position;

create table mesh_data.message (
  message_id uuid not null,
  mesh_id uuid not null,
  sender_agent_id uuid not null,
  address text not null,
  body text not null constraint message_body_is_1_to_65536_bytes check (octet_length(body) between 1 and 65536),
  data jsonb constraint message_data_is_small check (octet_length(data::text) <= 65536),
  reply_to uuid,
  sent_at timestamptz not null,
  primary key (message_id),
  foreign key (mesh_id, sender_agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
) partition by range (message_id);
create index message_by_sender on mesh_data.message (mesh_id, sender_agent_id, message_id);

-- One row per recipient, with its own state. Nothing here is ever evicted: an unacknowledged row stays until it is settled.
create table mesh_data.delivery (
  message_id uuid not null,
  mesh_id uuid not null,
  agent_id uuid not null,
  sender_agent_id uuid not null,
  position bigint not null,
  state text not null default 'queued'
    constraint delivery_state_is_known check (state in ('queued', 'delivered', 'acknowledged', 'expired', 'dead')),
  claim_id uuid,
  claimant_id uuid,
  delivered_at timestamptz,
  settled_at timestamptz,
  primary key (message_id, agent_id),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
) partition by range (message_id);
create index delivery_open on mesh_data.delivery (agent_id, position) where state in ('queued', 'delivered');
create index delivery_queued on mesh_data.delivery (agent_id, position) where state = 'queued';
create index delivery_by_agent on mesh_data.delivery (mesh_id, agent_id);

-- Same sender and key, same message: what makes a repeated send harmless.
create table mesh_data.idempotency (
  sender_agent_id uuid not null references mesh_data.agent on delete cascade,
  key text not null constraint idempotency_key_is_short check (length(key) between 1 and 200),
  body_hash bytea not null,
  message_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (sender_agent_id, key)
);
create index idempotency_by_age on mesh_data.idempotency (created_at);

-- What happened in a mesh, for the people who run it.
create table mesh_data.event (
  event_id uuid not null,
  mesh_id uuid not null,
  kind text not null constraint event_kind_is_a_word check (kind ~ '^[a-z_]{1,40}$'),
  agent_id uuid,
  detail jsonb not null default '{}',
  happened_at timestamptz not null,
  primary key (event_id),
  foreign key (mesh_id) references mesh_data.mesh on delete cascade
) partition by range (event_id);
create index event_by_mesh on mesh_data.event (mesh_id, event_id);

-- A year of monthly partitions, and one that takes whatever no other takes.
do $$
declare
  _month date := date_trunc('month', now());
  _table text;
begin
  foreach _table in array array['message', 'delivery', 'event'] loop
    for _ahead in 0..11 loop
      execute format('create table mesh_data.%I partition of mesh_data.%I for values from (%L) to (%L)',
        _table || to_char(_month + make_interval(months => _ahead), '_YYYY_MM'), _table,
        lpad(to_hex((extract(epoch from _month + make_interval(months => _ahead)) * 1000)::bigint), 12, '0') || repeat('0', 20),
        lpad(to_hex((extract(epoch from _month + make_interval(months => _ahead + 1)) * 1000)::bigint), 12, '0') || repeat('0', 20));
    end loop;
    execute format('create table mesh_data.%I partition of mesh_data.%I default', _table || '_default', _table);
  end loop;
end
$$;

-- Row-level security is forced on every table, partitions included; the policies are in sql/api.
do $$
declare
  _table regclass;
begin
  for _table in
    select oid from pg_class where relnamespace = 'mesh_data'::regnamespace and relkind in ('r', 'p')
  loop
    execute format('alter table %s enable row level security, force row level security', _table);
  end loop;
end
$$;
