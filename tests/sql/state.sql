-- State: versions, compare-and-set, null and false, limits, lists, who may; and the news of it that windows are shown.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.invite('alice', 'proj', 'tester', 'another invite', 1);

create function t.set(who text, key text, value jsonb, if_version bigint default null) returns jsonb language sql volatile as $$
  select t.does(who, 'set_state', jsonb_build_object('key', key, 'value', value) || case when if_version is null then '{}' else jsonb_build_object('if_version', if_version) end,
    case who when 'alice' then 'proj' when 'carol' then 'alice/proj' end)
$$;
create function t.get(who text, key text) returns jsonb language sql volatile as $$ select t.does(who, 'get_state', jsonb_build_object('key', key)) $$;
create function t.keys(arguments jsonb default '{}') returns text language sql volatile as $$
  select string_agg(r ->> 'key', ' ' order by n) from jsonb_array_elements(t.does('backend', 'list_state', arguments)) with ordinality x (r, n)
$$;

-- Set and get
select is(t.set('backend', 'deploy/target', '"staging"') - 'changed_at', '{"key": "deploy/target", "value": "staging", "version": 1, "set_by": "backend"}', 'a key is set, and its setter told what it is now');
select is(t.get('designer', 'deploy/target') - 'changed_at', '{"key": "deploy/target", "value": "staging", "version": 1, "set_by": "backend"}', 'a guest reads who set it');
select is(t.get('designer', 'deploy/target') ->> 'changed_at', t.get('backend', 'deploy/target') ->> 'changed_at', 'and when');
select is(t.set('designer', 'deploy/target', '{"a": [1, null]}') - 'changed_at', '{"key": "deploy/target", "value": {"a": [1, null]}, "version": 2, "set_by": "designer"}', 'a guest sets it, too; versions count');
select is(t.get(w.who, w.key) -> 'value', w.value, w.key || ' is what it was set to') from (
  select 'backend' as who, k.key, k.value, t.set('commander', k.key, k.value) from (values ('null', 'null'::jsonb), ('false', 'false'), ('zero', '0'), ('empty', '""'), ('list', '[]'), ('object', '{}'), ('long', to_jsonb(repeat('x', 1000))), ('1e400', '1e400')) k (key, value)) w;
