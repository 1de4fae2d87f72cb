-- History: reading what was sent and received. Reading changes nothing.

create function mesh.get_message(inout message_id uuid, out "from" text, out from_kind text, out "to" text, out priority text, out message text,
  out mentions text[], out data jsonb, out reply_to uuid, out sent_at timestamptz, out expires_at timestamptz, out recipients json,
  out envelope mesh.envelope)
language plpgsql stable set search_path = '' as $$
declare
  _message constant mesh_data.message := mesh_lib.message_to_read(get_message.message_id);
begin
  select a.name, a.kind, _message.address, (array['now', 'next', 'low'])[_message.priority + 1], coalesce(_message.body, _message.notice), _message.mentions, _message.data,
    _message.reply_to, _message.sent_at, _message.expires_at
  into get_message."from", get_message.from_kind, get_message."to", get_message.priority, get_message.message, get_message.mentions,
    get_message.data, get_message.reply_to, get_message.sent_at, get_message.expires_at
  from mesh_data.agent a where a.agent_id = _message.sender_agent_id;
  get_message.envelope := mesh_lib.envelope_for(_message, mesh_lib.my_agent());
  get_message.recipients := (select coalesce(json_agg(s), '[]') from mesh.message_status(get_message.message_id) s);
end
$$;
comment on function mesh.get_message is $$---
cli: read <message_id>
group: messages
alias: message read
who: agent
---
Show one message whole, sent, received or said in a room you are in: to its sender with what became of it for each recipient, to a recipient with its own state.
message_id: the id of the message.
example: mesh read 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f$$;
grant execute on function mesh.get_message(uuid) to mesh_agent;

-- The newest messages that an agent got, from this sender or all, before this one, newest first. Mail that is settled is read
-- from the newest settled on, until what is left was settled, and so sent, before what was found; the id of what is sealed tells
-- the time of its sender's clock.
create function mesh_lib.received(agent_id uuid, sender_id uuid, query text, before uuid, at_most integer) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  _found uuid[] := '{}'::uuid[];
  _candidates uuid[] := array(select d.message_id from mesh_data.delivery d
    where d.agent_id = received.agent_id and d.state in ('queued', 'delivered') and (received.sender_id is null or d.sender_agent_id = received.sender_id));
  _at timestamptz := 'infinity'::timestamptz;
  _skew constant interval := case when mesh_lib.is_sealed(mesh_lib.my_mesh()) then mesh_lib.clock_skew() else '0' end;
begin
  loop
    _found := array(
      select u from unnest(_found || array(
        select c from unnest(_candidates) c
        where c < received.before and (received.query is null
          or exists (select from mesh_data.message m where m.message_id = c and strpos(lower(m.body), received.query) > 0))
      )) u order by u desc limit received.at_most);
    exit when _at is null or cardinality(_found) = received.at_most and _at + _skew < mesh_lib.time_of(_found[received.at_most]);
    select array_agg(d.message_id) filter (where received.sender_id is null or d.sender_agent_id = received.sender_id), min(d.settled_at) into _candidates, _at
    from (
      select d.message_id, d.sender_agent_id, d.settled_at from mesh_data.delivery d
      where d.agent_id = received.agent_id and d.settled_at < _at order by d.settled_at desc fetch first 1000 rows with ties
    ) d;
  end loop;
  return _found;
end
$$;

-- A definer: under row-level security every body would be read before its reader is asked for, and a room's members see
-- what was said in it before they came.
create function mesh.list_messages("with" text default null, room text default null, query text default null, before uuid default null,
  "limit" integer default 50)
returns table (message_id uuid, sent_at timestamptz, "from" text, "to" text, message text, reply_to uuid, data jsonb, envelope mesh.envelope)
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _with constant uuid := case when btrim(list_messages."with") not like '#%' then mesh_lib.agent_id_of(_me.mesh_id, lower(btrim(list_messages."with"))) end;
  _room_name constant text := coalesce(list_messages.room, substring(list_messages."with" from '^\s*#.*'));
  _room constant uuid := case when _room_name is not null then mesh_lib.room_to_read(_me, _room_name) end;
  _query constant text := nullif(lower(list_messages.query), '');
  _position constant bigint := case when list_messages.before is null then 9223372036854775807
    else (select m.position from mesh_data.message m where m.message_id = list_messages.before and m.room_id = _room) end;
  _before constant uuid := coalesce(list_messages.before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
begin
  if list_messages."limit" not between 1 and 1000 then
    perform mesh_lib.fail(400, 'limit is 1 to 1,000', '');
  end if;
  perform mesh_lib.refuse_search(_me.mesh_id, _query, concat_ws(' ', 'mesh history', mesh_lib.shell_word(list_messages."with"),
    '--room ' || mesh_lib.shell_word(list_messages.room), '--grep ' || mesh_lib.shell_word(list_messages.query)));
  if _room is not null then
    return query
      select m.message_id, m.sent_at, a.name, m.address, coalesce(m.body, m.notice), m.reply_to, m.data, mesh_lib.envelope_for(m, _me.agent_id)
      from (
        select r.* from mesh_data.message r
        -- In a room turns are the order, and no clock.
        where r.room_id = _room and r.position < _position and (_with is null or r.sender_agent_id = _with) and (_query is null or strpos(lower(r.body), _query) > 0)
        order by r.position desc limit list_messages."limit"
      ) m
      join mesh_data.agent a on a.agent_id = m.sender_agent_id
      order by m.position;
    return;
  end if;
  return query
    select m.message_id, m.sent_at, a.name, m.address, coalesce(m.body, m.notice), m.reply_to, m.data, mesh_lib.envelope_for(m, _me.agent_id)
    from (
      (select s.* from mesh_data.message s
        where s.mesh_id = _me.mesh_id and s.sender_agent_id = _me.agent_id and s.message_id < _before
          and (_with is null or exists (select from mesh_data.delivery d where d.message_id = s.message_id and d.agent_id = _with))
          and (_query is null or strpos(lower(s.body), _query) > 0)
        order by s.message_id desc limit list_messages."limit")
      union all
      select r.* from mesh_data.message r
      where r.message_id = any (mesh_lib.received(_me.agent_id, _with, _query, _before, list_messages."limit"))
      order by message_id desc limit list_messages."limit"
    ) m
    join mesh_data.agent a on a.agent_id = m.sender_agent_id
    order by m.message_id;
end
$$;
comment on function mesh.list_messages is $$---
cli: history <with>
alias: message list, messages
who: agent
mcp: core
columns: sent_at from to message message_id
---
List messages you sent and received, or all of a room you are in: the newest of them, in the order they were sent; outside of rooms a sealed mesh goes by the clocks of their senders.
with: only what passed between you and this agent, or in a room what it said; or a #room, like room. Default all.
room: a room you are in, with all that was said there; default your own messages.
query: only messages with this text in them, upper or lower case, in an open mesh; in a sealed one search with --grep. Default all.
before: the id of a message: only older ones; default the newest.
limit: how many at most, 1 to 1,000; default 50.
example: mesh history designer
example: mesh history --room '#release' --query "rollback"$$;
alter function mesh.list_messages(text, text, text, uuid, integer) owner to mesh_definer;
grant execute on function mesh.list_messages(text, text, text, uuid, integer) to mesh_agent;
