-- Rooms: #name. Who is in one, and whose turn it is to speak there.

-- A room's name as it is stored, of #name or name.
create function mesh_lib.room_name(address text) returns text
language sql immutable set search_path = '' as $$ select regexp_replace(lower(btrim(room_name.address)), '^#', '') $$;

-- The address of a room today; it may have been renamed since something was said there. Null when it is closed and
-- another room has its name.
create function mesh_lib.room_address(room_id uuid) returns text
language sql stable set search_path = '' as $$
  select '#' || r.name from mesh_data.room r
  where r.room_id = room_address.room_id and (r.closed_at is null or not exists (
    select from mesh_data.room o where o.mesh_id = r.mesh_id and o.name = r.name and o.closed_at is null))
$$;

-- ME410: a room is closed.
create function mesh_lib.fail_closed(name text) returns void
language plpgsql stable set search_path = '' as $$
begin
  perform mesh_lib.fail(410, format('the room #%s is closed', fail_closed.name), 'mesh room history ' || fail_closed.name);
end
$$;

-- The open room of this name, ME410 when there are only closed ones, ME404 with those there are when there is none.
create function mesh_lib.room_named(mesh_id uuid, name text) returns mesh_data.room
language plpgsql stable set search_path = '' as $$
declare
  _name constant text := mesh_lib.room_name(room_named.name);
  _room mesh_data.room;
begin
  select r.* into _room from mesh_data.room r where r.mesh_id = room_named.mesh_id and r.name = _name and r.closed_at is null;
  if found then
    return _room;
  elsif exists (select from mesh_data.room r where r.mesh_id = room_named.mesh_id and r.name = _name) then
    perform mesh_lib.fail_closed(_name);
  end if;
  perform mesh_lib.fail(404, format('there is no room %L in this mesh', '#' || left(_name, 63)), 'mesh room list',
    jsonb_build_object('asked', '#' || left(_name, 63), 'candidates', (
      select coalesce(jsonb_agg(jsonb_build_object('name', '#' || c.name) order by c.name), '[]')
      from (select r.name from mesh_data.room r where r.mesh_id = room_named.mesh_id and r.closed_at is null order by r.name limit 100) c)));
  return null;
end
$$;

-- The agents in a room, in the order of their turns.
create function mesh_lib.room_agents(room_id uuid) returns uuid[]
language sql stable set search_path = '' as $$
  select coalesce(array_agg(m.agent_id order by m.ordinal), '{}')
  from mesh_data.room_member m join mesh_data.agent a on a.agent_id = m.agent_id
  where m.room_id = room_agents.room_id and a.removed_at is null
$$;

-- ME403: what who is not in a room is told.
create function mesh_lib.fail_outside(room mesh_data.room) returns void
language plpgsql stable set search_path = '' as $$
begin
  perform mesh_lib.fail(403, format('you are not in #%s', (fail_outside.room).name),
    case when (fail_outside.room).closed_at is null then 'mesh room join ' || (fail_outside.room).name else '' end);
end
$$;

-- The room this agent may read: the open one of this name, or the last that was closed, or any by its id. ME404, ME403.
create function mesh_lib.room_to_read(me mesh_lib.identity, room text) returns uuid
language plpgsql stable set search_path = '' as $$
declare
  _name constant text := mesh_lib.room_name(room_to_read.room);
  _room mesh_data.room;
begin
  select r.* into _room from mesh_data.room r
  where r.mesh_id = (room_to_read.me).mesh_id and (r.name = _name or r.room_id::text = _name)
  order by r.closed_at desc limit 1;
  if not found then
    _room := mesh_lib.room_named((room_to_read.me).mesh_id, _name);
  elsif (room_to_read.me).agent_id <> all (mesh_lib.room_agents(_room.room_id)) then
    perform mesh_lib.fail_outside(_room);
  end if;
  return _room.room_id;
end
$$;

-- A message that somebody may read: sent by it, sent to it, or said in a room it is in, also before it came. Or null.
create function mesh_lib.readable(me mesh_lib.identity, message_id uuid) returns mesh_data.message
language plpgsql stable set search_path = '' as $$
declare
  _message mesh_data.message;
