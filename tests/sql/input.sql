-- Bad input: a clear 4xx with code and hint, never a 500, whatever is given.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.furnish();
select t.send('alice', '*', 'to all');
select t.send('alice', 'commander', 'dead') as dead \gset
select t.does('commander', 'release_messages', jsonb_build_object('message_ids', array[:'dead'])) from generate_series(1, 5);
select t.attempt('mesh_admin', 'select mesh.allow_signup(true)');

-- The caller for whom a call works.
create view t.caller as
select c.name as function, c.arguments,
  case c.description ->> 'who' when 'account' then 'alice' when 'ticket' then 'dave''s ticket' when 'invite' then 'the open invite' else 'commander' end as who,
  case c.description ->> 'who' when 'account' then 'alice/proj' end as mesh
from mesh_lib.callable c;
create view t.argument as
select c.function, c.who, c.mesh, a.name, a.type, a.required, a.json_type from t.caller c, jsonb_to_recordset(c.arguments) a (name text, type text, required boolean, json_type text);

create function t.tried_raw(who text, function text, mesh text, arguments text) returns jsonb language plpgsql volatile as $$
declare
  _answer jsonb;
begin
  begin
    _answer := t.raw(t.token(who), function, arguments, mesh, null);
    raise exception 'undo';
  exception when others then
    null;
  end;
  return _answer;
end
$$;

-- The shape of the call
select t.is_refusal(t.tried_raw('commander', f, null, '{}'), 400, format('there is no call %L', f))
from unnest(array['', 'nothing', 'drop table', '__proto__', 'search', '../x', 'create_account', 'allow_signup', 'whoami()', 'Whoami', 'mesh.whoami', 'pg_sleep', repeat('x', 100000), '😀']) f;
select t.is_refusal(t.tried_raw('commander', null, null, '{}'), 400, 'there is no call null');
select t.is_refusal(t.tried_raw('commander', 'check_messages', null, a), 400, format('the arguments %L are no JSON object', left(a, 30)))
from unnest(array['[]', 'null', '1', '"x"', 'true', '{', '{bad', '{"limit": 1', '{"limit": 1}}', '{limit: 1}', e'{"seen": "\\u0000"}', '{"limit": 1e400000}', '[[[', repeat('[', 7000)]) a;
select is(t.tried_raw('commander', 'whoami', null, a) ->> 'status', '200', format('the arguments %L are none', a)) from unnest(array['{}', '', null, ' { } ']) a;
select is(t.tried_raw('commander', 'check_messages', null, '{"limit": 1, "limit": 2}') ->> 'status', '200', 'an argument given twice counts once');
select t.is_refusal(t.tried('commander', 'check_messages', m), 404, format('there is no mesh %L', left(m, 20)))
from unnest(array['', '../x', '*', '😀', 'proj; drop table x', repeat('x', 10000), 'PROJ/', 'proj%']) m;
select is(t.call('commander', 'whoami', '{}', m) ->> 'status', '200', format('the mesh is found as %L', m)) from unnest(array['proj', 'PROJ', 'alice/proj', 'Alice/Proj']) m;
select t.is_refusal(t.raw(t.token('commander'), 'whoami', '{}', null, s), 409, format('there is no session %L', left(s, 20))) from unnest(array['', 'x', gen_random_uuid()::text, repeat('x', 10000), '😀']) s;
select is(array_length(array(select mesh_lib.call(array[null, null]::text[], array[null, null]::text[], array[null, null]::text[], array['whoami', 'nothing'], array['{}', '{}'])), 1), 2, 'each call of a batch has its own answer');

-- Every argument of every call
select t.is_refusal(t.tried(c.who, c.function, c.mesh, t.fitting(c.who, c.function) || jsonb_build_object(n, 1)), 400, format('%s takes no argument %L', c.function, n))
from t.caller c, unnest(array['nothing', '__proto__', 'constructor', '']) n order by 1;
select t.is_refusal(t.tried(a.who, a.function, a.mesh, t.fitting(a.who, a.function) - a.name), 400, a.function || ' needs the argument ' || a.name) from t.argument a where a.required order by 1;
select t.is_refusal(t.tried(a.who, a.function, a.mesh, t.fitting(a.who, a.function) || jsonb_build_object(a.name, null)), 400, a.function || ' takes no null for ' || a.name) from t.argument a where a.required and a.type <> 'mesh.value' order by 1;
select is(t.tried(a.who, a.function, a.mesh, t.fitting(a.who, a.function) || jsonb_build_object(a.name, null)) ->> 'status', t.tried(a.who, a.function, a.mesh) ->> 'status', a.function || ': null is the default of ' || a.name)
from t.argument a where not a.required and a.function <> 'delete_account'
  and (a.function, a.name) not in (('schedule_message', 'in'), ('forget', 'key')) -- one of several must be given
