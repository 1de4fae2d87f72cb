//! What the tests stand on: a database of their own in the scratch Postgres of `tests/postgres`, real relays on it, and
//! machines (a MESH_HOME each) whose people and agents use the real binary.

#![allow(dead_code)] // each test file uses its part of it

pub mod agent;
pub mod crowd;
pub mod editor;
pub mod http;
pub mod ledger;
pub mod postgres;
pub mod relay;
pub mod socket;
pub mod team;

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The binary under test.
pub const MESH: &str = env!("CARGO_BIN_EXE_mesh");

/// A machine: its own MESH_HOME, no keychain, and a relay it talks to.
pub struct Machine {
    pub home: tempfile::TempDir,
    pub relay: String,
}

impl Machine {
    pub fn new(relay: &str) -> Machine {
        Machine {
            home: tempfile::tempdir().expect("a temporary folder"),
            relay: relay.to_owned(),
        }
    }

    /// `mesh` on this machine, with nothing of the tester's own in its environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(MESH);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MESH_")) {
            command.env_remove(name);
        }
        command
            .env("MESH_HOME", self.home.path())
            .env("MESH_RELAY", &self.relay)
            .env("MESH_KEYSTORE", "file")
            .env("NO_COLOR", "1")
            .current_dir(self.home.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("mesh starts")
    }

    /// Runs `mesh … --json`, which must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(
            output.status.success(),
            "mesh {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("mesh {args:?}: {e}"))
    }

    /// Runs `mesh … --json`, which must be refused, and returns the error object.
    pub fn refused(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(!output.status.success(), "mesh {args:?} was not refused");
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|e| panic!("mesh {args:?}: {e}: {text}"))
    }

    /// An account on this machine, made by the administrator and signed in.
    pub fn account(relay: &str, database: &postgres::Database, name: &str) -> Machine {
        let machine = Machine::new(relay);
        let ticket = database.value(&format!("select mesh.create_account('{name}')"));
        machine.json(&["login", &ticket]);
        machine
    }

    /// A guest's machine: joined with an invite to `mesh` as `agent`, made by `owner`.
    pub fn guest(owner: &Machine, mesh: &str, agent: &str) -> Machine {
        let invite = owner.json(&["invite", mesh, agent]);
        let machine = Machine::new(&owner.relay);
        machine.json(&["join", invite["join_url"].as_str().expect("a join URL")]);
        machine
    }

    /// A mesh of this machine's account whose messages anybody with a bearer can write and read: for clients of the tests'
    /// own, which seal nothing.
    pub fn open_mesh(&self, name: &str) {
        self.json(&["create", name, "--mode", "open"]);
    }

    /// What `curl` would send: the bearer of this machine's credential.
    pub fn token(&self) -> String {
        String::from_utf8(self.run(&["token"]).stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }
}

/// Waits until `true`, for at most 30 seconds: long enough for a noisy machine, and no test passes because of it.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "not in 30 seconds: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
