//! What a reload has to run: statements sorted into the guard (it touches tables, so it needs their locks) and the rest.

use super::source::File;
use super::split::{Statement, split, words};
use crate::crypto::sha256_hex;
use crate::error::Result;
use std::collections::HashSet;

/// The file whose functions policies and triggers use: wholly guard.
const IDENTITY: &str = "sql/lib/identity.sql";

pub struct Plan {
    /// In load order; true = guard.
    pub statements: Vec<(bool, Statement)>,
    pub guard_hash: String,
    pub rest_hash: String,
    /// `schema.name` of the functions, types and views that belong to the guard.
    pub guarded: HashSet<String>,
}

/// Errors: ME400 for text that cannot be cut into statements.
pub fn plan(code: &[File]) -> Result<Plan> {
    let mut statements = Vec::new();
    let mut guarded = HashSet::new();
    for file in code {
        for statement in split(&file.path, &file.text)? {
            let words = words(&statement.text);
            let used_by_tables = file.path == IDENTITY || makes_a_trigger_function(&words);
            if used_by_tables {
                guarded.extend(created(&words));
            }
            statements.push((used_by_tables || touches_a_table(&words), statement));
        }
    }
    let hash = |guard: bool| {
        let texts = statements
            .iter()
            .filter(|(g, _)| *g == guard)
            .map(|(_, s)| s.text.as_str());
        sha256_hex(texts.collect::<Vec<_>>().join("\n;\n").as_bytes())
    };
    Ok(Plan {
        guard_hash: hash(true),
        rest_hash: hash(false),
        statements,
        guarded,
    })
}

/// Whether a statement changes a table of mesh_data: its policies, triggers, privileges or itself.
fn touches_a_table(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create" | "alter" | "drop", "policy" | "trigger", ..]
        | ["create", "or", "replace", "trigger", ..]
        | ["create", "constraint", "trigger", ..]
        | ["create", "or", "replace", "constraint", "trigger", ..]
        | ["comment", "on", "policy" | "trigger", ..]
        | ["alter", "table" | "sequence", ..] => true,
        [
            "comment",
            "on",
            "table" | "column" | "sequence" | "constraint" | "index",
            rest @ ..,
        ] => rest.contains(&"mesh_data"),
        ["grant" | "revoke", rest @ ..] => grants_on_a_table(rest),
        _ => false,
    }
}

/// Whether a statement makes what a trigger runs, which stays with its trigger.
fn makes_a_trigger_function(words: &[String]) -> bool {
    created(words).is_some() && words.windows(2).any(|two| two == ["returns", "trigger"])
}

/// `rest` follows grant or revoke.
fn grants_on_a_table(rest: &[&str]) -> bool {
    let Some(on) = rest.iter().position(|word| *word == "on") else {
        return false;
    };
    match &rest[on + 1..] {
        ["all", "tables" | "sequences", "in", "schema", schemas @ ..] => schemas
            .iter()
            .take_while(|word| !matches!(**word, "to" | "from"))
            .any(|word| *word == "mesh_data"),
        ["table" | "sequence", "mesh_data", ".", ..] | ["mesh_data", ".", ..] => true,
        _ => false,
    }
}

/// `schema.name` of what a create statement makes.
fn created(words: &[String]) -> Option<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest = match words.as_slice() {
        ["create", "or", "replace", rest @ ..] | ["create", rest @ ..] => rest,
        _ => return None,
    };
    match rest {
        [
            "function" | "procedure" | "aggregate" | "view" | "type" | "domain",
            schema,
            ".",
            name,
            ..,
        ]
        | ["materialized", "view", schema, ".", name, ..] => Some(format!("{schema}.{name}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_touch_tables_are_guard() {
        for sql in [
            "create policy p on mesh_data.t using (true)",
            "comment on policy p on mesh_data.t is 'why'",
            "create or replace trigger t after insert on mesh_data.t execute function mesh_lib.f()",
            "create constraint trigger t after insert on mesh_data.t execute function mesh_lib.f()",
            "alter table mesh_data.t force row level security",
            "grant select on mesh_data.t to mesh_agent",
            "grant update (a, b) on mesh_data.t to mesh_agent",
            "GRANT select ON TABLE mesh_data.t TO mesh_agent",
            "revoke all on all tables in schema mesh_data from public",
            "grant usage on all sequences in schema mesh_lib, mesh_data to mesh_definer",
            "grant usage, select on sequence mesh_data.s to mesh_definer",
        ] {
            assert!(touches_a_table(&words(sql)), "{sql}");
        }
        for sql in [
            "create function mesh.alter_table() returns void language sql as $$ alter table mesh_data.t add a int $$",
            "comment on function mesh.f is 'create policy'",
            "grant execute on function mesh.f(text) to mesh_agent",
            "grant usage on schema mesh_data to mesh_agent",
            "grant select on mesh.readable to mesh_admin",
            "grant select on all tables in schema mesh to mesh_data",
            "alter function mesh.f() owner to mesh_definer",
            "create view mesh.readable as select 1",
        ] {
            assert!(!touches_a_table(&words(sql)), "{sql}");
        }
    }

    #[test]
    fn hashes_change_apart() {
        let file = |path: &str, text: &str| File {
            path: path.into(),
            text: text.into(),
        };
        let made = |identity: &str, api: &str| {
            plan(&[file(IDENTITY, identity), file("sql/api/a.sql", api)]).unwrap()
        };
        let before = made(
            "create function mesh_lib.me() returns int …",
            "create view mesh.v as select 1;",
        );
        let after = made(
            "create function mesh_lib.me() returns int …",
            "-- new\ncreate view mesh.v as select 2;",
        );
        assert_eq!(before.guard_hash, after.guard_hash);
        assert_ne!(before.rest_hash, after.rest_hash);
        assert!(before.guarded.contains("mesh_lib.me"));
        let trigger = made(
            "create function mesh_lib.me() returns int …",
            "create view mesh.v as select 1; create function mesh_lib.f() returns trigger as $$ … $$",
        );
        assert_ne!(before.guard_hash, trigger.guard_hash);
        assert!(trigger.guarded.contains("mesh_lib.f"));
        let comment = made(
            "create function mesh_lib.me() returns int …",
            "/* x */ create view mesh.v as select 1",
        );
        assert_eq!(before.rest_hash, comment.rest_hash);
    }
}
