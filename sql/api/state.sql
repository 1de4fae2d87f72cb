-- State: facts all of a mesh agrees on, each under a key. Every member reads and writes all of them; who and when is kept.
-- A deleted key keeps its row, without a value: its versions go on counting.

grant select on mesh_data.state to mesh_agent;
grant insert (mesh_id, key, value, version, agent_id, changed_at), update (value, version, agent_id, changed_at) on mesh_data.state to mesh_agent;
create policy state_select on mesh_data.state for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy state_insert on mesh_data.state for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]) and agent_id = (select mesh_lib.my_agent()));
create policy state_update on mesh_data.state for update to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[])) with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));

create function mesh.set_state(inout key text, inout value mesh.value, if_version bigint default null,
  out version bigint, out set_by text, out changed_at timestamptz)
language plpgsql volatile set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  set_state.key := mesh_lib.state_key(set_state.key);
  set_state.value := coalesce(set_state.value, 'null');
  if octet_length(set_state.value::text) > 65536 then
    perform mesh_lib.fail(413, 'a value has at most 65,536 bytes as JSON', '');
  elsif set_state.if_version < 0 then
    perform mesh_lib.fail(400, 'if_version is a version, or 0 for a key that is not set', '');
  end if;
  update mesh_data.state s set value = set_state.value, version = s.version + 1, agent_id = _me.agent_id, changed_at = mesh_lib.now()
  where s.mesh_id = _me.mesh_id and s.key = set_state.key and s.value is not null and coalesce(s.version = set_state.if_version, true)
  returning s.version, s.changed_at into set_state.version, set_state.changed_at;
  if not found and coalesce(set_state.if_version, 0) = 0 then
    -- Not there, deleted, or made meanwhile by somebody else.
    if (select count(*) from mesh_data.state s where s.mesh_id = _me.mesh_id and s.value is not null) >= 10000 then
      perform mesh_lib.fail(429, 'a mesh can have 10,000 keys at most', 'mesh state list');
    end if;
    insert into mesh_data.state as s (mesh_id, key, value, version, agent_id, changed_at)
    values (_me.mesh_id, set_state.key, set_state.value, 1, _me.agent_id, mesh_lib.now())
    on conflict on constraint state_pkey do update
      set value = excluded.value, version = s.version + 1, agent_id = excluded.agent_id, changed_at = excluded.changed_at
      where s.value is null or set_state.if_version is null
    returning s.version, s.changed_at into set_state.version, set_state.changed_at;
  end if;
  if set_state.version is null then
    perform mesh_lib.fail_version(set_state.key, set_state.if_version);
  end if;
  set_state.set_by := (select a.name from mesh_data.agent a where a.agent_id = _me.agent_id);
  perform mesh_lib.tell_news(_me.mesh_id, 'state_set', format('%s set %s = %s', set_state.set_by, set_state.key, left(set_state.value::text, 200)),
    jsonb_build_object('key', set_state.key, 'version', set_state.version)
      || case when octet_length(set_state.value::text) <= 2000 then jsonb_build_object('value', set_state.value) else '{}' end);
end
$$;
comment on function mesh.set_state is $$---
cli: state set <key> <value>
who: agent
mcp: core
---
Set a fact that all of the mesh shares, under a key: everybody there reads it, may change it, and is told at once. Kept until it is deleted.
key: 1 to 200 characters in one line, like deploy/target; up to 10,000 keys a mesh.
value: any JSON, up to 65,536 bytes; false and null are values, too. On a command line what is no JSON is a text.
if_version: change it only if this is its version now, 0 if it is not set; else ME409 with what it is. Default always.
example: mesh state set deploy/target staging
example: mesh state set deploy/target '"production"' --if-version 3$$;
grant execute on function mesh.set_state(text, mesh.value, bigint) to mesh_agent;

create function mesh.scratchpad_set(inout key text, inout value mesh.value, out version bigint, out set_by text, out changed_at timestamptz)
language plpgsql volatile set search_path = '' as $$
begin
  select s.key, s.value, s.version, s.set_by, s.changed_at
  into scratchpad_set.key, scratchpad_set.value, scratchpad_set.version, scratchpad_set.set_by, scratchpad_set.changed_at
  from mesh.set_state('scratchpad/' || mesh_lib.state_key(scratchpad_set.key), scratchpad_set.value) s;
end
$$;
comment on function mesh.scratchpad_set is $$---
cli: scratchpad set <key> <value>
who: agent
---
Jot down something for all of the mesh: set_state under scratchpad/, where get_state and list_state find it. Everybody writes there; begin the key with your name for what is yours.
key: what comes after scratchpad/, up to 189 characters.
value: any JSON, up to 65,536 bytes. On a command line what is no JSON is a text.
example: mesh scratchpad set plan "first the API, then the page"$$;
grant execute on function mesh.scratchpad_set(text, mesh.value) to mesh_agent;

create function mesh.get_state(inout key text, out value mesh.value, out version bigint, out set_by text, out changed_at timestamptz)
language plpgsql stable set search_path = '' as $$
begin
  get_state.key := mesh_lib.state_key(get_state.key);
  select s.value, s.version, a.name, s.changed_at into get_state.value, get_state.version, get_state.set_by, get_state.changed_at
  from mesh_data.state s left join mesh_data.agent a on a.agent_id = s.agent_id
  where s.mesh_id = (select mesh_lib.my_mesh()) and s.key = get_state.key and s.value is not null;
  if not found then
    perform mesh_lib.fail_unset(get_state.key);
  end if;
end
$$;
comment on function mesh.get_state is $$---
cli: state get <key>
who: agent
mcp: core
---
Read what a key of the mesh is set to, its version, who set it and when. ME404 when it is not set: null is a value.
key: the key.
example: mesh state get deploy/target$$;
grant execute on function mesh.get_state(text) to mesh_agent;

