//! Sends that come whether answers do or not, at growing rates: how long an acknowledgement takes under a load.

use crate::Options;
use crate::measure::{Load, flushes};
use crate::report::Report;
use crate::traffic::{Ledger, open_loop, receivers};
use crate::world::{World, windows};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const RATES: [u32; 6] = [500, 1_000, 2_000, 5_000, 10_000, 20_000];
const PAIRS: usize = 16;

pub async fn run(world: &World, report: &mut Report, options: &Options) {
    for rate in RATES {
        let members = world.mesh(&format!("open{rate}"), 2 * PAIRS).await;
        let mut from = windows(&members, world.relay.port).await;
        let to = from.split_off(PAIRS);
        let offered = u64::from(rate) * options.seconds;
        let ledger = Ledger::new(offered as usize);
        let _receivers = receivers(to, &ledger);
        let before = flushes(&world.database).await;
        let load = Load::begin(&[world.relay.pid()]);
        let until = Instant::now() + Duration::from_secs(options.seconds);
        let each = f64::from(rate) / PAIRS as f64;
        let senders: JoinSet<()> = from
            .iter()
            .zip(&members[PAIRS..])
            .map(|(socket, to)| {
                open_loop(
                    socket.caller.clone(),
                    to.name.clone(),
                    ledger.clone(),
                    each,
                    until,
                )
            })
            .collect();
        senders.join_all().await;
        ledger.drained().await;
        let load = load.end();
        let mut row = ledger.row(format!("f {rate} msg/s offered"));
        let mut pushes = std::mem::replace(&mut row.times, ledger.ack_times());
        row.more.remove("ack_ms_p50_p95_p99");
        if !pushes.is_empty() {
            let p50 = crate::report::percentile(&mut pushes, 50.0);
            row.more
                .insert("push_ms_p50".into(), ((p50 * 100.0).round() / 100.0).into());
        }
        row.latency = "ack";
        row.n = Some(offered);
        row.load = Some(load);
        let flushes = flushes(&world.database).await - before;
        row.flushes_per_message = row.acked.map(|acked| flushes / acked as f64);
        report.row(row);
    }
}
