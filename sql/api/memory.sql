-- Memory: what agents know for longer than a window lives. It is shared with the mesh, where everybody in it, guests too,
-- reads, replaces and forgets it; or it is private, and no other agent reads it.

grant select on mesh_data.memory, mesh_data.memory_word to mesh_agent;
grant insert (memory_id, mesh_id, reader_id, agent_id, key, content, tags, words, ordinal, remembered_at),
  update (agent_id, content, tags, words, ordinal, remembered_at) on mesh_data.memory to mesh_agent;
grant insert (mesh_id, reader_id, word, grams) on mesh_data.memory_word to mesh_agent;
create policy memory_select on mesh_data.memory for select to mesh_agent
  using (reader_id = any ((select mesh_lib.my_meshes())::uuid[]) or reader_id = (select mesh_lib.my_agent()));
create policy memory_insert on mesh_data.memory for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]) and agent_id = (select mesh_lib.my_agent())
    and (reader_id = any ((select mesh_lib.my_meshes())::uuid[]) or reader_id = (select mesh_lib.my_agent())));
create policy memory_update on mesh_data.memory for update to mesh_agent
  using (reader_id = any ((select mesh_lib.my_meshes())::uuid[]) or reader_id = (select mesh_lib.my_agent()))
  with check (reader_id = any ((select mesh_lib.my_meshes())::uuid[]) or reader_id = (select mesh_lib.my_agent()));
create policy memory_word_select on mesh_data.memory_word for select to mesh_agent
  using (reader_id = any ((select mesh_lib.my_meshes())::uuid[]) or reader_id = (select mesh_lib.my_agent()));
create policy memory_word_insert on mesh_data.memory_word for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[])
    and (reader_id = any ((select mesh_lib.my_meshes())::uuid[]) or reader_id = (select mesh_lib.my_agent())));

-- A mesh shares this many memories at most, an agent has this many of its own.
create function mesh_lib.shared_memories() returns integer
language sql immutable return 200000;
create function mesh_lib.private_memories() returns integer
language sql immutable return 100;

-- Whose memories the caller may ask for: the mesh's, its own, or both.
create function mesh_lib.memory_readers(me mesh_lib.identity, private boolean) returns uuid[]
language sql immutable return case when memory_readers.private then array[(me).agent_id] when not memory_readers.private then array[(me).mesh_id]
  else array[(me).mesh_id, (me).agent_id] end;

-- Theirs with this key, or this id, or both.
create function mesh_lib.memories_named(readers uuid[], key text, asked_id uuid) returns table (memory_id uuid)
language plpgsql stable set search_path = '' set enable_seqscan = off as $$
begin
  if memories_named.asked_id is not null then
    return query select m.memory_id from mesh_data.memory m
      where m.memory_id = memories_named.asked_id and m.reader_id = any (memories_named.readers)
        and (m.key = memories_named.key or memories_named.key is null);
  else
    return query select m.memory_id from unnest(memories_named.readers) r join mesh_data.memory m on m.reader_id = r and m.key = memories_named.key;
  end if;
end
$$;

-- Their keys, for who asked for one that is not there.
create function mesh_lib.memory_keys(readers uuid[]) returns text[]
language sql stable set search_path = '' as $$
  select array(
    select k.key from unnest(memory_keys.readers) r cross join lateral (
      select m.key from mesh_data.memory m where m.reader_id = r and m.key is not null order by m.key limit 100) k
    group by k.key order by k.key limit 100)
$$;

