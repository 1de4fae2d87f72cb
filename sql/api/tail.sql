-- Tail: the traffic of a mesh as it happens, for those who run it.

-- A definer: whoever manages the mesh sees who writes to whom. The text is shown to those it was meant for.
create function mesh.tail(after uuid default null) returns table (
  message_id uuid, sent_at timestamptz, "from" text, "to" text, priority text, recipients bigint, message text, envelope mesh.envelope
)
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  -- Ids are made before the commit, so a message may come to light after a younger one: a second is read again. The first
  -- 48 bits of an id are its milliseconds.
  _from constant timestamptz := case when tail.after is null then mesh_lib.now() - interval '1 minute'
    else to_timestamp(('x' || lpad(translate(left(tail.after::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0) - interval '1 second' end;
  _first constant uuid := (lpad(to_hex((extract(epoch from _from) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
begin
  perform mesh_lib.must_manage();
  return query
    select m.message_id, m.sent_at, a.name, m.address, (array['now', 'next', 'low'])[m.priority + 1],
      (select count(*) from mesh_data.delivery d where d.message_id = m.message_id),
      case when _me.agent_id = m.sender_agent_id
          or exists (select from mesh_data.delivery d where d.message_id = m.message_id and d.agent_id = _me.agent_id)
        then coalesce(m.body, m.notice) end,
      mesh_lib.envelope_for(m, _me.agent_id)
    from (
      select t.* from mesh_data.message t where t.mesh_id = _me.mesh_id and t.message_id >= _first order by t.message_id desc limit 1000
    ) m
    join mesh_data.agent a on a.agent_id = m.sender_agent_id
    order by m.message_id;
end
$$;
comment on function mesh.tail is $$---
cli: tail <mesh>
who: manage
columns: sent_at from to message
follow: after message_id
---
Follow the messages of the mesh as they are sent. Texts are shown to those they were meant for.
after: the id of the last message seen; what was sent up to a second before it comes again. Default the last minute.
example: mesh tail$$;
alter function mesh.tail(uuid) owner to mesh_definer;
grant execute on function mesh.tail(uuid) to mesh_agent;
