//! A live session: one window of an agent, kept through relay restarts.

mod keeper;
#[cfg(test)]
mod tests;

use crate::{
    catalogue::{Catalogue, Function},
    crypto::Signer,
    error::{Error, Result},
    home::Home,
    rpc::{Caller, Client, Failure, Target},
    sealing::{Arrived, Exchange, Keys, Sealing, SessionKey},
    seen::{self, Answers, UnderWay},
};
use keeper::Keeper;
use serde_json::{Map, Value};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};

/// How long a call waits for the relay to come back.
const PATIENCE: Duration = Duration::from_secs(20);
/// A call that breaks every connection must not be made for ever.
const ATTEMPTS: usize = 6;

/// How the window presents itself.
#[derive(Clone, Default)]
pub struct Window {
    pub editor: Option<String>,
    pub cwd: Option<String>,
    pub host: Option<String>,
    /// Take over from a window that runs as this agent.
    pub takeover: bool,
}

/// A handle to the background task that keeps the socket: clone freely. The task ends with the last handle.
#[derive(Clone)]
pub struct Session {
    state: watch::Receiver<State>,
    stop: mpsc::Sender<()>,
    /// Filled into `mesh.seen` arguments: what a lost answer held comes again.
    answers: Answers,
    sealing: Arc<Sealing>,
}

/// What the task reports.
pub enum Notice {
    /// A pushed message, opened if it was sealed.
    Mail(Value),
    /// Something that happened in the mesh, as the relay said it. May come twice.
    News(Value),
    /// The session is over for good and why.
    Ended(Error),
    Offline,
    Online,
}

#[derive(Clone)]
enum State {
    Away,
    Online(Caller),
    Over(Error),
}

impl Session {
    /// Opens the session (makes a session key, signs the hello with `identity`) and keeps it: reconnects with back-off
    /// and jitter, resumes with the same session key. Returns the open_session result and the notices.
    ///
    /// ME409 when the agent runs in another window and `window.takeover` is off. A receipt is sent for each pushed
    /// message once it is in the channel, so a receiver that is not read holds receipts back but no calls.
    pub async fn open(
        home: &Home,
        target: Target,
        identity: Signer,
        window: Window,
    ) -> Result<(Session, Value, mpsc::Receiver<Notice>)> {
        let session = SessionKey {
            key: Signer::generate(),
            hello: Arc::default(),
        };
        let keys = Keys {
            signer: identity.clone(),
            is_bare: false,
            session: Some(session.clone()),
        };
        let sealing = Arc::new(Sealing::new(home, keys).in_mesh(target.mesh.clone()));
        let mut keeper = Keeper {
            client: Client::new(target)?,
            identity,
            session,
            sealing: sealing.clone(),
            window,
        };
        let (socket, hello) = keeper.connect().await?;
        // A second take-over on reconnect would throw out a window that took over from this one.
        keeper.window.takeover = false;
        let (notices, inbox) = mpsc::channel(256);
        let (stop, stopped) = mpsc::channel(1);
        let (state, watched) = watch::channel(State::Online(socket.caller()));
        tokio::spawn(keeper.keep(socket, state, notices, stopped));
        Ok((
            Session {
                state: watched,
                stop,
                answers: Answers::default(),
                sealing,
            },
            hello,
            inbox,
        ))
    }

    /// A call over `exchange`, this session or what makes its calls on it: sealed and its result opened where that is to be. It is
    /// not known yet that the answer arrives where it is to be read: see `saw`. While reconnecting it waits up to 20 s, then ME503.
    /// Dropping the future of a call sends cancel.
    ///
    /// When the connection breaks during the call it is made again if that does no harm (it only reads, only takes mail, or
    /// is named by a `mesh.request_id` or `mesh.request_key`); otherwise ME503 says that the outcome is unknown.
    pub async fn call(
        &self,
        exchange: &impl Exchange,
        function: &str,
        arguments: &Map<String, Value>,
    ) -> Result<Value> {
        let known = Catalogue::ours().function(function);
        let arguments = &self.filled(known, arguments);
        let Some(known) = known else {
            return exchange.call(function, arguments).await;
        };
        let result = self.sealing.call(exchange, known, arguments).await?;
        self.answers
            .forget(&seen::settled(known, arguments, &result));
        Ok(result)
    }

