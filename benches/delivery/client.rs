//! A WebSocket client that costs little beside what it measures: frames as docs/protocol.md has them.

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Longer than any call takes; only what is lost is waited for so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The answer to a call and when it came: the result's JSON, or the error's.
pub struct Answer {
    pub at: Instant,
    pub result: Result<Box<RawValue>, Box<RawValue>>,
}

/// A pushed message and when it came.
pub struct Push {
    pub at: Instant,
    pub id: String,
    pub text: String,
}

/// Calls over one socket; may be cloned. The socket closes when the last is dropped.
#[derive(Clone)]
pub struct Caller {
    orders: mpsc::UnboundedSender<String>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    last: AtomicU64,
    /// None once the socket is closed
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    closed: bool,
    calls: HashMap<u64, oneshot::Sender<Answer>>,
}

/// A socket: calls, and the mail that is pushed. Pushes end when the socket does.
pub struct Socket {
    pub caller: Caller,
    pub pushes: mpsc::UnboundedReceiver<Push>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    message: Option<Mail<'a>>,
    result: Option<Box<RawValue>>,
    error: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Mail<'a> {
    message_id: &'a str,
    message: &'a str,
}

/// Connects and signs in; calls without a mesh of their own are made in `mesh`.
pub async fn connect(port: u16, token: &str, mesh: Option<&str>) -> std::io::Result<Socket> {
    let lost = |e| std::io::Error::other(e);
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut request = format!("ws://127.0.0.1:{port}/ws")
        .into_client_request()
        .map_err(lost)?;
    let headers = request.headers_mut();
    let header = |text: &str| text.parse().expect("a header");
    headers.insert("authorization", header(&format!("Bearer {token}")));
    if let Some(mesh) = mesh {
        headers.insert("mesh", header(mesh));
    }
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let (stream, _) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(lost)?;
    let (sink, stream) = stream.split();
    let (orders, queue) = mpsc::unbounded_channel();
    let (pushed, pushes) = mpsc::unbounded_channel();
    let shared = Arc::<Shared>::default();
    tokio::spawn(write(sink, queue));
    tokio::spawn(read(stream, pushed, shared.clone()));
    let caller = Caller { orders, shared };
    Ok(Socket { caller, pushes })
}

/// Writes what waits together, and flushes once.
async fn write(
    mut sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    mut queue: mpsc::UnboundedReceiver<String>,
) {
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(text) = next {
            if sink.feed(Message::text(text)).await.is_err() {
                return;
            }
            next = queue.try_recv().ok();
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
    let _ = sink.close().await;
}

async fn read(
    mut stream: futures_util::stream::SplitStream<WebSocketStream<TcpStream>>,
    pushed: mpsc::UnboundedSender<Push>,
    shared: Arc<Shared>,
) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let at = Instant::now();
        let frame: Frame = serde_json::from_str(&text).expect("a frame of the protocol");
        if let Some(message) = frame.message {
            let _ = pushed.send(Push {
                at,
                id: message.message_id.to_owned(),
                text: message.message.to_owned(),
            });
        } else if let Some(id) = frame.id {
            let reply = shared.waiting.lock().unwrap().calls.remove(&id);
            let result = frame.result.ok_or(frame.error.unwrap_or_default());
            reply.map(|reply| reply.send(Answer { at, result }));
        }
    }
    let mut waiting = shared.waiting.lock().unwrap();
    waiting.closed = true;
    waiting.calls.clear();
}

impl Caller {
    /// Sends a call; its answer, or an error once the socket is gone.
    pub fn start(&self, function: &str, arguments: &str) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let id = self.shared.last.fetch_add(1, Relaxed);
        let mut waiting = self.shared.waiting.lock().unwrap();
        if !waiting.closed {
            waiting.calls.insert(id, reply);
        }
        drop(waiting);
        self.say(format!(
            r#"{{"id":{id},"call":"{function}","args":{arguments}}}"#
        ));
        answer
    }

    /// A call that succeeds: its result.
    pub async fn call(&self, function: &str, arguments: &Value) -> Value {
        let answer = tokio::time::timeout(PATIENCE, self.start(function, &arguments.to_string()));
        let answer = answer.await.expect("an answer in time");
        match answer.expect("an open socket").result {
            Ok(result) => serde_json::from_str(result.get()).expect("JSON"),
            Err(error) => panic!("{function}: {}", error.get()),
        }
    }

    /// Says that these messages are in hand.
    pub fn receipt(&self, ids: &[String]) {
        for ids in ids.chunks(1000) {
            self.say(format!(
                r#"{{"type":"receipt","ids":["{}"]}}"#,
                ids.join("\",\"")
            ));
        }
    }

    /// Whether the socket is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.waiting.lock().unwrap().closed
    }

    fn say(&self, text: String) {
        let _ = self.orders.send(text);
    }
}
