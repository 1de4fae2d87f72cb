-- The clock and what is made from it. Tests replace mesh_lib.now() inside a transaction.

create function mesh_lib.now() returns timestamptz
language sql stable return clock_timestamp();

-- A UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, version, 12 bits of the millisecond's fraction, 62 random bits.
create function mesh_lib.new_id() returns uuid
language sql volatile set search_path = '' as $$
  -- Materialized, or the clock would be read again for each use and a millisecond could end in between.
  with e as materialized (select extract(epoch from mesh_lib.now()) * 1000 as exact)
  select (lpad(to_hex(t.ms), 12, '0') || to_hex(28672 + t.fraction) || substr(r.random, 17))::uuid
  from e,
    lateral (select floor(e.exact)::bigint as ms, floor((e.exact - floor(e.exact)) * 4096)::integer as fraction) t,
    (select replace(gen_random_uuid()::text, '-', '') as random) r
$$;
comment on function mesh_lib.new_id() is 'A new id that sorts by time.';
