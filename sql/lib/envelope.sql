-- Envelopes as readers get them.

-- The envelope of a message with a box of it, as a reader gets it. Of a notice that it is one; of a plain text null.
create function mesh_lib.envelope(message mesh_data.message, box text) returns mesh.envelope
language plpgsql immutable set search_path = '' as $$
begin
  if envelope.message.envelope is not null then
    return (envelope.message.envelope || jsonb_build_object('box', envelope.box) || case when envelope.message.occurrence_at is not null
      then jsonb_build_object('occurrence', envelope.message.occurrence_at) else '{}' end)::json::mesh.envelope;
  elsif envelope.message.notice is not null then
    return '{"notice": true}'::mesh.envelope;
  end if;
  return null;
end
$$;

-- The same for one reader, with its own box; null when it has none.
create function mesh_lib.envelope_for(message mesh_data.message, reader uuid) returns mesh.envelope
language plpgsql stable set search_path = '' as $$
begin
  if envelope_for.message.envelope is null and envelope_for.message.notice is null then
    return null;
  end if;
  -- What was granted comes first: it was asked for because there was no other, or one for a key from before.
  return mesh_lib.envelope(envelope_for.message, coalesce(
    (select b.box from mesh_data.box b where b.message_id = envelope_for.message.message_id and b.agent_id = envelope_for.reader),
    case when envelope_for.message.sender_agent_id = envelope_for.reader then envelope_for.message.sender_box end,
    (select d.box from mesh_data.delivery d where d.message_id = envelope_for.message.message_id and d.agent_id = envelope_for.reader)));
end
$$;
