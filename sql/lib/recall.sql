-- How memories are found. A text becomes words in two ways that live in one tsvector: as the simple dictionary has them and
-- as the English one does, which leaves out stop words and endings. Scripts without spaces become pairs of neighbours. Of a
-- query as of a memory nothing is left but letters and digits, so it holds no operators.

-- Lexemes that are no words: whose memory it is, and its tags.
create function mesh_lib.reader_lexeme(reader_id uuid) returns text
language sql immutable return '@' || reader_id;
create function mesh_lib.tag_lexeme(tag text) returns text
language sql immutable return '#' || tag;

-- Characters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, Han; and Hangul, for its endings.
create function mesh_lib.spaceless() returns text
language sql immutable return '[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3040-\u30FF\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF'
  '\uAC00-\uD7AF\uF900-\uFAFF\U00020000-\U0003FFFF]+';

-- The words of a text that are written with spaces between, and nothing else: auth.ts is two, don't is two.
create function mesh_lib.spaced(value text) returns text
language sql immutable return regexp_replace(regexp_replace(normalize(spaced.value, NFKC), mesh_lib.spaceless(), ' ', 'g'),
  '[^[:alnum:]\u0300-\u036F\u0591-\u05C7\u064B-\u065F\u0670\u0900-\u0DFF]+', ' ', 'g');

-- The rest of it: each two neighbours, in order. The last character of a run is there alone, so that one character is found
-- as the beginning of a pair wherever it stands.
create function mesh_lib.pairs(value text, alone boolean) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _value constant text := normalize(pairs.value, NFKC);
begin
  if _value !~ mesh_lib.spaceless() then
    return '{}'::text[];
  end if;
  return array(
    select p.pair
    from (
      select r.run, c.n, c.letter || coalesce(lead(c.letter) over (partition by r.run order by c.n), '') as pair
      from regexp_matches(_value, mesh_lib.spaceless(), 'g') with ordinality r (letters, run)
      cross join string_to_table(r.letters[1], null) with ordinality c (letter, n)
    ) p
    where pairs.alone or length(p.pair) = 2 or p.n = 1
    order by p.run, p.n);
end
$$;

-- Its emoji and other pictures, each once.
create function mesh_lib.pictures(value text) returns text[]
language sql immutable set search_path = '' as $$
  select array(select distinct m[1] from regexp_matches(pictures.value, '[\u2600-\u27BF\u2B00-\u2BFF\U0001F000-\U0001FAFF]', 'g') m)
$$;

-- What a memory is found by. It is kept with the memory: a change here changes how new ones are found, and old ones when they
-- are written again.
create function mesh_lib.memory_words(reader_id uuid, key text, content text, tags text[]) returns tsvector
language plpgsql immutable set search_path = '' as $$
begin
  return (
    select setweight(to_tsvector('pg_catalog.english', t.title) || to_tsvector('pg_catalog.simple', t.title), 'A')
      || to_tsvector('pg_catalog.english', t.content) || strip(to_tsvector('pg_catalog.simple', t.content))
      || array_to_tsvector(array(select distinct u from unnest(
          mesh_lib.pairs(t.whole, true) || mesh_lib.pictures(t.whole)
          || array(select mesh_lib.tag_lexeme(g) from unnest(memory_words.tags) g) || mesh_lib.reader_lexeme(memory_words.reader_id)) u))
    from (
      select mesh_lib.spaced(concat_ws(' ', memory_words.key, array_to_string(memory_words.tags, ' '))) as title, mesh_lib.spaced(memory_words.content) as content,
        concat_ws(' ', memory_words.key, array_to_string(memory_words.tags, ' '), memory_words.content) as whole
    ) t);
end
$$;

-- Its trigrams, without accents.
create function mesh_lib.grams(word text) returns text[]
language plpgsql immutable set search_path = '' as $$
begin
  return (
    select array_agg(substr(w.word, i, 3) order by i)
    from (select '  ' || regexp_replace(normalize(grams.word, NFD), '[\u0300-\u036F]', '', 'g') || ' ' as word) w, generate_series(1, length(w.word) - 2) i);
end
$$;