begin
  select m.* into _message from mesh_data.message m
  where m.message_id = readable.message_id and m.mesh_id = (readable.me).mesh_id and (m.sender_agent_id = (readable.me).agent_id
    or exists (select from mesh_data.delivery d where d.message_id = m.message_id and d.agent_id = (readable.me).agent_id)
    or exists (select from mesh_data.room_member r where r.room_id = m.room_id and r.agent_id = (readable.me).agent_id));
  return _message;
end
$$;

-- A definer: a message the caller may read, or ME404.
create function mesh_lib.message_to_read(message_id uuid) returns mesh_data.message
language plpgsql stable security definer set search_path = '' as $$
declare
  _message constant mesh_data.message := mesh_lib.readable(mesh_lib.me(), message_to_read.message_id);
begin
  if _message.message_id is null then
    perform mesh_lib.fail(404, 'there is no such message, or you are no party to it', 'mesh history');
  end if;
  return _message;
end
$$;
alter function mesh_lib.message_to_read(uuid) owner to mesh_definer;
grant execute on function mesh_lib.message_to_read(uuid) to mesh_agent;

-- Whom #name means: all in the room, if the sender is one of them.
create function mesh_lib.room_recipients(me mesh_lib.identity, address text) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  _room constant mesh_data.room := mesh_lib.room_named((room_recipients.me).mesh_id, room_recipients.address);
  _agents constant uuid[] := mesh_lib.room_agents(_room.room_id);
begin
  if (room_recipients.me).agent_id <> all (_agents) then
    perform mesh_lib.fail_outside(_room);
  end if;
  return _agents;
end
$$;

-- The room a letter is spoken in, of an address which is a room's. A letter has one, or it would need two turns.
create function mesh_lib.letter_room(letter mesh_lib.letter, address text) returns uuid
language plpgsql stable set search_path = '' as $$
declare
  _room constant mesh_data.room := mesh_lib.room_named((letter_room.letter.me).mesh_id, letter_room.address);
begin
  if (letter_room.letter).room_id <> _room.room_id then
    perform mesh_lib.fail(400, 'a message goes to one room at most', 'mesh room list');
  end if;
  return _room.room_id;
end
$$;

-- Whom a room's calls name: agents, by any address that send_message takes. ME413.
create function mesh_lib.agents_at(addresses text[]) returns uuid[]
language plpgsql volatile set search_path = '' as $$
declare
  _addresses constant text[] := mesh_lib.addresses(to_jsonb(nullif(array_to_string(agents_at.addresses, ','), '')));
begin
  if cardinality(_addresses) > 1000 then
    perform mesh_lib.fail(413, 'at most 1,000 names at a time', 'mesh group list');
  end if;
  return (
    select coalesce(array_agg(r.agent_id order by u.n), '{}')
    from unnest(_addresses) with ordinality u (address, n)
    cross join lateral unnest(mesh_lib.recipients(mesh_lib.me(), u.address, true)) r (agent_id));
end
$$;

