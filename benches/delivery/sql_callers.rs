//! Callers that do not go through a relay: connections of the relay's role, one call a transaction. Receivers have windows.

use crate::Options;
use crate::client::Answer;
use crate::measure::{Load, flushes};
use crate::report::Report;
use crate::traffic::{Ledger, letter, receivers};
use crate::world::{World, windows};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tokio_postgres::types::Json;

const CALL: &str = "select status, answer from mesh_lib.gate, mesh_lib.call($1, array[null], array[null], array['send_message'], $2)";
const CAPACITY: usize = 1_000_000;

pub async fn run(world: &World, report: &mut Report, options: &Options) {
    for pairs in [1, 16] {
        let members = world.mesh(&format!("sql{pairs}"), 2 * pairs).await;
        let to = windows(&members[pairs..], world.relay.port).await;
        let ledger = Ledger::new(CAPACITY);
        let _receivers = receivers(to, &ledger);
        let before = flushes(&world.database).await;
        let load = Load::begin(&[world.relay.pid()]);
        let until = Instant::now() + Duration::from_secs(options.seconds);
        let url = world.database.url("mesh_relay");
        let senders: JoinSet<()> = (0..pairs)
            .map(|pair| {
                let token = members[pair].agent.token.clone();
                send_on(
                    url.clone(),
                    token,
                    members[pairs + pair].name.clone(),
                    ledger.clone(),
                    until,
                )
            })
            .collect();
        senders.join_all().await;
        ledger.drained().await;
        let load = load.end();
        let mut row = ledger.row(format!("g {pairs} -> {pairs}, raw SQL"));
        row.load = Some(load);
        let flushes = flushes(&world.database).await - before;
        row.flushes_per_message = row.acked.map(|acked| flushes / acked as f64);
        report.row(row);
    }
}

async fn send_on(url: String, token: String, to: String, ledger: Arc<Ledger>, until: Instant) {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a login");
    let connection = tokio::spawn(connection);
    let statement = client.prepare(CALL).await.expect("the call is there");
    while Instant::now() < until
        && let Some(number) = ledger.open(Instant::now())
    {
        let arguments = letter(&to, number, "");
        let (tokens, arguments) = (vec![&*token], vec![&*arguments]);
        let row = client
            .query_one(&statement, &[&tokens, &arguments])
            .await
            .expect("a row");
        let answer: Json<Box<RawValue>> = row.get(1);
        let result = match row.get::<_, i32>(0) {
            200 => Ok(answer.0),
            _ => Err(answer.0),
        };
        ledger.answered(
            number,
            &Answer {
                at: Instant::now(),
                result,
            },
        );
    }
    drop(client);
    let _ = connection.await;
}
