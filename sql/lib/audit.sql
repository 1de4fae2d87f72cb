-- The chain over the log of a mesh. Each seal covers the events committed since the one before: their digests, and the digest of
-- that one. docs/security.md says what it proves.

-- What a digest is made of. Times are microseconds since 1970; jsonb has one text for one value, without a line break.
create function mesh_lib.event_digest(event mesh_data.event) returns bytea
language sql stable return sha256(convert_to('mesh/event/v1' || E'\n' || event.event_id || E'\n' || event.mesh_id || E'\n' || event.kind || E'\n'
  || coalesce(event.agent_id::text, '-') || E'\n' || (extract(epoch from event.happened_at) * 1000000)::bigint || E'\n' || event.changed_in::text || E'\n' || event.detail::text, 'UTF8'));
create function mesh_lib.rows_digest(event_ids uuid[], digests bytea[]) returns bytea
language sql immutable set search_path = '' as $$
  select sha256(string_agg(uuid_send(u.event_id) || u.digest, '' order by u.n))
  from unnest(rows_digest.event_ids, rows_digest.digests) with ordinality u (event_id, digest, n)
$$;
create function mesh_lib.seal_digest(seal mesh_data.seal) returns bytea
language sql stable return sha256(convert_to('mesh/seal/v1' || E'\n' || seal.mesh_id || E'\n' || seal.number || E'\n' || seal.events || E'\n' || seal.first_event_id || E'\n'
  || seal.last_event_id || E'\n' || encode(seal.rows_digest, 'hex') || E'\n' || encode(seal.previous_digest, 'hex') || E'\n' || seal.whole || E'\n'
  || (extract(epoch from seal.sealed_at) * 1000000)::bigint, 'UTF8'));

-- Seal what the log has, once something in it is so old; returns how many events. Of relays that do so at once one seals a mesh, the
-- others pass it by. What another transaction wrote and did not commit is not seen yet, and is in a later seal.
create function mesh_lib.seal_events(older_than interval default '1 minute') returns bigint
language plpgsql volatile set search_path = '' as $$
declare
  _mesh_id uuid;
  _seal mesh_data.seal;
  _all bigint := 0;
begin
  for _mesh_id in
    select distinct e.mesh_id from mesh_data.event e
    where e.seal_number is null and e.event_id <= mesh_lib.first_id(mesh_lib.now() - seal_events.older_than)
  loop
    perform from mesh_data.mesh m where m.mesh_id = _mesh_id for no key update skip locked;
    continue when not found;
    loop
      _seal := null;
      select array_agg(n.event_id order by n.changed_in, n.event_id), array_agg(n.digest order by n.changed_in, n.event_id),
        (array_agg(n.event_id order by n.event_id))[1], (array_agg(n.event_id order by n.event_id desc))[1], count(*), count(*) < 1000
      into _seal.event_ids, _seal.digests, _seal.first_event_id, _seal.last_event_id, _seal.events, _seal.whole
      from (
        select e.event_id, e.changed_in, mesh_lib.event_digest(e) as digest from mesh_data.event e
        where e.mesh_id = _mesh_id and e.seal_number is null order by e.changed_in, e.event_id limit 1000
      ) n;
      exit when _seal.events = 0;
      select s.number + 1, s.digest into _seal.number, _seal.previous_digest
      from mesh_data.seal s where s.mesh_id = _mesh_id order by s.number desc limit 1;
      _seal.mesh_id := _mesh_id;
      _seal.number := coalesce(_seal.number, 1);
      _seal.previous_digest := coalesce(_seal.previous_digest, decode(repeat('00', 32), 'hex'));
      _seal.rows_digest := mesh_lib.rows_digest(_seal.event_ids, _seal.digests);
      _seal.sealed_at := mesh_lib.now();
      _seal.digest := mesh_lib.seal_digest(_seal);
      insert into mesh_data.seal select _seal.*;
      update mesh_data.event e set seal_number = _seal.number where e.event_id = any (_seal.event_ids);
      _all := _all + _seal.events;
      exit when _seal.whole or _all >= 5000;
    end loop;
    -- The rest next time.
    exit when _all >= 5000;
  end loop;
  return _all;
end
$$;

-- Called when events before this one were dropped: their seals stay, without what named them one by one.
create function mesh_lib.unseal_dropped(before uuid) returns void
language sql volatile set search_path = '' as $$
  update mesh_data.seal s
  set dropped_before = unseal_dropped.before,
    event_ids = case when s.last_event_id >= unseal_dropped.before then s.event_ids end,
    digests = case when s.last_event_id >= unseal_dropped.before then s.digests end
  where s.first_event_id < unseal_dropped.before and s.event_ids is not null
$$;

create function mesh_lib.dropped_before(mesh_id uuid) returns uuid
language sql stable set search_path = '' as $$
  select s.dropped_before from mesh_data.seal s
  where s.mesh_id = dropped_before.mesh_id and s.dropped_before is not null order by s.dropped_before desc limit 1
$$;

-- What does not fit together in the log of a mesh, by seals: a seal that was changed or is gone, an event that was. All seals are
-- looked at, events of those that were made since then only.
create function mesh_lib.audit_problems(mesh_id uuid, since timestamptz) returns table (seal bigint, event_id uuid, problem text)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  -- Events before this were dropped. One that is there is looked at all the same.
  _dropped constant uuid := mesh_lib.dropped_before(audit_problems.mesh_id);
  _first constant bigint := coalesce((select min(s.number) from mesh_data.seal s
    where s.mesh_id = audit_problems.mesh_id and s.sealed_at >= audit_problems.since), case when audit_problems.since is null then 1 else 9223372036854775807 end);
begin
  return query
    select c.number, null::uuid, case
        when c.number <> c.expected then 'the seals before it are missing'
        when c.follows <> c.previous_digest then 'it does not follow the seal before it'
        when not c.same then 'the seal was edited'
        else 'its list of events was edited'
      end
    from (
      select s.number, s.previous_digest, coalesce(lag(s.number) over (order by s.number), 0) + 1 as expected,
        coalesce(lag(s.digest) over (order by s.number), decode(repeat('00', 32), 'hex')) as follows,
        mesh_lib.seal_digest(s) = s.digest as same,
        s.event_ids is null or s.number < _first or mesh_lib.rows_digest(s.event_ids, s.digests) is not distinct from s.rows_digest as listed
      from mesh_data.seal s where s.mesh_id = audit_problems.mesh_id
    ) c
    where c.number <> c.expected or c.follows <> c.previous_digest or not c.same or not c.listed
    union all
    select coalesce(k.number, e.seal_number), coalesce(k.event_id, e.event_id), case
        when k.event_id is null then 'the event was added'
        when e.event_id is null then 'the event is missing'
        else 'the event was edited'
      end
    from (
      select s.number, u.event_id, u.digest from mesh_data.seal s cross join unnest(s.event_ids, s.digests) u (event_id, digest)
      where s.mesh_id = audit_problems.mesh_id and s.number >= _first
    ) k
    full join (
      select v.event_id, v.seal_number, mesh_lib.event_digest(v) as digest from mesh_data.event v
      where v.mesh_id = audit_problems.mesh_id and coalesce(v.seal_number >= _first, true)
    ) e on e.event_id = k.event_id
    where case
        when k.event_id is null then e.seal_number is not null
          and not exists (select from mesh_data.seal s where s.mesh_id = audit_problems.mesh_id and s.number = e.seal_number and s.event_ids is null)
        when e.event_id is null then k.event_id >= coalesce(_dropped, k.event_id)
        else e.digest is distinct from k.digest or e.seal_number is distinct from k.number
      end;
end
$$;
