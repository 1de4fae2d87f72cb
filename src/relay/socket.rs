//! `GET /ws`: calls, waits and pushes over one connection.

use super::calls::{self, Request, Write};
use super::frames::Frame;
use super::held::Hold;
use super::outbox::Outbox;
use super::wire::Wire;
use super::{Relay, arguments, body, frames};
use crate::error::{Error, Result};
use hyper_tungstenite::HyperWebsocketStream;
use serde_json::Map;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{net::IpAddr, pin::pin, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, protocol::WebSocketConfig};
use uuid::Uuid;

const AUTH: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(8);
const IN_FLIGHT: usize = 64;

/// Who is at the other end.
pub struct Peer {
    pub token: Option<String>,
    /// the mesh of calls that name none
    pub mesh: Option<String>,
    pub address: IpAddr,
}

struct Client {
    relay: Arc<Relay>,
    peer: Peer,
    number: u64,
    outbox: Arc<Outbox>,
    session: Mutex<Option<Uuid>>,
    in_flight: Arc<Semaphore>,
    /// ends the wait with that id
    cancels: Mutex<HashMap<String, oneshot::Sender<()>>>,
}

impl Client {
    fn session(&self) -> MutexGuard<'_, Option<Uuid>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancels(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<()>>> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that the call with this id is answered.
    fn answered(&self, id: &str) {
        let mut cancels = self.cancels();
        cancels.remove(id);
        if cancels.is_empty() {
            cancels.shrink_to_fit();
        }
    }
}

/// Buffers small enough for thousands of idle sockets: the frame that opens a session fits, and a few that send.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2048)
        .write_buffer_size(0)
        .max_message_size(Some(body::LIMIT))
        .max_frame_size(Some(body::LIMIT))
}

/// The id of the key a token stands for; the error of the sign-in otherwise.
pub async fn sign_in(relay: &Arc<Relay>, token: &str, address: IpAddr) -> Result<Option<Uuid>> {
    let request = Request {
        token: Some(token.to_owned()),
        mesh: None,
        session: None,
        function: "whoami".to_owned(),
        arguments: "{}".to_owned(),
        write: None,
    };
    let answer = calls::start(relay, request, Map::new(), address, None).await;
    if answer.status == 200 {
        return Ok(answer.caller.and_then(|caller| caller.key_id));
    }
    let broken = |_| Error::internal("sign-in failed");
    Err(serde_json::from_str(answer.body.get()).unwrap_or_else(broken))
}

/// Serves a socket in a task of its own, and gives its place up with it. `key` is the one the header's token stands for;
/// without it the first frame signs in.
pub fn serve(
    relay: Arc<Relay>,
    stream: HyperWebsocketStream,
    mut peer: Peer,
    mut key: Option<Uuid>,
    place: Arc<OwnedSemaphorePermit>,
) {
    let outbox = Arc::<Outbox>::default();
    let mut wire = Wire::new(stream, outbox.clone());
    tokio::spawn(async move {
        let _place = place;
        if peer.token.is_none() {
            let late = |_| Err(Error::new(401, "no auth frame within 10 seconds"));
            let first = timeout(AUTH, first(&relay, &mut wire, &mut peer)).await;
            match first.unwrap_or_else(late) {
                Ok(of_token) => key = of_token,
                Err(error) => return wire.close(&error).await,
            }
        }
        let _held = key.map(|key| Hold::new(&relay, key, outbox.end.clone()));
        outbox.send(frames::welcome(&relay.schema.hash()));
        let client = Arc::new(Client {
            number: relay.hub.open(outbox.clone()),
            relay,
            peer,
            outbox,
            session: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            cancels: Mutex::default(),
        });
        let Some(error) = attend(&client, &mut wire).await else {
            return;
        };
        wire.close(&error).await;
    });
}

async fn first(relay: &Arc<Relay>, wire: &mut Wire, peer: &mut Peer) -> Result<Option<Uuid>> {
    loop {
        let text = match wire.read().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            _ => return Err(Error::new(401, "the first frame must be auth")),
        };
        return match frames::parse(&text) {
            Ok(Frame::Auth { token }) => {
                let key = sign_in(relay, &token, peer.address).await?;
                peer.token = Some(token);
                Ok(key)
            }
            Ok(_) => Err(Error::new(401, "the first frame must be auth")),
            Err(refused) => Err(refused.1),
        };
    }
}

