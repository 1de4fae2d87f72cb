-- What a team remembers.

set local role mesh_owner;

-- Who reads a memory is one id: the mesh's, when it is shared, or one agent's. A forgotten one has no reader, so nothing
-- finds it and its key is free. `words` is what is searched; it holds the reader and the tags, too, so that one index
-- answers for one mesh of many.
create table mesh_data.memory (
  memory_id uuid primary key,
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  reader_id uuid,
  agent_id uuid not null,
  key text collate "C" constraint memory_key_is_1_to_200_characters check (length(key) between 1 and 200),
  content text not null constraint memory_content_is_1_to_65536_bytes check (octet_length(content) between 1 and 65536),
  tags text[] not null default '{}' constraint memory_tags_are_few check (cardinality(tags) <= 20),
  words tsvector not null,
  -- How many its reader had been given when it was written, forgotten ones too: as long as they are few, nobody need count.
  ordinal bigint not null,
  remembered_at timestamptz not null,
  forgotten_at timestamptz,
  constraint memory_key_is_unique_per_reader unique (reader_id, key),
  constraint forgotten_memory_has_no_reader check ((reader_id is null) = (forgotten_at is not null))
);
create index memory_newest on mesh_data.memory (reader_id, remembered_at desc, memory_id desc);
create index memory_by_mesh on mesh_data.memory (mesh_id);
create index memory_forgotten on mesh_data.memory (forgotten_at) where forgotten_at is not null;
-- Without a list of pending entries, which each search would read to its end.
create index memory_words on mesh_data.memory using gin (words) with (fastupdate = off) where reader_id is not null;

-- Each word that a reader's memories ever held, with its trigrams and the reader: where a word is looked for that nobody wrote so.
-- Of those who bring the same word at once none waits for another, so it may be there twice.
create table mesh_data.memory_word (
  memory_word_id uuid primary key default gen_random_uuid(),
  mesh_id uuid not null references mesh_data.mesh on delete cascade,
  reader_id uuid not null,
  word text not null collate "C" constraint memory_word_is_3_to_40_characters check (length(word) between 3 and 40),
  grams tsvector not null
);
create index memory_word_by_word on mesh_data.memory_word (mesh_id, reader_id, word);
create index memory_word_grams on mesh_data.memory_word using gin (grams) with (fastupdate = off);

alter table mesh_data.memory enable row level security, force row level security;
alter table mesh_data.memory_word enable row level security, force row level security;
