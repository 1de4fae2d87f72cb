-- The dispatch: the one way a call enters. Owned by mesh_agent and SECURITY DEFINER, so calls run as mesh_agent under
-- row-level security, and the relay that may execute it is a member of nothing.

-- Runs one call for whoever is signed in. Names and JSON types are checked here, so a function's own errors are its rules.
create function mesh_lib.run(function text, arguments text) returns json
language plpgsql volatile set search_path = '' as $$
declare
  _call mesh_lib.callable;
  _arguments jsonb;
  _answer json;
begin
  select * into _call from mesh_lib.callable c where c.name = run.function;
  if not found then
    perform mesh_lib.fail(400, 'there is no call ' || quote_literal(left(run.function, 63)), 'mesh help');
  end if;
  perform mesh_lib.allow(mesh_lib.me(), _call.who, _call.needs_mesh);

  _arguments := coalesce(nullif(run.arguments, ''), '{}')::jsonb;
  perform mesh_lib.check_arguments(run.function, _call.help, _call.arguments, _arguments);

  execute (
    select format('select %s from (select 1) one %s left join lateral mesh.%I(%s) f on true',
      _call.answer,
      'cross join jsonb_to_record($1) a (' || string_agg(format('%I %s', t.name, t.type), ', ') || ')',
      run.function,
      -- JSON null is the default, except for arguments that are JSON themselves.
      string_agg(format(case when t.type in ('jsonb', 'mesh.value') then '%I => $1 -> %L' else '%1$I => a.%1$I' end, t.name, t.name), ', ')
        filter (where _arguments ? t.name and (t.type in ('jsonb', 'mesh.value') or jsonb_typeof(_arguments -> t.name) <> 'null')))
    from jsonb_to_recordset(_call.arguments || '[{"name": "_", "type": "text"}]') t (name text, type text)
  ) into _answer using _arguments;
  return _answer;
end
$$;

-- ME400 unless these are arguments the function takes, of the right JSON types. `expected` is as in callable.arguments,
-- `help` the command that tells more.
create function mesh_lib.check_arguments(function text, help text, expected jsonb, arguments jsonb) returns void
language plpgsql immutable set search_path = '' as $$
declare
  _argument record;
begin
  if jsonb_typeof(check_arguments.arguments) <> 'object' then
    perform mesh_lib.fail(400, 'the arguments must be one JSON object', check_arguments.help);
  end if;
  for _argument in
    select coalesce(g.key, a.name) as name, a.type, a.json_type, a.required, jsonb_typeof(g.value) as given, a.name is null as unknown,
      -- Postgres would take [null] and [[x]] for arrays, too.
      (a.type like '%[]' or a.type = 'mesh.given_back') and jsonb_path_exists(g.value, 'strict $[*] ? (@.type() == "null" || @.type() == "array")', silent => true) as nested
    from jsonb_each(check_arguments.arguments) g
    full join jsonb_to_recordset(check_arguments.expected) a (name text, type text, json_type text, required boolean) on a.name = g.key
  loop
    if _argument.unknown then
      perform mesh_lib.fail(400, format('%s takes no argument %L', check_arguments.function, left(_argument.name, 63)), check_arguments.help,
        jsonb_build_object('arguments', jsonb_path_query_array(check_arguments.expected, '$[*].name')));
    elsif _argument.required and (_argument.given is null or _argument.given = 'null' and _argument.type <> 'mesh.value') then
      perform mesh_lib.fail(400, format('%s needs the argument %L', check_arguments.function, _argument.name), check_arguments.help);
    elsif _argument.given not in ('null', _argument.json_type) and _argument.json_type <> 'any' then
      perform mesh_lib.fail(400, format('the argument %L must be a JSON %s, not %s', _argument.name, _argument.json_type, _argument.given),
        check_arguments.help);
    elsif _argument.nested then
      perform mesh_lib.fail(400, format('the elements of %L must be neither null nor arrays', _argument.name), check_arguments.help);
    end if;
  end loop;
end
$$;

