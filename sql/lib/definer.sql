-- What mesh_definer may do: everything, in the few functions it owns. Row-level security is forced on the tables' owner,
-- so even those functions see rows only through these policies. Each definer states in its own file why it is one.

grant usage on schema mesh_data to mesh_definer, mesh_agent, mesh_admin;
grant usage on schema mesh_lib to mesh_definer, mesh_agent, mesh_relay, mesh_admin;
grant usage on schema mesh to mesh_definer, mesh_agent, mesh_admin;
grant usage, select on all sequences in schema mesh_data to mesh_definer;
grant usage on sequence mesh_data.id_counter to mesh_agent;
grant select, insert, update, delete on all tables in schema mesh_data to mesh_definer;
revoke insert, update, delete on mesh_data.setting, mesh_data.code from mesh_definer;
grant update (signup_open, daily_messages, turns_per_minute, retention_days, maintained_at) on mesh_data.setting to mesh_definer;

create policy account_definer on mesh_data.account to mesh_definer using (true) with check (true);
create policy activity_definer on mesh_data.activity to mesh_definer using (true) with check (true);
create policy agent_definer on mesh_data.agent to mesh_definer using (true) with check (true);
create policy block_definer on mesh_data.block to mesh_definer using (true) with check (true);
create policy claim_definer on mesh_data.claim to mesh_definer using (true) with check (true);
create policy code_definer on mesh_data.code to mesh_definer using (true) with check (true);
create policy delivery_definer on mesh_data.delivery to mesh_definer using (true) with check (true);
create policy event_definer on mesh_data.event to mesh_definer using (true) with check (true);
create policy group_member_definer on mesh_data.group_member to mesh_definer using (true) with check (true);
create policy idempotency_definer on mesh_data.idempotency to mesh_definer using (true) with check (true);
create policy invite_definer on mesh_data.invite to mesh_definer using (true) with check (true);
create policy key_definer on mesh_data.key to mesh_definer using (true) with check (true);
create policy member_definer on mesh_data.member to mesh_definer using (true) with check (true);
create policy memory_definer on mesh_data.memory to mesh_definer using (true) with check (true);
create policy memory_word_definer on mesh_data.memory_word to mesh_definer using (true) with check (true);
create policy mesh_definer on mesh_data.mesh to mesh_definer using (true) with check (true);
create policy message_definer on mesh_data.message to mesh_definer using (true) with check (true);
create policy news_definer on mesh_data.news to mesh_definer using (true) with check (true);
create policy pool_agent_definer on mesh_data.pool_agent to mesh_definer using (true) with check (true);
create policy pool_definer on mesh_data.pool to mesh_definer using (true) with check (true);
create policy presence_definer on mesh_data.presence to mesh_definer using (true) with check (true);
create policy room_definer on mesh_data.room to mesh_definer using (true) with check (true);
create policy room_member_definer on mesh_data.room_member to mesh_definer using (true) with check (true);
create policy schedule_definer on mesh_data.schedule to mesh_definer using (true) with check (true);
create policy seal_definer on mesh_data.seal to mesh_definer using (true) with check (true);
create policy sent_definer on mesh_data.sent to mesh_definer using (true) with check (true);
create policy session_definer on mesh_data.session to mesh_definer using (true) with check (true);
create policy setting_definer on mesh_data.setting to mesh_definer using (true) with check (true);
create policy state_definer on mesh_data.state to mesh_definer using (true) with check (true);
create policy task_definer on mesh_data.task to mesh_definer using (true) with check (true);
create policy task_dependency_definer on mesh_data.task_dependency to mesh_definer using (true) with check (true);
create policy task_step_definer on mesh_data.task_step to mesh_definer using (true) with check (true);
create policy turn_definer on mesh_data.turn to mesh_definer using (true) with check (true);
create policy wake_definer on mesh_data.wake to mesh_definer using (true) with check (true);
create policy watch_definer on mesh_data.watch to mesh_definer using (true) with check (true);
