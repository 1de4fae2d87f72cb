-- Groups: who is in them, whom @group reaches. And the other ways to mean an agent: the beginning of its key.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.reached(who text, "to" text) returns text language sql volatile as $$
  select string_agg(r ->> 'agent', ' ' order by r ->> 'agent') from jsonb_array_elements(t.does(who, 'send_message', jsonb_build_object('to', "to", 'message', 'x')) -> 'recipients') r
$$;
create function t.group_of(who text, "group" text) returns jsonb language sql volatile as $$
  select g from jsonb_array_elements(t.does(who, 'list_groups')) g where g ->> 'group' = group_of."group"
$$;

-- Joining
select is(t.does('backend', 'join_group', '{"group": "Web"}'), '{"group": "web", "role": null, "agent": "backend", "next": "mesh peers --group web"}', 'an agent joins a group');
select is(t.does('designer', 'join_group', '{"group": "@web/ui:lead"}') - 'next', '{"group": "web/ui", "role": "lead", "agent": "designer"}', 'a group under another, with its role there');
select is(t.does('designer', 'join_group', '{"group": "web/ui"}') ->> 'role', 'lead', 'joining again leaves the role');
select is(t.does('designer', 'join_group', '{"group": "web/ui:design lead: web"}') ->> 'role', 'design lead: web', 'or changes it');
select is(t.does('designer', 'join_group', '{"group": "web/ui", "role": "lead"}') ->> 'role', 'lead', 'said either way');
select is(t.does('designer', 'join_group', '{"group": "web/ui", "role": ""}') -> 'role', 'null', 'and an empty text removes it');
select t.does('designer', 'join_group', '{"group": "web/ui:lead"}');
select is((select count(*) from mesh_data.group_member m join mesh_data.agent a using (agent_id) where a.name = 'designer'), 1::bigint, 'all of which is one membership');
select is(t.does('commander', 'join_group', '{"group": "website", "agent": "backend"}') ->> 'agent', 'backend', 'a managing agent puts others into groups');
select is(t.does('alice', 'join_group', '{"group": "owners", "agent": "carol"}', 'proj') ->> 'agent', 'carol', 'so does the owner');
select t.refuses('others do not: ' || w, 403, w, 'join_group', '{"group": "web", "agent": "commander"}', case w when 'carol' then 'alice/proj' end) from unnest(array['backend', 'designer', 'carol']) w;
select t.works('but themselves by name', 'backend', 'join_group', '{"group": "web", "agent": "Backend"}');
select t.refuses('an agent that is not there', 404, 'commander', 'join_group', '{"group": "web", "agent": "scout"}');
select t.refuses('no group is called ' || g, 400, 'backend', 'join_group', jsonb_build_object('group', g)) from unnest(array['', '@', 'all', 'web/', '/web', 'web//ui', 'a b', 'deadbeef', 'web/%', ':lead']) g;
select t.refuses('nor this long', 413, 'backend', 'join_group', jsonb_build_object('group', repeat('long/', 50) || 'x'));
select t.refuses('a role is short', 413, 'backend', 'join_group', jsonb_build_object('group', 'web', 'role', repeat('x', 64)));
select t.refuses('and clean', 400, 'backend', 'join_group', jsonb_build_object('group', 'web', 'role', E'a\nb'));
select is((select count(*) from mesh_data.event where kind = 'group_joined' and detail ->> 'group' = 'website'), 1::bigint, 'it is in the log');

