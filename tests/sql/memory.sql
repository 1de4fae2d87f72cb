-- Memory: what is remembered and forgotten, shared and private, and by whom.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.remember(who text, content text, extra jsonb default '{}') returns jsonb language sql volatile as $$
  select t.does(who, 'remember', jsonb_build_object('content', content) || extra, case who when 'alice' then 'proj' when 'carol' then 'alice/proj' end)
$$;
-- The contents of what is found, in order.
create function t.recall(who text, arguments jsonb default '{}') returns text language sql volatile as $$
  select coalesce(string_agg(m.value ->> 'content', ' / ' order by m.ordinality), '')
  from jsonb_array_elements(t.does(who, 'recall', arguments, case who when 'alice' then 'proj' when 'carol' then 'alice/proj' end)) with ordinality m
$$;
create function t.all(who text) returns text language sql volatile as $$ select t.recall(who, '{"limit": 100}') $$;

-- Remembering
select is(t.remember('backend', 'deploys go through release', '{"key": "deploy", "tags": ["Git", " ops ", "#git"]}') - 'remembered_at' - 'memory_id',
  '{"key": "deploy", "tags": ["git", "ops"], "private": false, "replaced": false, "next": "mesh recall --key deploy"}', 'a memory with all it can have');
select is(t.remember('designer', 'the logo is blue') - 'remembered_at' - 'memory_id' - 'next', '{"key": null, "tags": [], "private": false, "replaced": false}', 'a memory with nothing but its content');
select is(t.all('commander'), 'the logo is blue / deploys go through release', 'the newest first, where nothing is asked for');
select is(mesh_lib.memory_key(U&'caf\0065\0301'), mesh_lib.memory_key(U&'caf\00e9'), 'an accent that was typed by itself is the same letter of a key');
select is(t.tried('backend', 'remember', null, jsonb_build_object('content', 'x', 'key', k)) #>> '{answer,next}' like 'mesh recall --key %', direct, format('%L is shown as the next command: %s', k, direct))
from (values ('staging-db', true), ('a/b:c_d.e', true), ('-x', false), ('two words', false), ('it''s', false)) v (k, direct);
select is(t.all('alice'), t.all('designer'), 'the owner and a guest read what is shared');
select is(t.all('carol') || t.all('backend'), t.all('designer') || t.all('designer'), 'so do a member and the agent itself');
select is(t.all('scout') || t.all('visitor') || t.all('bob'), '', 'nobody of another mesh does');
select is((select string_agg(m ->> 'remembered_by', ' ') from jsonb_array_elements(t.does('commander', 'recall')) m), 'designer backend', 'and sees who remembered it');
select is(t.does('commander', 'recall', '{"key": "deploy"}') #> '{0,tags}', '["git", "ops"]', 'and its tags');

-- A key upserts
create table t.first as select t.does('backend', 'recall', '{"key": "deploy"}') #>> '{0,memory_id}' as memory_id;
select is(t.remember('designer', 'deploys go through main', '{"key": " deploy "}') - 'remembered_at', jsonb_build_object('memory_id', (select memory_id from t.first), 'key', 'deploy', 'tags', '["git", "ops"]'::jsonb, 'private', false, 'replaced', true, 'next', 'mesh recall --key deploy'),
  'a key replaces what anybody remembered under it; its id and tags stay');
select is(t.recall('backend', '{"key": "deploy"}'), 'deploys go through main', 'what was there is gone');
select is(t.does('backend', 'recall', '{"key": "deploy"}') #>> '{0,remembered_by}', 'designer', 'who wrote it last is named');
select is(t.all('backend'), 'deploys go through main / the logo is blue', 'and it is the newest');
select is(t.recall('backend', '{"query": "release"}'), '', 'words that are gone find nothing');
select is(t.remember('designer', 'deploys go through main', '{"key": "deploy", "tags": []}') -> 'tags', '[]', 'an empty list of tags removes them');
select is(t.remember('scout', 'other deploy', '{"key": "deploy"}') ->> 'replaced', 'false', 'in another mesh the key is another');
select is(t.recall('backend', '{"key": "deploy"}') || t.recall('visitor', '{"key": "deploy"}'), 'deploys go through mainother deploy', 'and stays so');
select is(t.recall('backend', '{"key": "Deploy"}') || t.recall('backend', '{"key": "deplo"}') || t.recall('backend', '{"key": "%"}'), '', 'a key is exactly that');

-- Private
select t.remember('backend', 'my secret plan', '{"key": "deploy", "private": true}'), t.remember('backend', 'my diary', '{"private": true, "tags": ["me"]}');
select is(t.all('backend'), 'my diary / my secret plan / deploys go through main / the logo is blue', 'an agent finds its own and what is shared');
select is(t.all(w), 'deploys go through main / the logo is blue', w || ' does not find what is private to another') from unnest(array['alice', 'carol', 'commander', 'designer']) w;
select is(t.recall(w, '{"query": "secret plan diary"}') || t.recall(w, '{"tags": ["me"]}') || t.recall(w, '{"private": true}') || t.recall(w, '{"query": "secrat"}'), '', 'neither by word, tag or typo does ' || w) from unnest(array['alice', 'commander', 'scout']) w;
select is(t.recall('commander', jsonb_build_object('memory_id', t.does('backend', 'recall', '{"key": "deploy", "private": true}') #>> '{0,memory_id}')), '', 'nor by its id');
select is(t.recall('backend', '{"key": "deploy"}'), 'my secret plan / deploys go through main', 'a key may be shared and private at once');
select is(t.recall('backend', '{"key": "deploy", "private": true}') || ' ' || t.recall('backend', '{"key": "deploy", "private": false}'), 'my secret plan deploys go through main', 'private tells them apart');
select is(t.does('backend', 'recall', '{"key": "deploy"}') -> 0 -> 'private', 'true', 'and is shown');
select t.remember('alice', 'for my eyes', '{"private": true}'), t.remember('carol', 'hers', '{"private": true}');
select is(t.recall('alice', '{"private": true}') || t.recall('carol', '{"private": true}'), 'for my eyeshers', 'people have their own, too');

-- Editing an agent's
select is(t.does('commander', 'edit_memory', '{"agent": "Backend", "key": "deploy", "value": "the plan of commander"}') - 'remembered_at' - 'memory_id', '{"agent": "backend", "key": "deploy", "replaced": true}', 'who may manage edits it');
select is(t.recall('backend', '{"key": "deploy", "private": true}'), 'the plan of commander', 'the agent finds it');
select is(t.does('backend', 'recall', '{"key": "deploy"}') #>> '{0,remembered_by}', 'commander', 'and by whom');
select is(t.all('commander'), 'deploys go through main / the logo is blue', 'who wrote it does not');
select is(t.does('alice', 'edit_memory', '{"agent": "designer", "key": "style", "value": 4}', 'proj') ->> 'replaced', 'false', 'the owner does, and makes a new one');
select is(t.recall('designer', '{"key": "style"}'), '4', 'of what is no text, too');
select t.refuses(w || ' edits no memory of another', 403, w, 'edit_memory', '{"agent": "commander", "key": "x", "value": "x"}') from unnest(array['backend', 'designer']) w;
select t.refuses('not of an agent of another mesh', 404, 'commander', 'edit_memory', '{"agent": "scout", "key": "x", "value": "x"}');
select t.refuses('what is wrong: ' || e, 400, 'commander', 'edit_memory', '{"agent": "backend", "key": "x", "value": "x"}' || e::jsonb) from unnest(array['{"key": ""}', '{"value": ""}', '{"value": null}', '{"key": "a\nb"}']) e;
select t.refuses('too much', 413, 'commander', 'edit_memory', jsonb_build_object('agent', 'backend', 'key', 'x', 'value', repeat('x', 10241)));

-- Forgetting
create function t.words() returns text language sql stable as $$
  select string_agg(distinct coalesce(a.name, b.name) || ' ' || k.word, ', ' order by coalesce(a.name, b.name) || ' ' || k.word) from mesh_data.memory_word k
  left join mesh_data.agent a on a.agent_id = k.reader_id left join mesh_data.mesh b on b.mesh_id = k.reader_id where k.word in ('blue', 'deploys', 'logo', 'main', 'through')
$$;
select is(t.words(), 'proj blue, proj deploys, proj logo, proj main, proj through', 'the words of all are known');
select is(t.does('designer', 'forget', '{"key": "deploy"}') ->> 'content', 'deploys go through main', 'who has one of that name forgets it');
select is(t.recall('commander', '{"key": "deploy"}') || t.recall('commander', '{"query": "deploys"}') || t.recall('commander', jsonb_build_object('memory_id', (select memory_id from t.first))), '', 'it is found no more');
select is(t.all('alice'), 'for my eyes / the logo is blue', 'nor listed');
select is((select count(*) from mesh_data.memory where memory_id = (select memory_id::uuid from t.first) and forgotten_at is not null), 1::bigint, 'its row is kept');
select t.pass('80 days');
select mesh_lib.forget(mesh_lib.now() - interval '1000 days');
select is(t.words(), 'proj blue, proj logo', 'but not its words: only those that others hold');
select is((select count(*) from mesh_data.memory where memory_id = (select memory_id::uuid from t.first)), 1::bigint, 'for a while');
select t.pass('100 days');
select mesh_lib.forget(mesh_lib.now() - interval '1000 days');
select is((select count(*) from mesh_data.memory where memory_id = (select memory_id::uuid from t.first)), 0::bigint, 'of 90 days');
select is(t.all('alice'), 'for my eyes / the logo is blue', 'what is not forgotten stays');
select is(t.recall('designer', '{"query": "lgoo"}'), 'the logo is blue', 'and is found by what looks like its words');
select t.pass('0 days');
select t.refuses('forgetting it again', 404, 'designer', 'forget', '{"key": "deploy"}');
select t.refuses('by its id', 404, 'designer', 'forget', jsonb_build_object('memory_id', (select memory_id from t.first)));
select is(t.remember('commander', 'deploys are back', '{"key": "deploy"}') ->> 'replaced', 'false', 'the key is free');
select t.refuses('where there is a shared and a private one', 409, 'backend', 'forget', '{"key": "deploy"}');
select is(t.does('backend', 'forget', '{"key": "deploy", "private": true}') ->> 'content', 'the plan of commander', 'private tells which');
select is(t.recall('backend', '{"key": "deploy"}'), 'deploys are back', 'the other stays');
select is(t.call('backend', 'forget', '{"key": "deplo"}') #> '{answer,data}', '{"asked": "deplo", "candidates": ["deploy"]}', 'a key that is not there comes with those there are');
select t.refuses(w || ' forgets none of another mesh', 404, w, 'forget', '{"key": "deploy", "private": true}') from unnest(array['visitor', 'scout', 'designer', 'commander']) w;
select is(t.does('designer', 'forget', jsonb_build_object('memory_id', t.does('designer', 'recall', '{"query": "logo"}') #>> '{0,memory_id}')) ->> 'content', 'the logo is blue', 'what has no key is forgotten by its id');
select t.refuses('saying neither', 400, 'backend', 'forget', '{}');
select t.refuses('or both', 400, 'backend', 'forget', jsonb_build_object('key', 'deploy', 'memory_id', gen_random_uuid()));
select t.refuses('the private one of another by its id', 404, 'commander', 'forget', jsonb_build_object('memory_id', t.does('backend', 'recall', '{"query": "diary"}') #>> '{0,memory_id}'));
select is((select string_agg(e.kind, ' ' order by e.event_id) from mesh_data.event e where e.kind like 'memory%'), 'memory_edited memory_edited memory_forgotten memory_forgotten', 'what is done to what others rely on is in the log');
select is(string_agg(jsonb_array_length(t.does(w.who, 'list_events', '{"kind": "memory_edited"}', w.mesh))::text, ' ' order by w.n), '1 1 1 0 2', 'who edited a memory and whose it is read of it, others do not, the owner of all')
from (values (1, 'commander', null), (2, 'backend', null), (3, 'designer', null), (4, 'carol', 'alice/proj'), (5, 'alice', 'proj')) w (n, who, mesh);

-- Bad input
select t.refuses('what is wrong: ' || e, 400, 'backend', 'remember', '{"content": "x"}' || e::jsonb)
from unnest(array['{"content": ""}', '{"content": " \n\t "}', '{"content": null}', '{"key": " "}', '{"key": "a\tb"}', '{"tags": "x"}', '{"tags": [null]}', '{"tags": ["a\nb"]}', '{"private": "yes"}', '{"nonsense": 1}']) e;
select t.refuses('what is too much: ' || left(e::text, 40), 413, 'backend', 'remember', '{"content": "x"}' || e)
from unnest(array[jsonb_build_object('content', repeat('x', 65537)), jsonb_build_object('content', repeat('ü', 32769)), jsonb_build_object('key', repeat('k', 201)), jsonb_build_object('tags', array[repeat('t', 64)]),
  jsonb_build_object('tags', (select array_agg('t' || n) from generate_series(1, 21) n)), jsonb_build_object('content', repeat('x', 10241), 'private', true)]) e;
select is(t.call('backend', 'remember', jsonb_build_object('content', repeat('x', 10241), 'private', true)) #>> '{answer,message}', 'a private memory has at most 10,240 bytes', 'the limit is named');
select t.works('as much as there may be', 'backend', 'remember', jsonb_build_object('content', repeat('words and ', 6553), 'key', repeat('k', 200)));
select t.works('also in one word', 'backend', 'remember', jsonb_build_object('content', repeat('x', 65536), 'key', 'long'));
select t.works('and in Chinese', 'backend', 'remember', jsonb_build_object('content', (select string_agg(chr(19968 + n), '') from generate_series(1, 20000) n), 'key', 'chinese'));
select is(length(t.recall('designer', '{"key": "long"}')), 65536, 'a key gets all of it');
select is(t.does('designer', 'recall', '{"query": "words", "private": false}') #> '{0,cut}', 'true', 'a list only the beginning');
select is(length(t.recall('designer', '{"query": "words"}')), 10001, 'which says that it goes on');
select t.does('backend', 'forget', jsonb_build_object('key', k)) from unnest(array['long', 'chinese', repeat('k', 200)]) k;
select t.refuses('a limit of ' || l, 400, 'backend', 'recall', jsonb_build_object('limit', l)) from unnest(array[0, -1, 101]) l;
select t.refuses('a query too long', 413, 'backend', 'recall', jsonb_build_object('query', repeat('x', 1001)));
select t.refuses('after what is not there', 404, 'backend', 'recall', jsonb_build_object('after', gen_random_uuid()));

-- Limits
create or replace function mesh_lib.private_memories() returns integer language sql immutable return 2;
select t.works('up to the limit', 'backend', 'remember', '{"content": "x", "key": "two", "private": true}');
select t.refuses('an agent has so many of its own', 429, 'backend', 'remember', '{"content": "x", "private": true}');
select is(t.call('backend', 'remember', '{"content": "x", "private": true}') #>> '{answer,message}', 'an agent can have 2 private memories at most: forget some', 'the limit is named');
select t.refuses('nor is it given more', 429, 'commander', 'edit_memory', '{"agent": "backend", "key": "three", "value": "x"}');
select t.works('replacing one is no more', 'backend', 'remember', '{"content": "y", "key": "two", "private": true}');
select t.does('backend', 'forget', '{"key": "two"}');
select t.works('forgetting makes room', 'backend', 'remember', '{"content": "x", "key": "three", "private": true}');
select t.works('shared ones are others', 'backend', 'remember', '{"content": "x"}');
create or replace function mesh_lib.shared_memories() returns integer language sql immutable return 3;
select is((select count(*) from mesh_data.memory m join mesh_data.mesh b on m.reader_id = b.mesh_id where b.name = 'proj'), 2::bigint, 'two are shared');
select t.works('a third', 'commander', 'remember', '{"content": "third", "key": "third"}');
select t.refuses('a mesh shares so many', 429, 'designer', 'remember', '{"content": "fourth"}');
select t.works('one is replaced', 'designer', 'remember', '{"content": "3", "key": "third"}');
select t.works('and one forgotten', 'commander', 'forget', '{"key": "third"}');
select t.works('then there is room', 'designer', 'remember', '{"content": "fourth"}');
select t.refuses('for one', 429, 'designer', 'remember', '{"content": "fifth"}');

-- Removed agents
select t.does('commander', 'remove_agent', '{"agent": "designer"}');
select is(t.does('commander', 'recall', '{"query": "fourth"}') #>> '{0,remembered_by}', 'designer', 'what a removed agent shared stays, with its name');
select t.agent('alice', 'proj', 'designer2', false);
select t.does('commander', 'edit_agent', '{"agent": "designer2", "name": "designer"}');
select is(t.recall('designer2', '{"key": "style"}'), '', 'who takes its name does not read what was private to it');
select t.does('alice', 'delete_mesh', '{"confirm": "proj"}', 'proj');
select is((select count(*) from mesh_data.memory m join mesh_data.mesh b using (mesh_id) where b.name <> 'other') + (select count(*) from mesh_data.memory where mesh_id not in (select mesh_id from mesh_data.mesh)), 0::bigint, 'a mesh that is deleted takes its memories with it');
select is(t.all('scout'), 'other deploy', 'and no others');

select finish();
rollback;