-- Is the caller's key enough for this call?
create function mesh_lib.allow(me mesh_lib.identity, who text, needs_mesh boolean) returns void
language plpgsql stable set search_path = '' as $$
begin
  if allow.who <> 'anyone' and (allow.me).kind = 'anyone' then
    perform mesh_lib.fail(401, 'sign in first: this call needs a key', 'mesh login');
  elsif allow.who in ('ticket', 'invite') and (allow.me).kind <> allow.who then
    perform mesh_lib.fail(403, format('this call takes %s key', case allow.who when 'ticket' then 'a one-time' else 'an invite''s' end), '');
  elsif allow.who in ('agent', 'manage', 'account') and (allow.me).kind = 'ticket' then
    perform mesh_lib.fail(403, 'this is a one-time key: sign in with it first, which makes the lasting one', 'mesh login');
  elsif allow.who in ('agent', 'manage', 'account') and (allow.me).kind = 'invite' then
    perform mesh_lib.fail(403, 'this is an invite: join with it first', 'mesh join');
  elsif allow.who = 'account' and (allow.me).kind <> 'account' then
    perform mesh_lib.fail(403, 'this call needs the account key; this key belongs to one agent', 'mesh login');
  elsif allow.needs_mesh and (allow.me).mesh_id is null then
    perform mesh_lib.fail(400, 'which mesh? Name one with --mesh, or in the header Mesh', 'mesh projects',
      jsonb_build_object('candidates', array(
        select m.name from mesh_data.member b join mesh_data.mesh m on m.mesh_id = b.mesh_id
        where b.account_id = (allow.me).account_id and b.revoked_at is null order by m.name)));
  elsif allow.who = 'manage' and not (allow.me).manage then
    perform mesh_lib.fail(403, 'this key may not manage the mesh', '');
  end if;
end
$$;

-- What a call wants its relay to do besides answering. Signed, as the identity is, so only definers say it: whom to show a
-- message to is not for SQL as mesh_agent to decide. What is told later is added.
create function mesh_lib.tell_relay(effects jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  _told constant jsonb := mesh_lib.told_relay();
  _all constant jsonb := coalesce(_told, '{}') || coalesce(tell_relay.effects, '{}') || case
    when _told ? 'news' and tell_relay.effects ? 'news' then jsonb_build_object('news', (_told -> 'news') || (tell_relay.effects -> 'news')) else '{}' end;
begin
  if tell_relay.effects is not null then
    perform set_config('mesh.effects', mesh_lib.signature('effects ' || _all::text) || _all::text, true);
  end if;
end
$$;

-- A definer: what this call told its relay, or null.
create function mesh_lib.told_relay() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  _setting constant text := current_setting('mesh.effects', true);
begin
  return case when _setting <> '' and left(_setting, 64) = mesh_lib.signature('effects ' || substr(_setting, 65)) then substr(_setting, 65)::jsonb end;
end
$$;
alter function mesh_lib.told_relay() owner to mesh_definer;
grant execute on function mesh_lib.told_relay() to mesh_agent;

-- Who called, for the relay.
create function mesh_lib.caller(me mesh_lib.identity) returns jsonb
language sql stable return case when (caller.me).key_id is not null then jsonb_build_object('key_id', (caller.me).key_id,
  'mesh_id', (caller.me).mesh_id, 'agent_id', (caller.me).agent_id, 'session_id', (caller.me).session_id) end;

-- One call, in a subtransaction of its own, as its own caller.
create function mesh_lib.call_one(token text, mesh text, session text, function text, arguments text,
  out status integer, out answer json, out caller jsonb, out effects json)
language plpgsql volatile set search_path = '' as $$
declare
  _me mesh_lib.identity;
  _sqlstate text; _message text; _hint text; _detail text; _constraint text;
begin
  perform set_config('mesh.effects', '', true);
  _me := mesh_lib.sign_in(call_one.token, call_one.mesh, call_one.session);
  answer := mesh_lib.run(call_one.function, call_one.arguments);
  status := 200;
  effects := mesh_lib.told_relay();
  caller := mesh_lib.caller(_me);
exception
  when lock_not_available or deadlock_detected or serialization_failure then raise;
  when others then
  get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint,
    _detail = pg_exception_detail, _constraint = constraint_name;
  answer := mesh_lib.error_object(_sqlstate, _message, _hint, _detail, _constraint);
  status := mesh_lib.status_of(_sqlstate);
  caller := mesh_lib.caller(_me);
end
$$;

-- Calls of one function that has a set form, in one go. When that fails as a whole, each half alone; alone, a call's error
-- is its own. So one that fails costs the others little.
create function mesh_lib.call_set(set_function text, tokens text[], meshes text[], sessions text[], arguments text[], relay_id uuid)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects json)
language plpgsql volatile set search_path = '' as $$
declare
  _all constant integer := cardinality(call_set.tokens);
  _half constant integer := _all / 2;
  _sqlstate text; _message text; _hint text; _detail text; _constraint text;
