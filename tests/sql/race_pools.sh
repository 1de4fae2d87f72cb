#!/usr/bin/env bash
# Senders to a role and agents who come online at once: no mail is left lying, none is given twice.
. "$(dirname "$0")/sessions.bash"

run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 0' -c "select t.agent('racer', 'race', 'three')" -c "select t.does('racer', 'create_pool', '{\"name\": \"x\", \"agents\": [\"one\", \"two\"]}')"
# Answers the status, and whom it is for: an agent's name, or role:x
send() { echo "select x ->> 'status', x #>> '{answer,recipients,0,agent}' from t.call('three', 'send_message', '{\"to\": \"role:x\", \"message\": \"$1\"}') x"; }
open() { status "$1" open_session "t.opening('$1', '$2') || '{\"takeover\": true}'"; }
close() { run_sql -o /dev/null -c "update mesh_data.session s set ended_at = now(), ended_why = 'test' from mesh_data.agent a join mesh_data.mesh m on m.mesh_id = a.mesh_id where m.name = 'race' and a.agent_id = s.agent_id and s.ended_at is null"; }
# Where the mail with this text is: names of agents, or pool
where() { run_sql -c "select coalesce(string_agg(coalesce(a.name, 'pool'), ' ' order by a.name), 'nowhere') from mesh_data.delivery d join mesh_data.message m on m.message_id = d.message_id left join mesh_data.agent a on a.agent_id = d.agent_id where m.body = '$1'"; }

# Two come at once
run_sql -o /dev/null -c "$(send first)"; is "$(where first)" pool "mail waits for a role"
tell a "begin; $(open one a)"; is "$(heard a)" 200 "one comes and takes it"
tell b "$(open two a)"; is "$(blocked b)" blocked "another who comes meanwhile waits"
tell a commit; heard a
is "$(heard b)" 200 "and comes"
is "$(where first)" one "it was given once"
close

run_sql -o /dev/null -c "$(send second)"
tell a "begin; $(open one b)"; is "$(heard a)" 200 "one comes and takes it"
tell b "$(open two b)"; blocked b >/dev/null
tell a rollback; heard a
is "$(heard b)" 200 "but that is undone"
is "$(where second)" two "the other gets it"
close

# Somebody comes while somebody sends, in either order
tell a "begin; $(send crossing)"; is "$(heard a)" "200|role:x" "nobody is there: a message is about to wait"
tell b "$(open one c)"; is "$(blocked b)" blocked "who comes now waits for its sender"
tell a commit; heard a
is "$(heard b)" 200 "and comes"
is "$(where crossing)" one "and finds it"
close
tell a "begin; $(open one d)"; is "$(heard a)" 200 "somebody comes"
tell b "$(send later)"; is "$(blocked b)" blocked "who finds nobody there waits for those who come"
tell a commit; heard a
is "$(heard b)" "200|one" "looks again, and reaches it"
is "$(where later)" one "at once"
close
tell a "begin; $(send shared)"; heard a >/dev/null
tell b "$(send shared)"; is "$(heard b)" "200|role:x" "senders do not wait for one another"
tell a commit; heard a

# A report of who is there waits for nobody
tell a "select t.open('one', 'e')"; heard a >/dev/null
is "$(where shared)" "one one" "who comes takes all of it"
run_sql -o /dev/null -c "select t.does('one', 'set_status', '{\"status\": \"dnd\"}')" -c "$(send quiet)" -c "update mesh_data.activity v set status = 'idle' from mesh_data.agent a where a.agent_id = v.agent_id and a.name = 'one'"
tell a "begin; select pg_advisory_xact_lock_shared(mesh_lib.pool_lock(pool_id)) is null from mesh_data.pool where name = 'x'"; heard a >/dev/null
tell b "select t.presence('onee', 'confirm')"; is "$(heard b)" "" "while a sender is under way a report does not wait"
is "$(where quiet)" pool "and leaves what waits"
tell a commit; heard a
tell b "select t.presence('onee', 'confirm')"; heard b >/dev/null
is "$(where quiet)" one "for the next"
close

# Somebody becomes free while somebody sends, in either order
status_of() { echo "select t.does('$1', 'set_status', '{\"status\": \"$2\"}') ->> 'status'"; }
edit() { status three edit_pool "'{\"name\": \"x\", \"agents\": [$1]}'"; }
# Not available, and available again: of the only one who is there
away=("$(status_of one dnd)" "$(edit '"two"')" "$(status one block_agent "'{\"agent\": \"three\"}'")")
back=("$(status_of one idle)" "$(edit '"one", "two"')" "$(status one unblock_agent "'{\"agent\": \"three\"}'")")
what=("is dnd no more" "is put into the pool" "blocks the sender no more")
for n in 0 1 2; do
  run_sql -o /dev/null -c "select t.open('one', 'free$n', '{\"takeover\": true}')" -c "${away[n]}"
  tell a "begin; $(send "before$n")"; is "$(heard a)" "200|role:x" "a message is about to wait"
  tell b "${back[n]}"; is "$(blocked b)" blocked "who ${what[n]} meanwhile waits for its sender"
  tell a commit; heard a >/dev/null; heard b >/dev/null
  is "$(where "before$n")" one "and is given it"
  run_sql -o /dev/null -c "${away[n]}"
  tell a "begin; ${back[n]}"; heard a >/dev/null
  tell b "$(send "after$n")"; is "$(blocked b)" blocked "a sender waits for who ${what[n]}"
  tell a commit; heard a >/dev/null
  is "$(heard b)" "200|one" "and reaches it"
  run_sql -o /dev/null -c "${away[n]}" -c "$(send "report$n")"
  tell a "begin; ${back[n]}"; heard a >/dev/null
  tell b "select t.presence('onefree$n', 'confirm')"; is "$(blocked b)" blocked "a report of who ${what[n]} waits for that"
  tell a commit; heard a >/dev/null; is "$(heard b)" "" "and finds nothing left"
  is "$(where "report$n")" one "it was given once"
done
close

# Relays hear of what was handed over
run_sql -o /dev/null -c "select t.open('one', 'told')" -c "$(edit '"two"')" -c "$(send told)"
tell b "listen mesh"; heard b >/dev/null
tell a "$(edit '"one", "two"')"; heard a >/dev/null
tell b "select 'heard'"; is "$(heard b | grep -c 'notification "mesh"')" 1 "relays are told that there is mail to show"
tell b "unlisten mesh"; heard b >/dev/null
close

# A member of a pool asks it while somebody edits it
run_sql -o /dev/null -c "select t.does('one', 'create_room', '{\"name\": \"hall\", \"members\": [\"two\"], \"mode\": \"moderated\"}')" -c "$(edit '"two"')" -c "select t.open('one', 'asking')"
session c
tell c "begin; select count(*) from (select from mesh_data.room where name = 'hall' for update) r"; heard c >/dev/null
tell a "select coalesce(x ->> 'status', 'none') || (x ->> 'answer' is null) from t.call('one', 'ask_agent', jsonb_build_object('to', 'role:x,#hall', 'message', 'asked', 'timeout', 5, 'request_id', gen_random_uuid()), null, t.window('oneasking')) x"
is "$(blocked a)" blocked "an ask to a role has found nobody there, and waits for something else"
tell b "$(edit '"one", "two"')"; is "$(blocked b)" blocked "who puts the one who asks into the pool waits for it"
tell c commit; heard c
is "$(heard a)" 200true "it goes on and waits for its answer"
is "$(heard b)" 200 "and the pool is edited"
close

# A circle of two batches
tell a "begin; $(send circle)"; heard a >/dev/null
tell b "begin; $(send circle)"; heard b >/dev/null
tell a "$(status one open_session "t.opening('one', 'f')")"; blocked a >/dev/null
tell b "$(status two open_session "t.opening('two', 'f')")"
is "$({ heard a; heard b; } | grep -oE '^[0-9]+$|deadlock detected' | sort | xargs)" "200 deadlock detected" "of two batches in a deadlock one fails"
tell b commit; tell a commit; heard a >/dev/null; heard b >/dev/null
is "$(where circle | sed 's/one/given/g; s/two/given/g')" "given" "and the mail of the other is given to who came in it"
close

# Everybody at once, for a while
for n in $(seq 40); do
  tell c "$(send "s$n")"
  if [ $((n % 5)) = 0 ]; then close; fi
  tell a "$(open one "g$n")"
  tell b "$(open two "g$n")"
done
heard a >/dev/null; heard b >/dev/null; heard c >/dev/null
is "$(grep -c '^200|' "$dir/c.out")" 40 "forty are sent while two come and go"
is "$(run_sql -c "select count(*) filter (where a.name in ('one', 'two')) || ' of ' || count(*) from mesh_data.delivery d join mesh_data.message m using (message_id) left join mesh_data.agent a on a.agent_id = d.agent_id where m.body ~ '^s[0-9]+\$'")" "40 of 40" "each was given to one of them"
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 30'
done_testing
