//! The way of one call: limits, signatures, lane or pool, wait, answer.

use super::database::Haste;
use super::hub::Attach;
use super::{Relay, arguments, aside, awaited};
use crate::error::Error;
use crate::seen;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use std::{net::IpAddr, pin::Pin, sync::Arc};
use tokio::sync::oneshot;
use uuid::Uuid;

/// A call as the database gets it.
#[derive(Clone)]
pub struct Request {
    pub token: Option<String>,
    pub mesh: Option<String>,
    pub session: Option<String>,
    pub function: String,
    /// a JSON object
    pub arguments: String,
    /// of what takes mail over a socket: writes the answer, in the order of those that took before
    pub write: Option<Write>,
}

pub type Write = Arc<dyn Fn(&Answer) + Send + Sync>;

/// What the database made of a call: a result with status 200, or an error object.
pub struct Answer {
    pub status: u16,
    pub body: Box<RawValue>,
    /// none when nobody signed in
    pub caller: Option<Caller>,
    pub effects: Effects,
    /// whether its caller has it already
    pub is_written: bool,
}

/// Who signed in.
#[derive(Clone, Debug, Deserialize)]
pub struct Caller {
    pub key_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
}

/// What a call wants of its relay beside the answer.
#[derive(Default, Deserialize)]
pub struct Effects {
    /// to the connection it came by
    #[serde(default)]
    pub attach: Option<Attach>,
    /// to sessions that this relay holds
    #[serde(default)]
    pub push: Option<Push>,
    /// to sessions that this relay holds
    #[serde(default)]
    pub news: Vec<News>,
}

/// A frame to show at once, as the transaction that made it said.
#[derive(Deserialize)]
pub struct Push {
    pub sessions: Vec<Uuid>,
    /// per session, the mail it was owed before this batch; none where nobody was owed any
    #[serde(default)]
    pub after: Option<Vec<Option<Uuid>>>,
    /// per session, its agent's box, where the message is sealed
    #[serde(default)]
    pub boxes: Option<Vec<Option<String>>>,
    pub frame: Box<RawValue>,
}

/// What happened, for sessions to be shown. No receipt is asked for.
#[derive(Deserialize)]
pub struct News {
    pub sessions: Vec<Uuid>,
    pub frame: Box<RawValue>,
}

impl Answer {
    pub fn is_null(&self) -> bool {
        self.status == 200 && self.body.get() == "null"
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        Answer {
            status: error.status(),
            body: to_raw_value(&error).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            caller: None,
            effects: Effects::default(),
            is_written: false,
        }
    }
}

pub type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Starts a call: when this returns, a writing call has its place in its lane. `named` are the arguments
/// of `request`, parsed. `cancel`, when there is one, ends a wait as soon as it is used or dropped.
pub fn start(
    relay: &Arc<Relay>,
    mut request: Request,
    mut named: Map<String, Value>,
    peer: IpAddr,
    cancel: Option<oneshot::Receiver<()>>,
) -> Pending {
    if let Err(error) = relay.limits.admit(request.token.as_deref(), peer) {
        relay.metrics.answered(error.status());
        return Box::pin(std::future::ready(error.into()));
    }
    let relay = relay.clone();
    let token = request.token.clone();
    let loaded = relay.schema.loaded();
    let function = loaded
        .as_ref()
        .and_then(|l| l.catalogue.function(&request.function));
    match function.map(|function| arguments::check_signatures(function, &named)) {
        Some(Err(error)) => {
            relay.metrics.answered(error.status());
            return Box::pin(std::future::ready(error.into()));
        }
        // what was verified is what runs: numbers too long for a double would differ
        Some(Ok(true)) => request.arguments = Value::Object(named.clone()).to_string(),
        _ => {}
    }
    if let Some(function) = function.filter(|f| f.is_named()) {
        function.name_call(&mut named);
        // every run of it is of the same text
        request.arguments = Value::Object(named.clone()).to_string();
    }
    if function.and_then(seen::argument).is_none() {
        request.write = None;
    }
    let read_only = function.is_some_and(|function| function.read_only);
    let wait = function.and_then(|function| awaited::plan(&relay, function, &request, &named));
    let request = Arc::new(request);
    let first = dispatch(&relay, request.clone(), read_only, wait.is_some());
    Box::pin(async move {
        let answer = match wait {
            None => first.await,
            Some(plan) => {
                awaited::run(&relay, plan, request, named, read_only, first, cancel).await
            }
        };
        relay.limits.signed_in(
            token.as_deref(),
            peer,
            answer.caller.is_some(),
            answer.status,
        );
        relay.metrics.answered(answer.status);
        answer
    })
}

/// Sends a call to the database: one that writes through its lane, one that reads straight to the pool. Dropped, it still
/// runs, but for a run of a wait that has not begun.
pub fn dispatch(
    relay: &Arc<Relay>,
    request: Arc<Request>,
    read_only: bool,
    is_wait: bool,
) -> Pending {
    if !read_only {
        let session = request.write.as_ref().and(request.session.as_deref());
        let session = session.and_then(|session| Uuid::parse_str(session).ok());
        let taking = session.map(|session| relay.hub.taking(relay, session));
        return Box::pin(relay.lanes.submit(request, is_wait, taking));
    }
    let relay = relay.clone();
    // A task of its own: dropped half way, the statement would still keep its connection busy.
    let run = async move {
        let Ok(_place) = relay.reads.acquire().await else {
            return Error::unavailable("the relay is going away").into();
        };
        let single = || aside::single(&relay, Haste::Patient, &request);
        let answer = match single().await {
            // Reading twice does no harm, and after a restart every connection of the pool is stale.
            Err(failure) if failure.error().status() == 503 => single().await,
            answer => answer,
        };
        answer.unwrap_or_else(|failure| failure.error().into())
    };
    Box::pin(async {
        let run = tokio::spawn(run);
        run.await
            .unwrap_or_else(|_| Error::internal("the call broke off").into())
    })
}
