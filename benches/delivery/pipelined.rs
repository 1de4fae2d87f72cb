//! As fast as it goes, from n senders to n receivers that acknowledge.

use crate::Options;
use crate::measure::{Load, flushes, rss_kib};
use crate::report::Report;
use crate::traffic::{Ledger, pipeline, receivers};
use crate::world::{World, windows};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// More than any machine sends in the time of a run.
const CAPACITY: usize = 2_000_000;

pub async fn run(world: &World, report: &mut Report, options: &Options) {
    for pairs in [1, 16] {
        let members = world.mesh(&format!("pipe{pairs}"), 2 * pairs).await;
        let mut from = windows(&members, world.relay.port).await;
        let to = from.split_off(pairs);
        let ledger = Ledger::new(CAPACITY);
        let _receivers = receivers(to, &ledger);
        let before = flushes(&world.database).await;
        let load = Load::begin(&[world.relay.pid()]);
        let until = Instant::now() + Duration::from_secs(options.seconds);
        let senders: JoinSet<()> = from
            .iter()
            .zip(&members[pairs..])
            .map(|(socket, to)| {
                pipeline(
                    socket.caller.clone(),
                    to.name.clone(),
                    ledger.clone(),
                    until,
                )
            })
            .collect();
        senders.join_all().await;
        ledger.drained().await;
        let load = load.end();
        let mut row = ledger.row(format!("b {pairs} -> {pairs}"));
        row.load = Some(load);
        row.rss_mb = Some(rss_kib(world.relay.pid()) / 1024.0);
        let flushes = flushes(&world.database).await - before;
        row.flushes_per_message = row.acked.map(|acked| flushes / acked as f64);
        if pairs == 16 {
            row.target = "10,000 msg/s, 0.05 flush/msg";
        }
        report.row(row);
    }
}
