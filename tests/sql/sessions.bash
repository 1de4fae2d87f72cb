# Several psql sessions at once, for the race tests. Sourced with the database's URL as $1; begins with fixtures of its own.
#
#   session a            opens session a
#   tell a "sql"         sends it; heard a   waits for its answer and prints it
#   blocked a            waits until session a waits for a lock
#   is have want fact    one test; done_testing ends them
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
url=$1
dir=$(mktemp -d)
tests=0
declare -A to marks pids
run_sql() { PGOPTIONS='-c client_min_messages=warning' psql -XAtq -d "$url" -v ON_ERROR_STOP=1 "$@"; }

clean() {
  for name in "${!pids[@]}"; do kill "${pids[$name]}" 2>/dev/null; done
  run_sql -o /dev/null -c "delete from mesh_data.message where mesh_id in (select m.mesh_id from mesh_data.mesh m join mesh_data.account a on a.account_id = m.owner_account_id where a.name ~ '^racer')" \
    -c 'delete from mesh_data.delivery d where not exists (select from mesh_data.message m where m.message_id = d.message_id)' \
    -c "delete from mesh_data.mesh m using mesh_data.account a where a.account_id = m.owner_account_id and a.name ~ '^racer'" \
    -c "delete from mesh_data.account where name ~ '^racer'" -c 'delete from mesh_data.presence p where not exists (select from mesh_data.session s where s.session_id = p.session_id)' \
    -c 'drop schema if exists t cascade'
  rm -rf "$dir"
}
trap clean EXIT

# Twenty agents w1 to w20 (the script makes them), each in a session of its own, run this at once, WHO being each: what they say, each with how often.
all() {
  local at jobs=()
  at=$(($(date +%s) + 2))
  for n in $(seq 20); do
    run_sql -c "select pg_sleep(greatest($at - extract(epoch from clock_timestamp()), 0))" -c "${1//WHO/w$n}" >"$dir/w$n.all" 2>&1 &
    jobs+=($!)
  done
  wait "${jobs[@]}"
  cat "$dir"/w*.all | grep . | sort -V | uniq -c | xargs
}

session() {
  mkfifo "$dir/$1.in"
  PGAPPNAME="race $1" PGOPTIONS='-c client_min_messages=warning -c deadlock_timeout=200ms' stdbuf -oL psql -XAtq -d "$url" -f "$dir/$1.in" >"$dir/$1.out" 2>&1 &
  pids[$1]=$!
  exec {fd}>"$dir/$1.in"
  to[$1]=$fd
  marks[$1]=0
  echo '\echo mark-0' >&"$fd"
}
tell() {
  marks[$1]=$((marks[$1] + 1))
  printf '%s;\n\\echo mark-%s\n' "$2" "${marks[$1]}" >&"${to[$1]}"
}
heard() {
  for _ in $(seq 1000); do
    if grep -qx "mark-${marks[$1]}" "$dir/$1.out"; then
      sed -n "/^mark-$((marks[$1] - 1))\$/,/^mark-${marks[$1]}\$/p" "$dir/$1.out" | grep -v '^mark-'
      return
    fi
    sleep 0.02
  done
  echo "session $1 did not answer"
}
blocked() {
  for _ in $(seq 500); do
    [ "$(run_sql -c "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'race $1' and wait_event_type = 'Lock'")" = 1 ] && { echo blocked; return; }
    sleep 0.02
  done
  echo "session $1 is not blocked"
}
is() {
  tests=$((tests + 1))
  if [ "$1" = "$2" ]; then echo "ok $tests - $3"; else printf 'not ok %s - %s\n#   have: %s\n#   want: %s\n' "$tests" "$3" "$1" "$2"; fi
}
done_testing() { echo "1..$tests"; }
status() { echo "select t.call('$1', '$2', ${3:-'{}'}) ->> 'status'"; }

run_sql -o /dev/null -f helpers.psql -c "select t.account('racer')" -c "select t.does('racer', 'create_mesh', '{\"name\": \"race\", \"mode\": \"open\"}')" -c "select t.agent('racer', 'race', 'one')" -c "select t.agent('racer', 'race', 'two')" \
  -c "select t.does('racer', 'create_agent_key', jsonb_build_object('agent', 'one', 'identity_key', t.public_key('identity of one'), 'secret', t.secret('one too'), 'certificate', t.signed('racer')))" || exit 2
session a
session b
