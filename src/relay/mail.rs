//! Looks for mail of the attached sessions and hands it to the hub, one look at a time.

use super::attached::Frame;
use super::calls::Push;
use super::{Relay, database, presence};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

const HORIZON: &str = "select oldest, next from mesh_lib.gate, mesh_lib.horizon()";
const MAIL: &str =
    "select session_id, ended, frame, attempts from mesh_lib.gate, mesh_lib.mail($1, $2, $3)";
/// The net under a lost ping.
const POLL: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Id {
    message_id: Uuid,
}

/// The first and the longest pause between looks for what was not committed yet at a ping.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(50);
/// How long after a ping. No call of a relay takes longer; what somebody else keeps open longer is left to the poll.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks after every `relay.sweep` and every 500 ms. One ping may stand for many commits, some of them still to come: after
/// it there is another look until the transactions that were open then have ended, for 10 s.
pub async fn run(relay: Arc<Relay>) {
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pings = relay.pings.subscribe();
    // The transactions to wait for are those before this one.
    let mut until = None;
    let mut pinged_at = Instant::now();
    let mut pause = SOON;
    loop {
        tokio::select! {
            () = relay.sweep.notified() => {}
            _ = poll.tick() => {}
            () = sleep(pause), if until.is_some() => pause = (pause * 2).min(LATER),
        }
        let start = Instant::now();
        let pinged = pings.has_changed().unwrap_or(false);
        if pinged {
            pings.mark_unchanged();
            pinged_at = start;
            pause = SOON;
        }
        if pinged || until.is_some() {
            // Before the look, so that it sees what has ended by then.
            match database::query(&relay, HORIZON, &[]).await {
                Ok(rows) => {
                    until = rows
                        .first()
                        .and_then(|row| open(row, pinged, until))
                        .filter(|_| pinged_at.elapsed() < PATIENCE);
                    relay.wakes.send_modify(|wakes| *wakes += 1);
                }
                Err(failure) => tracing::debug!("horizon: {failure}"),
            }
        }
        match look(&relay).await {
            Ok(0) => {}
            Ok(pushes) => relay.metrics.pushes.add(pushes),
            Err(failure) => tracing::debug!("mail: {failure}"),
        }
        // Under a storm of pings this takes half of one connection's time, not all.
        sleep(start.elapsed()).await;
    }
}

/// Up to which transaction some are open that a ping may stand for.
fn open(horizon: &Row, pinged: bool, until: Option<i64>) -> Option<i64> {
    let (oldest, next): (i64, i64) = (horizon.get(0), horizon.get(1));
    let until = if pinged { Some(next) } else { until };
    until.filter(|until| oldest < *until)
}

/// Shows what a call of this relay made to the sessions it names. Those who are owed other mail before it, or have a wait
/// that looks first, get it by the next look instead.
pub fn push(relay: &Relay, push: &Push) {
    let Ok(Id { message_id }) = serde_json::from_str(push.frame.get()) else {
        return tracing::error!("a frame without message_id");
    };
    let (pushes, left) = relay.hub.push(push, message_id);
    relay.metrics.pushes.add(pushes);
    if left {
        relay.sweep.notify_one();
    }
}

async fn look(relay: &Relay) -> Result<u64, database::Failure> {
    relay.hub.begin_look();
    let (asked, at_most) = relay.hub.attached();
    if asked.is_empty() {
        return Ok(0);
    }
    relay.metrics.sweeps.add(1);
    let (ids, secrets): (Vec<Uuid>, Vec<&str>) = asked.iter().map(|(id, s)| (*id, &**s)).unzip();
    let limit = i32::try_from(at_most).unwrap_or(i32::MAX);
    let rows = database::query(relay, MAIL, &[&ids, &secrets, &limit]).await?;
    if rows
        .iter()
        .any(|row| row.get::<_, Option<&str>>(1).is_some())
    {
        // Of a session that ended with its key, the key is what its client should hear of.
        presence::refuse(relay).await?;
    }
    let mut mail: HashMap<Uuid, Vec<Frame>> = HashMap::new();
    for row in rows {
        let session: Uuid = row.get(0);
        if let Some(why) = row.get::<_, Option<&str>>(1) {
            relay.hub.end(&asked, session, why);
            continue;
        }
        let Some(Json(body)) = row.get::<_, Option<Json<Box<RawValue>>>>(2) else {
            continue;
        };
        match serde_json::from_str::<Id>(body.get()) {
            Ok(Id { message_id }) => mail.entry(session).or_default().push(Frame {
                id: message_id,
                attempts: row.get(3),
                body,
            }),
            Err(e) => tracing::error!("a frame without message_id: {e}"),
        }
    }
    Ok(relay.hub.deliver(&asked, mail, at_most))
}
