#!/usr/bin/env bash
# Messages from and to several sessions at once: taken, sent twice, crossing, in batches.
. "$(dirname "$0")/sessions.bash"

send() { status "$1" send_message "'{\"to\": \"$2\", \"message\": \"$3\"}'"; }
texts() { echo "select t.texts(t.call('$1', 'check_messages', '{\"limit\": ${2:-100}}') #> '{answer,messages}')"; }
states() { run_sql -c "select string_agg(distinct d.state, ' ') from mesh_data.delivery d join mesh_data.mesh m using (mesh_id) where m.name = 'race'"; }

# Two keys of one agent drain at once: the second waits, gets the same again, and each message is settled once.
run_sql -o /dev/null -c "select t.send('two', 'one', 'm' || n) from generate_series(1, 3) n"
tell a "begin; $(texts one)"; is "$(heard a)" "m1 m2 m3" "one key takes what is there"
tell b "$(texts 'one too')"; is "$(blocked b)" blocked "another key of that agent waits"
tell a commit; heard a
is "$(heard b)" "m1 m2 m3" "and gets the same again: an agent is one recipient"
tell a "$(texts one)"; is "$(heard a)" "m1 m2 m3" "who lost the claim settles nothing"
tell a "$(texts one)"; is "$(heard a)" "" "who has it settles all"
is "$(states)" acknowledged "once"

# Both drain while somebody sends: nothing is lost, nothing fails, nothing deadlocks.
session c
for n in $(seq 60); do
  tell c "$(send two one "n$n")"
  tell a "$(texts one 5)"
  tell b "$(texts 'one too' 5)"
done
heard c >/dev/null; heard a >/dev/null; heard b >/dev/null
is "$(grep -vcE '^(200|mark-[0-9]+)$' "$dir/c.out")" 0 "every send worked"
for n in $(seq 20); do tell a "$(texts one)"; tell b "$(texts 'one too')"; done
heard a >/dev/null; heard b >/dev/null
tell a "$(texts one)"; heard a >/dev/null; tell a "$(texts one)"; heard a >/dev/null
is "$(cat "$dir/a.out" "$dir/b.out" | grep -o '\bn[0-9]*' | sort -u | wc -l)" 60 "each of 60 messages reached the agent"
is "$(states)" acknowledged "and is settled"
is "$(cat "$dir/a.out" "$dir/b.out" | grep -ciE 'error|deadlock')" 0 "without an error"

# One key of idempotency, sent twice at once
keyed() { echo "select (x ->> 'status') || ' ' || coalesce(x #>> '{answer,duplicate}', x #>> '{answer,code}') from t.call('two', 'send_message', '{\"to\": \"one\", \"message\": \"$2\", \"key\": \"$1\"}') x"; }
tell a "begin; $(keyed k same)"; is "$(heard a)" "200 false" "one sends with a key"
tell b "$(keyed k same)"; is "$(blocked b)" blocked "the same at once waits"
tell a commit; heard a
is "$(heard b)" "200 true" "and is a duplicate"
tell a "begin; $(keyed k2 same)"; heard a >/dev/null
tell b "$(keyed k2 other)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" "409 ME409" "another text with that key is refused"
tell a "begin; $(keyed k3 same)"; heard a >/dev/null
tell b "$(keyed k3 other)"; blocked b >/dev/null
tell a rollback; heard a
is "$(heard b)" "200 false" "unless the first was never sent"
for n in $(seq 20); do tell a "$(keyed "f$n" same)"; tell b "$(keyed "f$n" same)"; done
heard a >/dev/null; heard b >/dev/null
is "$(run_sql -c "select count(*) from mesh_data.message m join mesh_data.agent a on a.agent_id = m.sender_agent_id where a.name = 'two' and m.body = 'same' and a.mesh_id = (select mesh_id from mesh_data.mesh where name = 'race')")" 22 \
  "twenty times twice at once: twenty messages"

# Relays hear of what is new, and not of what was sent before
run_sql -o /dev/null -c "select t.open('one', 'pinged')" -c "update mesh_data.presence p set relay_id = gen_random_uuid() from t.session s where s.session_id = p.session_id and s.who = 'onepinged'"
tell b "listen mesh"; heard b >/dev/null
tell a "$(keyed ping same)"; heard a >/dev/null
tell b "select 'heard'"; is "$(heard b | grep -c 'notification "mesh"')" 1 "relays hear of what is sent with a key"
tell a "$(keyed ping same)"; is "$(heard a)" "200 true" "when it is sent again"
tell b "select 'heard'"; is "$(heard b | grep -c 'notification "mesh"')" 0 "they hear nothing"
tell b "unlisten mesh"; heard b >/dev/null