-- A mode of rooms, or ME400.
create function mesh_lib.room_mode(word text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  if lower(room_mode.word) not in ('free', 'round-robin', 'reactive', 'moderated') then
    perform mesh_lib.fail(400, format('there is no mode %L: use free, round-robin, reactive or moderated', left(room_mode.word, 63)), '');
  end if;
  return lower(room_mode.word);
end
$$;

-- ME403 unless the caller made this room, moderates it, or may manage the mesh.
create function mesh_lib.must_run_room(room mesh_data.room) returns void
language plpgsql stable set search_path = '' as $$
begin
  if not coalesce(mesh_lib.my_agent() = any (array[(must_run_room.room).created_by_agent_id, (must_run_room.room).moderator_agent_id]), false)
    and (must_run_room.room).mesh_id <> all (mesh_lib.managed_meshes())
  then
    perform mesh_lib.fail(403, format('only who made #%s, its moderator and keys that manage the mesh may do that', (must_run_room.room).name), 'mesh room list');
  end if;
end
$$;

-- A room as its members see it, with their names in the order of turns.
create function mesh_lib.room_state(room_id uuid, out topic text, out mode text, out moderator text, out members text[], out turn text)
language sql stable set search_path = '' as $$
  select r.topic, r.mode, (select a.name from mesh_data.agent a where a.agent_id = r.moderator_agent_id),
    array(select a.name from unnest(mesh_lib.room_agents(r.room_id)) with ordinality u (agent_id, n) join mesh_data.agent a on a.agent_id = u.agent_id order by u.n),
    (select a.name from mesh_data.agent a where a.agent_id = mesh_lib.floor_of(r))
  from mesh_data.room r where r.room_id = room_state.room_id
$$;

-- A definer: who is in a room is written here and by leave_room only. Whoever brings agents in is in the room, or one of
-- them. Who is there already stays where it is.
create function mesh_lib.seat(room_id uuid, agents uuid[]) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _room mesh_data.room;
begin
  -- Locked, so that a closed room stays as it was and the limit holds.
  select r.* into _room from mesh_data.room r where r.room_id = seat.room_id and r.mesh_id = mesh_lib.my_mesh() for no key update;
  if _room.closed_at is not null then
    perform mesh_lib.fail_closed(_room.name);
  elsif _room.room_id is null or mesh_lib.my_agent() <> all (seat.agents)
    and not exists (select from mesh_data.room_member m where m.room_id = _room.room_id and m.agent_id = mesh_lib.my_agent())
  then
    perform mesh_lib.fail(403, 'who brings others into a room is in it', 'mesh room list');
  end if;
  insert into mesh_data.room_member (room_id, agent_id, mesh_id)
  select _room.room_id, a.agent_id, a.mesh_id
  from unnest(seat.agents) with ordinality u (agent_id, n) join mesh_data.agent a on a.agent_id = u.agent_id
  where a.mesh_id = _room.mesh_id and a.removed_at is null
  order by u.n on conflict do nothing;
  if cardinality(mesh_lib.room_agents(_room.room_id)) > 1000 then
    perform mesh_lib.fail(429, 'a room can have 1,000 members at most', 'mesh room list');
  end if;
end
$$;
alter function mesh_lib.seat(uuid, uuid[]) owner to mesh_definer;
grant execute on function mesh_lib.seat(uuid, uuid[]) to mesh_agent;

-- Who speaks after this agent in a round: the next one who is there, or null.
create function mesh_lib.next_speaker(room_id uuid, agent_id uuid) returns uuid
language sql stable set search_path = '' as $$
  select o.agent_id
  from (
    -- Sorted first, so that presence is asked of one after the other until somebody is there.
    select m.agent_id from mesh_data.room_member m
    join mesh_data.agent a on a.agent_id = m.agent_id
    where m.room_id = next_speaker.room_id and m.agent_id <> next_speaker.agent_id and a.removed_at is null
    order by m.ordinal < coalesce((
      select b.ordinal from mesh_data.room_member b where b.room_id = next_speaker.room_id and b.agent_id = next_speaker.agent_id), 0), m.ordinal
    offset 0
  ) o
  where (mesh_lib.peer_status(o.agent_id)).status <> 'offline'
  limit 1
$$;

-- Whose turn it is in a room; null when anybody may speak (in a reactive room: anybody but who spoke last). In a round the
-- turn of who is gone passes on; in a moderated room it falls back to the moderator, and to everybody once that one was removed.
create function mesh_lib.floor_of(room mesh_data.room) returns uuid
language plpgsql stable set search_path = '' as $$
declare
  _holder uuid := (floor_of.room).floor_agent_id;
begin
  if _holder is not null and not exists (
    select from mesh_data.room_member m join mesh_data.agent a on a.agent_id = m.agent_id
    where m.room_id = (floor_of.room).room_id and m.agent_id = _holder and a.removed_at is null)
  then
    _holder := null;
  end if;
  return case (floor_of.room).mode
    when 'moderated' then coalesce(_holder,
      (select a.agent_id from mesh_data.agent a where a.agent_id = (floor_of.room).moderator_agent_id and a.removed_at is null))
    when 'round-robin' then case
      when (floor_of.room).floor_agent_id is null then null
      when (mesh_lib.peer_status(_holder)).status <> 'offline' then _holder
      else mesh_lib.next_speaker((floor_of.room).room_id, (floor_of.room).floor_agent_id) end
  end;
end
$$;

-- ME409 with whose turn it is, unless this agent may speak in a room now. False: it speaks, and takes nobody's turn.
create function mesh_lib.check_turn(room mesh_data.room, agent_id uuid) returns boolean
language plpgsql stable set search_path = '' as $$
declare
  _turn uuid;
  _turn_name text;
begin
  if (check_turn.room).mode = 'round-robin' and exists (select from mesh_data.agent a where a.agent_id = check_turn.agent_id and a.kind = 'person') then
    -- Turns are for agents: a person speaks at any time.
    return false;
  end if;
  _turn := mesh_lib.floor_of(check_turn.room);
  if (check_turn.room).mode = 'reactive' and check_turn.agent_id = (check_turn.room).floor_agent_id then
    perform mesh_lib.fail(409, format('you spoke last in #%s: wait until somebody else has spoken', (check_turn.room).name), '');
  elsif _turn <> check_turn.agent_id and ((check_turn.room).mode <> 'moderated' or check_turn.agent_id <> (check_turn.room).moderator_agent_id) then
    _turn_name := (select a.name from mesh_data.agent a where a.agent_id = _turn);
    perform mesh_lib.fail(409, format('it is the turn of %s in #%s', _turn_name, (check_turn.room).name), 'mesh room list', jsonb_build_object('turn', _turn_name));
  end if;
  return true;
end
$$;

-- An agent speaks: the floor moves on, or ME409 with whose turn it is. The room is locked until the message is there.
create function mesh_lib.take_floor(room_id uuid, agent_id uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  _room mesh_data.room;
  _next uuid;
begin
  select r.* into _room from mesh_data.room r where r.room_id = take_floor.room_id for no key update;
  if _room.closed_at is not null then
    perform mesh_lib.fail_closed(_room.name);
  end if;
  if not mesh_lib.check_turn(_room, take_floor.agent_id) then
    return;
  end if;
  _next := case _room.mode when 'round-robin' then mesh_lib.next_speaker(_room.room_id, take_floor.agent_id)
    when 'reactive' then take_floor.agent_id else _room.floor_agent_id end;
  update mesh_data.room r set floor_agent_id = _next where r.room_id = _room.room_id and r.floor_agent_id is distinct from _next;
end
$$;

-- Letters to rooms with turns, in order: each takes its turn, or has an error. Called when nothing else can refuse a
-- letter, for a refused one takes no turn. Rooms are locked in the order of their ids.
create function mesh_lib.take_floors(inout letters mesh_lib.letter[])
language plpgsql volatile set search_path = '' as $$
declare
  _rooms uuid[];
  _sqlstate text; _message text; _hint text; _detail text; _constraint text;
begin
  select array_agg(r.room_id) into _rooms
  from (
    select r.room_id from mesh_data.room r
    where r.room_id = any (array(select l.room_id from unnest(letters) l where l.error is null and not l.duplicate and l.notice is null)) and r.mode <> 'free'
    order by r.room_id for no key update
  ) r;
  if _rooms is null then
    return;
  end if;
  for _i in 1..cardinality(letters) loop
    continue when letters[_i].error is not null or letters[_i].duplicate or letters[_i].notice is not null or not coalesce(letters[_i].room_id = any (_rooms), false);
    begin
      perform mesh_lib.take_floor(letters[_i].room_id, ((letters[_i]).me).agent_id);
    exception when others then
      get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint,
        _detail = pg_exception_detail, _constraint = constraint_name;
      letters[_i].error := mesh_lib.error_object(_sqlstate, _message, _hint, _detail, _constraint);
    end;
  end loop;
end
$$;
