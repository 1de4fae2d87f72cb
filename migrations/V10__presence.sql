-- Whose live window it is, so that the windows of many agents are found at once; null once the window has ended. What was there
-- before has it when its relay next confirms it, within 15 s.

set local role mesh_owner;

alter table mesh_data.presence add column agent_id uuid;
create unique index presence_by_agent on mesh_data.presence (agent_id);
