-- News: what changed in a mesh, shown at once to every window there but those of whoever changed it. Unlike mail it is not
-- kept for who is away: what changed is to be read where it is, and catch_up says what. The relay knows only this word.

-- Tell all windows of the caller's mesh. `text` is a line for people, `detail` the same for programs, up to 8,192 bytes.
-- A definer: it writes what others are shown, in the name of the caller and of nobody else.
create function mesh_lib.tell_news(mesh_id uuid, kind text, text text, detail jsonb default '{}') returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  if tell_news.mesh_id is distinct from _me.mesh_id then
    perform mesh_lib.fail(403, 'news is told in one''s own mesh', '');
  end if;
  perform mesh_lib.add_news(_me.mesh_id, _me.agent_id, tell_news.kind, tell_news.text, tell_news.detail);
end
$$;
alter function mesh_lib.tell_news(uuid, text, text, jsonb) owner to mesh_definer;
grant execute on function mesh_lib.tell_news(uuid, text, text, jsonb) to mesh_agent;

-- The same for definers that no agent called: agent_id null is the server. Windows at the relay that asks are shown it when
-- this commits; other relays are pinged when they have one.
create function mesh_lib.add_news(mesh_id uuid, agent_id uuid, kind text, text text, detail jsonb default '{}') returns void
language plpgsql volatile set search_path = '' as $$
declare
  _relay constant uuid := nullif(current_setting('mesh.relay', true), '')::uuid;
  _news mesh_data.news;
  _here uuid[];
  _elsewhere boolean;
begin
  insert into mesh_data.news (news_id, mesh_id, kind, agent_id, text, detail, happened_at)
  values (mesh_lib.new_id(), add_news.mesh_id, add_news.kind, add_news.agent_id, mesh_lib.one_line(add_news.text, 500), add_news.detail, mesh_lib.now())
  returning * into _news;
  select array_agg(s.session_id) filter (where p.relay_id = _relay), bool_or(p.relay_id is distinct from _relay) into _here, _elsewhere
  from mesh_data.session s join mesh_data.presence p on p.session_id = s.session_id
  where s.mesh_id = add_news.mesh_id and s.ended_at is null and s.agent_id is distinct from add_news.agent_id
    and mesh_lib.presence(p.connected, p.confirmed_at) <> 'offline';
  if _here is not null then
    perform mesh_lib.tell_relay(jsonb_build_object('news', jsonb_build_array(jsonb_build_object('sessions', _here, 'frame', mesh_lib.news_frame(_news)))));
  end if;
  if _elsewhere then
    perform mesh_lib.ping();
  end if;
end
$$;

-- Text of others as one line of at most so many characters, without what could pass for something else on a screen.
create function mesh_lib.one_line(value text, longest integer) returns text
language sql immutable set search_path = '' as $$
  select case when length(l.line) > one_line.longest then left(l.line, one_line.longest - 1) || '…' else l.line end
  from (select regexp_replace(regexp_replace(one_line.value, '\s+', ' ', 'g'),
    U&'[\0001-\001F\007F-\009F\061C\200E\200F\2028-\202E\2066-\2069]', '', 'g') as line) l
$$;

-- News as windows are shown it; `from` is null when the server itself did it.
create function mesh_lib.news_frame(news mesh_data.news) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object('news_id', news.news_id, 'kind', news.kind, 'from', (select a.name from mesh_data.agent a where a.agent_id = news.agent_id),
    'text', news.text, 'detail', news.detail, 'happened_at', news.happened_at);
end
$$;

-- What these sessions are to be shown that was not committed yet at `since`, a snapshot that mesh_lib.horizon gave; and to
-- those among them that are `fresh`, whose socket has just come, what they missed of the last minute. Newest 500 at most.
-- Stable, so it sees what the statement's snapshot does, which is the next `since`: nothing falls between two looks.
create function mesh_lib.news(session_ids uuid[], push_secrets text[], since text, fresh uuid[])
returns table (sessions uuid[], frame jsonb)
language plpgsql stable security definer set search_path = '' set enable_seqscan = off set jit = off as $$
declare
  _since constant pg_snapshot := coalesce(news.since, pg_current_snapshot()::text)::pg_snapshot;
  _recent constant uuid := mesh_lib.first_id(mesh_lib.now() - interval '1 minute');
begin
  if not exists (select from mesh_data.news n where n.changed_in >= pg_snapshot_xmin(_since))
    and (cardinality(news.fresh) = 0 or not exists (select from mesh_data.news n where n.news_id > _recent)) then
    return;
  end if;
  return query
    with proved as materialized (
      select s.session_id, s.mesh_id, s.agent_id, case when s.session_id = any (news.fresh) then s.opened_at end as fresh_since
      from unnest(news.session_ids, news.push_secrets) u (session_id, push_secret)
      join mesh_data.session s on s.session_id = u.session_id and s.push_verifier = sha256(convert_to(u.push_secret, 'UTF8'))
      where s.ended_at is null
    ), changed as materialized (
      -- A restored dump has transactions that never were here.
      select n as item, n.news_id, n.mesh_id, n.agent_id, n.happened_at, not pg_visible_in_snapshot(n.changed_in, _since) as is_new
      from mesh_data.news n
      where (n.changed_in >= pg_snapshot_xmin(_since) and not pg_visible_in_snapshot(n.changed_in, _since) or cardinality(news.fresh) > 0 and n.news_id > _recent)
        and pg_visible_in_snapshot(n.changed_in, pg_current_snapshot())
      order by n.news_id desc limit 500
    )
    select array_agg(p.session_id), mesh_lib.news_frame(c.item)
    from changed c join proved p on p.mesh_id = c.mesh_id and p.agent_id is distinct from c.agent_id and (c.is_new or c.happened_at > p.fresh_since)
    group by c.news_id, c.item order by c.news_id;
end
$$;
comment on function mesh_lib.news is 'What is to be shown to which of these sessions and was not committed yet at since, or within the last minute to fresh ones.';
alter function mesh_lib.news(uuid[], text[], text, uuid[]) owner to mesh_definer;
grant execute on function mesh_lib.news(uuid[], text[], text, uuid[]) to mesh_relay;
