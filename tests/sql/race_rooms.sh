#!/usr/bin/env bash
# Rooms from several sessions at once: two speakers for one turn, batches that cross, and joining while it fills.
. "$(dirname "$0")/sessions.bash"

say() { status "$1" send_message "'{\"to\": \"#$2\", \"message\": \"$3\"}'"; }
turn() { run_sql -c "select a.name from mesh_data.room r join mesh_data.mesh m using (mesh_id) join mesh_data.agent a on a.agent_id = mesh_lib.floor_of(r) where m.name = 'race' and r.name = '$1'"; }
history() { run_sql -c "select t.texts(t.does('one', 'room_history', '{\"room\": \"$1\", \"limit\": 200}'))"; }
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 0' -c "select t.agent('racer', 'race', 'three')" -c "select t.open('one'), t.open('two'), t.open('three')" \
  -c "select t.does('one', 'create_room', '{\"name\": \"round\", \"members\": [\"two\", \"three\"], \"mode\": \"round-robin\"}')" \
  -c "select t.does('one', 'create_room', '{\"name\": \"react\", \"members\": [\"two\", \"three\"], \"mode\": \"reactive\"}')" \
  -c "select t.does('one', 'create_room', '{\"name\": \"panel\", \"members\": [\"two\", \"three\"], \"mode\": \"moderated\"}')" \
  -c "select t.does('one', 'create_room', '{\"name\": \"free\", \"members\": [\"two\", \"three\"]}')"

# Two speakers for one turn
tell a "begin; $(say two round first)"; is "$(heard a)" 200 "somebody begins"
tell b "$(say one round x)"; is "$(blocked b)" blocked "another who would begin waits"
tell a commit; heard a
is "$(heard b)" 409 "and is refused: it is the turn of the third"
is "$(turn round)" three "who has it"
tell a "begin; $(say three round second)"; heard a >/dev/null
tell b "$(say one round third)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" 200 "who waits while its turn comes has it"
tell a "begin; $(say two round x)"; heard a >/dev/null
tell b "$(say two round fourth)"; blocked b >/dev/null
tell a rollback; heard a
is "$(heard b)" 200 "a turn that was never taken is free"
is "$(history round)" "first second third fourth" "the history is in the order of turns"
run_sql -o /dev/null -c "select t.does('three', 'send_message', '{\"to\": \"#round\", \"message\": \"fifth\"}')"
for n in $(seq 20); do
  before=$(history round | wc -w)
  tell a "$(say one round "a$n")"; tell b "$(say 'one too' round "b$n")"
  got=$(printf '%s\n' "$(heard a)" "$(heard b)" | sort | xargs)
  [ "$got" = "200 409" ] && [ "$(turn round)" = two ] && [ $(($(history round | wc -w) - before)) = 1 ] || echo "not ok - round $n: $got"
  run_sql -o /dev/null -c "select t.does('two', 'send_message', '{\"to\": \"#round\", \"message\": \"x\"}')" -c "select t.does('three', 'send_message', '{\"to\": \"#round\", \"message\": \"x\"}')"
done > "$dir/rounds"
is "$(cat "$dir/rounds")" "" "two windows of one agent for one turn, twenty times: exactly one wins"

# Nobody twice in a row, with everybody speaking as fast as it can
session c
for n in $(seq 40); do tell a "$(say one react one)"; tell b "$(say two react two)"; tell c "$(say three react three)"; done
heard a >/dev/null; heard b >/dev/null; heard c >/dev/null
is "$(history react | tr ' ' '\n' | uniq -d)" "" "three speakers at once: nobody spoke twice in a row"
is "$(cat "$dir"/[abc].out | grep -cE 'ERROR|503')" 0 "and no deadlock came to the surface"
is "$(run_sql -c "select count(*) = count(distinct (d.agent_id, d.message_id)) and count(*) = 2 * count(distinct d.message_id) from mesh_data.delivery d join mesh_data.message m using (message_id) join mesh_data.room r on r.room_id = m.room_id where r.name = 'react'")" t \
  "what was said reached the two others"

# Batches that speak in several rooms, in different orders
batch() {
  echo "select string_agg(distinct c.status::text, ' ') from mesh_lib.call((select array_agg(t.token('$1')) from generate_series(1, 4)), array_fill(null::text, array[4]), array_fill(null::text, array[4]),
    array_fill('send_message'::text, array[4]), array(select jsonb_build_object('to', '#' || w, 'message', 'cross')::text from unnest(array[$2]) w)) c" | tr '\n' ' '
}
for n in $(seq 40); do
  tell a "$(batch one "'round', 'react', 'panel', 'free'")"
  tell b "$(batch two "'free', 'panel', 'react', 'round'")"
  tell c "$(batch three "'react', 'round', 'free', 'panel'")"
done
heard a >/dev/null; heard b >/dev/null; heard c >/dev/null
is "$(cat "$dir"/[abc].out | grep -cE 'ERROR|50[03]')" 0 "crossing batches lock rooms in one order: no deadlock comes to the surface"
is "$(run_sql -c "select count(*) from mesh_data.message m join mesh_data.room r on r.room_id = m.room_id where r.name = 'free'")" 120 "in a free room nobody waits or is refused"

# A free room is not locked
tell a "begin; $(say one free x)"; heard a >/dev/null
tell b "$(say two free x)"; is "$(heard b)" 200 "two speak at once in a free room"
tell a rollback; heard a

# Closed while somebody speaks
tell a "begin; $(status one close_room "'{\"room\": \"round\"}'")"; is "$(heard a)" 200 "a room is being closed"
tell b "$(status "$(turn round)" send_message "'{\"to\": \"#round\", \"message\": \"x\"}'")"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" 410 "who waits for its turn there hears so"
tell a "begin; $(status one close_room "'{\"room\": \"free\"}'")"; heard a >/dev/null
run_sql -o /dev/null -c "select t.agent('racer', 'race', 'four')"
tell b "$(status four join_room "'{\"room\": \"free\"}'")"; is "$(blocked b)" blocked "who joins meanwhile waits"
tell a commit; heard a
is "$(heard b)" 410 "and hears so, too"

# One name at once
tell a "begin; $(status one create_room "'{\"name\": \"new\"}'")"; heard a >/dev/null
tell b "$(status two create_room "'{\"name\": \"new\"}'")"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" 409 "two make a room of one name: one does"
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 30'
done_testing
