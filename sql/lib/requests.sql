-- A batch of calls of one function, for its set form: who calls, checked once per caller, and with which arguments, checked
-- once per shape. Each row is a call; one with an error is answered with it and has no arguments.

-- A caller of a batch: who it is, or why it is nobody.
create type mesh_lib.calling as (token text, mesh text, session text, me mesh_lib.identity, error json);

-- The callers of a batch, each identified once: by token, mesh and session. Most are agents with a good key, found by one
-- join; who is not is asked who it is.
create function mesh_lib.identify_all(tokens text[], meshes text[], sessions text[], who text, needs_mesh boolean) returns setof mesh_lib.calling
language plpgsql stable security definer set search_path = '' set enable_seqscan = off as $$
declare
  _caller mesh_lib.calling;
  _sqlstate text; _message text; _hint text; _detail text;
begin
  for _caller in
    select d.token, d.mesh, d.session,
      case when k.key_id is not null and (d.session is null or s.session_id is not null) then
        row(k.kind, k.key_id, null, k.mesh_id, k.agent_id, s.session_id, k.manage)::mesh_lib.identity end,
      null::json
    from (select distinct u.* from unnest(identify_all.tokens, identify_all.meshes, identify_all.sessions) u (token, mesh, session)) d
    left join lateral (
      select k.* from mesh_data.key k
      where k.verifier = sha256(convert_to(d.token, 'UTF8')) and d.mesh is null and identify_all.who = 'agent'
        and k.kind = 'agent' and k.revoked_at is null and (k.expires_at is null or k.expires_at > mesh_lib.now()) offset 0
    ) k on true
    left join lateral (
      select s.session_id from mesh_data.session s
      where s.agent_id = k.agent_id and s.key_id = k.key_id and s.ended_at is null and s.session_id::text = d.session offset 0
    ) s on true
  loop
    if _caller.me is null then
      begin
        _caller.me := mesh_lib.identify(_caller.token, _caller.mesh, _caller.session);
        perform mesh_lib.allow(_caller.me, identify_all.who, identify_all.needs_mesh);
      exception when others then
        get stacked diagnostics _sqlstate = returned_sqlstate, _message = message_text, _hint = pg_exception_hint, _detail = pg_exception_detail;
        _caller.error := mesh_lib.error_object(_sqlstate, _message, _hint, _detail, '');
      end;
    end if;
    return next _caller;
  end loop;
end
$$;
alter function mesh_lib.identify_all(text[], text[], text[], text, boolean) owner to mesh_definer;

create function mesh_lib.requests(function text, tokens text[], meshes text[], sessions text[], arguments text[])
returns table (ordinal integer, me mesh_lib.identity, error json, given jsonb)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
declare
  _call record;
  _given jsonb;
begin
  select c.help, c.arguments, c.types, c.required, c.who, c.needs_mesh into _call from mesh_lib.callable c where c.name = requests.function;
  -- Those that may not fit are asked what is wrong with them.
  for _given in
    select a.a
    from (select coalesce(nullif(u, ''), '{}')::jsonb as a from unnest(requests.arguments) u) a
    where case when jsonb_typeof(a.a) = 'object' then not a.a ?& _call.required or exists (
        select from jsonb_each(a.a) e
        where case jsonb_typeof(e.value)
          when 'null' then e.key = any (_call.required) or not _call.types ? e.key
          when 'array' then coalesce(_call.types ->> e.key <> 'any', true)
            and (coalesce(_call.types ->> e.key <> 'array', true) or jsonb_path_exists(e.value, '$[*] ? (@.type() == "null" || @.type() == "array")'))
          else coalesce(_call.types ->> e.key not in ('any', jsonb_typeof(e.value)), true)
        end)
      else true end
  loop
    begin
      perform mesh_lib.check_arguments(requests.function, _call.help, _call.arguments, _given);
    exception when others then
      -- Whose call it is comes first: a caller nobody knows hears of that.
      if cardinality(requests.tokens) > 1 or not exists (
        select from mesh_lib.identify_all(requests.tokens, requests.meshes, requests.sessions, _call.who, _call.needs_mesh) c where c.error is not null
      ) then
        raise;
      end if;
      requests.arguments := array['{}'];
    end;
  end loop;
  return query
    select u.ordinal::integer, c.me, c.error, case when c.error is null then coalesce(nullif(u.arguments, ''), '{}')::jsonb else '{}' end
    from unnest(requests.tokens, requests.meshes, requests.sessions, requests.arguments) with ordinality u (token, mesh, session, arguments, ordinal)
    join mesh_lib.identify_all(requests.tokens, requests.meshes, requests.sessions, _call.who, _call.needs_mesh) c
      -- Arrays are equal where both have null.
      on array[c.token, c.mesh, c.session] = array[u.token, u.mesh, u.session];
end
$$;
alter function mesh_lib.requests(text, text[], text[], text[], text[]) owner to mesh_definer;
