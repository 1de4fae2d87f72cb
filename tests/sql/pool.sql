-- Pools and roles: role:x goes to the first who can take it, or waits for the first to come online.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.agent('alice', 'proj', a, false) from unnest(array['ann', 'ben', 'cat']) a;

-- Who got it, or where it waits
create function t.to(who text, "to" text, message text default 'x', extra jsonb default '{}') returns text language sql volatile as $$
  select coalesce(string_agg((r ->> 'agent') || ' ' || (r ->> 'state'), ', ' order by r ->> 'agent'), 'nobody')
  from jsonb_array_elements(t.does(who, 'send_message', jsonb_build_object('to', "to", 'message', message) || extra) -> 'recipients') r
$$;
create function t.pool(who text, pool text) returns jsonb language sql volatile as $$
  select p - 'created_at' from jsonb_array_elements(t.does(who, 'list_pools')) p where p ->> 'pool' = pool.pool
$$;
create function t.close(who text) returns text language sql volatile as $$ select t.does(who, 'close_session', '{}', null, t.window(who)) ->> 'closed' $$;
create function t.waiting() returns bigint language sql volatile as $$
  select count(*) from mesh_data.delivery d where d.state = 'queued' and not exists (select from mesh_data.agent a where a.agent_id = d.agent_id)
$$;
create function t.role(who text, role text) returns text language sql volatile as $$
  select t.does('commander', 'edit_agent', jsonb_build_object('agent', who, 'role', role)) ->> 'role'
$$;
-- What is sent to all of a role
create function t.broadcast(who text, "to" text) returns text language sql volatile as $$
  select coalesce(string_agg(r ->> 'agent', ' ' order by r ->> 'agent'), 'nobody')
  from jsonb_array_elements(t.does(who, 'broadcast', jsonb_build_object('to', "to", 'message', 'all')) -> 'recipients') r
$$;

-- Making pools
select is(t.does('commander', 'create_pool', '{"name": "Coder", "agents": ["Ben", "ann", "ben"]}'),
  '{"pool": "coder", "agents": ["ben", "ann"], "fallback": "queue", "priority": null, "capabilities": [], "next": "mesh send role:coder \"hello\""}', 'a pool is made, its agents in order, each once');
select is(t.does('alice', 'create_pool', '{"name": "role:oncall", "agents": ["cat", "ann"], "fallback": "Reject", "priority": "Now", "capabilities": ["SQL", " css ", "sql", ""]}', 'proj') - 'next',
  '{"pool": "oncall", "agents": ["cat", "ann"], "fallback": "reject", "priority": "now", "capabilities": ["css", "sql"]}', 'with all it can be said to have');
select t.refuses('a name twice', 409, 'commander', 'create_pool', '{"name": "CODER", "agents": ["ann"]}');
select t.works('in another mesh it is free', 'scout', 'create_pool', '{"name": "coder", "agents": ["scout"]}');
select t.refuses('a pool of nobody', 400, 'commander', 'create_pool', '{"name": "new", "agents": []}');
select t.refuses('of too many', 400, 'commander', 'create_pool', jsonb_build_object('name', 'new', 'agents', array_fill('ann'::text, array[1001])));
select t.refuses('of one who is not there', 404, 'commander', 'create_pool', '{"name": "new", "agents": ["ann", "scout"]}');
select is(t.pool('commander', 'new'), null, 'leaves nothing');
select t.refuses('no fallback is called so', 400, 'commander', 'create_pool', '{"name": "new", "agents": ["ann"], "fallback": "drop"}');
select t.refuses('no priority is called so', 400, 'commander', 'create_pool', '{"name": "new", "agents": ["ann"], "priority": "urgent"}');
select t.refuses('no pool is called ' || n, 400, 'commander', 'create_pool', jsonb_build_object('name', n, 'agents', array['ann'])) from unnest(array['role:', 'all', 'a b', 'deadbeef', '-']) n;
select t.refuses('too many capabilities', 413, 'commander', 'create_pool', jsonb_build_object('name', 'new', 'agents', array['ann'], 'capabilities', (select array_agg('c' || n) from generate_series(1, 51) n)));

