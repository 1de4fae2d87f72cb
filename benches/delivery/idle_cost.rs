//! What windows cost that do nothing: memory and processor time of a relay of its own.

use crate::Options;
use crate::measure::{Load, rss_kib};
use crate::report::{Report, Row};
use crate::world::{World, windows};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Presence is reported every 15 s.
const WATCHED: Duration = Duration::from_secs(20);

pub async fn run(world: &World, report: &mut Report, options: &Options) {
    let relay = world.another_relay();
    sleep(Duration::from_secs(2)).await;
    let mut base = 0.0;
    let mut sizes = vec![0, 100, 1000];
    sizes.extend(options.agents);
    for (place, agents) in sizes.into_iter().enumerate() {
        let members = world.mesh(&format!("rest{place}"), agents).await;
        let _sockets = windows(&members, relay.port).await;
        sleep(Duration::from_secs(2)).await;
        let load = Load::begin(&[relay.pid()]);
        sleep(WATCHED).await;
        let rss = rss_kib(relay.pid());
        let mut row = Row {
            scenario: format!("d {agents} idle agents"),
            n: Some(agents as u64),
            rss_mb: Some(rss / 1024.0),
            load: Some(load.end()),
            ..Row::default()
        };
        if agents == 0 {
            base = rss;
        } else {
            let each = (rss - base) / agents as f64;
            row.more.insert(
                "rss_kib_per_agent".into(),
                json!((each * 10.0).round() / 10.0),
            );
            row.target = "<= 8 KiB an agent";
        }
        report.row(row);
    }
}
