#!/usr/bin/env bash
# A mesh is sealed, and opened, while others send there; envelopes with one id at once.
. "$(dirname "$0")/sessions.bash"
run_sql -o /dev/null -f envelopes.psql || exit 2

mode() { status racer set_mode "jsonb_build_object('mode', '$1', 'certificate', t.signed('racer'))"; }
plain() { status two send_message "'{\"to\": \"one\", \"message\": \"plain\"}'"; }
later() { status two schedule_message "'{\"to\": \"one\", \"message\": \"plain\", \"in\": \"1 hour\"}'"; }
early() { run_sql -c "select count(*) filter (where m.sent_at < e.mode_at) || ' of ' || count(*) from mesh_data.message m join mesh_data.mesh e using (mesh_id) where e.name = 'race' and m.body is not null"; }

# In the open, and sealed meanwhile
tell a "begin; $(plain)"; is "$(heard a)" 200 "one sends in the open"
tell b "$(mode sealed)"; is "$(blocked b)" blocked "who seals the mesh meanwhile waits"
tell a "$(plain)"; is "$(heard a)" 200 "the other goes on"
tell a commit; heard a
is "$(heard b)" 200 "until it has committed"
is "$(early)" "2 of 2" "all plain text is from before the mesh was sealed"
tell a "$(plain)"; is "$(heard a)" 400 "and no more is taken"

# Opened meanwhile
tell a "begin; $(mode open)"; is "$(heard a)" 200 "the mesh is opened"
tell b "$(plain)"; is "$(heard b)" 400 "until that is committed it is sealed"
tell a commit; heard a
tell b "$(plain)"; is "$(heard b)" 200 "then it is open"

# Sealed, and in the open meanwhile
tell a "begin; $(mode sealed)"; is "$(heard a)" 200 "the mesh is sealed again"
tell b "$(plain)"; is "$(blocked b)" blocked "who sends in the open meanwhile waits"
tell a commit; heard a
is "$(heard b)" 400 "and is refused"
is "$(early)" "3 of 3" "nothing was written"
tell a "begin; $(mode open)"; heard a >/dev/null
tell a "commit; begin; $(mode sealed)"; heard a >/dev/null
tell b "$(later)"; is "$(blocked b)" blocked "so does who schedules it"
tell a commit; heard a
is "$(heard b)" 400 "and is refused, too"
is "$(run_sql -c 'select count(*) from mesh_data.schedule s join mesh_data.mesh e using (mesh_id) where e.name = '\''race'\''')" 0 "nothing is scheduled"

# One id at once
sealed() { echo "select (x ->> 'status') || ' ' || coalesce(x #>> '{answer,duplicate}', x #>> '{answer,message}') from t.call('two', 'send_message', jsonb_build_object('to', 'one', 'message', '$1'::jsonb) || '$2') x"; }
envelope=$(run_sql -c "select t.envelope('two', '{one}')")
tell a "begin; $(sealed "$envelope" '{}')"; is "$(heard a)" "200 false" "an envelope is sent"
tell b "$(sealed "$envelope" '{}')"; is "$(blocked b)" blocked "the same at once waits"
tell a commit; heard a
is "$(heard b)" "200 true" "and is the same message"
envelope=$(run_sql -c "select t.envelope('two', '{one}')")
tell a "begin; $(sealed "$envelope" '{"key": "a"}')"; is "$(heard a)" "200 false" "one is sent with a key"
tell b "$(sealed "$envelope" '{"key": "b"}')"; is "$(blocked b)" blocked "with another key at once it waits"
tell a commit; heard a
is "$(heard b)" "409 this id is another message's" "and is refused"
is "$(run_sql -c "select count(*) from mesh_data.message m where m.message_id = (('$envelope'::jsonb ->> 'document')::jsonb ->> 'id')::uuid")" 1 "it is there once"
envelope=$(run_sql -c "select t.envelope('two', '{one}')")
scheduled() { echo "select t.call('two', 'schedule_message', jsonb_build_object('to', 'one', 'in', '1 hour', 'message', '$envelope'::jsonb)) #>> '{answer,schedule_id}'"; }
tell a "begin; $(scheduled)"; id=$(heard a)
tell b "$(scheduled)"; is "$(blocked b)" blocked "who schedules an envelope at once waits"
tell a commit; heard a
is "$(heard b)" "$id" "and it is the same schedule"

# Granted by two at once, of which one is enough
run_sql -o /dev/null -c "select t.does('two', 'create_room', '{\"name\": \"hall\"}')" -c "select t.does('two', 'send_message', jsonb_build_object('to', '#hall', 'message', t.envelope('two', '{}')))" \
  -c "select t.does('one', 'join_room', '{\"room\": \"hall\"}'), t.does('one', 'request_keys', '{\"room\": \"hall\"}')"
grant="select t.call('two', 'grant_key', jsonb_build_object('agent', 'one', 'boxes', (select jsonb_object_agg(m.message_id, t.box('one')) from mesh_data.message m where m.room_id is not null))) #>> '{answer,granted}'"
tell a "begin; $grant"; is "$(heard a)" 1 "a request is granted"
tell b "$grant"; is "$(blocked b)" blocked "at once again it waits"
tell a commit; heard a
is "$(heard b)" 0 "and there is nothing left to grant"
done_testing
