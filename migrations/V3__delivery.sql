-- Delivery at speed: priorities, and fewer indexes on what every message writes. Rows of message and
-- delivery are written by definers only, which know their agents, so foreign keys and their indexes only cost.

set local role mesh_owner;

alter table mesh_data.message drop constraint message_mesh_id_sender_agent_id_fkey;
alter table mesh_data.delivery drop constraint delivery_mesh_id_agent_id_fkey;
drop index mesh_data.delivery_by_agent;
drop index mesh_data.delivery_open;
drop index mesh_data.delivery_queued;

alter table mesh_data.message
  add column priority smallint not null default 1 constraint message_priority_is_0_to_2 check (priority between 0 and 2);

alter table mesh_data.delivery add column priority smallint not null default 1;
create index delivery_open on mesh_data.delivery (agent_id, priority, position) where state in ('queued', 'delivered');

-- Which relay holds a session's socket: it pushes what it commits itself and needs no ping for that.
alter table mesh_data.presence add column relay_id uuid;
