-- Sealing: what the server checks of an envelope that it cannot open, who is to be able to open it, and which box is whose.
-- What is in an envelope, byte for byte, is in docs/protocol.md. Signatures are for clients to verify: a server that lies
-- would lie about that, too.

-- How far the clocks of a sender and of the server may be apart.
create function mesh_lib.clock_skew() returns interval
language sql immutable return interval '10 minutes';

-- Whether messages of a mesh are sealed.
create function mesh_lib.is_sealed(mesh_id uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return (select m.mode = 'sealed' from mesh_data.mesh m where m.mesh_id = is_sealed.mesh_id);
end
$$;

-- What the sender of an envelope signed.
create function mesh_lib.signed_document(envelope jsonb) returns jsonb
language sql immutable return (signed_document.envelope ->> 'document')::jsonb;

-- When a UUIDv7 says it was made (RFC 9562); null for another id.
create function mesh_lib.made_at(id uuid) returns timestamptz
language sql immutable return case when substr(made_at.id::text, 15, 1) = '7'
  then mesh_lib.time_of(made_at.id) end;

-- ME409 for who has no key yet: nothing can be sealed for it.
create function mesh_lib.fail_pending(agent text) returns void
language plpgsql stable set search_path = '' as $$
begin
  perform mesh_lib.fail(409, format('%s has no key yet: nobody has joined as this agent', fail_pending.agent), 'mesh run ' || fail_pending.agent);
end
$$;

-- Who is to be able to read a letter, if it has a key: its recipients and its sender. Of a role all who might get it.
create function mesh_lib.readers(letter mesh_lib.letter) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  _agents uuid[] := letter.agents || (letter.me).agent_id;
  _address text;
begin
  foreach _address in array letter.addresses loop
    if _address like 'role:%' and not coalesce(letter.everyone, false) then
      _agents := _agents || mesh_lib.role_agents((letter.me).mesh_id, _address);
    end if;
  end loop;
  return _agents;
end
$$;

-- Whether an agent has a box of a message for the key that it has now.
create function mesh_lib.can_open(message_id uuid, sender_agent_id uuid, sent_at timestamptz, agent_id uuid) returns boolean
language plpgsql stable set search_path = '' as $$
declare
  _key_at constant timestamptz := coalesce((select a.key_at from mesh_data.agent a where a.agent_id = can_open.agent_id), '-infinity');
begin
  return can_open.sent_at > _key_at and (can_open.sender_agent_id = can_open.agent_id
      or exists (select from mesh_data.delivery d where d.message_id = can_open.message_id and d.agent_id = can_open.agent_id and d.box is not null))
    or exists (select from mesh_data.box b where b.message_id = can_open.message_id and b.agent_id = can_open.agent_id and b.created_at > _key_at);
end
$$;

-- Called by definers, of agents that were removed: what was kept for them to read with.
create function mesh_lib.forget_identities(agent_ids uuid[]) returns void
language sql volatile set search_path = '' as $$
  delete from mesh_data.wrapped_identity w where w.agent_id = any (forget_identities.agent_ids);
  delete from mesh_data.key_request q where q.agent_id = any (forget_identities.agent_ids);
  delete from mesh_data.box b where b.agent_id = any (forget_identities.agent_ids);
$$;

-- A letter whose recipients were found, sealed as its mesh wants it. Who has no key is skipped, or refused when it was named.
-- ME409 with `recipients` when it is not sealed for exactly those who are to read it: the client seals it for them and
-- sends again.
create function mesh_lib.check_sealing(inout letter mesh_lib.letter, sealed boolean)
language plpgsql stable set search_path = '' as $$
declare
  _document jsonb;
  _readers uuid[];
  _recipients text;
  _pending uuid[];
begin
  if letter.notice is not null or letter.envelope is null and not check_sealing.sealed then
    return;
  elsif letter.occurrence_at is not null and (letter.envelope is null or not check_sealing.sealed) then
    perform mesh_lib.fail(409, format('this mesh was made %s after this was scheduled: cancel it, and schedule it again', case when check_sealing.sealed then 'sealed' else 'open' end),
      'mesh schedule list');
  elsif letter.envelope is null then
    perform mesh_lib.fail(400, 'this mesh is sealed, and this came as plain text: a client with a key of its own seals what it sends', 'mesh send --help');
  elsif not check_sealing.sealed then
    perform mesh_lib.fail(409, 'this mesh is open: its messages are not sealed', 'mesh board');
  elsif letter.data is not null then
    perform mesh_lib.fail(400, 'what is sealed takes its data with it: beside it, the server would read them', '');
  end if;
  if letter.occurrence_at is null then
    _document := mesh_lib.check_envelope(letter.me, letter.envelope);
  end if;

  _readers := mesh_lib.readers(letter);
  -- The recipient list as a sender signs it: SHA-256 of its lines `<agent_id> <identity_key>`, by agent_id.
  select array_agg(r.agent_id) filter (where r.identity_key is not null),
    encode(sha256(convert_to(string_agg(r.agent_id || ' ' || encode(r.identity_key, 'hex') || E'\n', ''), 'UTF8')), 'hex'),
    array_agg(r.agent_id) filter (where r.identity_key is null and r.agent_id = any (letter.agents))
  into _readers, _recipients, _pending
  from (
    select a.agent_id, a.identity_key from mesh_data.agent a where a.agent_id = any (_readers) order by a.agent_id
  ) r;
  if not coalesce((letter.me).agent_id = any (_readers), false) then
    perform mesh_lib.fail(409, 'you have no key of your own here, so nobody could believe this', 'mesh login');
  elsif _pending is not null and not exists (select from unnest(letter.addresses) x where not mesh_lib.is_one(x)) then
    perform mesh_lib.fail_pending((select a.name from mesh_data.agent a where a.agent_id = _pending[1]));
  elsif letter.occurrence_at is not null then
    -- Sealed when it was scheduled: who has come since, or has another key, has no box.
    _pending := array(select u from unnest(letter.agents) u where u < mesh_lib.first_pool_id() and not letter.boxes ? u::text);
  end if;
  if cardinality(_pending) > 0 then
    letter.skipped := array(select a.name from mesh_data.agent a where a.agent_id = any (_pending) order by 1);
    letter.agents := array(select u from unnest(letter.agents) u where u <> all (_pending));
  end if;
  if letter.occurrence_at is not null then
    if cardinality(letter.agents) = 0 then
      perform mesh_lib.fail(410, 'nobody for whom this was sealed is there any more: schedule it again', 'mesh schedule list');
    end if;
    return;
  elsif exists (select from unnest(letter.agents) u where u >= mesh_lib.first_pool_id())
    and not exists (select from unnest(_readers) u where u <> (letter.me).agent_id and u <> all (letter.agents))
  then
    perform mesh_lib.fail(409, 'nobody of this role has a key yet: nobody could ever read this', coalesce('mesh run ' || (
      select min(a.name) from mesh_data.agent a where a.agent_id = any (mesh_lib.readers(letter)) and a.identity_key is null), 'mesh peers'));
  end if;

  if not letter.boxes ?& _readers::text[] or (select count(*) from jsonb_object_keys(letter.boxes)) <> cardinality(_readers)
    or _document ->> 'recipients' is distinct from _recipients
  then
    perform mesh_lib.fail(409, 'this is not sealed for those who are to read it now', '', jsonb_build_object('recipients', (
      select jsonb_agg(jsonb_build_object('agent_id', a.agent_id, 'agent', a.name, 'identity_key', encode(a.identity_key, 'hex'), 'chain', a.chain) order by a.agent_id)
      from mesh_data.agent a where a.agent_id = any (_readers))));
  elsif exists (select from jsonb_each_text(letter.boxes) b where not mesh_lib.is_box(b.value)) then
    perform mesh_lib.fail(400, 'a box is the content key sealed for one reader: 80 bytes in base64', '');
  end if;
end
$$;

-- Whether this is a box: a content key sealed for one reader, 80 bytes. A count in the pattern would take twenty times as long,
-- here and below.
create function mesh_lib.is_box(box text) returns boolean
language sql immutable return coalesce(length(is_box.box) = 108 and is_box.box ~ '^[A-Za-z0-9+/]+=$', false);

-- Whether this is so many hex digits.
create function mesh_lib.is_hex(value text, digits integer) returns boolean
language sql immutable return coalesce(length(is_hex.value) = is_hex.digits and is_hex.value ~ '^[0-9a-f]+$', false);

-- Whether a document, its signer and the signature are there, and are no more than that.
create function mesh_lib.is_signed(signed jsonb, longest integer) returns boolean
language sql immutable return coalesce(jsonb_typeof(is_signed.signed -> 'document') = 'string' and octet_length(is_signed.signed ->> 'document') <= is_signed.longest, false)
  and mesh_lib.is_hex(is_signed.signed ->> 'signer', 64) and mesh_lib.is_hex(is_signed.signed ->> 'signature', 128);

-- What the sender of an envelope signed; ME400, ME409 or ME413 unless it is whole, this sender's, for this mesh, and made now.
create function mesh_lib.check_envelope(me mesh_lib.identity, envelope jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  _attestation constant jsonb := nullif(check_envelope.envelope -> 'attestation', 'null');
  _document jsonb;
  _sealed bytea;
  _padded integer;
  _off double precision;
begin
  if octet_length(check_envelope.envelope ->> 'sealed') > 349700 then
    perform mesh_lib.fail(413, 'what is sealed has at most 262,144 bytes with its padding', '');
  elsif (check_envelope.envelope -> 'v')::text <> '1' then
    perform mesh_lib.fail(400, format('version %s of the envelope is not known here: is this server older than your client?', left((check_envelope.envelope -> 'v')::text, 20)), 'mesh doctor');
  elsif check_envelope.envelope - '{v,document,signer,signature,attestation,sealed}'::text[] <> '{}' or not check_envelope.envelope ?& '{v,sealed}'
    or not mesh_lib.is_signed(check_envelope.envelope, 100000) or not coalesce(check_envelope.envelope ->> 'sealed' ~ '^[A-Za-z0-9+/]+={0,2}$', false)
    or _attestation is not null and (not mesh_lib.is_signed(_attestation, 10000) or _attestation - '{document,signer,signature}'::text[] <> '{}')
  then
    perform mesh_lib.fail(400, 'an envelope has v, document, signer, signature, attestation, sealed and boxes, as docs/protocol.md says', '');
  end if;
  _document := mesh_lib.signed_document(check_envelope.envelope);
  _sealed := decode(check_envelope.envelope ->> 'sealed', 'base64');
  -- A nonce of 24 bytes and a tag of 16 come before the body.
  _padded := octet_length(_sealed) - 40;
  if _document ->> 'sent_at' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$' then
    _off := extract(epoch from (_document ->> 'sent_at')::timestamptz - mesh_lib.now());
  end if;
  if _document -> 'v' is distinct from '1' or _document ->> 'mesh' is distinct from (check_envelope.me).mesh_id::text
    or _document ->> 'sender' is distinct from (check_envelope.me).agent_id::text
  then
    perform mesh_lib.fail(400, 'this envelope is another sender''s, or for another mesh', '');
  elsif _document ->> 'body' is distinct from encode(sha256(_sealed), 'hex') or not mesh_lib.is_hex(_document ->> 'body_tag', 64) then
    perform mesh_lib.fail(400, 'the document of this envelope was signed for another body', '');
  elsif _padded not between 256 and 262144 or _padded & (_padded - 1) <> 0 then
    perform mesh_lib.fail(400, 'a body is padded to a power of two, 256 to 262,144 bytes: its length is nobody''s business', '');
  elsif _off is null or abs(_off) > extract(epoch from mesh_lib.clock_skew()) then
    perform mesh_lib.fail(400, coalesce(format('your clock is %s %s: what you send would not be believed', justify_interval(make_interval(secs => abs(round(_off)))),
      case when _off < 0 then 'behind' else 'ahead' end), 'the document of an envelope says when it was sent, such as 2026-12-24T18:00:00Z'), 'mesh doctor');
  elsif exists (select from mesh_data.message m where m.message_id = (_document ->> 'id')::uuid) then
    perform mesh_lib.fail(409, 'this id is another message''s', '');
  elsif coalesce(abs(extract(epoch from mesh_lib.made_at((_document ->> 'id')::uuid) - mesh_lib.now())) > extract(epoch from mesh_lib.clock_skew()), true) then
    perform mesh_lib.fail(400, 'the id of a message is a UUIDv7 of now', 'mesh doctor');
  end if;
  return _document;
end
$$;

-- A definer: a letter for later, which is sealed now for those its addresses mean now, all who have a role. ME409 as for
-- check_sealing. Returns the id that its schedule has, or is to have: what is scheduled again is the same schedule.
create function mesh_lib.check_scheduled(addresses text[], content jsonb, inout schedule_id uuid)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _letter mesh_lib.letter := mesh_lib.letter(mesh_lib.me(), check_scheduled.addresses, check_scheduled.content,
    key => 'scheduled ' || mesh_lib.sealed_id(check_scheduled.content), everyone => true);
begin
  if _letter.envelope is null and not mesh_lib.is_sealed(mesh_lib.my_mesh()) then
    return;
  end if;
  _letter.message_id := check_scheduled.schedule_id;
  _letter := (mesh_lib.claim_keys(array[_letter]))[1];
  if _letter.error is not null then
    perform mesh_lib.fail(mesh_lib.status_of(_letter.error ->> 'code'), _letter.error ->> 'message', 'mesh schedule list');
  elsif not _letter.duplicate then
    perform mesh_lib.addressed(_letter);
  end if;
  check_scheduled.schedule_id := _letter.message_id;
end
$$;
alter function mesh_lib.check_scheduled(text[], jsonb, uuid) owner to mesh_definer;
grant execute on function mesh_lib.check_scheduled(text[], jsonb, uuid) to mesh_agent;

-- Recipients as they are answered, and up to a hundred of those who were skipped.
create function mesh_lib.with_skipped(recipients json, skipped text[]) returns json
language sql immutable set search_path = '' as $$
  select case when coalesce(cardinality(with_skipped.skipped), 0) = 0 then coalesce(with_skipped.recipients, '[]') else
    (coalesce(with_skipped.recipients, '[]')::jsonb || (
      select jsonb_agg(jsonb_build_object('agent', u, 'state', 'skipped', 'waits_for', 'it has no key for this message'))
      from unnest(with_skipped.skipped[:mesh_lib.most_listed()]) u))::json end
$$;

-- ME400 for a search in what the server cannot read.
create function mesh_lib.refuse_search(mesh_id uuid, query text, hint text) returns void
language plpgsql stable set search_path = '' as $$
begin
  if refuse_search.query is not null and mesh_lib.is_sealed(refuse_search.mesh_id) then
    perform mesh_lib.fail(400, 'this mesh is sealed: the server cannot search what it cannot read, but your client can', refuse_search.hint);
  end if;
end
$$;

-- Held by who writes plain text in a mesh, shared, and by who changes its mode, alone: each waits for the other's commit.
create function mesh_lib.mode_lock(mesh_id uuid) returns bigint
language sql immutable return hashtextextended('mode ' || mode_lock.mesh_id::text, 0);

-- ME400 for plain text in these meshes, each once and in order, when one of them is sealed, whoever writes it: only envelopes
-- and the server's own notices are taken there.
create function mesh_lib.refuse_plaintext(mesh_ids uuid[]) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform pg_advisory_xact_lock_shared(mesh_lib.mode_lock(u)) from unnest(refuse_plaintext.mesh_ids) u;
  if exists (select from mesh_data.mesh m where m.mesh_id = any (refuse_plaintext.mesh_ids) and m.mode = 'sealed') then
    raise check_violation using message = 'a sealed mesh holds no plain text', constraint = 'a_sealed_mesh_holds_no_plain_text';
  end if;
end
$$;

-- What is older is only moved from one partition to another, and may have been sent before its mesh was sealed.
create function mesh_lib.refuse_plain_messages() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  perform mesh_lib.refuse_plaintext(w.mesh_ids)
  from (select array_agg(distinct n.mesh_id) as mesh_ids from written n where n.body is not null and n.sent_at > mesh_lib.now() - interval '1 hour') w
  where w.mesh_ids is not null;
  return null;
end
$$;
create function mesh_lib.refuse_plain_schedules() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  perform mesh_lib.refuse_plaintext(w.mesh_ids)
  from (select array_agg(distinct n.mesh_id) as mesh_ids from written n where n.body is not null) w where w.mesh_ids is not null;
  return null;
end
$$;
create trigger message_is_sealed after insert on mesh_data.message
  referencing new table as written for each statement execute function mesh_lib.refuse_plain_messages();
create trigger message_stays_sealed after update on mesh_data.message
  referencing new table as written for each statement execute function mesh_lib.refuse_plain_messages();
create trigger schedule_is_sealed after insert on mesh_data.schedule
  referencing new table as written for each statement execute function mesh_lib.refuse_plain_schedules();