-- Keep the words of a text that its reader's memories did not have yet, 500 at most, as each costs an entry for each trigram.
-- Each is looked up, whatever is known of the table's size.
create function mesh_lib.learn_words(mesh_id uuid, reader_id uuid, value text) returns void
language sql volatile set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  insert into mesh_data.memory_word (mesh_id, reader_id, word, grams)
  select learn_words.mesh_id, learn_words.reader_id, w.lexeme,
    array_to_tsvector(array(select distinct g from unnest(mesh_lib.grams(w.lexeme) || mesh_lib.reader_lexeme(learn_words.reader_id)) g))
  from unnest(to_tsvector('pg_catalog.simple', mesh_lib.spaced(learn_words.value))) w
  -- Numbers and hashes are not misspelt but wrong.
  where length(w.lexeme) between 3 and 40 and w.lexeme !~ '\d.*\d.*\d'
    and not exists (select from mesh_data.memory_word k where k.mesh_id = learn_words.mesh_id and k.reader_id = learn_words.reader_id and k.word = w.lexeme)
  order by w.positions[1] limit 500
$$;

-- One word of a query, as a tsquery in text. Weak: 0 an English stop word or a picture, 1 a stop word of another language, 2 is none.
create type mesh_lib.term as (word text, expression text, strength smallint);

-- A lexeme as a tsquery has it.
create function mesh_lib.quoted(lexeme text) returns text
language sql immutable return '''' || replace(replace(quoted.lexeme, '\', '\\'), '''', '''''') || '''';

-- All that a reader reads.
create function mesh_lib.reader_query(reader_id uuid) returns tsquery
language sql immutable return mesh_lib.quoted(mesh_lib.reader_lexeme(reader_id))::tsquery;

-- Delete words that no memory of their reader holds any more, of the 2,000 that follow a random one; returns how many. What is
-- remembered with such a word at this very moment is found by the word all the same, but not by one that looks like it.
create function mesh_lib.forget_words() returns bigint
language plpgsql volatile set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
  _from constant uuid := gen_random_uuid();
  _rows bigint;
begin
  delete from mesh_data.memory_word k
  where k.memory_word_id in (
    select w.memory_word_id
    from (
      (select o.* from mesh_data.memory_word o where o.memory_word_id >= _from order by o.memory_word_id limit 2000)
      union all
      (select o.* from mesh_data.memory_word o where o.memory_word_id < _from order by o.memory_word_id limit 2000)
      limit 2000
    ) w
    where not exists (
      select from mesh_data.memory m
      where m.reader_id is not null and m.words @@ (mesh_lib.reader_query(w.reader_id) && mesh_lib.quoted(w.word)::tsquery)));
  get diagnostics _rows = row_count;
  return _rows;
end
$$;

-- The words of a query, 32 at most. The last may go on. A word is met as it is, with ß for ss or the other way round, or by its
-- English stem.
create function mesh_lib.query_terms(query text) returns mesh_lib.term[]
language plpgsql immutable set search_path = '' as $$
begin
  return (
    with word as (
      select w.lexeme, min(p) as n from unnest(to_tsvector('pg_catalog.simple', mesh_lib.spaced(query_terms.query))) w, unnest(w.positions) p group by w.lexeme
    ), stemmed as (
      select w.*, (tsvector_to_array(to_tsvector('pg_catalog.english', w.lexeme)))[1] as stem, row_number() over (order by w.n desc) = 1 as is_last from word w
    ), term as (
      select s.n, s.lexeme as word, (
          select string_agg(mesh_lib.quoted(v.form) || case when s.is_last and length(s.lexeme) > 1 then ':*' else '' end, ' | ' order by v.n)
          from (select f.form, min(f.n) as n from unnest(array[s.lexeme, replace(s.lexeme, 'ss', 'ß'), replace(s.lexeme, 'ß', 'ss')]) with ordinality f (form, n)
            group by f.form) v
        ) || coalesce(' | ' || mesh_lib.quoted(case when s.stem <> s.lexeme then s.stem end), '') as expression,
        case
          when s.stem is null then 0
          when '{}' in (ts_lexize('pg_catalog.german_stem', s.lexeme), ts_lexize('pg_catalog.russian_stem', s.lexeme),
            ts_lexize('pg_catalog.french_stem', s.lexeme), ts_lexize('pg_catalog.spanish_stem', s.lexeme), ts_lexize('pg_catalog.italian_stem', s.lexeme),
            ts_lexize('pg_catalog.portuguese_stem', s.lexeme), ts_lexize('pg_catalog.dutch_stem', s.lexeme)) then 1
          else 2
        end as strength
      from stemmed s
      union all
      select 1000 + min(u.n), null, mesh_lib.quoted(u.pair) || case when length(u.pair) = 1 then ':*' else '' end, 2
      from unnest(mesh_lib.pairs(query_terms.query, false)) with ordinality u (pair, n) group by u.pair
      union all
      select 2000, null, mesh_lib.quoted(u), 0 from unnest(mesh_lib.pictures(query_terms.query)) u
    )
    select coalesce(array_agg(row(t.word, t.expression, t.strength)::mesh_lib.term order by t.n), '{}')
    from (select t.* from term t order by t.n limit 32) t);
