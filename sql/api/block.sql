-- Blocks: from whom an agent takes no mail. Only the agent itself sees whom it blocks; who is blocked hears so when it
-- writes to that agent alone.

grant select on mesh_data.block to mesh_agent;
grant insert (agent_id, blocked_agent_id, mesh_id, reason), update (reason) on mesh_data.block to mesh_agent;
create policy block_select on mesh_data.block for select to mesh_agent
  using (agent_id = (select mesh_lib.my_agent()));
create policy block_insert on mesh_data.block for insert to mesh_agent
  with check (agent_id = (select mesh_lib.my_agent()) and mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy block_update on mesh_data.block for update to mesh_agent
  using (agent_id = (select mesh_lib.my_agent())) with check (agent_id = (select mesh_lib.my_agent()));

create function mesh.block_agent(agent text, inout reason text default null, out blocked text, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.agent_named(block_agent.agent);
begin
  if _agent.agent_id = mesh_lib.my_agent() then
    perform mesh_lib.fail(400, 'that is you: block somebody else', 'mesh peers');
  end if;
  insert into mesh_data.block (agent_id, blocked_agent_id, mesh_id, reason)
  values (mesh_lib.my_agent(), _agent.agent_id, _agent.mesh_id, mesh_lib.checked_text(block_agent.reason, 'the reason', 200))
  on conflict on constraint block_pkey do update set reason = excluded.reason
  returning block.reason into block_agent.reason;
  block_agent.blocked := _agent.name;
  block_agent.next := 'mesh unblock ' || _agent.name;
end
$$;
comment on function mesh.block_agent is $$---
cli: block <agent>
alias: block add
who: agent
---
Take no more mail from an agent: what it sends to you alone is refused, what it sends to many leaves you out. Mail you have stays.
agent: the agent's name.
reason: why, for yourself, up to 200 characters; default none.
example: mesh block designer --reason "answers its own questions"$$;
grant execute on function mesh.block_agent(text, text) to mesh_agent;

-- A definer: mesh_agent deletes nothing.
create function mesh.unblock_agent(agent text, out unblocked text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _agent constant mesh_data.agent := mesh_lib.agent_named(unblock_agent.agent);
begin
  delete from mesh_data.block b where b.agent_id = mesh_lib.my_agent() and b.blocked_agent_id = _agent.agent_id;
  if not found then
    perform mesh_lib.fail(404, format('you do not block %s', _agent.name), 'mesh block list');
  end if;
  perform mesh_lib.take_waiting(array[mesh_lib.my_agent()]);
  unblock_agent.unblocked := _agent.name;
end
$$;
comment on function mesh.unblock_agent is $$---
cli: unblock <agent>
alias: block remove
who: agent
---
Take mail from an agent again. What it sent to you meanwhile was refused and does not come; what it sent to a role of yours, and still waits there, does.
agent: the agent's name.
example: mesh unblock designer$$;
alter function mesh.unblock_agent(text) owner to mesh_definer;
grant execute on function mesh.unblock_agent(text) to mesh_agent;

create function mesh.list_blocks() returns table (agent text, reason text, created_at timestamptz)
language sql stable set search_path = '' as $$
  select a.name, b.reason, b.created_at
  from mesh_data.block b join mesh_data.agent a on a.agent_id = b.blocked_agent_id and a.removed_at is null
  where b.agent_id = (select mesh_lib.my_agent())
  order by a.name
$$;
comment on function mesh.list_blocks is $$---
cli: block list
alias: blocks
who: agent
columns: agent reason created_at
---
List from whom you take no mail. Nobody else sees this list.
example: mesh block list$$;
grant execute on function mesh.list_blocks() to mesh_agent;
