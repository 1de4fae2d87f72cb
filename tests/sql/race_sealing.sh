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
done_testing
