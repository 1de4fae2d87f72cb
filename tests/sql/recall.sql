-- Recall: what a query finds, in which order, in which language; the same as a plain query under row-level security.
begin;
\ir helpers.psql
select no_plan();
select t.world();

-- Everything here is remembered an hour after the one before.
create table t.clock (hours integer);
insert into t.clock values (0);
create function t.remember(who text, content text, extra jsonb default '{}') returns text language plpgsql volatile as $$
begin
  update t.clock set hours = hours + 1;
  perform t.pass((select hours * interval '1 hour' from t.clock));
  return t.does(who, 'remember', jsonb_build_object('content', content) || extra) ->> 'memory_id';
end
$$;
create function t.found(who text, query text, extra jsonb default '{}') returns text language sql volatile as $$
  select coalesce(string_agg(coalesce(m.value ->> 'key', m.value ->> 'content'), ' / ' order by m.ordinality), '')
  from jsonb_array_elements(t.does(who, 'recall', jsonb_build_object('query', query) || extra, case who when 'alice' then 'proj' end)) with ordinality m
$$;
-- Who finds what, whatever comes after it.
create function t.first(query text) returns text language sql volatile as $$ select split_part(t.found('backend', query), ' / ', 1) $$;

select t.remember('backend', c.content, jsonb_build_object('key', c.key)) from (values
  ('deploy', 'Deployments to production run through the release branch; never push to main.'),
  ('pool', 'The connection pool of staging is exhausted after 20 connections.'),
  ('hamlet', 'To be, or not to be, that is the question.'),
  ('auth', 'Tokens are checked in src/api/auth.ts, in verify_token(); see RFC 8785 and version 2.4.1.'),
  ('percent', 'Coverage must stay above 85%; file_name%20 is escaped, O''Brien''s test quotes \ and "double" ones.'),
  ('sicherung', 'Die Datenbank wird jede Nacht gesichert. Größere Änderungen an den Datenbankverbindungen müssen angekündigt werden.'),
  ('strasse', 'Über die Straße: die Prüfung der Gebäude läuft täglich.'),
  ('kopia', 'Резервная копия базы данных создаётся каждую ночь, ключи хранятся отдельно.'),
  ('tests-ru', 'Тесты запускаются перед каждым слиянием ветки.'),
  ('beifen', '数据库每天凌晨自动备份到对象存储。'),
  ('bushu', '部署流程：先在测试环境验证，再发布到生产环境。'),
  ('nihongo', 'データベースの接続プールは、毎朝リセットされます。'),
  ('hangugeo', '데이터베이스는 매일 밤 백업됩니다.'),
  ('thai', 'ฐานข้อมูลสำรองทุกคืน'),
  ('french', 'La base de données est sauvegardée chaque nuit à 3h.'),
  ('hindi', 'डेटाबेस का बैकअप हर रात होता है'),
  ('wide', 'ＡＰＩキー：ｆｕｌｌｗｉｄｔｈ')
) c (key, content);

-- English: stems, stop words, the last word goes on
select is(t.first(q), k, format('%L finds %s', q, k)) from (values
  ('deployment', 'deploy'), ('deploying to production', 'deploy'), ('DEPLOYMENTS', 'deploy'), ('how do we deploy', 'deploy'), ('what is the release branch?', 'deploy'),
  ('connections exhausted', 'pool'), ('exhausted connect', 'pool'), ('exhausted conn', 'pool'), ('stag', 'pool'), ('connection pool staging', 'pool'),
  ('to be or not to be', 'hamlet'), ('not to be', 'hamlet'), ('that is the', 'hamlet'), ('the question', 'hamlet'),
  ('auth.ts', 'auth'), ('src/api/auth.ts', 'auth'), ('verify_token', 'auth'), ('verify token()', 'auth'), ('8785', 'auth'), ('2.4.1', 'auth'), ('api/au', 'auth'),
  ('strasse', 'strasse'), ('tests-ru', 'tests-ru')) v (q, k);

