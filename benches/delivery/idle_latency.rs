//! One message at a time, from one window to another: what a message takes when nothing else goes on.

use crate::client::Socket;
use crate::measure::{flushes, milliseconds};
use crate::report::{Report, Row};
use crate::traffic::letter;
use crate::world::{World, windows};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const MESSAGES: usize = 500;
const LOST: Duration = Duration::from_secs(5);

/// Both windows at one relay.
pub async fn run(world: &World, report: &mut Report) {
    let members = world.mesh("idle", 2).await;
    let mut sockets = windows(&members, world.relay.port).await;
    let (to, from) = (sockets.pop().unwrap(), sockets.pop().unwrap());
    let mut row = measure(world, from, to, "a1").await;
    row.scenario = "a idle, one relay".into();
    row.target = "p50 <= 2.5 at a 1 ms flush";
    report.row(row);
}

/// The sender's window at one relay, the recipient's at another.
pub async fn run_two(world: &World, report: &mut Report) {
    let other = world.another_relay();
    let members = world.mesh("two", 2).await;
    let from = windows(&members[..1], world.relay.port).await;
    let to = windows(&members[1..], other.port).await;
    let [from, to] = [from, to].map(|mut sockets| sockets.pop().unwrap());
    let mut row = measure(world, from, to, "a1").await;
    row.scenario = "h idle, two relays".into();
    row.target = "within a round trip of a";
    report.row(row);
}

async fn measure(world: &World, from: Socket, mut to: Socket, name: &str) -> Row {
    let before = flushes(&world.database).await;
    let (mut times, mut acks, mut lost) = (Vec::new(), Vec::new(), 0);
    for number in 0..MESSAGES {
        let begin = Instant::now();
        let answer = from.caller.start("send_message", &letter(name, number, ""));
        match timeout(LOST, to.pushes.recv()).await {
            Ok(Some(push)) => {
                times.push(milliseconds(push.at - begin));
                to.caller.receipt(std::slice::from_ref(&push.id));
                to.caller
                    .call("ack_messages", &json!({"message_ids": [push.id]}))
                    .await;
            }
            _ => lost += 1,
        }
        let answer = answer.await.expect("an open socket");
        assert!(answer.result.is_ok(), "a send was refused");
        acks.push(milliseconds(answer.at - begin));
        sleep(Duration::from_millis(5)).await;
    }
    let flushes = flushes(&world.database).await - before;
    let ack = crate::report::percentile(&mut acks, 50.0);
    let mut row = Row {
        n: Some(MESSAGES as u64),
        acked: Some(acks.len() as u64),
        received: Some(times.len() as u64),
        lost: Some(lost),
        times,
        latency: "push",
        flushes_per_message: Some(flushes / MESSAGES as f64),
        ..Row::default()
    };
    row.more.insert("ack_ms_p50".into(), json!(ack));
    row
}
