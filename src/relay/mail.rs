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

/// The horizon is that of the statement, so mail sees all that had ended by then.
const MAIL: &str = "select session_id, ended, frame, attempts, oldest, next \
                    from mesh_lib.gate cross join mesh_lib.horizon() left join mesh_lib.mail($1, $2, $3) on true";
/// The net under a lost ping.
const POLL: Duration = Duration::from_millis(500);

/// The first and the longest pause between looks for what was not committed yet at a ping.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(50);
/// After this a transaction that is still open is left to the poll: it may be a stranger's, and last for hours.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Id {
    message_id: Uuid,
}

/// Looks after every `relay.sweep` and every 500 ms. One ping may stand for many commits, some of them still to come: after
/// it there is another look until the transactions that were open then have ended, for 1 s.
pub async fn run(relay: Arc<Relay>) {
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pings = relay.pings.subscribe();
    // The transactions to wait for are those before this one.
    let mut until = None;
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
            pause = SOON;
        }
        match look(&relay).await {
            Ok((oldest, next)) => {
                if until.is_some() {
                    relay.wakes.send_modify(|wakes| *wakes += 1);
                }
                if pinged {
                    until = Some((next, start + PATIENCE));
                }
                until = until.filter(|(until, end)| oldest < *until && start < *end);
            }
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

/// Looks once. Returns the oldest transaction that was open then, and the one that came next.
async fn look(relay: &Relay) -> Result<(i64, i64), database::Failure> {
    relay.hub.begin_look();
    let (asked, at_most) = relay.hub.attached();
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
    let horizon = rows.first().map_or((0, 0), |row| (row.get(4), row.get(5)));
    let mut mail: HashMap<Uuid, Vec<Frame>> = HashMap::new();
    for row in rows {
        let Some(session) = row.get::<_, Option<Uuid>>(0) else {
            continue;
        };
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
    let pushes = relay.hub.deliver(&asked, mail, at_most);
    relay.metrics.pushes.add(pushes);
    Ok(horizon)
}
