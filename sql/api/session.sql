-- Sessions: the one live window of an agent, and what it says of itself.

grant select (session_id, mesh_id, agent_id, key_id, epoch, session_key, hello, editor, cwd, host, opened_at, ended_at, ended_why)
  on mesh_data.session to mesh_agent;
create policy session_select on mesh_data.session for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));

grant select on mesh_data.presence to mesh_agent;
grant update (waiting_until) on mesh_data.presence to mesh_agent;
create policy presence_select on mesh_data.presence for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy presence_update on mesh_data.presence for update to mesh_agent
  using (session_id = (select (mesh_lib.me()).session_id)) with check (session_id = (select (mesh_lib.me()).session_id));

grant select on mesh_data.activity to mesh_agent;
grant insert (agent_id, mesh_id), update (status, summary, status_at, heard_at, reported_at) on mesh_data.activity to mesh_agent;
create policy activity_select on mesh_data.activity for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy activity_insert on mesh_data.activity for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]));
create policy activity_update on mesh_data.activity for update to mesh_agent
  using (agent_id = (select mesh_lib.my_agent())) with check (agent_id = (select mesh_lib.my_agent()));

-- A definer: it makes the push secret and ends the window before this one.
create function mesh.open_session(session_key mesh.public_key, hello mesh.signed, editor text default null, cwd text default null,
  host text default null, takeover boolean default false,
  out session_id uuid, out epoch bigint, out agent text, out mesh text, out owner text, out role text, out launch_prompt text,
  out unread bigint, out resumed boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _agent mesh_data.agent;
  _live mesh_data.session;
  _session_key constant bytea := decode(open_session.session_key, 'hex');
  _push_secret constant text := encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
begin
  if _me.kind <> 'agent' then
    perform mesh_lib.fail(403, 'only an agent''s own key opens a window; this is an account key', 'mesh go <agent>');
  end if;
  select a.* into _agent from mesh_data.agent a where a.agent_id = _me.agent_id for update;
  perform mesh_lib.check_signer(open_session.hello, _agent.identity_key, 'the agent''s identity');
  select s.* into _live from mesh_data.session s where s.agent_id = _agent.agent_id and s.ended_at is null;

  open_session.resumed := _live.session_key is not distinct from _session_key;
  if open_session.resumed then
    update mesh_data.session s set push_verifier = sha256(convert_to(_push_secret, 'UTF8')), hello = open_session.hello
    where s.session_id = _live.session_id and s.ended_at is null returning s.session_id, s.epoch into open_session.session_id, open_session.epoch;
    if not found then
      perform mesh_lib.fail(409, 'this window''s session has ended: another window took its place, or it was closed', '');
    end if;
  else
    if exists (select from mesh_data.session s where s.session_key = _session_key) then
      perform mesh_lib.fail(409, 'this window''s session has ended: another window took its place, or it was closed', '');
    end if;
    if _live.session_id is not null and not coalesce(open_session.takeover, false) and exists (
      select from mesh_data.presence p where p.session_id = _live.session_id and mesh_lib.presence(p.connected, p.confirmed_at) = 'online'
    ) then
      perform mesh_lib.fail(409, 'agent already running in another window', 'mesh mcp --takeover',
        jsonb_build_object('agent', _agent.name, 'host', _live.host, 'cwd', _live.cwd, 'since', _live.opened_at));
    end if;
    update mesh_data.session s set ended_at = mesh_lib.now(), ended_why = 'another window took over this agent'
    where s.session_id = _live.session_id;
    update mesh_data.activity v set epoch = v.epoch + 1 where v.agent_id = _agent.agent_id returning v.epoch into open_session.epoch;
    insert into mesh_data.session (mesh_id, agent_id, key_id, epoch, session_key, hello, push_verifier, editor, cwd, host)
    values (_agent.mesh_id, _agent.agent_id, _me.key_id, open_session.epoch, _session_key, open_session.hello,
      sha256(convert_to(_push_secret, 'UTF8')), mesh_lib.checked_text(open_session.editor, 'the editor', 100),
      mesh_lib.checked_text(open_session.cwd, 'the folder', 4096), mesh_lib.checked_text(open_session.host, 'the host', 255))
    returning session.session_id into open_session.session_id;
    perform mesh_lib.ping();
  end if;
  -- Nothing that went wrong before keeps an agent out.
  update mesh_data.presence p set agent_id = null where p.agent_id = _agent.agent_id and p.session_id <> open_session.session_id;
  insert into mesh_data.presence (session_id, mesh_id, agent_id, confirmed_at, connected)
  values (open_session.session_id, _agent.mesh_id, _agent.agent_id, mesh_lib.now(), true)
  on conflict on constraint presence_pkey do update set agent_id = excluded.agent_id, confirmed_at = excluded.confirmed_at, connected = true, waiting_until = null;
  perform mesh_lib.take_pool_mail(array[_agent.agent_id], true);

  select _agent.name, m.name, o.name, _agent.role, _agent.launch_prompt into open_session.agent, open_session.mesh, open_session.owner,
    open_session.role, open_session.launch_prompt
  from mesh_data.mesh m join mesh_data.account o on o.account_id = m.owner_account_id where m.mesh_id = _agent.mesh_id;
  select count(*) into open_session.unread from mesh_data.delivery d
  where d.agent_id = _agent.agent_id and d.state in ('queued', 'delivered') and mesh_lib.is_due(d.due_at, d.expires_at);
  perform mesh_lib.tell_relay(jsonb_build_object('attach', jsonb_build_object('session_id', open_session.session_id, 'push_secret', _push_secret)));
end
$$;
comment on function mesh.open_session is $$---
who: agent
mcp: never
---
Open the live window of this agent on this socket, or resume it after the connection broke.
session_key: the window's own public key; the same one again resumes.
hello: the agent identity's signature over this call.
editor: the program that runs the agent, up to 100 characters; default unknown.
cwd: the folder it runs in, up to 4,096 characters; default unknown.
host: the machine's name, up to 255 characters; default unknown.
takeover: end another live window of this agent; default false, which refuses with ME409.
example: mesh mcp --takeover$$;
alter function mesh.open_session(mesh.public_key, mesh.signed, text, text, text, boolean) owner to mesh_definer;
grant execute on function mesh.open_session(mesh.public_key, mesh.signed, text, text, text, boolean) to mesh_agent;

-- A definer: it writes the session's row, which mesh_agent may only read.
create function mesh.close_session(out closed uuid)
language plpgsql volatile security definer set search_path = '' as $$
begin
  update mesh_data.session s set ended_at = mesh_lib.now(), ended_why = 'the window was closed'
  where s.session_id = (mesh_lib.me()).session_id and s.ended_at is null returning s.session_id into close_session.closed;
  delete from mesh_data.presence p where p.session_id = close_session.closed;
  perform mesh_lib.ping();
end
$$;
comment on function mesh.close_session is $$---
who: agent
mcp: never
---
Close this window: the agent is offline at once, and what it had not acknowledged waits for the next one.
example: mesh mcp$$;
alter function mesh.close_session() owner to mesh_definer;
grant execute on function mesh.close_session() to mesh_agent;

create function mesh.set_status(inout status text, out agent text)
language plpgsql volatile set search_path = '' as $$
declare
  _before text;
begin
  if lower(set_status.status) not in ('idle', 'working', 'dnd') then
    perform mesh_lib.fail(400, format('there is no status %L: use idle, working or dnd', left(set_status.status, 63)), 'mesh set-status idle');
  end if;
  select v.status into _before from mesh_data.activity v where v.agent_id = mesh_lib.my_agent() for update;
  update mesh_data.activity v set status = lower(set_status.status), status_at = mesh_lib.now()
  where v.agent_id = mesh_lib.my_agent() returning v.status into set_status.status;
  -- Nothing else that one may say of oneself keeps mail waiting at a role.
  if _before = 'dnd' and set_status.status <> 'dnd' then
    perform mesh_lib.take_waiting(array[mesh_lib.my_agent()]);
  end if;
  select a.name into set_status.agent from mesh_data.agent a where a.agent_id = mesh_lib.my_agent();
  perform mesh_lib.ping();
end
$$;
comment on function mesh.set_status is $$---
cli: set-status <status>
who: agent
mcp: core
---
Say what you are doing, so that others know when to expect an answer.
status: idle, working, or dnd (do not disturb, until you set another).
example: mesh set-status working$$;
grant execute on function mesh.set_status(text) to mesh_agent;

create function mesh.set_summary(inout summary text, out agent text)
language plpgsql volatile set search_path = '' as $$
begin
  update mesh_data.activity v set summary = mesh_lib.checked_text(set_summary.summary, 'the summary', 500), heard_at = mesh_lib.now()
  where v.agent_id = mesh_lib.my_agent() returning v.summary into set_summary.summary;
  select a.name into set_summary.agent from mesh_data.agent a where a.agent_id = mesh_lib.my_agent();
end
$$;
comment on function mesh.set_summary is $$---
cli: set-summary <summary>
who: agent
mcp: core
---
Say in a sentence what you are working on; your peers see it in their list.
summary: up to 500 characters; an empty text clears it.
example: mesh set-summary "porting the header to the new grid"$$;
grant execute on function mesh.set_summary(text) to mesh_agent;