    /// A call as it is, repeated when that does no harm. It waits for the relay until 20 s after `since`. Its answer is under way
    /// as long as `way` holds what it holds then.
    pub async fn exchange(
        &self,
        since: Instant,
        function: &str,
        arguments: &Map<String, Value>,
        way: &Mutex<Option<UnderWay>>,
    ) -> Result<Arrived> {
        let known = Catalogue::ours().function(function);
        let mut state = self.state.clone();
        let mut deadline = since + PATIENCE;
        for _ in 0..ATTEMPTS {
            let caller = online(&mut state, deadline).await?;
            let mut said = arguments.clone();
            let begun = known.and_then(|known| self.answers.begin(known, &mut said));
            match caller.call(function, &said).await {
                Ok(result) => {
                    *way.lock().expect("nothing panics under this lock") = begun;
                    return Ok(result);
                }
                Err(Failure::Answer(error)) => return Err(error),
                Err(Failure::Lost { sent: true }) => {
                    if !repeatable(known, arguments) {
                        return Err(Failure::Lost { sent: true }.into());
                    }
                    drop(begun);
                    deadline = Instant::now() + PATIENCE;
                    left(&mut state, &caller, deadline).await;
                }
                Err(Failure::Lost { sent: false }) => left(&mut state, &caller, deadline).await,
            }
        }
        Err(
            Error::unavailable("the connection to the relay keeps breaking during this call")
                .hint("mesh doctor"),
        )
    }

    /// Waits for the relay until 20 s after `since`; ME503 then.
    pub async fn online(&self, since: Instant) -> Result<()> {
        let mut state = self.state.clone();
        online(&mut state, since + PATIENCE).await.map(drop)
    }

    /// Says good-bye (close_session) and stops.
    pub async fn close(self) {
        let caller = match &*self.state.borrow() {
            State::Online(caller) => Some(caller.clone()),
            _ => None,
        };
        if let Some(caller) = caller {
            // Without an answer in time the relay notices the closed socket.
            let _ = timeout(
                Duration::from_secs(2),
                caller.call("close_session", &Map::new()),
            )
            .await;
        }
        // Full means that another handle is closing it already.
        let _ = self.stop.try_send(());
    }
}

impl Session {
    fn filled(
        &self,
        function: Option<&Function>,
        arguments: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut arguments = arguments.clone();
        if let Some(function) = function {
            seen::fill(function, &mut arguments, || self.answers.arrived());
            function.list_addresses(&mut arguments);
            function.name_call(&mut arguments);
        }
        arguments
    }

    /// The answer with this claim has arrived: the next call that takes mail says so.
    pub fn saw(&self, claim: String) {
        self.answers.saw(claim);
    }
}

/// The connection as soon as there is one; ME503 after `deadline`, the reason when the session is over.
async fn online(state: &mut watch::Receiver<State>, deadline: Instant) -> Result<Caller> {
    let settled = timeout_at(deadline, state.wait_for(|s| !matches!(s, State::Away))).await;
    match settled.map(|result| result.map(|s| s.clone())) {
        Ok(Ok(State::Online(caller))) => Ok(caller),
        Ok(Ok(State::Over(error))) => Err(error),
        Ok(_) => Err(Error::new(410, "this session is closed")),
        Err(_) => Err(
            Error::unavailable("the relay has been away for 20 s; still trying")
                .hint("mesh doctor"),
        ),
    }
}

/// Waits until the task has noticed that `gone` is gone.
async fn left(state: &mut watch::Receiver<State>, gone: &Caller, deadline: Instant) {
    let moved_on = |s: &State| !matches!(s, State::Online(caller) if caller.same(gone));
    // The next use of the same caller reports what a time-out here would.
    let _ = timeout_at(deadline, state.wait_for(moved_on)).await;
}

/// Whether making a call twice is as good as once: it only reads, has a name of its own, or takes mail and says what it
/// has seen. What takes a `key` sends, and is as good only with one.
fn repeatable(function: Option<&Function>, arguments: &Map<String, Value>) -> bool {
    let has_key = |f: &Function| {
        let key = f.request_key().and_then(|a| arguments.get(&a.name));
        key.is_some_and(|key| !key.is_null())
    };
    function.is_some_and(|f| f.read_only || f.is_named() || has_key(f) || f.only_takes_mail())
}
