#!/usr/bin/env bash
# 100 write the log at once while several relays seal it: each event is sealed once, in the order of commits, and the log is whole.
. "$(dirname "$0")/sessions.bash"

mesh="(select m.mesh_id from mesh_data.mesh m join mesh_data.account a on a.account_id = m.owner_account_id where a.name = 'racer' and m.name = 'race')"
verify="select t.call('racer', 'verify_events', '{}', 'race')"
seal="set session authorization mesh_relay; select coalesce(mesh_lib.tick(), -1) >= -1; reset session authorization"
seal_now="select mesh_lib.seal_events('0') >= 0"
# What a tick does once an hour is done, and this log begins sealed.
run_sql -o /dev/null -c 'select mesh_lib.maintain_hourly()' -c "$seal_now"
before=$(run_sql -c "select count(*) from mesh_data.event where mesh_id = $mesh")

# Late commits: what was written first is committed last, and sealed then.
tell a "begin; select t.call('one', 'report_tool', '{\"tool\": \"late\"}') ->> 'status'"; is "$(heard a)" 200 "one writes and does not commit"
run_sql -o /dev/null -c "select t.does('two', 'report_tool', '{\"tool\": \"early\"}')" -c "$seal_now"
is "$(run_sql -c "$verify #>> '{answer,unsealed}'")" 0 "what was committed is sealed"
tell a commit; heard a
is "$(run_sql -c "$verify #>> '{answer,unsealed}'")" 1 "what is committed later is the tail"
run_sql -o /dev/null -c "$seal_now"
is "$(run_sql -c "select string_agg(detail ->> 'tool', ' ' order by seal_number) from mesh_data.event where mesh_id = $mesh and kind = 'tool_used'")" "early late" "and in a later seal"

# Two seal at once: one wins.
run_sql -o /dev/null -c "select t.does('two', 'report_tool', '{\"tool\": \"x\"}')"
tell a "begin; $seal_now"; heard a >/dev/null
tell b "select mesh_lib.seal_events('0')"; is "$(heard b)" 0 "while one seals a mesh another passes it by"
tell a rollback; heard a >/dev/null
tell b "select mesh_lib.seal_events('0')"; is "$(heard b)" 1 "and seals it when the first died"

writer() {
  run_sql -o /dev/null -c "select t.does('racer', 'create_room', '{\"name\": \"r$1\"}', 'race')" -c "begin" -c "select t.does('one', 'set_status', '{\"status\": \"idle\"}')" -c "select pg_sleep(random() * 0.2)" -c "commit" \
    -c "select t.does('racer', 'close_room', '{\"room\": \"r$1\"}', 'race')" 2>&1
}
sealer() { while [ ! -e "$dir/done" ]; do run_sql -o /dev/null -c "$seal_now" 2>&1; sleep 0.05; done; }
for n in 1 2 3; do sealer >>"$dir/sealers" & sealers[n]=$!; done
for n in $(seq 100); do writer "$n" >>"$dir/writers" & writers[n]=$!; done
wait "${writers[@]}"
touch "$dir/done"
wait "${sealers[@]}"
is "$(cat "$dir/writers" "$dir/sealers")" "" "100 writers and three sealers, without an error"
run_sql -o /dev/null -c "$seal_now"
is "$(run_sql -c "select count(*) - $before - 3 from mesh_data.event where mesh_id = $mesh and kind <> 'status_changed'")" 200 "all 200 rooms made and closed are in the log"
is "$(run_sql -c "$verify ->> 'status'")" 200 "the log is whole"
is "$(run_sql -c "$verify #>> '{answer,unsealed}'")" 0 "all of it is sealed"
is "$(run_sql -c "select count(*) = count(distinct u) and count(*) = (select count(*) from mesh_data.event where mesh_id = $mesh) from mesh_data.seal s, unnest(s.event_ids) u where s.mesh_id = $mesh")" t "each event is in one seal"
is "$(run_sql -c "select count(*) > 3 from mesh_data.seal s where s.mesh_id = $mesh")" t "of several"
# A transaction sees only what was committed before it began to look: within a seal they are in order, and a seal is younger than the one before.
is "$(run_sql -c "select bool_and(changed_in >= before) from (select e.changed_in, lag(e.changed_in) over (partition by s.number order by u.n) as before
  from mesh_data.seal s cross join unnest(s.event_ids) with ordinality u (id, n) join mesh_data.event e on e.event_id = u.id where s.mesh_id = $mesh) x where before is not null")" t "in the order of their transactions"

for change in "kind = 'room_closed_not'" "happened_at = happened_at + interval '1 second'" "detail = '{}'"; do
  is "$(run_sql -c begin -c "update mesh_data.event set $change where event_id = (select event_id from mesh_data.event where mesh_id = $mesh and kind = 'room_closed' offset 50 limit 1)" -c "$verify #>> '{answer,data,problems,0,problem}'" -c rollback)" \
    "the event was edited" "an edited event is found: $change"
done

# Who follows misses nothing of what is committed late. (Other databases of this server may hold up the horizon, so older ones come again.)
follow() { run_sql -c "select string_agg(e #>> '{detail,tool}', ' ' order by e ->> 'event_id'), max(e ->> 'cursor') from jsonb_array_elements(t.does('racer', 'list_events', jsonb_build_object('kind', 'tool_used', 'after', '$1'::uuid), 'race')) e where e #>> '{detail,tool}' in ('slow', 'quick')"; }
cursor=$(run_sql -c "select t.does('racer', 'list_events', '{\"limit\": 1}', 'race') #>> '{0,cursor}'")
tell a "begin; select t.call('one', 'report_tool', '{\"tool\": \"slow\"}') ->> 'status'"; heard a >/dev/null
run_sql -o /dev/null -c "select t.does('two', 'report_tool', '{\"tool\": \"quick\"}')"
seen=$(follow "$cursor"); is "${seen%%|*}" quick "who follows sees what is committed"
tell a commit; heard a
seen=$(follow "${seen##*|}"); is "${seen%%|*}" "slow quick" "then what was written before it and committed after it"
for _ in $(seq 300); do next=$(follow "${seen##*|}"); [ "${next%%|*}" = "" ] && break; seen=$next; sleep 0.1; done
is "${next%%|*}" "" "and nothing for ever"
done_testing
