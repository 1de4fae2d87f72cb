-- A message on its way, before it is stored. `everyone`: of a role all, not the first. agents (who gets it, without its
-- sender), room_id, message_id and duplicate are found on the way.
create type mesh_lib.letter as (
  ordinal integer, me mesh_lib.identity, addresses text[], body text, data jsonb, key text, reply_to uuid, priority smallint,
  mentions text[], expires_at timestamptz, everyone boolean, exclude text[],
  agents uuid[], room_id uuid, message_id uuid, duplicate boolean, error json
);

-- A letter with what most letters have. `agent_id`: the one agent it goes to, where that is known and breaks no rule.
create function mesh_lib.letter(me mesh_lib.identity, addresses text[], body text, priority smallint default null, data jsonb default null,
  key text default null, reply_to uuid default null, mentions text[] default null, expires_at timestamptz default null,
  everyone boolean default false, exclude text[] default null, ordinal integer default 1, error json default null, agent_id uuid default null) returns mesh_lib.letter
language sql volatile return row(letter.ordinal, letter.me, letter.addresses, letter.body, letter.data, letter.key, letter.reply_to,
  case when letter.agent_id is null then letter.priority else 1 end, letter.mentions, letter.expires_at, letter.everyone, letter.exclude, case when letter.agent_id is not null then array[letter.agent_id] end, null, mesh_lib.new_id(), false, letter.error)::mesh_lib.letter;
