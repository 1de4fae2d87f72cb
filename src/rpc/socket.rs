//! One WebSocket to a relay: calls with correlation ids, pushed mail, receipts.

use super::{
    Client, bearer_header,
    caller::{Caller, Command, Failure, Reply},
    frame::{Frame, read},
    transport::Stream,
};
use crate::{
    error::{Error, Result},
    sealing::Arrived,
};
use futures_util::{SinkExt, StreamExt};
use hyper::{Uri, header::AUTHORIZATION};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};
use tower_service::Service;

const WELCOME_LIMIT: Duration = Duration::from_secs(10);
const SEND_LIMIT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(15);
const DEAD_AFTER: Duration = Duration::from_secs(45);
/// Frames kept for a slow reader before the connection is given up; the relay sends them again.
const BACKLOG: usize = 10_000;

type Ws = WebSocketStream<TokioIo<Stream>>;

/// One WebSocket to a relay; ends for good when the connection does (see session.rs for the lasting one).
/// Dropping it closes the connection.
pub struct Socket {
    caller: Caller,
    events: mpsc::Receiver<Event>,
}

/// What a socket reports.
pub enum Event {
    /// A message for this session.
    Push(Arrived),
    /// Something that happened in the mesh.
    News(Value),
    /// The relay ended it and said why. Nothing follows.
    Ended(Error),
    /// The connection is gone. Nothing follows.
    Closed,
}

impl Socket {
    /// One call; see [`Caller::call`].
    pub async fn call(&self, function: &str, arguments: &Map<String, Value>) -> Result<Value> {
        Ok(self.caller.call(function, arguments).await?.value)
    }

    /// Tells the relay that these messages have arrived.
    pub async fn receipt(&self, ids: Vec<String>) -> Result<()> {
        let sent = self.caller.commands.send(Command::Receipt(ids));
        sent.map_err(|_| Failure::Lost { sent: false }.into())
    }

    /// The next event; `Closed` again and again after the last.
    pub async fn next(&mut self) -> Event {
        self.events.recv().await.unwrap_or(Event::Closed)
    }

    /// A handle for calls that can be cloned and used while `next` waits.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }
}

/// Connects, upgrades and waits for the relay's welcome.
pub(super) async fn connect(client: &Client) -> Result<Socket> {
    let uri: Uri = format!("{}/ws", client.wire.base)
        .parse()
        .map_err(|_| Error::new(400, format!("{} is no relay URL", client.wire.base)))?;
    let mut request = format!("{}/ws", client.wire.base.replacen("http", "ws", 1))
        .into_client_request()
        .map_err(|e| Error::new(400, e.to_string()))?;
    if let Some(bearer) = &client.target.bearer {
        request
            .headers_mut()
            .insert(AUTHORIZATION, bearer_header(bearer)?);
    }
    let stream = client
        .wire
        .connector
        .clone()
        .call(uri)
        .await
        .map_err(|e| client.unreachable(&*e))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0);
    let greeting = async {
        let upgrade = client_async_with_config(request, TokioIo::new(stream), Some(config)).await;
        let (mut ws, _) = upgrade.map_err(|e| match e {
            tungstenite::Error::Http(answer) => client.refusal(
                answer.status().as_u16(),
                answer.body().as_deref().unwrap_or_default(),
            ),
            other => client.unreachable(&other),
        })?;
        welcome(&mut ws).await?;
        Ok::<Ws, Error>(ws)
    };
    let ws = timeout(WELCOME_LIMIT, greeting)
        .await
        .map_err(|_| client.unavailable("the relay did not welcome the socket in 10 s".into()))??;
    let (commands, orders) = mpsc::unbounded_channel();
    let (events, reports) = mpsc::channel(64);
    tokio::spawn(run(ws, orders, events));
    let caller = Caller {
        commands,
        mesh: client.target.mesh.clone(),
        ids: Arc::default(),
    };
    Ok(Socket {
        caller,
        events: reports,
    })
}

async fn welcome(ws: &mut Ws) -> Result<()> {
    while let Some(frame) = ws.next().await {
        let frame =
            frame.map_err(|e| Error::unavailable(format!("the relay closed the socket: {e}")))?;
        let Message::Text(text) = frame else { continue };
        match read(&text) {
            Frame::Welcome => return Ok(()),
            Frame::Ended(error) => return Err(error),
            _ => {}
        }
    }
    Err(Error::unavailable(
        "the relay closed the socket before its welcome",
    ))
}

/// Owns the connection until it ends, the socket is dropped, or the relay is silent for 45 s.
async fn run(
    mut ws: Ws,
    mut orders: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
) {
    let mut waiting: HashMap<u64, Reply> = HashMap::new();
    let mut backlog: VecDeque<Event> = VecDeque::new();
    let mut heard = Instant::now();
    let mut ticks = interval(PING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let last = loop {
        let outgoing = tokio::select! {
            frame = ws.next() => {
                let Some(Ok(frame)) = frame else { break Event::Closed };
                heard = Instant::now();
                let Message::Text(text) = frame else { continue };
                match read(&text) {
                    Frame::Answer(id, answer) => {
                        // A missing entry is a call that was cancelled.
                        waiting.remove(&id).map(|reply| reply.send(answer.map(Arrived::now)));
                    }
                    Frame::Push(_) if backlog.len() >= BACKLOG => break Event::Closed,
                    Frame::Push(message) => backlog.push_back(Event::Push(Arrived::now(message))),
                    // It is to be read where it happened, too.
                    Frame::News(_) if backlog.len() >= BACKLOG => {}
                    Frame::News(news) => backlog.push_back(Event::News(news)),
                    Frame::Ended(error) => break Event::Ended(error),
                    Frame::Welcome | Frame::Other => {}
                }
                continue;
            }
            order = orders.recv() => match order {
                None => break Event::Closed,
                Some(Command::Call { id, frame, reply }) => {
                    waiting.insert(id, reply);
                    Message::text(frame)
                }
                Some(Command::Cancel(id)) => {
                    waiting.remove(&id);
                    Message::text(json!({"type": "cancel", "id": id}).to_string())
                }
                Some(Command::Receipt(ids)) => Message::text(json!({"type": "receipt", "ids": ids}).to_string()),
            },
            slot = events.reserve(), if !backlog.is_empty() => {
                let Ok(slot) = slot else { break Event::Closed };
                slot.send(backlog.pop_front().expect("checked by the guard"));
                continue;
            }
            _ = events.closed() => break Event::Closed,
            _ = ticks.tick() => {
                if heard.elapsed() > DEAD_AFTER {
                    break Event::Closed;
                }
                Message::Ping(Default::default())
            }
        };
        if !matches!(timeout(SEND_LIMIT, ws.send(outgoing)).await, Ok(Ok(()))) {
            break Event::Closed;
        }
    };
    drop(waiting);
    orders.close();
    drop(orders);
    let _ = timeout(Duration::from_secs(1), ws.close(None)).await;
    for event in backlog.into_iter().chain([last]) {
        if events.send(event).await.is_err() {
            break;
        }
    }
}
