-- Sending. Every message, alone or in a batch, goes through mesh_lib.deliver: the rules of one letter are in
-- mesh_lib.addressed, the rules that count are asked once for all of them (sql/lib/limits.sql), and what is written is
-- written once.

-- Priorities as they are stored: mail is taken in this order. Null for null; -1 for a word that is none.
create function mesh_lib.priority(word text) returns smallint
language sql immutable return case lower(priority.word) when 'now' then 0 when 'next' then 1 when 'low' then 2 else case when priority.word is not null then -1 end end::smallint;

-- Whether mail of a priority is shown to an agent with this status before it asks.
create function mesh_lib.is_pushed(priority smallint, status text) returns boolean
language sql immutable return case is_pushed.priority when 0 then true when 1 then is_pushed.status not in ('working', 'dnd') else is_pushed.status in ('idle', 'waiting') end;

-- The priority of a letter's copy for an agent: whoever is mentioned gets it now.
create function mesh_lib.copy_priority(agent_id uuid, mentioned uuid[], priority smallint) returns smallint
language sql immutable return case when copy_priority.agent_id = any (copy_priority.mentioned) then 0::smallint else copy_priority.priority end;

-- A letter that breaks no rule of its own, with its recipients; each once.
create function mesh_lib.addressed(inout letter mesh_lib.letter)
language plpgsql volatile set search_path = '' as $$
declare
  _me constant mesh_lib.identity := letter.me;
  -- What was sealed for later has its readers already.
  _among constant uuid[] := case when letter.occurrence_at is not null and letter.envelope is not null then array(select k::uuid from jsonb_object_keys(letter.boxes) k) end;
  _address text;
  _excluded uuid[];
begin
  if coalesce(cardinality(letter.addresses), 0) not between 1 and 1000 then
    perform mesh_lib.fail(400, 'a message goes to 1 to 1,000 addresses', 'mesh peers');
  elsif letter.priority not between 0 and 2 then
    perform mesh_lib.fail(400, 'priority is now, next or low', '');
  elsif letter.body = '' or num_nonnulls(letter.body, letter.envelope, letter.notice) = 0 then
    perform mesh_lib.fail(400, 'a message has 1 to 65,536 bytes', '');
  elsif octet_length(letter.body) > 65536 then
    perform mesh_lib.fail(413, 'a message has 1 to 65,536 bytes', '');
  elsif octet_length(letter.data::text) > 65536 then
    perform mesh_lib.fail(413, 'the data of a message has at most 65,536 bytes', '');
  elsif letter.expires_at <= mesh_lib.now() then
    perform mesh_lib.fail(400, 'a message expires in 1 second or later', '');
  end if;
  if letter.reply_to is not null and (mesh_lib.readable(_me, letter.reply_to)).message_id is null then
    perform mesh_lib.fail(404, 'there is no such message to answer, or you are no party to it', 'mesh inbox --peek');
  end if;
  letter.agents := '{}';
  foreach _address in array letter.addresses loop
    letter.agents := letter.agents || mesh_lib.recipients(_me, _address, letter.everyone, _among);
    if _address like '#%' then
      letter.room_id := mesh_lib.letter_room(letter, _address);
    end if;
  end loop;
  if letter.agents = array[_me.agent_id] and cardinality(letter.addresses) = 1 and mesh_lib.is_one(letter.addresses[1]) then
    perform mesh_lib.fail(400, 'that is you: a message goes to somebody else', 'mesh peers');
  end if;
  if letter.exclude is not null then
    _excluded := array(select mesh_lib.agent_id_of(_me.mesh_id, lower(btrim(e))) from unnest(letter.exclude) e);
  end if;
  letter.agents := array_remove(letter.agents, _me.agent_id);
  if cardinality(letter.addresses) > 1 or _excluded is not null then
    letter.agents := array(select distinct u from unnest(letter.agents) u where u <> all (coalesce(_excluded, '{}')));
  end if;
  letter.priority := coalesce(letter.priority, case when letter.addresses[1] like 'role:%' then mesh_lib.pool_priority(_me.mesh_id, letter.addresses) end, 1);
  if letter.mentions is not null then
    letter := mesh_lib.mentioned(letter);
  end if;
  letter := mesh_lib.check_sealing(letter, mesh_lib.is_sealed(_me.mesh_id));
end
$$;

-- A letter with who is mentioned in it, or ME400: only a recipient can be.
create function mesh_lib.mentioned(inout letter mesh_lib.letter)
language plpgsql stable set search_path = '' as $$
declare
  _name text;
