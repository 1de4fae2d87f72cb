-- Catch up: all an agent needs at the start of a session, small whatever there is.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.up(who text, session uuid default null) returns jsonb language sql volatile as $$
  select t.does(who, 'catch_up', '{}', case who when 'alice' then 'proj' when 'carol' then 'alice/proj' end, session)
$$;
create function t.names(list jsonb, field text) returns text language sql immutable as $$ select string_agg(x ->> field, ' ' order by n) from jsonb_array_elements(list) with ordinality e (x, n) $$;

-- A window opened now, whenever that is.
create function t.arrive(who text, part text default '') returns uuid language plpgsql volatile as $$
declare
  _session_id constant uuid := t.open(who, part, jsonb_build_object('hello', t.signed('identity of ' || who, mesh_lib.now())));
begin
  update mesh_data.session set opened_at = mesh_lib.now() where session_id = _session_id;
  return _session_id;
end
$$;

select is(t.up('backend') - array['peers', 'since'], '{"agent": "backend", "mesh": "proj", "role": null, "unread": {"total": 0, "from": [], "rooms": []}, "tasks": [], "free_tasks": [], "state": [],
  "memories": [], "private_memories": [], "claims": [], "more": null, "next": null}', 'where nothing is there is nothing to know');
select cmp_ok(now() - (t.up('backend') ->> 'since')::timestamptz, '>', interval '23 hours', 'since a day ago, for who was never here');
select is(t.names(t.up('backend') -> 'peers', 'agent'), 'alice carol commander designer tester', 'the others are there');
select is(t.up('backend') #> '{peers,0}', '{"agent": "alice", "kind": "person", "status": "offline", "role": "owner"}', 'each in a few words');
select t.works('everybody may ask: ' || w.who, w.who, 'catch_up', '{}', w.mesh) from (values ('alice', 'proj'), ('carol', 'alice/proj'), ('designer', null), ('commander', null)) w (who, mesh);

-- A busy mesh
select t.does('commander', 'create_room', '{"name": "hall", "members": ["*"]}'), t.does('commander', 'send_message', '{"to": "backend", "message": "x"}'), t.does('commander', 'send_message', '{"to": "backend", "message": "x"}'),
  t.does('designer', 'send_message', '{"to": "#hall", "message": "x"}');
select is(t.up('backend') -> 'unread', '{"total": 3, "from": [{"agent": "commander", "unread": 2}, {"agent": "designer", "unread": 1}], "rooms": [{"room": "#hall", "unread": 1}]}', 'mail is counted, by sender and room');
select is(t.up('backend') ->> 'next', 'mesh inbox', 'and is what comes first');
select is(t.up('designer') #> '{unread,total}', '0', 'each has its own');
select t.does('backend', 'check_messages'), t.does('backend', 'check_messages');
select t.does('commander', 'create_task', x.a::jsonb) from unnest(array['{"title": "free", "priority": "high"}', '{"title": "given", "assignee": "backend"}', '{"title": "blocked", "assignee": "backend", "depends_on": [1]}', '{"title": "theirs", "assignee": "designer"}',
  '{"title": "waits", "depends_on": [1]}', '{"title": "mine"}']) x (a);
select t.does('backend', 'claim_task', '{"task": 6}'), t.does('backend', 'check_messages'), t.does('backend', 'check_messages');
select is(t.up('backend') -> 'tasks', '[{"task": 6, "title": "mine", "status": "claimed"}, {"task": 2, "title": "given", "status": "open"}, {"task": 3, "title": "blocked", "status": "blocked"}]', 'what one has, what was given to one, what waits');
select is(t.up('backend') -> 'free_tasks', '[{"task": 1, "title": "free", "priority": "high"}]', 'and what one may claim');
select is(t.up('designer') -> 'tasks', '[{"task": 4, "title": "theirs", "status": "open"}]', 'others have theirs');
select is(t.up('backend') ->> 'next', 'mesh task show 6', 'with no mail, tasks are next');
select t.does('commander', 'remember', '{"content": "x", "key": "shared one"}'), t.does('commander', 'remember', '{"content": "x"}'), t.does('backend', 'remember', '{"content": "x", "key": "own", "private": true}'),
  t.does('designer', 'remember', '{"content": "x", "key": "secret", "private": true}');
select is(t.up('backend') -> 'memories', '["shared one"]', 'keys of what is shared');
select is(t.up('backend') -> 'private_memories', '["own"]', 'and of its own, no other''s');
select t.does('designer', 'claim_paths', '{"patterns": ["src/**"], "reason": "header", "ttl": 600}'), t.does('backend', 'claim_paths', '{"patterns": ["docs"], "reason": "words", "ttl": 60}');
select is(t.names(t.up('backend') -> 'claims', 'agent'), 'backend designer', 'claims in force, its own first');
select is((t.up('backend') #> '{claims,1}') - 'expires_at', '{"agent": "designer", "patterns": ["src/**"], "reason": "header", "exclusive": true}', 'who, what and why');
select t.pass('2 minutes');
select is(t.names(t.up('backend') -> 'claims', 'agent'), 'designer', 'and no longer');

-- State since one left
select t.does('commander', 'set_state', '{"key": "before", "value": null}');
select t.pass('3 minutes');
select t.arrive('backend');
select t.pass('5 minutes');
select t.does('commander', 'set_state', '{"key": "meanwhile", "value": 1}');
select is(t.names(t.up('backend', t.window('backend')) -> 'state', 'key'), 'meanwhile before', 'in its first window an agent sees all of the last day, the newest first');
select t.does('backend', 'close_session', '{}', null, t.window('backend'));
select t.pass('10 minutes');
select t.does('commander', 'set_state', '{"key": "after", "value": {"a": null}}'), t.does('designer', 'delete_state', '{"key": "before"}');
select t.arrive('backend', ' 2');
select is((select jsonb_agg(s - 'changed_at' order by s ->> 'key') from jsonb_array_elements(t.up('backend', t.window('backend 2')) -> 'state') s),
  '[{"key": "after", "value": {"a": null}, "deleted": false, "version": 1, "by": "commander"}, {"key": "before", "value": null, "deleted": true, "version": 2, "by": "designer"}]', 'later what changed since it closed its window');
select is((t.up('backend', t.window('backend 2')) ->> 'since')::timestamptz, (select ended_at from mesh_data.session where session_id = t.window('backend')), 'which was then');
-- A window that was lost
select t.pass('15 minutes');
select t.presence('backend 2', 'confirm');
select t.pass('20 minutes');
select t.does('commander', 'set_state', '{"key": "lost", "value": 1}');
select t.pass('25 minutes');
select t.arrive('backend', ' 3');
select is(t.names(t.up('backend', t.window('backend 3')) -> 'state', 'key'), 'lost', 'or since its window was last heard of');
select t.pass('3 hours');
select t.presence('backend 3', 'confirm');
select t.pass('10 hours');
select t.arrive('commander'), t.presence('commander', 'confirm');
select t.does('commander', 'set_state', '{"key": "later", "value": 1}');
select t.arrive('backend', ' 4');
select is(t.names(t.up('backend', t.window('backend 4')) -> 'state', 'key'), 'later', 'also where that is long ago');

-- Size
select t.does('commander', 'set_state', jsonb_build_object('key', repeat('ключ', 40) || n, 'value', repeat('д', 1000))) from generate_series(1, 60) n;
select t.does('commander', 'create_task', jsonb_build_object('title', repeat('ц', 190) || n, 'assignee', case when n % 2 = 0 then 'backend' end)) from generate_series(1, 60) n;
select t.does('commander', 'remember', jsonb_build_object('content', 'x', 'key', repeat('ж', 190) || n)), t.does('backend', 'remember', jsonb_build_object('content', 'x', 'key', repeat('ж', 190) || n, 'private', true)) from generate_series(1, 60) n;
insert into mesh_data.agent (mesh_id, member_id, name, role) select a.mesh_id, a.member_id, rpad('peer-' || n || '-', 63, 'x'), repeat('я', 200) from mesh_data.agent a, generate_series(1, 300) n where a.name = 'backend';
insert into mesh_data.activity (agent_id, mesh_id, summary) select a.agent_id, a.mesh_id, repeat('э', 500) from mesh_data.agent a where a.name like 'peer-%';
insert into mesh_data.delivery (message_id, mesh_id, agent_id, sender_agent_id, priority, position)
select mesh_lib.new_id(), b.mesh_id, b.agent_id, a.agent_id, 1, nextval('mesh_data.message_position') from mesh_data.agent a, mesh_data.agent b where a.name like 'peer-%' and b.name = 'backend';
select t.does('commander', 'claim_paths', jsonb_build_object('patterns', array(select repeat('п', 100) || '/' || n || '/' || i from generate_series(1, 9) i), 'reason', repeat('щ', 500))) from generate_series(1, 30) n;
select cmp_ok(octet_length(t.raw(t.token('backend'), 'catch_up', '{}', null, null) ->> 'answer'), '<=', 16384, 'it has at most 16 KiB whatever there is');
select is(array(select jsonb_object_keys(t.up('backend') -> 'more') order by 1), '{claims,free_tasks,memories,peers,private_memories,state,tasks}', 'and says of what there is more');
select is((t.up('backend') #>> '{more,peers}')::int + jsonb_array_length(t.up('backend') -> 'peers'), 305, 'how much');
select is(t.names(t.up('backend') -> 'peers', 'agent') like 'commander %', true, 'who is online comes first');
select is((t.up('backend') #>> '{unread,total}')::bigint, (select count(*) from mesh_data.delivery d join mesh_data.agent a on a.agent_id = d.agent_id
  where a.name = 'backend' and d.state in ('queued', 'delivered')), 'mail is counted whole');
select cmp_ok((t.up('backend') #>> '{unread,total}')::bigint, '>', 300::bigint, 'however much it is');
select is(jsonb_array_length(t.up('backend') #> '{unread,from}'), 8, 'and its first senders named');

-- Strangers
select is(t.up('scout') - array['peers', 'since', 'next', 'unread'], '{"agent": "scout", "mesh": "other", "role": null, "tasks": [], "free_tasks": [], "state": [], "memories": [], "private_memories": [], "claims": [], "more": null}', 'another mesh has nothing of it');
select is(t.names(t.up('visitor') -> 'peers', 'agent'), 'bob scout', 'nor sees who is here');

select finish();
rollback;
