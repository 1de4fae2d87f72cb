-- What an agent was given is what it acknowledged since its last report, whichever way: when that was is all there is to keep.
-- Who took something before this has not reported on it.

set local role mesh_owner;

alter table mesh_data.activity alter column taken_message_id type timestamptz using case when taken_message_id is null then now() end;
alter table mesh_data.activity rename column taken_message_id to reported_at;