-- Whom a group reaches
select is(t.reached('commander', '@web'), 'backend designer', '@web reaches those in web/ui, not those in website');
select is(t.reached('commander', '@Web/UI'), 'designer', '@web/ui only its own');
select is(t.reached('backend', '@web'), 'designer', 'never its sender');
select is(t.does('designer', 'send_message', '{"to": "@web/ui", "message": "x"}') -> 'recipients', '[]', 'alone in a group it is nobody, and no error');
select is(t.reached('commander', '@web, backend, @website'), 'backend designer', 'of several addresses each agent gets one');
select t.does('commander', 'join_group', '{"group": "a_b", "agent": "backend"}'), t.does('commander', 'join_group', '{"group": "axb/c", "agent": "designer"}'), t.does('commander', 'join_group', '{"group": "a-b.c", "agent": "designer"}');
select is(t.reached('commander', '@a_b'), 'backend', 'an underscore is no wildcard');
select is(t.reached('commander', '@a-b.c'), 'designer', 'nor are dashes and dots special');
select t.refuses('nor is this a group: ' || g, 404, 'commander', 'send_message', jsonb_build_object('to', g, 'message', 'x')) from unnest(array['@%', '@a%b', '@', '@we', '@web/u', '@b', '@all']) g;
select is(t.call('commander', 'send_message', '{"to": "@wep", "message": "x"}') #> '{answer,data}', '{"asked": "@wep", "candidates": ["@a-b.c", "@a_b", "@axb", "@axb/c", "@owners", "@web", "@web/ui", "@website"]}', 'the answer names those there are');
select is(t.call('commander', 'send_message', '{"to": "@wep", "message": "x"}') #>> '{answer,hint}', 'mesh group list', 'and where to look');
select is(t.reached('commander', '@axb'), 'designer', 'a group is there because one under it is');
select t.open('backend');
select is((select string_agg((r ->> 'agent') || ' ' || (r ->> 'state'), ', ' order by r ->> 'agent') from jsonb_array_elements(t.does('commander', 'send_message', '{"to": "@web", "message": "both"}') -> 'recipients') r),
  'backend pushed, designer queued', 'those who are offline get it like the others');
select t.does('designer', 'check_messages');
select t.does('commander', 'send_message', '{"to": "@web", "message": "waits"}');
select is(t.take('designer'), 'waits', 'and find it later');
select is(t.does('backend', 'check_messages', '{"peek": true, "limit": 100}') #>> '{messages,-1,to}', '@web', 'a message says that it went to a group');

-- What people see
select is(t.group_of('backend', 'web'), '{"group": "web", "agents": ["backend", "designer"], "joined": true, "role": null, "members": [{"agent": "backend", "role": null, "status": "idle"}]}', 'a group is listed with whom it reaches, and who is in it');
select is(t.group_of('designer', 'web/ui') - 'members', '{"group": "web/ui", "agents": ["designer"], "joined": true, "role": "lead"}', 'and with one''s own role');
select is(t.group_of('designer', 'axb'), '{"group": "axb", "agents": ["designer"], "joined": false, "role": null, "members": []}', 'also one that nobody is in itself');
select is((select string_agg(p ->> 'agent', ' ' order by p ->> 'agent') from jsonb_array_elements(t.does('commander', 'list_peers', '{"group": "web"}')) p), 'backend designer', 'peers can be listed by group');
select is((select p ->> 'groups' from jsonb_array_elements(t.does('commander', 'list_peers')) p where p ->> 'agent' = 'designer'), 'a-b.c, axb/c, web/ui:lead', 'and show their groups');
select is((select p -> 'groups' from jsonb_array_elements(t.does('commander', 'list_peers')) p where p ->> 'agent' = 'tester'), 'null', 'if they are in any');
select t.refuses('peers of a group that is not there', 404, 'commander', 'list_peers', '{"group": "nothing"}');

-- Leaving
select is(t.does('backend', 'leave_group', '{"group": "@WEB"}'), '{"group": "web", "agent": "backend"}', 'an agent leaves');
select t.refuses('leaving twice', 404, 'backend', 'leave_group', '{"group": "web"}');
select is(t.call('designer', 'leave_group', '{"group": "web"}') #> '{answer,data,candidates}', '["a-b.c", "axb/c", "web/ui"]', 'who is under a group is told what to leave');
select is(t.does('commander', 'leave_group', '{"group": "website", "agent": "backend"}') ->> 'agent', 'backend', 'a managing agent takes others out');
select t.refuses('others do not', 403, 'backend', 'leave_group', '{"group": "web/ui", "agent": "designer"}');
select t.refuses('a group that everybody left is gone', 404, 'commander', 'send_message', '{"to": "@website", "message": "x"}');
select is(t.reached('commander', '@web'), 'designer', 'those under it still are');
select t.does('commander', 'remove_agent', '{"agent": "designer"}');
select t.refuses('an agent that was removed is in no group', 404, 'commander', 'send_message', '{"to": "@web", "message": "x"}');
select is(t.group_of('backend', 'web/ui'), null, 'and listed in none');

-- Strangers
select is(t.does('scout', 'list_groups'), '[]', 'another mesh sees no group of ours');
select t.refuses('and reaches none', 404, 'scout', 'send_message', '{"to": "@owners", "message": "x"}');
select t.does('scout', 'join_group', '{"group": "owners"}');
select is(t.reached('commander', '@owners'), 'carol', 'a group of that name over there is another');
select is(t.attempt_as('backend', 'insert into mesh_data.group_member (agent_id, name, mesh_id) select agent_id, ''sly'', mesh_id from mesh_data.agent where name = ''commander'''), '42501', 'nobody writes the groups of others past the calls');
select is(t.attempt_as('scout', format('insert into mesh_data.group_member (agent_id, name, mesh_id) select %L, ''sly'', mesh_id from mesh_data.agent where name = ''scout''', (select agent_id from mesh_data.agent where name = 'commander'))), '23503', 'nor under another mesh''s name');
select is(t.attempt_as('backend', 'insert into mesh_data.group_member (agent_id, name, mesh_id) select agent_id, ''a/b%'', mesh_id from mesh_data.agent where name = ''backend'''), '23514', 'nor a name that is none');

-- A hundred at most
select t.does('backend', 'join_group', jsonb_build_object('group', 'g' || n)) from generate_series(1, 99) n where n > (select count(*) from mesh_data.group_member m join mesh_data.agent a using (agent_id) where a.name = 'backend');
select t.works('a hundred groups', 'backend', 'join_group', '{"group": "last"}');
select t.refuses('and one more', 429, 'backend', 'join_group', '{"group": "more"}');
select t.works('a role in one of them still changes', 'backend', 'join_group', '{"group": "last:x"}');

-- An agent by its key
create function t.key(who text) returns text language sql stable as $$ select encode(identity_key, 'hex') from mesh_data.agent where name = who $$;
select is(t.reached('backend', left(t.key('commander'), 8)), 'commander', 'eight digits of a key are an address');
select is(t.reached('backend', upper(t.key('commander'))), 'commander', 'so is all of it');
select t.refuses('seven are a name', 404, 'backend', 'send_message', jsonb_build_object('to', left(t.key('commander'), 7), 'message', 'x'));
select t.refuses('a key that nobody has', 404, 'backend', 'send_message', '{"to": "0123456789abcdef", "message": "x"}');
select is(t.call('backend', 'send_message', '{"to": "0123456789abcdef", "message": "x"}') #>> '{answer,data,candidates,0,name}', 'alice', 'which names those there are');
select t.refuses('nor one of another mesh', 404, 'backend', 'send_message', jsonb_build_object('to', left(t.key('scout'), 12), 'message', 'x'));
select t.refuses('one''s own', 400, 'backend', 'send_message', jsonb_build_object('to', left(t.key('backend'), 12), 'message', 'x'));
update mesh_data.agent set identity_key = decode(left(t.key('commander'), 16) || repeat('0', 48), 'hex') where name = 'backend' and mesh_id = (select mesh_id from mesh_data.mesh where name = 'proj');
select t.refuses('digits that two keys begin with', 409, 'commander', 'send_message', jsonb_build_object('to', left(t.key('commander'), 16), 'message', 'x'));
select is(t.call('commander', 'send_message', jsonb_build_object('to', left(t.key('commander'), 8), 'message', 'x')) #> '{answer,data,candidates}',
  jsonb_build_array(jsonb_build_object('name', 'backend', 'key', left(t.key('backend'), 12), 'cwd', '/tmp'), jsonb_build_object('name', 'commander', 'key', left(t.key('commander'), 12))), 'name both, by what tells them apart');
select is(t.reached('commander', t.key('backend')), 'backend', 'more digits help');

select finish();
rollback;
