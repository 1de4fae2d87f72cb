-- Who may call what: every call, by everybody. A call missing here fails the first test.
begin;
\ir helpers.psql
select no_plan();
select t.world();
select t.send('alice', '*', 'to all');
select t.send('backend', 'alice', 'to the owner');
select t.furnish();
select t.seal_rows();
select t.attempt('mesh_admin', 'select mesh.allow_signup(true)');

create table t.right (function text primary key, alice int, commander int, backend int, designer int, carol int, ticket int, invite int, nobody int);
insert into t.right values
  -- call              owner  manager  agent  guest  member  ticket  invite  nobody
  ('ack_messages',       200,     200,   200,   200,    200,    403,    403,    401),
  ('block_agent',        200,     200,   200,   200,    200,    403,    403,    401),
  ('ask_agent',          200,     200,   200,   200,    200,    403,    403,    401),
  ('broadcast',          200,     200,   200,   200,    200,    403,    403,    401),
  ('cancel_scheduled',   200,     200,   200,   200,    200,    403,    403,    401),
  ('catch_up',           200,     200,   200,   200,    200,    403,    403,    401),
  ('check_messages',     200,     200,   200,   200,    200,    403,    403,    401),
  ('claim_paths',        200,     200,   200,   200,    200,    403,    403,    401),
  ('claim_task',         200,     200,   200,   200,    200,    403,    403,    401),
  ('close_room',         200,     200,   403,   403,    403,    403,    403,    401),
  ('close_session',      200,     200,   200,   200,    200,    403,    403,    401),
  ('complete_task',      200,     200,   200,   200,    200,    403,    403,    401),
  ('create_agent',       200,     200,   403,   403,    403,    403,    403,    401),
  ('create_agent_key',   200,     403,   403,   403,    403,    403,    403,    401),
  ('create_invite',      200,     403,   403,   403,    403,    403,    403,    401),
  ('create_mesh',        200,     403,   403,   403,    200,    403,    403,    401),
  ('create_pool',        200,     200,   403,   403,    403,    403,    403,    401),
  ('create_room',        200,     200,   200,   200,    200,    403,    403,    401),
  ('create_task',        200,     200,   200,   200,    200,    403,    403,    401),
  ('delete_account',     409,     403,   403,   403,    200,    403,    403,    401),
  ('delete_mesh',        200,     403,   403,   403,    403,    403,    403,    401),
  ('delete_pool',          200,     200,   403,   403,    403,    403,    403,    401),
  ('delete_state',       200,     200,   200,   200,    200,    403,    403,    401),
  ('edit_agent',         200,     200,   403,   403,    403,    403,    403,    401),
  ('edit_memory',        200,     200,   403,   403,    403,    403,    403,    401),
  ('edit_pool',            200,     200,   403,   403,    403,    403,    403,    401),
  ('fail_task',          200,     200,   200,   200,    200,    403,    403,    401),
  ('get_task',           200,     200,   200,   200,    200,    403,    403,    401),
  ('forget',             200,     200,   200,   200,    200,    403,    403,    401),
  ('join_group',           200,     200,   200,   200,    200,    403,    403,    401),
  ('leave_group',          200,     200,   200,   200,    200,    403,    403,    401),
  ('done',               200,     200,   200,   200,    200,    403,    403,    401),
  ('get_agent_status',   200,     200,   200,   200,    200,    403,    403,    401),
  ('edit_room',          200,     200,   403,   403,    403,    403,    403,    401),
  ('get_state',          200,     200,   200,   200,    200,    403,    403,    401),
  ('give_floor',         403,     200,   403,   403,    403,    403,    403,    401),
  ('invite_to_room',     200,     200,   200,   200,    200,    403,    403,    401),
  ('join_room',          200,     200,   200,   200,    200,    403,    403,    401),
  ('leave_mesh',         409,     409,   409,   200,    200,    403,    403,    401),
  ('leave_room',         200,     409,   200,   200,    200,    403,    403,    401),
  ('list_agents',        200,     200,   200,   200,    200,    403,    403,    401),
  ('list_claims',        200,     200,   200,   200,    200,    403,    403,    401),
  ('list_events',        200,     200,   200,   200,    200,    403,    403,    401),
  ('list_groups',          200,     200,   200,   200,    200,    403,    403,    401),
  ('get_message',        200,     200,   200,   200,    200,    403,    403,    401),
  ('list_blocks',        200,     200,   200,   200,    200,    403,    403,    401),
  ('list_dead_messages',  200,     200,   200,   200,    200,    403,    403,    401),
  ('list_invites',       200,     403,   403,   403,    200,    403,    403,    401),
  ('list_keys',          200,     403,   403,   403,    200,    403,    403,    401),
  ('list_members',       200,     200,   200,   200,    200,    403,    403,    401),
  ('list_messages',      200,     200,   200,   200,    200,    403,    403,    401),
  ('list_meshes',        200,     200,   200,   200,    200,    200,    200,    401),
  ('list_peers',         200,     200,   200,   200,    200,    403,    403,    401),
  ('list_pools',           200,     200,   200,   200,    200,    403,    403,    401),
  ('list_scheduled',     200,     200,   200,   200,    200,    403,    403,    401),
  ('list_rooms',         200,     200,   200,   200,    200,    403,    403,    401),
  ('list_state',         200,     200,   200,   200,    200,    403,    403,    401),
  ('list_tasks',         200,     200,   200,   200,    200,    403,    403,    401),
  ('mesh_info',          200,     200,   200,   200,    200,    403,    403,    401),
  ('message_status',     200,     200,   200,   200,    200,    403,    403,    401),
  ('open_session',       403,     200,   200,   200,    403,    403,    403,    401),
  ('redeem_invite',      403,     403,   403,   403,    403,    403,    200,    401),
  ('redeem_ticket',      403,     403,   403,   403,    403,    200,    403,    401),
  ('release_claim',      200,     200,   200,   200,    200,    403,    403,    401),
  ('release_messages',   200,     200,   200,   200,    200,    403,    403,    401),
  ('release_task',       200,     200,   200,   200,    200,    403,    403,    401),
  ('recall',             200,     200,   200,   200,    200,    403,    403,    401),
  ('remember',           200,     200,   200,   200,    200,    403,    403,    401),
  ('remove_agent',       200,     200,   403,   403,    403,    403,    403,    401),
  ('rename_mesh',        200,     403,   403,   403,    403,    403,    403,    401),
  ('renew_claim',        200,     200,   200,   200,    200,    403,    403,    401),
  ('report_tool',        200,     200,   200,   200,    200,    403,    403,    401),
  ('retry_message',      409,     409,   409,   409,    409,    403,    403,    401),
  ('reply',              200,     200,   200,   200,    200,    403,    403,    401),
  ('revoke_invite',      200,     403,   403,   403,    404,    403,    403,    401),
  ('revoke_key',         200,     403,   403,   403,    404,    403,    403,    401),
  ('revoke_member',      200,     403,   403,   403,    403,    403,    403,    401),
  ('schedule_message',   200,     200,   200,   200,    200,    403,    403,    401),
  ('room_history',       200,     200,   200,   200,    200,    403,    403,    401),
  ('scratchpad_set',     200,     200,   200,   200,    200,    403,    403,    401),
  ('send_message',       200,     200,   200,   200,    200,    403,    403,    401),
  ('set_profile',        200,     200,   200,   200,    200,    403,    403,    401),
  ('set_state',          200,     200,   200,   200,    200,    403,    403,    401),
  ('set_status',         200,     200,   200,   200,    200,    403,    403,    401),
  ('set_summary',        200,     200,   200,   200,    200,    403,    403,    401),
  ('signup',             200,     200,   200,   200,    200,    200,    200,    200),
  ('tail',               200,     200,   403,   403,    403,    403,    403,    401),
  ('transfer_mesh',      200,     403,   403,   403,    403,    403,    403,    401),
  ('unblock_agent',      404,     404,   404,   404,    404,    403,    403,    401),
  ('update_task',        200,     200,   200,   200,    200,    403,    403,    401),
  ('verify_events',      200,     200,   403,   403,    403,    403,    403,    401),
  ('wait',               200,     200,   200,   200,    200,    403,    403,    401),
  ('get_wrapped_identity', 200,   403,   403,   403,    403,    403,    403,    401),
  ('grant_key',          200,     200,   200,   200,    200,    403,    403,    401),
  ('keep_identity',      200,     403,   403,   403,    403,    403,    403,    401),
  ('list_identities',    200,     200,   200,   200,    200,    403,    403,    401),
  ('list_key_requests',  200,     200,   200,   200,    200,    403,    403,    401),
  ('report_unopened',    200,     200,   200,   200,    200,    403,    403,    401),
  ('request_keys',       200,     200,   200,   200,    200,    403,    403,    401),
  ('retry_unopened',     200,     200,   200,   200,    200,    403,    403,    401),
  ('set_mode',           200,     403,   403,   403,    403,    403,    403,    401),
  ('whoami',             200,     200,   200,   200,    200,    200,    200,    401);

