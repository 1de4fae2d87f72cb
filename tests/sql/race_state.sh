#!/usr/bin/env bash
# Two who set one key at once, and news that is committed in another order than it was made: nothing is lost.
. "$(dirname "$0")/sessions.bash"

# Answers the status, and the version
set_state() { echo "select x ->> 'status', coalesce(x #>> '{answer,version}', x #>> '{answer,data,version}') from t.call('$1', 'set_state', '{\"key\": \"$2\", \"value\": \"$1\"${3:+, \"if_version\": $3}}') x"; }
delete_state() { echo "select x ->> 'status' from t.call('$1', 'delete_state', '{\"key\": \"$2\"}') x"; }

# Compare and set
tell a "begin; $(set_state one new 0)"; is "$(heard a)" "200|1" "one sets a new key"
tell b "$(set_state two new 0)"; is "$(blocked b)" blocked "who does the same meanwhile waits"
tell a commit; heard a
is "$(heard b)" "409|1" "and is refused with what it is now"
tell a "begin; $(set_state one undone 0)"; heard a >/dev/null
tell b "$(set_state two undone 0)"; blocked b >/dev/null
tell a rollback; heard a
is "$(heard b)" "200|1" "but not when it was taken back"
tell a "begin; $(set_state one new 1)"; is "$(heard a)" "200|2" "one sets version 1"
tell b "$(set_state two new 1)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" "409|2" "the other is refused"
tell a "begin; $(set_state one new)"; is "$(heard a)" "200|3" "one sets whatever there is"
tell b "$(set_state two new)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" "200|4" "the other, too, one version later"
tell a "begin; $(delete_state one new)"; is "$(heard a)" 200 "one deletes"
tell b "$(set_state two new 4)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" "409|0" "and the other finds it not set"

won=
for n in $(seq 30); do
  tell a "$(set_state one "free-$n" 0)"; tell b "$(set_state two "free-$n" 0)"
  won+=" $( (heard a; heard b) | sort | tr '\n' -)"
done
is "$(tr ' ' '\n' <<<"$won" | sort | uniq -c | xargs)" "1 30 200|1-409|1-" "thirty times at once: one wins, one is refused"
for n in $(seq 50); do
  tell a "$(set_state one count)"; tell b "$(set_state two count)"
done
heard a >/dev/null; heard b >/dev/null
is "$(run_sql -c "select version from mesh_data.state s join mesh_data.mesh m using (mesh_id) where m.name = 'race' and s.key = 'count'")" 100 "a hundred changes are a hundred versions"

# News, as a relay asks for it that has a window of two
run_sql -o /dev/null -c "select t.open('two')"
two=$(run_sql -c "select format('array[%L]::uuid[], array[%L]', session_id, push_secret) from t.session where who = 'two'")
since=
# What came since the last look, the next of which begins where this one ended
look() {
  local answer
  answer=$(run_sql -c "select h.snapshot, (select string_agg(n.frame #>> '{detail,key}', ' ') from mesh_lib.news($two, nullif('$since', ''), '{}') n) from mesh_lib.horizon() h")
  since=${answer%%|*}
  seen=${answer#*|}
}
look
is "$seen" "" "the first look shows nothing"
tell a "begin; $(set_state one first)"; heard a >/dev/null
look; is "$seen" "" "what is not committed is not shown"
run_sql -o /dev/null -c "$(set_state one second)"
look; is "$seen" second "what is committed before it is"
look; is "$seen" "" "once"
tell a commit; heard a >/dev/null
look; is "$seen" first "what comes later is not lost, though it was made before"
look; is "$seen" "" "and shown once"
tell a "begin; $(set_state one never)"; heard a >/dev/null; tell a rollback; heard a
look; is "$seen" "" "what was taken back is not shown"

# A hundred from two sides, in transactions of any length
all=
for n in $(seq 50); do
  tell a "begin; $(set_state one "a$n"); select pg_sleep(random() / 100); commit"
  tell b "begin; $(set_state one "b$n"); select pg_sleep(random() / 100); commit"
  if [ $((n % 5)) = 0 ]; then look; all+=" $seen"; fi
done
heard a >/dev/null; heard b >/dev/null
look; all+=" $seen"
is "$(tr ' ' '\n' <<<"$all" | grep -c .)" 100 "a hundred are shown"
is "$(tr ' ' '\n' <<<"$all" | grep . | sort -u | wc -l)" 100 "each once"
done_testing
