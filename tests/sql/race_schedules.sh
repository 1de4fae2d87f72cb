#!/usr/bin/env bash
# Several relays tick at once: what is due is sent once, and what is cancelled meanwhile is not sent.
. "$(dirname "$0")/sessions.bash"

tick="set session authorization mesh_relay; select coalesce(mesh_lib.tick(), -1) >= -1; reset session authorization"
schedule() { run_sql -c "select t.does('one', 'schedule_message', jsonb_build_object('to', 'two', 'message', 'm' || n, 'in', '0')) ->> 'schedule_id' from generate_series(1, $1) n"; }
sent() { run_sql -c "select count(*) || ' of ' || count(distinct m.body) from mesh_data.message m join mesh_data.mesh x using (mesh_id) where x.name = 'race'"; }
clear() { run_sql -o /dev/null -c "delete from mesh_data.message m using mesh_data.mesh x where x.mesh_id = m.mesh_id and x.name = 'race'"; }
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 0'
# What a tick does once an hour is done.
run_sql -o /dev/null -c 'select mesh_lib.maintain_hourly()'
session c

schedule 50 >/dev/null
tell a "begin; $tick"; is "$(heard a)" t "one relay ticks"
tell b "$tick"; is "$(heard b)" t "another does not wait for it"
tell a commit; heard a
tell b "$tick"; heard b >/dev/null
is "$(sent)" "50 of 50" "each message is sent once"

clear
schedule 50 >/dev/null
tell a "begin; $tick"; heard a >/dev/null
tell a rollback; heard a
tell b "$tick"; heard b >/dev/null
is "$(sent)" "50 of 50" "what a relay that died had begun is sent by the next"

clear
for n in $(seq 20); do
  schedule 10 >/dev/null
  for s in a b c; do tell $s "$tick"; done
done
for s in a b c; do heard $s >/dev/null; tell $s "$tick"; heard $s >/dev/null; done
is "$(sent)" "200 of 10" "three that tick again and again: 200 messages"
is "$(cat "$dir"/[abc].out | grep -ci 'error')" 0 "without an error"

# What somebody holds is sent later, and keeps nothing else from being sent.
clear
run_sql -o /dev/null -c "select t.does('one', 'create_room', '{\"name\": \"held\", \"members\": [\"two\"], \"mode\": \"moderated\"}')" \
  -c "select t.does('one', 'schedule_message', jsonb_build_object('to', '#held', 'message', 'held' || n, 'in', '0')) from generate_series(1, 3) n" \
  -c "select t.does('racer', 'edit_agent', '{\"agent\": \"two\", \"role\": \"helper\"}')" -c "select t.does('one', 'schedule_message', '{\"to\": \"role:helper\", \"message\": \"queued\", \"in\": \"0\"}')"
schedule 1 >/dev/null
tell a "begin; select count(*) from (select from mesh_data.room where name = 'held' for update) r, (select pg_advisory_xact_lock(mesh_lib.pool_lock(mesh_lib.pool_id(m.mesh_id, 'role:helper'))) from mesh_data.mesh m where m.name = 'race') p"; heard a >/dev/null
for n in 1 2 3 4; do tell b "$tick"; heard b >/dev/null; done
tell b "$tick"; is "$(heard b)" t "ticks find a room and a pool held by another transaction"
is "$(sent)" "1 of 1" "what needs it not is sent"
tell a rollback; heard a
run_sql -o /dev/null -c 'update mesh_data.schedule set next_at = now() where next_at is not null'
tell b "$tick"; heard b >/dev/null
is "$(sent)" "5 of 5" "the rest comes later"

# A tick and a cancel
cancel() { status one cancel_scheduled "jsonb_build_object('schedule_id', '$1')"; }
clear
id=$(schedule 1)
tell a "begin; $tick"; heard a >/dev/null
tell b "$(cancel "$id")"; is "$(blocked b)" blocked "a cancel waits for what is being sent"
tell a commit; heard a
is "$(heard b)" 410 "and comes too late"
is "$(sent)" "1 of 1" "the message is sent"
clear
id=$(schedule 1)
tell a "begin; $(cancel "$id")"; is "$(heard a)" 200 "a cancel is under way"
tell b "$tick"; heard b >/dev/null
tell a commit; heard a
tell b "$tick"; heard b >/dev/null
is "$(sent)" "0 of 0" "what is cancelled is not sent"

# Two sweep what has expired
run_sql -o /dev/null -c "select t.send('one', 'two', 'e' || n, '{\"expires_in\": 0.2}') from generate_series(1, 20) n" -c 'select pg_sleep(0.3)'
tell a "begin; $tick"; heard a >/dev/null
tell b "$tick"; is "$(heard b)" t "two sweep at once"
tell a commit; heard a
is "$(run_sql -c "select string_agg(distinct d.state, ' ') from mesh_data.delivery d join mesh_data.message m using (message_id) join mesh_data.mesh x on x.mesh_id = m.mesh_id where x.name = 'race' and m.body like 'e%'")" expired "all is expired"

# One ask, made twice at once as after a lost connection
ask="select coalesce(t.call('one', 'ask_agent', jsonb_build_object('to', 'two', 'message', 'why?', 'timeout', 0, 'request_id', '$(cat /proc/sys/kernel/random/uuid)')) #>> '{answer,message_id}', 'none')"
tell a "begin; $ask"; first=$(heard a)
tell b "$ask"; is "$(blocked b)" blocked "a call that is made again waits for itself"
tell a commit; heard a
is "$(heard b)" "$first" "and is the same question"
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 30'
done_testing