-- The first who is online, not dnd, not the sender and does not block it
select is(t.to('commander', 'role:coder', 'one') , 'role:coder queued', 'nobody is online: it waits at the pool');
select t.open('scout'), t.open('ann');
select is(t.take('ann'), 'one', 'for the first to come online');
select is(t.to('commander', 'role:coder', 'two'), 'ann pushed', 'then it goes to whoever is online');
select t.open('ben');
select is(t.to('commander', 'Role: CODER', 'three'), 'ben pushed', 'to the first in order');
select is(t.pool('backend', 'coder'), '{"pool": "coder", "agents": ["ben", "ann"], "online": ["ben", "ann"], "waiting": 0, "fallback": "queue", "priority": null, "capabilities": []}', 'everybody sees who would take it');
select is(t.to('ben', 'role:coder'), 'ann pushed', 'not to its sender');
select t.does('ben', 'set_status', '{"status": "dnd"}');
select is(t.to('commander', 'role:coder'), 'ann pushed', 'not to who does not want to be disturbed');
select is(t.pool('backend', 'coder') -> 'online', '["ann"]', 'who is then not listed as online');
select t.does('ben', 'set_status', '{"status": "working"}');
select is(t.to('commander', 'role:coder'), 'ben queued', 'to who is working, though it waits');
select t.does('ben', 'set_status', '{"status": "idle"}');
select t.presence('ben', 'disconnected');
select is(t.to('commander', 'role:coder'), 'ann pushed', 'not to who is reconnecting');
select t.presence('ben', 'confirm');
insert into mesh_data.block (mesh_id, agent_id, blocked_agent_id) select b.mesh_id, b.agent_id, c.agent_id from mesh_data.agent b, mesh_data.agent c where b.name = 'ben' and c.name = 'commander';
select is(t.to('commander', 'role:coder'), 'ann pushed', 'not to who blocks the sender');
select is(t.to('backend', 'role:coder'), 'ben pushed', 'but from others');
select is(t.to('commander', 'role:coder, ann'), 'ann pushed', 'of several addresses each agent gets one');
delete from mesh_data.block;
select is(t.broadcast('commander', 'role:coder'), 'ann ben', 'a broadcast goes to all of them');
select is(t.broadcast('ann', 'role:coder'), 'ben', 'but its sender');
select t.take('ann', '{"limit": 100}'), t.take('ben', '{"limit": 100}'), t.take('ann'), t.take('ben');

