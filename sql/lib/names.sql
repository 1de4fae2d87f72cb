-- Names and other words that people type, checked in one place.

-- A valid name, folded to lower case, or ME400.
create function mesh_lib.checked_name(name text, what text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  _name constant text := lower(checked_name.name);
begin
  if _name !~ '^[a-z0-9][a-z0-9._-]{0,62}$' or _name ~ '^[0-9a-f]{8,}$' or _name = 'all' then
    perform mesh_lib.fail(400, format('%L is no name for %s: use 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit, not only hex digits, not "all"',
      left(checked_name.name, 63), checked_name.what), '');
  end if;
  return _name;
end
$$;

-- Free text for people: no control or bidirectional-formatting characters, trimmed, null when empty, or ME400. It is one
-- line, because a second one would be a forged row of somebody's table, unless `lines` says that nobody lists it.
create function mesh_lib.checked_text(value text, what text, longest integer, lines boolean default false) returns text
language plpgsql immutable set search_path = '' as $$
declare
  _value constant text := nullif(btrim(checked_text.value), '');
begin
  if length(_value) > checked_text.longest then
    perform mesh_lib.fail(413, format('%s is too long: at most %s characters', checked_text.what, checked_text.longest), '');
  elsif _value ~ U&'[\0001-\0008\000B-\001F\007F-\009F\061C\200E\200F\2028-\202E\2066-\2069]' then
    perform mesh_lib.fail(400, format('%s holds control or direction characters', checked_text.what), '');
  elsif _value ~ '[\t\n]' and not checked_text.lines then
    perform mesh_lib.fail(400, format('%s is one line, without tabs', checked_text.what), '');
  end if;
  return _value;
end
$$;

-- What somebody or something can do, in words: each once, or ME400.
create function mesh_lib.checked_capabilities(capabilities text[]) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _words constant text[] := array(
    select distinct w from (select lower(mesh_lib.checked_text(c, 'a capability', 63)) from unnest(checked_capabilities.capabilities) c) c (w)
    where w is not null order by 1);
begin
  if cardinality(_words) > 50 then
    perform mesh_lib.fail(413, 'at most 50 capabilities', '');
  end if;
  return _words;
end
$$;

-- Tags as they are kept: lower case, without #, each once. ME400, ME413.
create function mesh_lib.checked_tags(tags text[]) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _tags constant text[] := array(
    select distinct w from (select nullif(ltrim(lower(mesh_lib.checked_text(g, 'a tag', 63)), '#'), '') from unnest(checked_tags.tags) g) g (w)
    where w is not null order by 1);
begin
  if cardinality(_tags) > 20 then
    perform mesh_lib.fail(413, 'at most 20 tags', '');
  end if;
  return _tags;
end
$$;

-- The agent of this name in the caller's mesh, or ME404 with those there are; the client shows what comes near.
create function mesh_lib.agent_named(name text) returns mesh_data.agent
language plpgsql stable set search_path = '' as $$
declare
  _agent mesh_data.agent;
begin
  select a.* into _agent from mesh_data.agent a
  where a.mesh_id = (select mesh_lib.my_mesh()) and a.name = lower(agent_named.name) and a.removed_at is null;
  if not found then
    perform mesh_lib.fail_unknown(mesh_lib.my_mesh(), agent_named.name);
  end if;
  return _agent;
end
$$;

-- The first 12 hex digits of a public key: what people compare at a glance.
create function mesh_lib.key_prefix(public_key bytea) returns text
language sql immutable set search_path = '' as $$ select left(encode(key_prefix.public_key, 'hex'), 12) $$;