# Crossing: one to two, two to one, and to all, in batches of one transaction each
batch() {
  echo "select string_agg(c.status::text, ' ') from mesh_lib.call((select array_agg(t.token(w)) from unnest(array[$1]) w), array_fill(null::text, array[3]), array_fill(null::text, array[3]),
    array_fill('send_message'::text, array[3]), array(select jsonb_build_object('to', w, 'message', 'cross')::text from unnest(array[$2]) w)) c" | tr '\n' ' '
}
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 0'
for n in $(seq 40); do
  tell a "$(batch "'one', 'two', 'one'" "'two', 'one', '*'")"
  tell b "$(batch "'two', 'one', 'two'" "'one', 'two', '*'")"
  tell c "$(batch "'two', 'two', 'one'" "'*', 'one', '*'")"
done
heard a >/dev/null; heard b >/dev/null; heard c >/dev/null
is "$(cat "$dir"/[abc].out | grep -c '^200 200 200$')" 120 "360 crossing sends in 120 batches: no deadlock comes to the surface"
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 30'

# Batches that take mail in opposite orders, as two relays might: one batch fails as a whole, for its relay to run again.
tell a "begin; $(status one check_messages)"; heard a >/dev/null
tell b "begin; $(status two check_messages)"; heard b >/dev/null
tell a "$(status two check_messages)"; blocked a >/dev/null
tell b "$(status one check_messages)"
is "$({ heard a; heard b; } | grep -oE '^[0-9]+$|deadlock detected' | sort | xargs)" "200 deadlock detected" "of two batches in a deadlock one fails, the other is done"
tell a commit; tell b commit; heard a >/dev/null; heard b >/dev/null

# In order per sender and recipient, also between sessions that commit one after the other
run_sql -o /dev/null -c "select t.take('one'), t.take('one'), t.take('one'), t.take('one'), t.take('one'), t.take('one'), t.take('one'), t.take('one')" -c "select t.take('one', '{\"limit\": 100}') from generate_series(1, 10)"
for n in $(seq 20); do
  if [ $((n % 2)) = 0 ]; then s=a; else s=b; fi
  tell $s "$(send two one "o$n")"; heard $s >/dev/null
done
tell a "$(texts one)"
is "$(heard a)" "$(seq -f 'o%g' -s ' ' 20)" "mail of one sender arrives in the order it was sent"

# One key drains in two sessions at once: each message is returned once.
run_sql -o /dev/null -c "select t.take('one', '{\"limit\": 100}'), t.take('one too', '{\"limit\": 100}') from generate_series(1, 10)" -c "select t.send('two', 'one', 'drain' || n) from generate_series(1, 200) n"
from=$(cat "$dir/a.out" "$dir/b.out" | wc -l)
for n in $(seq 15); do tell a "$(texts one 10)"; tell b "$(texts one 10)"; done
heard a >/dev/null; heard b >/dev/null
is "$(cat "$dir/a.out" "$dir/b.out" | grep -o '\bdrain[0-9]*' | sort | uniq -d | wc -l)" 0 "two drains at once return no message twice"
is "$(cat "$dir/a.out" "$dir/b.out" | grep -o '\bdrain[0-9]*' | sort -u | wc -l)" 200 "and together all 200"
is "$(grep -c drain "$dir/a.out" | sed 's/^[1-9].*/some/') $(grep -c drain "$dir/b.out" | sed 's/^[1-9].*/some/')" "some some" "both had a part"
is "$(grep -h drain "$dir/a.out" "$dir/b.out" | while read -r line; do tr ' ' '\n' <<<"$line" | sort -c -V 2>&1; done)" "" "each in order"

# A relay that was pinged looks until the transactions are over that were open then: also the youngest, which may have left
# the ping to another.
tell a "begin; select pg_current_xact_id()"; id=$(heard a)
is "$(run_sql -c "select oldest <= $id and next > $id from mesh_lib.horizon()")" t "the youngest open transaction is within the horizon"
tell a rollback; heard a