/// Takes what the client says until it goes; otherwise why the socket is to end.
async fn attend(client: &Arc<Client>, wire: &mut Wire) -> Option<Error> {
    let end = read(client, wire).await;
    client.relay.hub.close(client.number);
    client.relay.report.notify_one();
    // Waits end with their socket; what already writes goes on.
    client.cancels().clear();
    end
}

async fn read(client: &Arc<Client>, wire: &mut Wire) -> Option<Error> {
    let mut ended = pin!(client.outbox.end.ended());
    let mut stops = pin!(client.relay.end.ended());
    loop {
        let message = tokio::select! {
            message = wire.read() => message?,
            error = &mut ended => return Some(error.clone()),
            error = &mut stops => {
                // Answers first: a client that reads `ended` stops reading.
                let all = client.in_flight.acquire_many(IN_FLIGHT as u32);
                // Boxed, or each socket would keep the room for it from the start.
                Box::pin(wire.write_until(timeout(DRAIN, all))).await;
                return Some(error.clone());
            }
        };
        match message {
            Ok(Message::Text(text)) => take(client, &text),
            Ok(Message::Binary(_)) => {
                let error = Error::new(400, "binary frames are not part of the protocol");
                refuse(client, "null", error);
            }
            Ok(_) => {}
            Err(WsError::Capacity(_)) => {
                return Some(Error::new(413, "the frame is larger than 1 MiB"));
            }
            Err(WsError::Utf8(_)) => return Some(Error::new(400, "the frame is not UTF-8")),
            Err(_) => return None,
        }
    }
}

fn take(client: &Arc<Client>, text: &str) {
    match frames::parse(text) {
        Ok(Frame::Call {
            id,
            function,
            arguments,
            mesh,
        }) => {
            if let Err(error) = call(client, &id, function, arguments, mesh) {
                refuse(client, &id, error);
            }
        }
        Ok(Frame::Cancel { id }) => {
            let cancel = client.cancels().remove(&id);
            if let Some(cancel) = cancel {
                let _ = cancel.send(());
            }
        }
        Ok(Frame::Receipt { ids }) => {
            if client.relay.hub.receipt(client.number, &ids) > 0 {
                client.relay.report.notify_one();
            }
        }
        Ok(Frame::Auth { .. }) => {
            refuse(
                client,
                "null",
                Error::new(400, "this socket is signed in already"),
            );
        }
        Err(refused) => refuse(client, &refused.0, refused.1),
    }
}

fn refuse(client: &Client, id: &str, error: Error) {
    client.outbox.send(frames::answer(id, &error.into()));
}

/// Starts a call, in the order of the frames, and leaves its answer to a task.
fn call(
    client: &Arc<Client>,
    id: &str,
    function: String,
    text: String,
    mesh: Option<String>,
) -> Result<()> {
    let Ok(place) = client.in_flight.clone().try_acquire_owned() else {
        let mut error = Error::new(429, "64 calls of this socket are not answered yet");
        error.data = Some(serde_json::json!({ "retry_after": 1 }));
        return Err(error);
    };
    let memory = body::hold(&client.relay, text.len())?;
    let named = arguments::parse(text.as_bytes())?;
    let (sender, cancel) = oneshot::channel();
    let mut cancels = client.cancels();
    if cancels.contains_key(id) {
        return Err(Error::new(400, "a call with this id is not answered yet"));
    }
    cancels.insert(id.to_owned(), sender);
    drop(cancels);
    let session = *client.session();
    let write: Write = {
        let (client, id) = (client.clone(), id.to_owned());
        Arc::new(move |answer| {
            client.answered(&id);
            client.outbox.send(frames::answer(&id, answer));
        })
    };
    let written = write.clone();
    let request = Request {
        token: client.peer.token.clone(),
        mesh: mesh.or_else(|| client.peer.mesh.clone()),
        session: session.map(|session| session.to_string()),
        function,
        arguments: text,
        write: Some(write),
    };
    let pending = calls::start(
        &client.relay,
        request,
        named,
        client.peer.address,
        Some(cancel),
    );
    let client = client.clone();
    tokio::spawn(async move {
        let answer = pending.await;
        if let Some(attach) = &answer.effects.attach {
            *client.session() = Some(attach.session_id);
        }
        if !answer.is_written {
            written(&answer);
        }
        if let Some(attach) = answer.effects.attach {
            client.relay.hub.attach(client.number, attach);
            client.relay.report.notify_one();
            client.relay.sweep.notify_one();
        }
        drop((place, memory));
    });
    Ok(())
}
