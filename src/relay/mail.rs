//! Looks for mail and news of the attached sessions and hands them to the hub, one look at a time.

use super::attached::Frame;
use super::calls::{News, Push};
use super::{Relay, database, presence};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

/// The horizon is that of the statement, so mail sees all that had ended by then, and news just that.
const LOOK: &str = "select m.session_id, m.ended, m.frame, m.attempts, h.oldest, h.next, h.snapshot, null::uuid[] as sessions \
                    from mesh_lib.gate cross join mesh_lib.horizon() h left join mesh_lib.mail($1, $2, $3) m on true \
                    union all \
                    select null, null, n.frame::json, null, null, null, null, n.sessions \
                    from mesh_lib.gate cross join mesh_lib.news($1, $2, $4, $5) n";
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

#[derive(Deserialize)]
struct NewsId {
    news_id: Uuid,
}

/// The transactions a look saw.
struct Horizon {
    /// the oldest that was open
    oldest: i64,
    /// the one that came next
    next: i64,
    /// which of them had ended, as the database writes it
    snapshot: Option<String>,
}

/// Looks after every `relay.sweep` and every 500 ms. One ping may stand for many commits, some of them still to come: after
/// it there is another look until the transactions that were open then have ended, for 1 s.
pub async fn run(relay: Arc<Relay>) {
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pings = relay.pings.subscribe();
    // The transactions to wait for are those before this one.
    let mut until = None;
    // What had ended at the look before.
    let mut since = None;
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
        match look(&relay, since.as_deref()).await {
            Ok(horizon) => {
                if until.is_some() {
                    relay.wakes.send_modify(|wakes| *wakes += 1);
                }
                if pinged {
                    until = Some((horizon.next, start + PATIENCE));
                }
                until = until.filter(|(until, end)| horizon.oldest < *until && start < *end);
                since = horizon.snapshot;
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
    let pushes = relay.hub.push(push, message_id);
    relay.metrics.pushes.add(pushes as u64);
    if pushes < push.sessions.len() {
        relay.sweep.notify_one();
    }
}

/// Shows news to the sessions it names.
pub fn tell(relay: &Relay, news: &News) {
    let Ok(NewsId { news_id }) = serde_json::from_str(news.frame.get()) else {
        return tracing::error!("news without news_id");
    };
    relay.metrics.news.add(relay.hub.tell(news, news_id));
}

/// Looks once, for news that was not there at `since`.
async fn look(relay: &Relay, since: Option<&str>) -> Result<Horizon, database::Failure> {
    relay.hub.begin_look();
    let fresh = relay.hub.take_fresh();
    let (asked, at_most) = relay.hub.attached();
    relay.metrics.sweeps.add(1);
    let (ids, secrets): (Vec<Uuid>, Vec<&str>) = asked.iter().map(|(id, s)| (*id, &**s)).unzip();
    let limit = i32::try_from(at_most).unwrap_or(i32::MAX);
    let values: [&(dyn ToSql + Sync); 5] = [&ids, &secrets, &limit, &since, &fresh];
    let rows = match database::query(relay, &relay.windows, LOOK, &values).await {
        Ok(rows) => rows,
        Err(failure) => {
            relay.hub.put_fresh_back(&fresh);
            return Err(failure);
        }
    };
    if rows
        .iter()
        .any(|row| row.get::<_, Option<&str>>(1).is_some())
    {
        // Of a session that ended with its key, the key is what its client should hear of.
        presence::refuse(relay).await?;
    }
    let first = rows.first();
    let horizon = Horizon {
        oldest: first.map_or(0, |row| row.get(4)),
        next: first.map_or(0, |row| row.get(5)),
        snapshot: first.and_then(|row| row.get(6)),
    };
    let mut mail: HashMap<Uuid, Vec<Frame>> = HashMap::new();
    for row in rows {
        if let Some(sessions) = row.get(7) {
            let Json(frame) = row.get(2);
            tell(relay, &News { sessions, frame });
            continue;
        }
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