select is(t.does('backend', 'get_state', '{"key": "null"}') ? 'value', true, 'null is shown');
select t.refuses('null is not missing', 404, 'backend', 'get_state', '{"key": "nil"}');
select is(t.call('backend', 'get_state', '{"key": "deploy/x"}') #> '{answer,data}', '{"asked": "deploy/x", "candidates": ["deploy/target", "1e400", "empty", "false", "list", "long", "null", "object", "zero"]}', 'a key that is not set names those that are, the near ones first');
select t.refuses('a value is needed', 400, 'backend', 'set_state', '{"key": "x"}');
select t.refuses('also with null elsewhere: ' || a, 400, 'backend', 'set_state', a::jsonb) from unnest(array['{"key": null, "value": 1}', '{"key": "", "value": 1}', '{"key": " ", "value": 1}',
  '{"key": "a\nb", "value": 1}', '{"key": "a\u202eb", "value": 1}', '{"key": 1, "value": 1}', '{"key": "a", "value": 1, "if_version": -1}', '{"key": "a", "value": 1, "if_version": "1"}', '{"key": "a", "value": 1, "by": "me"}']) a;
select is(t.set('backend', ' padded ', '1') ->> 'key', 'padded', 'spaces around a key are none of it');
select is(t.set('backend', 'Padded', '2') ->> 'version', '1', 'upper and lower case are two keys');
select is(t.set('backend', 'ключ/鍵', '1') ->> 'key', 'ключ/鍵', 'any letters do');
select is(t.set('backend', U&'caf\0065\0301', '1') ->> 'key', U&'caf\00e9', 'an accent that was typed by itself is the same letter');
select is(t.get('backend', U&'caf\0065\0301') - 'changed_at', t.get('backend', U&'caf\00e9') - 'changed_at', 'so it is one key');
select is(t.keys(jsonb_build_object('prefix', U&'caf\0065\0301')), U&'caf\00e9', 'and one prefix');
select t.works('a key of 200 characters', 'backend', 'set_state', jsonb_build_object('key', repeat('é', 200), 'value', 1));
select t.refuses('not of 201', 413, 'backend', 'set_state', jsonb_build_object('key', repeat('e', 201), 'value', 1));
select t.works('a value of 65,536 bytes', 'backend', 'set_state', jsonb_build_object('key', 'big', 'value', repeat('é', 32767)));
select t.refuses('not of more', 413, 'backend', 'set_state', jsonb_build_object('key', 'big', 'value', repeat('é', 32767) || 'x'));
select matches(t.call('backend', 'set_state', jsonb_build_object('key', 'big', 'value', repeat('é', 32768))) #>> '{answer,message}', '65,536 bytes', 'which says the limit');
select is(t.get('backend', 'big') ->> 'version', '1', 'a refused value changes nothing');

-- Compare and set
select is(t.set('commander', 'lock', '"mine"', 0) ->> 'version', '1', 'if_version 0 sets what is not set');
select t.refuses('and nothing else', 409, 'backend', 'set_state', '{"key": "lock", "value": "theirs", "if_version": 0}');
select is((t.call('backend', 'set_state', '{"key": "lock", "value": "theirs", "if_version": 0}') #> '{answer,data}') - 'changed_at', '{"key": "lock", "value": "mine", "version": 1, "set_by": "commander"}', 'who is refused hears what it is now, and whose');
select isnt(t.call('backend', 'set_state', '{"key": "lock", "value": "theirs", "if_version": 0}') #>> '{answer,data,changed_at}', null, 'and since when');
select is(t.set('backend', 'lock', 'null', 1) ->> 'version', '2', 'with its version it is set');
select t.refuses('with an older one not', 409, 'commander', 'set_state', '{"key": "lock", "value": 1, "if_version": 1}');
select is((t.call('commander', 'set_state', '{"key": "lock", "value": 1, "if_version": 3}') #> '{answer,data}') - 'changed_at', '{"key": "lock", "value": null, "version": 2, "set_by": "backend"}', 'nor with one to come; a null is shown');
select t.set('commander', 'nested', '{"a": null}');
select is(t.call('commander', 'set_state', '{"key": "nested", "value": 1, "if_version": 3}') #> '{answer,data,value}', '{"a": null}', 'also inside');
select t.refuses('a version of what is not set', 409, 'commander', 'set_state', '{"key": "nil", "value": 1, "if_version": 3}');
select is(t.call('commander', 'set_state', '{"key": "nil", "value": 1, "if_version": 3}') #>> '{answer,data,version}', '0', 'is 0');

-- Delete
select t.refuses('not with another version', 409, 'commander', 'delete_state', '{"key": "lock", "if_version": 1}');
select is(t.does('commander', 'delete_state', '{"key": "lock", "if_version": 2}') - 'changed_at', '{"key": "lock", "version": 3, "deleted_by": "commander"}', 'a key is deleted');
select t.refuses('then it is not set', 404, 'backend', 'get_state', '{"key": "lock"}');
select matches(t.call('backend', 'get_state', '{"key": "lock"}') #>> '{answer,message}', '^''lock'' is not set; commander deleted it at 20', 'it is said who did that');
select is(t.call('backend', 'get_state', '{"key": "lok"}') #>> '{answer,message}', '''lok'' is not set', 'if somebody did');
select t.refuses('nor deleted again', 404, 'backend', 'delete_state', '{"key": "lock"}');
select t.refuses('nor set as a version', 409, 'backend', 'set_state', '{"key": "lock", "value": 1, "if_version": 3}');
select is(t.set('backend', 'lock', '1', 0) ->> 'version', '4', 'versions go on counting');
select t.refuses('what was never there is not deleted', 404, 'backend', 'delete_state', '{"key": "never"}');
select t.does('backend', 'delete_state', '{"key": "lock"}');
select is(t.set('commander', 'lock', '1') ->> 'version', '6', 'also without if_version');

-- Lists
select t.does('commander', 'delete_state', jsonb_build_object('key', r ->> 'key')) from jsonb_array_elements(t.does('commander', 'list_state')) r where r ->> 'key' <> 'null';
select t.set('commander', k, '1') from unnest(array['a', 'a/b', 'a/c', 'a_', 'a%', 'B', 'a/b/c', 'ä']) k;
select t.does('commander', 'delete_state', '{"key": "a/c"}'), t.set('designer', 'big', to_jsonb(repeat('x', 9000)));
select is(t.keys(), 'B a a% a/b a/b/c a_ big null ä', 'all that is set, in order');
select is(t.keys('{"prefix": "a/"}'), 'a/b a/b/c', 'what begins with a text');
select is(t.keys('{"prefix": "a%"}'), 'a%', 'which is no pattern');
select is(t.keys('{"prefix": "a_"}'), 'a_', 'of any kind');
select is(t.keys('{"prefix": "x"}'), null, 'or nothing');
select is(t.keys('{"limit": 2}'), 'B a', 'some of them');
select is(t.keys('{"limit": 2, "after_key": "a"}'), 'a% a/b', 'and the next');
select is(t.keys('{"prefix": "a/", "after_key": "a/b"}'), 'a/b/c', 'of those that begin so');
select t.refuses('not so many: ' || n, 400, 'backend', 'list_state', jsonb_build_object('limit', n)) from unnest(array[0, 201, -1]) n;
select is((select r - 'changed_at' from jsonb_array_elements(t.does('backend', 'list_state')) r where r ->> 'key' = 'null'), '{"key": "null", "value": null, "version": 1, "set_by": "commander", "bytes": 4}', 'null is a value in a list');
select is((select r - 'changed_at' from jsonb_array_elements(t.does('backend', 'list_state')) r where r ->> 'key' = 'big'),
  jsonb_build_object('key', 'big', 'value', '"' || repeat('x', 999) || '…', 'version', 3, 'set_by', 'designer', 'bytes', 9002), 'a big one is cut, and its size said');

-- The scratchpad
select is(t.does('designer', 'scratchpad_set', '{"key": "plan", "value": null}') - 'changed_at', '{"key": "scratchpad/plan", "value": null, "version": 1, "set_by": "designer"}', 'the scratchpad is a folder');
select is(t.get('backend', 'scratchpad/plan') ->> 'set_by', 'designer', 'that everybody reads');
select is(t.does('backend', 'scratchpad_set', '{"key": "plan", "value": 2}') ->> 'version', '2', 'and writes');
select t.refuses('a key is short there, too', 413, 'backend', 'scratchpad_set', jsonb_build_object('key', repeat('x', 190), 'value', 1));
select t.refuses('and not empty', 400, 'backend', 'scratchpad_set', '{"key": " ", "value": 1}');

-- How many
insert into mesh_data.state (mesh_id, key, value, version, agent_id, changed_at)
select a.mesh_id, 'many/' || n, '1', 1, a.agent_id, now() from mesh_data.agent a, generate_series(1, 10000 - (select count(*) from mesh_data.state s where s.value is not null)) n where a.name = 'backend';
select t.refuses('10,000 keys are enough', 429, 'backend', 'set_state', '{"key": "one more", "value": 1}');
select matches(t.call('backend', 'set_state', '{"key": "one more", "value": 1}') #>> '{answer,message}', '10,000 keys', 'which is said');
select t.refuses('also for what was deleted', 429, 'backend', 'set_state', '{"key": "a/c", "value": 1}');
select is(t.set('backend', 'many/7', '2') ->> 'version', '2', 'those there are change');
select t.does('backend', 'delete_state', '{"key": "many/7"}');
select is(t.set('backend', 'one more', '2') ->> 'version', '1', 'for each that goes there is room');
select is(t.set(w.who, 'theirs', '1') ->> 'set_by', w.who, 'another mesh has its own') from (values ('scout'), ('visitor')) w (who);

-- Strangers
select t.refuses('what is ours is not set there', 404, 'scout', 'get_state', '{"key": "lock"}');
select is((select string_agg(r ->> 'key', ' ') from jsonb_array_elements(t.does('visitor', 'list_state')) r), 'theirs', 'nor listed');
select is(t.call('scout', 'get_state', '{"key": "lock"}') #> '{answer,data,candidates}', '["theirs"]', 'nor named');
select is(t.attempt_as('designer', 'select mesh_lib.tell_news((select mesh_id from mesh_data.mesh where name = ''proj''), ''lie'', ''a lie'')'), '', 'an agent may tell news as itself');
select is(t.attempt_as('scout', format('select mesh_lib.tell_news(%L, ''lie'', ''a lie'')', (select mesh_id from mesh_data.mesh where name = 'proj'))), 'ME403', 'and not to another mesh');
select is(t.attempt('mesh_agent', format('select mesh_lib.tell_news(%L, ''lie'', ''a lie'')', (select mesh_id from mesh_data.mesh where name = 'proj'))), 'ME403', 'nobody tells nothing');
select is(t.attempt_as('designer', format('select mesh_lib.add_news(%L, null, ''lie'', ''a lie'')', (select mesh_id from mesh_data.mesh where name = 'proj'))), '42501', 'nor in the name of the server');
select is((select a.name from mesh_data.news n join mesh_data.agent a using (agent_id) where n.kind = 'lie'), 'designer', 'it has its name');

-- News. What a relay would show now: who, and what.
delete from mesh_data.news;
update mesh_data.state set value = null where key like 'many/%';
select t.open(w) from unnest(array['commander', 'backend', 'designer', 'scout']) w;
create function t.news(since text, fresh text[] default '{}', whose text[] default array['commander', 'backend', 'designer', 'scout']) returns text language sql volatile as $$
  select t.attempt('mesh_relay', format('select string_agg(concat_ws('' '', (n.frame ->> ''text'') || '':'', (select string_agg(x.who, '' '' order by x.who) from jsonb_to_recordset(%L) x (who text, id uuid) where x.id = any (n.sessions))), ''; '') '
    || 'from mesh_lib.news(%L, %L, %L, %L) n', jsonb_agg(jsonb_build_object('who', s.who, 'id', s.session_id)), array_agg(s.session_id order by s.who)::text, array_agg(s.push_secret order by s.who)::text, since,
    coalesce((array_agg(s.session_id) filter (where s.who = any (fresh))), '{}')::text))
  from t.session s where s.who = any (whose)
$$;
-- A transaction does not see itself as over; in this one everything happens.
create function t.visible() returns void language sql as $$ update mesh_data.news set changed_in = (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text::xid8 $$;
select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1) || ':' || (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1) || ':' as since, pg_current_snapshot()::text as later \gset
select t.set('backend', 'lock', '"open"'), t.does('designer', 'delete_state', '{"key": "lock"}');
select t.visible();
select is(t.news(:'since'), 'backend set lock = "open": commander designer; designer deleted lock: backend commander', 'a change is shown to all of the mesh but who made it, in order');
select is(t.news(:'later'), null, 'once');
select is(t.news(null), null, 'a relay that has just begun is shown nothing');
select is(t.news(null, '{backend,designer,scout}'), 'backend set lock = "open": designer; designer deleted lock: backend', 'but a socket that has just come what it missed');
select is((select count(*) from mesh_data.news n where n.detail = '{"key": "lock", "version": 8, "value": "open"}'), 1::bigint, 'for programs with key, version and value');
select t.pass('2 minutes');
select is(t.news(null, '{backend,designer,scout}'), null, 'in the last minute');
select t.attempt('mesh_relay', format('select count(*) from mesh_lib.news(array[%L]::uuid[], array[%L], %L, ''{}'')', t.window('designer'), repeat('0', 64), :'since')) as wrong \gset
select is(:'wrong'::text, '0', 'a session is proved by its secret');
update mesh_data.session set ended_at = now(), ended_why = 'test' where session_id = t.window('designer');
select is(t.news(:'since'), 'backend set lock = "open": commander; designer deleted lock: backend commander', 'a window that was closed is shown nothing');
update mesh_data.news set changed_in = '99999999999';
select is(t.news(:'since'), null, 'nor is what a restored dump says of transactions to come');

-- What this relay is told with the answer
create function t.effect_of(token text, arguments jsonb, relay uuid) returns jsonb language sql volatile security definer set search_path = '' as $$
  select c.effects -> 'news' from mesh_lib.call(array[token], array[null], array[null], array['set_state'], array[arguments::text], relay) c
$$;
alter function t.effect_of owner to mesh_relay;
create function t.effect(who text, key text, value jsonb, relay uuid) returns jsonb language sql volatile as $$
  select t.effect_of(t.token(who), jsonb_build_object('key', key, 'value', value), relay)
$$;
select gen_random_uuid() as relay \gset
update mesh_data.presence p set relay_id = :'relay', confirmed_at = mesh_lib.now() from t.session s where s.session_id = p.session_id and s.who in ('backend', 'scout');
select is(t.effect('commander', 'k', '1', :'relay') -> 0 -> 'sessions', jsonb_build_array(t.window('backend')), 'a relay is told which of its windows to show a change to');
select is(t.effect('commander', 'k', '1', :'relay') #>> '{0,frame,from}', 'commander', 'who made it');
select is(t.effect('backend', 'k', '1', :'relay'), null, 'but not who made it');
select is(t.effect('commander', 'k', '1', gen_random_uuid()), null, 'nor another relay');
select is((t.effect('commander', 'k', to_jsonb(repeat('x', 3000)), :'relay') #> '{0,frame,detail}') ? 'value', false, 'what is long is to be read');
select is(length(t.effect('commander', 'k', to_jsonb(repeat('x', 3000)), :'relay') #>> '{0,frame,text}') < 250, true, 'and cut in the line');
select is(t.effect('commander', 'k', to_jsonb(U&'a\202Eb'::text), :'relay') #>> '{0,frame,text}', 'commander set k = "ab"', 'which no text turns around');
select is((select string_agg(k, ' ' order by k) from (select jsonb_object_keys(t.effect('commander', 'k', '1', :'relay') -> 0 -> 'frame') as k) x), 'detail from happened_at kind news_id text', 'a frame says what, who and when');

-- What is kept, and how long
select t.pass('2 days');
select is(mesh_lib.forget('1970-01-01') > 0, true, 'news are swept');
select is((select count(*) from mesh_data.news), 0::bigint, 'after a day');
select is((select count(*) > 0 from mesh_data.state where value is null), true, 'deleted keys are not');
select t.pass('91 days');
select is(mesh_lib.forget('1970-01-01') + mesh_lib.forget('1970-01-01') > 10000, true, 'they are, 10,000 at a time');
select is((select count(*) from mesh_data.state where value is null), 0::bigint, 'after ninety');
select t.does('alice', 'delete_mesh', '{"confirm": "proj"}', 'proj');
select is((select count(*) from mesh_data.state), 1::bigint, 'a mesh takes its keys with it');

select finish();
rollback;