begin
  if cardinality(letter.mentions) not between 1 and 100 then
    perform mesh_lib.fail(400, 'mentions are 1 to 100 names', '');
  end if;
  letter.mentions := array(select distinct lower(ltrim(btrim(m), '@')) from unnest(letter.mentions) m order by 1);
  foreach _name in array letter.mentions loop
    letter.mentioned := letter.mentioned || mesh_lib.agent_id_of((letter.me).mesh_id, _name);
    if not letter.mentioned[cardinality(letter.mentioned)] = any (letter.agents) then
      perform mesh_lib.fail(400, format('%s is mentioned and gets no copy: mention recipients only', left(_name, 63)), 'mesh peers');
    end if;
  end loop;
end
$$;

-- The last message of a priority that an agent was owed.
create type mesh_lib.owed as (agent_id uuid, priority smallint, message_id uuid);

-- Store letters with a delivery for each recipient. Returns the letters, with the message each one is: of a repeated
-- one the message it repeats, of a refused one the error; the messages they are; all who get a new one, and what they were owed
-- before. A definer: it writes and counts the inboxes of others. One probe of an index finds whether an inbox has open mail,
-- whatever the statistics say.
create function mesh_lib.deliver(inout letters mesh_lib.letter[], out messages mesh_data.message[], out agents uuid[], out owed mesh_lib.owed[])
language plpgsql volatile security definer set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  _keyed constant boolean := exists (select from unnest(letters) l where l.key is not null);
  _addressed boolean := false;
  _laden uuid[];
  _daily integer;
  _turns integer;
  _refusal record;
  _sqlstate text; _message text; _hint text; _detail text; _constraint text;
begin
  if _keyed then
    letters := mesh_lib.claim_keys(letters);
  end if;
  for _i in 1..cardinality(letters) loop
    continue when letters[_i].agents is not null or letters[_i].duplicate or letters[_i].error is not null;
    _addressed := true;
    begin
      letters[_i] := mesh_lib.addressed(letters[_i]);
    exception
      when lock_not_available or deadlock_detected then raise;
      when others then
        get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint,
          _detail = pg_exception_detail, _constraint = constraint_name;
        letters[_i].error := mesh_lib.error_object(_sqlstate, _message, _hint, _detail, _constraint);
    end;
  end loop;
  agents := case when cardinality(letters) = 1 then letters[1].agents
    else array(select distinct u from unnest(letters) l, unnest(l.agents) u where l.error is null and not l.duplicate) end;
  if exists (select from unnest(letters) l join mesh_data.block b on b.mesh_id = (l.me).mesh_id and b.blocked_agent_id = (l.me).agent_id) then
    letters := mesh_lib.heed_blocks(letters);
  end if;
  _laden := array(select u from unnest(agents) u
    where (select true from mesh_data.delivery d where d.agent_id = u and d.state in ('queued', 'delivered') limit 1));
  if _laden <> '{}' then
    -- All of a letter is refused, or none.
    for _refusal in select r.ordinal, r.error from mesh_lib.to_full(letters, _laden) r loop
      letters[_refusal.ordinal].error := _refusal.error;
    end loop;
    owed := array(
      select row(u, p.priority, (
        select d.message_id from mesh_data.delivery d
        where d.agent_id = u and d.state in ('queued', 'delivered') and d.state = 'queued' and d.priority = p.priority
        order by d.position desc limit 1))::mesh_lib.owed
      from unnest(_laden) u, (select l.priority from unnest(letters) l union select 0::smallint) p);
  end if;
  select s.daily_messages, s.turns_per_minute into _daily, _turns from mesh_data.setting s;
  -- What goes to many answers nobody.
  if _turns > 0 and exists (select from unnest(letters) l where cardinality(l.agents) = 1) then
    for _refusal in select r.ordinal, r.error from mesh_lib.count_turns(letters, _turns) r loop
      letters[_refusal.ordinal].error := _refusal.error;
    end loop;
  end if;
  if _daily > 0 then
    for _refusal in select r.ordinal, r.error from mesh_lib.count_sent(letters, _daily) r loop
      letters[_refusal.ordinal].error := _refusal.error;
    end loop;
  end if;
  if _addressed and exists (select from unnest(letters) l where l.room_id is not null) then
    letters := mesh_lib.take_floors(letters);
  end if;

  -- Copies of one letter share its position: they are in different inboxes.
  with letter as materialized (
    select l.*, (l.me).mesh_id, (l.me).agent_id as sender_id, nextval('mesh_data.message_position') as position
    from unnest(letters) l where l.error is null and not l.duplicate
  ), copies as (
    insert into mesh_data.delivery (message_id, mesh_id, agent_id, sender_agent_id, priority, expires_at, box, position)
    select l.message_id, l.mesh_id, u, l.sender_id, mesh_lib.copy_priority(u, l.mentioned, l.priority), l.expires_at,
      case when l.boxes is not null then l.boxes ->> u::text end, l.position
    from letter l, unnest(l.agents) u
    order by l.ordinal, u
  ), stored as (
    insert into mesh_data.message as m (message_id, mesh_id, sender_agent_id, address, body, envelope, sender_box, notice, data, reply_to, priority, room_id,
      position, mentions, expires_at, occurrence_at, sent_at)
    select l.message_id, l.mesh_id, l.sender_id, array_to_string(l.addresses, ','), l.body, l.envelope, l.boxes ->> l.sender_id::text, l.notice,
      l.data, l.reply_to, l.priority, l.room_id, case when l.room_id is not null then l.position end, l.mentions, l.expires_at, l.occurrence_at, mesh_lib.now()
    from letter l
    returning m
  )
  select array_agg(s.m) into deliver.messages from stored s;

  if _keyed then
    messages := messages || array(select m from mesh_data.message m
      where m.message_id = any (array(select l.message_id from unnest(letters) l where l.error is null group by 1 having bool_and(l.duplicate))));

    -- What repeats a refused letter of this very batch is refused, too. The key of a refused letter is free again.
    for _refusal in
      select r.ordinality::integer as ordinal, l.error
      from unnest(letters) with ordinality r join unnest(letters) l on l.message_id = r.message_id and l.error is not null and not l.duplicate
      where r.duplicate
    loop
      letters[_refusal.ordinal].error := _refusal.error;
    end loop;
    delete from mesh_data.idempotency i using unnest(letters) l
    where l.error is not null and l.key is not null and i.sender_agent_id = (l.me).agent_id and i.key = l.key and i.message_id = l.message_id;
    -- Sealed letters have keys, all of them.
    if exists (select from unnest(letters) l where l.boxes is not null) then
      perform mesh_lib.keep_boxes(letters);
    end if;
  end if;
