-- A message on its way, before it is stored. `everyone`: of a role all, not the first. What it holds is one of body (a text),
-- envelope with boxes (sealed) and notice (the server's own words). occurrence_at: for which time of a schedule it is. agents
-- (who gets it, without its sender), skipped (who is meant and cannot read it), room_id, message_id and duplicate are found
-- on the way.
create type mesh_lib.letter as (
  ordinal integer, me mesh_lib.identity, addresses text[], body text, envelope jsonb, boxes jsonb, notice text, data jsonb, key text, reply_to uuid,
  priority smallint, mentions text[], expires_at timestamptz, everyone boolean, exclude text[], occurrence_at timestamptz,
  agents uuid[], mentioned uuid[], skipped text[], room_id uuid, message_id uuid, duplicate boolean, error json
);

-- The id that its sender gave to what is sealed; null for a plain text.
create function mesh_lib.sealed_id(content jsonb) returns uuid
language sql immutable return case when jsonb_typeof(sealed_id.content) = 'object' then (((sealed_id.content ->> 'document')::jsonb) ->> 'id')::uuid end;

-- A letter with what most letters have. `content` is a text, or an envelope with its boxes (mesh.sealed): that is the same
-- letter whenever it comes again. `agent_id`: the one agent it goes to, where that is known and breaks no rule.
create function mesh_lib.letter(me mesh_lib.identity, addresses text[], content jsonb, priority smallint default null, data jsonb default null,
  key text default null, reply_to uuid default null, mentions text[] default null, expires_at timestamptz default null,
  everyone boolean default false, exclude text[] default null, ordinal integer default 1, error json default null, agent_id uuid default null,
  occurrence_at timestamptz default null, notice text default null) returns mesh_lib.letter
language sql volatile return row(letter.ordinal, letter.me, letter.addresses,
  case when jsonb_typeof(letter.content) = 'string' then letter.content #>> '{}' end,
  case when jsonb_typeof(letter.content) = 'object' then letter.content - 'boxes' end,
  case when jsonb_typeof(letter.content) = 'object' then case jsonb_typeof(letter.content -> 'boxes') when 'object' then letter.content -> 'boxes' else '{}' end end,
  letter.notice, letter.data, coalesce(letter.key, 'sealed ' || mesh_lib.sealed_id(letter.content)), letter.reply_to,
  case when letter.agent_id is null then letter.priority else 1 end, letter.mentions, letter.expires_at, letter.everyone, letter.exclude, letter.occurrence_at,
  case when letter.agent_id is not null then array[letter.agent_id] end, null, null, null,
  coalesce(case when letter.occurrence_at is null then mesh_lib.sealed_id(letter.content) end, mesh_lib.new_id()), false, letter.error)::mesh_lib.letter;
