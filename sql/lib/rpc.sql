-- The dispatch: the one way a call enters. Owned by mesh_agent and SECURITY DEFINER, so calls run as mesh_agent under
-- row-level security, and the relay that may execute it is a member of nothing.

-- Runs one call for whoever is signed in. Names and JSON types are checked here, so a function's own errors are its rules.
create function mesh_lib.run(function text, arguments text) returns json
language plpgsql volatile set search_path = '' as $$
declare
  _call mesh_lib.callable;
  _arguments jsonb;
  _argument record;
  _answer json;
begin
  select * into _call from mesh_lib.callable c where c.name = run.function;
  if not found then
    perform mesh_lib.fail(400, 'there is no call ' || quote_literal(left(run.function, 63)), 'mesh help');
  end if;
  perform mesh_lib.allow(_call.who, _call.needs_mesh);

  _arguments := coalesce(nullif(run.arguments, ''), '{}')::jsonb;
  if jsonb_typeof(_arguments) <> 'object' then
    perform mesh_lib.fail(400, 'the arguments must be one JSON object', 'mesh help ' || run.function);
  end if;
  for _argument in
    select coalesce(g.key, a.name) as name, a.json_type, a.required, jsonb_typeof(g.value) as given, a.name is null as unknown,
      -- Postgres would take [null] and [[x]] for arrays, too.
      a.type like '%[]' and jsonb_path_exists(g.value, 'strict $[*] ? (@.type() == "null" || @.type() == "array")', silent => true) as nested
    from jsonb_each(_arguments) g
    full join jsonb_to_recordset(_call.arguments) a (name text, type text, json_type text, required boolean) on a.name = g.key
  loop
    if _argument.unknown then
      perform mesh_lib.fail(400, format('%s takes no argument %L', run.function, left(_argument.name, 63)), 'mesh help ' || run.function,
        jsonb_build_object('arguments', _call.names));
    elsif _argument.required and coalesce(_argument.given, 'null') = 'null' then
      perform mesh_lib.fail(400, format('%s needs the argument %L', run.function, _argument.name), 'mesh help ' || run.function);
    elsif _argument.given not in ('null', _argument.json_type) and _argument.json_type <> 'any' then
      perform mesh_lib.fail(400, format('the argument %L must be a JSON %s, not %s', _argument.name, _argument.json_type, _argument.given),
        'mesh help ' || run.function);
    elsif _argument.nested then
      perform mesh_lib.fail(400, format('the elements of %L must be neither null nor arrays', _argument.name), 'mesh help ' || run.function);
    end if;
  end loop;

  execute (
    select format('select %s from (select 1) one %s left join lateral mesh.%I(%s) f on true',
      _call.answer,
      'cross join jsonb_to_record($1) a (' || string_agg(format('%I %s', t.name, t.type), ', ') || ')',
      run.function,
      -- JSON null is the default, except for arguments that are JSON themselves.
      string_agg(format(case when t.type = 'jsonb' then '%I => $1 -> %L' else '%1$I => a.%1$I' end, t.name, t.name), ', ')
        filter (where _arguments ? t.name and (t.type = 'jsonb' or jsonb_typeof(_arguments -> t.name) <> 'null')))
    from jsonb_to_recordset(_call.arguments || '[{"name": "_", "type": "text"}]') t (name text, type text)
  ) into _answer using _arguments;
  return _answer;
end
$$;

-- Is the caller's key enough for this call?
create function mesh_lib.allow(who text, needs_mesh boolean) returns void
language plpgsql stable set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  if allow.who <> 'anyone' and _me.kind = 'anyone' then
    perform mesh_lib.fail(401, 'sign in first: this call needs a key', 'mesh login');
  elsif allow.who in ('ticket', 'invite') and _me.kind <> allow.who then
    perform mesh_lib.fail(403, format('this call takes %s key', case allow.who when 'ticket' then 'a one-time' else 'an invite''s' end), '');
  elsif allow.who in ('agent', 'manage', 'account') and _me.kind = 'ticket' then
    perform mesh_lib.fail(403, 'this is a one-time key: sign in with it first, which makes the lasting one', 'mesh login');
  elsif allow.who in ('agent', 'manage', 'account') and _me.kind = 'invite' then
    perform mesh_lib.fail(403, 'this is an invite: join with it first', 'mesh join');
  elsif allow.who = 'account' and _me.kind <> 'account' then
    perform mesh_lib.fail(403, 'this call needs the account key; this key belongs to one agent', 'mesh login');
  elsif allow.needs_mesh and _me.mesh_id is null then
    perform mesh_lib.fail(400, 'which mesh?', 'mesh projects',
      jsonb_build_object('candidates', array(select m.name from mesh_data.mesh m order by m.name)));
  elsif allow.who = 'manage' and not _me.manage then
    perform mesh_lib.fail(403, 'this key may not manage the mesh', '');
  end if;
end
$$;

-- What a call wants its relay to do besides answering.
create function mesh_lib.tell_relay(effects jsonb) returns void
language sql volatile set search_path = '' as $$ select set_config('mesh.effects', tell_relay.effects::text, true) $$;

-- Every statement of a relay names this view, so a reload that locks it first finds no relay half way through the old
-- code: holding one table and waiting for another, or with a plan for types that are no more.
create view mesh_lib.gate with (security_invoker = true) as select true as open;
comment on view mesh_lib.gate is 'Relays call through this: select … from mesh_lib.gate, mesh_lib.call(…).';
grant select on mesh_lib.gate to mesh_relay;

create function mesh_lib.call(tokens text[], meshes text[], sessions text[], functions text[], arguments text[])
returns table (ordinal integer, status integer, answer json, caller jsonb, effects jsonb)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me mesh_lib.identity;
  _sqlstate text;
  _message text;
  _hint text;
  _detail text;
  _constraint text;
begin
  for _ordinal in 1..cardinality(functions) loop
    _me := null;
    call.effects := null;
    begin
      perform set_config('mesh.effects', '', true);
      _me := mesh_lib.sign_in(tokens[_ordinal], meshes[_ordinal], sessions[_ordinal]);
      call.answer := mesh_lib.run(functions[_ordinal], call.arguments[_ordinal]);
      call.status := 200;
      call.effects := nullif(current_setting('mesh.effects'), '')::jsonb;
    exception when others then
      get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint,
        _detail = pg_exception_detail, _constraint = constraint_name;
      call.answer := mesh_lib.error_object(_sqlstate, _message, _hint, _detail, _constraint);
      call.status := mesh_lib.status_of(_sqlstate);
    end;
    call.ordinal := _ordinal;
    call.caller := case when _me.key_id is not null then jsonb_build_object('key_id', _me.key_id, 'mesh_id', _me.mesh_id,
      'agent_id', _me.agent_id, 'session_id', _me.session_id) end;
    return next;
  end loop;
  perform set_config('mesh.identity', '', true);
end
$$;
comment on function mesh_lib.call is
  'Run calls in order, each in its own subtransaction as its own caller. Arrays of equal length, 1 to 256; token, mesh and session may be null. answer is the result, or the error object when status is not 200.';
revoke execute on function mesh_lib.call(text[], text[], text[], text[], text[]) from public;
grant execute on function mesh_lib.call(text[], text[], text[], text[], text[]) to mesh_relay;
grant create on schema mesh_lib to mesh_agent;
alter function mesh_lib.call(text[], text[], text[], text[], text[]) owner to mesh_agent;
revoke create on schema mesh_lib from mesh_agent;