begin
  return query execute format('select * from mesh_lib.%I($1, $2, $3, $4, $5)', call_set.set_function)
    using call_set.tokens, call_set.meshes, call_set.sessions, call_set.arguments, call_set.relay_id;
exception
  when lock_not_available or deadlock_detected or serialization_failure then raise;
  when others then
  get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint,
    _detail = pg_exception_detail, _constraint = constraint_name;
  if _all = 1 then
    return query select 1, mesh_lib.status_of(_sqlstate), mesh_lib.error_object(_sqlstate, _message, _hint, _detail, _constraint), null::jsonb, null::json;
  else
    return query select * from mesh_lib.call_set(call_set.set_function, tokens[:_half], meshes[:_half], sessions[:_half], call_set.arguments[:_half], call_set.relay_id);
    return query
      select _half + c.ordinal, c.status, c.answer, c.caller, c.effects
      from mesh_lib.call_set(call_set.set_function, tokens[_half + 1:], meshes[_half + 1:], sessions[_half + 1:], call_set.arguments[_half + 1:], call_set.relay_id) c;
  end if;
end
$$;

-- Every statement of a relay names this view, so a reload that locks it first finds no relay half way through the old
-- code: holding one table and waiting for another, or with a plan for types that are no more.
create view mesh_lib.gate with (security_invoker = true) as select true as open;
comment on view mesh_lib.gate is 'Relays call through this: select … from mesh_lib.gate, mesh_lib.call(…).';
grant select on mesh_lib.gate to mesh_relay;

-- Without JIT and without a new plan for each set of values: both take longer than all of a batch. A lock that is not to be
-- had, and a deadlock, fail all of a batch and leave nothing of it: what others have locked in it would stay locked, and who
-- is told to try again could be overtaken by its own later calls. The relay then runs each alone. It says in mesh.lock_timeout
-- how long calls wait for locks, once they are past the gate: a reload holds up everybody, and is worth waiting for.
create function mesh_lib.call(tokens text[], meshes text[], sessions text[], functions text[], arguments text[], relay_id uuid default null)
returns table (ordinal integer, status integer, answer json, caller jsonb, effects json)
language plpgsql volatile security definer set search_path = '' set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  _first integer := 1;
  _last integer;
  _set text;
begin
  perform set_config('mesh.relay', coalesce(call.relay_id::text, ''), true);
  perform set_config('lock_timeout', coalesce(nullif(current_setting('mesh.lock_timeout', true), ''), current_setting('lock_timeout')), true);
  while _first <= cardinality(functions) loop
    -- A run of calls of the same function.
    _last := _first;
    while functions[_last + 1] = functions[_first] loop
      _last := _last + 1;
    end loop;
    _set := (select c.set_function from mesh_lib.callable c where c.name = functions[_first]);
    if _set is not null then
      return query
        select _first + c.ordinal - 1, c.status, c.answer, c.caller, c.effects
        from mesh_lib.call_set(_set, tokens[_first:_last], meshes[_first:_last], sessions[_first:_last], call.arguments[_first:_last], call.relay_id) c;
    else
      return query
        select n, c.status, c.answer, c.caller, c.effects
        from generate_series(_first, _last) n
        cross join lateral mesh_lib.call_one(tokens[n], meshes[n], sessions[n], functions[n], call.arguments[n]) c;
    end if;
    _first := _last + 1;
  end loop;
  perform set_config('mesh.identity', '', true);
end
$$;
comment on function mesh_lib.call is
  'Run calls in order, as their own callers; one that fails leaves nothing and harms no other, but that all fail when a lock is not to be had. Arrays of equal length, 1 to 256; token, mesh and session may be null. relay_id: the relay that asks. answer is the result, or the error object when status is not 200.';
revoke execute on function mesh_lib.call(text[], text[], text[], text[], text[], uuid) from public;
grant execute on function mesh_lib.call(text[], text[], text[], text[], text[], uuid) to mesh_relay;
grant create on schema mesh_lib to mesh_agent;
alter function mesh_lib.call(text[], text[], text[], text[], text[], uuid) owner to mesh_agent;
revoke create on schema mesh_lib from mesh_agent;
