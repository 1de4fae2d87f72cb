//! Looks for mail of the attached sessions and hands it to the hub, one look at a time.

use super::attached::Frame;
use super::calls::Push;
use super::{Relay, database, presence};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_postgres::types::Json;
use uuid::Uuid;

const MAIL: &str = "select session_id, ended, frame from mesh_lib.gate, mesh_lib.mail($1, $2, $3)";
/// The net under a lost ping.
const POLL: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Id {
    message_id: Uuid,
}

/// Looks after every `relay.sweep` and every 500 ms.
pub async fn run(relay: Arc<Relay>) {
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = relay.sweep.notified() => {}
            _ = poll.tick() => {}
        }
        let start = Instant::now();
        match look(&relay).await {
            Ok(0) => {}
            Ok(pushes) => relay.metrics.pushes.add(pushes),
            Err(failure) => tracing::debug!("mail: {failure}"),
        }
        // Under a storm of pings this takes half of one connection's time, not all.
        sleep(start.elapsed()).await;
    }
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
                body,
            }),
            Err(e) => tracing::error!("a frame without message_id: {e}"),
        }
    }
    Ok(relay.hub.deliver(&asked, mail, at_most))
}
