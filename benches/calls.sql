-- What scenario i finds in its database: 100,000 memories in the mesh `calls`, 2,000 in each of 49 others. The words are made
-- up of syllables, few of them frequent and most rare, as in a language; some sentences stand in a known share of the texts.
select setseed(0.5);
create schema bench;
create table bench.word as
select n, string_agg(substr('bcdfghjklmnprstvwxyz', 1 + h / 5 % 20, 1) || substr('aeiou', 1 + h % 5, 1), '') as word
from generate_series(1, 30000) n, generate_series(1, 2 + n % 3) i, lateral (select hashint8(n * 7 + i) & 2147483647 as h) h
group by n;
create unique index on bench.word (n);
insert into mesh_data.mesh (owner_account_id, name)
select m.owner_account_id, 'calls-' || n from mesh_data.mesh m, generate_series(2, 50) n where m.name = 'calls';
insert into mesh_data.agent (mesh_id, name) select m.mesh_id, 'a0' from mesh_data.mesh m where m.name like 'calls-%';

create table bench.text as
select n, concat_ws(' ',
  (select string_agg(w.word, ' ')
    from (select floor(29999 * power(random(), 3))::integer + 1 as n from generate_series(1, 12 + t.n % 40)) k join bench.word w using (n)),
  case when n % 5 < 2 then 'project' end,
  case when n % 10 = 1 then 'database' end,
  case when n % 50 = 2 then 'migration' end,
  case when n % 2000 = 7 then 'the webhook of payments times out behind the proxy' end,
  case when n % 500 = 17 then 'connection pool exhausted on staging' end,
  case when n % 1000 = 27 then 'Die Datenbank wird jede Nacht gesichert' end,
  case when n % 1000 = 37 then 'Резервная копия базы данных делается ночью' end,
  case when n % 1000 = 47 then '数据库每天凌晨自动备份到对象存储' end) as content
from generate_series(1, 100000) t (n);

drop index mesh_data.memory_words, mesh_data.memory_word_grams;
insert into mesh_data.memory (memory_id, mesh_id, reader_id, agent_id, content, words, ordinal, remembered_at)
select mesh_lib.new_id(), m.mesh_id, m.mesh_id, a.agent_id, t.content, mesh_lib.memory_words(m.mesh_id, null, t.content, '{}'), t.n,
  now() - (100001 - t.n) * interval '5 minutes'
from mesh_data.mesh m join mesh_data.agent a on a.mesh_id = m.mesh_id and a.name = 'a0', bench.text t
where m.name = 'calls' order by t.n;
insert into mesh_data.memory (memory_id, mesh_id, reader_id, agent_id, content, words, ordinal, remembered_at)
select mesh_lib.new_id(), m.mesh_id, m.mesh_id, a.agent_id, b.content,
  ts_delete(b.words, mesh_lib.reader_lexeme(b.reader_id)) || array_to_tsvector(array[mesh_lib.reader_lexeme(m.mesh_id)]), b.ordinal, b.remembered_at
from mesh_data.mesh m join mesh_data.agent a on a.mesh_id = m.mesh_id and a.name = 'a0', mesh_data.memory b
where m.name like 'calls-%' and b.ordinal <= 2000 order by b.ordinal;
create index memory_words on mesh_data.memory using gin (words) with (fastupdate = off) where reader_id is not null;

select mesh_lib.learn_words(m.mesh_id, m.mesh_id, w.words) from mesh_data.mesh m, (
  select string_agg(distinct w, ' ') as words from bench.text t, string_to_table(t.content, ' ') w group by hashtext(w) % 64) w
where m.name = 'calls';
insert into mesh_data.memory_word (mesh_id, reader_id, word, grams)
select m.mesh_id, m.mesh_id, w.word, ts_delete(w.grams, mesh_lib.reader_lexeme(w.reader_id)) || array_to_tsvector(array[mesh_lib.reader_lexeme(m.mesh_id)])
from mesh_data.mesh m, mesh_data.memory_word w where m.name like 'calls-%' and hashtext(w.word) % 3 = 0;
create index memory_word_grams on mesh_data.memory_word using gin (grams) with (fastupdate = off);
drop schema bench cascade;
