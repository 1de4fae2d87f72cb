-- Sessions: one live window an agent; presence; what a relay may ask with a push secret, and not without.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.status(agent text) returns text language sql volatile as $$
  select p ->> 'status' from jsonb_array_elements(t.does('designer', 'list_peers')) p where p ->> 'agent' = status.agent
$$;
create function t.why(agent text) returns text language sql volatile as $$
  select p ->> 'why' from jsonb_array_elements(t.does('designer', 'list_peers')) p where p ->> 'agent' = why.agent
$$;

-- Opening
select t.refuses('a window needs the agent''s identity to sign', 403, 'commander', 'open_session', t.opening('commander') || jsonb_build_object('hello', t.signed(w)))
from unnest(array['commander', 'alice', 'identity of backend', 'window of commander']) w;
select t.refuses('a hello that was signed for another mesh', 400, 'commander', 'open_session', t.opening('commander') || jsonb_build_object('hello',
  t.signed('identity of commander') || jsonb_build_object('document', ((t.signed('identity of commander') ->> 'document')::jsonb || jsonb_build_object('mesh', gen_random_uuid()))::text)));
select t.refuses('a hello of ten minutes ago', 400, 'commander', 'open_session', t.opening('commander') || jsonb_build_object('hello', t.signed('identity of commander', clock_timestamp() - interval '10 min')));
select t.refuses('a hello of ten minutes ahead', 400, 'commander', 'open_session', t.opening('commander') || jsonb_build_object('hello', t.signed('identity of commander', clock_timestamp() + interval '10 min')));
select is((select count(*) from mesh_data.session), 0::bigint, 'nothing was opened');
select is(t.status('commander'), 'offline', 'without a window an agent is offline');
select is(t.why('commander'), 'no window is open', 'and it says why');
select is(t.why('tester'), 'nobody has joined as this agent yet', 'an agent without a key says so');
select t.call('commander', 'open_session', t.opening('commander') || '{"cwd": "/work", "host": "box", "editor": "claude"}') as opened \gset
select is(:'opened'::jsonb -> 'answer' ->> 'epoch', '1', 'the first window has epoch 1');
select is(:'opened'::jsonb -> 'answer' -> 'resumed', 'false', 'it resumed nothing');
select ok(:'opened'::jsonb #>> '{effects,attach,push_secret}' ~ '^[0-9a-f]{64}$', 'the relay gets the push secret');
select ok(not (:'opened'::jsonb -> 'answer')::text like '%' || (:'opened'::jsonb #>> '{effects,attach,push_secret}') || '%', 'the caller does not');
select is(t.status('commander'), 'idle', 'an agent with a window is idle');
select ok(p @> '{"agent": "commander", "cwd": "/work", "host": "box", "editor": "claude", "kind": "agent"}' and p ->> 'since' <> '', 'peers see where it runs')
from jsonb_array_elements(t.does('designer', 'list_peers')) p where p ->> 'agent' = 'commander';
select is(jsonb_array_length(p -> 'trust'), 2, 'and its chain, owner to window') from jsonb_array_elements(t.does('designer', 'list_peers')) p where p ->> 'agent' = 'commander';
select is((select count(*) from mesh_data.session s where position(convert_to(:'opened'::jsonb #>> '{effects,attach,push_secret}', 'UTF8') in s.push_verifier) > 0), 0::bigint, 'the secret itself is not stored');

-- A second window
select t.refuses('a second window', 409, 'commander', 'open_session', t.opening('commander', ' 2'));
select is(t.call('commander', 'open_session', t.opening('commander', ' 2')) #>> '{answer,message}', 'agent already running in another window', 'is told so');
select ok(t.call('commander', 'open_session', t.opening('commander', ' 2')) #>> '{answer,hint}' like '%--takeover', 'and how to take over');
select is(t.call('commander', 'open_session', t.opening('commander', ' 2')) #> '{answer,data}' ->> 'host', 'box', 'and where the first runs');
select t.works('other agents have windows of their own', 'backend', 'open_session', t.opening('backend'));
select t.open('commander') as first \gset
select is(:'first'::text, :'opened'::jsonb #>> '{answer,session_id}', 'the same window again resumes');
select is((select s.epoch from mesh_data.session s where s.session_id = :'first'), 1::bigint, 'in its epoch');
select isnt(t.mail('commander')::text, null, 'with a new push secret');
select is(t.attempt('mesh_relay', format('select ended from mesh_lib.mail(array[%L]::uuid[], array[%L], 1)', :'first', :'opened'::jsonb #>> '{effects,attach,push_secret}')), 'this session is not known here', 'the old push secret is worth nothing');
select t.works('calls name their session', 'commander', 'whoami', '{}', null, :'first');
select t.refuses('a session is its own agent''s: ' || w, 409, w, 'whoami', '{}', null, :'first') from unnest(array['backend', 'designer', 'alice', 'scout']) w;
select t.does('alice', 'create_agent_key', jsonb_build_object('agent', 'commander', 'identity_key', t.public_key('identity of commander'), 'secret', t.secret('commander key 2'), 'certificate', t.signed('alice')), 'proj');
select t.refuses('and its own key''s', 409, 'commander key 2', 'whoami', '{}', null, :'first');
select t.open('commander', ' 2', '{"takeover": true}') as second \gset
select isnt(:'second'::text, :'first'::text, 'a takeover is another session');
select is((select s.epoch from mesh_data.session s where s.session_id = :'second'), 2::bigint, 'in the next epoch');
select is(t.mail('commander') #>> '{0,ended}', 'another window took over this agent', 'the relay of the first is told why it ended');
select t.refuses('the first is refused', 409, 'commander', 'check_messages', '{}', null, :'first');
select t.refuses('and cannot come back', 409, 'commander', 'open_session', t.opening('commander'));
select t.refuses('nor by taking over', 409, 'commander', 'open_session', t.opening('commander') || '{"takeover": true}');
select t.refuses('nor as another agent', 409, 'designer', 'open_session', t.opening('designer') || jsonb_build_object('session_key', t.public_key('window of commander 2')));
select is((select count(*) from mesh_data.session s join mesh_data.agent a using (agent_id) where a.name = 'commander' and s.ended_at is null), 1::bigint, 'one is live');

-- Status
select is(t.status('commander'), 'idle', 'idle');
select t.does('commander', 'set_status', '{"status": "working"}', null, :'second');
select is(t.status('commander'), 'working', 'working');
select is(t.call('commander', 'wait', '{"timeout": 50}', null, :'second') ->> 'status', '200', 'who waits');
select is(t.status('commander'), 'waiting', 'is waiting');
select t.pass('52 seconds');
select t.presence('commander 2', 'confirm');
select is(t.status('commander'), 'working', 'and no longer when its time is out');
select t.pass('0');
select t.presence('commander 2', 'confirm');
select t.does('commander', 'wait', '{"timeout": 0}', null, :'second');
select is(t.status('commander'), 'working', 'nor when it was answered');
select t.pass('9 minutes');
select t.take('commander', '{}', :'second');
select t.pass('18 minutes');
select t.presence('commander 2', 'confirm');
select is(t.status('commander'), 'working', 'who looks after its mail still works');
select t.pass('19 minutes 1 second');
select t.presence('commander 2', 'confirm');
select is(t.status('commander'), 'idle', 'after ten minutes of nothing it is idle');
select t.does('commander', 'set_summary', '{"summary": "at it"}', null, :'second');
select is(t.status('commander'), 'working', 'until it is heard of');
select t.pass('0');
select t.presence('commander 2', 'confirm');
select t.does('commander', 'set_status', '{"status": "dnd"}', null, :'second');
select is(t.status('commander'), 'dnd', 'dnd');
select is(t.why('commander'), 'does not want to be disturbed', 'and why');
select t.does('commander', 'set_summary', '{"summary": "the grid"}', null, :'second');
select ok(t.does('designer', 'list_peers') @> '[{"agent": "commander", "summary": "the grid"}]', 'a summary is seen by peers');
select ok(t.does('scout', 'list_peers') @> '[{"agent": "commander"}]' is false, 'and not in another mesh');
select t.does('commander', 'set_status', '{"status": "idle"}', null, :'second');

-- Presence: 30 s, 90 s
select t.pass('29 seconds');
select is(t.status('commander') || coalesce(t.why('commander'), ''), 'idle', 'online until 30 s of silence');
select t.pass('31 seconds');
select is(t.why('commander'), 'its window is reconnecting', 'then reconnecting');
select is(t.status('commander'), 'idle', 'which is no change of status');
select t.pass('89 seconds');
select is(t.status('commander'), 'idle', 'until 90 s');
select t.pass('91 seconds');
select is(t.status('commander'), 'offline', 'then offline');
select ok(t.why('commander') like 'its window has been silent since %', 'and since when');
select t.presence('commander 2', 'confirm');
select is(t.status('commander') || coalesce(t.why('commander'), ''), 'idle', 'confirmed, it is there again');
update mesh_data.presence set relay_id = '00000000-0000-0000-0000-000000000001';
select t.attempt('mesh_relay', format('select mesh_lib.disconnected(array[%L]::uuid[], array[%L], ''00000000-0000-0000-0000-000000000002'')', session_id, push_secret))
from t.session where who = 'commander 2';
select is(t.why('commander'), null, 'a socket that is gone at another relay says nothing: the window has come here since');
select t.presence('commander 2', 'disconnected');
select is(t.why('commander'), 'its window is reconnecting', 'a socket that is gone is reconnecting at once');
select t.pass('100 seconds');
select is(t.status('commander'), 'idle', 'for 90 s from its last confirmation');
select t.works('a window that reconnects is resumed by the same key', 'commander', 'open_session', t.opening('commander', ' 2')
  || jsonb_build_object('hello', t.signed('identity of commander', mesh_lib.now())));
select is(t.why('commander'), null, 'and online');
select t.pass('140 seconds');
select is(t.does('commander', 'open_session', t.opening('commander', ' 3') || jsonb_build_object('hello', t.signed('identity of commander', mesh_lib.now()))) ->> 'epoch', '3',
  'a window that is not online is replaced without a takeover');
select t.open('commander', ' 3', jsonb_build_object('hello', t.signed('identity of commander', mesh_lib.now()))) as third \gset
select t.pass('3 hours');
select t.open('backend', '', jsonb_build_object('hello', t.signed('identity of backend', mesh_lib.now())));
select t.presence('backend', 'confirm');
select is((select count(*) from mesh_data.presence), 1::bigint, 'what was silent for an hour is swept by any confirmation');
select is((select s.ended_at from mesh_data.session s where s.session_id = :'third'), null, 'the session stays');
select t.pass('0');

-- Closing
select t.open('commander', ' 3');
select is(t.does('commander', 'close_session', '{}', null, :'third') ->> 'closed', :'third', 'a window closes');
select is(t.status('commander'), 'offline', 'and is offline at once');
select is(t.mail('commander 3') #>> '{0,ended}', 'the window was closed', 'its relay is told');
select t.refuses('its next call is refused', 409, 'commander', 'whoami', '{}', null, :'third');
select is(t.does('commander', 'close_session') -> 'closed', 'null', 'closing without a window is harmless');
select t.presence('commander 3', 'confirm');
select is(t.status('commander'), 'offline', 'a late confirmation does not bring it back');

-- Push secrets: the relay's password alone reads nothing
select t.open('commander', ' 4') as fourth \gset
select t.send('designer', 'commander', 'secret');
select is(t.texts(t.mail('commander 4')), 'secret', 'with its push secret the mail comes');
select is(t.attempt('mesh_relay', format('select coalesce(string_agg(ended || coalesce(frame::text, ''''), ''''), ''nothing'') from mesh_lib.mail(array[%L]::uuid[], array[%s]::text[], 10)', :'fourth', s)),
  'this session is not known here', 'and not with ' || s)
from unnest(array['null', '''''', '''x''', (select quote_literal(push_secret) from t.session where who = 'backend'), (select quote_literal(encode(push_verifier, 'hex')) from mesh_data.session where session_id = :'fourth')]) s;
select is(t.attempt('mesh_relay', format('select coalesce(string_agg(frame::text, ''''), ''nothing'') from mesh_lib.mail(array[%L]::uuid[], array[]::text[], 10)', :'fourth')), 'nothing', 'nor with none');
select t.send('designer', 'commander', 'x') as x \gset
select t.attempt('mesh_relay', format('select mesh_lib.receipt(array[%L]::uuid[], array[%L], array[%L]::uuid[])', w.session, w.secret, :'x'))
from (values (:'fourth', 'wrong'), ((select session_id::text from t.session where who = 'backend'), (select push_secret from t.session where who = 'backend'))) w (session, secret);
select is((select d.state from mesh_data.delivery d where d.message_id = :'x'), 'queued', 'no receipt without the secret, nor for another''s mail');
select t.attempt('mesh_relay', format('select mesh_lib.disconnected(array[%L]::uuid[], array[%L], null)', :'fourth', 'wrong'));
select is(t.why('commander'), null, 'nor is it disconnected');
select is(t.attempt('mesh_relay', format('select string_agg(k::text, '' '') from mesh_lib.refused_keys(array[%L, %L, %L]::uuid[]) k', (select key_id from mesh_data.key where public_key = decode(t.public_key('gone'), 'hex')),
  (select key_id from mesh_data.key where public_key = decode(t.public_key('commander'), 'hex')), (select invite_id from mesh_data.invite where public_key = decode(t.public_key('the open invite'), 'hex')))),
  (select key_id::text from mesh_data.key where public_key = decode(t.public_key('gone'), 'hex')), 'of keys, the relay learns which are no longer good');
select ok(t.attempt('mesh_relay', 'select mesh_lib.health()')::jsonb ?& '{release,catalogue}', 'health says what is loaded');
select is(t.attempt('mesh_relay', 'select mesh_lib.catalogue() ->> ''protocol'''), '1', 'the relay reads the catalogue');

-- A revoked key ends its window
select t.does('alice', 'revoke_key', jsonb_build_object('key_id', t.does('commander', 'whoami') -> 'key_id')) as revoked \gset
select is(:'revoked'::jsonb -> 'sessions', '1', 'revoking says how many windows it closed');
select is(t.mail('commander 4') #>> '{0,ended}', 'this key was revoked', 'the relay is told why');
select is(t.status('commander'), 'offline', 'the agent is offline');
select is(t.does('designer', 'send_message', '{"to": "commander", "message": "y"}') #>> '{recipients,0,waits_for}', 'no window is open', 'and its senders are told so');
select is((select count(*) from mesh_data.presence p join mesh_data.session s on s.session_id = p.session_id where (p.agent_id is null) is distinct from (s.ended_at is not null)),
  0::bigint, 'whose window it is, is known as long as it lives');
select t.refuses('and its next call refused', 401, 'commander', 'whoami', '{}', null, :'fourth');

select finish();
rollback;
