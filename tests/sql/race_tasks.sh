#!/usr/bin/env bash
# Tasks from several sessions at once: one winner of a claim, a claim at the end of another's, and circles by two edits.
. "$(dirname "$0")/sessions.bash"

run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 0' -c "select t.agent('racer', 'race', 'w' || n) from generate_series(1, 20) n"
create() { run_sql -c "select t.does('one', 'create_task', '{\"title\": \"x\"${1:-}}') ->> 'task'"; }
claim() { status "$1" claim_task "'{\"task\": $2}'"; }
next() { echo "select coalesce(t.call('$1', 'claim_task') #>> '{answer,task}', 'none')"; }
depend() { status "$1" update_task "'{\"task\": $2, \"depends_on\": [$3]}'"; }
complete() { status "$1" complete_task "'{\"task\": $2, \"result\": \"by $1\"}'"; }
steps() { run_sql -c "select string_agg(concat_ws(' ', s.step, a.name), ', ' order by s.ordinal) from mesh_data.task_step s join mesh_data.task k using (task_id) join mesh_data.mesh m on m.mesh_id = k.mesh_id left join mesh_data.agent a on a.agent_id = s.agent_id where m.name = 'race' and k.number = $1"; }

# One task
task=$(create)
tell a "begin; $(claim one "$task")"; is "$(heard a)" 200 "somebody claims a task"
tell b "$(claim two "$task")"; is "$(blocked b)" blocked "another who claims it waits"
tell a commit; heard a
is "$(heard b)" 409 "and is too late"
task=$(create)
tell a "begin; $(claim one "$task")"; heard a >/dev/null
tell b "$(claim two "$task")"; blocked b >/dev/null
tell a rollback; heard a
is "$(heard b)" 200 "a claim that was never made is in nobody's way"
task=$(create)
is "$(all "$(claim WHO "$task")")" "1 200 19 409" "of twenty who claim one task, one gets it"
is "$(steps "$task" | grep -o claimed | wc -l)" 1 "once"

# The next task
for n in $(seq 20); do create >/dev/null; done
all "$(next WHO)" >/dev/null
is "$(run_sql -c "select count(distinct k.claimant_agent_id) from mesh_data.task k join mesh_data.mesh m using (mesh_id) where m.name = 'race' and k.status = 'claimed' and k.number > $task")" 20 "twenty who claim the next of twenty get one each"
task=$(create)
tell a "begin; $(next one)"; is "$(heard a)" "$task" "somebody claims the next, the only one"
tell b "$(next two)"; is "$(heard b)" none "another does not wait for it, and hears that there is none"
tell a commit; heard a
is "$(all "$(complete one "$task")")" "20 200" "who completes twenty times completes once"
is "$(steps "$task" | grep -o completed | wc -l)" 1 "as its history says"

# The end of a lease: the agent comes back while another claims, and while a relay takes it back
ended() { run_sql -o /dev/null -c "update mesh_data.watch set began_at = now() - interval '1 day', looked_at = now()" \
  -c "update mesh_data.task k set lease_ends_at = now() - interval '1 minute' from mesh_data.mesh m where m.mesh_id = k.mesh_id and m.name = 'race' and k.number = $1"; }
