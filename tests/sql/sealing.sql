-- Sealed meshes: what the server checks of envelopes it cannot open, whose box is whose, and what is refused there.
begin;
\ir helpers.psql
\ir envelopes.psql
select no_plan();
select t.world();
select mesh_id as proj from mesh_data.mesh where name = 'proj' \gset

-- Open, then sealed
select t.send('commander', 'backend', 'in the open') as open_one \gset
select t.does('backend', 'schedule_message', '{"to": "commander", "message": "in the open, later", "in": "1 hour"}') as planned \gset
select t.send('commander', 'designer', 'kept from the open') as kept \gset
select t.refuses('an open mesh takes no envelope', 409, 'commander', 'send_message', jsonb_build_object('to', 'backend', 'message', t.envelope('commander', '{backend}')));
select t.refuses('a mode is sealed or open', 400, 'alice', 'set_mode', jsonb_build_object('mode', 'closed', 'certificate', t.signed('alice')), 'proj');
select t.refuses('an agent does not change the mode', 403, 'commander', 'set_mode', jsonb_build_object('mode', 'sealed', 'certificate', t.signed('alice')));
select t.refuses('nor does the owner without signing it', 403, 'alice', 'set_mode', jsonb_build_object('mode', 'sealed', 'certificate', t.signed('bob')), 'proj');
select is(t.does('alice', 'set_mode', jsonb_build_object('mode', 'sealed', 'certificate', t.signed('alice')), 'proj') - '{mesh_id}'::text[],
  '{"mesh": "proj", "mode": "sealed", "changed": true, "next": null}', 'the owner makes it sealed');
