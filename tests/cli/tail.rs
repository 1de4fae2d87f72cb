//! `mesh tail` goes on, and says everything once.

use crate::common::agent::Pair;
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
