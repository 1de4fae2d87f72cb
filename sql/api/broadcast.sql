-- Broadcast: one message to everybody an address means.

create function mesh.broadcast(message mesh.sealed, "to" mesh.addresses default '"*"', exclude text[] default null, priority text default null,
  mentions text[] default null, key mesh.request_key default null, expires_in double precision default null, data mesh.sealed_data default null,
  out message_id uuid, out duplicate boolean, out recipients json, out counts json)
language plpgsql volatile set search_path = '' as $$
begin
  if cardinality(broadcast.exclude) > 1000 then
    perform mesh_lib.fail(413, 'at most 1,000 names to exclude', 'mesh group list');
  end if;
  select s.* into broadcast.message_id, broadcast.duplicate, broadcast.recipients, broadcast.counts
  from mesh_lib.send_one(mesh_lib.letter(mesh_lib.me(), coalesce(mesh_lib.addresses(broadcast."to"), '{*}'), broadcast.message,
    mesh_lib.priority(broadcast.priority), broadcast.data, broadcast.key, mentions => broadcast.mentions,
    expires_at => mesh_lib.now() + make_interval(secs => broadcast.expires_in), everyone => true, exclude => broadcast.exclude)) s;
end
$$;
comment on function mesh.broadcast is $$---
cli: broadcast <message>
who: agent
mcp: core
---
Send a message to everybody else, or to all of a group, role or room. It waits for those who are offline.
The answer lists up to 100 recipients, those who are not shown it now first; of more, counts says how many are in each state, and message_status lists all.
message: the text, 1 to 65,536 bytes.
to: one address, or several with commas between: *, @group with its subgroups, role:x (all who have it), #room, or names; default * (everybody else).
exclude: names of those who get no copy, up to 1,000; default nobody.
priority: now (shown at once), next (when the recipient is not working) or low (when it is idle or asks); default next.
mentions: names of recipients who are meant above all, up to 100: they hear it now; default none.
key: a word of yours for this message, 1 to 200 characters; sending again with it sends nothing twice. Default none.
expires_in: seconds after which it is worth nothing to those who have not taken it; default never.
data: JSON for programs beside the text, up to 65,536 bytes; default none.
example: mesh broadcast "the build is green again"
example: mesh broadcast "please review" --to role:reviewer --exclude designer$$;
grant execute on function mesh.broadcast(mesh.sealed, mesh.addresses, text[], text, text[], mesh.request_key, double precision, mesh.sealed_data) to mesh_agent;