end
$$;

-- Boxes of those who may read a letter and have no delivery of it: who may get mail that waits for a role, and who is in its
-- room and blocks its sender.
create function mesh_lib.keep_boxes(letters mesh_lib.letter[]) returns void
language sql volatile set search_path = '' as $$
  insert into mesh_data.box (message_id, agent_id, mesh_id, box, created_at)
  select l.message_id, b.key::uuid, (l.me).mesh_id, b.value, mesh_lib.now()
  from unnest(keep_boxes.letters) l
  cross join lateral (
    select exists (select from unnest(l.agents) u where u >= mesh_lib.first_pool_id()) as waits,
      array(select k.agent_id::text from mesh_data.block k where l.room_id is not null and k.mesh_id = (l.me).mesh_id and k.blocked_agent_id = (l.me).agent_id) as blockers
    offset 0
  ) o
  cross join jsonb_each_text(case when o.waits or o.blockers <> '{}' then l.boxes end) b
  where l.error is null and not l.duplicate and b.key <> (l.me).agent_id::text and (b.key = any (o.blockers) or o.waits and b.key::uuid <> all (l.agents))
$$;
alter function mesh_lib.deliver(mesh_lib.letter[]) owner to mesh_definer;

-- What makes two letters with one key the same letter. What is sealed anew has another envelope, and the same tag.
create function mesh_lib.letter_hash(letter mesh_lib.letter) returns bytea
language sql immutable set search_path = '' as $$
  select sha256(convert_to(json_build_array(letter.addresses, coalesce(letter.body, mesh_lib.signed_document(letter.envelope) ->> 'body_tag', letter.notice),
    letter.reply_to, letter.data)::text, 'UTF8'))
$$;

-- Letters with a key that was used before become duplicates of the letter it was used for, or errors. This comes before
-- any rule: a repeated send is not judged again. Keys are taken in their order, so two batches cannot deadlock.
create function mesh_lib.claim_keys(inout letters mesh_lib.letter[])
language plpgsql volatile set search_path = '' as $$
declare
  _earlier mesh_data.idempotency;
  _new text[];
