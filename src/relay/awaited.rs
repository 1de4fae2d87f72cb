//! Calls that wait: run again at each wake until there is a result or the time is out.

use super::Relay;
use super::calls::{Answer, Pending, Request, dispatch};
use super::held::Hold;
use super::hub::Waiter;
use super::outbox::End;
use crate::catalogue::Function;
use crate::error::Error;
use crate::seen::{self, UNDER_WAY};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

const LONGEST: u64 = 55;
/// Runs at least this often: the net under a lost wake.
const NET: Duration = Duration::from_secs(5);
/// A wait without a session runs at most this often.
const PACE: Duration = Duration::from_millis(250);

/// How a call waits.
pub struct Plan {
    argument: String,
    /// where it says what has arrived
    seen: Option<String>,
    deadline: Instant,
    wakes: watch::Receiver<u64>,
    /// its session, when a socket of this relay holds it, and the news of that
    session: Option<(Uuid, watch::Receiver<u64>)>,
}

/// The plan of a call with an argument of type mesh.awaited above 0; none when it does not wait. Made before the
/// first run, so that no wake in between is missed.
pub fn plan(
    relay: &Relay,
    function: &Function,
    request: &Request,
    named: &Map<String, Value>,
) -> Option<Plan> {
    let argument = function.awaited()?;
    let given = named.get(&argument.name).unwrap_or(&argument.default);
    // Anything else the database refuses in its own words.
    let seconds = given.as_u64().filter(|s| (1..=LONGEST).contains(s))?;
    let session = request
        .session
        .as_deref()
        .and_then(|s| Uuid::parse_str(s).ok());
    Some(Plan {
        argument: argument.name.clone(),
        seen: seen::argument(function).map(|seen| seen.name.clone()),
        deadline: Instant::now() + Duration::from_secs(seconds),
        wakes: relay.wakes.subscribe(),
        session: session.and_then(|id| Some((id, relay.hub.news(id)?))),
    })
}

/// Waits for an answer that is not null. ME401 when the key is revoked meanwhile, ME409 when cancelled; but a run that has
/// begun may take mail, so its answer comes first. A relay that drains takes the time as out.
pub async fn run(
    relay: &Arc<Relay>,
    mut plan: Plan,
    request: Arc<Request>,
    mut named: Map<String, Value>,
    read_only: bool,
    first: Pending,
    mut cancel: Option<oneshot::Receiver<()>>,
) -> Answer {
    let deadline = plan.deadline;
    let end = Arc::new(End::default());
    let mut held = None;
    let mut waiter: Option<Waiter> = None;
    let mut next = Some(first);
    let mut ran_at = Instant::now();
    let mut again = request.clone();
    loop {
        if let Some(mut run) = next.take() {
            ran_at = Instant::now();
            let (answer, is_cancelled) = tokio::select! {
                answer = &mut run => (answer, false),
                () = cancelled(&mut cancel) => (run.await, true),
            };
            if !answer.is_null() {
                return answered(waiter, answer);
            }
            let caller = answer.caller.as_ref();
            if held.is_none() {
                held = caller
                    .and_then(|c| c.key_id)
                    .map(|key| Hold::new(relay, key, end.clone()));
            }
            // Only who the database says is that session takes its mail before the socket gets it.
            match &plan.session {
                Some((id, _)) if caller.and_then(|c| c.session_id) == Some(*id) => {
                    if waiter.is_none() {
                        waiter = Some(relay.hub.waiter(relay, *id));
                    }
                }
                _ => plan.session = None,
            }
            if let Some(seen) = plan.seen.take() {
                // What had arrived, the first run has settled; what it left, other calls may hold.
                named.insert(seen, Value::from(vec![UNDER_WAY]));
                again = Arc::new(with(&request, &named));
            }
            relay.sweep.notify_one();
            if is_cancelled {
                return cancelled_answer();
            }
        }
        tokio::select! {
            () = woken(&mut plan, ran_at) => next = Some(dispatch(relay, again.clone(), read_only, true)),
            () = sleep_until(deadline) => break,
            _ = relay.end.ended() => break,
            error = end.ended() => return error.clone().into(),
            () = cancelled(&mut cancel) => return cancelled_answer(),
        }
    }
    named.insert(plan.argument, Value::from(0));
    let last = Arc::new(with(&request, &named));
    let answer = dispatch(relay, last, read_only, true).await;
    answered(waiter, answer)
}

/// The same call with other arguments.
fn with(request: &Request, named: &Map<String, Value>) -> Request {
    let mut other = request.clone();
    other.arguments = Value::Object(named.clone()).to_string();
    other
}

/// Only a wait that ends so is over for the database, too.
fn answered(waiter: Option<Waiter>, answer: Answer) -> Answer {
    if let Some(mut waiter) = waiter {
        waiter.is_answered = answer.status == 200;
    }
    answer
}

async fn woken(plan: &mut Plan, ran_at: Instant) {
    let net = sleep_until(ran_at + NET);
    let news = async {
        if let Some((_, news)) = &mut plan.session {
            if news.changed().await.is_ok() {
                return;
            }
            // its socket is gone: go on as a wait without one
            plan.session = None;
        }
        sleep_until(ran_at + PACE).await;
        if plan.wakes.changed().await.is_err() {
            std::future::pending().await
        }
    };
    tokio::select! {
        () = net => {}
        () = news => {}
    }
}

async fn cancelled(cancel: &mut Option<oneshot::Receiver<()>>) {
    match cancel {
        Some(cancel) => _ = cancel.await,
        None => std::future::pending().await,
    }
}

fn cancelled_answer() -> Answer {
    Error::new(409, "cancelled").into()
}
