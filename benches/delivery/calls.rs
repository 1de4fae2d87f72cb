//! Calls over HTTP by one agent, one at a time on one connection: those of benches/calls.json, on what benches/calls.sql made.

use crate::common::http::Line;
use crate::measure::milliseconds;
use crate::report::{Report, Row};
use crate::world::World;
use serde_json::Value;
use std::time::Instant;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches");
/// So often each; the relay's connections to the database have made their plans before.
const TIMES: usize = 200;
const BEFORE: usize = 40;

pub async fn run(world: &World, report: &mut Report) {
    let members = world.mesh("calls", 1).await;
    world.database.value(&read("calls.sql"));
    world.database.value("vacuum (analyze)");
    let calls: Vec<Value> = serde_json::from_str(&read("calls.json")).expect("a list of calls");
    let mut line = Line::open(world.relay.port).expect("the relay listens");
    for call in &calls {
        let (function, arguments) = (text(call, "function"), call["arguments"].to_string());
        let mut times = Vec::new();
        for number in 0..BEFORE + TIMES {
            let begin = Instant::now();
            assert!(line.start(function, &members[0].agent.token, &arguments));
            let (status, answer) = line.answer().expect("an answer");
            assert_eq!(status, 200, "{answer}");
            if number >= BEFORE {
                times.push(milliseconds(begin.elapsed()));
            }
        }
        report.row(Row {
            scenario: format!("i {}", text(call, "name")),
            n: Some(TIMES as u64),
            times,
            latency: "answer",
            ..Row::default()
        });
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{FOLDER}/{file}")).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn text<'a>(call: &'a Value, field: &str) -> &'a str {
    call[field].as_str().expect("a text")
}
