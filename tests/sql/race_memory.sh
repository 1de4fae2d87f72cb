#!/usr/bin/env bash
# Agents who remember and forget at once: a key has one memory, and nobody waits for somebody else's words.
. "$(dirname "$0")/sessions.bash"

remember() { echo "select x ->> 'status', x #>> '{answer,replaced}' from t.call('$1', 'remember', '{\"content\": \"$3\", \"key\": \"$2\"}') x"; }
forget() { status "$1" forget "'{\"key\": \"$2\"}'"; }
there() { run_sql -c "select coalesce(string_agg(content, ' '), 'nothing') from mesh_data.memory m join mesh_data.mesh b on b.mesh_id = m.reader_id where b.name = 'race' and m.key = '$1'"; }

# A key
tell a "begin; $(remember one k first)"; is "$(heard a)" "200|false" "one remembers"
tell b "$(remember two k second)"; is "$(blocked b)" blocked "another who uses the same key waits"
tell a commit; heard a
is "$(heard b)" "200|true" "and replaces what it was given"
is "$(there k)" second "there is one memory"
tell a "begin; $(remember one l first)"; heard a >/dev/null
tell b "$(remember two l second)"; is "$(blocked b)" blocked "the same again"
tell a rollback; heard a
is "$(heard b)" "200|false" "but that is undone: there is nothing to replace"
is "$(there l)" second "and one memory"

# The same words under other keys, in either order
tell a "begin; $(remember one m 'zeppelin armadillo')"; is "$(heard a)" "200|false" "words that are new"
tell b "begin; $(remember two n 'armadillo zeppelin')"; is "$(heard b)" "200|false" "others bring them, too, and do not wait"
tell a "$(remember one o 'yesterday')"; heard a >/dev/null
tell b "$(remember two p 'yesterday'); commit"; heard b >/dev/null
tell a commit; heard a
is "$(run_sql -c "select string_agg(x ->> 'key', ' ' order by x ->> 'key') from jsonb_array_elements(t.does('one', 'recall', '{\"query\": \"zeplin armadilo\"}')) x")" "m n" "a typo finds both"

# Forgetting
tell a "begin; $(forget one k)"; is "$(heard a)" 200 "one forgets"
tell b "$(forget two k)"; is "$(blocked b)" blocked "another, too"
tell a commit; heard a
is "$(heard b)" 404 "it is forgotten once"
is "$(run_sql -c "select count(*) from mesh_data.event e join mesh_data.mesh m using (mesh_id) where m.name = 'race' and e.kind = 'memory_forgotten'")" 1 "and logged once"
tell a "begin; $(forget one l)"; heard a >/dev/null
tell b "$(remember two l third)"; is "$(blocked b)" blocked "who remembers what is being forgotten waits"
tell a commit; heard a
is "$(heard b)" "200|false" "and makes it new"
is "$(there l)" third "and it is there"

# Many at once under few keys
for n in 1 2 3 4 5 6 7 8; do
  for k in 1 2 3 4 5; do echo "$(remember one "key$(((n + k) % 4))" "by $n");"; done | run_sql >"$dir/many.$n" 2>&1 &
  many[n]=$!
done
for n in 1 2 3 4 5 6 7 8; do wait "${many[n]}"; done
is "$(cat "$dir"/many.* | grep -cv '^200')" 0 "forty at once are all remembered"
is "$(run_sql -c "select count(*) || ' ' || count(distinct m.key) from mesh_data.memory m join mesh_data.mesh b on b.mesh_id = m.reader_id where b.name = 'race' and m.key like 'key%'")" "4 4" "each key has one memory"
done_testing
