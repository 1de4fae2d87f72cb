-- Events: the log of what happened in a mesh. Calls append to it, triggers write what tables tell (sql/lib/trigger.sql), and messages
-- are read from where they are. Administrators read the log in the view mesh.events.

grant insert (event_id, mesh_id, kind, agent_id, detail, happened_at) on mesh_data.event to mesh_agent;
create policy event_insert on mesh_data.event for insert to mesh_agent
  with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]) and agent_id is not distinct from (select mesh_lib.my_agent()));

-- A definer: the owner of a mesh sees who writes to whom, and nobody reads the log as a table. Texts are in no event.
create function mesh.list_events(since timestamptz default null, agent text default null, kind text default null, before uuid default null,
  after uuid default null, "limit" integer default 50, follow boolean default false)
returns table (event_id uuid, happened_at timestamptz, event text, "by" text, detail jsonb, cursor uuid)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _snapshot constant pg_snapshot := pg_current_snapshot();
  _search mesh_lib.event_search;
  _cursor constant uuid := mesh_lib.cursor_at(mesh_lib.now(), pg_snapshot_xmin(_snapshot)::text::bigint);
begin
  if list_events."limit" not between 1 and 500 then
    perform mesh_lib.fail(400, 'limit is 1 to 500', '');
  elsif not isfinite(list_events.since) then
    perform mesh_lib.fail(400, 'since is a time that there is', '');
  elsif substr(list_events.after::text, 15, 1) <> '8' then
    perform mesh_lib.fail(400, 'after is the cursor of an earlier answer, not the id of an event', 'mesh events');
  elsif list_events.kind !~ '^[a-z_]{1,40}$' then
    perform mesh_lib.fail(400, format('%L is no kind of event: use words like message or task_created', left(list_events.kind, 63)), 'mesh events');
  end if;
  _search.mesh_id := _me.mesh_id;
  _search.reader_id := case when not mesh_lib.is_owner() then _me.agent_id end;
  _search.agent_id := case when list_events.agent is not null then mesh_lib.agent_id_of(_me.mesh_id, lower(btrim(list_events.agent))) end;
  _search.kind := list_events.kind;
  _search.before := coalesce(list_events.before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  -- Years that an id has room for, and none before the first event.
  _search.from_at := least(greatest(list_events.since, '2000-01-01'), '9999-01-01');
  _search.most := list_events."limit";
  if list_events.after is not null then
    -- Of the last minute, what was written since; some of it comes again. age() counts from the next transaction.
    _search.from_at := greatest(_search.from_at, mesh_lib.time_of(list_events.after) - interval '1 minute');
    _search.horizon := mesh_lib.cursor_horizon(list_events.after);
    _search.next := pg_snapshot_xmax(_snapshot)::text::bigint + age(pg_snapshot_xmax(_snapshot)::xid);
    _search.most := 5000;
  end if;
  return query
    select h.event_id, h.happened_at, h.kind, a.name, coalesce(h.detail, mesh_lib.message_event(h.message_id, h.kind, h.agent_id)), _cursor
    from (
      select h.* from (
        select l.* from mesh_lib.logged(_search) l
        union all select s.* from mesh_lib.sent(_search) s
        union all select s.* from mesh_lib.steps(_search) s
      ) h
      order by h.event_id desc limit _search.most
    ) h
    left join mesh_data.agent a on a.agent_id = h.agent_id
    order by h.event_id;
end
$$;
comment on function mesh.list_events is $$---
cli: events <mesh>
alias: event list, events list
who: agent
columns: happened_at by event detail
follow: after cursor event_id follow
---
List what happened in the mesh: what the mesh as a whole knows, and what you did, sent and got; to its owner everything, never a text.
The newest, oldest of them first. Kinds of events of messages are message_sent, message_delivered, message_acknowledged, message_expired and message_dead.
since: only what happened at this time or later, like 2026-01-31T12:00:00Z, on a command line also today or yesterday; default all.
agent: only what this agent did; default all.
kind: only events of this kind, or of all kinds that begin with this word, like message; default all.
before: the event_id of the oldest you have: only older ones; default the newest.
after: the cursor of an earlier answer: only what was written since, however late it was committed; what comes again has the same event_id. Up to 5,000. Default all.
limit: how many at most, 1 to 500; default 50.
follow: go on with what happens, at a command line; default false.
example: mesh events --limit 20
example: mesh events --kind message --follow$$;
alter function mesh.list_events(timestamptz, text, text, uuid, uuid, integer, boolean) owner to mesh_definer;
grant execute on function mesh.list_events(timestamptz, text, text, uuid, uuid, integer, boolean) to mesh_agent;

-- How many events an agent may report in a minute.
create function mesh_lib.reports_per_minute() returns integer
language sql immutable return 120;

-- A definer: it counts in the log, which nobody reads.
create function mesh.report_tool(inout tool text, ok boolean default true, seconds double precision default null, out reported boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  report_tool.tool := mesh_lib.checked_text(report_tool.tool, 'the name of the tool', 100);
  if report_tool.tool is null then
    perform mesh_lib.fail(400, 'which tool? Its name has 1 to 100 characters', '');
  elsif report_tool.seconds not between 0 and 1e9 then
    perform mesh_lib.fail(400, 'seconds is 0 to 1,000,000,000', '');
  elsif exists (
    select from mesh_data.event e
    where e.agent_id = _me.agent_id and e.kind = 'tool_used' and e.event_id > mesh_lib.first_id(mesh_lib.now() - interval '1 minute')
    offset mesh_lib.reports_per_minute() - 1
  ) then
    perform mesh_lib.fail(429, format('an agent reports at most %s tool calls a minute', mesh_lib.reports_per_minute()), '', '{"retry_after": 60}');
  end if;
  perform mesh_lib.record(_me.mesh_id, 'tool_used', jsonb_strip_nulls(jsonb_build_object('tool', report_tool.tool, 'ok', report_tool.ok,
    'seconds', round(report_tool.seconds::numeric, 3))));
  report_tool.reported := true;
end
$$;
comment on function mesh.report_tool is $$---
cli: events report <tool>
who: agent
---
Report that your window used a tool: it stands in the log, for you and the owner of the mesh. At most 120 a minute.
tool: its name, 1 to 100 characters; nothing of what it was asked.
ok: whether it worked; default true.
seconds: how long it took; default unknown.
example: mesh events report Bash --seconds 1.5$$;
alter function mesh.report_tool(text, boolean, double precision) owner to mesh_definer;
grant execute on function mesh.report_tool(text, boolean, double precision) to mesh_agent;
