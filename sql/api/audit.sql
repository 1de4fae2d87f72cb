-- Audit: whether the log of a mesh is what it was when it was sealed.

-- A definer: the log and its seals are no agent's to read.
create function mesh.verify_events(inout head text default null, since timestamptz default null, out seals bigint, out events bigint, out sealed_at timestamptz,
  out unsealed bigint, out unsealed_since timestamptz, out dropped bigint, out kept_since timestamptz, out late bigint)
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _kept constant text := lower(btrim(verify_events.head));
  _problems json;
  _first bigint;
begin
  perform mesh_lib.must_manage();
  if _kept !~ '^[0-9a-f]{64}$' then
    perform mesh_lib.fail(400, 'a head is the 64 hex digits that an earlier run answered', 'mesh audit verify');
  end if;
  select json_agg(p order by p.seal, p.event_id nulls first), min(p.seal) into _problems, _first
  from (select a.* from mesh_lib.audit_problems(_me.mesh_id, verify_events.since) a order by a.seal, a.event_id nulls first limit 100) p;
  if _first is not null then
    perform mesh_lib.fail(409, format('the log is not what was sealed: seal %s: %s', _first,
        (select concat_ws(' ', p ->> 'problem', p ->> 'event_id') from json_array_elements(_problems) p limit 1)), '',
      jsonb_build_object('seal', _first, 'problems', _problems));
  elsif _kept is not null and not exists (select from mesh_data.seal s where s.mesh_id = _me.mesh_id and s.digest = decode(_kept, 'hex')) then
    perform mesh_lib.fail(409, 'the log is whole in itself, but the head that was kept is not in it: it was written anew, or an older copy was restored', '',
      jsonb_build_object('head', _kept));
  end if;
  select count(*), coalesce(sum(s.events), 0), max(s.sealed_at) into verify_events.seals, verify_events.events, verify_events.sealed_at
  from mesh_data.seal s where s.mesh_id = _me.mesh_id;
  verify_events.head := (select encode(s.digest, 'hex') from mesh_data.seal s where s.mesh_id = _me.mesh_id order by s.number desc limit 1);
  select count(*) filter (where e.seal_number is null), min(e.happened_at) filter (where e.seal_number is null), verify_events.events - count(e.seal_number)
  into verify_events.unsealed, verify_events.unsealed_since, verify_events.dropped
  from mesh_data.event e where e.mesh_id = _me.mesh_id;
  verify_events.kept_since := mesh_lib.time_of(mesh_lib.dropped_before(_me.mesh_id));
  -- Older than a seal that took all there was, and not in it.
  verify_events.late := (
    select count(*)
    from mesh_data.event e
    join (
      select b.number, max(b.sealed_at) filter (where b.whole) over (order by b.number rows between unbounded preceding and 1 preceding) as after_at
      from mesh_data.seal b where b.mesh_id = _me.mesh_id
      union all
      select 0, max(b.sealed_at) from mesh_data.seal b where b.mesh_id = _me.mesh_id and b.whole
    ) s on s.number = coalesce(e.seal_number, 0)
    where e.mesh_id = _me.mesh_id and e.happened_at < s.after_at - interval '1 minute');
end
$$;
comment on function mesh.verify_events is $$---
cli: audit verify <head>
alias: events verify
who: manage
---
Check the log of the mesh against its seals: ME409 names the first seal that does not fit and the events that were edited, added or are gone.
What is not sealed yet is counted in `unsealed`, with since when; what retention dropped in `dropped`, it is kept since `kept_since`; `late` are events that say they are over a minute older than a seal they are not in.
Keep `head` in another place: whoever can write the database anew can write a log that fits in itself, but none with that head.
head: a head kept from an earlier run, to be found in the chain; default none.
since: look at events sealed at this time or later, and only at the seals of those before: a million events take 20 seconds. Default all.
example: mesh audit verify
example: mesh audit verify 5f0f3a2b8c1d4e6f5f0f3a2b8c1d4e6f5f0f3a2b8c1d4e6f5f0f3a2b8c1d4e6f$$;
alter function mesh.verify_events(text, timestamptz) owner to mesh_definer;
grant execute on function mesh.verify_events(text, timestamptz) to mesh_agent;
