-- The catalogue: everything that is made from the API's own definitions (HTTP, OpenAPI, CLI verbs, MCP tools, reference).
-- Its source is pg_proc and the COMMENT of each function:
--
--   ---
--   cli: send <to> <message>      verb path and positional arguments; <mesh> is the mesh context. Left out: no CLI verb
--   alias: ls, list               other verb paths
--   who: agent                    the least key: anyone, ticket, invite, any, agent (any key in a mesh), manage, account
--   mesh: no                      works without a mesh; default yes for agent and manage
--   mcp: core                     core, more (behind find_tools; the default) or never
--   destructive: yes              it takes away or writes over what somebody made, and no call brings that back: editors ask first.
--                                 Not for what is there to be set again and again, each under its key
--   columns: to state why         what a table shows
--   follow: after message_id      to follow, a client calls again with argument `after` as the last row's `message_id`.
--                                 Two more words: the column that tells rows apart, and the boolean argument that asks for it
--   group: messages               its heading in mesh --help: start, messages, team or machine; default messages for core calls of agents, else team
--   more: unread mesh inbox       a column that counts what is left when it was answered, and the command that shows it
--   line: summary 500             an argument that is one line, as mesh_lib.checked_text means it, of at most so many characters: for clients that
--                                 seal it, so that only they can check it
--   set: send_messages            the function in mesh_lib that takes a batch of these calls
--   ---
--   Send a message to an agent.   the imperative first line
--   to: an agent's name, …        one line per argument
--   example: mesh send bob "hi"
--   Anything else is the description.

-- One line of a comment's front matter.
create function mesh_lib.front(comment text, field text) returns text
language sql immutable set search_path = '' as $$
  select (regexp_match(split_part(front.comment, E'\n---\n', 1), '(?:^|\n)' || front.field || ': ([^\n]*)'))[1]
$$;

-- The JSON Schema of a type: plain, without anyOf, $ref or type arrays.
create function mesh_lib.json_schema(type_id oid) returns jsonb
language sql stable set search_path = '' as $$
  select case
    when t.typelem <> 0 and t.typcategory = 'A' then jsonb_build_object('type', 'array', 'items', mesh_lib.json_schema(t.typelem))
    when format_type(t.oid, null) = 'mesh.awaited' then '{"type": "integer", "minimum": 0, "maximum": 55}'
    when format_type(t.oid, null) = 'mesh.name' then '{"type": "string", "minLength": 1, "maxLength": 63}'
    when format_type(t.oid, null) = 'mesh.public_key' then '{"type": "string", "pattern": "^[0-9a-f]{64}$"}'
    when format_type(t.oid, null) in ('mesh.addresses', 'mesh.sealed') then '{"type": "string"}'
    when format_type(t.oid, null) = 'mesh.frames' then '{"type": "array", "items": {"type": "object"}}'
    when format_type(t.oid, null) = 'mesh.mode' then '{"type": "string", "enum": ["sealed", "open"]}'
    when format_type(t.oid, null) = 'mesh.envelope' then '{"type": "object"}'
    when format_type(t.oid, null) = 'mesh.chain' then '{"type": "array", "items": {"type": "object"}}'
    when format_type(t.oid, null) in ('mesh.new_secret', 'mesh.signed', 'mesh.boxes') then '{"type": "object"}'
    when t.typtype = 'd' then mesh_lib.json_schema(t.typbasetype)
    when t.typname = 'uuid' then '{"type": "string", "format": "uuid"}'
    when t.typname = 'timestamptz' then '{"type": "string", "format": "date-time"}'
    when t.typname = 'bool' then '{"type": "boolean"}'
    when t.typname in ('int2', 'int4', 'int8') then '{"type": "integer"}'
    when t.typname in ('numeric', 'float4', 'float8') then '{"type": "number"}'
    when t.typname in ('json', 'jsonb') then '{}'
    else '{"type": "string"}'
  end::jsonb
  from pg_catalog.pg_type t where t.oid = type_id
$$;

-- A default of an argument as JSON; a default that is no constant is null.
create function mesh_lib.default_value(expression text) returns jsonb
language sql immutable set search_path = '' as $$
  select case
    when default_value.expression ~ '^(true|false|-?\d+)$' then default_value.expression::jsonb
    when default_value.expression ~ '^''[^'']*''::jsonb$' then ((regexp_match(default_value.expression, '^''([^'']*)'''))[1])::jsonb
    when default_value.expression ~ '^''[^'']*''::.*[^]]$' then to_jsonb((regexp_match(default_value.expression, '^''([^'']*)'''))[1])
    when default_value.expression ~ '^\(-?\d+\)::|^-?\d+::' then ((regexp_match(default_value.expression, '-?\d+'))[1])::jsonb
    else 'null'
  end
$$;

