-- The administrator at psql, as mesh_admin: readable views without any secret, and the few things only an administrator does.

grant select on mesh_data.account, mesh_data.mesh, mesh_data.member, mesh_data.agent, mesh_data.activity, mesh_data.presence,
  mesh_data.event, mesh_data.code to mesh_admin;
grant select (key_id, kind, account_id, mesh_id, agent_id, manage, created_at, expires_at, revoked_at) on mesh_data.key to mesh_admin;
grant select (invite_id, mesh_id, agent_id, max_uses, used, created_at, expires_at, revoked_at) on mesh_data.invite to mesh_admin;
grant select (session_id, mesh_id, agent_id, key_id, epoch, editor, cwd, host, opened_at, ended_at, ended_why) on mesh_data.session to mesh_admin;
grant select (message_id, mesh_id, agent_id, sender_agent_id, position, state, delivered_at, settled_at) on mesh_data.delivery to mesh_admin;
create policy account_admin on mesh_data.account for select to mesh_admin using (true);
create policy mesh_admin on mesh_data.mesh for select to mesh_admin using (true);
create policy member_admin on mesh_data.member for select to mesh_admin using (true);
create policy agent_admin on mesh_data.agent for select to mesh_admin using (true);
create policy activity_admin on mesh_data.activity for select to mesh_admin using (true);
create policy presence_admin on mesh_data.presence for select to mesh_admin using (true);
create policy event_admin on mesh_data.event for select to mesh_admin using (true);
create policy code_admin on mesh_data.code for select to mesh_admin using (true);
create policy key_admin on mesh_data.key for select to mesh_admin using (true);
create policy invite_admin on mesh_data.invite for select to mesh_admin using (true);
create policy session_admin on mesh_data.session for select to mesh_admin using (true);
create policy delivery_admin on mesh_data.delivery for select to mesh_admin using (true);

create view mesh.accounts with (security_invoker = true) as
select a.name, a.display_name, (select count(*) from mesh_data.mesh m where m.owner_account_id = a.account_id) as meshes, a.created_at
from mesh_data.account a order by a.name;

create view mesh.meshes with (security_invoker = true) as
select o.name as owner, m.name as mesh, m.mode,
  (select count(*) from mesh_data.agent a where a.mesh_id = m.mesh_id and a.removed_at is null) as agents,
  (select count(*) from mesh_data.delivery d where d.mesh_id = m.mesh_id and d.state in ('queued', 'delivered')) as backlog,
  (select count(*) from mesh_data.delivery d where d.mesh_id = m.mesh_id and d.state = 'dead') as dead, m.created_at
from mesh_data.mesh m join mesh_data.account o on o.account_id = m.owner_account_id order by 1, 2;

create view mesh.agents with (security_invoker = true) as
select m.name as mesh, a.name as agent, a.kind, p.status, a.role, s.host, s.cwd, s.opened_at, p.why
from mesh_data.agent a
join mesh_data.mesh m on m.mesh_id = a.mesh_id
cross join lateral mesh_lib.peer_status(a.agent_id) p
left join mesh_data.session s on s.session_id = p.session_id
where a.removed_at is null order by 1, 2;

create view mesh.keys with (security_invoker = true) as
select k.key_id, k.kind, o.name as account, m.name as mesh, a.name as agent, k.manage, k.created_at, k.expires_at, k.revoked_at
from mesh_data.key k
left join mesh_data.account o on o.account_id = k.account_id
left join mesh_data.mesh m on m.mesh_id = k.mesh_id
left join mesh_data.agent a on a.agent_id = k.agent_id order by k.created_at;

create view mesh.events with (security_invoker = true) as
select e.happened_at, m.name as mesh, a.name as agent, e.kind, e.detail
from mesh_data.event e
join mesh_data.mesh m on m.mesh_id = e.mesh_id
left join mesh_data.agent a on a.agent_id = e.agent_id order by e.event_id;

