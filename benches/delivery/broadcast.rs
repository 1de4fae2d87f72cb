//! One message to everybody: until the last of so many windows has it. An agent reads before it acknowledges; what it costs when
//! all acknowledge at once, while the last windows are still to be told, are rows of their own.

use crate::measure::flushes;
use crate::report::{Report, Row};
use crate::traffic::{Ledger, letter, readers};
use crate::world::{World, windows};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const LOST: Duration = Duration::from_secs(10);
const READING: Duration = Duration::from_millis(200);

pub async fn run(world: &World, report: &mut Report) {
    broadcasts(world, report, (100, 30), READING, "p50 <= 7").await;
    broadcasts(world, report, (1000, 10), READING, "").await;
    broadcasts(world, report, (100, 30), Duration::ZERO, "").await;
    broadcasts(world, report, (1000, 10), Duration::ZERO, "").await;
}

async fn broadcasts(
    world: &World,
    report: &mut Report,
    (agents, rounds): (usize, usize),
    reading: Duration,
    target: &'static str,
) {
    let name = format!("cast{agents}and{}", reading.as_millis());
    let members = world.mesh(&name, agents + 1).await;
    let mut to = windows(&members, world.relay.port).await;
    let from = to.pop().unwrap().caller;
    let ledger = Ledger::new(rounds);
    let _receivers = readers(to, &ledger, reading);
    let copies = agents as u32;
    let before = flushes(&world.database).await;
    for _ in 0..rounds {
        let number = ledger.open(Instant::now()).unwrap();
        let answer = from.start("send_message", &letter("*", number, ""));
        ledger.answered(number, &answer.await.expect("an open socket"));
        let all = async {
            while ledger.spread(number).0 < copies {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(LOST, all).await;
        ledger.settles(|| (number as u64 + 1) * agents as u64).await;
        sleep(Duration::from_millis(50)).await;
    }
    let flushes = flushes(&world.database).await - before;
    let found: Vec<_> = (0..rounds).map(|number| ledger.spread(number)).collect();
    let all = (rounds * agents) as u64;
    let received = found
        .iter()
        .map(|(shown, _)| u64::from(*shown.min(&copies)));
    let received: u64 = received.sum();
    let shown: u64 = found.iter().map(|(shown, _)| u64::from(*shown)).sum();
    let acks = ledger.row("");
    report.row(Row {
        scenario: if reading.is_zero() {
            format!("c the same to {agents}, acks at once")
        } else {
            format!("c broadcast to {agents}")
        },
        n: Some(all),
        acked: acks.acked.map(|acked| acked * agents as u64),
        received: Some(received),
        lost: acks.acked.map(|acked| acked * agents as u64 - received),
        duplicated: Some(shown - received),
        times: found.iter().map(|(_, time)| *time).collect(),
        latency: "last push",
        flushes_per_message: Some(flushes / received as f64),
        more: acks.more,
        target,
        ..Row::default()
    });
}