select is((select count(*) from mesh_data.event where kind = 'mode_changed' and detail ->> 'to' = 'sealed'), 1::bigint, 'which is logged');
select is(t.does('commander', 'whoami') ->> 'mode', 'sealed', 'and everybody is told');
select is(t.does('alice', 'list_meshes') #>> '{0,mode}', 'sealed', 'also in the list');
select is(t.does('backend', 'get_message', jsonb_build_object('message_id', :'open_one')) ->> 'message', 'in the open', 'what was sent before stays as it was');

-- No plain text
select t.refuses(f || ' takes no plain text', 400, 'commander', f, a) from (values
  ('send_message', '{"to": "backend", "message": "plain"}'::jsonb), ('broadcast', '{"message": "plain"}'), ('ask_agent', '{"to": "backend", "message": "plain", "timeout": 0}'),
  ('done', '{"summary": "plain"}'), ('schedule_message', '{"to": "backend", "message": "plain", "in": "1 hour"}')) c (f, a);
select t.refuses('reply takes no plain text', 400, 'backend', 'reply', jsonb_build_object('message_id', :'open_one', 'message', 'plain'));
select t.refuses('nor a number', 400, 'commander', 'send_message', '{"to": "backend", "message": 5}');
select t.refuses('nor data beside the envelope', 400, 'commander', 'send_message', jsonb_build_object('to', 'backend', 'message', t.envelope('commander', '{backend}'), 'data', '{"plain": 1}'::jsonb));
select is(t.attempt('postgres', format('insert into mesh_data.message (message_id, mesh_id, sender_agent_id, address, body, sent_at) values (mesh_lib.new_id(), %L, %L, ''backend'', ''plain'', now())',
  :'proj', t.id_of('commander'))), '23514', 'not even a superuser writes one');
select is(t.attempt('postgres', format('insert into mesh_data.schedule (mesh_id, agent_id, key_id, addresses, body) select %L, %L, key_id, ''{backend}'', ''plain'' from mesh_data.key where agent_id = %2$L limit 1',
  :'proj', t.id_of('commander'))), '23514', 'nor schedules one');
select t.refuses('the server cannot search it', 400, 'commander', 'list_messages', '{"query": "secret"}');
select is(t.call('commander', 'list_messages', '{"query": "it''s"}') #>> '{answer,hint}', $$mesh history --grep 'it'\''s'$$, 'and says what can, as a shell reads it');
select is(t.call('commander', 'list_messages', '{"with": "backend", "query": "secret"}') #>> '{answer,hint}', 'mesh history backend --grep secret', 'with whom it was asked');

-- For whom
select t.seal('commander', 'backend', '{}') as refused \gset
select is(:'refused'::jsonb ->> 'status', '409', 'without the boxes of its readers a message is refused');
select set_eq(format($$select r ->> 'agent' from jsonb_array_elements(%L::jsonb #> '{answer,data,recipients}') r$$, :'refused'), array['backend', 'commander'], 'which says for whom to seal it');
select is((select array_agg(k order by k) from jsonb_object_keys(:'refused'::jsonb #> '{answer,data,recipients,0}') k), '{agent,agent_id,chain,identity_key}', 'with key and certificates');
select is(t.seal('commander', 'backend', '{backend,designer}') ->> 'status', '409', 'nor for more than those');
select is(t.seal('commander', 'backend', '{backend}', change => jsonb_build_object('recipients', t.hex('others'))) ->> 'status', '409', 'nor when others were signed than it is for');
select t.seal('commander', 'backend', '{backend}') as sent \gset
select is(:'sent'::jsonb ->> 'status', '200', 'sealed for its readers it is taken');
select is((select m.body is null and m.data is null and m.envelope ->> 'document' like '%"function": "send_message"%' and not m.envelope ? 'boxes' from mesh_data.message m where m.message_id = (:'sent'::jsonb #>> '{answer,message_id}')::uuid),
  true, 'as it is, without the boxes');
select is((select jsonb_object_agg(a.name, d.box) from mesh_data.delivery d join mesh_data.agent a using (agent_id) where d.message_id = (:'sent'::jsonb #>> '{answer,message_id}')::uuid),
  jsonb_build_object('backend', t.box('backend')), 'each delivery has the box of its reader');
select is(t.does('backend', 'check_messages', '{"peek": true}') #>> '{messages,1,envelope,box}', t.box('backend'), 'who gets it with the message');
select is(t.does('backend', 'check_messages', '{"peek": true}') #>> '{messages,1,message}', null, 'and no text');
select is(t.does('commander', 'get_message', jsonb_build_object('message_id', :'sent'::jsonb #>> '{answer,message_id}')) #>> '{envelope,box}', t.box('commander'), 'its sender gets its own');
select is(t.does('commander', 'list_messages', '{"with": "backend"}') #>> '{1,envelope,box}', t.box('commander'), 'also in the history');
select t.refuses('a stranger to it reads nothing', 404, 'designer', 'get_message', jsonb_build_object('message_id', :'sent'::jsonb #>> '{answer,message_id}'));

select is((select r ->> 'envelope' from jsonb_array_elements(t.does('alice', 'tail', '{}', 'proj')) r where r ->> 'message_id' = :'sent'::jsonb #>> '{answer,message_id}'), null, 'who follows the mesh sees no envelope that it could not open');
select isnt((select r ->> 'envelope' from jsonb_array_elements(t.does('commander', 'tail')) r where r ->> 'message_id' = :'sent'::jsonb #>> '{answer,message_id}'), null, 'but its own');
create function t.id_at(at timestamptz) returns uuid language sql volatile as $$ select overlay(mesh_lib.first_id(at)::text placing '7' || right(gen_random_uuid()::text, 21) from 15)::uuid $$;
select t.seal('commander', 'backend', '{backend}', change => jsonb_build_object('id', t.id_at(now() + interval '9 minutes'))) as ahead \gset
select t.seal('commander', 'backend', '{backend}', change => jsonb_build_object('id', t.id_at(now() - interval '9 minutes'))) as behind \gset
select ok(t.does('commander', 'tail', jsonb_build_object('after', :'ahead'::jsonb #> '{answer,message_id}')) @> jsonb_build_array(jsonb_build_object('message_id', :'behind'::jsonb #>> '{answer,message_id}')), 'clocks that differ hide nothing from who follows the mesh');
select t.does('alice', 'list_events', '{"limit": 1}', 'proj') #>> '{0,cursor}' as cursor \gset
select t.seal('commander', 'backend', '{backend}', change => jsonb_build_object('id', t.id_at(now() - interval '9 minutes'))) as behind \gset
select ok(t.does('alice', 'list_events', jsonb_build_object('after', :'cursor'), 'proj') @> jsonb_build_array(jsonb_build_object('event_id', :'behind'::jsonb #>> '{answer,message_id}')), 'nor from who follows what happens');
select is((select array_agg(m ->> 'message_id' order by n) from jsonb_array_elements(t.does('backend', 'check_messages', '{"peek": true, "limit": 100}') -> 'messages') with ordinality u (m, n)
    where m ->> 'message_id' in (:'ahead'::jsonb #>> '{answer,message_id}', :'behind'::jsonb #>> '{answer,message_id}')),
  array[:'ahead'::jsonb #>> '{answer,message_id}', :'behind'::jsonb #>> '{answer,message_id}'], 'mail is in the order in which it was sent, whatever the clock of its sender does');
savepoint untaken;
select t.does('backend', 'check_messages', '{"limit": 100}') -> 'messages' as taken \gset
rollback to untaken;
select is((select array_agg(m ->> 'message_id' order by n) from jsonb_array_elements(:'taken') with ordinality u (m, n)
    where m ->> 'message_id' in (:'ahead'::jsonb #>> '{answer,message_id}', :'behind'::jsonb #>> '{answer,message_id}')),
  array[:'ahead'::jsonb #>> '{answer,message_id}', :'behind'::jsonb #>> '{answer,message_id}'], 'also when it is taken');

select is(t.attempt('postgres', format('update mesh_data.message set body = ''plain'', envelope = null, sender_box = null where message_id = %L', :'sent'::jsonb #>> '{answer,message_id}')), '23514', 'what was sealed is not written over in plain');

-- Nothing of what was refused stays anywhere
create function t.tables_with(word text) returns setof text language plpgsql as $$
declare
  _table regclass;
  _found boolean;
begin
  for _table in select c.oid from pg_class c where c.relnamespace = 'mesh_data'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition loop
    execute format('select exists (select from %s x where strpos(x::text, %L) > 0)', _table, word) into _found;
    if _found then
      return next _table::text;
    end if;
  end loop;
end
$$;
select t.call('commander', f, a) from (values ('send_message', '{"to": "backend", "message": "zauberwort", "data": {"a": "zauberwort"}, "key": "zauberwort"}'::jsonb),
  ('broadcast', '{"message": "zauberwort", "data": "zauberwort"}'), ('ask_agent', '{"to": "backend", "message": "zauberwort", "timeout": 0}'), ('done', '{"summary": "zauberwort"}'),
  ('schedule_message', '{"to": "backend", "message": "zauberwort", "in": "1 hour"}'), ('list_messages', '{"query": "zauberwort"}')) c (f, a);
select t.call('commander', 'send_message', jsonb_build_object('to', 'backend', 'message', t.envelope('commander', '{backend}'), 'data', '"zauberwort"'::jsonb));
select is_empty($$select t.tables_with('zauberwort')$$, 'plain text that was refused stands in no table');
select set_eq($$select t.tables_with('in the open')$$, array['mesh_data.message', 'mesh_data.schedule'], 'where what was sent in the open is found');

-- Whose
select is(t.call('commander', 'send_message', jsonb_build_object('to', 'backend', 'message', t.envelope(w.who, '{backend,commander}', change => w.change, bend => w.bend))) ->> 'status', w.status::text, w.fact)
from (values
  ('designer', '{}'::jsonb, '{}'::jsonb, 400, 'another sender''s envelope is refused'),
  ('commander', jsonb_build_object('mesh', gen_random_uuid()), '{}', 400, 'one for another mesh is refused'),
  ('commander', '{"v": 2}', '{}', 400, 'a document of an unknown version is refused'),
  ('commander', '{}', '{"v": 2}', 400, 'an envelope of an unknown version is refused'),
  ('commander', '{}', '{"v": "1"}', 400, 'and one with a text for it'),
  ('commander', '{}', '{"v": 1.0}', 400, 'or a fraction'),
  ('commander', '{}', '{"v": null}', 400, 'or nothing'),
  ('commander', '{}', '{"attestation": "a text in the open"}', 400, 'an attestation is none that is a text'),
  ('commander', '{}', jsonb_build_object('attestation', t.signed('commander') || '{"more": 1}'), 400, 'or has more'),
  ('commander', '{}', jsonb_build_object('attestation', t.signed('commander') || jsonb_build_object('document', repeat('x', 10001))), 400, 'or is large'),
  ('commander', '{}', jsonb_build_object('document', repeat('[', 50000)), 400, 'a document is no well'),
  ('commander', '{}', '{"extra": 1}', 400, 'unknown members are refused'),
  ('commander', '{}', '{"signature": "00"}', 400, 'a signature has 128 digits'),
  ('commander', '{}', '{"signer": null}', 400, 'a signer is there'),
  ('commander', '{}', '{"document": "{"}', 400, 'a document is JSON'),
  ('commander', '{}', '{"document": "[]"}', 400, 'and an object'),
  ('commander', '{}', '{"document": {}}', 400, 'in a text'),
  ('commander', '{}', '{"sealed": "c2VjcmV0"}', 400, 'another body than signed is refused'),
  ('commander', '{}', '{"sealed": "not base64!"}', 400, 'and one that is no base64'),
  ('commander', '{}', '{"sealed": null}', 400, 'and none'),
  ('commander', jsonb_build_object('body', encode(sha256('short'), 'hex')), '{"sealed": "c2hvcnQ="}', 400, 'and one that is not padded'),
  ('commander', jsonb_build_object('body', encode(sha256(convert_to(repeat('x', 297), 'UTF8')), 'hex')), jsonb_build_object('sealed', translate(encode(convert_to(repeat('x', 297), 'UTF8'), 'base64'), E'\n', '')), 400, 'or to no power of two'),
  ('commander', '{}', jsonb_build_object('sealed', repeat('A', 349704)), 413, 'and one that is too large'),
  ('commander', '{"body_tag": "x"}', '{}', 400, 'a body tag has 64 digits'),
  ('commander', '{"id": "x"}', '{}', 400, 'an id is a UUID'),
  ('commander', jsonb_build_object('id', gen_random_uuid()), '{}', 400, 'a UUIDv7'),
  ('commander', '{"id": "018bcfe5-6800-7000-8000-000000000000"}', '{}', 400, 'of now'),
  ('commander', '{"id": null}', '{}', 400, 'and there'),
  ('commander', '{"sent_at": null}', '{}', 400, 'so is the time'),
  ('commander', '{"sent_at": "yesterday, or so"}', '{}', 400, 'which is one'),
  ('commander', '{"sent_at": "now"}', '{}', 400, 'in digits'),
  ('commander', '{"sent_at": "2026-13-41T00:00:00Z"}', '{}', 400, 'that there is'),
  ('commander', '{"sent_at": "2020-01-01T00:00:00Z"}', '{}', 400, 'and is not long ago'),
  ('commander', '{}', '{"boxes": null}', 409, 'boxes may be missing: it says for whom'),
  ('commander', '{}', '{"boxes": []}', 409, 'or be no object'),
  ('commander', '{}', '{"boxes": {"x": "y"}}', 409, 'or be for nobody')) w (who, change, bend, status, fact);
select is(t.seal('commander', 'backend', '{backend}', bend => jsonb_build_object('boxes', jsonb_build_object(t.id_of('backend'), b, t.id_of('commander'), b))) ->> 'status', '400', b::text || ' is no box')
from unnest(array['null', '5', '{"a": 1}', '""', '"a text in the open"', to_jsonb(repeat('A', 400))::text]::jsonb[]) b;
select is(t.seal('commander', 'backend', '{backend}', bend => '{"v": 1}') ->> 'status', '200', 'while one that is whole is taken');
select matches(t.call('commander', 'send_message', jsonb_build_object('to', 'backend', 'message', t.envelope('commander', '{backend}', bend => jsonb_build_object('document', repeat('[', 50000))))) #>> '{answer,message}', 'nested', 'and says so');
select matches(t.seal('commander', 'backend', '{backend}', '{"data": {"plain": 1}}') #>> '{answer,message}', 'takes its data with it', 'data beside an envelope are named');
select matches(t.seal('commander', 'backend', '{backend}', change => jsonb_build_object('sent_at', to_char((now() - interval '3 hours') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))) #>> '{answer,message}',
  'your clock is 0?3:00:\d\d behind', 'a clock that is off is named');
select is((select count(*) from mesh_data.message where mesh_id = :'proj' and envelope is not null), 5::bigint, 'nothing else of all that was stored');

update mesh_data.agent set identity_key = null where agent_id = t.id_of('carol');
select is(t.call('carol', 'send_message', jsonb_build_object('to', 'backend', 'message', t.envelope('carol', '{backend}')), 'alice/proj') #>> '{answer,hint}', 'mesh login', 'who has no key seals nothing');
update mesh_data.agent set identity_key = decode(t.public_key('identity of carol'), 'hex') where agent_id = t.id_of('carol');

-- Once
select t.envelope('commander', '{backend}', 'again') as again \gset
select t.does('commander', 'send_message', jsonb_build_object('to', 'backend', 'message', :'again'::jsonb)) as first \gset
select is(t.does('commander', 'send_message', jsonb_build_object('to', 'backend', 'message', :'again'::jsonb)) - 'recipients', :'first'::jsonb - 'recipients' || '{"duplicate": true}', 'the same envelope again is the same message');
select is(:'first'::jsonb ->> 'message_id', (:'again'::jsonb ->> 'document')::jsonb ->> 'id', 'whose id its sender chose');
select t.refuses('another body under its id is refused', 409, 'commander', 'send_message', jsonb_build_object('to', 'backend', 'message',
  t.envelope('commander', '{backend}', 'other', id => (:'first'::jsonb ->> 'message_id')::uuid)));
select t.refuses('also under a key', 409, 'commander', 'send_message', jsonb_build_object('to', 'backend', 'key', 'k', 'message',
  t.envelope('commander', '{backend}', 'other', id => (:'first'::jsonb ->> 'message_id')::uuid)));
select t.refuses('also from somebody else', 409, 'designer', 'send_message', jsonb_build_object('to', 'backend', 'message',
  t.envelope('designer', '{backend}', 'other', id => (:'first'::jsonb ->> 'message_id')::uuid)));
select t.seal('commander', 'backend', '{backend}', '{"key": "once"}', 'honest') as once \gset
select is(:'once'::jsonb ->> 'status', '200', 'a message with a key is sent');
select is(t.seal('commander', 'backend', '{}', '{"key": "once"}', 'honest') #>> '{answer,message_id}', :'once'::jsonb #>> '{answer,message_id}', 'sealed anew, for whomever, it is the same message');
select is(t.seal('commander', 'backend', '{backend}', '{"key": "once"}', 'another') ->> 'status', '409', 'another body with that key is refused');
select is(t.seal('commander', 'backend', '{}', '{"key": "free"}') ->> 'status' || (t.seal('commander', 'backend', '{backend}', '{"key": "free"}') ->> 'status'), '409200', 'the key of a refused one is free');
select is((select string_agg(c.status::text, ' ' order by c.ordinal) from mesh_lib.send_messages(array_fill(t.token('commander'), array[3]), array_fill(null::text, array[3]), array_fill(null::text, array[3]),
  array[jsonb_build_object('to', 'backend', 'message', t.envelope('commander', '{backend}')), jsonb_build_object('to', 'backend', 'message', t.envelope('commander', '{designer}')),
    jsonb_build_object('to', 'backend', 'message', t.envelope('commander', '{backend}'))]::text[], null) c), '200 409 200', 'in a batch each is judged alone');

-- Groups, rooms, everybody, pools
update mesh_data.agent set role = 'keyless' where agent_id = t.id_of('tester');
select t.does('commander', 'join_group', jsonb_build_object('group', 'web', 'agent', a)) from unnest(array['backend', 'designer', 'tester']) a;
select t.seal('commander', '@web', '{backend,designer}') as web \gset
select is((select jsonb_object_agg(r ->> 'agent', r ->> 'state') from jsonb_array_elements(:'web'::jsonb #> '{answer,recipients}') r), '{"backend": "queued", "designer": "queued", "tester": "skipped"}', 'who of a group has no key is skipped');
select t.refuses('who has no key is not written to by name', 409, 'commander', 'send_message', jsonb_build_object('to', 'tester', 'message', t.envelope('commander', '{}')));
select is(t.call('commander', 'send_message', jsonb_build_object('to', 'tester', 'message', t.envelope('commander', '{}'))) #>> '{answer,hint}', 'mesh run tester', 'which says what helps');
select is(t.call('commander', 'send_message', jsonb_build_object('to', 'tester', 'message', t.envelope('commander', '{}'))) #> '{answer,data,recipients}', null, 'and names nobody to seal for');
select t.refuses('who asks those who have none is told so', 409, 'commander', 'ask_agent', jsonb_build_object('to', 'role:keyless', 'timeout', 0, 'message', t.envelope('commander', '{}')));
select is(t.seal('backend', '*', '{alice,carol,commander,designer}') ->> 'status', '200', 'everybody is who has a key');
select t.does('commander', 'create_room', '{"name": "hall", "members": ["backend"]}');
select is(t.seal('commander', '#hall', '{backend}') ->> 'status', '200', 'a room is who is in it');
select t.does('designer', 'join_room', '{"room": "hall"}');
select is(t.seal('commander', '#hall', '{backend}') ->> 'status', '409', 'who has joined meanwhile is to read it, too');
select is(t.seal('commander', '#hall', '{backend,designer}') ->> 'status', '200', 'so it is sealed for that one');
select is(t.does('designer', 'room_history', '{"room": "hall"}') #>> '{0,envelope,box}', null, 'who joined later has no box of what was said before');
select isnt(t.does('designer', 'room_history', '{"room": "hall"}') #>> '{1,envelope,box}', null, 'but of what was said since');
select t.does('designer', 'block_agent', '{"agent": "commander"}');
select is(t.seal('commander', '#hall', '{backend,designer}') #> '{answer,recipients}' @> '[{"agent": "designer"}]', false, 'who is in the room and blocks the sender gets no mail');
select is(t.does('designer', 'room_history', '{"room": "hall"}') #>> '{-1,envelope,box}', t.box('designer'), 'and reads it in the history');
select t.does('designer', 'unblock_agent', '{"agent": "commander"}');
select t.does('commander', 'create_pool', '{"name": "coder", "agents": ["backend", "designer"]}');
select is(t.seal('commander', 'role:coder', '{backend}') ->> 'status', '409', 'a role is all who might get it');
select t.seal('commander', 'role:coder', '{backend,designer}') as pooled \gset
select is(:'pooled'::jsonb #>> '{answer,recipients,0,agent}', 'role:coder', 'while nobody is there it waits');
select is((select count(*) from mesh_data.box where message_id = (:'pooled'::jsonb #>> '{answer,message_id}')::uuid), 2::bigint, 'with the boxes of all of them');
select t.does('commander', 'edit_pool', '{"name": "coder", "agents": ["carol", "designer", "backend"]}');
select t.open('designer');
select is((select jsonb_object_agg(a.name, d.box) from mesh_data.delivery d join mesh_data.agent a using (agent_id) where d.message_id = (:'pooled'::jsonb #>> '{answer,message_id}')::uuid),
  jsonb_build_object('designer', t.box('designer')), 'the first to come gets it, with its box');

-- Asked for later
select is(t.does('designer', 'request_keys', '{"room": "#hall"}') - 'next', '{"room": "#hall", "requested": 1}', 'who came later asks for what was said before');
select is(t.does('designer', 'request_keys', '{"room": "#hall"}') ->> 'requested', '0', 'once');
select t.refuses('who is not in the room does not', 403, 'carol', 'request_keys', '{"room": "hall"}', 'alice/proj');
select is((select array_agg(r ->> 'agent' || ' ' || (r ->> 'from') || ' ' || (r #>> '{envelope,box}')) from jsonb_array_elements(t.does('backend', 'list_key_requests')) r), array['designer commander ' || t.box('backend')], 'who can read it sees the request');
select is(t.does('alice', 'list_key_requests', '{}', 'proj') || t.does('designer', 'list_key_requests'), '[]', 'who cannot does not, nor who asks');
select q.message_id as early from mesh_data.key_request q where q.agent_id = t.id_of('designer') \gset
select is(t.does('alice', 'grant_key', jsonb_build_object('agent', 'designer', 'boxes', jsonb_build_object(:'early', repeat('A', 107) || '=')), 'proj') ->> 'granted', '0', 'who cannot read it grants nothing');
select is(t.does('backend', 'grant_key', jsonb_build_object('agent', 'commander', 'boxes', jsonb_build_object(:'early', repeat('A', 107) || '='))) ->> 'granted', '0', 'nor to who did not ask');
select t.refuses('boxes are boxes', 400, 'backend', 'grant_key', jsonb_build_object('agent', 'designer', 'boxes', jsonb_build_object(:'early', 'a text in the open')));
select t.refuses('and some', 400, 'backend', 'grant_key', '{"agent": "designer", "boxes": {}}');
select t.refuses('nor for a key that it has not', 409, 'backend', 'grant_key', jsonb_build_object('agent', 'designer', 'boxes', jsonb_build_object(:'early', repeat('A', 107) || '='), 'identity_key', t.public_key('another')));
select is(t.does('backend', 'grant_key', jsonb_build_object('agent', 'designer', 'boxes', jsonb_build_object(:'early', repeat('A', 107) || '='), 'identity_key', t.public_key('identity of designer'))), '{"agent": "designer", "granted": 1}', 'who can grants it');
select is(t.does('designer', 'room_history', '{"room": "hall"}') #>> '{0,envelope,box}', repeat('A', 107) || '=', 'and now it has a box of it');
select is(t.does('backend', 'grant_key', jsonb_build_object('agent', 'designer', 'boxes', jsonb_build_object(:'early', repeat('B', 107) || '='))) ->> 'granted', '0', 'a second grant changes nothing');

select is(t.does('designer', 'request_keys', jsonb_build_object('room', 'hall', 'message_ids', array[:'early'])) ->> 'requested', '1', 'what does not open is asked for again');
select is(jsonb_array_length(t.does('backend', 'list_key_requests', '{"for": "designer"}')), 1, 'and listed');
select is(t.does('backend', 'list_key_requests', jsonb_build_object('for', 'designer', 'after', :'early')), '[]', 'but not after it');
select is(t.does('backend', 'grant_key', jsonb_build_object('agent', 'designer', 'boxes', jsonb_build_object(:'early', repeat('C', 107) || '='))) ->> 'granted', '1', 'and granted again');
select is(t.does('designer', 'room_history', '{"room": "hall"}') #>> '{0,envelope,box}', repeat('C', 107) || '=', 'in the place of the other');
select t.refuses('some are asked for', 400, 'designer', 'request_keys', '{"room": "hall", "message_ids": []}');
select is(t.does('designer', 'request_keys', jsonb_build_object('room', 'hall', 'message_ids', array[:'first'::jsonb ->> 'message_id'])) ->> 'requested', '0', 'nothing that was said elsewhere');

-- With another key
select is(t.does('backend', 'request_keys', '{"room": "hall"}') ->> 'requested', '0', 'who can read everything asks for nothing');
select t.does('commander', 'create_pool', '{"name": "two", "agents": ["backend", "carol"]}');
select t.seal('commander', 'role:two', '{backend,carol}') as pooled \gset
select t.key('backend', 'another');
select is(t.does('backend', 'request_keys', '{"room": "hall"}') ->> 'requested', '3', 'with another key it asks for what was boxed for the one before');
select is(t.does('designer', 'list_key_requests') #>> '{0,identity_key}', t.public_key('another'), 'and is granted it for this one');
select is(t.does('designer', 'grant_key', jsonb_build_object('agent', 'backend', 'boxes', (select jsonb_object_agg(q.message_id, t.box('another')) from mesh_data.key_request q), 'identity_key', t.public_key('another'))) ->> 'granted', '3', 'by who can read it');
select is(t.does('backend', 'room_history', '{"room": "hall"}') #>> '{1,envelope,box}', t.box('another'), 'and reads it in the history');
select ok(t.does('backend', 'check_messages', '{"peek": true}') @> jsonb_build_object('messages', jsonb_build_array(jsonb_build_object('envelope', jsonb_build_object('box', t.box('another'))))), 'and in its inbox');
select is(t.does('backend', 'request_keys', '{"room": "hall"}') ->> 'requested', '0', 'and asks no more');
select t.open('backend', extra => jsonb_build_object('hello', t.signed('another')));
select is((select d.agent_id >= mesh_lib.first_pool_id() from mesh_data.delivery d where d.message_id = (:'pooled'::jsonb #>> '{answer,message_id}')::uuid), true, 'mail of a role that it could not open goes on waiting');
select t.does('backend', 'close_session', '{}', null, t.window('backend')), t.key('backend', 'identity of backend');

-- Not opened
select t.does('backend', 'check_messages') as taken \gset
select is(t.does('backend', 'report_unopened', jsonb_build_object('message_ids', array[:'sent'::jsonb #>> '{answer,message_id}'], 'reason', 'the signature does not fit')), '{"reported": 1}', 'what cannot be opened is reported');
select t.does('backend', 'check_messages', jsonb_build_object('seen', array[:'taken'::jsonb ->> 'claim']));
select is(t.does('commander', 'message_status', jsonb_build_object('message_id', :'sent'::jsonb #>> '{answer,message_id}')) #>> '{0,reason}', 'could not be opened: the signature does not fit', 'its sender learns why');
select is((select d.state from mesh_data.delivery d where d.message_id = (:'sent'::jsonb #>> '{answer,message_id}')::uuid), 'queued', 'and it stays unacknowledged');
select is((select count(*) from mesh_data.delivery d where d.agent_id = t.id_of('backend') and d.state = 'acknowledged'), (select count(*) - 1 from jsonb_array_elements(:'taken'::jsonb -> 'messages')), 'beside it all is settled');
select t.pass('6 minutes');
select ok(t.does('backend', 'check_messages', '{"peek": true}') -> 'messages' @> jsonb_build_array(jsonb_build_object('message_id', :'sent'::jsonb #>> '{answer,message_id}')), 'it comes again later');
select t.pass('0');
create function t.again() returns text language sql volatile as $$ select t.does('backend', 'retry_unopened') ->> 'retried' $$;
select is(t.does('backend', 'check_messages', '{"peek": true}') -> 'messages', '[]', 'and not before');
select is(t.does('commander', 'retry_unopened') ->> 'retried', '0', 'to nobody else');
select is(t.again(), '1', 'unless its reader asks for it');
select ok(t.does('backend', 'check_messages') -> 'messages' @> jsonb_build_array(jsonb_build_object('message_id', :'sent'::jsonb #>> '{answer,message_id}')), 'then it comes at once');
select is(t.again(), '0', 'what is there is not put off');
select t.does('backend', 'release_messages', jsonb_build_object('message_ids', array[:'sent'::jsonb #>> '{answer,message_id}'], 'retry_after', 300, 'reason', 'later'));
select is(t.again(), '0', 'and what was given back stays so');
select t.does('backend', 'report_unopened', jsonb_build_object('message_ids', array[:'sent'::jsonb #>> '{answer,message_id}'], 'reason', 'still not'));

-- Later
select t.refuses('what is for later is sealed for those who are there now', 409, 'commander', 'schedule_message', jsonb_build_object('to', '#hall', 'in', '1 hour', 'message', t.envelope('commander', '{backend}')));
select t.envelope('commander', '{backend,designer}', 'later') as envelope \gset
select t.does('commander', 'schedule_message', jsonb_build_object('to', '#hall', 'cron', '@hourly', 'message', :'envelope'::jsonb)) as later \gset
select is(t.does('commander', 'schedule_message', jsonb_build_object('to', '#hall', 'cron', '@hourly', 'message', :'envelope'::jsonb)), :'later'::jsonb, 'scheduled again it is the same schedule');
select t.refuses('and to others it is another', 409, 'commander', 'schedule_message', jsonb_build_object('to', '@web', 'cron', '@hourly', 'message', :'envelope'::jsonb));
select is(t.does('commander', 'list_scheduled') #>> '{0,envelope,box}', t.box('commander'), 'who scheduled it can read it');
select t.does('commander', 'invite_to_room', '{"room": "hall", "agents": ["carol"]}');
select t.pass('2 hours');
select mesh_lib.tick();
select m.message_id as came from mesh_data.message m where m.occurrence_at is not null \gset
select is((select array_agg(a.name || ' ' || d.box order by a.name) from mesh_data.delivery d join mesh_data.agent a using (agent_id) where d.message_id = :'came'), array['backend ' || t.box('backend'), 'designer ' || t.box('designer')], 'it comes to those for whom it was sealed, and not to who came since');
select ok(t.does('backend', 'list_messages', '{"room": "hall"}') #>> '{-1,envelope,occurrence}' is not null, 'and says for which time it is');
select isnt(:'came', (select (s.envelope ->> 'document')::jsonb ->> 'id' from mesh_data.schedule s where s.envelope is not null), 'each time is a message of its own');
select t.pass('4 hours'), mesh_lib.tick();
select is((select count(*) from mesh_data.message m where m.occurrence_at is not null), 2::bigint, 'again and again');
select is(t.does('commander', 'list_scheduled') #> '{0,skipped}', '["carol"]', 'who scheduled it sees who was skipped');
select t.key('backend', 'another');
select t.pass('6 hours'), mesh_lib.tick();
select is(t.does('commander', 'list_scheduled') #> '{0,skipped}', '["backend", "carol"]', 'so is who has another key by now');
select t.key('backend', 'identity of backend');
select matches(t.does('backend', 'list_scheduled') #>> '{0,error}', 'made sealed after this was scheduled', 'what was scheduled in the open is not sent in a sealed mesh');
select is((select count(*) from mesh_data.message m where m.sender_agent_id = t.id_of('backend') and m.body is not null and m.sent_at > (select e.mode_at from mesh_data.mesh e where e.mesh_id = :'proj')), 0::bigint, 'in no way');
select t.pass('0');
select is(t.does('commander', 'cancel_scheduled', jsonb_build_object('schedule_id', :'later'::jsonb ->> 'schedule_id')) #>> '{envelope,box}', t.box('commander'), 'cancelled, it is shown to who scheduled it');

select t.does('commander', 'schedule_message', jsonb_build_object('to', 'backend', 'in', '1 hour', 'message', t.envelope('commander', '{backend}')));
select t.key('commander', 'another');
select t.pass('2 hours'), mesh_lib.tick();
select matches(t.does('commander', 'list_scheduled') #>> '{0,error}', 'its sender has another key', 'of who has another key nothing is sent that was sealed with the one before');
select t.key('commander', 'identity of commander'), t.pass('0');

-- Later, to a role
select t.does('commander', 'create_pool', '{"name": "shift", "agents": ["backend"], "fallback": "reject"}');
select t.does('commander', 'schedule_message', jsonb_build_object('to', 'role:shift', 'in', '1 hour', 'message', t.envelope('commander', '{backend}', 'shift'))) as shift \gset
select t.pass('10 hours');
select t.presence('designer', 'confirm');
select t.does('commander', 'edit_pool', '{"name": "shift", "agents": ["designer", "backend"], "fallback": "queue"}');
select mesh_lib.tick();
select is((select d.agent_id >= mesh_lib.first_pool_id() from mesh_data.delivery d where d.message_id = (select s.last_message_id from mesh_data.schedule s where s.schedule_id = (:'shift'::jsonb ->> 'schedule_id')::uuid)),
  true, 'for a role it waits for those it was sealed for, whoever else is there');
select t.open('backend', ' later', jsonb_build_object('hello', t.signed('identity of backend', mesh_lib.now())));
select is((select d.box from mesh_data.delivery d where d.message_id = (select s.last_message_id from mesh_data.schedule s where s.schedule_id = (:'shift'::jsonb ->> 'schedule_id')::uuid)),
  t.box('backend'), 'who get it');
select t.pass('0');
select t.does('commander', 'schedule_message', jsonb_build_object('to', 'role:shift', 'in', '1 hour', 'message', t.envelope('commander', '{backend,designer}', 'shift'))) as shift \gset
select t.does('commander', 'edit_pool', '{"name": "shift", "agents": ["carol"]}');
select t.pass('2 hours'), mesh_lib.tick();
select is((select s.last_error ->> 'code' from mesh_data.schedule s where s.schedule_id = (:'shift'::jsonb ->> 'schedule_id')::uuid), 'ME410', 'when none of them has the role any more, it is over');
select t.pass('0');

-- Identities
select is((select array_agg(i ->> 'agent' order by i ->> 'agent') from jsonb_array_elements(t.does('designer', 'list_identities')) i), '{alice,backend,carol,commander,designer}', 'everybody''s public key is to be had in the mesh');
select is(t.does('visitor', 'list_identities', jsonb_build_object('agent_ids', array[t.id_of('backend')])), '[]', 'and nowhere else');
select t.does('commander', 'remove_agent', '{"agent": "designer"}');
select is((select count(*) from mesh_data.box b where b.agent_id = (select agent_id from mesh_data.agent where name = 'designer' and mesh_id = :'proj')), 0::bigint, 'what was kept for who is removed is no more');
select is(t.does('backend', 'list_identities', jsonb_build_object('agent_ids', (select array_agg(agent_id) from mesh_data.agent where name = 'designer' and mesh_id = :'proj'))) #>> '{0,removed}', 'true', 'also of who was removed, for what it wrote');
select t.refuses('there is none of what is not kept', 404, 'alice', 'get_wrapped_identity', '{"agent": "backend"}', 'proj');
select t.does('alice', 'keep_identity', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('identity of backend'), 'wrapped', 'c2VhbGVk'), 'proj');
select is(t.does('alice', 'get_wrapped_identity', '{"agent": "backend"}', 'proj') - 'agent_id', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('identity of backend'), 'wrapped', 'c2VhbGVk'), 'an identity is kept for the account''s other machines');
select t.refuses('not for the agent itself', 403, 'backend', 'get_wrapped_identity', '{"agent": "backend"}');
select t.refuses('nor for a member', 403, 'carol', 'get_wrapped_identity', '{"agent": "backend"}', 'alice/proj');
select t.refuses('it is a short text', 400, 'alice', 'keep_identity', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('x'), 'wrapped', repeat('x', 1001)), 'proj');
select t.refuses('an agent keeps none', 403, 'backend', 'keep_identity', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('x'), 'wrapped', 'x'));
select t.does('alice', 'create_agent_key', jsonb_build_object('agent', 'backend', 'identity_key', t.public_key('another'), 'secret', t.secret('backend 4'), 'certificate', t.signed('alice')), 'proj');
select t.refuses('one that was replaced is no longer given out', 404, 'alice', 'get_wrapped_identity', '{"agent": "backend"}', 'proj');
select is(t.seal('commander', 'backend', '{backend}', change => jsonb_build_object('recipients', t.hex('the key before'))) ->> 'status', '409', 'and nothing is sealed for a key that was');

-- A report is sealed for whom it goes to
select t.does('commander', 'create_room', '{"name": "floor", "members": ["carol", "backend"], "mode": "moderated"}');
create function t.sealed_report(readers text[]) returns jsonb language sql volatile as $$ select t.call('backend', 'done', jsonb_build_object('summary', t.envelope('backend', readers))) $$;
create function t.named(answer jsonb) returns text language sql immutable as $$ select string_agg(r ->> 'agent', ' ' order by r ->> 'agent') from jsonb_array_elements(answer #> '{answer,data,recipients}') r $$;
select t.does('backend', 'check_messages'), t.does('backend', 'check_messages');
select t.seal('commander', '#floor', '{backend,carol}'), t.does('backend', 'check_messages');
select is(t.named(t.sealed_report('{}')), 'backend commander', 'out of turn in a room, who gave the task is to read the report');
select is(t.sealed_report('{commander}') #>> '{answer,reported_to}', 'commander', 'for whom it is sealed then');
select t.does('backend', 'check_messages');

-- Invited
select t.works('an invite says the mode under the owner''s signature', 'alice', 'create_invite', jsonb_build_object('agent', 'friend', 'invite', t.secret('friendly'), 'certificate', t.signed('alice'), 'mode', 'sealed'), 'proj');
select t.refuses('and no other than it is', 409, 'alice', 'create_invite', jsonb_build_object('agent', 'friend', 'invite', t.secret('friendlier'), 'certificate', t.signed('alice'), 'mode', 'open'), 'proj');

-- Moved
select t.pass('200 days');
select cmp_ok((select dropped from mesh.maintain()), '>', 0, 'retention goes on');
select is((select m.body from mesh_data.message m where m.message_id = :'kept'), 'kept from the open', 'what nobody acknowledged is kept, were it plain text from before the mesh was sealed');
select t.pass('0');

-- Renamed
select is(t.does('alice', 'edit_agent', jsonb_build_object('agent', c.agent, 'role', 'x') || c.change, 'proj') ->> 'next', c.next, c.fact) from (values
  ('whose name stays needs no new signature', 'backend', '{}'::jsonb, null), ('whose name changes needs the owner''s', 'backend', '{"name": "backend-2"}', 'mesh recover --renamed'),
  ('said again it does not', 'backend-2', '{"name": "backend-2"}', null), ('a name is folded before', 'backend-2', '{"name": "BACKEND"}', 'mesh recover --renamed'),
  ('what nobody runs yet has none', 'friend', '{"name": "friend-2"}', null)) c (fact, agent, change, next);

-- Open again
select t.does('commander', 'schedule_message', jsonb_build_object('to', '#hall', 'in', '1 hour', 'message', t.envelope('commander', '{backend,carol}', 'once'))) as sealed \gset
select t.works('the owner makes it open again', 'alice', 'set_mode', jsonb_build_object('mode', 'open', 'certificate', t.signed('alice')), 'proj');
select is((select count(*) from mesh_data.message where mesh_id = :'proj' and envelope is not null and body is not null), 0::bigint, 'what was sealed stays sealed');
select t.pass('2 hours'), mesh_lib.tick();
select matches(jsonb_path_query_first(t.does('commander', 'list_scheduled'), '$[*] ? (@.schedule_id == $id)', jsonb_build_object('id', :'sealed'::jsonb -> 'schedule_id')) ->> 'error', 'made open after this was scheduled', 'what was scheduled sealed is not sent in the open');
select t.pass('0');
select t.works('and plain text is taken', 'commander', 'send_message', '{"to": "backend", "message": "in the open"}');
select is(t.does('bob', 'create_mesh', '{"name": "hidden", "mode": "sealed"}') ->> 'mode', 'sealed', 'a mesh is made sealed');
select t.refuses('or in no other mode', 400, 'bob', 'create_mesh', '{"name": "hidden2", "mode": "half"}');

select finish();
rollback;