-- A key as it is kept, however its accents were typed, or ME400.
create function mesh_lib.memory_key(key text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  if btrim(memory_key.key) = '' then
    perform mesh_lib.fail(400, 'a key is 1 to 200 characters', '');
  end if;
  return mesh_lib.checked_text(normalize(memory_key.key, NFC), 'a key', 200);
end
$$;

-- Write a memory of this reader: a new one with this id, or over the one it has under this key, whose id stays, and whose tags
-- stay if none are given.
create function mesh_lib.write_memory(memory_id uuid, mesh_id uuid, reader_id uuid, agent_id uuid, key text, content text, tags text[]) returns mesh_data.memory
language plpgsql volatile set search_path = '' as $$
declare
  _private constant boolean := write_memory.reader_id <> write_memory.mesh_id;
  _key constant text := mesh_lib.memory_key(write_memory.key);
  _tags text[] := mesh_lib.checked_tags(write_memory.tags);
  _ordinal constant bigint := 1 + coalesce((
    select m.ordinal from mesh_data.memory m where m.reader_id = write_memory.reader_id order by m.remembered_at desc, m.memory_id desc limit 1), 0);
  _memory mesh_data.memory;
begin
  if btrim(coalesce(write_memory.content, ''), E' \t\r\n') = '' then
    perform mesh_lib.fail(400, 'a memory holds some text', '');
  elsif octet_length(write_memory.content) > 65536 then
    perform mesh_lib.fail(413, 'a memory has at most 65,536 bytes', '');
  elsif _private and octet_length(write_memory.content) > 10240 then
    perform mesh_lib.fail(413, 'a private memory has at most 10,240 bytes', '');
  end if;
  select m.* into _memory from mesh_data.memory m where m.reader_id = write_memory.reader_id and m.key = _key;
  if not found then
    if _private and (select count(*) from mesh_data.memory m where m.reader_id = write_memory.reader_id) >= mesh_lib.private_memories() then
      perform mesh_lib.fail(429, format('an agent can have %s private memories at most: forget some', mesh_lib.private_memories()), 'mesh recall --private');
    elsif not _private and _ordinal > mesh_lib.shared_memories()
      and exists (select from mesh_data.memory m where m.reader_id = write_memory.reader_id offset mesh_lib.shared_memories() - 1) then
      perform mesh_lib.fail(429, format('a mesh can share %s memories at most: forget some', to_char(mesh_lib.shared_memories(), 'FM999,999,999')),
        'mesh recall');
    end if;
  end if;
  _tags := coalesce(case when write_memory.tags is not null then _tags end, _memory.tags, '{}');
  insert into mesh_data.memory as m (memory_id, mesh_id, reader_id, agent_id, key, content, tags, words, ordinal, remembered_at)
  values (write_memory.memory_id, write_memory.mesh_id, write_memory.reader_id, write_memory.agent_id, _key, write_memory.content, _tags,
    mesh_lib.memory_words(write_memory.reader_id, _key, write_memory.content, _tags), _ordinal, mesh_lib.now())
  on conflict on constraint memory_key_is_unique_per_reader do update set agent_id = excluded.agent_id, content = excluded.content, tags = excluded.tags,
    words = excluded.words, ordinal = excluded.ordinal, remembered_at = excluded.remembered_at
  returning m.* into _memory;
  perform mesh_lib.learn_words(write_memory.mesh_id, write_memory.reader_id, concat_ws(' ', _key, array_to_string(_tags, ' '), write_memory.content));
  return _memory;
end
$$;

create function mesh.remember(content text, inout key text default null, inout tags text[] default null, inout private boolean default false,
  out memory_id uuid, out replaced boolean, out remembered_at timestamptz, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _id constant uuid := mesh_lib.new_id();
  _memory mesh_data.memory;
begin
  _memory := mesh_lib.write_memory(_id, _me.mesh_id, case when remember.private then _me.agent_id else _me.mesh_id end, _me.agent_id,
    remember.key, remember.content, remember.tags);
  remember.memory_id := _memory.memory_id;
  remember.replaced := _memory.memory_id <> _id;
  remember.key := _memory.key;
  remember.tags := _memory.tags;
  remember.remembered_at := _memory.remembered_at;
  remember.next := 'mesh recall ' || case when _memory.key ~ '^[A-Za-z0-9._/:][A-Za-z0-9._/:-]*$' then '--key ' || _memory.key else '--memory-id ' || _memory.memory_id end;
end
$$;
comment on function mesh.remember is $$---
cli: remember <content>
alias: memory add
who: agent
mcp: core
---
Remember something for as long as the mesh exists: shared with everybody in the mesh, or for yourself alone. A key replaces what was remembered under it.
content: what to remember, up to 65,536 bytes, 10,240 if private; a mesh shares up to 200,000 memories, an agent has up to 100 of its own.
key: a name to find and replace it by, up to 200 characters; shared and private ones do not meet. Default none.
tags: up to 20 words to find it by; when a key is replaced without tags, they stay. Default none.
private: true if no other agent may read it; default false.
example: mesh remember "deploys go through the release branch, never main" --tags deploy,git
example: mesh remember "staging is db3" --key staging-db$$;
grant execute on function mesh.remember(text, text, text[], boolean) to mesh_agent;

-- A definer: full-text operators are not leakproof, so under row-level security no index would be asked for words. It looks
-- for what its caller may read itself: memories whose reader is the caller's mesh or the caller.
create function mesh.recall(query text default null, inout key text default null, inout tags text[] default null, inout private boolean default null,
  inout memory_id uuid default null, after uuid default null, "limit" integer default 10,
  out content text, out cut boolean, out remembered_by text, out remembered_at timestamptz)
returns setof record
language plpgsql stable security definer set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _readers constant uuid[] := mesh_lib.memory_readers(_me, recall.private);
  _key constant text := mesh_lib.memory_key(recall.key);
  _tagged constant tsquery := (select string_agg(mesh_lib.quoted(mesh_lib.tag_lexeme(g)), ' & ') from unnest(mesh_lib.checked_tags(recall.tags)) g)::tsquery;
  _terms mesh_lib.term[];
  _filter tsquery;
  _score tsquery;
  _after mesh_data.memory;
  _hits mesh_lib.hit[] := '{}'::mesh_lib.hit[];
begin
  if recall."limit" not between 1 and 100 then
    perform mesh_lib.fail(400, 'limit is 1 to 100', '');
  elsif length(recall.query) > 1000 then
    perform mesh_lib.fail(413, 'a query has at most 1,000 characters', '');
  end if;
  select m.* into _after from mesh_data.memory m where m.memory_id = recall.after and m.reader_id = any (_readers);
  if not found and recall.after is not null then
    perform mesh_lib.fail(404, 'there is no such memory to go on after', 'mesh recall');
  end if;
  if btrim(recall.query) <> '' then
    _terms := mesh_lib.query_terms(recall.query);
    _score := mesh_lib.recall_query(_terms);
  end if;

  if num_nonnulls(_key, recall.memory_id) > 0 then
    _hits := array(
      select row(m.memory_id, 0, m.remembered_at)::mesh_lib.hit
      from mesh_lib.memories_named(_readers, _key, recall.memory_id) n join mesh_data.memory m using (memory_id)
      where (_tagged is null or m.words @@ _tagged) and (_terms is null or m.words @@ _score));
  elsif _terms is null then
    _hits := array(
      select h from unnest(_readers) r
      cross join lateral mesh_lib.newest_hits(r, coalesce(_tagged, mesh_lib.reader_query(r)), null, recall."limit", coalesce(_after.remembered_at, 'infinity'),
        coalesce(_after.memory_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) h);
  else
    for _step in 1..6 loop
      if _step = 3 then
        _terms := mesh_lib.with_similar(_me.mesh_id, _readers, _terms);
        _score := mesh_lib.recall_query(_terms);
      end if;
      _filter := mesh_lib.recall_filter(_terms, _step);
      continue when _filter is null;
      _hits := mesh_lib.recall_hits(_readers, coalesce(_tagged && _filter, _filter), _score);
      exit when cardinality(_hits) > 0;
    end loop;
  end if;

  return query
    select m.key, m.tags, m.reader_id <> m.mesh_id, m.memory_id, case when n.cut then left(m.content, 10000) || '…' else m.content end, n.cut, a.name,
      m.remembered_at
    from (
      select h.* from unnest(_hits) h
      where _after.memory_id is null or (h.score, h.remembered_at, h.memory_id) <
        (mesh_lib.recall_score(_after.words, _score, _after.remembered_at), _after.remembered_at, _after.memory_id)
      order by h.score desc, h.remembered_at desc, h.memory_id desc limit recall."limit"
    ) h
    join mesh_data.memory m on m.memory_id = h.memory_id
    join mesh_data.agent a on a.agent_id = m.agent_id
    cross join lateral (select num_nonnulls(_key, recall.memory_id) = 0 and length(m.content) > 10000 as cut) n
    order by h.score desc, h.remembered_at desc, h.memory_id desc;
end
$$;
comment on function mesh.recall is $$---
cli: recall <query>
alias: memory list, memory search
who: agent
mcp: core
columns: key content tags private remembered_by remembered_at memory_id
---
Recall what was remembered, by words in any language, by key or by tag; the best first, or the newest where there is no query. You find what is shared with the mesh and what is your own.
query: words to look for. What holds all of them is found, the last may go on; if there is none, what looks like them or holds some of them. Only the newest 500 that fit are compared.
key: only what was remembered under this key.
tags: only what has all these tags.
private: true for your own only, false for what is shared only; default both.
memory_id: only this memory.
after: the memory_id of the last one you got: go on after it.
limit: how many at most, 1 to 100; default 10.
Of a memory longer than 10,000 characters the beginning is shown (cut is true); ask for its key or memory_id to get all of it.
example: mesh recall "how do we deploy"
example: mesh recall --tags deploy --limit 50$$;
alter function mesh.recall(text, text, text[], boolean, uuid, uuid, integer) owner to mesh_definer;
grant execute on function mesh.recall(text, text, text[], boolean, uuid, uuid, integer) to mesh_agent;

-- A definer: nobody reads what is forgotten, so under row-level security nobody could write it.
create function mesh.forget(inout key text default null, inout memory_id uuid default null, inout private boolean default null,
  out content text, out forgotten_at timestamptz)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _key constant text := mesh_lib.memory_key(forget.key);
  _found mesh_data.memory[];
begin
  if num_nonnulls(_key, forget.memory_id) <> 1 then
    perform mesh_lib.fail(400, 'say what to forget: one of key and memory_id', 'mesh recall');
  end if;
  _found := array(
    select m from mesh_lib.memories_named(mesh_lib.memory_readers(_me, forget.private), _key, forget.memory_id) n join mesh_data.memory m using (memory_id)
    -- Asked again when somebody else held the row.
    where m.reader_id is not null for update of m);
  if cardinality(_found) = 0 then
    perform mesh_lib.fail(404, 'there is no such memory', 'mesh recall', case when _key is not null then
      jsonb_build_object('asked', _key, 'candidates', mesh_lib.memory_keys(mesh_lib.memory_readers(_me, forget.private))) end);
  elsif cardinality(_found) > 1 then
    perform mesh_lib.fail(409, format('there is a shared and a private memory %L: say with private which one', _key), 'mesh forget --help');
  end if;
  update mesh_data.memory m set reader_id = null, forgotten_at = mesh_lib.now() where m.memory_id = _found[1].memory_id
  returning m.forgotten_at into forget.forgotten_at;
  if _found[1].reader_id = _me.mesh_id then
    perform mesh_lib.record(_me.mesh_id, 'memory_forgotten', jsonb_strip_nulls(jsonb_build_object('memory_id', _found[1].memory_id, 'key', _found[1].key)));
  end if;
  forget.key := _found[1].key;
  forget.memory_id := _found[1].memory_id;
  forget.private := _found[1].reader_id <> _me.mesh_id;
  forget.content := left(_found[1].content, 200);
end
$$;
comment on function mesh.forget is $$---
cli: forget <key>
alias: memory remove, memory forget
who: agent
destructive: yes
---
Forget a memory, shared or your own: nothing shows it any more, and its key is free.
key: its key; or say memory_id.
memory_id: its id, for one without a key.
private: which one, where a shared and a private memory have the same key: true is your own; default whichever there is.
example: mesh forget staging-db$$;
alter function mesh.forget(text, uuid, boolean) owner to mesh_definer;
grant execute on function mesh.forget(text, uuid, boolean) to mesh_agent;

-- A definer: it writes what no other agent may read.
create function mesh.edit_memory(inout agent text, inout key text, value mesh.value, out memory_id uuid, out replaced boolean, out remembered_at timestamptz)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _agent constant mesh_data.agent := mesh_lib.agent_named(edit_memory.agent);
  _id constant uuid := mesh_lib.new_id();
  _memory mesh_data.memory;
begin
  perform mesh_lib.must_manage();
  if edit_memory.key is null then
    perform mesh_lib.fail(400, 'a key is 1 to 200 characters', '');
  end if;
  _memory := mesh_lib.write_memory(_id, _me.mesh_id, _agent.agent_id, _me.agent_id, edit_memory.key, edit_memory.value #>> '{}', null);
  perform mesh_lib.record(_me.mesh_id, 'memory_edited', jsonb_build_object('agent', _agent.name, 'agent_id', _agent.agent_id, 'key', _memory.key));
  edit_memory.agent := _agent.name;
  edit_memory.key := _memory.key;
  edit_memory.memory_id := _memory.memory_id;
  edit_memory.replaced := _memory.memory_id <> _id;
  edit_memory.remembered_at := _memory.remembered_at;
end
$$;
comment on function mesh.edit_memory is $$---
cli: memory edit <agent> <key> <value>
who: manage
destructive: yes
---
Write a private memory of an agent, under a key: a new one, or over what it had there. Its others stay its own.
agent: whose memory.
key: under which key, up to 200 characters.
value: what it shall remember: a text of up to 10,240 bytes. What is no text is kept as JSON.
example: mesh memory edit backend style "four spaces, no tabs"$$;
alter function mesh.edit_memory(text, text, mesh.value) owner to mesh_definer;
grant execute on function mesh.edit_memory(text, text, mesh.value) to mesh_agent;