comment on view mesh.accounts is 'People with an account.';
comment on view mesh.meshes is 'Meshes with their owners, and how much mail waits.';
comment on view mesh.agents is 'Agents and whether a window runs them.';
comment on view mesh.keys is 'Credentials, without what would let one be used.';
comment on view mesh.events is 'What happened in the meshes, oldest first.';
grant select on mesh.accounts, mesh.meshes, mesh.agents, mesh.keys, mesh.events to mesh_admin;
grant execute on function mesh_lib.peer_status(uuid), mesh_lib.presence(boolean, timestamptz),
  mesh_lib.status(mesh_data.activity, timestamptz, text), mesh_lib.why_silent(text, boolean, uuid, timestamptz, text, text), mesh_lib.now() to mesh_admin;

-- A definer: an administrator may make an account and see its one-time key, and may read no key's verifier.
create function mesh.create_account(name mesh.name, display_name text default null) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  _seed constant bytea := substr(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 1, 20);
begin
  perform mesh_lib.new_account(mesh_lib.checked_name(create_account.name, 'an account'),
    mesh_lib.checked_text(create_account.display_name, 'the display name', 100), 'ticket',
    jsonb_build_object('verifier', encode(sha256(convert_to(mesh_lib.bearer(_seed), 'UTF8')), 'hex')));
  return 'mc_' || encode(_seed || substr(sha256('mc_'::bytea || _seed), 1, 4), 'hex');
end
$$;
comment on function mesh.create_account is $$Make an account and return a one-time key, good for 7 days: the person signs in with `mesh login`, which makes the lasting key.
name: the account's name, unique on this server.
display_name: how people see it, up to 100 characters; default none.
example: select mesh.create_account('alice')$$;
alter function mesh.create_account(mesh.name, text) owner to mesh_definer;
grant execute on function mesh.create_account(mesh.name, text) to mesh_admin;

-- A definer: the one switch an administrator has in a table whose other column is the identity secret.
create function mesh.allow_signup(open boolean) returns boolean
language sql volatile security definer set search_path = '' as $$
  update mesh_data.setting set signup_open = allow_signup.open returning signup_open
$$;
comment on function mesh.allow_signup is $$Open or close this installation to self-service accounts (`mesh signup`).
open: true or false.
example: select mesh.allow_signup(true)$$;
alter function mesh.allow_signup(boolean) owner to mesh_definer;
grant execute on function mesh.allow_signup(boolean) to mesh_admin;

-- A definer, as allow_signup.
create function mesh.set_limits(inout daily_messages integer default null, inout turns_per_minute integer default null, inout retention_days integer default null)
language plpgsql volatile security definer set search_path = '' as $$
begin
  if least(set_limits.daily_messages, set_limits.turns_per_minute, set_limits.retention_days) < 0 then
    perform mesh_lib.fail(400, 'a limit is 0 (none) or more', '');
  end if;
  update mesh_data.setting s
  set daily_messages = coalesce(set_limits.daily_messages, s.daily_messages), turns_per_minute = coalesce(set_limits.turns_per_minute, s.turns_per_minute),
    retention_days = coalesce(set_limits.retention_days, s.retention_days)
  returning s.daily_messages, s.turns_per_minute, s.retention_days
  into set_limits.daily_messages, set_limits.turns_per_minute, set_limits.retention_days;
end
$$;
comment on function mesh.set_limits is $$Set limits of this installation, and show them all. What is left out stays; 0 is no limit.
daily_messages: how many messages a key may send in a day, UTC; at first 100,000.
turns_per_minute: how often two agents may answer each other; at first 30.
retention_days: how long messages and events are kept, by whole months; what is unacknowledged or dead stays. At first 90.
example: select * from mesh.set_limits()
example: select * from mesh.set_limits(turns_per_minute => 60)$$;
alter function mesh.set_limits(integer, integer, integer) owner to mesh_definer;
grant execute on function mesh.set_limits(integer, integer, integer) to mesh_admin;

-- A definer: tables are made and dropped, rows moved and forgotten.
create function mesh.maintain(out created integer, out dropped integer, out busy boolean, out expired bigint, out forgotten bigint)
language sql volatile security definer set search_path = '' as $$ select * from mesh_lib.maintain() $$;
comment on function mesh.maintain is $$Make the partitions of the coming months, drop what is older than the retention, forget what is over. Relays do this every hour.
All null: it is under way already. Busy: something was in use and is left to the next run.
example: select * from mesh.maintain()$$;
alter function mesh.maintain() owner to mesh_definer;
grant execute on function mesh.maintain() to mesh_admin;
