-- Sealed meshes: mail that the server carries and cannot read.

set local role mesh_owner;

alter table mesh_data.mesh drop constraint mesh_mode_is_open;
alter table mesh_data.mesh
  add constraint mesh_mode_is_known check (mode in ('sealed', 'open')),
  alter column mode set default 'sealed',
  add column mode_at timestamptz not null default now();

-- What a message holds: a text that the server reads (open meshes), an envelope that it cannot, or a notice of its own. The
-- envelope is as its sender made it, without the boxes for its readers: each reader's is in its delivery, the sender's own here.
alter table mesh_data.message
  alter column body drop not null,
  add column envelope jsonb constraint message_envelope_is_small check (octet_length(envelope::text) <= 500000),
  add column sender_box text constraint message_sender_box_is_short check (length(sender_box) <= 200),
  add column notice text constraint message_notice_is_short check (octet_length(notice) between 1 and 4000),
  -- For which of a schedule's times it was sent.
  add column occurrence_at timestamptz,
  add constraint message_holds_one_content check (num_nonnulls(body, envelope, notice) = 1),
  add constraint sealed_message_has_no_open_data check (envelope is null or data is null);
alter table mesh_data.delivery
  add column box text constraint delivery_box_is_short check (length(box) <= 200);

-- When the identity key took the place of another: boxes from before are for that other. Null: it is the first.
alter table mesh_data.agent add column key_at timestamptz;

-- Boxes of those who may read a message and have no delivery of it: who may get mail that waits for a role, who is in its room
-- and blocks its sender, and whom a reader granted what was said before they came.
create table mesh_data.box (
  message_id uuid not null,
  agent_id uuid not null,
  mesh_id uuid not null,
  box text not null constraint box_is_short check (length(box) <= 200),
  granted_by_agent_id uuid,
  created_at timestamptz not null default now(),
  primary key (message_id, agent_id),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index box_by_agent on mesh_data.box (mesh_id, agent_id);

-- Who asks to read a message that was sealed before it could.
create table mesh_data.key_request (
  message_id uuid not null,
  agent_id uuid not null,
  mesh_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (message_id, agent_id),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index key_request_by_agent on mesh_data.key_request (mesh_id, agent_id);

-- Sealed mail for later is sealed when it is scheduled, to those whom its addresses mean then: boxes and keys are theirs, by
-- agent. skipped: who was meant the last time, and cannot read it.
alter table mesh_data.schedule
  alter column body drop not null,
  add column envelope jsonb constraint schedule_envelope_is_small check (octet_length(envelope::text) <= 500000),
  add column boxes jsonb,
  add column keys jsonb,
  add column skipped text[],
  add constraint schedule_holds_one_content check (num_nonnulls(body, envelope) = 1);

-- The private half of an agent's identity, sealed under its account's key: for the account's other machines.
create table mesh_data.wrapped_identity (
  agent_id uuid primary key,
  mesh_id uuid not null,
  identity_key bytea not null constraint wrapped_identity_key_is_32_bytes check (octet_length(identity_key) = 32),
  wrapped text not null constraint wrapped_identity_is_short check (length(wrapped) <= 1000),
  created_at timestamptz not null default now(),
  foreign key (mesh_id, agent_id) references mesh_data.agent (mesh_id, agent_id) on delete cascade
);
create index wrapped_identity_by_agent on mesh_data.wrapped_identity (mesh_id, agent_id);

do $$
declare
  _table text;
begin
  foreach _table in array array['box', 'key_request', 'wrapped_identity'] loop
    execute format('alter table mesh_data.%I enable row level security, force row level security', _table);
  end loop;
end
$$;