create function mesh.list_state(prefix text default null, "limit" integer default 50, after_key text default null) returns table (
  key text, value mesh.value, version bigint, set_by text, changed_at timestamptz, bytes integer
)
language plpgsql stable set search_path = '' as $$
declare
  _prefix constant text := coalesce(normalize(list_state.prefix, NFC), '');
begin
  if list_state."limit" not between 1 and 200 then
    perform mesh_lib.fail(400, 'limit is 1 to 200', '');
  end if;
  return query
    select s.key, case when octet_length(s.value::text) <= 8192 then s.value else to_jsonb(left(s.value::text, 1000) || '…') end::mesh.value, s.version, a.name, s.changed_at, octet_length(s.value::text)
    from (
      select t.* from mesh_data.state t
      where t.mesh_id = (select mesh_lib.my_mesh()) and t.value is not null
        and t.key >= _prefix and t.key < _prefix || U&'\+10FFFF' and t.key > coalesce(list_state.after_key, '')
      order by t.key limit list_state."limit"
    ) s
    left join mesh_data.agent a on a.agent_id = s.agent_id
    order by s.key;
end
$$;
comment on function mesh.list_state is $$---
cli: state list <prefix>
who: agent
columns: key value version set_by changed_at
---
List the keys of the mesh, in order, with their values; of a value with more than 8,192 `bytes` the first 1,000 characters.
prefix: only keys that begin so, like deploy/; default all.
limit: how many at most, 1 to 200; default 50.
after_key: the last key of the list before, for those after it; default from the first.
example: mesh state list
example: mesh state list deploy/$$;
grant execute on function mesh.list_state(text, integer, text) to mesh_agent;

create function mesh.delete_state(inout key text, if_version bigint default null, out version bigint, out deleted_by text, out changed_at timestamptz)
language plpgsql volatile set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  delete_state.key := mesh_lib.state_key(delete_state.key);
  update mesh_data.state s set value = null, version = s.version + 1, agent_id = _me.agent_id, changed_at = mesh_lib.now()
  where s.mesh_id = _me.mesh_id and s.key = delete_state.key and s.value is not null and coalesce(s.version = delete_state.if_version, true)
  returning s.version, s.changed_at into delete_state.version, delete_state.changed_at;
  if not found then
    if not exists (select from mesh_data.state s where s.mesh_id = _me.mesh_id and s.key = delete_state.key and s.value is not null) then
      perform mesh_lib.fail_unset(delete_state.key);
    end if;
    perform mesh_lib.fail_version(delete_state.key, delete_state.if_version);
  end if;
  delete_state.deleted_by := (select a.name from mesh_data.agent a where a.agent_id = _me.agent_id);
  perform mesh_lib.tell_news(_me.mesh_id, 'state_deleted', format('%s deleted %s', delete_state.deleted_by, delete_state.key),
    jsonb_build_object('key', delete_state.key, 'version', delete_state.version));
end
$$;
comment on function mesh.delete_state is $$---
cli: state delete <key>
alias: state remove, state unset
who: agent
destructive: yes
---
Delete a key of the mesh. Set again, its versions go on counting.
key: the key.
if_version: delete it only if this is its version now; else ME409 with what it is. Default always.
example: mesh state delete deploy/target$$;
grant execute on function mesh.delete_state(text, bigint) to mesh_agent;

-- A key as it is stored, however its accents were typed, or ME400.
create function mesh_lib.state_key(key text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  _key constant text := mesh_lib.checked_text(normalize(state_key.key, NFC), 'a key', 200);
begin
  if _key is null then
    perform mesh_lib.fail(400, 'a key has 1 to 200 characters', '');
  end if;
  return _key;
end
$$;

-- ME404: this key is not set. Names keys that are, those in the same folder first.
create function mesh_lib.fail_unset(key text) returns void
language plpgsql stable set search_path = '' as $$
declare
  _folder constant text := coalesce(substring(fail_unset.key from '^.*/'), '');
  _row mesh_data.state;
begin
  select s.* into _row from mesh_data.state s where s.mesh_id = (select mesh_lib.my_mesh()) and s.key = fail_unset.key;
  perform mesh_lib.fail(404, format('%L is not set', fail_unset.key) || case when _row.key is not null then format('; %s deleted it at %s',
      (select a.name from mesh_data.agent a where a.agent_id = _row.agent_id), to_char(_row.changed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')) else '' end,
    'mesh state list', jsonb_strip_nulls(jsonb_build_object('asked', fail_unset.key, 'version', _row.version, 'candidates', array(
      select s.key from mesh_data.state s where s.mesh_id = (select mesh_lib.my_mesh()) and s.value is not null
      order by left(s.key, length(_folder)) <> _folder, s.key limit 50))));
end
$$;

-- ME409: the key has another version, with what it is now.
create function mesh_lib.fail_version(key text, if_version bigint) returns void
language plpgsql volatile set search_path = '' as $$
declare
  _now record;
begin
  select s.value, s.version, s.changed_at, a.name into _now
  from mesh_data.state s left join mesh_data.agent a on a.agent_id = s.agent_id
  where s.mesh_id = (select mesh_lib.my_mesh()) and s.key = fail_version.key;
  perform mesh_lib.fail(409, case when _now.value is null then format('%L is not set, and has no version %s', fail_version.key, fail_version.if_version)
      else format('%L has version %s, set by %s', fail_version.key, _now.version, _now.name) end,
    'mesh state get ' || mesh_lib.shell_word(fail_version.key),
    jsonb_build_object('key', fail_version.key, 'value', _now.value, 'version', case when _now.value is null then 0 else _now.version end,
      'set_by', _now.name, 'changed_at', _now.changed_at));
end
$$;
