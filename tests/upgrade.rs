//! A database that was upgraded is the one that a fresh install makes.

mod common;

use common::postgres::Database;
use std::{fs, path::Path, process::Command};

/// The schema as pg_dump writes it, without what differs by name or order.
fn schema(database: &Database) -> Vec<String> {
    let dump = Command::new("pg_dump")
        .args(["--schema-only", "-d", &database.url("postgres")])
        .output()
        .expect("pg_dump starts");
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let text = String::from_utf8(dump.stdout)
        .expect("text")
        .replace(&database.name, "database");
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn an_upgrade_ends_where_a_fresh_install_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let first = tempfile::tempdir().expect("a temporary folder");
    for file in [
        "migrations/V1__accounts_and_meshes.sql",
        "sql/roles.sql",
        "sql/types.sql",
    ] {
        let to = first.path().join(file);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(root.join(file), to).expect("a file");
    }
    for folder in ["sql/lib", "sql/api"] {
        fs::create_dir(first.path().join(folder)).expect("a folder");
    }
    fs::write(first.path().join("sql/finish.sql"), "select 1;\n").expect("a file");
    let upgraded = Database::empty();
    let source = first.path().to_str().expect("text");
    for args in [&["--source", source][..], &[]] {
        let migrated = upgraded.migrate(args);
        assert!(
            migrated.status.success(),
            "{}",
            String::from_utf8_lossy(&migrated.stderr)
        );
    }
    assert_eq!(schema(&upgraded), schema(&Database::new()));
}
