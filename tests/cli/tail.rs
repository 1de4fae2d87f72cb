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
        assert!(row["message"].is_null(), "it was not meant for the owner");
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
