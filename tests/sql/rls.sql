-- Row-level security, the second wall: what direct SQL as mesh_agent sees and changes, signed in as everybody, on every
-- table. A table missing here fails the first test.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.open('commander'), t.open('designer'), t.open('scout'), t.open('visitor');
select t.send('designer', '*', 'x', '{"key": "k"}'), t.send('backend', 'commander', 'x', '{"key": "k"}'), t.send('commander', 'alice', 'x', '{"key": "k"}'), t.send('alice', '*', 'x', '{"key": "k"}'),
  t.send('scout', '*', 'x', '{"key": "k"}'), t.send('visitor', 'scout', 'x', '{"key": "k"}');
select t.does(w, 'join_group', '{"group": "web:lead"}'), t.does(w, 'create_pool', jsonb_build_object('name', 'coder', 'agents', array[w])) from unnest(array['commander', 'scout']) w;
select t.does(w.who, 'block_agent', jsonb_build_object('agent', w.agent), w.mesh)
from (values ('alice', 'backend', 'proj'), ('commander', 'designer', null), ('designer', 'backend', null), ('backend', 'alice', null), ('scout', 'visitor', null)) w (who, agent, mesh);
select t.does(w, 'schedule_message', jsonb_build_object('to', case w when 'visitor' then 'scout' when 'commander' then 'backend' else 'commander' end, 'message', 'x', 'in', '1 hour'), case w when 'alice' then 'proj' end) from unnest(array['alice', 'backend', 'commander', 'designer', 'visitor']) w;

select t.does('commander', 'create_room', '{"name": "hall", "members": ["designer"], "mode": "moderated"}'), t.does('visitor', 'create_room', '{"name": "hall", "members": ["scout"]}');
select t.does(w.who, 'set_state', jsonb_build_object('key', w.who, 'value', null), w.mesh) from (values ('alice', 'proj'), ('backend', null), ('commander', null), ('designer', null), ('scout', null)) w (who, mesh);

select t.does(w, 'create_task', '{"title": "x"}'), t.does(w, 'create_task', '{"title": "y", "depends_on": [1]}'), t.does(w, 'claim_task'),
  t.does(w, 'claim_paths', jsonb_build_object('patterns', array[w], 'reason', 'x')) from unnest(array['designer', 'commander', 'visitor', 'scout']) w;

select t.does(w.who, 'remember', jsonb_build_object('content', 'words of ' || w.who, 'key', 'k', 'private', p), w.mesh)
from (values ('alice', 'proj'), ('backend', null), ('commander', null), ('designer', null), ('scout', null), ('visitor', null)) w (who, mesh), unnest(array[true, false]) p;
select t.does('visitor', 'forget', '{"key": "k", "private": true}');

select t.seal_rows();
create view t.tables as
select c.oid, c.relname::text as name, c.relispartition as partition,
  (select string_agg(quote_ident(a.attname) || '::text', ' || '' '' || ' order by a.attnum) from pg_constraint k join pg_attribute a on a.attrelid = c.oid and a.attnum = any (k.conkey) where k.conrelid = c.oid and k.contype = 'p') as key
from pg_class c where c.relnamespace = 'mesh_data'::regnamespace and c.relkind in ('r', 'p');

-- Who acts, and what is theirs by the plain facts: x.account, x.agent, x.meshes (in), x.owned.
create table t.actor (who text primary key, token text, mesh text, account uuid, agent uuid, meshes uuid[] default '{}', owned uuid[] default '{}');
insert into t.actor (who, token, account) values ('nobody', null, null), ('an invite', 'the open invite', null),
  ('a ticket', 'dave''s ticket', (select account_id from mesh_data.account where name = 'dave'));
insert into t.actor
select w.who, w.who, w.mesh, a.account_id, g.agent_id, array(select m.mesh_id from mesh_data.mesh m where m.name = any (w.meshes)), array(select m.mesh_id from mesh_data.mesh m where w.owned = m.name)
from (values ('alice', 'proj', '{proj}'::text[], 'proj', true), ('carol', 'alice/proj', '{proj}', null, true), ('commander', null, '{proj}', null, false), ('backend', null, '{proj}', null, false), ('designer', null, '{proj}', null, false),
  ('bob', 'other', '{other}', 'other', true), ('scout', null, '{other}', null, false), ('visitor', null, '{other}', null, false)) w (who, mesh, meshes, owned, account)
