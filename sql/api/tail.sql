-- Tail: the traffic of a mesh as it happens, for those who run it.

-- A definer: whoever manages the mesh sees who writes to whom. The text is shown to those it was meant for.
create function mesh.tail(after uuid default null) returns table (
  message_id uuid, sent_at timestamptz, "from" text, "to" text, priority text, recipients bigint, message text, envelope mesh.envelope
)
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  -- Then the client says of what has neither text nor envelope that it is not for you: it believes no plain text.
  _sealed constant boolean := mesh_lib.is_sealed(_me.mesh_id);
  -- A message may come to light after a younger one, for it was begun before: a second is read again.
  _from constant timestamptz := case when tail.after is null then mesh_lib.now() - interval '1 minute' else coalesce(
    (select m.sent_at from mesh_data.message m where m.message_id = tail.after and m.mesh_id = _me.mesh_id), mesh_lib.time_of(tail.after)) - interval '1 second' end;
  -- The id of what is sealed tells the time of its sender's clock.
  _first constant uuid := mesh_lib.first_id(_from - case when _sealed then mesh_lib.clock_skew() else '0' end);
begin
  perform mesh_lib.must_manage();
  return query
    select m.message_id, m.sent_at, a.name, m.address, (array['now', 'next', 'low'])[m.priority + 1],
      (select count(*) from mesh_data.delivery d where d.message_id = m.message_id),
      case when p.party then coalesce(m.body, m.notice) when not _sealed then '(not for you)' end, (case when p.party then mesh_lib.envelope_for(m, _me.agent_id) end)::mesh.envelope
    from (
      select t.* from mesh_data.message t where t.mesh_id = _me.mesh_id and t.message_id >= _first and t.sent_at >= _from
      order by t.sent_at desc, t.message_id desc limit 1000
    ) m
    cross join lateral (select _me.agent_id = m.sender_agent_id
      or exists (select from mesh_data.delivery d where d.message_id = m.message_id and d.agent_id = _me.agent_id) as party) p
    join mesh_data.agent a on a.agent_id = m.sender_agent_id
    order by m.sent_at, m.message_id;
end
$$;
comment on function mesh.tail is $$---
cli: tail <mesh>
group: messages
who: manage
columns: sent_at from to message
follow: after message_id
---
Follow the messages of the mesh as they are sent. A text is shown to those it was meant for, in an open mesh, too; of others it says (not for you).
after: the id of the last message seen; what was sent up to a second before it comes again. Default the last minute.
example: mesh tail$$;
alter function mesh.tail(uuid) owner to mesh_definer;
grant execute on function mesh.tail(uuid) to mesh_agent;