end
$$;

-- What makes one memory fit better than another: any of the words, but English stop words among others.
create function mesh_lib.recall_query(terms mesh_lib.term[]) returns tsquery
language plpgsql immutable set search_path = '' as $$
begin
  return (
    select string_agg(t.expression, ' | ')::tsquery from unnest(recall_query.terms) t
    where t.strength >= least(1, (select max(x.strength) from unnest(recall_query.terms) x)));
end
$$;

-- What a memory must hold to be found: first all words of the query but English stop words, then less and less. Null where
-- that asks for nothing new. From the third step on the words should be those of mesh_lib.with_similar.
--   1 all but English stop words, 2 all but anybody's, 3 the same with similar words, 4 all but one, 5 two neighbours, 6 any
create function mesh_lib.recall_filter(terms mesh_lib.term[], step integer) returns tsquery
language plpgsql immutable set search_path = '' as $$
begin
  return (
    with kept as (
      select '(' || t.expression || ')' as expression, row_number() over (order by t.ordinality) as n, count(*) over () as all_n
      from unnest(recall_filter.terms) with ordinality t
      where t.strength >= least(case recall_filter.step when 1 then 1 else 2 end, (select max(x.strength) from unnest(recall_filter.terms) x))
    )
    select case
      when recall_filter.step in (1, 3) or recall_filter.step = 2 and max(k.all_n) < (
        select count(*) from unnest(recall_filter.terms) x where x.strength >= 1) then string_agg(k.expression, ' & ')
      when recall_filter.step = 4 and max(k.all_n) between 3 and 8 then (
        select string_agg('(' || (select string_agg(j.expression, ' & ') from kept j where j.n <> i.n) || ')', ' | ') from kept i)
      when recall_filter.step = 5 and max(k.all_n) > 3 then (
        select string_agg('(' || i.expression || ' & ' || j.expression || ')', ' | ') from kept i join kept j on j.n = i.n + 1)
      when recall_filter.step = 6 and max(k.all_n) > 1 then string_agg(k.expression, ' | ')
    end::tsquery
    from kept k);
end
$$;

-- Words that look like this one, of all that these readers' memories ever held: the nearest five. They share 0.3 of all
-- trigrams of both, and two neighbouring ones; of a long word not the first two, which are the beginning of too many. How many
-- of the asked ones a word has is its rank by that of who has all. Two letters that changed places leave few trigrams of a short
-- word; such words are looked up.
create function mesh_lib.similar_words(mesh_id uuid, readers uuid[], word text) returns text[]
language plpgsql stable set search_path = '' set enable_seqscan = off as $$
declare
  _grams constant text[] := mesh_lib.grams(similar_words.word);
  _swapped constant text[] := array(
    select overlay(similar_words.word placing reverse(substr(similar_words.word, i, 2)) from i for 2) from generate_series(1, length(similar_words.word) - 1) i);
  _all constant integer := cardinality(_grams);
  _any constant tsquery := (select string_agg(mesh_lib.quoted(g), ' | ') from unnest(_grams) g)::tsquery;
  _query constant tsquery := (select string_agg(mesh_lib.quoted(mesh_lib.reader_lexeme(r)), ' | ') from unnest(similar_words.readers) r)::tsquery
    && (select string_agg(mesh_lib.quoted(_grams[i]) || ' & ' || mesh_lib.quoted(_grams[i + 1]), ' | ')
      from generate_series(case when _all > 6 then 2 else 1 end, _all - 1) i)::tsquery;
  _most constant double precision := ts_rank(array_to_tsvector(_grams), _any) / _all;
begin
  return array(
    select f.word
    from (
      select k.word, c.common / (_all + length(k.grams) - 1 - c.common) as similarity
      from mesh_data.memory_word k, lateral (select ts_rank(k.grams, _any) / _most as common) c
      where k.grams @@ _query and c.common >= 0.3 * (_all + length(k.grams) - 1 - c.common)
      union all
      select k.word, 1 from mesh_data.memory_word k
      where k.mesh_id = similar_words.mesh_id and k.reader_id = any (similar_words.readers) and k.word = any (_swapped)
    ) f
    group by f.word order by max(f.similarity) desc, f.word limit 5);
end
$$;

