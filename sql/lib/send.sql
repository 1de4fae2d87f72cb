-- Sending. Every message, alone or in a batch, goes through mesh_lib.deliver: the rules of one letter are in
-- mesh_lib.addressed, and what is written for all of them is written once.

-- A message on its way.
create type mesh_lib.letter as (
  ordinal integer, me mesh_lib.identity, addresses text[], body text, data jsonb, key text, reply_to uuid,
  priority smallint, message_id uuid, duplicate boolean, error json
);

-- The addresses in a JSON text with commas between them, or a JSON array.
create function mesh_lib.addresses("to" jsonb) returns text[]
language sql immutable set search_path = '' as $$
  select array_agg(lower(btrim(t))) from (
    select jsonb_array_elements_text(addresses."to") as t where jsonb_typeof(addresses."to") = 'array'
    union all
    select unnest(string_to_array(addresses."to" #>> '{}', ',')) where jsonb_typeof(addresses."to") <> 'array') a
$$;

-- A recipient's inbox may hold this many unacknowledged messages; then its senders are refused.
create function mesh_lib.inbox_limit() returns integer
language sql immutable return 10000;

-- Priorities as they are stored: mail is taken in this order.
create function mesh_lib.priority(word text) returns smallint
language sql immutable return case lower(priority.word) when 'now' then 0 when 'next' then 1 when 'low' then 2 end::smallint;

-- Whether mail of a priority is shown to an agent with this status before it asks.
create function mesh_lib.is_pushed(priority smallint, status text) returns boolean
language sql immutable return case is_pushed.priority when 0 then true when 1 then is_pushed.status not in ('working', 'dnd') else is_pushed.status in ('idle', 'waiting') end;

-- Whom an address means to this sender: * is everybody else. No rows: nobody has that name.
create function mesh_lib.recipients(me mesh_lib.identity, address text) returns setof uuid
language plpgsql stable set search_path = '' as $$
begin
  if recipients.address = '*' then
    return query select a.agent_id from mesh_data.agent a
      where a.mesh_id = (recipients.me).mesh_id and a.removed_at is null and a.agent_id <> (recipients.me).agent_id;
  else
    return query select a.agent_id from mesh_data.agent a
      where a.mesh_id = (recipients.me).mesh_id and a.name = lower(recipients.address) and a.removed_at is null;
  end if;
end
$$;

-- The recipients of a letter that breaks no rule, without its sender; each once.
create function mesh_lib.addressed(letter mesh_lib.letter) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  _me constant mesh_lib.identity := letter.me;
  _address text;
  _found uuid[];
  _all uuid[] := '{}'::uuid[];
begin
  if cardinality(letter.addresses) not between 1 and 1000 then
    perform mesh_lib.fail(400, 'a message goes to 1 to 1,000 addresses', 'mesh peers');
  elsif letter.priority is null then
    perform mesh_lib.fail(400, 'priority is now, next or low', '');
  elsif letter.body = '' then
    perform mesh_lib.fail(400, 'a message has 1 to 65,536 bytes', '');
  elsif octet_length(letter.body) > 65536 then
    perform mesh_lib.fail(413, 'a message has 1 to 65,536 bytes', '');
  elsif octet_length(letter.data::text) > 65536 then
    perform mesh_lib.fail(413, 'the data of a message has at most 65,536 bytes', '');
  end if;
  foreach _address in array letter.addresses loop
    _found := array(select mesh_lib.recipients(_me, _address));
    if cardinality(_found) = 0 and _address <> '*' then
      perform mesh_lib.fail(404, format('there is no agent %L in this mesh', left(_address, 63)), 'mesh peers',
        jsonb_build_object('asked', left(_address, 63), 'candidates', array(
          select a.name from mesh_data.agent a where a.mesh_id = _me.mesh_id and a.removed_at is null order by a.name limit 100)));
    elsif _found = array[_me.agent_id] and cardinality(letter.addresses) = 1 then
      perform mesh_lib.fail(400, 'that is you: a message goes to somebody else', 'mesh peers');
    end if;
    _all := _all || _found;
  end loop;
  if cardinality(letter.addresses) > 1 then
    _all := array(select distinct u from unnest(_all) u where u <> _me.agent_id);
  end if;
  return _all;
end
$$;

-- Store letters with a delivery for each recipient. Returns the letters, with the message each one is: of a repeated
-- one the message it repeats, of a refused one the error. A definer: it writes and counts the inboxes of others.
create function mesh_lib.deliver(inout letters mesh_lib.letter[])
language plpgsql volatile security definer set search_path = '' as $$
declare
  _recipients uuid[];
  _ordinals integer[] := '{}'::integer[];
  _agents uuid[] := '{}'::uuid[];
  _refused integer[] := '{}'::integer[];
  _errors json[] := '{}'::json[];
  _sqlstate text; _message text; _hint text; _detail text; _constraint text;
begin
  if exists (select from unnest(letters) l where l.key is not null) then
    letters := mesh_lib.claim_keys(letters);
  end if;
  for _i in 1..cardinality(letters) loop
    continue when letters[_i].duplicate or letters[_i].error is not null;
    begin
      _recipients := mesh_lib.addressed(letters[_i]);
      _agents := _agents || _recipients;
      _ordinals := _ordinals || array_fill(_i, array[cardinality(_recipients)]);
    exception when others then
      get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint,
        _detail = pg_exception_detail, _constraint = constraint_name;
      _refused := _refused || _i;
      _errors := _errors || mesh_lib.error_object(_sqlstate, _message, _hint, _detail, _constraint);
    end;
  end loop;
  -- A full inbox refuses its senders; all of a letter is refused, or none.
  select _refused || coalesce(array_agg(f.ordinal), '{}'), _errors || coalesce(array_agg(f.error), '{}') into _refused, _errors
  from mesh_lib.full_inboxes(_ordinals, _agents) f;
  for _i in 1..cardinality(_refused) loop
    letters[_refused[_i]].error := _errors[_i];
  end loop;

  insert into mesh_data.message (message_id, mesh_id, sender_agent_id, address, body, data, reply_to, priority, sent_at)
  select l.message_id, (l.me).mesh_id, (l.me).agent_id, array_to_string(l.addresses, ','), l.body, l.data, l.reply_to, l.priority, mesh_lib.now()
  from unnest(letters) l where l.error is null and not l.duplicate;

  insert into mesh_data.delivery (message_id, mesh_id, agent_id, sender_agent_id, priority, position)
  select d.message_id, d.mesh_id, d.agent_id, d.sender_id, d.priority, nextval('mesh_data.message_position')
  from (
    select l.message_id, (l.me).mesh_id, u.agent_id, (l.me).agent_id as sender_id, l.priority
    from unnest(_ordinals, _agents) u (i, agent_id), unnest(letters) with ordinality l
    where l.ordinality = u.i and l.error is null order by u.i, u.agent_id
  ) d;

  -- The key of a refused letter is free again.
  delete from mesh_data.idempotency i using unnest(letters) l
  where l.error is not null and l.key is not null and i.sender_agent_id = (l.me).agent_id and i.key = l.key and i.message_id = l.message_id;
end
$$;
alter function mesh_lib.deliver(mesh_lib.letter[]) owner to mesh_definer;

-- What makes two letters with one key the same letter.
create function mesh_lib.letter_hash(letter mesh_lib.letter) returns bytea
language sql immutable set search_path = '' as $$
  select sha256(convert_to(json_build_array(letter.addresses, letter.body, letter.reply_to, letter.data)::text, 'UTF8'))
$$;

-- Letters with a key that was used before become duplicates of the letter it was used for, or errors. This comes before
-- any rule: a repeated send is not judged again. Keys are taken in their order, so two batches cannot deadlock.
create function mesh_lib.claim_keys(inout letters mesh_lib.letter[])
language plpgsql volatile set search_path = '' as $$
declare
  _earlier mesh_data.idempotency;
begin
  insert into mesh_data.idempotency (sender_agent_id, key, body_hash, message_id)
  select (l.me).agent_id, l.key, mesh_lib.letter_hash(l), l.message_id
  from unnest(letters) l where l.error is null and length(l.key) between 1 and 200
  order by 1, 2, l.ordinal
  on conflict do nothing;
  for _i in 1..cardinality(letters) loop
    continue when letters[_i].key is null or letters[_i].error is not null;
    select i.* into _earlier from mesh_data.idempotency i
    where i.sender_agent_id = (letters[_i].me).agent_id and i.key = letters[_i].key;
    if not found then
      letters[_i].error := mesh_lib.error_object('ME400', 'a key has 1 to 200 characters', '', '', '');
    elsif _earlier.body_hash <> mesh_lib.letter_hash(letters[_i]) then
      letters[_i].error := mesh_lib.error_object('ME409', 'this key was used for another message', '',
        json_build_object('message_id', _earlier.message_id)::text, '');
    else
      letters[_i].duplicate := _earlier.message_id <> letters[_i].message_id;
      letters[_i].message_id := _earlier.message_id;
    end if;
  end loop;
end
$$;

-- Letters of this batch that meet a full inbox, by their place in it. Counting stops at the limit.
create function mesh_lib.full_inboxes(ordinals integer[], agents uuid[]) returns table (ordinal integer, error json)
language sql stable set search_path = '' as $$
  with full_inbox as (
    select a.agent_id, a.name from (select distinct u from unnest(full_inboxes.agents) u) r join mesh_data.agent a on a.agent_id = r.u
    where exists (select from mesh_data.delivery d where d.agent_id = r.u and d.state in ('queued', 'delivered')
      offset mesh_lib.inbox_limit() - 1)
  )
  select u.ordinal, mesh_lib.error_object('ME429', format('the inbox of %s is full: %s messages wait there', min(f.name), mesh_lib.inbox_limit()),
    'mesh peers', json_build_object('retry_after', 30, 'agent', min(f.name))::text, '')
  from unnest(full_inboxes.ordinals, full_inboxes.agents) u (ordinal, agent_id) join full_inbox f on f.agent_id = u.agent_id
  group by u.ordinal
$$;

-- Deliver letters and answer each: to its sender, and to the relay `relay_id` (null: none) what it can push at once.
create function mesh_lib.post(letters mesh_lib.letter[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects jsonb)
language plpgsql volatile set search_path = '' as $$
begin
  post.letters := mesh_lib.deliver(post.letters);
  return query
    select l.ordinal, case when l.error is null then 200 else mesh_lib.status_of(l.error ->> 'code') end,
      coalesce(l.error, json_build_object('message_id', l.message_id, 'duplicate', l.duplicate, 'recipients', coalesce(r.recipients, '[]'))),
      mesh_lib.caller(l.me),
      case when r.sessions is not null then jsonb_build_object('push', jsonb_build_object('sessions', r.sessions, 'after', r.after,
        'frame', mesh_lib.frame(m))) end
    from unnest(post.letters) l
    left join mesh_lib.outcomes(array(select l.message_id from unnest(post.letters) l where l.error is null), post.relay_id) r
      on r.message_id = l.message_id
    left join mesh_data.message m on r.sessions is not null and m.message_id = l.message_id;
end
$$;

-- send_message for a batch of callers: mesh.send_message says what the arguments mean.
create function mesh_lib.send_messages(tokens text[], meshes text[], sessions text[], arguments text[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects jsonb)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _letters mesh_lib.letter[];
begin
  select array_agg(row(c.ordinal, c.me, mesh_lib.addresses(a.to), a.message, a.data, a.key, a.reply_to, mesh_lib.priority(coalesce(a.priority, 'next')),
      mesh_lib.new_id(), false, c.error)::mesh_lib.letter order by c.ordinal)
  into _letters
  from mesh_lib.requests('send_message', send_messages.tokens, send_messages.meshes, send_messages.sessions, send_messages.arguments) c
  cross join lateral jsonb_to_record(c.given)
    a ("to" mesh.addresses, message text, priority text, key text, reply_to uuid, data jsonb);
  return query select * from mesh_lib.post(_letters, send_messages.relay_id);
end
$$;
alter function mesh_lib.send_messages(text[], text[], text[], text[], uuid) owner to mesh_definer;

-- What became of messages: per recipient for their senders, and which windows the relay can show them to at once.
-- `after` is the mail such a window was owed before this: shown first, or the relay must look for itself. Pings the other
-- relays when one of them has a window to show it to.
create function mesh_lib.outcomes(message_ids uuid[], relay_id uuid)
returns table (message_id uuid, recipients json, sessions jsonb, after jsonb)
language plpgsql volatile set search_path = '' as $$
begin
  return query
    select d.message_id,
      json_agg(json_build_object('agent', a.name, 'state', case when d.state = 'queued' and x.shown then 'pushed' else d.state end,
        'waits_for', case when d.state in ('queued', 'delivered') then mesh_lib.why_silent(a.kind, a.identity_key is not null, s.session_id,
          coalesce(p.confirmed_at, s.opened_at), c.presence, t.status) end)
        order by a.name),
      jsonb_agg(s.session_id) filter (where x.here),
      jsonb_agg((
        select e.message_id from mesh_data.delivery e
        where e.agent_id = d.agent_id and e.state in ('queued', 'delivered') and e.state = 'queued' and e.priority = d.priority and e.position < d.position
        order by e.position desc limit 1)) filter (where x.here)
    from mesh_data.delivery d
    join mesh_data.agent a on a.agent_id = d.agent_id
    left join mesh_data.activity v on v.agent_id = d.agent_id
    left join mesh_data.session s on s.agent_id = d.agent_id and s.ended_at is null
    left join mesh_data.presence p on p.session_id = s.session_id
    cross join lateral (select mesh_lib.presence(p.connected, p.confirmed_at) as presence) c
    cross join lateral (select mesh_lib.status(v, p.waiting_until, c.presence) as status) t
    cross join lateral (select c.presence = 'online' and mesh_lib.is_pushed(d.priority, t.status) as shown) y
    cross join lateral (select y.shown, y.shown and d.state = 'queued' and p.relay_id = outcomes.relay_id as here) x
    where d.message_id = any (outcomes.message_ids)
    group by d.message_id;
  if exists (
    select from mesh_data.delivery d
    join mesh_data.session s on s.agent_id = d.agent_id and s.ended_at is null
    join mesh_data.presence p on p.session_id = s.session_id
    where d.message_id = any (outcomes.message_ids) and p.relay_id is distinct from outcomes.relay_id
  ) then
    perform mesh_lib.ping();
  end if;
end
$$;
