-- Addresses as people and programs write them, and what is said of those that are none.
begin;
\ir helpers.psql
select no_plan();
select t.world();
create function t.said(who text, function text, arguments jsonb, mesh text default null) returns text language sql volatile as $$
  select concat_ws(' ', a ->> 'code', a ->> 'message') from (select t.call(who, function, arguments, mesh) -> 'answer') c (a)
$$;

select is(mesh_lib.addresses(a.given), a.read, a.fact) from (values
  ('"Bob"'::jsonb, '{bob}'::text[], 'a text is one address'), ('" bob , carol "', '{bob,carol}', 'commas separate'),
  ('["Bob", "carol"]', '{bob,carol}', 'a list is several'), ('"[\"Bob\", \"carol\"]"', '{bob,carol}', 'also one written in a text'),
  ('" [ \"bob\" ] "', '{bob}', 'with spaces'), ('"bob,carol,BOB"', '{bob,carol}', 'each counts once'), ('["dave", "bob", "carol", "bob", "dave"]', '{dave,bob,carol}', 'where it stands first'),
  ('[]', '{}', 'none are none'), ('"[]"', '{}', 'in a text, too'), ('null', null, 'null is null'), ('"b[o]b"', '{b[o]b}', 'a bracket inside is none of a list')) a (given, read, fact);
select is(mesh_lib.addresses(null), null, 'and what is not there is not there');
select is(t.said('commander', 'send_message', jsonb_build_object('to', a, 'message', 'x')), 'ME400 a list of addresses is a JSON array of texts, or a text with commas between them: bob,carol', format('%s is no list', a))
from unnest(array['["designer"', '[designer]', '[5]', '["designer", null]', '["designer", ["backend"]]']) a;
select is(t.said('commander', 'send_message', jsonb_build_object('to', a, 'message', 'x')), 'ME400 to is a text or a list of texts', format('nor is the JSON %s', a)) from unnest(array['5', '[5]', '["designer", true]', '{}', 'true']::jsonb[]) a;
select is(t.said('commander', f, '{"to": "designer", "message": 5}' || g), 'ME400 the message is a text or an envelope', f || ' says which argument is neither')
from (values ('send_message', '{}'::jsonb), ('schedule_message', '{"in": "1h"}'), ('ask_agent', '{"timeout": 0}')) f (f, g);
select is((select string_agg(r ->> 'agent', ' ' order by r ->> 'agent') from jsonb_array_elements(t.does('commander', 'send_message', '{"to": "designer,backend,designer", "message": "x"}') -> 'recipients') r), 'backend designer', 'who is named twice gets one copy');
select is((select h ->> 'to' from jsonb_array_elements(t.does('commander', 'list_messages', '{"limit": 1}')) h), 'designer,backend', 'and the history names it once');

-- Times that are none
select is(t.said('commander', 'send_message', jsonb_build_object('to', 'designer', 'message', 'x', 'expires_in', e)), 'ME400 a time is too far off, or a span of time too long', format('%s seconds are too many', e)) from unnest(array[1e308, 1e15]::double precision[]) e;
select is(t.said('commander', 'schedule_message', jsonb_build_object('to', 'designer', 'message', 'x', 'at', a)), 'ME400 there is no day ' || left(a, 10), a || ' is on no day') from unnest(array['2027-02-30', '2027-02-30T10:00', '2027-13-01 10:00Z']) a;
select ok(t.said('commander', 'schedule_message', '{"to": "designer", "message": "x", "at": "2027-02-28"}') like 'ME400 at is a date and a time such as%', 'a day alone is no time');
select is(t.does('commander', 'schedule_message', jsonb_build_object('to', 'designer', 'message', 'x', 'timezone', 'Asia/Tokyo', 'at', d || 'T09:30')) ->> 'at', d || ' 09:30 Asia/Tokyo', 'the answer says when, by the clock that was meant')
from (select (current_date + 40)::text) d (d);
select is((select s ->> 'at' from jsonb_array_elements(t.does('commander', 'list_scheduled')) s), (current_date + 40) || ' 09:30 Asia/Tokyo', 'and so does the list');

-- How many
create view t.many as select array_agg('nobody' || n) as names from generate_series(1, 1001) n;
select t.does('commander', 'create_room', '{"name": "hall"}') ->> 'room' as hall \gset
select is(t.said('commander', 'invite_to_room', jsonb_build_object('room', 'hall', 'agents', names)), 'ME413 at most 1,000 names at a time', 'a room takes a thousand names at a time') from t.many;
select is(t.said('commander', 'create_room', jsonb_build_object('name', 'big', 'members', names)), 'ME413 at most 1,000 names at a time', 'also when it is made') from t.many;
select is(t.said('commander', 'broadcast', jsonb_build_object('message', 'x', 'exclude', names)), 'ME413 at most 1,000 names to exclude', 'as many may be left out') from t.many;
select is(t.said('commander', 'send_message', jsonb_build_object('to', names, 'message', 'x')), 'ME400 a message goes to 1 to 1,000 addresses', 'a message goes to as many') from t.many;
select ok(t.said('commander', 'invite_to_room', jsonb_build_object('room', 'hall', 'agents', array_fill('designer'::text, array[60000]))) = '', 'one name many times is one');

-- Whose text it is
select is((select string_agg(m ->> 'message', ' ' order by m ->> 'message_id') from jsonb_array_elements(t.does('alice', 'tail', '{}', 'proj')) m where m ->> 'from' = 'designer'), '(not for you)', 'who runs a mesh reads that a text is for others')
from (select t.send('designer', 'backend', 'secret')) s;
select finish();
rollback;