join mesh_data.agent g on g.name = w.who left join mesh_data.account a on a.name = w.who and w.account;

-- What may be seen. Null: nothing at all, refused with 42501.
create table t.sight (name text primary key, rule text);
insert into t.sight values
  ('account', 'r.account_id = x.account'),
  ('mesh', 'r.mesh_id = any (x.meshes)'),
  ('member', 'r.mesh_id = any (x.meshes)'),
  ('agent', 'r.mesh_id = any (x.meshes)'),
  ('activity', 'r.mesh_id = any (x.meshes)'),
  ('session', 'r.mesh_id = any (x.meshes)'),
  ('group_member', 'r.mesh_id = any (x.meshes)'),
  ('pool', 'r.mesh_id = any (x.meshes)'),
  ('pool_agent', 'r.mesh_id = any (x.meshes)'),
  ('presence', 'r.mesh_id = any (x.meshes)'),
  ('key', 'r.account_id = x.account or r.mesh_id = any (x.owned)'),
  ('invite', 'r.mesh_id = any (x.owned)'),
  ('memory', 'r.reader_id = any (x.meshes) or r.reader_id = x.agent'),
  ('memory_word', 'r.reader_id = any (x.meshes) or r.reader_id = x.agent'),
  ('message', 'r.sender_agent_id = x.agent or exists (select from mesh_data.delivery d where d.message_id = r.message_id and d.agent_id = x.agent)'),
  ('delivery', 'x.agent in (r.agent_id, r.sender_agent_id)'),
  ('idempotency', 'r.sender_agent_id = x.agent'),
  ('block', 'r.agent_id = x.agent'),
  ('claim', 'r.mesh_id = any (x.meshes)'),
  ('task', 'r.mesh_id = any (x.meshes)'),
  ('task_dependency', 'r.mesh_id = any (x.meshes)'),
  ('task_step', 'r.mesh_id = any (x.meshes)'),
  ('schedule', 'r.agent_id = x.agent'),
  ('room', 'r.mesh_id = any (x.meshes)'),
  ('room_member', 'r.mesh_id = any (x.meshes)'),
  ('state', 'r.mesh_id = any (x.meshes)'),
  ('box', 'r.agent_id = x.agent'),
  ('key_request', 'r.agent_id = x.agent'),
  ('wrapped_identity', 'r.mesh_id = any (x.owned)'),
  ('news', null), ('seal', null), ('wake', null), ('watch', null), ('event', null), ('setting', null), ('code', null), ('sent', null), ('turn', null);
select set_eq('select name from t.tables where not partition', 'select name from t.sight', 'every table has a rule of sight');

create function t.expected(actor text, rel text) returns text language plpgsql as $$
declare
  _rows text := '42501';
begin
  if (select rule from t.sight where name = rel) is not null then
    execute format('select coalesce(string_agg(k, '','' order by k), '''') from (select %s as k from mesh_data.%I r, t.actor x where x.who = $1 and (%s)) y',
      (select string_agg('r.' || c, ' || '' '' || ') from unnest(string_to_array((select key from t.tables where name = rel), ' || '' '' || ')) c), rel, (select rule from t.sight where name = rel)) into _rows using actor;
  end if;
  return _rows;
end
$$;
create function t.seen(actor text, rel text) returns text language sql as $$
  select t.attempt_as(x.token, format('select coalesce(string_agg(k, '','' order by k), '''') from (select %s as k from mesh_data.%I) y', (select key from t.tables where name = rel), rel), x.mesh)
  from t.actor x where x.who = actor
