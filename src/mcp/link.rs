//! The session behind the tools: opened when the editor initializes, kept, and opened again when it could not be.

use super::{Options, announce::Announcer, news::News};
use crate::{
    catalogue::Catalogue,
    cli::{catalogues, context},
    crypto::Signer,
    error::{Error, Result},
    home::Home,
    rpc::{Client, Target},
    session::{Notice, Session, Window},
};
use serde_json::Map;
use std::{
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, mpsc, watch};

/// How long a tool waits for the session.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a failed opening is told again before the next call tries anew.
const FRESH: Duration = Duration::from_millis(500);
const SLOWEST_RETRY: Duration = Duration::from_secs(5);
const GOOD_BYE: Duration = Duration::from_secs(2);

pub struct Link {
    pub options: Options,
    pub announcer: Announcer,
    pub news: News,
    catalogue: RwLock<Arc<Catalogue>>,
    state: watch::Sender<State>,
    again: Notify,
}

#[derive(Clone)]
enum State {
    Idle,
    /// With what went wrong so far, when the relay is away.
    Opening(Option<Error>),
    Open(Live),
    /// Tried again by the next call.
    Failed(Error, Instant),
    /// Over for good: revoked, or taken over by another window.
    Ended(Error),
}

/// An open session.
#[derive(Clone)]
pub struct Live {
    pub session: Session,
    pub manage: bool,
}

impl Link {
    pub fn new(mut options: Options) -> Arc<Link> {
        let catalogue = std::mem::take(&mut options.catalogue);
        Arc::new(Link {
            options,
            announcer: Announcer::default(),
            news: News::default(),
            catalogue: RwLock::new(Arc::new(catalogue)),
            state: watch::Sender::new(State::Idle),
            again: Notify::new(),
        })
    }

    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// Begins to open the session, once; `opened` is called each time it was.
    pub fn start(self: &Arc<Self>, window: Window, opened: impl Fn() + Send + 'static) {
        let begin = |state: &mut State| {
            let idle = matches!(state, State::Idle);
            if idle {
                *state = State::Opening(None);
            }
            idle
        };
        if self.state.send_if_modified(begin) {
            tokio::spawn(self.clone().keep(window, opened));
        }
    }

    /// The open session. Waits up to 20 s for it, then ME503; the reason when it cannot be opened or has ended.
    pub async fn live(&self) -> Result<Live> {
        self.retry();
        match self
            .settled(PATIENCE, |state| {
                !matches!(state, State::Idle | State::Opening(_))
            })
            .await
        {
            State::Open(live) => Ok(live),
            State::Failed(error, _) | State::Ended(error) | State::Opening(Some(error)) => {
                Err(error)
            }
            State::Idle | State::Opening(None) => Err(Error::unavailable(
                "the relay has not answered yet; call again",
            )
            .hint("mesh doctor")),
        }
    }

    /// Whether the key is known to have `manage`, waiting up to `patience` for a relay that may be there.
    pub async fn manage(&self, patience: Duration) -> bool {
        let state = self
            .settled(patience, |state| {
                !matches!(state, State::Idle | State::Opening(None))
            })
            .await;
        matches!(state, State::Open(Live { manage: true, .. }))
    }

    /// What to say of unread mail; nothing when it cannot be read here.
    pub fn note(&self) -> Option<String> {
        let is_open = matches!(*self.state.borrow(), State::Open(_));
        is_open.then(|| self.announcer.note()).flatten()
    }

    /// Says good-bye to the relay.
    pub async fn close(&self) {
        let over = Error::unavailable("this window is closing");
        if let State::Open(live) = self.state.send_replace(State::Ended(over)) {
            let _ = tokio::time::timeout(GOOD_BYE, live.session.close()).await;
        }
    }

    async fn settled(&self, patience: Duration, is_settled: impl FnMut(&State) -> bool) -> State {
        let mut state = self.state.subscribe();
        let settled = tokio::time::timeout(patience, state.wait_for(is_settled)).await;
        match settled {
            Ok(Ok(state)) => state.clone(),
            _ => self.state.borrow().clone(),
        }
    }

