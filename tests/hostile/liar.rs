//! A relay that lies: it stands between clients and a real one, and changes answers and pushes on their way.

use crate::common::relay::Relay;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_tungstenite::{
    accept_hdr_async, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

/// A call that passed through; of a push the function is `push`, of a GET its path.
#[derive(Clone, Debug)]
pub struct Asked {
    pub function: String,
    pub arguments: Value,
}

/// What comes back: a result, or with another status than 200 an error. Of a push the whole of it.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

type Lie = Box<dyn FnMut(&Asked, &mut Answer) + Send>;

pub struct Liar {
    pub url: String,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    port: u16,
    lie: Mutex<Lie>,
    heard: Mutex<Vec<Asked>>,
}

impl Liar {
    /// Stands before `relay`, and is honest until it is told to lie.
    pub fn before(relay: &Relay) -> Liar {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            port: relay.port,
            lie: Mutex::new(Box::new(|_, _| {})),
            heard: Mutex::default(),
        });
        let own = shared.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, own.clone()));
            }
        });
        Liar {
            url,
            shared,
            _runtime: runtime,
        }
    }

    /// From now on every answer passes through `lie`.
    pub fn lies(&self, lie: impl FnMut(&Asked, &mut Answer) + Send + 'static) {
        *self.shared.lie.lock().expect("no lie panics") = Box::new(lie);
    }

    /// From now on every inbox begins with this frame.
    pub fn puts_first(&self, frame: Value) {
        self.lies(move |asked, answer| {
            if asked.function == "check_messages" {
                let messages = answer.body["messages"].as_array_mut();
                messages.expect("messages").insert(0, frame.clone());
            }
        });
    }

    pub fn is_honest(&self) {
        self.lies(|_, _| {});
    }

    /// Forgets what it heard so far, and returns it.
    pub fn heard(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.heard.lock().expect("nothing panics here"))
    }
}

impl Shared {
    fn hear(&self, asked: &Asked) {
        let mut heard = self.heard.lock().expect("nothing panics here");
        heard.push(asked.clone());
    }

    fn bend(&self, asked: &Asked, answer: &mut Answer) {
        self.lie.lock().expect("no lie panics")(asked, answer);
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut head = vec![0; 65_536];
    loop {
        let Ok(size @ 1..) = stream.peek(&mut head).await else {
            return;
        };
        let text = String::from_utf8_lossy(&head[..size]).to_lowercase();
        if !text.contains("\r\n\r\n") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else if text.contains("\r\nupgrade: websocket") {
            return socket(stream, &shared).await.unwrap_or_default();
        } else {
            return request(stream, &shared).await.unwrap_or_default();
        }
    }
}

/// One request; the connection is closed after it.
async fn request(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut asked = Vec::new();
    let (head, body) = loop {
        stream.read_buf(&mut asked).await.ok().filter(|n| *n > 0)?;
        if let Some((head, body)) = whole(&asked) {
            break (head, body);
        }
    };
    let path = head.split(' ').nth(1).unwrap_or_default();
    let call = Asked {
        function: path.strip_prefix("/rpc/").unwrap_or(path).to_owned(),
        arguments: serde_json::from_slice(&body).unwrap_or_default(),
    };
    shared.hear(&call);
    let mut relay = TcpStream::connect(("127.0.0.1", shared.port)).await.ok()?;
    let closing = format!("{head}\r\nconnection: close\r\n\r\n");
    relay.write_all(closing.as_bytes()).await.ok()?;
    relay.write_all(&body).await.ok()?;
    let mut answered = Vec::new();
    relay.read_to_end(&mut answered).await.ok()?;
    let (head, body) = whole(&answered)?;
    let Ok(body) = serde_json::from_slice(&body) else {
        return stream.write_all(&answered).await.ok();
    };
    let mut answer = Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        body,
    };
    shared.bend(&call, &mut answer);
    let kept = head.lines().skip(1).filter(|line| {
        let line = line.to_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("connection:")
    });
    let (kept, body) = (
        kept.collect::<Vec<_>>().join("\r\n"),
        answer.body.to_string(),
    );
    let head = format!(
        "HTTP/1.1 {} Told\r\n{kept}\r\nconnection: close",
        answer.status
    );
    let text = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.ok()
}

/// Head without its last two lines, and body, once all of it is there.
fn whole(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let body = bytes.get(at + 4..at + 4 + length)?;
    Some((head, body.to_vec()))
}

async fn socket(stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut bearer = None;
    #[allow(clippy::result_large_err)] // the library's type
    let read = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        bearer = request.headers().get("authorization").cloned();
        Ok(response)
    };
    let mut client = accept_hdr_async(stream, read).await.ok()?;
    let mut request = format!("ws://127.0.0.1:{}/ws", shared.port)
        .into_client_request()
        .ok()?;
    request.headers_mut().insert("authorization", bearer?);
    let relay = TcpStream::connect(("127.0.0.1", shared.port)).await.ok()?;
    let (mut relay, _) = client_async(request, relay).await.ok()?;
    let mut calls: HashMap<u64, Asked> = HashMap::new();
    loop {
        tokio::select! {
            frame = client.next() => {
                let frame = frame?.ok()?;
                let said: Value = frame.to_text().ok().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
                if let (Some(id), Some(function)) = (said["id"].as_u64(), said["call"].as_str()) {
                    let asked = Asked { function: function.to_owned(), arguments: said["args"].clone() };
                    shared.hear(&asked);
                    calls.insert(id, asked);
                }
                relay.send(frame).await.ok()?;
            }
            frame = relay.next() => {
                let frame = match frame?.ok()? {
                    Message::Text(text) => Message::text(told(shared, &mut calls, &text)),
                    other => other,
                };
                client.send(frame).await.ok()?;
            }
        }
    }
}

/// A frame of the relay as it is told.
fn told(shared: &Shared, calls: &mut HashMap<u64, Asked>, text: &str) -> String {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    if frame["type"] == "push" {
        let asked = Asked {
            function: "push".into(),
            arguments: Value::Null,
        };
        let mut answer = Answer {
            status: 200,
            body: frame,
        };
        shared.bend(&asked, &mut answer);
        return answer.body.to_string();
    }
    let Some((id, asked)) = frame["id"]
        .as_u64()
        .and_then(|id| Some((id, calls.remove(&id)?)))
    else {
        return text.to_owned();
    };
    let code = frame["error"]["code"]
        .as_str()
        .and_then(|code| code[2..].parse().ok());
    let mut answer = Answer {
        status: code.unwrap_or(200),
        body: frame[if code.is_some() { "error" } else { "result" }].take(),
    };
    shared.bend(&asked, &mut answer);
    match answer.status {
        200 => json!({"id": id, "result": answer.body}).to_string(),
        _ => json!({"id": id, "error": answer.body}).to_string(),
    }
}