$$;
select is(t.seen(x.who, s.name), t.expected(x.who, s.name), format('%s sees of %s what is theirs to see', x.who, s.name)) from t.actor x, t.sight s order by x.who, s.name;
select isnt(t.expected('alice', s.name), '', 'and there is something to see in ' || s.name) from t.sight s where s.rule is not null;
select is(t.attempt_as(x.token, format('select count(*) from mesh_data.%I', p.name), x.mesh), '42501', format('%s does not reach past a parent to %s', x.who, p.name)) from t.actor x, t.tables p
where p.partition and x.who in ('alice', 'visitor') order by 1;
select is(t.attempt_as(x.token, format('select %I from mesh_data.%I', a.attname, c.name), x.mesh), '42501', format('%s does not read %s.%s', x.who, c.name, a.attname))
from t.actor x, t.tables c join pg_attribute a on a.attrelid = c.oid where a.attname in ('verifier', 'push_verifier', 'identity_secret') order by 1;
select is(t.attempt_as(null, format('select set_config(''mesh.identity'', %L, true) || count(*) from mesh_data.agent', '(agent,,,,,,t)')), '(agent,,,,,,t)0', 'a guessed identity sees nothing');

-- Changes. A digest over all that is not the actor's to change tells whether something of it changed.
create table t.change (name text primary key, rule text);
insert into t.change values
  ('mesh', 'r.mesh_id = any (x.owned)'),
  ('agent', 'r.mesh_id = any (x.owned) or x.who = ''commander'' and r.mesh_id = any (x.meshes) or x.who = ''scout'' and r.mesh_id = any (x.meshes)'),
  ('activity', 'r.agent_id = x.agent'),
  ('group_member', 'r.agent_id = x.agent or r.mesh_id = any (x.owned) or x.who in (''commander'', ''scout'') and r.mesh_id = any (x.meshes)'),
  ('invite', 'r.mesh_id = any (x.owned)'),
  ('memory', 'r.reader_id = any (x.meshes) or r.reader_id = x.agent'),
  ('delivery', 'r.agent_id = x.agent'),
  ('event', 'r.agent_id = x.agent'),
  ('block', 'r.agent_id = x.agent'),
  ('state', 'r.mesh_id = any (x.meshes)'),
  ('claim', 'r.agent_id = x.agent or r.mesh_id = any (x.owned) or x.who in (''commander'', ''scout'') and r.mesh_id = any (x.meshes)'),
  ('room', 'r.mesh_id = any (x.owned) or x.who in (''commander'', ''scout'', ''visitor'') and r.mesh_id = any (x.meshes)');
create function t.digest(actor text) returns text language plpgsql as $$
declare
  _all text := '';
  _one text;
  _rel record;