    fn retry(&self) {
        let due = |state: &mut State| match state {
            State::Failed(_, since) if since.elapsed() > FRESH => {
                *state = State::Opening(None);
                true
            }
            _ => false,
        };
        if self.state.send_if_modified(due) {
            self.again.notify_one();
        }
    }

    async fn keep(self: Arc<Self>, mut window: Window, opened: impl Fn() + Send + 'static) {
        let mut pause = Duration::from_millis(250);
        loop {
            match self.open(&window).await {
                Ok((live, notices)) => {
                    // Once is enough: a second takeover would steal the window back from whoever took it.
                    window.takeover = false;
                    pause = Duration::from_millis(250);
                    if !self.advance(State::Open(live.clone())) {
                        return live.session.close().await;
                    }
                    opened();
                    if let Some(error) = self.follow(notices).await {
                        let text = error.to_string();
                        if self.advance(State::Ended(self.with_way_back(error))) {
                            tracing::error!("the session is over: {text}");
                        }
                        return;
                    }
                    self.advance(State::Opening(None));
                }
                Err(error) if error.status() == 503 => {
                    tracing::warn!("no session yet: {error}");
                    self.advance(State::Opening(Some(error)));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(SLOWEST_RETRY);
                }
                Err(error) => {
                    tracing::error!("no session: {error}");
                    self.advance(State::Failed(self.with_way_back(error), Instant::now()));
                    self.again.notified().await;
                }
            }
            if matches!(*self.state.borrow(), State::Ended(_)) {
                return;
            }
        }
    }

    async fn open(&self, window: &Window) -> Result<(Live, mpsc::Receiver<Notice>)> {
        let (home, mut target, identity, own) = self.credential().await?;
        let whoami = Client::new(target.clone())?
            .call("whoami", &Map::new())
            .await?;
        // The hello is signed for the mesh's id: a name may mean another mesh to somebody else, or later.
        let said = whoami["mesh_id"].as_str().map(str::to_owned);
        target.mesh = own.or(said);
        let (session, answer, notices) =
            Session::open(&home, target.clone(), identity, window.clone()).await?;
        self.announcer
            .opened(answer["unread"].as_u64().unwrap_or(0));
        if let Some(catalogue) = catalogues::now(&home, &target.relay, target.ca.clone()).await {
            *self
                .catalogue
                .write()
                .unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(catalogue);
        }
        Ok((
            Live {
                session,
                manage: whoami["manage"] == true,
            },
            notices,
        ))
    }

    async fn follow(&self, mut notices: mpsc::Receiver<Notice>) -> Option<Error> {
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::Mail(frame) => self.announcer.mail(frame).await,
                Notice::News(frame) => self.news.add(&frame),
                Notice::Ended(error) => return Some(error),
                Notice::Offline => tracing::info!("the relay is away; reconnecting"),
                Notice::Online => tracing::info!("connected"),
            }
        }
        None
    }

    /// The error with what opens the window again.
    fn with_way_back(&self, error: Error) -> Error {
        let agent = self.options.agent.as_deref().unwrap_or("<agent>");
        match error.status() {
            401 => error.hint(format!("mesh setup {agent}")),
            _ if error.hint.is_empty() => error.hint(format!("mesh run {agent}")),
            _ => error,
        }
    }

    /// Sets the state unless the window is closing.
    fn advance(&self, next: State) -> bool {
        self.state.send_if_modified(|state| {
            let open = !matches!(state, State::Ended(_));
            if open {
                *state = next;
            }
            open
        })
    }

    /// Where and as whom: the agent's own key and identity, and the id of its mesh as far as this machine knows it.
    async fn credential(&self) -> Result<(Home, Target, Signer, Option<String>)> {
        let context = context::resolve(&self.options.globals).await?;
        let credential = context.credential.as_ref();
        let is_account = credential.is_some_and(|credential| credential.kind == "account");
        let own = credential.and_then(|credential| credential.mesh_id.clone());
        let identity = context.signer.filter(|_| !is_account).ok_or_else(|| {
            let agent = self.options.agent.as_deref().unwrap_or("<agent>");
            Error::new(401, "this window is no agent: there is no key of one here")
                .hint(format!("mesh setup {agent}"))
        })?;
        Ok((context.home, context.client.target, identity, own))
    }
}
