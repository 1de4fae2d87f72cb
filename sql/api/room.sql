-- Rooms: named conversations with members, a history and turns. Everybody in the mesh sees which there are, and may join.

grant select on mesh_data.room, mesh_data.room_member to mesh_agent;
grant insert (mesh_id, name, topic, mode, moderator_agent_id, created_by_agent_id),
  update (name, topic, mode, floor_agent_id, moderator_agent_id, closed_at) on mesh_data.room to mesh_agent;
create policy room_select on mesh_data.room for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy room_insert on mesh_data.room for insert to mesh_agent
  with check (mesh_id = (select mesh_lib.my_mesh()) and created_by_agent_id = (select mesh_lib.my_agent()));
create policy room_update on mesh_data.room for update to mesh_agent
  using (created_by_agent_id = (select mesh_lib.my_agent()) or moderator_agent_id = (select mesh_lib.my_agent())
    or mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]))
  with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy room_member_select on mesh_data.room_member for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));

create function mesh.create_room(name text, inout members text[] default null, inout mode text default 'free', inout moderator text default null,
  inout topic text default null, out room text, out room_id uuid, out turn text, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _name constant text := mesh_lib.checked_name(mesh_lib.room_name(create_room.name), 'a room');
  _mode constant text := mesh_lib.room_mode(coalesce(create_room.mode, 'free'));
  _moderator constant uuid := case when create_room.moderator is not null then mesh_lib.agent_id_of(_me.mesh_id, lower(btrim(create_room.moderator)))
    when _mode = 'moderated' then _me.agent_id end;
begin
  if (select count(*) from mesh_data.room r where r.mesh_id = _me.mesh_id and r.closed_at is null) >= 1000 then
    perform mesh_lib.fail(429, 'a mesh can have 1,000 open rooms at most', 'mesh room list');
  end if;
  insert into mesh_data.room (mesh_id, name, topic, mode, moderator_agent_id, created_by_agent_id)
  values (_me.mesh_id, _name, mesh_lib.checked_text(create_room.topic, 'the topic', 500), _mode, _moderator, _me.agent_id)
  on conflict do nothing returning room.room_id into create_room.room_id;
  if not found then
    perform mesh_lib.fail(409, format('there is a room #%s already', _name), 'mesh room join ' || _name);
  end if;
  perform mesh_lib.seat(create_room.room_id, array[_me.agent_id, coalesce(_moderator, _me.agent_id)] || mesh_lib.agents_at(create_room.members));
  select s.* into create_room.topic, create_room.mode, create_room.moderator, create_room.members, create_room.turn
  from mesh_lib.room_state(create_room.room_id) s;
  perform mesh_lib.record(_me.mesh_id, 'room_created', jsonb_build_object('room', _name, 'room_id', create_room.room_id));
  create_room.room := '#' || _name;
  create_room.next := format('mesh send ''#%s'' "hello"', _name);
end
$$;
comment on function mesh.create_room is $$---
cli: room create <name> <members>
who: agent
---
Create a room, a named conversation with a history, and be its first member. Its members are written to all at once as #name.
name: the room's name, with or without #; no other open room of the mesh has it.
members: who else is in it: names, @groups, role:x or *; up to 1,000 agents. Default none yet: anybody may join.
mode: who may speak when: free, round-robin (one after the other, in the order they joined), reactive (nobody twice in a row) or moderated (whom the moderator gives the floor).
moderator: the agent who gives the floor, and may edit and close the room; default you in a moderated room, else none.
topic: what it is about, up to 500 characters; default none.
example: mesh room create standup alice bob --mode round-robin --topic "what is next"$$;
grant execute on function mesh.create_room(text, text[], text, text, text) to mesh_agent;

create function mesh.join_room(inout room text, out topic text, out mode text, out moderator text, out members text[], out turn text, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _room constant mesh_data.room := mesh_lib.room_named(mesh_lib.my_mesh(), join_room.room);
begin
  perform mesh_lib.seat(_room.room_id, array[mesh_lib.my_agent()]);
  select s.* into join_room.topic, join_room.mode, join_room.moderator, join_room.members, join_room.turn from mesh_lib.room_state(_room.room_id) s;
  join_room.room := '#' || _room.name;
  join_room.next := 'mesh room history ' || _room.name;
end
$$;
comment on function mesh.join_room is $$---
cli: room join <room>
who: agent
mcp: core
---
Join a room: from now on you get what is said there, and may read what was said before. Joining again tells who is in it.
room: the room's name, with or without #.
example: mesh room join standup$$;
grant execute on function mesh.join_room(text) to mesh_agent;

-- A definer: mesh_agent deletes nothing.
create function mesh.leave_room(inout room text, out members text[])
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _room mesh_data.room := mesh_lib.room_named(_me.mesh_id, leave_room.room);
begin
  select r.* into _room from mesh_data.room r where r.room_id = _room.room_id for no key update;
  if _me.agent_id <> all (mesh_lib.room_agents(_room.room_id)) then
    perform mesh_lib.fail(404, format('you are not in #%s', _room.name), 'mesh room list');
  elsif _room.mode = 'moderated' and _room.moderator_agent_id = _me.agent_id then
    perform mesh_lib.fail(409, format('you moderate #%s: name another moderator before you leave', _room.name), format('mesh room edit %s --help', _room.name));
  end if;
  -- A turn passes on. Who spoke last stays who spoke last, or it could speak twice in a row by leaving and joining.
  update mesh_data.room r set moderator_agent_id = nullif(r.moderator_agent_id, _me.agent_id),
    floor_agent_id = case when r.floor_agent_id <> _me.agent_id or r.mode = 'reactive' then r.floor_agent_id
      when r.mode = 'round-robin' then mesh_lib.next_speaker(r.room_id, _me.agent_id) end
  where r.room_id = _room.room_id;
  delete from mesh_data.room_member m where m.room_id = _room.room_id and m.agent_id = _me.agent_id;
  leave_room.members := (mesh_lib.room_state(_room.room_id)).members;
  leave_room.room := '#' || _room.name;
end
$$;
comment on function mesh.leave_room is $$---
cli: room leave <room>
who: agent
---
Leave a room: what is said there no longer reaches you. Whatever you got before stays in your inbox.
room: the room's name, with or without #.
example: mesh room leave standup$$;
alter function mesh.leave_room(text) owner to mesh_definer;
grant execute on function mesh.leave_room(text) to mesh_agent;

create function mesh.invite_to_room(inout room text, agents text[], out members text[])
language plpgsql volatile set search_path = '' as $$
declare
  _room constant mesh_data.room := mesh_lib.room_named(mesh_lib.my_mesh(), invite_to_room.room);
begin
  if mesh_lib.my_agent() <> all (mesh_lib.room_agents(_room.room_id)) then
    perform mesh_lib.fail_outside(_room);
  end if;
  perform mesh_lib.seat(_room.room_id, mesh_lib.agents_at(invite_to_room.agents));
  invite_to_room.members := (mesh_lib.room_state(_room.room_id)).members;
  invite_to_room.room := '#' || _room.name;
end
$$;
comment on function mesh.invite_to_room is $$---
cli: room invite <room> <agents>
who: agent
---
Bring agents into a room you are in. They are members at once, and leave when they like.
room: the room's name, with or without #.
agents: whom: names, @groups, role:x or *; 1,000 of them at most.
example: mesh room invite standup carol dave$$;
grant execute on function mesh.invite_to_room(text, text[]) to mesh_agent;

create function mesh.edit_room(inout room text, name text default null, inout topic text default null, inout mode text default null,
  inout moderator text default null, out members text[], out turn text)
language plpgsql volatile set search_path = '' as $$
declare
  _room constant mesh_data.room := mesh_lib.room_named(mesh_lib.my_mesh(), edit_room.room);
  _mode constant text := coalesce(mesh_lib.room_mode(edit_room.mode), _room.mode);
  _moderator uuid := _room.moderator_agent_id;
begin
  perform mesh_lib.must_run_room(_room);
  if edit_room.moderator is not null then
    _moderator := case when edit_room.moderator <> '' then mesh_lib.agent_id_of(_room.mesh_id, lower(btrim(edit_room.moderator))) end;
  end if;
  if _mode = 'moderated' then
    _moderator := coalesce(_moderator, _room.created_by_agent_id);
  end if;
  if _moderator is distinct from _room.moderator_agent_id and _moderator <> all (mesh_lib.room_agents(_room.room_id)) then
    perform mesh_lib.fail(409, format('the moderator of #%s is to be one of its members', _room.name), format('mesh room invite %s --help', _room.name));
  end if;
  begin
    update mesh_data.room r
    set name = coalesce(mesh_lib.checked_name(mesh_lib.room_name(edit_room.name), 'a room'), r.name), mode = _mode, moderator_agent_id = _moderator,
      topic = case when edit_room.topic is null then r.topic else mesh_lib.checked_text(edit_room.topic, 'the topic', 500) end,
      -- A new mode begins anew.
      floor_agent_id = case when r.mode = _mode then r.floor_agent_id end
    where r.room_id = _room.room_id
    returning '#' || r.name into edit_room.room;
  exception when unique_violation then
    perform mesh_lib.fail(409, format('there is a room #%s already', mesh_lib.room_name(edit_room.name)), 'mesh room list');
  end;
  select s.* into edit_room.topic, edit_room.mode, edit_room.moderator, edit_room.members, edit_room.turn from mesh_lib.room_state(_room.room_id) s;
  perform mesh_lib.record(_room.mesh_id, 'room_edited', jsonb_build_object('room', ltrim(edit_room.room, '#'), 'room_id', _room.room_id));
end
$$;
comment on function mesh.edit_room is $$---
cli: room edit <room>
who: agent
---
Change a room's topic, mode, moderator or name, if you made it, moderate it or may manage the mesh. What is left out stays; an empty text removes.
room: the room's present name, with or without #.
name: its new name; its members and its history stay.
topic: what it is about, up to 500 characters.
mode: free, round-robin, reactive or moderated; with a new one turns begin anew.
moderator: the member who gives the floor; default of a moderated room who made it.
example: mesh room edit standup --mode moderated --moderator alice$$;
grant execute on function mesh.edit_room(text, text, text, text, text) to mesh_agent;

create function mesh.close_room(inout room text, out room_id uuid, out closed_at timestamptz, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _room constant mesh_data.room := mesh_lib.room_named(mesh_lib.my_mesh(), close_room.room);
begin
  perform mesh_lib.must_run_room(_room);
  update mesh_data.room r set closed_at = mesh_lib.now() where r.room_id = _room.room_id and r.closed_at is null
  returning '#' || r.name, r.room_id, r.closed_at into close_room.room, close_room.room_id, close_room.closed_at;
  if not found then
    perform mesh_lib.fail_closed(_room.name);
  end if;
  perform mesh_lib.record(_room.mesh_id, 'room_closed', jsonb_build_object('room', _room.name, 'room_id', _room.room_id));
  close_room.next := 'mesh room history ' || _room.name;
end
$$;
comment on function mesh.close_room is $$---
cli: room close <room>
who: agent
destructive: yes
---
Close a room, if you made it, moderate it or may manage the mesh. Nothing is said there any more; its members can still read it, and its name is free.
room: the room's name, with or without #.
example: mesh room close standup$$;
grant execute on function mesh.close_room(text) to mesh_agent;

create function mesh.give_floor(inout room text, agent text, out turn text)
language plpgsql volatile set search_path = '' as $$
declare
  _room constant mesh_data.room := mesh_lib.room_named(mesh_lib.my_mesh(), give_floor.room);
  _agent constant mesh_data.agent := mesh_lib.agent_named(give_floor.agent);
begin
  if _room.mode <> 'moderated' then
    perform mesh_lib.fail(409, format('#%s is no moderated room: nobody gives the floor there', _room.name), format('mesh room edit %s --mode moderated', _room.name));
  elsif _room.moderator_agent_id <> mesh_lib.my_agent() then
    perform mesh_lib.fail(403, format('only the moderator of #%s gives the floor', _room.name), 'mesh room list');
  elsif _agent.agent_id <> all (mesh_lib.room_agents(_room.room_id)) then
    perform mesh_lib.fail(409, format('%s is not in #%s', _agent.name, _room.name), format('mesh room invite %s %s', _room.name, _agent.name));
  end if;
  update mesh_data.room r set floor_agent_id = _agent.agent_id where r.room_id = _room.room_id;
  give_floor.room := '#' || _room.name;
  give_floor.turn := _agent.name;
end
$$;
comment on function mesh.give_floor is $$---
cli: room floor <room> <agent>
who: agent
---
Give the floor of a room you moderate to one of its members, who speaks there until you give it to another. You may always speak.
room: the room's name, with or without #.
agent: the member's name.
example: mesh room floor standup bob$$;
grant execute on function mesh.give_floor(text, text) to mesh_agent;

create function mesh.list_rooms() returns table (
  room text, topic text, mode text, members bigint, member boolean, turn text, unread bigint, moderator text, created_at timestamptz, room_id uuid
)
language sql stable set search_path = '' as $$
  with mail as (
    select m.room_id, count(*) as unread
    from mesh_data.delivery d join mesh_data.message m on m.message_id = d.message_id
    where d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered') and mesh_lib.is_due(d.due_at, d.expires_at)
    group by m.room_id
  ), seats as (
    select s.room_id, count(*) as members, bool_or(s.agent_id = (select mesh_lib.my_agent())) as member
    from mesh_data.room_member s join mesh_data.agent a on a.agent_id = s.agent_id
    where s.mesh_id = (select mesh_lib.my_mesh()) and a.removed_at is null
    group by s.room_id
  )
  select '#' || r.name, r.topic, r.mode, coalesce(s.members, 0), coalesce(s.member, false), t.name, coalesce(u.unread, 0), o.name, r.created_at, r.room_id
  from mesh_data.room r
  left join seats s on s.room_id = r.room_id
  left join mail u on u.room_id = r.room_id
  left join mesh_data.agent o on o.agent_id = r.moderator_agent_id
  left join mesh_data.agent t on t.agent_id = case when r.mode in ('round-robin', 'moderated') then mesh_lib.floor_of(r) end
  where r.mesh_id = (select mesh_lib.my_mesh()) and r.closed_at is null
  order by r.name
$$;
comment on function mesh.list_rooms is $$---
cli: room list <mesh>
alias: rooms
who: agent
columns: room topic mode members member turn unread moderator
---
List the open rooms of the mesh: topic, mode, how many members, whether you are one, whose turn it is (empty: anybody's), and how much of your open mail is from there.
example: mesh room list$$;
grant execute on function mesh.list_rooms() to mesh_agent;

-- A definer: who joins later may read what was sent to others before. Filters by mesh and membership itself.
create function mesh.room_history(room text, thread uuid default null, before uuid default null, "limit" integer default 50) returns table (
  message_id uuid, "from" text, message text, reply_to uuid, answers bigint, mentions text[], sent_at timestamptz, data jsonb, envelope mesh.envelope
)
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _room_id constant uuid := mesh_lib.room_to_read(_me, room_history.room);
  _before bigint;
begin
  if room_history."limit" not between 1 and 200 then
    perform mesh_lib.fail(400, 'limit is 1 to 200', '');
  elsif exists (
    select from unnest(array[room_history.thread, room_history.before]) u (id)
    where u.id is not null and not exists (select from mesh_data.message m where m.message_id = u.id and m.room_id = _room_id)
  ) then
    perform mesh_lib.fail(404, 'there is no such message in this room', 'mesh room history ' || mesh_lib.room_name(room_history.room));
  end if;
  _before := coalesce((select m.position from mesh_data.message m where m.message_id = room_history.before), 9223372036854775807);
  return query
    select h.message_id, a.name, coalesce(h.body, h.notice), h.reply_to,
      (select count(*) from mesh_data.message n where n.reply_to = h.message_id and n.room_id = _room_id),
      h.mentions, h.sent_at, h.data, mesh_lib.envelope_for(h, _me.agent_id)
    from (
      select m.* from mesh_data.message m
      where m.room_id = _room_id and m.position < _before
        and (room_history.thread is null or m.message_id = room_history.thread or m.reply_to = room_history.thread)
      order by m.position desc limit room_history."limit"
    ) h
    join mesh_data.agent a on a.agent_id = h.sender_agent_id
    order by h.position;
end
$$;
comment on function mesh.room_history is $$---
cli: room history <room>
who: agent
columns: sent_at from message answers reply_to message_id
---
Read what was said in a room you are in, also before you joined, the newest last. Takes nothing out of your inbox.
room: the room's name, with or without #, also of a closed one; or its id.
thread: the id of a message: only that one and the answers to it; default all.
before: the id of a message: only what was said before it; default up to now.
limit: how many at most, 1 to 200, the newest ones; default 50.
example: mesh room history standup
example: mesh room history standup --limit 10$$;
alter function mesh.room_history(text, uuid, uuid, integer) owner to mesh_definer;
grant execute on function mesh.room_history(text, uuid, uuid, integer) to mesh_agent;