# Released by one while another takes it: the release comes first or after, and neither is lost.
given_back() { run_sql -c "select d.state || ' ' || d.attempts from mesh_data.delivery d where d.message_id = '$1'"; }
id=$(run_sql -c "select t.send('two', 'one', 'released')")
tell a "begin; $(status one release_messages "'{\"message_ids\": [\"$id\"]}'")"; is "$(heard a)" 200 "one gives a message back"
tell b "$(texts one)"; is "$(blocked b)" blocked "who takes mail at once waits"
tell a commit; heard a
is "$(heard b)" released "and gets it"
tell a "begin; $(status one release_messages "'{\"message_ids\": [\"$id\"]}'")"; heard a >/dev/null
tell b "$(status 'one too' release_messages "'{\"message_ids\": [\"$id\"]}'")"; is "$(blocked b)" blocked "two give it back at once: the second waits"
tell a commit; heard a; heard b >/dev/null
is "$(given_back "$id")" "queued 3" "each counts"
tell a "begin; $(status one ack_messages "'{\"message_ids\": [\"$id\"]}'")"; heard a >/dev/null
tell b "select t.call('one', 'release_messages', '{\"message_ids\": [\"$id\"]}') -> 'answer'"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b) $(given_back "$id")" '{"dead": 0, "already": 1, "released": 0} acknowledged 3' "what is acknowledged meanwhile is not given back"

# Partitions are made and dropped while calls run
run_sql -o /dev/null -c "select mesh.maintain()"
month=mesh_data.$(run_sql -c "select mesh_lib.partition_name('delivery', mesh_lib.now())")
run_sql -o /dev/null -c "alter table mesh_data.delivery detach partition $month" -c "insert into mesh_data.delivery select * from $month" -c "drop table $month"
maintain="select created || ' ' || busy from mesh.maintain()"
tell a "begin; select count(*) >= 0 from mesh_data.delivery"; heard a >/dev/null
tell b "$maintain"
sleep 0.3
tell c "$(texts two)"; heard c >/dev/null
is "$(heard b)" "0 true" "a partition in use: maintain gives up"
is "$(tail -qn 3 "$dir/c.out" | grep -ciE 'error|deadlock')" 0 "and calls meanwhile wait, no more"
tell a commit; heard a
tell a "begin; $maintain"; is "$(heard a)" "1 false" "the next time it makes it"
tell b "select m is null from mesh.maintain() m"; is "$(heard b)" t "another at the same time leaves it to the first"
# As maintain does, give up before a deadlock is found; sessions here look for one after 0.2 s.
tell a "commit; set lock_timeout = '100ms'"; heard a
for n in $(seq 20); do
  tell c "$(send two one "kept$n")"
  tell b "$(texts one 5)"
  tell a "select mesh_lib.create_partition('message', mesh_lib.month_of('2020-01-15')); select mesh_lib.create_partition('delivery', mesh_lib.month_of('2020-01-15'))"
  tell a "select mesh_lib.drop_month(mesh_lib.month_of('2020-01-15'))"
done
heard c >/dev/null; heard b >/dev/null; tell a "reset lock_timeout"; heard a >/dev/null
for n in $(seq 6); do tell b "$(texts one 5)"; heard b >/dev/null; done
run_sql -o /dev/null -c "select mesh_lib.drop_month(mesh_lib.month_of('2020-01-15'))"
is "$(cat "$dir/b.out" | grep -o '\bkept[0-9]*' | sort -u | wc -l)" 20 "months come and go while mail is sent and taken: all of it arrives"
is "$(cat "$dir"/[abc].out | grep -ciE 'deadlock|ME5')" 1 "without another deadlock"

# Revoking a key in the middle of sends
tell a "begin; $(send two one before)"; is "$(heard a)" 200 "a send is under way"
run_sql -o /dev/null -c "select t.does('racer', 'revoke_key', jsonb_build_object('key_id', t.does('two', 'whoami') -> 'key_id'))"
tell a "$(send two one after)"; is "$(heard a)" 401 "its key is revoked and committed: the next call is refused, in the same transaction"
tell a commit; heard a
tell b "$(send two one later)"; is "$(heard b)" 401 "and in any other"
tell b "$(texts one)"; is "$(heard b)" before "what was sent before has arrived"
done_testing