select set_eq('select name from mesh_lib.callable', 'select function from t.right', 'every call is in the table of rights');

select case when e.status::integer = 200
  then is(t.tried(w.who, r.function, w.mesh) ->> 'status', '200', w.what || ' may call ' || r.function)
  else t.is_refusal(t.tried(w.who, r.function, w.mesh), e.status::integer, w.what || ' is refused ' || r.function) end
from t.right r, jsonb_each_text(to_jsonb(r) - 'function') e (who, status)
join (values ('alice', 'alice', 'alice/proj', 'the owner'), ('commander', 'commander', 'proj', 'a managing agent'), ('backend', 'backend', null, 'a plain agent'),
    ('designer', 'designer', null, 'a guest'), ('carol', 'carol', 'alice/proj', 'a member with an account'), ('ticket', 'dave''s ticket', null, 'a ticket'),
    ('invite', 'the open invite', null, 'an invite'), ('nobody', null, null, 'nobody')) w (key, who, mesh, what) on w.key = e.who
order by r.function, w.what;

-- The mesh does not exist for those who are not in it, whatever they call.
select t.is_refusal(t.tried(w.who, r.function, w.mesh), 404, w.what || ' does not find the mesh with ' || r.function)
from t.right r, (values ('bob', 'alice/proj', 'the owner of another mesh'), ('bob', 'proj', 'the owner of another mesh, by its bare name'),
  ('scout', 'alice/proj', 'an agent of another mesh'), ('visitor', 'proj', 'a guest of another mesh')) w (who, mesh, what)
