//! One message to everybody: until the last of so many windows has it.

use crate::report::{Report, Row};
use crate::traffic::{Ledger, letter, receivers};
use crate::world::{World, windows};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const LOST: Duration = Duration::from_secs(10);

pub async fn run(world: &World, report: &mut Report) {
    for (agents, rounds, target) in [(100, 30, "p50 <= 7"), (1000, 10, "")] {
        let members = world.mesh(&format!("cast{agents}"), agents + 1).await;
        let mut to = windows(&members, world.relay.port).await;
        let from = to.pop().unwrap().caller;
        let ledger = Ledger::new(rounds);
        let _receivers = receivers(to, &ledger);
        let copies = agents as u32;
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
        let found: Vec<_> = (0..rounds).map(|number| ledger.spread(number)).collect();
        let all = (rounds * agents) as u64;
        let received = found
            .iter()
            .map(|(shown, _)| u64::from(*shown.min(&copies)));
        let received = received.sum();
        let shown: u64 = found.iter().map(|(shown, _)| u64::from(*shown)).sum();
        let acks = ledger.row("");
        report.row(Row {
            scenario: format!("c broadcast to {agents}"),
            n: Some(all),
            acked: acks.acked.map(|acked| acked * agents as u64),
            received: Some(received),
            lost: acks.acked.map(|acked| acked * agents as u64 - received),
            duplicated: Some(shown - received),
            times: found.iter().map(|(_, time)| *time).collect(),
            latency: "last push",
            more: acks.more,
            target,
            ..Row::default()
        });
    }
}