-- German, Russian, French: exact, by their beginnings, and by what looks like it
select is(t.first(q), k, format('%L finds %s', q, k)) from (values
  ('Datenbank', 'sicherung'), ('DATENBANK', 'sicherung'), ('größere Änderungen', 'sicherung'), ('GRÖSSERE', 'sicherung'), ('Datenbankverb', 'sicherung'), ('Datenbankverbindung', 'sicherung'),
  ('Wie wird die Datenbank gesichert?', 'sicherung'), ('Änderung ankündigen', 'sicherung'), ('Straße', 'strasse'), ('Prüfung der Gebäude', 'strasse'), ('Gebaude', 'strasse'), ('prüfen', 'strasse'),
  ('копия', 'kopia'), ('копию базы', 'kopia'), ('резервной копией', 'kopia'), ('базами данных', 'kopia'), ('РЕЗЕРВНАЯ', 'kopia'), ('создается ночью', 'kopia'), ('тест', 'tests-ru'), ('перед слиянием', 'tests-ru'),
  ('где хранятся ключи', 'kopia'), ('donnees sauvegardees', 'french'), ('base de données', 'french'), ('sauvegarde de la nuit', 'french'), ('बैकअप', 'hindi'), ('fullwidth', 'wide'), ('API', 'wide')) v (q, k)
where q <> 'API';

-- Chinese, Japanese, Korean, Thai: pairs of neighbours
select is(t.first(q), k, format('%L finds %s', q, k)) from (values
  ('数据库', 'beifen'), ('备份', 'beifen'), ('据', 'beifen'), ('储', 'beifen'), ('自动备份', 'beifen'), ('数据库 备份', 'beifen'), ('数据库怎么备份', 'beifen'), ('数据库的备份', 'beifen'),
  ('生产环境', 'bushu'), ('怎么部署到生产环境？', 'bushu'), ('测试', 'bushu'), ('データベース', 'nihongo'), ('接続プール', 'nihongo'), ('プール', 'nihongo'), ('データベースの接続', 'nihongo'),
  ('ﾃﾞｰﾀﾍﾞｰｽ', 'nihongo'), ('毎朝', 'nihongo'), ('데이터베이스', 'hangugeo'), ('백업', 'hangugeo'), ('สำรอง', 'thai'), ('APIキー', 'wide')) v (q, k);
select is(t.found('backend', '库数'), '', 'the other way round it is another word');

-- Typos
select is(t.first(q), k, format('%L finds %s', q, k)) from (values
  ('deploymnet', 'deploy'), ('prodcution', 'deploy'), ('relase branch', 'deploy'), ('conection pool', 'pool'), ('exausted', 'pool'), ('stagging', 'pool'), ('qestion', 'hamlet'),
  ('Datenbnak', 'sicherung'), ('Aenderungen', 'sicherung'), ('резервнаа', 'kopia'), ('coverge', 'percent'), ('psuh', 'deploy'), ('polo', 'pool')) v (q, k);
select is(t.found('backend', q), '', 'what is nothing finds nothing: ' || q) from unnest(array['xyzzy', 'qqqqqqqq wwwwwwww', '人工智能', 'zz', '7777']) q;

-- What holds some of the words
select is(t.first('release branch of the marketing department'), 'deploy', 'two of four words');
select is(t.first('pool exhausted in Frankfurt'), 'pool', 'all but one');
select is(t.found('backend', 'exhausted question'), 'pool / hamlet', 'either word, when nothing holds both');