begin
  with taken as (
    insert into mesh_data.idempotency (sender_agent_id, key, body_hash, message_id)
    select (l.me).agent_id, l.key, mesh_lib.letter_hash(l), l.message_id
    from unnest(letters) l where l.error is null and length(l.key) between 1 and 200
    order by 1, 2, l.ordinal
    on conflict do nothing returning sender_agent_id, key
  )
  select array_agg(t.sender_agent_id || ' ' || t.key) into _new from taken t;
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
      -- The first letter with a key that is new; what is sealed has the same id whenever it comes.
      letters[_i].duplicate := not coalesce(_earlier.sender_agent_id || ' ' || _earlier.key = any (_new), false);
      letters[_i].message_id := _earlier.message_id;
      _new := array_remove(_new, _earlier.sender_agent_id || ' ' || _earlier.key);
    end if;
  end loop;
end
$$;

-- Deliver letters and answer each: to its sender, and to the relay `relay_id` (null: none) what it can push at once. Pings
-- the other relays when one of them has a window to show a letter to.
create function mesh_lib.post(letters mesh_lib.letter[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects json)
language plpgsql volatile set search_path = '' as $$
declare
  _delivered record;
  _elsewhere boolean;
  _pings boolean := false;
begin
  _delivered := mesh_lib.deliver(post.letters);
  for ordinal, status, answer, caller, effects, _elsewhere in
    select a.* from mesh_lib.answers(_delivered.letters, _delivered.messages, _delivered.agents, _delivered.owed, post.relay_id) a
  loop
    _pings := _pings or _elsewhere;
    return next;
  end loop;
  if _pings then
    perform mesh_lib.ping();
  end if;
end
$$;

-- send_message for a batch of callers: mesh.send_message says what the arguments mean. Most letters go to one agent by its
-- name and have nothing that could break a rule: one join finds their recipients. The others are for mesh_lib.addressed.
create function mesh_lib.send_messages(tokens text[], meshes text[], sessions text[], arguments text[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects json)
language plpgsql volatile security definer set search_path = '' set enable_seqscan = off as $$
declare
  _letters mesh_lib.letter[];
begin
  select array_agg(mesh_lib.letter(c.me, x.addresses, a.message, mesh_lib.priority(a.priority), a.data, a.key, a.reply_to, a.mentions,
      mesh_lib.now() + make_interval(secs => a.expires_in), ordinal => c.ordinal, error => c.error, agent_id => g.agent_id) order by c.ordinal)
  into _letters
  from mesh_lib.requests('send_message', send_messages.tokens, send_messages.meshes, send_messages.sessions, send_messages.arguments) c
  cross join lateral jsonb_to_record(c.given)
    a ("to" mesh.addresses, message mesh.sealed, priority text, reply_to uuid, mentions text[], key text, expires_in double precision, data mesh.sealed_data)
  cross join lateral (select mesh_lib.addresses(a.to) as addresses offset 0) x
  left join lateral (
    select g.agent_id from mesh_data.agent g
    where g.mesh_id = (c.me).mesh_id and g.removed_at is null and g.agent_id <> (c.me).agent_id
      and g.name = case when cardinality(x.addresses) = 1 and jsonb_typeof(a.message) = 'string' and octet_length(a.message #>> '{}') between 1 and 65536
        and num_nulls(a.priority, a.reply_to, a.mentions, a.expires_in, a.data) = 5 then x.addresses[1] end
      and (select o.mode from mesh_data.mesh o where o.mesh_id = g.mesh_id) = 'open'
    offset 0
  ) g on true;
  return query select * from mesh_lib.post(_letters, send_messages.relay_id);
end
$$;
alter function mesh_lib.send_messages(text[], text[], text[], text[], uuid) owner to mesh_definer;

-- One letter of the caller's, for functions that send among other things: what send_message answers, or its error raised.
create function mesh_lib.send_one(letter mesh_lib.letter, out message_id uuid, out duplicate boolean, out recipients json, out counts json)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _posted record;
begin
  -- Whoever may call this says what is in a letter, and nothing of who sends it or what is found on the way.
  letter := mesh_lib.letter(mesh_lib.me(), letter.addresses, coalesce(to_jsonb(letter.body), letter.envelope || jsonb_build_object('boxes', letter.boxes)),
    letter.priority, letter.data, letter.key, letter.reply_to, letter.mentions, letter.expires_at, letter.everyone, letter.exclude);
  select p.* into _posted from mesh_lib.post(array[letter], nullif(current_setting('mesh.relay', true), '')::uuid) p;
  if _posted.status <> 200 then
    perform mesh_lib.fail(_posted.status, _posted.answer ->> 'message', _posted.answer ->> 'hint', (_posted.answer -> 'data')::jsonb);
  end if;
  perform mesh_lib.tell_relay(_posted.effects::jsonb);
  select (_posted.answer ->> 'message_id')::uuid, (_posted.answer ->> 'duplicate')::boolean, _posted.answer -> 'recipients', _posted.answer -> 'counts'
  into send_one.message_id, send_one.duplicate, send_one.recipients, send_one.counts;
end
$$;
alter function mesh_lib.send_one(mesh_lib.letter) owner to mesh_definer;
grant execute on function mesh_lib.send_one(mesh_lib.letter) to mesh_agent;

-- How many recipients an answer lists. Of more it has counts, and lists those first who are not shown the message now.
create function mesh_lib.most_listed() returns integer
language sql immutable return 100;

-- What is answered to a letter: its recipients, who was skipped too, and counts of them where not all are listed.
create function mesh_lib.answer(message_id uuid, duplicate boolean, recipients json, skipped text[], total bigint, counts json) returns json
language sql stable return case
  when answer.total > mesh_lib.most_listed() then
    json_build_object('message_id', answer.message_id, 'duplicate', answer.duplicate, 'recipients', mesh_lib.with_skipped(answer.recipients, answer.skipped),
      'counts', answer.counts)
  else json_build_object('message_id', answer.message_id, 'duplicate', answer.duplicate, 'recipients', case
      when answer.skipped is null then coalesce(answer.recipients, '[]') else mesh_lib.with_skipped(answer.recipients, answer.skipped) end)
  end;

-- What became of a message, for each recipient. Row-level security says whose deliveries are seen.
create function mesh_lib.became(message mesh_data.message) returns table (agent text, state text, waits_for text, delivery mesh_data.delivery)
language plpgsql stable set search_path = '' as $$
begin
  return query
    select coalesce(a.name, mesh_lib.pool_address(d.mesh_id, became.message.address, d.agent_id)),
      case when d.state in ('queued', 'delivered') and d.expires_at <= mesh_lib.now() then 'expired'
        when d.state = 'queued' and p.online and mesh_lib.is_pushed(d.priority, p.status) and mesh_lib.is_due(d.due_at, null) then 'pushed' else d.state end,
      case when d.state in ('queued', 'delivered') and coalesce(d.expires_at > mesh_lib.now(), true) then
        case when d.due_at > mesh_lib.now() then 'its time' when a.agent_id is null then 'nobody of this role is online'
          when not coalesce(p.online and mesh_lib.is_pushed(d.priority, p.status), false) then p.why end end,
      d
    from mesh_data.delivery d
    left join mesh_data.agent a on a.agent_id = d.agent_id
    left join lateral mesh_lib.peer_status(d.agent_id) p on true
    where d.message_id = became.message.message_id;
end
$$;

-- What is answered to a letter that was sent before: as it was then, with what became of it since.
create function mesh_lib.answered_again(message mesh_data.message) returns json
language sql stable set search_path = '' as $$
  with became as materialized (
    select b.agent, b.state, b.waits_for, row_number() over (order by b.waits_for is null, b.agent) as place from mesh_lib.became(answered_again.message) b
  ), counted as (
    select json_object_agg(c.state, c.recipients) as counts, sum(c.recipients)::bigint as recipients from (select b.state, count(*) as recipients from became b group by 1) c
  ), listed as (
    select coalesce(json_agg(json_build_object('agent', b.agent, 'state', b.state, 'waits_for', b.waits_for) order by b.agent), '[]') as recipients
    from became b where b.place <= mesh_lib.most_listed()
  )
  select mesh_lib.answer(answered_again.message.message_id, true, l.recipients, null, c.recipients, c.counts)
  from counted c, listed l
$$;

-- Who is not shown a message now, and how it is there.
create type mesh_lib.silence as (agent_id uuid, presence text, status text, confirmed_at timestamptz);

-- What is answered to each letter: to its sender what became of the message, for each recipient; and to the relay which
-- windows it can show it to at once. `after` is the mail such a window was owed before all of these letters: shown first, or the
-- relay must look for itself. `elsewhere`: a relay must look, as another has a window for it.
-- `agents` are all who get one of them. One plan for all sizes, whatever the statistics say: what is known of recipients is found
-- by the array of their ids, and hashed. What is switched off counts as dear, and what is dear would be compiled.
create function mesh_lib.answers(letters mesh_lib.letter[], messages mesh_data.message[], agents uuid[], owed mesh_lib.owed[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects json, elsewhere boolean)
language plpgsql volatile set search_path = '' set enable_sort = off set enable_seqscan = off set enable_nestloop = off set jit = off as $$
begin
  return query
    with copy as (
      select l.message_id, u as agent_id, mesh_lib.copy_priority(u, l.mentioned, l.priority) as priority,
        case when l.boxes is not null then l.boxes ->> u::text end as box
      from unnest(answers.letters) l, unnest(l.agents) u where l.error is null and not l.duplicate
    ), outcome as materialized (
      select c.message_id, array_agg(p.session_id) filter (where x.shown and p.relay_id = answers.relay_id) as sessions,
        array_agg(o.message_id) filter (where answers.owed is not null and x.shown and p.relay_id = answers.relay_id) as after,
        array_agg(c.box) filter (where x.shown and p.relay_id = answers.relay_id) as boxes,
        bool_or(w.presence <> 'offline' and p.relay_id is distinct from answers.relay_id) as elsewhere,
        array_agg(row(c.agent_id, w.presence, mesh_lib.status(v, p.waiting_until, w.presence), p.confirmed_at)::mesh_lib.silence) filter (where not x.shown) as silent,
        array_agg(c.agent_id) filter (where x.shown) as shown
      from copy c
      left join mesh_data.presence p on p.agent_id = c.agent_id and p.agent_id = any (answers.agents)
      left join mesh_data.activity v on v.agent_id = c.agent_id and v.agent_id = any (answers.agents)
      left join unnest(answers.owed) o on o.agent_id = c.agent_id and o.priority = c.priority
      cross join lateral (select mesh_lib.presence(p.connected, p.confirmed_at) as presence offset 0) w
      cross join lateral (select w.presence = 'online' and mesh_lib.is_pushed(c.priority, mesh_lib.status(v, p.waiting_until, w.presence)) as shown offset 0) x
      group by c.message_id
    ), listed as (
      -- Those first who are not shown it now.
      select o.message_id, json_agg(json_build_object('agent', coalesce(a.name, (
            select mesh_lib.pool_address(m.mesh_id, m.address, u.agent_id) from unnest(answers.messages) m where m.message_id = o.message_id)),
          'state', case when u.presence is null then 'pushed' else 'queued' end,
          'waits_for', case when u.presence is null then null when a.agent_id is null then 'nobody of this role is online'
            else mesh_lib.why_silent(a.kind, a.identity_key is not null, s.session_id, coalesce(u.confirmed_at, s.opened_at), u.presence, u.status) end)
          order by a.name) as recipients
      from outcome o
      cross join lateral (
        select w.* from unnest(o.silent[:mesh_lib.most_listed()]) w
        union all
        select w, null, null, null from unnest(o.shown[:mesh_lib.most_listed() - coalesce(cardinality(o.silent), 0)]) w
      ) u
      left join lateral (select a.* from mesh_data.agent a where a.agent_id = u.agent_id offset 0) a on true
      left join lateral (select s.* from mesh_data.session s where s.agent_id = case when u.presence is not null then u.agent_id end and s.ended_at is null offset 0) s on true
      group by o.message_id
    )
    select l.ordinal, case when l.error is null then 200 else mesh_lib.status_of(l.error ->> 'code') end,
      case
        when l.error is not null then l.error
        when l.duplicate and o.message_id is null then mesh_lib.answered_again(m)
        else mesh_lib.answer(l.message_id, l.duplicate, i.recipients, l.skipped, coalesce(cardinality(o.silent), 0) + coalesce(cardinality(o.shown), 0),
          json_strip_nulls(json_build_object('pushed', cardinality(o.shown), 'queued', cardinality(o.silent))))
      end,
      mesh_lib.caller(l.me),
      case when o.sessions is not null and not l.duplicate then json_build_object('push', json_build_object('sessions', o.sessions,
        'after', o.after, 'boxes', case when l.boxes is not null then o.boxes end,
        'frame', (select mesh_lib.frame(m, s, null) from mesh_data.agent s where s.agent_id = m.sender_agent_id))) end,
      coalesce(o.elsewhere, false)
    from unnest(answers.letters) l
    left join outcome o on o.message_id = l.message_id
    left join listed i on i.message_id = l.message_id
    left join unnest(answers.messages) m on m.message_id = l.message_id;
end
$$;