order by 1;
create table t.junk (value jsonb);
insert into t.junk select jsonb_build_array(v) -> 0 from unnest(array['true', '0', '-1', '1.5', '99999999999999999999', '1e400', '-9223372036854775809', '""', '" "', '"x"', '"../x"', '"*"', '"__proto__"', '"all"',
  '"deadbeef"', '"😀"', '"a\u0001b"', '"\u202eevil"', '"\u2066x"', '"\n"', '"NaN"', '"Infinity"', '"infinity"', '"epoch"', '"{}"', '"{{}}"', '"''; drop table mesh_data.mesh; --"', '"00000000-0000-0000-0000-000000000000"',
  '[]', '[null]', '[1]', '["x"]', '[[]]', '[["00000000-0000-0000-0000-000000000000"]]', '{}', '{"verifier": 1, "public_key": null}', '{"verifier": [], "public_key": {}}',
  '{"document": "x", "signer": "x", "signature": "x"}', '{"a": {"b": {"c": []}}}']::jsonb[]) v;
insert into t.junk select jsonb_build_object('document', d, 'signer', t.public_key('alice'), 'signature', repeat('0', 128)) from unnest(array['', '{', '[]', 'null', '1', '"x"', '{}', '{"signed_at": null}',
  '{"signed_at": 1}', '{"signed_at": "x"}', '{"signed_at": "infinity"}', '{"signed_at": "-infinity"}', '{"signed_at": "now"}', '{"signed_at": "2000-01-01T00:00:00Z"}']) d;