begin
  for _rel in select s.name, coalesce(c.rule, 'false') as rule from t.sight s left join t.change c using (name) order by 1 loop
    execute format('select md5(coalesce(string_agg(r.ctid::text || r::text, '','' order by r::text), '''')) from mesh_data.%I r, t.actor x where x.who = $1 and (%s) is not true', _rel.name, _rel.rule) into _one using actor;
    _all := _all || _one;
  end loop;
  return _all;
end
$$;
-- The outcome of a statement, then undone: refused (with which SQLSTATE), or whether it changed what it may not.
create function t.outcome(actor text, sql text) returns text language plpgsql as $$
declare
  _before constant text := t.digest(actor);
  _outcome text;
begin
  begin
    select t.attempt_as(x.token, sql, x.mesh) into _outcome from t.actor x where x.who = actor;
    if _outcome = 'done' then
      _outcome := case when t.digest(actor) = _before then 'harmless' else 'CHANGED' end;
    end if;
    raise exception 'undo';
  exception when raise_exception then
    null;
  end;
  return _outcome;
end
$$;
create function t.columns(rel text, privilege text) returns text language sql stable as $$
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from t.tables c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.name = rel and has_column_privilege('mesh_agent', c.oid, a.attnum, privilege)
$$;

select is(t.outcome(x.who, format('update mesh_data.%I set (%s) = row(%2$s)', s.name, t.columns(s.name, 'update'))), 'harmless', format('%s updates no %s of others', x.who, s.name))
from t.actor x, t.sight s where t.columns(s.name, 'update') is not null order by x.who, s.name;
select is(t.outcome(x.who, format('update mesh_data.%I set %s = %2$s', s.name, split_part((select key from t.tables where name = s.name), '::', 1))), '42501', format('%s updates no %s', x.who, s.name))
from t.actor x, t.sight s where t.columns(s.name, 'update') is null order by x.who, s.name;
select is(t.outcome(x.who, format('%s mesh_data.%I', w.what, s.name)), '42501', format('%s does not: %s %s', x.who, w.what, s.name)) from t.actor x, t.sight s, (values ('delete from'), ('truncate')) w (what) order by x.who, s.name;
select is(t.outcome(x.who, format('alter table mesh_data.%I disable row level security', s.name)), '42501', format('%s switches no row-level security off: %s', x.who, s.name)) from t.actor x, t.sight s where x.who in ('alice', 'scout') order by 1;

-- Inserts: a copy of somebody else's row, with a key of its own.
create function t.copy_of(rel text, wanted text) returns text language plpgsql as $$
declare
  _columns constant text := coalesce(t.columns(rel, 'insert'), (select string_agg(quote_ident(a.attname), ', ') from pg_attribute a where a.attrelid = ('mesh_data.' || quote_ident(rel))::regclass and a.attnum > 0 and a.attidentity = ''));
  _row jsonb;
begin
  execute format('select to_jsonb(r) from mesh_data.%I r where %s limit 1', rel, wanted) into _row;
  return format('insert into mesh_data.%I (%s) select %2$s from jsonb_populate_record(null::mesh_data.%1$I, %3$L)', rel, _columns,
    _row || jsonb_build_object(rel || '_id', gen_random_uuid(), 'name', 'copy', 'key', 'copy', 'verifier', '\x' || t.hex('copy')));
end
$$;
create table t.copied as
select s.name, t.copy_of(s.name, case s.name when 'account' then 'r.name = ''alice''' when 'mesh' then 'r.name = ''proj''' when 'setting' then 'true' when 'wake' then 'true' when 'watch' then 'true' when 'code' then 'true' when 'sent' then 'true' when 'turn' then 'true'
  when 'claim' then 'r.agent_id = (select agent_id from mesh_data.agent where name = ''commander'')'
  when 'memory' then 'r.agent_id = (select agent_id from mesh_data.agent where name = ''commander'')'
  when 'memory_word' then 'r.reader_id = (select agent_id from mesh_data.agent where name = ''commander'')'
  when 'schedule' then 'r.agent_id = (select agent_id from mesh_data.agent where name = ''commander'')'
  when 'idempotency' then 'r.sender_agent_id = (select agent_id from mesh_data.agent where name = ''commander'')'
  when 'key' then 'r.kind = ''agent'' and r.mesh_id = (select mesh_id from mesh_data.mesh where name = ''proj'')'
  else 'r.mesh_id = (select mesh_id from mesh_data.mesh where name = ''proj'')' end) as sql from t.sight s;
select is(t.outcome(x.who, c.sql), '42501', format('%s inserts no %s into another mesh', x.who, c.name)) from t.actor x, t.copied c where x.who in ('nobody', 'a ticket', 'an invite', 'bob', 'scout', 'visitor') order by 1;
select is(t.outcome(x.who, c.sql), '42501', format('%s inserts no %s of others in its own mesh', x.who, c.name)) from t.actor x, t.copied c where x.who in ('backend', 'designer', 'carol') and c.name <> 'event' order by 1;
select is(t.outcome('designer', t.copy_of('event', 'r.agent_id = (select agent_id from mesh_data.agent where name = ''commander'')')), '42501', 'nobody writes into the log in the name of another agent')
where exists (select from mesh_data.event where agent_id = (select agent_id from mesh_data.agent where name = 'commander'));
select is(t.outcome('designer', t.copy_of('event', 'r.agent_id is null and r.mesh_id = (select mesh_id from mesh_data.mesh where name = ''proj'')')), '42501', 'nor in the name of nobody');
select is(t.outcome('commander', sql), '42501', 'a managing agent makes no ' || name) from t.copied where name in ('key', 'invite', 'mesh', 'member', 'account', 'session', 'message', 'delivery');

-- Locks: an agent cannot stop the others.
select is(t.outcome(x.who, format('lock table mesh_data.%I in %s mode', s.name, m)), '42501', format('%s does not lock %s in %s mode', x.who, s.name, m))
from t.actor x, t.tables s, unnest(array['row exclusive', 'share', 'access exclusive']) m where x.who in ('alice', 'visitor') order by 1;

select finish();
rollback;