-- The words of a query, each with those that look like it. Short ones look like too many.
create function mesh_lib.with_similar(mesh_id uuid, readers uuid[], terms mesh_lib.term[]) returns mesh_lib.term[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select row(t.word, concat_ws(' | ', t.expression, s.words), t.strength)::mesh_lib.term
    from unnest(with_similar.terms) with ordinality t
    cross join lateral (
      select string_agg(mesh_lib.quoted(w), ' | ') as words
      from unnest(case when t.strength = 2 and length(t.word) between 4 and 40 then mesh_lib.similar_words(with_similar.mesh_id, with_similar.readers, t.word) end) w
      where w <> t.word) s
    order by t.ordinality);
end
$$;

-- Found, and how well it fits: how often the words are in it for its length, and how new it is. After a month a memory counts
-- 0.7, after a year 0.3 of what it did.
create type mesh_lib.hit as (memory_id uuid, score double precision, remembered_at timestamptz);
create function mesh_lib.recall_score(words tsvector, query tsquery, remembered_at timestamptz) returns double precision
language sql stable return coalesce(ts_rank(recall_score.words, recall_score.query, 1)
  / sqrt(1 + greatest(0, extract(epoch from mesh_lib.now() - recall_score.remembered_at)) / 2592000), 0);

-- The newest memories of a reader that hold what `filter` says, at most so many, scored by `query`. There are two ways, and
-- which is faster depends on how many fit: from the newest on until there are enough, or all that fit by the index of words,
-- then the newest of them. The newest 512 tell. A row that fits, at a place of its own, costs five times as much as the next in
-- the order of time. Of few memories all are looked at.
create function mesh_lib.newest_hits(reader_id uuid, filter tsquery, query tsquery, at_most integer, before_at timestamptz, before_id uuid)
returns setof mesh_lib.hit
language plpgsql stable set search_path = '' set enable_seqscan = off as $$
declare
  _sample constant integer := 512;
  _few constant integer := 2048;
  _filter constant tsquery := mesh_lib.reader_query(newest_hits.reader_id) && newest_hits.filter;
  _memories constant bigint := (
    select m.ordinal from mesh_data.memory m where m.reader_id = newest_hits.reader_id order by m.remembered_at desc, m.memory_id desc limit 1);
  -- Look at all, or at how many, in the order of time.
  _all constant boolean := coalesce(_memories <= _few, true);
  _look integer;
  _hits integer;
  _found integer := 0;
begin
  if not _all then
    select count(*) filter (where m.words @@ newest_hits.filter) into _hits from (
      select m.words from mesh_data.memory m
      where m.reader_id = newest_hits.reader_id and (m.remembered_at, m.memory_id) < (newest_hits.before_at, newest_hits.before_id)
      order by m.remembered_at desc, m.memory_id desc limit _sample) m;
    -- Twice as many as should do, by the sample.
    _look := case when newest_hits.at_most * _sample < 5.0 * _memories * _hits * _hits / _sample then 2 * newest_hits.at_most * _sample / _hits end;
  end if;
  if _all or _look > 0 then
    return query
      select m.memory_id, mesh_lib.recall_score(m.words, newest_hits.query, m.remembered_at), m.remembered_at from (
        select m.* from mesh_data.memory m
        where m.reader_id = newest_hits.reader_id and (m.remembered_at, m.memory_id) < (newest_hits.before_at, newest_hits.before_id)
        order by m.remembered_at desc, m.memory_id desc limit _look) m
      where m.words @@ newest_hits.filter limit newest_hits.at_most;
    get diagnostics _found = row_count;
    if _all or _found = newest_hits.at_most then
      return;
    end if;
  end if;
  return query
    select m.memory_id, mesh_lib.recall_score(m.words, newest_hits.query, m.remembered_at), m.remembered_at
    from mesh_data.memory m
    where m.ctid = any (array(
      select f.ctid from mesh_data.memory f
      where f.words @@ _filter and f.reader_id is not null and (f.remembered_at, f.memory_id) < (newest_hits.before_at, newest_hits.before_id)
      -- An order that no index has.
      order by f.remembered_at + interval '0' desc, f.memory_id desc limit newest_hits.at_most offset _found));
end
$$;

-- The hits of these readers for a query. Only the newest 500 of each are compared.
create function mesh_lib.recall_hits(readers uuid[], filter tsquery, query tsquery) returns mesh_lib.hit[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select h from unnest(recall_hits.readers) r
    cross join lateral mesh_lib.newest_hits(r, recall_hits.filter, recall_hits.query, 500, 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff') h);
end
$$;