tick="set session authorization mesh_relay; select coalesce(mesh_lib.tick(), -1) >= -1; reset session authorization"
lapse() { run_sql -o /dev/null -c "update mesh_data.watch set looked_at = now() - interval '20 seconds'"; }
task=$(create); run_sql -o /dev/null -c "$(claim one "$task")"; ended "$task"
tell a "begin; $(claim two "$task")"; is "$(heard a)" 200 "a claim that has ended is had by another"
tell b "$(complete one "$task")"; is "$(blocked b)" blocked "who had it comes back meanwhile"
tell a commit; heard a
is "$(heard b)" 403 "and is too late"
task=$(create); run_sql -o /dev/null -c "$(claim one "$task")"; ended "$task"
tell a "begin; $(complete one "$task")"; is "$(heard a)" 200 "who had it comes back first"
tell b "$(claim two "$task")"; is "$(blocked b)" blocked "another claims it meanwhile"
tell a commit; heard a
is "$(heard b)" 410 "and is too late"
task=$(create); run_sql -o /dev/null -c "$(claim one "$task")"; ended "$task"
tell a "begin; $(claim one "$task")"; heard a >/dev/null
lapse; tell b "$tick"; is "$(heard b)" t "a relay does not wait for who renews"
tell a commit; heard a
is "$(steps "$task")" "created one, claimed one" "and takes nothing back"
ended "$task"; lapse
tell a "begin; $tick"; heard a >/dev/null
tell b "$(claim one "$task")"; is "$(blocked b)" blocked "who renews while a relay takes it back waits"
tell a commit; heard a
is "$(heard b)" 200 "and has it anew"
is "$(steps "$task")" "created one, claimed one, lapsed one, claimed one" "as the history says"
task=$(create); run_sql -o /dev/null -c "$(claim one "$task")"; ended "$task"
is "$(all "$(claim WHO "$task")")" "1 200 19 409" "of twenty who claim what another had, one gets it"
is "$(steps "$task" | grep -o lapsed | wc -l)" 1 "which ends the claim before once"

task=$(create); run_sql -o /dev/null -c "$(claim one "$task")"; ended "$task"
is "$(all "$(next WHO)")" "1 $task 19 none" "nor do several get it as the next"

# Circles
x=$(create); y=$(create)
tell a "begin; $(depend one "$x" "$y")"; is "$(heard a)" 200 "one task is to wait for another"
tell b "$(depend one "$y" "$x")"; is "$(blocked b)" blocked "and the other for the first, at once"
tell a commit; heard a
is "$(heard b)" 409 "only one of both is so"
x=$(create); y=$(create); z=$(create)
for n in $(seq 10); do
  tell a "$(depend one "$x" "$y")"; tell b "$(depend one "$y" "$z")"; run_sql -o /dev/null -c "$(depend one "$z" "$x")"
  heard a >/dev/null; heard b >/dev/null
  run_sql -c "with recursive way (a, b) as (select task_id, depends_on_task_id from mesh_data.task_dependency union select w.a, d.depends_on_task_id from way w join mesh_data.task_dependency d on d.task_id = w.b) select count(*) from way where a = b"
  for k in "$x" "$y" "$z"; do run_sql -o /dev/null -c "$(depend one "$k" "")"; done
done > "$dir/circles"
is "$(sort -u "$dir/circles")" 0 "three at once never close a circle"

# What waits for two that end at once
x=$(create); y=$(create); z=$(create ", \"depends_on\": [$x, $y], \"assignee\": \"two\"")
run_sql -o /dev/null -c "$(claim one "$x")" -c "$(claim one "$y")"
tell a "begin; $(complete one "$x")"; heard a >/dev/null
tell b "select t.call('one', 'complete_task', '{\"task\": $y, \"result\": \"y\"}') #>> '{answer,free}'"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" "[$z]" "the later of two tells that a third can begin"

# Numbers
is "$(all "select 'n' || (t.does('WHO', 'create_task', '{\"title\": \"x\"}') ->> 'task')" | grep -o n | wc -l)" 20 "twenty who make tasks at once"
is "$(run_sql -c "select count(*) = max(k.number) from mesh_data.task k join mesh_data.mesh m using (mesh_id) where m.name = 'race'")" t "give them numbers without a gap"
is "$(cat "$dir"/*.out "$dir"/*.all | grep -ciE 'error|deadlock')" 0 "no error came to the surface"
run_sql -o /dev/null -c 'update mesh_data.setting set turns_per_minute = 30' -c "update mesh_data.watch set began_at = '-infinity', looked_at = '-infinity'"
done_testing
