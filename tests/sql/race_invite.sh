#!/usr/bin/env bash
# Two who redeem a one-use invite at once, and two meshes of one name: one wins.
. "$(dirname "$0")/sessions.bash"

redeem() { echo "t.call('$1', 'redeem_invite', t.redeeming('$2', '$1')) ->> 'status'"; }
invite() { run_sql -o /dev/null -c "select t.invite('racer', 'race', '$1', '$1')"; }

invite held
tell a "begin; select $(redeem held held-a)"; is "$(heard a)" 200 "the first redeems"
tell b "select $(redeem held held-b)"; is "$(blocked b)" blocked "the second waits for it"
tell a commit; heard a
is "$(heard b)" 410 "and is refused when the first has committed"

invite undone
tell a "begin; select $(redeem undone undone-a)"; heard a >/dev/null
tell b "select $(redeem undone undone-b)"; blocked b >/dev/null
tell a rollback; heard a
is "$(heard b)" 200 "but wins when the first took it back"

won=
for n in $(seq 20); do
  invite "free-$n"
  tell a "select $(redeem "free-$n" "free-$n-a")"
  tell b "select $(redeem "free-$n" "free-$n-b")"
  won+=" $( (heard a; heard b) | sort | tr '\n' -)"
done
is "$(tr ' ' '\n' <<<"$won" | sort | uniq -c | xargs)" "1 20 200-410-" "twenty times at once: one wins, one is refused"
is "$(run_sql -c "select count(*) from mesh_data.invite i join mesh_data.mesh m using (mesh_id) where m.name = 'race' and i.used <> 1")" 0 "each invite was used once"
is "$(run_sql -c "select count(*) from mesh_data.agent a join mesh_data.mesh m using (mesh_id) where m.name = 'race' and a.name ~ '^free-.*-2$'")" 0 "and made one agent"

same() { echo "t.call('racer', 'create_mesh', '{\"name\": \"$1\"}') ->> 'status'"; }
tell a "begin; select $(same twin)"; is "$(heard a)" 200 "one makes a mesh"
tell b "select $(same twin)"; is "$(blocked b)" blocked "another of that name waits"
tell a commit; heard a
is "$(heard b)" 409 "and is refused"
won=
for n in $(seq 10); do
  tell a "select $(same "twin-$n")"; tell b "select $(same "twin-$n")"
  won+=" $( (heard a; heard b) | sort | tr '\n' -)"
done
is "$(tr ' ' '\n' <<<"$won" | sort | uniq -c | xargs)" "1 10 200-409-" "ten times at once: one is made"
done_testing
