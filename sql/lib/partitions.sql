-- Partitions of message, delivery and event: one for each month, UTC, and one that takes whatever no other takes. Tables are
-- made and dropped by functions of mesh_owner, which sees no row; rows are moved by functions of mesh_definer.

-- The least id of this moment: ids sort by time.
create function mesh_lib.first_id(at timestamptz) returns uuid
language sql immutable set search_path = '' as $$ select (lpad(to_hex((extract(epoch from first_id.at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- The month of a moment, UTC.
create function mesh_lib.month_of(at timestamptz) returns timestamptz
language sql immutable set search_path = '' as $$ select date_trunc('month', month_of.at at time zone 'UTC') at time zone 'UTC' $$;

-- The name of a month's partition.
create function mesh_lib.partition_name(parent text, month timestamptz) returns text
language sql immutable set search_path = '' as $$ select partition_name.parent || to_char(partition_name.month at time zone 'UTC', '_YYYY_MM') $$;

-- The months that a table has partitions for.
create function mesh_lib.partition_months(parent text) returns setof timestamptz
language sql stable set search_path = '' as $$
  select to_date(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC'
  from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
  where i.inhparent = to_regclass('mesh_data.' || quote_ident(partition_months.parent)) and c.relname ~ '_\d{4}_\d\d$'
  order by 1
$$;

-- A definer of mesh_owner: an empty table like `parent` for rows of a month, not a part of it yet. Nobody writes the
-- default partition until the end of the transaction.
create function mesh_lib.prepare_partition(parent text, month timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _name constant text := mesh_lib.partition_name(prepare_partition.parent, prepare_partition.month);
begin
  execute format('lock table only mesh_data.%I in access exclusive mode', prepare_partition.parent || '_default');
  execute format('create table mesh_data.%I (like mesh_data.%I including all)', _name, prepare_partition.parent);
  execute format('grant insert on mesh_data.%I to mesh_definer', _name);
end
$$;

-- A definer of mesh_owner: make that table a partition, reached through its parent only.
create function mesh_lib.attach_partition(parent text, month timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _name constant text := mesh_lib.partition_name(attach_partition.parent, attach_partition.month);
begin
  execute format('revoke insert on mesh_data.%I from mesh_definer', _name);
  execute format('alter table mesh_data.%I enable row level security, force row level security', _name);
  execute format('alter table mesh_data.%I attach partition mesh_data.%I for values from (%L) to (%L)', attach_partition.parent, _name,
    mesh_lib.first_id(attach_partition.month), mesh_lib.first_id(mesh_lib.month_of(attach_partition.month + interval '40 days')));
end
$$;

-- A definer of mesh_owner: take a partition out of its parent, for mesh_definer to read. It is to be dropped in the same
-- transaction, so that nobody sees it without row-level security.
create function mesh_lib.detach_partition(parent text, month timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _name constant text := mesh_lib.partition_name(detach_partition.parent, detach_partition.month);
begin
  execute format('alter table mesh_data.%I detach partition mesh_data.%I', detach_partition.parent, _name);
  execute format('alter table mesh_data.%I disable row level security', _name);
  execute format('grant select on mesh_data.%I to mesh_definer', _name);
end
$$;

-- A definer of mesh_owner: drop what was detached. ME409 for a table that is still a partition.
create function mesh_lib.drop_partition(parent text, month timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _name constant text := mesh_lib.partition_name(drop_partition.parent, drop_partition.month);
begin
  if (select c.relispartition from pg_catalog.pg_class c where c.oid = to_regclass('mesh_data.' || quote_ident(_name))) then
    perform mesh_lib.fail(409, format('%s is in use', _name));
  end if;
  execute format('drop table mesh_data.%I', _name);
end
$$;

-- Make a month's partition with the rows of that month which the default partition took meanwhile.
create function mesh_lib.create_partition(parent text, month timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform mesh_lib.prepare_partition(create_partition.parent, create_partition.month);
  execute format('with moved as (delete from mesh_data.%1$I where %2$I >= $1 and %2$I < $2 returning *) insert into mesh_data.%3$I select * from moved',
    create_partition.parent, case create_partition.parent when 'event' then 'event_id' else 'message_id' end,
    mesh_lib.partition_name(create_partition.parent, create_partition.month))
  using mesh_lib.first_id(create_partition.month), mesh_lib.first_id(mesh_lib.month_of(create_partition.month + interval '40 days'));
  perform mesh_lib.attach_partition(create_partition.parent, create_partition.month);
end
$$;

-- Drop a month's messages, deliveries and events. What is not acknowledged stays, with its message, in the default partition.
create function mesh_lib.drop_month(month timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _parent text;
  _parents constant text[] := array(select p from unnest(array['message', 'delivery', 'event']) p
    where exists (select from mesh_lib.partition_months(p) m where m = drop_month.month));
begin
  foreach _parent in array _parents loop
    perform mesh_lib.detach_partition(_parent, drop_month.month);
  end loop;
  if 'delivery' = any (_parents) then
    execute format('insert into mesh_data.delivery select * from mesh_data.%I where state in (''queued'', ''delivered'', ''dead'')',
      mesh_lib.partition_name('delivery', drop_month.month));
  end if;
  if 'message' = any (_parents) then
    execute format('insert into mesh_data.message select m.* from mesh_data.%I m where exists (select from mesh_data.delivery d where d.message_id = m.message_id)',
      mesh_lib.partition_name('message', drop_month.month));
  end if;
  foreach _parent in array _parents loop
    perform mesh_lib.drop_partition(_parent, drop_month.month);
  end loop;
  if 'event' = any (_parents) then
    perform mesh_lib.unseal_dropped(mesh_lib.first_id(mesh_lib.month_of(drop_month.month + interval '40 days')));
  end if;
end
$$;

-- Forget what is over, a bounded number of rows at a time; returns how many. Before `since` only the default partition has messages.
create function mesh_lib.forget(since timestamptz) returns bigint
language plpgsql volatile security definer set search_path = '' as $$
declare
  _rows bigint;
  _all bigint := 0;
begin
  delete from mesh_data.idempotency i where (i.sender_agent_id, i.key) in (
    select o.sender_agent_id, o.key from mesh_data.idempotency o where o.created_at < mesh_lib.now() - interval '7 days'
    order by o.created_at limit 10000 for update skip locked);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.sent s where s.day < (mesh_lib.now() - interval '2 days')::date;
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.turn t where (t.agent_id, t.other_agent_id) in (
    select o.agent_id, o.other_agent_id from mesh_data.turn o where o.counted_at < mesh_lib.now() - interval '1 day' limit 10000 for update skip locked);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.news n where n.news_id in (
    select o.news_id from mesh_data.news o where o.news_id < mesh_lib.first_id(mesh_lib.now() - interval '1 day') order by o.news_id limit 10000 for update skip locked);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.state s where (s.mesh_id, s.key) in (
    select o.mesh_id, o.key from mesh_data.state o where o.value is null and o.changed_at < mesh_lib.now() - interval '90 days' limit 10000 for update skip locked);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.memory m where m.memory_id in (
    select o.memory_id from mesh_data.memory o where o.forgotten_at < mesh_lib.now() - interval '90 days' order by o.forgotten_at limit 10000 for update skip locked);
  get diagnostics _rows = row_count;
  _all := _all + _rows + mesh_lib.forget_words();
  delete from mesh_data.delivery d where (d.message_id, d.agent_id) in (
    select o.message_id, o.agent_id from mesh_data.delivery o
    where o.message_id < mesh_lib.first_id(forget.since) and o.state in ('acknowledged', 'expired') limit 10000 for update skip locked);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.message m where m.message_id in (
    select o.message_id from mesh_data.message o where o.message_id < mesh_lib.first_id(forget.since)
      and not exists (select from mesh_data.delivery d where d.message_id = o.message_id) limit 10000);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.box b where (b.message_id, b.agent_id) in (
    select o.message_id, o.agent_id from mesh_data.box o
    where o.message_id < mesh_lib.first_id(forget.since) and not exists (select from mesh_data.message m where m.message_id = o.message_id) limit 10000);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.key_request q where (q.message_id, q.agent_id) in (
    select o.message_id, o.agent_id from mesh_data.key_request o where o.created_at < mesh_lib.now() - interval '30 days' limit 10000);
  get diagnostics _rows = row_count;
  _all := _all + _rows;
  delete from mesh_data.event e where e.event_id in (select o.event_id from mesh_data.event o where o.event_id < mesh_lib.first_id(forget.since) limit 10000);
  get diagnostics _rows = row_count;
  if _rows > 0 then
    perform mesh_lib.unseal_dropped(mesh_lib.first_id(forget.since));
  end if;
  return _all + _rows;
end
$$;

-- A partition for this month, and for the next one in its last week; retention, and what is forgotten without it. No more of
-- them ahead: every look into a queue asks all. One at a time: null when another is at it. Waits 0.9 s for a lock at most, less than a deadlock takes to be found; when it does not get one it is
-- `busy`, makes and drops nothing more, and leaves that to the next time.
create function mesh_lib.maintain(out created integer, out dropped integer, out busy boolean, out expired bigint, out forgotten bigint)
language plpgsql volatile security definer set search_path = '' set lock_timeout = '900ms' as $$
declare
  _days constant integer := (select s.retention_days from mesh_data.setting s);
  -- Without retention nothing is older than this.
  _since constant timestamptz := case when _days > 0 then mesh_lib.month_of(mesh_lib.now() - make_interval(days => _days)) else '1970-01-01' end;
  _missing record;
  _month timestamptz;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('maintain', 0)) then
    return;
  end if;
  created := 0; dropped := 0; busy := false;
  for _missing in
    select p.parent, m.month
    from unnest(array['message', 'delivery', 'event']) p (parent)
    cross join (select mesh_lib.month_of(mesh_lib.now()) union select mesh_lib.month_of(mesh_lib.now() + interval '7 days')) m (month)
    where not exists (select from mesh_lib.partition_months(p.parent) h where h = m.month)
    order by m.month, p.parent
  loop
    exit when busy;
    begin
      perform mesh_lib.create_partition(_missing.parent, _missing.month);
      created := created + 1;
    exception when lock_not_available or deadlock_detected then
      busy := true;
    end;
  end loop;
  for _month in
    select distinct m from unnest(array['message', 'delivery', 'event']) p, mesh_lib.partition_months(p) m where m < _since order by 1
  loop
    exit when busy;
    begin
      perform mesh_lib.drop_month(_month);
      dropped := dropped + 1;
    exception when lock_not_available or deadlock_detected then
      busy := true;
    end;
  end loop;
  expired := mesh_lib.expire();
  -- A month that could not be dropped is not to be emptied by the row.
  forgotten := mesh_lib.forget(least(_since, (select min(m) from unnest(array['message', 'delivery', 'event']) p, mesh_lib.partition_months(p) m)));
end
$$;

-- maintain, when an hour passed since the last time, or five minutes when that was busy. Cheap to ask every second.
create function mesh_lib.maintain_hourly() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _busy boolean;
begin
  if (select coalesce(s.maintained_at <= mesh_lib.now() - interval '1 hour', true) from mesh_data.setting s) then
    perform from mesh_data.setting s where coalesce(s.maintained_at <= mesh_lib.now() - interval '1 hour', true) for update skip locked;
    if found then
      _busy := (select m.busy from mesh_lib.maintain() m);
      update mesh_data.setting s set maintained_at = mesh_lib.now() - case when _busy then interval '55 minutes' else '0' end;
    end if;
  end if;
end
$$;

grant create on schema mesh_lib to mesh_owner;
alter function mesh_lib.prepare_partition(text, timestamptz) owner to mesh_owner;
alter function mesh_lib.attach_partition(text, timestamptz) owner to mesh_owner;
alter function mesh_lib.detach_partition(text, timestamptz) owner to mesh_owner;
alter function mesh_lib.drop_partition(text, timestamptz) owner to mesh_owner;
revoke create on schema mesh_lib from mesh_owner;
alter function mesh_lib.create_partition(text, timestamptz) owner to mesh_definer;
alter function mesh_lib.drop_month(timestamptz) owner to mesh_definer;
alter function mesh_lib.forget(timestamptz) owner to mesh_definer;
alter function mesh_lib.maintain() owner to mesh_definer;
comment on function mesh_lib.maintain_hourly is 'Maintain, if that is due. Any relay, about once a minute, and in a transaction of its own: it locks tables, and its failure undoes nothing else.';
alter function mesh_lib.maintain_hourly() owner to mesh_definer;
grant execute on function mesh_lib.prepare_partition(text, timestamptz), mesh_lib.attach_partition(text, timestamptz),
  mesh_lib.detach_partition(text, timestamptz), mesh_lib.drop_partition(text, timestamptz), mesh_lib.create_partition(text, timestamptz),
  mesh_lib.drop_month(timestamptz), mesh_lib.forget(timestamptz), mesh_lib.maintain(), mesh_lib.maintain_hourly() to mesh_definer;
grant execute on function mesh_lib.maintain_hourly() to mesh_relay;
