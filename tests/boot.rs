//! Many starting at once on nothing, and upgrades while calls come in.

mod common;

use common::agent::{Pair, session_key, texts};
use common::relay::{Relay, free_port};
use common::{MESH, Machine, eventually, postgres::Database, socket::Socket};
use serde_json::json;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn many_migrations_at_once_on_an_empty_database_all_succeed() {
    let database = Database::empty();
    let outputs: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| database.migrate(&[])))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for output in outputs {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let relay = Relay::start(&database.url("mesh_relay"));
    let alice = Machine::account(&relay.url(), &database, "alice");
    alice.open_mesh("proj");
}

/// A `mesh up` on a given database; ended with the value.
struct Up {
    child: Child,
    machine: Machine,
}

impl Up {
    fn start(database: &Database) -> Up {
        let port = free_port();
        let machine = Machine::new(&format!("http://127.0.0.1:{port}"));
        let child = machine
            .command()
            .env("USER", format!("user-{port}"))
            .args(["up", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--database-url", &database.url("postgres")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(machine.file("said")).unwrap())
            .spawn()
            .unwrap();
        Up { child, machine }
    }

    fn is_ready(&self) -> bool {
        let text = fs::read_to_string(self.machine.file("up.json")).unwrap_or_default();
        text.contains("\"ready\":true")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn many_ups_at_once_on_an_empty_database_all_serve_it() {
    let database = Database::empty();
    let mut ups: Vec<Up> = (0..4).map(|_| Up::start(&database)).collect();
    for up in &mut ups {
        eventually("it is up", || {
            let ended = up.child.try_wait().unwrap();
            let said = || fs::read_to_string(up.machine.file("said")).unwrap_or_default();
            assert!(ended.is_none(), "{ended:?}: {}", said());
            up.is_ready()
        });
    }
    // One made the account of this user, and the relays serve the same database.
    let owner = ups
        .iter()
        .find(|up| up.machine.run(&["whoami"]).status.success());
    let owner = &owner.expect("an account was made").machine;
    owner.open_mesh("proj");
    let invite = owner.json(&["invite", "proj", "bob"]);
    let secret = invite["join_url"]
        .as_str()
        .unwrap()
        .split('#')
        .nth(1)
        .unwrap();
    let other = ups
        .iter()
        .find(|up| up.machine.relay != owner.relay)
        .unwrap();
    let guest = Machine::new(&other.machine.relay);
    guest.json(&["join", &format!("{}/join#{secret}", guest.relay)]);
    guest.json(&["send", "*", "through another relay"]);
    assert_eq!(owner.json(&["inbox"])["messages"][0]["from"], "bob");
}

#[test]
fn relays_that_boot_before_during_and_after_the_migration_all_serve() {
    let database = Database::empty();
    let early: Vec<Relay> = (0..2)
        .map(|_| Relay::boot(&database.url("postgres")))
        .collect();
    thread::scope(|scope| {
        let migrations: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| database.migrate(&[])))
            .collect();
        let during = Relay::boot(&database.url("postgres"));
        for migration in migrations {
            assert!(migration.join().unwrap().status.success());
        }
        let after = Relay::start(&database.url("mesh_relay"));
        for relay in early.iter().chain([&during, &after]) {
            eventually("it serves", || relay.health() == 200);
            assert_eq!(relay.post("whoami", Some("mt_x"), "{}").0, 401);
        }
    });
}

/// A scratch copy of the SQL whose `sql/api/more.sql` can be changed.
struct Source(tempfile::TempDir);

impl Source {
    fn copy() -> Source {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        for part in ["migrations", "sql"] {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(root.join(part)).arg(folder.path());
            assert!(copy.status().unwrap().success());
        }
        Source(folder)
    }

    /// The next release: a function that says its number, and a policy that touches a busy table.
    fn release(&self, number: usize) {
        let text = format!(
            "create function mesh.release(out release integer) language sql stable set search_path = '' as $$ select {number} $$;
             comment on function mesh.release is $c$---
who: any
mcp: never
---
Tell the release.
example: mesh help$c$;
             grant execute on function mesh.release() to mesh_agent;
             create policy release_{number} on mesh_data.delivery for select to mesh_admin using (true);"
        );
        fs::write(self.0.path().join("sql/api/more.sql"), text).unwrap();
    }
}

#[test]
fn calls_go_on_while_the_code_under_them_is_replaced() {
    let pair = Pair::new();
    let source = Source::copy();
    let (stop, sent, repeated) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let number = sent.load(Ordering::Relaxed);
                let body =
                    json!({"to": "bob", "message": number.to_string(), "key": number.to_string()});
                send(&pair, &body.to_string(), &repeated);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reader = scope.spawn(|| {
            let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
            let mut got: Vec<String> = Vec::new();
            let mut seen = json!([]);
            loop {
                let over = stop.load(Ordering::Relaxed);
                match bob.call("wait", json!({"timeout": 1, "seen": seen})) {
                    Ok(mail) => {
                        seen = json!([mail["claim"]]);
                        got.extend(texts(&mail));
                        if over && mail["pending"] == true {
                            return got;
                        }
                    }
                    Err(error) => {
                        assert_eq!(error["code"], "ME503", "{error}");
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        });
        for number in 1..=8 {
            source.release(number);
            let folder = source.0.path().to_str().unwrap();
            let output = pair.database.migrate(&["--source", folder]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            // The relay serves the new code by itself.
            eventually("the new code answers", || {
                let (status, answer) = pair.relay.post("release", Some(&pair.ann.token), "{}");
                status == 200 && (answer == number || answer["release"] == number)
            });
            let before = sent.load(Ordering::Relaxed);
            eventually("calls go on", || sent.load(Ordering::Relaxed) > before + 5);
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap();
        let got = reader.join().unwrap();
        let mut seen = HashSet::new();
        let first: Vec<&String> = got.iter().filter(|text| seen.insert(*text)).collect();
        let all: Vec<String> = (0..sent.load(Ordering::Relaxed))
            .map(|n| n.to_string())
            .collect();
        assert_eq!(first, all.iter().collect::<Vec<_>>());
    });
    println!(
        "{} sent, {} of them again",
        sent.into_inner(),
        repeated.into_inner()
    );
}

/// Sends as a client does: what is refused for the moment is sent again with its key.
fn send(pair: &Pair, body: &str, repeated: &AtomicUsize) {
    eventually("the send is acknowledged", || {
        let (status, answer) = pair.relay.post("send_message", Some(&pair.ann.token), body);
        if status != 200 {
            assert!([429, 503].contains(&status), "{answer}");
            repeated.fetch_add(1, Ordering::Relaxed);
        }
        status == 200
    });
}

#[test]
fn a_relay_older_than_its_database_serves_what_it_does_not_know() {
    let pair = Pair::new();
    let source = Source::copy();
    source.release(7);
    let folder = source.0.path().to_str().unwrap();
    assert!(
        pair.database
            .migrate(&["--source", folder])
            .status
            .success()
    );
    // This binary's own SQL knows nothing of `release`; a relay that starts now serves it all the same.
    let relay = Relay::start(&pair.database.url("mesh_relay"));
    assert_eq!(relay.post("release", Some(&pair.ann.token), "{}").0, 200);
    assert!(Command::new(MESH).arg("--version").status().is_ok());
}