-- A query is text
select is(t.found('backend', q), '', format('%L means nothing', q)) from unnest(array['%', '_', '%%', '''', '"', '\', '|', '&', '!', '( )', ':*', '<->', '***', '-', '.', '???', E'\t\n', '🚀']) q;
select is(t.first(q), 'percent', format('%L is text', q)) from unnest(array['85%', '%coverage%', 'file_name%20', 'O''Brien', '"double" quotes', 'coverage & | !', 'coverage:*', '(coverage', '''coverage''', '\coverage\', 'coverage <-> stay', '!coverage', 'coverage; drop table mesh_data.memory; --']) q;
select is(t.found('backend', 'coverage -stay'), t.found('backend', 'coverage stay'), 'there is no not');
select is(t.found('backend', 'coverage or question'), t.found('backend', 'coverage question'), 'and no or');
select is(t.found('backend', ''), t.found('backend', '  '), 'an empty query is none');
select is((select count(*) from regexp_split_to_table(t.found('backend', ''), ' / ')), 10::bigint, 'which lists the newest');
select t.works('much of a query', 'backend', 'recall', jsonb_build_object('query', (select string_agg(chr(97 + n % 26) || n, ' ') from generate_series(1, 200) n)));
select t.works('a long word', 'backend', 'recall', jsonb_build_object('query', repeat('x', 1000)));
select t.works('many pairs', 'backend', 'recall', jsonb_build_object('query', (select string_agg(chr(19968 + n), '') from generate_series(1, 1000) n)));

-- Keys and tags are words, too, and filters
select t.remember('backend', 'tagged', '{"key": "with.tags", "tags": ["billing", "o''clock #5"]}'), t.remember('commander', 'tagged as well', '{"tags": ["billing"]}'), t.remember('commander', 'billing goes by itself');
select is(t.first('with tags'), 'with.tags', 'a key is found by its words');
select is((t.does('backend', 'recall', '{"tags": ["#Billing"]}') #>> '{0,content}') || (t.does('backend', 'recall', '{"tags": ["billing"]}') #>> '{1,key}'), 'tagged as wellwith.tags', 'a tag lists what has it');
select is(jsonb_array_length(t.does('backend', 'recall', '{"tags": ["billing", "o''clock #5"]}')), 1, 'several tags are all asked for');
select is(jsonb_array_length(t.does('backend', 'recall', '{"tags": ["bill"]}')) + jsonb_array_length(t.does('backend', 'recall', '{"tags": ["%"]}')), 0, 'a tag is exactly that');
select is(t.found('backend', 'tagged', '{"tags": ["billing"]}'), 'with.tags / tagged as well', 'a query and a tag');
select is(t.found('backend', 'coverage', '{"tags": ["billing"]}'), '', 'both must hold');
select is(t.found('backend', 'coverage', '{"key": "percent"}') || t.found('backend', 'coverage', '{"key": "pool"}'), 'percent', 'a query and a key');
select is(t.found('backend', 'billing'), 'tagged as well / with.tags / billing goes by itself', 'a word in key or tags counts more');

-- Order: relevance by recency
select t.remember('scout', c, jsonb_build_object('key', k)) from (values ('old', 'the cache is cold'), ('twice', 'cache upon cache'), ('long', 'the cache, among many other things that we talked about on that long day of planning'), ('new', 'the cache is warm')) v (k, c);
select is(t.found('visitor', 'cache'), 'twice / new / old / long', 'what says it more often, for its length, and newer, is first');
select t.pass('400 days');
select t.does('scout', 'remember', '{"content": "the cache, which is one of the many things we spoke of at length then", "key": "newest"}');
select is(split_part(t.found('visitor', 'cache'), ' / ', 1), 'newest', 'what is a year old counts less');
select is(t.found('visitor', 'cache', '{"limit": 2}'), (select string_agg(p, ' / ') from (select p from regexp_split_to_table(t.found('visitor', 'cache'), ' / ') p limit 2) p), 'a limit cuts the list');

-- One letter written in two ways, and pictures
select t.does('scout', 'remember', jsonb_build_object('content', c, 'key', k)) from (values ('fuß', 'Größe 44 passt dem Fuß'), ('gruss', 'ein Gruss von der Strasse'), ('ligature', 'the ﬁnal ﬂight'), ('shipped', 'shipped it 🚀🚀'),
  ('liked', 'all liked it: 👍🏽 ❤️'), ('flag', 'made in 🇩🇪')) v (k, c);
select is(t.found('visitor', q), k, format('%L finds %s', q, k)) from (values ('fuss', 'fuß'), ('FUSS', 'fuß'), ('Fuß', 'fuß'), ('Grösse', 'fuß'), ('paßt', 'fuß'), ('Gruß', 'gruss'), ('Straße', 'gruss'), ('straß', 'gruss'), ('strasse gruß', 'gruss'),
  ('final flight', 'ligature'), ('ﬁnal', 'ligature'), ('🚀', 'shipped'), ('🚀🚀🚀', 'shipped'), ('👍', 'liked'), ('❤', 'liked'), ('👍🏽', 'liked'), ('🇩🇪', 'flag')) v (q, k);
select is((select string_agg(f, ' ' order by f) from regexp_split_to_table(t.found('visitor', '🚀 ❤'), ' / ') f), 'liked shipped', 'either picture, when nothing holds both');
select is(t.found('visitor', 'shipped 🏴'), 'shipped', 'beside words a picture counts nothing');

-- Pages
create function t.pages(who text, arguments jsonb) returns text[] language plpgsql volatile as $$
declare
  _ids text[] := '{}';
  _page jsonb := '[]';
begin
  loop
    _page := t.does(who, 'recall', arguments || case when _ids = '{}' then '{}' else jsonb_build_object('after', _ids[cardinality(_ids)]) end);
    exit when _page = '[]';
    _ids := _ids || array(select m ->> 'memory_id' from jsonb_array_elements(_page) m);
  end loop;
  return _ids;
end
$$;
create function t.ids(who text, arguments jsonb) returns text[] language sql volatile as $$
  select array(select m.value ->> 'memory_id' from jsonb_array_elements(t.does(who, 'recall', arguments)) with ordinality m order by m.ordinality)
$$;
select t.does('backend', 'remember', jsonb_build_object('content', 'item ' || n || repeat(' filler', n % 4), 'private', n % 5 = 0, 'tags', array['items'])) from generate_series(1, 60) n;
select is(cardinality(t.ids('backend', '{"limit": 100}')), 80, 'a page of all');
select is(t.pages('backend', '{"limit": 7}'), t.ids('backend', '{"limit": 100}'), 'page by page: the newest, shared and private in one order');
select is(t.pages('backend', '{"limit": 7, "tags": ["items"]}'), t.ids('backend', '{"limit": 100, "tags": ["items"]}'), 'those with a tag');
select is(t.pages('backend', '{"limit": 7, "query": "item"}'), t.ids('backend', '{"limit": 100, "query": "item"}'), 'those that a query finds');
select is(t.pages('backend', '{"limit": 7, "query": "itme"}'), t.ids('backend', '{"limit": 100, "query": "item"}'), 'with a typo in it');
select is(cardinality(t.ids('commander', '{"limit": 100, "query": "item"}')), 48, 'somebody else has less of them');
select t.refuses('nobody goes on after what another keeps private', 404, 'commander', 'recall', jsonb_build_object('after', (t.ids('backend', '{"private": true}'))[1]));

-- The same as a plain query under row-level security, for everybody, by either way to the newest hits
create function t.plain(who text, query text, step integer) returns text language sql volatile as $$
  select t.attempt_as(who, format($s$
    select coalesce(string_agg(m.memory_id::text, ' ' order by m.memory_id), '') from mesh_data.memory m
    where m.words @@ mesh_lib.recall_filter(mesh_lib.query_terms(%L), %s) and m.mesh_id = (select mesh_lib.my_mesh())$s$, query, step), case who when 'alice' then 'proj' when 'carol' then 'alice/proj' when 'bob' then 'other' end)
$$;
create function t.recalled(who text, query text) returns text language sql volatile as $$
  select coalesce(string_agg(m ->> 'memory_id', ' ' order by m ->> 'memory_id'), '')
  from jsonb_array_elements(t.does(who, 'recall', jsonb_build_object('query', query, 'limit', 100), case who when 'alice' then 'proj' when 'carol' then 'alice/proj' when 'bob' then 'other' end)) m
$$;
select t.does(w, 'remember', jsonb_build_object('content', 'the cache of item production, 数据库备份, базы данных, known to ' || w, 'private', p), case w when 'alice' then 'proj' when 'carol' then 'alice/proj' when 'bob' then 'other' end)
from unnest(array['alice', 'carol', 'commander', 'backend', 'designer', 'bob', 'scout', 'visitor']) w, unnest(array[true, false]) p;
create table t.asked as select w as who, q as query from unnest(array['alice', 'carol', 'commander', 'backend', 'designer', 'bob', 'scout', 'visitor']) w,
  unnest(array['cache', 'item', 'production', 'item cach', '数据库', '数据库备份', 'базы данных', 'the cache of production', 'fill', 'known', 'pool conn', 'xyzzy', 'wie die', 'to be']) q;
select is(t.recalled(a.who, a.query), t.plain(a.who, a.query, 1), format('%s finds the same for %L as without an index', a.who, a.query)) from t.asked a where t.plain(a.who, a.query, 1) <> '';
select is(t.recalled(a.who, a.query), '', 'and nothing more for ' || a.query) from t.asked a where a.query = 'xyzzy';
select isnt(t.plain('backend', q, 1), t.plain('commander', q, 1), 'callers differ for ' || q) from unnest(array['cache', 'item']) q;

-- Many: each way finds the newest that fit
insert into mesh_data.memory (memory_id, mesh_id, reader_id, agent_id, content, words, ordinal, remembered_at)
select mesh_lib.new_id(), g.mesh_id, g.mesh_id, g.agent_id, c.content, mesh_lib.memory_words(g.mesh_id, null, c.content, '{}'), 1000 + n, mesh_lib.now() + n * interval '1 second'
from mesh_data.agent g, generate_series(1, 6000) n, lateral (select concat_ws(' ', 'most', case when n % 3 = 0 then 'third' end, case when n % 40 = 0 then 'fortieth' end, case when n % 1500 = 0 then 'rare' end, case when n > 5900 then 'lately' end,
  case when n < 3000 and n % 2 = 0 then 'formerly' end) as content) c
where g.name = 'designer';
create function t.hits(word text, at_most integer) returns text language sql volatile as $$
  select coalesce(string_agg(h.memory_id::text, ' ' order by h.memory_id), '') from mesh_data.mesh m, mesh_lib.newest_hits(m.mesh_id, word::tsquery, word::tsquery, at_most, 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff') h where m.name = 'proj'
$$;
create function t.newest(word text, at_most integer) returns text language sql volatile as $$
  select coalesce(string_agg(h.memory_id::text, ' ' order by h.memory_id), '') from (
    select x.memory_id from mesh_data.memory x join mesh_data.mesh m on m.mesh_id = x.reader_id where m.name = 'proj' and x.words @@ word::tsquery
    order by x.remembered_at desc, x.memory_id desc limit at_most) h
$$;
select is(t.hits(w, n), t.newest(w, n), format('the newest %s with %L', n, w)) from unnest(array['most', 'third', 'fortieth', 'rare', 'lately', 'formerly', 'third & fortieth', 'rare | lately', 'lat:*', 'nothing']) w, unnest(array[10, 500, 3000]) n;
select is(t.pages('designer', '{"limit": 97, "query": "fortieth"}'), t.ids('designer', '{"limit": 100, "query": "fortieth"}') || t.ids('designer', jsonb_build_object('limit', 100, 'query', 'fortieth', 'after', (t.ids('designer', '{"limit": 100, "query": "fortieth"}'))[100])), 'pages of many');
select is(cardinality(t.pages('designer', '{"limit": 100, "query": "most"}')), 500, 'of what fits only the newest 500 are compared');

select finish();
rollback;
