//! The background task of a session: delivers mail, and opens the session again when the connection broke.

use super::{Notice, State, Window};
use crate::{
    crypto::Signer,
    error::{Error, Result},
    rpc::{Client, Event, Socket},
    sealing::{Sealing, SessionKey},
};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the background task needs to open the session again.
pub struct Keeper {
    pub client: Client,
    pub identity: Signer,
    pub session: SessionKey,
    pub sealing: Arc<Sealing>,
    pub window: Window,
}

impl Keeper {
    /// Runs until the session is over or no handle is left.
    pub async fn keep(
        self,
        mut socket: Socket,
        state: watch::Sender<State>,
        notices: mpsc::Sender<Notice>,
        mut stopped: mpsc::Receiver<()>,
    ) {
        let over = loop {
            let since = Instant::now();
            let ended = tokio::select! {
                ended = self.deliver(&mut socket, &notices) => ended,
                _ = stopped.recv() => break Error::new(410, "this session is closed"),
            };
            drop(socket);
            if let Some(error) = ended.filter(is_final) {
                break error;
            }
            // The relay may know more now than it did.
            self.sealing.forget();
            state.send_replace(State::Away);
            let _ = notices.send(Notice::Offline).await;
            let resumed = tokio::select! {
                resumed = self.resume(since.elapsed()) => resumed,
                _ = stopped.recv() => break Error::new(410, "this session is closed"),
            };
            match resumed {
                Ok(again) => socket = again,
                Err(error) => break error,
            }
            state.send_replace(State::Online(socket.caller()));
            let _ = notices.send(Notice::Online).await;
        };
        state.send_replace(State::Over(over.clone()));
        let _ = notices.send(Notice::Ended(over)).await;
    }

    /// A new connection for the same session; Err when the relay refuses it for good.
    async fn resume(&self, lasted: Duration) -> Result<Socket> {
        // A relay that takes the session and drops it at once must not be asked ten times a second.
        let mut pause = if lasted < LONGEST_PAUSE {
            FIRST_PAUSE * 4
        } else {
            FIRST_PAUSE
        };
        loop {
            sleep(jittered(pause)).await;
            match self.connect().await {
                Ok((socket, _)) => return Ok(socket),
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// A connection with the session opened on it, and the result of open_session.
    pub async fn connect(&self) -> Result<(Socket, Value)> {
        let socket = self.client.socket().await?;
        let result = socket.call("open_session", &self.hello()).await?;
        Ok((socket, result))
    }

    /// The arguments of open_session, signed now.
    fn hello(&self) -> Map<String, Value> {
        let texts = [
            ("editor", &self.window.editor),
            ("cwd", &self.window.cwd),
            ("host", &self.window.host),
        ];
        let mut arguments = Map::new();
        let key = self.session.key.public_key();
        arguments.insert("session_key".into(), key.into());
        for (name, text) in texts {
            if let Some(text) = text {
                arguments.insert(name.into(), text.as_str().into());
            }
        }
        arguments.insert("takeover".into(), self.window.takeover.into());
        let mesh = self.client.target.mesh.as_deref();
        let signed = self
            .identity
            .sign_call("open_session", &json!(arguments), mesh);
        let mut hello = self
            .session
            .hello
            .lock()
            .expect("nothing panics under this lock");
        *hello = signed.clone();
        arguments.insert("hello".into(), signed);
        arguments
    }

    /// Hands on mail, opened, and news until the connection ends; the relay's reason if it gave one.
    async fn deliver(&self, socket: &mut Socket, notices: &mpsc::Sender<Notice>) -> Option<Error> {
        let caller = socket.caller();
        loop {
            match socket.next().await {
                Event::Push(message) => {
                    let Ok(message) = self.sealing.open_pushed(&caller, message).await else {
                        // The relay pushes it again.
                        continue;
                    };
                    let id = message["message_id"].as_str().map(str::to_owned);
                    if notices.send(Notice::Mail(message)).await.is_ok()
                        && let Some(id) = id
                    {
                        // When the connection is gone the relay pushes it again.
                        let _ = socket.receipt(vec![id]).await;
                    }
                }
                Event::News(news) => drop(notices.send(Notice::News(news)).await),
                Event::Ended(error) => return Some(error),
                Event::Closed => return None,
            }
        }
    }
}

/// Whether trying again cannot help: the key is revoked, or another window has taken over.
fn is_final(error: &Error) -> bool {
    matches!(error.status(), 400..=428 | 430..=499)
}

/// Between half and all of `pause`, so that many windows do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}
