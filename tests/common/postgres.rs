//! A database for one test.

use super::MESH;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A migrated database; dropped with the value.
pub struct Database {
    pub name: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The scratch server's URL for this database and role.
fn url(name: &str, role: &str) -> String {
    let base = std::env::var("MESH_TEST_DATABASE")
        .expect("run the tests by `make check` or `tests/postgres cargo test`");
    base.replacen("/postgres?", &format!("/{name}?"), 1)
        .replacen("user=postgres", &format!("user={role}"), 1)
}

/// Runs SQL as the superuser; the first column of the last row, as text.
fn psql(name: &str, sql: &str) -> String {
    let output = Command::new("psql")
        .args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &url(name, "postgres"),
            "-c",
            sql,
        ])
        .output()
        .expect("psql starts");
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("text")
        .trim()
        .to_owned()
}

impl Database {
    /// An empty one.
    pub fn empty() -> Database {
        let name = format!(
            "t{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        psql("postgres", &format!("create database {name}"));
        Database { name }
    }

    /// One that `mesh migrate` has prepared.
    pub fn new() -> Database {
        let database = Database::empty();
        let output = database.migrate(&[]);
        assert!(
            output.status.success(),
            "mesh migrate: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        database
    }

    pub fn migrate(&self, args: &[&str]) -> std::process::Output {
        Command::new(MESH)
            .args(["migrate", "--database-url", &self.url("postgres")])
            .args(args)
            .output()
            .expect("mesh starts")
    }

    /// Throws everybody out and lets nobody in.
    pub fn go_away(&self) {
        let name = &self.name;
        psql(
            "postgres",
            &format!("alter database {name} allow_connections false"),
        );
        self.drop_connections();
    }

    pub fn come_back(&self) {
        psql(
            "postgres",
            &format!("alter database {} allow_connections true", self.name),
        );
    }

    /// Ends every connection to it.
    pub fn drop_connections(&self) {
        psql(
            "postgres",
            &format!(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{}'",
                self.name
            ),
        );
    }

    pub fn url(&self, role: &str) -> String {
        url(&self.name, role)
    }

    /// The one value of a query, as the superuser.
    pub fn value(&self, sql: &str) -> String {
        psql(&self.name, sql)
    }
}

/// A session of the superuser that is in the middle of a transaction; rolled back with the value.
pub struct Held(Child);

impl Database {
    /// Runs SQL in a transaction that stays open, and with it the locks it took.
    pub fn hold(&self, sql: &str) -> Held {
        let mut child = Command::new("psql")
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.url("postgres"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let script = format!("begin;\n{sql};\n\\echo held\n");
        let input = child.stdin.as_mut().expect("a pipe");
        input.write_all(script.as_bytes()).expect("psql reads");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let held = lines.map_while(Result::ok).any(|line| line == "held");
        assert!(held, "{sql}");
        Held(child)
    }
}

impl Held {
    /// Commits instead.
    pub fn commit(mut self) {
        let input = self.0.stdin.as_mut().expect("a pipe");
        input.write_all(b"commit;\n").expect("psql reads");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            psql(
                "postgres",
                &format!("drop database {} with (force)", self.name),
            );
        }
    }
}
