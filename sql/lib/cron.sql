-- Cron expressions: minute, hour, day of the month, month, day of the week, as in crontab(5) of POSIX, with steps, names
-- and @words. Where both days are restricted, either will do; a day field that begins with * restricts nothing.

-- The five fields of an expression, or ME400.
create function mesh_lib.cron_fields(cron text) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _cron constant text := lower(btrim(cron_fields.cron));
  _fields constant text[] := regexp_split_to_array(case _cron
    when '@hourly' then '0 * * * *' when '@daily' then '0 0 * * *' when '@midnight' then '0 0 * * *' when '@weekly' then '0 0 * * 0'
    when '@monthly' then '0 0 1 * *' when '@yearly' then '0 0 1 1 *' when '@annually' then '0 0 1 1 *' else _cron end, '\s+');
begin
  if length(_cron) > 200 then
    perform mesh_lib.fail(413, 'a cron expression has at most 200 characters', 'mesh schedule --help');
  elsif cardinality(_fields) <> 5 then
    perform mesh_lib.fail(400, format('a cron expression has 5 fields (minute, hour, day of the month, month, day of the week) or is @hourly, @daily, @weekly, @monthly or @yearly: not %L',
      left(cron_fields.cron, 63)), 'mesh schedule --help');
  end if;
  return _fields;
end
$$;

-- The values a field means: `*`, `5`, `1-5`, `*/15`, `1-9/2`, `3/10` and lists of them; `words` are names of the values from
-- `lowest` on. ME400 says which field is wrong.
create function mesh_lib.cron_values(field text, what text, lowest integer, highest integer, words text[] default '{}') returns integer[]
language plpgsql immutable set search_path = '' as $$
declare
  _values integer[] := '{}'::integer[];
  _part text[];
  _item text;
  _from integer; _to integer; _step integer;
begin
  foreach _item in array string_to_array(cron_values.field, ',') loop
    _part := regexp_match(_item, '^(\*|\d{1,4}|[a-z]{3})(?:-(\d{1,4}|[a-z]{3}))?(?:/(\d{1,4}))?$');
    _from := case when _part[1] = '*' and _part[2] is null then cron_values.lowest when _part[1] ~ '\d' then _part[1]::integer
      else array_position(cron_values.words, _part[1]) + cron_values.lowest - 1 end;
    _to := case when _part[2] ~ '\d' then _part[2]::integer when _part[2] is not null then array_position(cron_values.words, _part[2]) + cron_values.lowest - 1
      -- Sunday is 0, and 7 when it is said.
      when _part[1] = '*' or _part[3] is not null then case cron_values.highest when 7 then 6 else cron_values.highest end
      else _from end;
    if _part[2] = 'sun' then
      _to := 7;
    end if;
    _step := coalesce(_part[3]::integer, 1);
    if (_from >= cron_values.lowest and _to >= _from and _to <= cron_values.highest and _step >= 1) is not true then
      perform mesh_lib.fail(400, format('the %s of a cron expression is %s to %s%s, or a list, range or step of that: not %L', cron_values.what, cron_values.lowest,
        cron_values.highest, case when cardinality(cron_values.words) > 0 then format(' or %s to %s', words[1], words[cardinality(words)]) else '' end,
        left(cron_values.field, 63)), 'mesh schedule --help');
    end if;
    _values := _values || array(select generate_series(_from, _to, _step));
  end loop;
  return array(select distinct v from unnest(_values) v order by v);
end
$$;

-- The first instant after `after` that the clock of a time zone shows what an expression says; null when it never does.
create function mesh_lib.cron_next(cron text, timezone text, after timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  _fields constant text[] := mesh_lib.cron_fields(cron_next.cron);
  _minutes constant integer[] := mesh_lib.cron_values(_fields[1], 'minute', 0, 59);
  _hours constant integer[] := mesh_lib.cron_values(_fields[2], 'hour', 0, 23);
  _days constant integer[] := mesh_lib.cron_values(_fields[3], 'day of the month', 1, 31);
  _months constant integer[] := mesh_lib.cron_values(_fields[4], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  _weekdays constant integer[] := array(select v % 7 from unnest(mesh_lib.cron_values(_fields[5], 'day of the week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}')) v);
  _either constant boolean := _fields[3] !~ '^\*' and _fields[5] !~ '^\*';
  _after constant timestamp := cron_next.after at time zone cron_next.timezone;
  _day date := _after;
  _fits boolean;
  _local timestamp;
  _instant timestamptz;
begin
  -- The 29th of February may be eight years away.
  for _ahead in 0..3000 loop
    _fits := case when _either then extract(day from _day) = any (_days) or extract(dow from _day) = any (_weekdays)
      else extract(day from _day) = any (_days) and extract(dow from _day) = any (_weekdays) end;
    if _fits and extract(month from _day) = any (_months) then
      for _local in
        select t.at from (select _day + make_time(h, m, 0) as at from unnest(_hours) h, unnest(_minutes) m) t where t.at > _after order by 1
      loop
        _instant := mesh_lib.instant(_local, cron_next.timezone);
        if _instant > cron_next.after then
          return _instant;
        end if;
      end loop;
    end if;
    _day := _day + 1;
  end loop;
  return null;
end
$$;

-- The first instant at which the clock of a time zone shows this or later: of a time that happens twice the first, of one
-- that is skipped the moment of the change.
create function mesh_lib.instant(local timestamp, timezone text) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  _utc constant timestamptz := instant.local at time zone 'UTC';
  _before constant timestamptz := _utc - interval '24 hours';
  _after constant timestamptz := _utc + interval '24 hours';
  -- As the clock goes the day before, and as it goes the day after.
  _one constant timestamptz := _utc - (_before at time zone instant.timezone - _before at time zone 'UTC');
  _other constant timestamptz := _utc - (_after at time zone instant.timezone - _after at time zone 'UTC');
  _early timestamptz := least(_one, _other);
  _late timestamptz := greatest(_one, _other);
  _middle timestamptz;
begin
  if _early at time zone instant.timezone = instant.local then
    return _early;
  elsif _late at time zone instant.timezone = instant.local then
    return _late;
  end if;
  while _late - _early > interval '1 second' loop
    _middle := _early + (_late - _early) / 2;
    if _middle at time zone instant.timezone >= instant.local then
      _late := _middle;
    else
      _early := _middle;
    end if;
  end loop;
  return date_trunc('second', _late);
end
$$;

-- A time zone by its name in the tz database, as it is written there, or ME400.
create function mesh_lib.checked_timezone(timezone text) returns text
language plpgsql stable set search_path = '' as $$
declare
  _name text;
begin
  if checked_timezone.timezone = 'UTC' then
    -- Reading all names takes 30 ms.
    return 'UTC';
  end if;
  -- What is longer than all names is none, and would be compared with each of them.
  _name := (select z.name from pg_catalog.pg_timezone_names z
    where length(checked_timezone.timezone) <= 100 and lower(z.name) = lower(btrim(checked_timezone.timezone)) limit 1);
  if _name is null then
    perform mesh_lib.fail(400, format('there is no time zone %L: use a name like Europe/Berlin or UTC', left(checked_timezone.timezone, 63)), '');
  end if;
  return _name;
end
$$;
