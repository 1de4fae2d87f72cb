-- Errors: raised in one place, mapped in one place, one object everywhere: {"code","message","hint","data"?}.

create function mesh_lib.fail(status integer, message text, hint text default '', data jsonb default null) returns void
language plpgsql volatile set search_path = '' as $$
begin
  raise exception using
    errcode = 'ME' || fail.status, message = fail.message,
    hint = coalesce(fail.hint, ''), detail = coalesce(fail.data::text, '');
end
$$;
comment on function mesh_lib.fail is 'Refuse the call: status is the HTTP status, hint a command to run or empty, data is JSON for programs.';

-- A word of a command in a hint, as a shell reads it.
create function mesh_lib.shell_word(word text) returns text
language sql immutable return case when shell_word.word ~ '^[A-Za-z0-9_./:,@][A-Za-z0-9_./:,@-]*$' then shell_word.word
  else '''' || replace(shell_word.word, '''', '''\''''') || '''' end;

-- The status of an error that is not ours.
create function mesh_lib.status_of(sqlstate text) returns integer
language sql immutable set search_path = '' as $$
  select case
    when sqlstate ~ '^ME[45]\d\d$' then substr(sqlstate, 3)::integer
    when sqlstate like '22%' or sqlstate in ('23502', '23514', '54001') then 400
    when sqlstate = '23505' then 409
    when sqlstate = '42501' then 403
    when sqlstate like '08%' or sqlstate like '40%' or sqlstate like '53%' or sqlstate like '57%' or sqlstate = '55P03' then 503
    else 500
  end
$$;

-- The error object. The text of an unforeseen error is logged under an id and not shown.
create function mesh_lib.error_object(sqlstate text, message text, hint text, detail text, constraint_name text) returns json
language plpgsql volatile set search_path = '' as $$
declare
  _status constant integer := mesh_lib.status_of(error_object.sqlstate);
  _id text;
begin
  if error_object.sqlstate like 'ME%' then
    -- Only what is absent is left out: in data a null may be somebody's value.
    return case when coalesce(error_object.detail, '') <> '' then json_build_object('code', error_object.sqlstate, 'message', error_object.message,
        'hint', coalesce(error_object.hint, ''), 'data', error_object.detail::json)
      else json_strip_nulls(json_build_object('code', error_object.sqlstate, 'message', error_object.message, 'hint', coalesce(error_object.hint, ''))) end;
  elsif _status = 500 then
    _id := left(gen_random_uuid()::text, 8);
    raise log 'mesh error %: % %', _id, error_object.sqlstate, error_object.message;
    return json_build_object('code', 'ME500', 'message', 'something broke on our side (error ' || _id || ')', 'hint', '');
  elsif _status = 503 then
    return json_build_object('code', 'ME503', 'message', 'the database is busy; try again', 'hint', '', 'data', json_build_object('retry_after', 1));
  elsif error_object.constraint_name ~ '^message_\w+_pkey$' then
    return json_build_object('code', 'ME409', 'message', 'this id is another message''s', 'hint', '');
  elsif error_object.sqlstate like '23%' then
    -- A constraint is named as a sentence.
    return json_build_object('code', 'ME' || _status,
      'message', coalesce(nullif(replace(error_object.constraint_name, '_', ' '), ''), 'that value is missing'), 'hint', '');
  elsif _status = 403 then
    return json_build_object('code', 'ME403', 'message', 'this key may not do that', 'hint', '');
  elsif error_object.sqlstate = '22P02' and error_object.message like '% uuid: %' then
    return json_build_object('code', 'ME400', 'hint', '',
      'message', format('%s is no id: it is 36 characters, as the call that made the thing gave it', left(substring(error_object.message from ': (.*)'), 63)));
  elsif error_object.sqlstate = '54001' then
    return json_build_object('code', 'ME400', 'message', 'this JSON is nested too deeply', 'hint', '');
  elsif error_object.sqlstate = '22P02' and error_object.message ~ ' (integer|bigint): ' then
    return json_build_object('code', 'ME400', 'message', left(substring(error_object.message from ': (.*)'), 63) || ' is no whole number', 'hint', '');
  elsif error_object.sqlstate in ('22008', '22015') then
    return json_build_object('code', 'ME400', 'message', 'a time is too far off, or a span of time too long', 'hint', '');
  elsif error_object.sqlstate = '22007' and error_object.message like '% timestamp with time zone: %' then
    return json_build_object('code', 'ME400', 'hint', '',
      'message', left(substring(error_object.message from ': (.*)'), 63) || ' is no time: write it like 2026-01-31T12:00:00Z, today or yesterday');
  end if;
  return json_build_object('code', 'ME' || _status, 'message', left(error_object.message, 300), 'hint', '');
end
$$;