-- The arguments of a function, in order.
create function mesh_lib.arguments(function_id oid) returns table (
  ordinal integer, name text, type_id oid, type text, input boolean, output boolean, required boolean, default_value jsonb, description text
)
language sql stable set search_path = '' as $$
  with p as (
    select p.*, regexp_replace(obj_description(p.oid, 'pg_proc'), '^---\n.*?\n---\n', '') as help from pg_catalog.pg_proc p where p.oid = function_id
  ), a as (
    select u.ordinal::integer, u.name, u.type_id,
      coalesce(p.proargmodes[u.ordinal], 'i') in ('i', 'b') as input,
      coalesce(p.proargmodes[u.ordinal], 'i') in ('o', 'b', 't') as output,
      count(*) filter (where coalesce(p.proargmodes[u.ordinal], 'i') in ('i', 'b')) over (order by u.ordinal) as input_ordinal
    from p, unnest(p.proargnames, coalesce(p.proallargtypes, string_to_array(p.proargtypes::text, ' ')::oid[])) with ordinality u (name, type_id, ordinal)
  )
  select a.ordinal, a.name, a.type_id, format_type(a.type_id, null), a.input, a.output,
    a.input and a.input_ordinal <= p.pronargs - p.pronargdefaults,
    mesh_lib.default_value(pg_get_function_arg_default(p.oid, a.ordinal)),
    (regexp_match(p.help, E'\n' || a.name || ': ([^\n]*)'))[1]
  from p, a order by a.ordinal
$$;

-- What a comment says beyond its first line, its arguments and its examples.
create function mesh_lib.description(comment text, argument_names text[]) returns text
language sql immutable set search_path = '' as $$
  select coalesce(string_agg(l.line, ' ' order by l.n), '')
  from regexp_split_to_table(split_part(description.comment, E'\n---\n', 2), E'\n') with ordinality l (line, n)
  where l.n > 1 and l.line <> '' and split_part(l.line, ': ', 1) <> all (description.argument_names || 'example'::text)
$$;

create function mesh_lib.describe(function_id oid) returns json
language sql stable set search_path = '' as $$
  with p as (
    select p.*, obj_description(p.oid, 'pg_proc') as comment from pg_catalog.pg_proc p where p.oid = function_id
  ), f as (
    select p.*, mesh_lib.front(p.comment, 'cli') as cli, coalesce(mesh_lib.front(p.comment, 'who'), 'agent') as who,
      string_to_array(mesh_lib.front(p.comment, 'columns'), ' ') as columns, string_to_array(mesh_lib.front(p.comment, 'line'), ' ') as line
    from p
  )
  select json_build_object(
    'name', f.proname,
    'summary', split_part(split_part(f.comment, E'\n---\n', 2), E'\n', 1),
    'description', mesh_lib.description(f.comment, f.proargnames),
    'who', f.who,
    'mesh', coalesce(mesh_lib.front(f.comment, 'mesh') = 'yes', f.who in ('agent', 'manage')),
    'mcp', coalesce(mesh_lib.front(f.comment, 'mcp'), 'more'),
    'read_only', f.provolatile <> 'v',
    'destructive', coalesce(mesh_lib.front(f.comment, 'destructive') = 'yes', false),
    'cli', case when f.cli is not null then json_build_object(
      'verb', array(select m[1] from regexp_matches(regexp_replace(f.cli, '<[^>]*>', '', 'g'), '\S+', 'g') m),
      'aliases', coalesce((select json_agg(regexp_split_to_array(trim(a), ' +'))
        from unnest(string_to_array(mesh_lib.front(f.comment, 'alias'), ',')) a), '[]'),
      'positional', array(select m[1] from regexp_matches(f.cli, '<([^>]*)>', 'g') m),
      'columns', coalesce(f.columns, '{}'),
      'group', mesh_lib.front(f.comment, 'group'),
      'more', regexp_match(mesh_lib.front(f.comment, 'more'), '^(\S+) (.+)$'),
      'follow', (string_to_array(mesh_lib.front(f.comment, 'follow'), ' '))[1:2],
      'follow_row', nullif(split_part(mesh_lib.front(f.comment, 'follow'), ' ', 3), ''),
      'follow_if', nullif(split_part(mesh_lib.front(f.comment, 'follow'), ' ', 4), '')) end,
    'examples', array(select m[1] from regexp_matches(f.comment, E'\nexample: ([^\n]*)', 'g') m),
    'arguments', coalesce((select json_agg(json_build_object('name', a.name, 'type', a.type,
      'schema', mesh_lib.json_schema(a.type_id) || case a.name when f.line[1] then jsonb_build_object('maxLength', f.line[2]::integer, 'pattern', '^.*$') else '{}' end,
      'required', a.required, 'default', a.default_value, 'description', a.description) order by a.ordinal)
      from mesh_lib.arguments(f.oid) a where a.input), '[]'),
    'returns', (
      select json_build_object(
        'type', case when f.proretset then 'set' when count(a.name) > 0 then 'row' else 'value' end,
        'schema', case when count(a.name) > 0 then
            case when f.proretset then jsonb_build_object('type', 'array', 'items', o.object) else o.object end
          else mesh_lib.json_schema(f.prorettype) end,
        'columns', coalesce(json_agg(json_build_object('name', a.name, 'type', a.type) order by a.ordinal) filter (where a.name is not null), '[]'))
      from (select jsonb_build_object('type', 'object', 'properties',
          (select jsonb_object_agg(a.name, mesh_lib.json_schema(a.type_id)) from mesh_lib.arguments(f.oid) a where a.output)) as object) o
      left join mesh_lib.arguments(f.oid) a on a.output
      group by o.object))
  from f
$$;

-- Made once per reload by sql/finish.sql from all of the above: one row per call an agent may make.
create function mesh_lib.catalogue() returns json
language sql stable set search_path = '' as $$
  select json_build_object('protocol', 1, 'functions', json_agg(c.description order by c.name)) from mesh_lib.callable c
$$;
comment on function mesh_lib.catalogue is 'Everything a client or relay knows about the API.';
grant execute on function mesh_lib.catalogue() to mesh_relay, mesh_admin;
