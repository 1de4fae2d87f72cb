#!/usr/bin/env bash
# Claims on paths from several sessions at once: of those that overlap one wins, and a claim at another's end.
. "$(dirname "$0")/sessions.bash"

run_sql -o /dev/null -c "select t.agent('racer', 'race', 'w' || n) from generate_series(1, 20) n"
claim() { status "$1" claim_paths "'{\"patterns\": [\"$2\"], \"reason\": \"x\", \"ttl\": ${3:-600}}'"; }
claim_id() { run_sql -c "select c.claim_id from mesh_data.claim c join mesh_data.agent a using (agent_id) where a.name = '$1' and '$2' = any (c.patterns) order by c.token desc limit 1"; }
overlaps() {
  run_sql -c "select count(*) from mesh_data.claim x join mesh_data.claim y on y.mesh_id = x.mesh_id and y.agent_id <> x.agent_id and (x.exclusive or y.exclusive) and mesh_lib.any_meet(x.globs, y.globs)
    join mesh_data.mesh m on m.mesh_id = x.mesh_id where m.name = 'race' and x.released_at is null and y.released_at is null and least(x.expires_at, y.expires_at) > now()"
}

# Two
tell a "begin; $(claim one 'src/**')"; is "$(heard a)" 200 "somebody claims a folder"
tell b "$(claim two src/lib.rs)"; is "$(blocked b)" blocked "another who claims a file in it waits"
tell a commit; heard a
is "$(heard b)" 409 "and is too late"
tell a "begin; $(claim one docs)"; heard a >/dev/null
tell b "$(claim two 'docs/*')"; blocked b >/dev/null
tell a rollback; heard a
is "$(heard b)" 200 "a claim that was never made is in nobody's way"
tell a "begin; $(claim one a)"; heard a >/dev/null
tell b "$(claim two b)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" 200 "what does not overlap is had by both"

# Twenty
is "$(all "$(claim WHO 'tests/{a,b}.rs')")" "1 200 19 409" "of twenty who claim the same, one gets it"
is "$(all "select t.call('WHO', 'claim_paths', jsonb_build_object('patterns', array['p/' || substr('WHO', 2)::integer % 5], 'reason', 'x')) ->> 'status'")" "5 200 15 409" "of twenty who claim five things, five get one"
is "$(all "select t.call('WHO', 'claim_paths', jsonb_build_object('patterns', array['r/**'], 'reason', 'x', 'exclusive', 'WHO' = 'w7')) ->> 'status'" | sed -E 's/^(1 200 19 409|19 200 1 409)$/one way/')" "one way" "nineteen share, or one has it alone"
for n in $(seq 5); do
  all "select t.call('WHO', 'claim_paths', jsonb_build_object('patterns', array[p[1 + floor(random() * 6)::integer], p[1 + floor(random() * 6)::integer]], 'reason', 'x', 'exclusive', random() < 0.5)) ->> 'status' from (select array['m/*/$n', 'm/**', 'm/a/$n', 'm/{a,b}/*', 'm/b', 'm/?/*$n'] as p) p" >/dev/null
  [ "$(overlaps)" = 0 ] || echo "round $n: $(overlaps)"
done > "$dir/rounds"
is "$(cat "$dir/rounds")" "" "whatever twenty claim at once, no two have the same alone"
is "$(run_sql -c "select count(*) = count(distinct c.token) from mesh_data.claim c join mesh_data.mesh m using (mesh_id) where m.name = 'race'")" t "each has a token of its own"

# The same call twice at once, as after a lost connection
tell a "begin; select t.call('one', 'claim_paths', '{\"patterns\": [\"again\"], \"reason\": \"x\"}') #>> '{answer,token}'"; token=$(heard a)
tell b "select t.call('one', 'claim_paths', '{\"patterns\": [\"again\"], \"reason\": \"x\"}') #>> '{answer,token}'"; is "$(blocked b)" blocked "a claim that is made again waits for itself"
tell a commit; heard a
is "$(heard b)" "$token" "and is the same claim"

# A claim at its end
run_sql -o /dev/null -c "$(claim one late)"
id=$(claim_id one late)
run_sql -o /dev/null -c "update mesh_data.claim set expires_at = now() where claim_id = '$id'"
tell a "begin; $(claim two late)"; is "$(heard a)" 200 "what has ended is had by another"
tell b "$(status one renew_claim "'{\"claim_id\": \"$id\"}'")"; is "$(blocked b)" blocked "who had it renews meanwhile"
tell a commit; heard a
is "$(heard b)" 410 "and is too late"
run_sql -o /dev/null -c "$(claim one slow)"
id=$(claim_id one slow)
run_sql -o /dev/null -c "update mesh_data.claim set expires_at = clock_timestamp() + interval '1 second' where claim_id = '$id'"
tell a "begin; $(claim two elsewhere)"; heard a >/dev/null
tell b "$(status one renew_claim "'{\"claim_id\": \"$id\"}'")"; blocked b >/dev/null
tell a "select pg_sleep(1.2); $(claim two slow)"; is "$(heard a | xargs)" 200 "while a renewal waits, the claim ends and is had by another"
tell a commit; heard a
is "$(heard b)" 410 "then the renewal is too late, though it was called in time"
is "$(run_sql -c "select n.token > o.token from mesh_data.claim o, mesh_data.claim n where o.claim_id = '$id' and n.claim_id = '$(claim_id two slow)'")" t "who has it later has the greater token"
run_sql -o /dev/null -c "$(claim one later)"
id=$(claim_id one later)
tell a "begin; $(status one renew_claim "'{\"claim_id\": \"$id\"}'")"; is "$(heard a)" 200 "who renews before the end"
tell b "$(claim two later)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" 409 "keeps it"
tell a "begin; $(status one release_claim "'{\"claim_id\": \"$id\"}'")"; heard a >/dev/null
tell b "$(claim two later)"; is "$(blocked b)" blocked "who claims what is being released waits"
tell a commit; heard a
is "$(heard b)" 200 "and has it"
is "$(cat "$dir"/*.out "$dir"/*.all | grep -ciE 'error|deadlock')" 0 "no error came to the surface"
done_testing
