-- Addresses: whom `to` means. Each kind of address has its file; this one knows which is which.

-- The addresses in a JSON text with commas between them, or a JSON array, also one that is written in a text: each once, where it
-- stands first. ME400.
create function mesh_lib.addresses("to" jsonb) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _text constant text := addresses."to" #>> '{}';
  _list jsonb;
begin
  -- Most are one name.
  if _text is null then
    return null;
  elsif jsonb_typeof(addresses."to") = 'string' and position(',' in _text) = 0 and position('[' in _text) = 0 then
    return array[lower(btrim(_text))];
  end if;
  _list := mesh_lib.listed(addresses."to");
  return array(
    select l.address
    from (
      select lower(btrim(t.t)) as address, t.n
      from unnest(case when _list is null then string_to_array(_text, ',') else array(select jsonb_array_elements_text(_list)) end) with ordinality t (t, n)
    ) l
    group by l.address order by min(l.n));
end
$$;

-- The JSON array of texts that this is, or that is written in this text; null for another text. ME400.
create function mesh_lib.listed("to" jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  _list jsonb;
begin
  if jsonb_typeof(listed."to") = 'array' then
    return listed."to";
  elsif listed."to" #>> '{}' !~ '^\s*\[' then
    return null;
  end if;
  begin
    _list := (listed."to" #>> '{}')::jsonb;
  exception when data_exception or invalid_text_representation then
    null;
  end;
  if _list is null or jsonb_path_exists(_list, 'strict $[*] ? (@.type() != "string")') then
    perform mesh_lib.fail(400, 'a list of addresses is a JSON array of texts, or a text with commas between them: bob,carol', 'mesh peers');
  end if;
  return _list;
end
$$;

-- Whether an address can only mean one agent: a name or a key.
create function mesh_lib.is_one(address text) returns boolean
language sql immutable return is_one.address !~ '^[*@#]|:';

-- Whom an address means to this sender, who may be among them: agents, or the pool where it waits for one. ME404 with
-- those there are when it means nobody; * means everybody, were it nobody. `everyone`: of a role all, not the first. `among`:
-- of a role only these.
create function mesh_lib.recipients(me mesh_lib.identity, address text, everyone boolean, among uuid[] default null) returns uuid[]
language plpgsql volatile set search_path = '' as $$
begin
  if recipients.address = '*' then
    return array(select a.agent_id from mesh_data.agent a where a.mesh_id = (recipients.me).mesh_id and a.removed_at is null);
  elsif recipients.address like '@%' then
    return mesh_lib.group_agents((recipients.me).mesh_id, recipients.address);
  elsif recipients.address like 'role:%' then
    return mesh_lib.role_recipients(recipients.me, recipients.address, recipients.everyone, recipients.among);
  elsif recipients.address like '#%' then
    return mesh_lib.room_recipients(recipients.me, recipients.address);
  end if;
  return array[mesh_lib.agent_id_of((recipients.me).mesh_id, recipients.address)];
end
$$;

-- The agent with this name, or the one whose key begins with these 8 to 64 hex digits. ME404 when there is none, ME409 when
-- several keys begin so; both name the candidates.
create function mesh_lib.agent_id_of(mesh_id uuid, address text) returns uuid
language plpgsql stable set search_path = '' as $$
declare
  _found uuid[];
begin
  if agent_id_of.address ~ '^[0-9a-f]{8,64}$' then
    -- A name is never only hex of 8 or more digits.
    _found := array(select a.agent_id from mesh_data.agent a where a.mesh_id = agent_id_of.mesh_id and a.removed_at is null
      and encode(a.identity_key, 'hex') like agent_id_of.address || '%');
    if cardinality(_found) > 1 then
      perform mesh_lib.fail(409, format('%s agents have a key that begins with %s', cardinality(_found), agent_id_of.address), 'mesh peers',
        jsonb_build_object('candidates', mesh_lib.candidates(agent_id_of.mesh_id, _found)));
    end if;
  else
    _found := array(select a.agent_id from mesh_data.agent a
      where a.mesh_id = agent_id_of.mesh_id and a.name = agent_id_of.address and a.removed_at is null);
  end if;
  if cardinality(_found) = 0 then
    perform mesh_lib.fail_unknown(agent_id_of.mesh_id, agent_id_of.address);
  end if;
  return _found[1];
end
$$;

-- ME404: no agent has this name or key. What else has it is named: a # or @ is soon forgotten.
create function mesh_lib.fail_unknown(mesh_id uuid, asked text) returns void
language plpgsql stable set search_path = '' as $$
declare
  _asked constant text := left(fail_unknown.asked, 64);
  _others constant text := concat_ws(' and ',
    (select '#' || r.name from mesh_data.room r where r.mesh_id = fail_unknown.mesh_id and r.name = _asked and r.closed_at is null),
    (select '@' || g from mesh_lib.group_names(fail_unknown.mesh_id) g where g = _asked),
    (select r from unnest(mesh_lib.roles(fail_unknown.mesh_id)) r where r = 'role:' || _asked));
begin
  perform mesh_lib.fail(404, format('there is no agent %L in this mesh', _asked) || coalesce(', but ' || nullif(_others, ''), ''), 'mesh peers',
    jsonb_build_object('asked', _asked, 'candidates', mesh_lib.candidates(fail_unknown.mesh_id)));
end
$$;

-- What tells agents apart, up to a hundred of them: name, key prefix and folder. Null: all of the mesh.
create function mesh_lib.candidates(mesh_id uuid, agents uuid[] default null) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', c.name, 'key', c.key, 'cwd', c.cwd)) order by c.name), '[]')
  from (
    select a.name, mesh_lib.key_prefix(a.identity_key) as key, s.cwd
    from mesh_data.agent a left join mesh_data.session s on s.agent_id = a.agent_id and s.ended_at is null
    where a.mesh_id = candidates.mesh_id and a.removed_at is null and (candidates.agents is null or a.agent_id = any (candidates.agents))
    order by a.name limit 100
  ) c
$$;
