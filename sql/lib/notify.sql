-- Notices: what agents are told of a call that is not a message itself. They are mail from whoever made the call, and wait
-- like all mail. Every notice is sent here.

-- Tell each of these agents, but the caller, and the room; who is told in its own right is not told in the room again. Answers
-- with the addresses, each with the message or why it was refused: a block or a full inbox undoes no call.
create function mesh_lib.notify_agents(agents uuid[], room_id uuid, notice text, data jsonb) returns json
language plpgsql volatile set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _names constant text[] := array(
    select a.name from mesh_data.agent a
    where a.agent_id = any (notify_agents.agents) and a.mesh_id = _me.mesh_id and a.agent_id <> _me.agent_id and a.removed_at is null order by a.name);
  _letters mesh_lib.letter[];
begin
  select array_agg(mesh_lib.letter(_me, array[t.address], null, notice => notify_agents.notice, data => notify_agents.data,
      exclude => case when t.address like '#%' then _names end, ordinal => t.ordinal::integer) order by t.ordinal)
  into _letters
  from unnest(_names || mesh_lib.room_address(notify_agents.room_id)) with ordinality t (address, ordinal) where t.address is not null;
  if _letters is null then
    return '[]'::json;
  end if;
  return (
    select json_agg(json_strip_nulls(json_build_object('to', _letters[p.ordinal].addresses[1], 'message_id', p.answer ->> 'message_id',
      'refused', case when p.status <> 200 then p.answer ->> 'message' end)) order by p.ordinal)
    from mesh_lib.post(_letters, null) p);
end
$$;
