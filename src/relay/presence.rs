//! Tells the database what only the relay knows: receipts, who is connected, that time passes; and asks it which keys are
//! refused.

use super::Relay;
use super::database::{self, Failure};
use super::hub::{Attach, Receipt, Reports};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

const CONFIRM: &str = "select mesh_lib.confirm($1, $2, $3) from mesh_lib.gate";
const DISCONNECTED: &str = "select mesh_lib.disconnected($1, $2, $3) from mesh_lib.gate";
const NOT_WAITING: &str = "select mesh_lib.not_waiting($1, $2, $3) from mesh_lib.gate";
/// Not worth a flush: a receipt that a crash takes is a message shown once more.
const RECEIPT: &str = "select mesh_lib.receipt($1, $2, $3) from mesh_lib.gate, set_config('synchronous_commit', 'off', true)";
const REFUSED: &str = "select k from mesh_lib.gate, mesh_lib.refused_keys($1) k";
const TICK: &str = "select mesh_lib.tick() from mesh_lib.gate";
const MAINTAIN: &str = "select mesh_lib.maintain_hourly() from mesh_lib.gate";
const EVERY: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(500);
/// How long receipts are gathered after some were reported. Those of messages that were acknowledged meanwhile cost little.
const GATHER: Duration = Duration::from_millis(50);
const LEAVE: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(50);

/// Reports after every `relay.report`, and the presence of all sessions every 15 s. What comes in meanwhile goes in one statement.
pub async fn report(relay: Arc<Relay>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all = false;
    loop {
        tokio::select! {
            () = relay.report.notified() => {}
            _ = every.tick() => all = true,
        }
        let flushed = flush(&relay, all).await;
        all &= flushed.is_err();
        match flushed {
            Ok(0) => {}
            Ok(_) => sleep(GATHER).await,
            Err(failure) => {
                tracing::debug!("presence: {failure}");
                sleep(RETRY).await;
                relay.report.notify_one();
            }
        }
    }
}

/// The last report of a relay that stops: its sockets are gone. At most 3 s.
pub async fn leave(relay: &Relay) {
    if !matches!(timeout(LEAVE, flush(relay, false)).await, Ok(Ok(_))) {
        tracing::warn!("the database was not told that this relay is gone; it will notice");
    }
}

/// Reports what there is; how many receipts that were. What could not be said is said the next time.
async fn flush(relay: &Relay, all: bool) -> Result<usize, Failure> {
    let mut untold = relay.hub.reports();
    let count = untold.receipts.len();
    let told = tell(relay, &mut untold, all).await;
    relay.hub.put_back(untold);
    told.map(|()| count)
}

/// Says all of this, one thing after the other until one fails, and leaves what is to be said again.
async fn tell(relay: &Relay, untold: &mut Reports, all: bool) -> Result<(), Failure> {
    if !untold.receipts.is_empty() {
        let said = confirm_receipts(relay, &untold.receipts).await;
        if said.is_ok() {
            relay.hub.reported(&untold.receipts);
            relay.metrics.receipts.add(untold.receipts.len() as u64);
            if relay.hub.is_behind() {
                relay.sweep.notify_one();
            }
        }
        settle(said, &mut untold.receipts)?;
    }
    for (statement, sessions) in [
        (DISCONNECTED, &mut untold.gone),
        (NOT_WAITING, &mut untold.gave_up),
    ] {
        if !sessions.is_empty() {
            settle(say(relay, statement, pairs(sessions)).await, sessions)?;
        }
    }
    if all {
        // Also with nobody here: it is how any relay finds the sessions of one that died.
        let (sessions, _) = relay.hub.attached();
        let pairs = sessions.iter().map(|(id, secret)| (*id, &**secret));
        settle(say(relay, CONFIRM, pairs).await, &mut untold.arrived)?;
    } else if !untold.arrived.is_empty() {
        let said = say(relay, CONFIRM, pairs(&untold.arrived)).await;
        settle(said, &mut untold.arrived)?;
    }
    Ok(())
}

fn pairs(sessions: &[Attach]) -> impl Iterator<Item = (Uuid, &str)> {
    sessions.iter().map(|a| (a.session_id, &*a.push_secret))
}

async fn say(
    relay: &Relay,
    statement: &str,
    sessions: impl Iterator<Item = (Uuid, &str)>,
) -> Result<(), Failure> {
    let (ids, secrets): (Vec<Uuid>, Vec<&str>) = sessions.unzip();
    database::query(
        relay,
        &relay.windows,
        statement,
        &[&ids, &secrets, &relay.id],
    )
    .await
    .map(drop)
}

/// Forgets what was said, and what the database will never take.
fn settle<T>(said: Result<(), Failure>, what: &mut Vec<T>) -> Result<(), Failure> {
    let refused = |failure: &Failure| matches!(failure, Failure::Refused(..)) && !failure.is_busy();
    if said.as_ref().err().is_none_or(refused) {
        what.clear();
    }
    said
}

async fn confirm_receipts(relay: &Relay, receipts: &[Receipt]) -> Result<(), Failure> {
    let sessions: Vec<Uuid> = receipts.iter().map(|r| r.0).collect();
    let secrets: Vec<&str> = receipts.iter().map(|r| &*r.1).collect();
    let messages: Vec<Uuid> = receipts.iter().map(|r| r.2).collect();
    database::query(
        relay,
        &relay.windows,
        RECEIPT,
        &[&sessions, &secrets, &messages],
    )
    .await
    .map(drop)
}

/// Lets the database send what is due and sweep what is over: every second, and sooner when something is due sooner.
pub async fn tick(relay: Arc<Relay>) {
    loop {
        let mut pause = SECOND;
        if relay.schema.trouble().is_none() {
            match database::query(&relay, &relay.patient, TICK, &[]).await {
                Ok(rows) => {
                    let due: Option<f64> = rows.first().and_then(|row| row.get(0));
                    pause = due.map_or(SECOND, |due| {
                        Duration::try_from_secs_f64(due)
                            .unwrap_or(SECOND)
                            .clamp(SHORTEST, SECOND)
                    });
                }
                Err(failure) => tracing::debug!("tick: {failure}"),
            }
        }
        sleep(pause).await;
    }
}

/// Lets the database maintain itself; it knows when that is due. Apart from the tick: it may take long or fail, and what is
/// due must be sent all the same.
pub async fn maintain(relay: Arc<Relay>) {
    loop {
        sleep(MINUTE).await;
        if relay.schema.trouble().is_none()
            && let Err(failure) = database::query(&relay, &relay.patient, MAINTAIN, &[]).await
        {
            tracing::warn!("maintenance: {failure}");
        }
    }
}

/// Looks for refused keys every 500 ms.
pub async fn watch_keys(relay: Arc<Relay>) {
    let mut every = interval(RETRY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(failure) = refuse(&relay).await {
            tracing::debug!("refused keys: {failure}");
        }
    }
}

/// Ends what is open under keys that are no longer good.
pub async fn refuse(relay: &Relay) -> Result<(), Failure> {
    let keys: Vec<Uuid> = relay.held.keys().into_iter().collect();
    if !keys.is_empty() {
        let rows = database::query(relay, &relay.patient, REFUSED, &[&keys]).await?;
        relay
            .held
            .refuse(&rows.iter().map(|row| row.get(0)).collect::<HashSet<Uuid>>());
    }
    Ok(())
}