-- Nobody is there
select t.refuses('a pool that rejects', 409, 'commander', 'send_message', '{"to": "role:oncall", "message": "x"}') from (select t.close('ann')) x;
select is(t.call('commander', 'send_message', '{"to": "role:oncall", "message": "x"}') #>> '{answer,message}', 'nobody of role:oncall is online', 'says why');
select is((select string_agg(c ->> 'name', ' ') from jsonb_array_elements(t.call('commander', 'send_message', '{"to": "role:oncall", "message": "x"}') #> '{answer,data,candidates}') c), 'ann cat', 'and who could have it');
select is(t.to('ben', 'role:coder', 'mine'), 'role:coder queued', 'when only its sender is there it waits, too');
select t.presence('ben', 'confirm');
select is(t.waiting(), 1::bigint, 'and its sender never takes it');
select t.refuses('a role that nobody has', 404, 'commander', 'send_message', '{"to": "role:codr", "message": "x"}');
select is(t.call('commander', 'send_message', '{"to": "role:codr", "message": "x"}') #> '{answer,data}', '{"asked": "role:codr", "candidates": ["role:coder", "role:oncall", "role:owner"]}', 'the answer names those there are');
select t.refuses('nor no role', 404, 'commander', 'send_message', '{"to": "role:", "message": "x"}');

-- What the sender sees of mail that waits, and when it is taken
select t.does('commander', 'send_message', '{"to": "role:coder", "message": "later"}') as sent from (select t.close('ben')) x \gset
select is(:'sent'::jsonb #>> '{recipients,0,waits_for}', 'nobody of this role is online', 'the answer says why it waits');
select is(t.does('commander', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id')) #>> '{0,agent}', 'role:coder', 'so does its status');
select is(t.does('commander', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id')) #>> '{0,waits_for}', 'nobody of this role is online', 'and for whom');
select is(t.pool('backend', 'coder') -> 'waiting', '2', 'the pool shows how much waits');
select is(t.does('backend', 'mesh_info') ->> 'backlog', (select count(*)::text from mesh_data.delivery d join mesh_data.mesh m using (mesh_id) where m.name = 'proj' and d.state in ('queued', 'delivered')), 'the backlog of the mesh counts it');
select t.refuses('nobody acknowledges it meanwhile: ' || w, 404, w, 'ack_messages', jsonb_build_object('message_ids', array[:'sent'::jsonb ->> 'message_id'])) from unnest(array['ann', 'ben', 'commander']) w;
select t.refuses('nor sees it', 404, 'ann', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id'));
select t.open('cat');
select is(t.waiting(), 2::bigint, 'who is not in the pool takes nothing');
select is(t.does('ann', 'open_session', t.opening('ann', ' 2')) ->> 'unread', '2', 'who is in it and comes online is told of it');
select t.open('ann', ' 2');
select is(t.texts(t.mail('ann 2')), 'mine later', 'and shown it in order');
select is(t.does('commander', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb ->> 'message_id')) #>> '{0,agent}', 'ann', 'its sender sees who has it');
select t.open('ben', ' 2');
select is(t.take('ben'), '', 'the next to come gets nothing');
select is(t.take('ann'), 'mine later', 'it was given once');
select t.take('ann');
select t.does('ann', 'set_status', '{"status": "dnd"}'), t.does('ben', 'set_status', '{"status": "dnd"}');
select is(t.to('commander', 'role:coder', 'shh'), 'role:coder queued', 'with all in dnd it waits');
select t.presence('ann 2', 'confirm'), t.presence('ben 2', 'confirm');
select is(t.waiting(), 1::bigint, 'while they are');
select t.does('ben', 'set_status', '{"status": "idle"}');
select is(t.texts(t.mail('ben 2')), 'shh', 'and is shown at once to the first who may be disturbed again');
select is(t.take('ben'), 'shh', 'who takes it');
select t.take('ben'), t.does('ben', 'set_status', '{"status": "dnd"}'), t.to('commander', 'role:coder', 'then working');
select t.does('ben', 'set_status', '{"status": "working"}');
select is(t.take('ben'), 'then working', 'who works is given it, too');
select t.take('ben'), t.does('ben', 'set_status', '{"status": "dnd"}'), t.to('commander', 'role:coder', 'away'), t.presence('ben 2', 'disconnected');
select t.does('ben', 'set_status', '{"status": "idle"}');
select is(t.waiting(), 1::bigint, 'not to who says so without a window');
select t.presence('ben 2', 'confirm');
select is(t.take('ben'), 'away', 'until there is one');
select t.take('ben'), t.does('ben', 'set_status', '{"status": "dnd"}'), t.to('commander', 'role:coder', 'with reason');
insert into mesh_data.delivery (message_id, mesh_id, agent_id, sender_agent_id, position)
  select d.message_id, d.mesh_id, mesh_lib.pool_id(d.mesh_id, 'role:oncall'), d.sender_agent_id, d.position from mesh_data.delivery d join mesh_data.message m using (message_id) where m.body = 'with reason';
select t.does('commander', 'edit_pool', '{"name": "oncall", "agents": ["ann", "ben"]}');
select t.does('ben', 'set_status', '{"status": "idle"}');
select is(t.take('ben'), 'with reason', 'what waits at two pools of one agent is given to it once');
select is(t.waiting(), 1::bigint, 'and waits at the other still');
delete from mesh_data.delivery where agent_id >= mesh_lib.first_pool_id();
select t.does('commander', 'edit_pool', '{"name": "oncall", "agents": ["cat", "ann"]}'), t.take('ben');
select t.does('ann', 'set_status', '{"status": "idle"}');
select is(t.to('commander', 'role:coder', 'dup', '{"key": "k"}'), 'ben pushed', 'a send with a key');
select is(t.does('commander', 'send_message', '{"to": "role:coder", "message": "dup", "key": "k"}') ->> 'duplicate', 'true', 'repeated');
select is((select count(*) from mesh_data.delivery d join mesh_data.message m using (message_id) where m.body = 'dup'), 1::bigint, 'is given to nobody else');

-- Who no longer blocks the sender takes what waits
select t.does('ann', 'block_agent', '{"agent": "commander"}'), t.does('ann', 'block_agent', '{"agent": "backend"}'), t.presence('ben 2', 'disconnected');
select is(t.to('commander', 'role:coder', 'unblocked'), 'role:coder queued', 'all who are there block the sender');
select t.does('ann', 'unblock_agent', '{"agent": "backend"}');
select is(t.waiting(), 1::bigint, 'another block that is lifted changes nothing');
select t.does('ann', 'unblock_agent', '{"agent": "commander"}');
select is(t.take('ann', '{"limit": 100}') like '%unblocked', true, 'who blocks it no more is given its mail at once');
select t.take('ann'), t.presence('ben 2', 'confirm');

-- Skipped in the handover: one's own, who is blocked, what one has already, what does not fit
select t.take('ann', '{"limit": 100}'), t.take('ben', '{"limit": 100}'), t.take('ann'), t.take('ben');
select t.pass('5 minutes');
select t.to('commander', 'role:coder', 'blocked'), t.to('backend', 'role:coder, ann', 'both'), t.to('ann', 'role:coder', 'own'), t.to('backend', 'role:coder', 'fits'), t.to('backend', 'role:coder', 'does not');
create or replace function mesh_lib.inbox_limit() returns integer language sql immutable set search_path = '' as 'select 2';
insert into mesh_data.block (mesh_id, agent_id, blocked_agent_id) select b.mesh_id, b.agent_id, c.agent_id from mesh_data.agent b, mesh_data.agent c where b.name = 'ann' and c.name = 'commander';
select t.presence('ann 2', 'confirm');
select is(t.take('ann'), 'both fits', 'who comes first takes what is for it');
create or replace function mesh_lib.inbox_limit() returns integer language sql immutable set search_path = '' as 'select 10000';
select is(t.waiting(), 4::bigint, 'and leaves the rest');
select t.presence('ben 2', 'confirm');
select is(t.take('ben'), 'blocked both own does not', 'to who comes next');
delete from mesh_data.block;
select t.take('ann'), t.take('ben');

-- Two who come in one report: the first in order takes it
select t.pass('10 minutes');
select t.to('commander', 'role:coder', 'report');
select t.attempt('mesh_relay', format('select mesh_lib.confirm(%L::uuid[], %L::text[], null)', array_agg(s.session_id order by s.who), array_agg(s.push_secret order by s.who))) from t.session s where s.who in ('ann 2', 'ben 2');
select is(t.take('ben') || t.take('ann'), 'report', 'of two in one report one takes it');
select is((select a.name from mesh_data.delivery d join mesh_data.message m using (message_id) join mesh_data.agent a on a.agent_id = d.agent_id where m.body = 'report'), 'ben', 'the first in the pool''s order');
select t.take('ben'), t.take('ann');
select is(t.attempt('mesh_relay', 'select mesh_lib.confirm(''{}'', ''{}'', null)'), '', 'a report of nobody is fine');

-- Mail that has expired or is not due is not given
select t.pass('20 minutes');
select t.to('commander', 'role:coder', 'short', '{"expires_in": 60}');
select t.pass('30 minutes');
select t.presence('ann 2', 'confirm');
select is(t.waiting(), 1::bigint, 'what has expired is not given');
select is(t.pool('ann', 'coder') -> 'waiting', '0', 'nor counted as waiting');
delete from mesh_data.delivery where agent_id >= mesh_lib.first_pool_id();

-- Editing
select is(t.to('commander', 'role:coder', 'editing') , 'ann pushed', 'ann alone is online');
select is(t.does('commander', 'edit_pool', '{"name": "role:Coder", "agents": ["cat", "ben"]}'), '{"pool": "coder", "agents": ["cat", "ben"], "fallback": "queue", "priority": null, "capabilities": []}', 'agents are replaced, the rest stays');
select is(t.to('commander', 'role:coder', 'edited'), 'role:coder queued', 'who is no longer in it gets nothing');
select t.presence('ann 2', 'confirm');
select is(t.waiting(), 1::bigint, 'also of what waits');
select is(t.does('commander', 'edit_pool', '{"name": "coder", "agents": ["cat", "ben", "ann"], "priority": "low", "capabilities": ["rust"]}') - 'agents', '{"pool": "coder", "fallback": "queue", "priority": "low", "capabilities": ["rust"]}', 'the rest is edited');
select is(t.take('ann'), 'editing edited', 'an agent put into the pool takes what waits at once');
select is(t.does('commander', 'edit_pool', '{"name": "coder", "fallback": "reject", "priority": "", "capabilities": []}') - 'agents', '{"pool": "coder", "fallback": "reject", "priority": null, "capabilities": []}', 'an empty text removes');
select is(t.pool('ann', 'coder') -> 'agents', '["cat", "ben", "ann"]', 'what is left out stays');
select t.refuses('a pool that is not there', 404, 'commander', 'edit_pool', '{"name": "codr"}');
select is(t.call('commander', 'edit_pool', '{"name": "codr"}') #> '{answer,data}', '{"asked": "codr", "candidates": ["coder", "oncall"]}', 'names those there are');
select t.refuses('an edit that is wrong: ' || e, 400, 'commander', 'edit_pool', '{"name": "coder"}' || e::jsonb) from unnest(array['{"agents": []}', '{"fallback": "x"}', '{"priority": "x"}']) e;
select t.refuses('nor an agent that is not there', 404, 'commander', 'edit_pool', '{"name": "coder", "agents": ["scout"]}');
select is(t.pool('ann', 'coder') -> 'agents', '["cat", "ben", "ann"]', 'which changes nothing');
select t.does('commander', 'remove_agent', '{"agent": "cat"}');
select is(t.pool('ann', 'coder') -> 'agents', '["ben", "ann"]', 'an agent that was removed is in no pool');

-- Priority
select t.does('commander', 'edit_pool', '{"name": "coder", "fallback": "queue", "priority": "now"}');
create function t.priority_of(message text) returns text language sql stable as $$ select m.priority || ' ' || min(d.priority) from mesh_data.message m join mesh_data.delivery d using (message_id) where m.body = message group by m.priority $$;
select t.to('commander', 'role:coder', 'p1'), t.to('commander', 'role:coder', 'p2', '{"priority": "low"}'), t.to('commander', 'role:coder, commander', 'p3'), t.to('commander', 'ann', 'p4');
select is(t.priority_of('p1'), '0 0', 'mail to a pool has the pool''s priority');
select is(t.priority_of('p2'), '2 2', 'if it names none');
select is(t.priority_of('p3'), '1 1', 'and goes to nobody else');
select is(t.priority_of('p4'), '1 1', 'other mail is as it was');

-- Roles without a pool
select t.take('ann', '{"limit": 100}'), t.take('ann'), t.take('ben'), t.take('ben');
select t.role('ann', 'Code Review'), t.role('ben', 'code review'), t.role('backend', 'code reviewer');
select is(t.to('commander', 'role: Code Review', 'r1'), 'ann pushed', 'a role is a pool of those who have it, by name');
select t.presence('ben 2', 'confirm');
select t.does('ann', 'set_status', '{"status": "dnd"}');
select is(t.to('commander', 'role:code review', 'r2'), 'ben pushed', 'the same rules hold');
select is(t.broadcast('commander', 'role:code review'), 'ann ben', 'a broadcast goes to all who have exactly it');
select t.does('ben', 'set_status', '{"status": "dnd"}');
select is(t.to('commander', 'role:code review', 'r3'), 'role:code review queued', 'mail waits for a role that is no pool');
select t.role('ann', 'idle'), t.role('ben', null);
select is(t.waiting(), 1::bigint, 'waiting');
select t.does('commander', 'edit_agent', '{"agent": "ben", "role": ""}');
select t.refuses('a role nobody has any more', 404, 'commander', 'send_message', '{"to": "role:code review", "message": "x"}');
select t.does('ann', 'set_status', '{"status": "idle"}');
select t.presence('ann 2', 'confirm');
select is(t.waiting(), 1::bigint, 'is not who was in it');
select t.role('ann', 'CODE REVIEW');
select is(t.take('ann', '{"limit": 100}') like '%r3', true, 'an agent that is given the role takes what waits at once');
select t.take('ann');
select t.does('ann', 'set_status', '{"status": "dnd"}'), t.to('commander', 'role:code review', 'r4'), t.role('ann', 'none'), t.does('ann', 'set_status', '{"status": "idle"}');
select t.does('ann', 'set_profile', '{"about": "reads"}');
select is(t.waiting(), 1::bigint, 'a profile without the role takes nothing');
select t.does('ann', 'set_profile', '{"role": "code review"}');
select is(t.take('ann'), 'r4', 'so does who takes the role itself');
select t.take('ann');
select t.role('ann', 'api, web');
select is((select r ->> 'agent' from jsonb_array_elements(t.does('commander', 'send_message', '{"to": ["role:api, web"], "message": "comma"}') -> 'recipients') r), 'ann', 'a role may hold a comma, in a list');
select t.does('ann', 'set_status', '{"status": "dnd"}');
select is((select r ->> 'agent' from jsonb_array_elements(t.does('commander', 'send_message', '{"to": ["role:api, web"], "message": "comma"}') -> 'recipients') r), 'role:api, web', 'and is named where mail waits');
select t.does('ann', 'set_status', '{"status": "idle"}');

-- A pool made, and deleted, while mail waits
select t.role('ann', 'tester'), t.does('ann', 'set_status', '{"status": "dnd"}');
select is(t.to('commander', 'role:tester', 'w1'), 'role:tester queued', 'mail waits for a role');
select t.does('commander', 'create_pool', '{"name": "tester", "agents": ["backend"]}');
select is(t.pool('ann', 'tester') -> 'waiting', '1', 'a pool of that name made later finds it');
select t.does('ann', 'set_status', '{"status": "idle"}'), t.presence('ann 2', 'confirm');
select is(t.pool('ann', 'tester') -> 'waiting', '1', 'who has the role but is not in the pool does not take it');
select t.to('commander', 'role:tester', 'w2');
select t.does('ann', 'set_status', '{"status": "dnd"}');
select is(t.does('commander', 'delete_pool', '{"name": "Tester"}'), '{"deleted": "tester", "waiting": 2}', 'a pool is deleted, and its mail waits');
select t.does('commander', 'create_pool', '{"name": "tester", "agents": ["backend"]}'), t.does('ann', 'set_status', '{"status": "idle"}');
select is(t.does('commander', 'delete_pool', '{"name": "Tester"}'), '{"deleted": "tester", "waiting": 0}', 'where somebody who has the role is there, it waits no more');
select is(t.take('ann', '{"limit": 100}') like '%w1 w2', true, 'and is taken at once');
select t.take('ann'), t.does('ann', 'set_status', '{"status": "dnd"}'), t.role('backend', 'designer'), t.to('commander', 'role:tester', 'w3'), t.role('ann', 'none'), t.does('ann', 'set_status', '{"status": "idle"}');
select t.does('commander', 'create_pool', '{"name": "tester", "agents": ["backend", "ann"]}');
select is(t.take('ann'), 'w3', 'a new pool''s agents take what waits, too');
select t.does('commander', 'delete_pool', '{"name": "tester"}'), t.take('ann');
select t.refuses('deleting it again', 404, 'commander', 'delete_pool', '{"name": "tester"}');
select is((select string_agg(e.kind, ' ' order by e.event_id) from mesh_data.event e where e.detail ->> 'pool' = 'tester'), 'pool_created pool_deleted pool_created pool_deleted pool_created pool_deleted', 'it is in the log');

-- People have no windows
select is(t.to('commander', 'role:owner', 'x'), 'alice queued', 'where only people have a role the first of them gets it');
select t.does('commander', 'create_pool', '{"name": "owner", "agents": ["carol", "backend"]}');
select is(t.to('commander', 'role:owner', 'x'), 'role:owner queued', 'else it waits for an agent');
select is(t.broadcast('commander', 'role:owner'), 'backend carol', 'a broadcast reaches them like others');

-- A full pool
create or replace function mesh_lib.inbox_limit() returns integer language sql immutable set search_path = '' as 'select 3';
select t.to('commander', 'role:owner', 'x'), t.to('commander', 'role:owner', 'x');
select t.refuses('a pool where too much waits refuses like an inbox', 429, 'commander', 'send_message', '{"to": "role:owner", "message": "x"}');
create or replace function mesh_lib.inbox_limit() returns integer language sql immutable set search_path = '' as 'select 10000';

-- Strangers
select is((select string_agg(p ->> 'pool', ' ') from jsonb_array_elements(t.does('scout', 'list_pools')) p), 'coder', 'another mesh lists its own');
select is(t.pool('scout', 'coder') -> 'agents', '["scout"]', 'also where the name is the same');
select is(t.to('visitor', 'role:coder', 'theirs'), 'role:coder queued', 'and reaches its own');
select t.refuses('not ours', 404, 'scout', 'send_message', '{"to": "role:oncall", "message": "x"}');
select t.refuses('nor changes ours', 404, 'scout', 'edit_pool', '{"name": "oncall", "fallback": "queue"}');
select t.refuses('or deletes them', 404, 'scout', 'delete_pool', '{"name": "oncall"}');
select t.refuses('or puts our agents into its own', 404, 'scout', 'edit_pool', '{"name": "coder", "agents": ["ann"]}');
select t.presence('ann 2', 'confirm'), t.presence('ben 2', 'confirm');
select is((select count(*) from mesh_data.delivery d join mesh_data.message m using (message_id) where m.body = 'theirs' and d.agent_id = mesh_lib.pool_id(m.mesh_id, 'role:coder')), 1::bigint, 'nobody of ours takes what waits there');
select t.presence('scout', 'confirm');
select is(t.take('scout'), 'theirs', 'scout does');
select is(t.attempt_as('designer', format('select mesh_lib.waiting_at(%L)', mesh_lib.pool_id((select mesh_id from mesh_data.mesh where name = 'other'), 'role:coder'))), '0', 'how much waits elsewhere is no business of ours');
select t.does('ann', 'set_status', '{"status": "dnd"}'), t.does('ben', 'set_status', '{"status": "dnd"}'), t.to('commander', 'role:coder', 'ours');
update mesh_data.activity v set status = 'idle' from mesh_data.agent a where a.agent_id = v.agent_id and a.name in ('ann', 'ben');
select t.attempt_as('scout', format('select mesh_lib.take_waiting(%L)', array(select agent_id from mesh_data.agent where name in ('ann', 'ben'))));
select is(t.pool('ann', 'coder') -> 'waiting', '1', 'nobody of another mesh has what waits here handed over');
select t.attempt_as('designer', format('select mesh_lib.take_waiting(%L)', array(select agent_id from mesh_data.agent where name in ('ann', 'ben'))));
select is(t.pool('ann', 'coder') -> 'waiting', '0', 'who is in this mesh may');
select t.does('alice', 'delete_mesh', '{"confirm": "proj"}', 'proj');
select is(t.waiting(), 0::bigint, 'a mesh that is deleted takes what waits with it');

select finish();
rollback;
