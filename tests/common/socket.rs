//! A WebSocket client of a relay that is not ours: frames as docs/protocol.md has them.

use super::{agent::Agent, relay::Relay};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::{
    Error, HandshakeError, Message, WebSocket, client, client::IntoClientRequest,
};

/// Longer than anything takes; only a broken relay lets it pass.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Socket {
    ws: WebSocket<TcpStream>,
    kept: VecDeque<Value>,
    last: u64,
}

impl Socket {
    /// Upgrades at `path` with these headers; the status and body of a refusal.
    pub fn upgrade(
        relay: &Relay,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, (u16, Value)> {
        let mut request = format!("ws://127.0.0.1:{}{path}", relay.port)
            .into_client_request()
            .expect("a URL");
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("a header"));
        }
        let stream = TcpStream::connect(("127.0.0.1", relay.port)).expect("the relay listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        match client(request, stream) {
            Ok((ws, _)) => Ok(Socket::new(ws)),
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err((
                    answer.status().as_u16(),
                    serde_json::from_slice(body).unwrap_or_default(),
                ))
            }
            Err(e) => panic!("no upgrade: {e}"),
        }
    }

    fn new(ws: WebSocket<TcpStream>) -> Socket {
        Socket {
            ws,
            kept: VecDeque::new(),
            last: 0,
        }
    }

    /// Signed in at a relay that may be gone, or go at any moment; then None.
    pub fn try_connect(port: u16, token: &str) -> Option<Socket> {
        let mut request = format!("ws://127.0.0.1:{port}/ws")
            .into_client_request()
            .expect("a URL");
        let bearer = format!("Bearer {token}").parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let (ws, _) = client(request, stream).ok()?;
        Some(Socket::new(ws))
    }

    /// A call at such a relay: None when it went away before it answered. Pushes are forgotten.
    pub fn try_call(&mut self, function: &str, arguments: Value) -> Option<Result<Value, Value>> {
        self.last += 1;
        let call = json!({"id": self.last, "call": function, "args": arguments});
        self.ws.send(Message::text(call.to_string())).ok()?;
        loop {
            let mut frame = self.frame()?;
            if frame["id"] == self.last {
                return Some(match frame.get_mut("error") {
                    Some(error) => Err(error.take()),
                    None => Ok(frame["result"].take()),
                });
            }
        }
    }

    /// Signed in by the header, and welcomed.
    pub fn connect(relay: &Relay, token: &str) -> Socket {
        let bearer = format!("Bearer {token}");
        let mut socket =
            Socket::upgrade(relay, "/ws", &[("authorization", &bearer)]).expect("a good token");
        assert_eq!(socket.frame().expect("a welcome")["type"], "welcome");
        socket
    }

    /// The window of `agent` with this session key, opened or resumed.
    pub fn window(relay: &Relay, agent: &Agent, session_key: &str) -> Socket {
        let mut socket = Socket::connect(relay, &agent.token);
        let opened = socket.call("open_session", agent.hello(session_key, false));
        opened.expect("a session");
        socket
    }

    pub fn say(&mut self, text: impl Into<String>) {
        self.ws
            .send(Message::text(text.into()))
            .expect("an open socket");
    }

    pub fn say_binary(&mut self, bytes: &[u8]) {
        self.ws
            .send(Message::binary(bytes.to_vec()))
            .expect("an open socket");
    }

    /// The next frame; None once the relay has closed.
    pub fn frame(&mut self) -> Option<Value> {
        // Pings come for ever: they are no reason to go on waiting.
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < 2 * PATIENCE, "nothing but pings");
            match self.ws.read() {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("JSON"));
                }
                Ok(_) => {}
                Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("no frame in {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }

    /// The next frame that `wanted` is true of, also one that came before; the others are kept.
    fn find(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).expect("it is there");
        }
        loop {
            let frame = self
                .frame()
                .unwrap_or_else(|| panic!("closed before {what}: {:?}", self.kept));
            if wanted(&frame) {
                return frame;
            }
            self.kept.push_back(frame);
        }
    }

    /// Begins a call; its id.
    pub fn start(&mut self, function: &str, arguments: Value) -> u64 {
        self.last += 1;
        self.say(json!({"id": self.last, "call": function, "args": arguments}).to_string());
        self.last
    }

    pub fn answer(&mut self, id: impl Into<Value>) -> Result<Value, Value> {
        let id = id.into();
        let mut frame = self.find("the answer", |frame| frame["id"] == id);
        match frame.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(frame["result"].take()),
        }
    }

    pub fn call(&mut self, function: &str, arguments: Value) -> Result<Value, Value> {
        let id = self.start(function, arguments);
        self.answer(id)
    }

    /// The next pushed message.
    pub fn push(&mut self) -> Value {
        self.find("a push", |frame| frame["type"] == "push")["message"].take()
    }

    /// The next news.
    pub fn news(&mut self) -> Value {
        self.find("news", |frame| frame["type"] == "news")["news"].take()
    }

    /// Says that a message arrived.
    pub fn receipt(&mut self, message_id: &Value) {
        self.say(json!({"type": "receipt", "ids": [message_id]}).to_string());
    }

    /// Why the relay ended the socket.
    pub fn ended(&mut self) -> Value {
        let error = self.find("the end", |frame| frame["type"] == "ended")["error"].take();
        assert_eq!(self.frame(), None, "the end is the last frame");
        error
    }

    /// The frames of this type that came and nobody asked for.
    pub fn kept(&self, kind: &str) -> usize {
        self.kept
            .iter()
            .filter(|frame| frame["type"] == kind)
            .count()
    }
}
