//! `mesh tail` goes on, and says everything once.

use crate::common::{Machine, agent::Pair, postgres::Database, relay::Relay};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn tail_follows_a_mesh_live_and_says_everything_once() {
    let pair = Pair::new();
    let before = pair.send("before");
    let mut tail = pair
        .owner
        .command()
        .args(["tail", "proj", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tail starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("stdout")).lines();
    let mut next = || -> String {
        let line = lines.next().expect("a line").expect("text");
        let row: Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!(row["message"], "(not for you)", "it was meant for another");
        row["message_id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(next(), before);
    // Each is there again in the answers of the next second, and printed once.
    for n in 0..5 {
        let id = pair.send(&format!("live {n}"));
        assert_eq!(next(), id);
    }
    tail.kill().expect("it runs until it is ended");
    tail.wait().expect("ended");
}

#[test]
fn tail_of_a_sealed_mesh_says_what_is_not_for_the_reader_and_raises_no_alarm() {
    let database = Database::new();
    let relay = Relay::start(&database.url("mesh_relay"));
    let alice = Machine::account(&relay.url(), &database, "alice");
    alice.json(&["create", "proj", "--mode", "sealed"]);
    let [ann, _] = ["ann", "bob"].map(|name| Machine::guest(&alice, "proj", name));
    ann.json(&["send", "bob", "between us"]);
    ann.json(&["send", "alice", "for the owner"]);
    let followed = |format: &[&str]| -> Vec<String> {
        let mut tail = alice
            .command()
            .args([&["tail", "proj"], format].concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tail starts");
        let lines = BufReader::new(tail.stdout.take().expect("stdout")).lines();
        let lines = lines.take(2).map(|line| line.expect("text")).collect();
        tail.kill().expect("it runs until it is ended");
        tail.wait().expect("ended");
        lines
    };
    let table = followed(&[]);
    assert!(table[0].contains("(not for you)"), "{table:?}");
    assert!(table[1].contains("for the owner"), "{table:?}");
    assert!(!table.concat().contains("NOT OPENED"), "{table:?}");
    let rows: Vec<Value> = followed(&["--json"])
        .iter()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(rows[0]["message"], "(not for you)", "{rows:?}");
    assert_eq!(
        (rows[0].get("unopened"), rows[0].get("sealed")),
        (None, None)
    );
    assert_eq!(
        (&rows[1]["message"], &rows[1]["sealed"]),
        (&"for the owner".into(), &true.into())
    );
}

#[test]
fn events_are_listed_or_followed_and_said_once() {
    let pair = Pair::new();
    let report = |tool: &str| {
        let reported = pair.call(&pair.ann, "report_tool", serde_json::json!({"tool": tool}));
        assert_eq!(reported["reported"], true);
    };
    report("before");
    let listed = pair.owner.json(&["events", "proj", "--kind", "tool_used"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let mut following = pair
        .owner
        .command()
        .args([
            "events",
            "proj",
            "--kind",
            "tool_used",
            "--follow",
            "--json",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("events starts");
    let mut lines = BufReader::new(following.stdout.take().expect("stdout")).lines();
    let mut next = || -> String {
        let line = lines.next().expect("a line").expect("text");
        let row: Value = serde_json::from_str(&line).expect("a line is JSON");
        row["detail"]["tool"].as_str().expect("a tool").to_owned()
    };
    assert_eq!(next(), "before");
    // What is written first and committed last.
    let held = pair.database.hold(
        "insert into mesh_data.event (event_id, mesh_id, kind, detail, happened_at)
         select mesh_lib.new_id(), mesh_id, 'tool_used', '{\"tool\": \"late\"}', now() from mesh_data.mesh",
    );
    for n in 0..3 {
        report(&format!("live {n}"));
        assert_eq!(next(), format!("live {n}"));
    }
    held.commit();
    assert_eq!(next(), "late");
    report("last");
    assert_eq!(next(), "last");
    following.kill().expect("it runs until it is ended");
    following.wait().expect("ended");
}
