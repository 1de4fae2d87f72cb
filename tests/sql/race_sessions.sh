#!/usr/bin/env bash
# Windows of one agent opened at once: one is live. And what attackers with a connection of their own can try.
. "$(dirname "$0")/sessions.bash"

open() { status one open_session "t.opening('one', '$1') || '{\"takeover\": $2}'"; }
live() { run_sql -c "select count(*) from mesh_data.session s join mesh_data.agent a using (agent_id) join mesh_data.mesh m on m.mesh_id = a.mesh_id where m.name = 'race' and a.name = 'one' and s.ended_at is null"; }

tell a "begin; $(open ' a' false)"; is "$(heard a)" 200 "a window opens"
tell b "$(open ' b' false)"; is "$(blocked b)" blocked "a second waits"
tell a commit; heard a
is "$(heard b)" 409 "and is refused"
tell a "begin; $(open ' c' true)"; is "$(heard a)" 200 "one takes over"
tell b "$(open ' d' true)"; blocked b >/dev/null
tell a commit; heard a
is "$(heard b)" 200 "another takes over from it"
is "$(live)" 1 "one is live"
for n in $(seq 20); do tell a "$(open " a$n" true)"; tell b "$(open " b$n" true)"; done
heard a >/dev/null; heard b >/dev/null
is "$(live)" 1 "forty takeovers at once: one is live"
is "$(run_sql -c "select count(*) = max(s.epoch) from mesh_data.session s join mesh_data.agent a using (agent_id) join mesh_data.mesh m on m.mesh_id = a.mesh_id where m.name = 'race' and a.name = 'one'")" t "each in an epoch of its own"

# A window that ends just when its relay confirms it is nowhere afterwards, and the next one opens.
named() { run_sql -c "select count(*) from mesh_data.presence p join mesh_data.session s on s.session_id = p.session_id join mesh_data.agent a on a.agent_id = s.agent_id where a.name = 'one' and p.agent_id is not null"; }
for known in true false; do
  window=$(run_sql -c "select t.open('one', ' w$known', '{\"takeover\": true}')")
  [ $known = true ] || run_sql -o /dev/null -c "delete from mesh_data.presence where session_id = '$window'"
  tell a "begin; update mesh_data.session set ended_at = mesh_lib.now(), ended_why = 'a test' where session_id = '$window'"; heard a >/dev/null
  tell b "select t.presence('one w$known', 'confirm')"; is "$(blocked b)" blocked "a confirmation waits for a window that ends (known before: $known)"
  tell a commit; heard a; heard b >/dev/null
  is "$(named)" 0 "and does not bring it back"
  tell b "$(open " v$known" false)"; is "$(heard b)" 200 "the next opens"
  is "$(named)" 1 "and is there"
done

# Identity across transactions and backends. Session a is the attacker: mesh_agent with SQL, and a signed setting it has seen.
session c
token() { run_sql -c "select t.token('$1')"; }
me="select coalesce((mesh_lib.me()).agent_id::text, 'nobody')"
tell c "set session authorization mesh_agent; begin; select (mesh_lib.sign_in('$(token one)', null, null)).kind"; is "$(heard c)" agent "a victim is signed in"
tell c "select current_setting('mesh.identity')"; kept=$(heard c)
steal="select set_config('mesh.identity', '$kept', true) is null"
tell c "select set_config('mesh.identity', '', true); $steal; select (mesh_lib.me()).kind"; is "$(heard c | tail -1)" agent "the attacker holds its setting, which is good there and then"
tell a "set session authorization mesh_agent; begin; select (mesh_lib.sign_in('$(token two)', null, null)).kind; $steal; $me"
is "$(heard a | tail -1)" nobody "in another backend it is nobody, while its owner's transaction is open"
tell a "select count(*) from mesh_data.agent"; is "$(heard a)" 0 "and sees nothing"
tell a "rollback"; heard a
tell c "commit; begin; $steal; $me"; is "$(heard c | tail -1)" nobody "in the next transaction of the same backend it is nobody, the ordinal being the same"
tell c "select count(*) from mesh_data.agent"; is "$(heard c)" 0 "and sees nothing"
tell c "rollback; select set_config('mesh.identity', '$kept', false) is null; begin; $me"; is "$(heard c | tail -1)" nobody "nor as a setting of the session"
tell c "rollback; reset mesh.identity"; heard c

# What an attacker holds stops nobody: advisory locks, row locks, an open snapshot.
tell a "select count(pg_advisory_lock(n)) from generate_series(-1000, 1000) n"; is "$(heard a)" 2001 "an agent may take advisory locks"
tell a "begin isolation level repeatable read; select (mesh_lib.sign_in('$(token two)', null, null)).kind; update mesh_data.activity set status = 'dnd'; select count(*) from (select from mesh_data.delivery for update) d"; heard a >/dev/null
tell b "set statement_timeout = '5s'; $(status one send_message "'{\"to\": \"two\", \"message\": \"x\"}'")"; is "$(heard b)" 200 "mail is sent all the same"
tell b "$(status 'one too' check_messages)"; is "$(heard b)" 200 "and taken"
tell b "$(status racer create_agent "'{\"name\": \"three\"}'")"; is "$(heard b)" 200 "and agents made"
tell b "$(open ' z' true)"; is "$(heard b)" 200 "and windows opened"
tell a "rollback; select pg_advisory_unlock_all() is null"; heard a >/dev/null

# Forged pings: a hundred, and mail goes on.
tell a "select count(pg_notify('mesh', 'forged')) from generate_series(1, 100)"; is "$(heard a)" 100 "an agent may forge pings"
tell b "$(status one send_message "'{\"to\": \"two\", \"message\": \"x\"}'")"; is "$(heard b)" 200 "which harm nobody"

# Other sessions: what a relay's or an agent's login sees of them, and whether it can end them.
tell b "select pg_backend_pid()"; pid=$(heard b)
for role in mesh_relay mesh_agent mesh_admin; do
  tell a "reset session authorization; set session authorization $role"; heard a
  tell a "select distinct query from pg_stat_activity where pid = $pid"; is "$(heard a)" "<insufficient privilege>" "$role does not see what others run"
  tell a "select pg_terminate_backend($pid)"; heard a | grep -q 'must be a' ; is "$?" 0 "$role ends no backend of others"
done
done_testing