order by r.function, w.what;
select t.is_refusal(t.tried(w.who, r.function, (select m.mesh_id::text from mesh_data.mesh m where m.name = 'proj')), 404, w.who || ' does not find it by its id with ' || r.function)
from t.right r, unnest(array['bob', 'visitor']) w (who) order by r.function, w.who;
select is(t.call('bob', 'mesh_info', '{}', 'alice/proj') #>> '{answer,message}', replace(t.call('bob', 'mesh_info', '{}', 'alice/nothing') #>> '{answer,message}', 'nothing', 'proj'),
  'a mesh one is not in and a mesh that is not there get the same answer');

-- In their own mesh, things of ours do not exist either.
select t.is_refusal(t.tried(w.who, f.function, null, coalesce(f.arguments, t.fitting('commander', f.function))), 404, w.who || ' does not find what is ours with ' || f.function)
from (values ('bob'), ('scout')) w (who), (values ('ack_messages', null::jsonb), ('message_status', null), ('edit_agent', null), ('edit_memory', null), ('forget', null), ('remove_agent', null),
  ('edit_pool', null), ('delete_pool', null), ('leave_group', null), ('list_peers', '{"group": "everybody"}'), ('send_message', '{"to": "@everybody", "message": "x"}'), ('send_message', '{"to": "role:ours", "message": "x"}'),
  ('send_message', '{"to": "designer", "message": "x"}'::jsonb), ('revoke_invite', null), ('revoke_key', null), ('revoke_member', null),
  ('close_room', null), ('edit_room', null), ('give_floor', null), ('invite_to_room', null), ('join_room', null), ('leave_room', null), ('room_history', null),
  ('claim_task', null), ('complete_task', null), ('fail_task', null), ('get_task', null), ('release_claim', null), ('release_task', null), ('renew_claim', null), ('update_task', null),
  ('delete_state', null), ('get_state', null)) f (function, arguments)
where not (w.who = 'scout' and f.function like 'revoke%');
select t.is_refusal(t.tried('bob', 'revoke_member', null, jsonb_build_object('member', (select member_id from mesh_data.member where display_name = 'Designer'))), 404, 'nor a member by its id');
select is(t.call('visitor', 'list_agents') -> 'answer' @> '[{"agent": "designer"}]', false, 'a guest of another mesh lists its own agents');
select is((select count(*) from jsonb_array_elements(t.does('visitor', 'list_meshes'))), 1::bigint, 'a guest sees one mesh');
select is(t.does('visitor', 'list_meshes') #>> '{0,mesh}', 'other', 'its own');
select is(t.does('dave''s ticket', 'list_meshes') || t.does('the open invite', 'list_meshes'), '[]', 'a ticket and an invite see none');
select is(t.does('carol', 'list_invites', '{}', 'alice/proj'), '[]', 'a member sees no invites');
select is((select count(*) from jsonb_array_elements(t.does('carol', 'list_keys')) k where k ->> 'kind' = 'agent'), 0::bigint, 'a member sees no keys but its own');

-- Keys that are no good
select t.refuses('a revoked key is refused ' || r.function, 401, 'gone', r.function, '{}') from t.right r order by 1;
select t.refuses('an unknown key is refused ' || r.function, 401, 'mallory', r.function, '{}') from t.right r order by 1;
select is(t.call('gone', 'whoami') #>> '{answer,message}', 'this key was revoked', 'a revoked key is told so');
select is(t.call('mallory', 'whoami') #>> '{answer,message}', 'this key is not known here', 'an unknown key is told so');
select is(t.call('mallory', 'whoami') -> 'caller', 'null', 'no caller is named when sign-in failed');
select t.is_refusal(t.raw('', 'whoami', '{}', null, null), 401, 'an empty bearer is no bearer');
select t.is_refusal(t.raw(t.secret('alice') ->> 'verifier', 'whoami', '{}', null, null), 401, 'the stored verifier is no bearer');

-- With signup closed nobody makes an account
select t.attempt('mesh_admin', 'select mesh.allow_signup(false)');
select t.is_refusal(t.tried(w, 'signup', null), 403, 'signup is closed to ' || coalesce(w, 'nobody')) from unnest(array[null, 'alice', 'commander', 'dave''s ticket']) w;

select finish();
rollback;