insert into t.junk select to_jsonb(repeat('é', 300000));
select is((select string_agg(format('%s %s=%s: %s', a.function, a.name, left(j.value::text, 60), x.answer -> 'answer'), E'\n') from t.junk j,
    lateral (select t.tried(a.who, a.function, a.mesh, t.fitting(a.who, a.function) || jsonb_build_object(a.name, j.value)) as answer) x
    where case when a.json_type <> 'any' and jsonb_typeof(j.value) <> a.json_type then x.answer ->> 'status' <> '400' else x.answer ->> 'status' not in ('200', '400', '403', '404', '409', '410', '413') end
      or x.answer ->> 'status' <> '200' and (x.answer #>> '{answer,code}' <> 'ME' || (x.answer ->> 'status') or coalesce(x.answer #>> '{answer,message}', '') = '' or x.answer #> '{answer,hint}' is null)),
  null, format('%s: whatever %s is, the answer is a result or a clear 4xx', a.function, a.name))
from t.argument a order by a.function, a.name;

-- Names
create table t.name (function text, argument text, who text, mesh text);
insert into t.name values ('create_agent', 'name', 'commander', null), ('edit_agent', 'name', 'commander', null), ('create_mesh', 'name', 'alice', 'proj'), ('rename_mesh', 'name', 'alice', 'proj'),
  ('signup', 'name', null, null), ('create_invite', 'agent', 'alice', 'proj');
select t.is_refusal(t.tried(n.who, n.function, n.mesh, t.fitting(n.who, n.function) || jsonb_build_object(n.argument, w)), 400, format('%s: %s is no name', n.function, to_json(left(w, 20))))
from t.name n, unnest(array['../x', '*', '__proto__', '😀', 'deadbeef', '01234567', 'DEADBEEF00', 'all', 'ALL', '', ' ', 'a b', 'a/b', 'a#b', '@a', '#a', '-a', '.a', '_a', 'ä', 'a' || chr(10), 'a' || chr(8238) || 'b', 'а', repeat('a', 64),
  'a''b', 'a"b', 'a;b', 'a\b', 'a:b', 'a,b', 'a%b', 'a$b']) w;
select is(t.tried(n.who, n.function, n.mesh, t.fitting(n.who, n.function) || jsonb_build_object(n.argument, w)) ->> 'status', '200', format('%s: %L is a name', n.function, left(w, 20)))
from t.name n, unnest(array['a', '0', 'abcdef', 'a.b_c-d', 'Backend2', 'deadbeefx', '12345678z', 'all2', repeat('x', 63), 'search', 'constructor', 'null']) w;
select is(t.does('commander', 'create_agent', '{"name": "CamelCase"}') ->> 'agent', 'camelcase', 'names are compared and kept without case');
select t.refuses('so another case is the same name', 409, 'commander', 'create_agent', '{"name": "cAMELcASE"}');
select is(t.does('designer', 'send_message', '{"to": "CAMELcase", "message": "x"}') #>> '{recipients,0,agent}', 'camelcase', 'and addresses as well');

-- Free text: one line where people read it in lists
create table t.text (function text, argument text, longest int, lines boolean);
insert into t.text values ('create_agent', 'role', 200, false), ('create_agent', 'launch_prompt', 20000, true), ('edit_agent', 'role', 200, false), ('edit_agent', 'launch_prompt', 20000, true),
  ('create_invite', 'role', 200, false), ('signup', 'display_name', 100, false), ('redeem_invite', 'display_name', 100, false), ('set_summary', 'summary', 500, false), ('done', 'summary', 500, false),
  ('open_session', 'editor', 100, false), ('open_session', 'cwd', 4096, false), ('open_session', 'host', 255, false);
create function t.texted(x t.text, value text) returns jsonb language sql volatile as $$
  select t.tried(c.who, c.function, c.mesh, t.fitting(c.who, c.function) || jsonb_build_object(x.argument, value)) from t.caller c where c.function = x.function
$$;
select t.is_refusal(t.texted(x, 'a' || chr(c) || 'b'), 400, format('%s: %s holds no U+%s', x.function, x.argument, upper(lpad(to_hex(c), 4, '0'))))
from t.text x, unnest(array[1, 7, 8, 11, 12, 13, 27, 31, 127, 128, 133, 159, 1564, 8206, 8207, 8232, 8233, 8234, 8238, 8294, 8297]) c;
select is(t.texted(x, 'a' || chr(c) || 'b') ->> 'status', case when x.lines then '200' else '400' end, format('%s: %s may hold several lines: %s (U+%s)', x.function, x.argument, x.lines, lpad(to_hex(c), 4, '0')))
from t.text x, unnest(array[9, 10]) c;
select is(t.texted(x, 'Ärger 😀 שלום مرحبا') ->> 'status', '200', format('%s: %s is in any script', x.function, x.argument)) from t.text x;
select is(t.texted(x, repeat('ä', x.longest)) ->> 'status', '200', format('%s: %s has %s characters', x.function, x.argument, x.longest)) from t.text x;
select t.is_refusal(t.texted(x, repeat('ä', x.longest + 1)), 413, format('%s: %s has no more', x.function, x.argument)) from t.text x;
select is(t.does('commander', 'set_summary', '{"summary": "  "}') -> 'summary', 'null', 'an empty text clears it');

-- What Postgres says is said in our words
select is(t.tried(v.who, v.function, null, v.arguments) #>> '{answer,message}', v.message, v.message)
from (values ('commander', 'list_state', '{"limit": 2.5}'::jsonb, '"2.5" is no whole number'),
  ('commander', 'set_state', '{"key": "a", "value": 1, "if_version": 1.5}', '"1.5" is no whole number'),
  ('commander', 'recall', '{"after": "x"}', '"x" is no id: it is 36 characters, as the call that made the thing gave it'),
  ('commander', 'list_events', '{"since": "1h"}', '"1h" is no time: write it like 2026-01-31T12:00:00Z, today or yesterday'),
  ('commander', 'claim_paths', '{"patterns": ["src\\lib"], "reason": "x"}', '''src\lib'' holds a backslash: parts of a path are separated by /')) v (who, function, arguments, message);

-- Limits
select is(t.tried('commander', 'send_message', null, jsonb_build_object('to', 'designer', 'message', repeat('ä', 32768))) ->> 'status', '200', 'a message of 65,536 bytes goes');
select t.is_refusal(t.tried('commander', 'send_message', null, jsonb_build_object('to', 'designer', 'message', repeat('ä', 32768) || 'x')), 413, 'one byte more is too large');
select t.is_refusal(t.tried('commander', 'send_message', null, '{"to": "designer", "message": ""}'), 400, 'an empty message is none');
select t.is_refusal(t.tried('commander', 'send_message', null, jsonb_build_object('to', 'designer', 'message', 'x', 'data', to_jsonb(repeat('x', 65536)))), 413, 'data is limited too');
select t.is_refusal(t.tried('commander', 'send_message', null, jsonb_build_object('to', 'designer', 'message', 'x', 'key', k)), 400, 'a key has 1 to 200 characters') from unnest(array['', repeat('x', 201)]) k;
select t.is_refusal(t.tried('commander', 'check_messages', null, jsonb_build_object('limit', l)), 400, format('no check with limit %s', l)) from unnest(array[0, -1, 101, 2147483647, 2147483648]) l;
select t.is_refusal(t.tried('commander', 'wait', null, jsonb_build_object('timeout', l)), 400, format('no wait for %s s', l)) from unnest(array[-1, 56, 2147483648]) l;
select t.is_refusal(t.tried('alice', 'create_invite', 'proj', t.fitting('alice', 'create_invite') || jsonb_build_object(a, l)), 400, format('no invite with %s %s', l, a))
from unnest(array['days', 'uses']) a, unnest(array[0, -1, 1001, 2147483647]) l;
select t.is_refusal(t.tried('commander', 'ack_messages', null, jsonb_build_object('message_ids', i)), 400, 'nothing or too much to acknowledge')
from unnest(array['[]'::jsonb, (select jsonb_agg(gen_random_uuid()) from generate_series(1, 1001))]) i;
select t.is_refusal(t.tried('commander', 'set_status', null, jsonb_build_object('status', s)), 400, format('there is no status %L', s)) from unnest(array['', 'offline', 'waiting', 'away', '*']) s;
select is(t.does('commander', 'set_status', '{"status": "DND"}') ->> 'status', 'dnd', 'a status is compared without case');

select finish();
rollback;
