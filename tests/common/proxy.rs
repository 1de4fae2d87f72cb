//! A relay that lies: it stands between a client and an honest one, and bends what it says.

use super::relay::free_port;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::sync::{Arc, Mutex};
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
        handshake::server::{Request, Response},
    },
};

/// Changes what is said: of an answer over HTTP the path and the body, of a frame of a socket `/ws` and the frame.
pub type Bend = Box<dyn FnMut(&str, &mut Value) + Send>;

pub struct Proxy {
    pub port: u16,
    bend: Arc<Mutex<Bend>>,
    _runtime: Runtime,
}

impl Proxy {
    /// Before the relay at this port; honest at first.
    pub fn before(relay: u16) -> Proxy {
        let port = free_port();
        let bend: Arc<Mutex<Bend>> = Arc::new(Mutex::new(Box::new(|_, _| {})));
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", port)))
            .expect("a free port");
        let shared = bend.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever goes away in the middle is no failure of the test.
                let serving = serve(stream, relay, shared.clone());
                tokio::spawn(async move { _ = serving.await });
            }
        });
        Proxy {
            port,
            bend,
            _runtime: runtime,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn bend(&self, how: impl FnMut(&str, &mut Value) + Send + 'static) {
        *self.bend.lock().unwrap() = Box::new(how);
    }

    pub fn is_honest_again(&self) {
        self.bend(|_, _| {});
    }
}

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn serve(stream: TcpStream, relay: u16, bend: Arc<Mutex<Bend>>) -> Outcome {
    let mut start = [0; 8];
    while stream.peek(&mut start).await? < start.len() {}
    match &start {
        b"GET /ws " => socket(stream, relay, bend).await,
        _ => answer(stream, relay, bend).await,
    }
}

async fn answer(mut stream: TcpStream, relay: u16, bend: Arc<Mutex<Bend>>) -> Outcome {
    let (head, body) = read(&mut stream).await?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut honest = TcpStream::connect(("127.0.0.1", relay)).await?;
    let lines: Vec<&str> = head
        .lines()
        .filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("connection:"))
        .collect();
    let request = format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n"));
    honest
        .write_all(&[request.as_bytes(), &body].concat())
        .await?;
    let (head, mut body) = read(&mut honest).await?;
    if let Ok(mut said) = serde_json::from_slice::<Value>(&body) {
        bend.lock().unwrap()(&path, &mut said);
        body = said.to_string().into_bytes();
    }
    let kept = head.lines().filter(|line| {
        let line = line.to_lowercase();
        !line.is_empty() && !line.starts_with("content-length:") && !line.starts_with("connection:")
    });
    let head = kept.collect::<Vec<_>>().join("\r\n");
    let length = body.len();
    let answer = format!("{head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream
        .write_all(&[answer.as_bytes(), &body].concat())
        .await?;
    Ok(stream.shutdown().await?)
}

/// Head and body of a request or an answer that says how long it is.
async fn read(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            let wanted = end + 4 + length.unwrap_or(0);
            if bytes.len() >= wanted {
                return Ok((head, bytes[end + 4..wanted].to_vec()));
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn socket(stream: TcpStream, relay: u16, bend: Arc<Mutex<Bend>>) -> Outcome {
    let mut bearer = None;
    let client = accept_hdr_async(stream, |request: &Request, response: Response| {
        bearer = request.headers().get("authorization").cloned();
        Ok(response)
    })
    .await?;
    let mut request = format!("ws://127.0.0.1:{relay}/ws").into_client_request()?;
    if let Some(bearer) = bearer {
        request.headers_mut().insert("authorization", bearer);
    }
    let honest = TcpStream::connect(("127.0.0.1", relay)).await?;
    let (honest, _) = client_async(request, honest).await?;
    let (mut to_relay, mut from_relay) = honest.split();
    let (mut to_client, mut from_client) = client.split();
    let up = async {
        while let Some(Ok(frame)) = from_client.next().await {
            to_relay.send(frame).await?;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    let down = async {
        while let Some(Ok(frame)) = from_relay.next().await {
            let frame = match frame {
                Message::Text(text) => {
                    let mut said: Value = serde_json::from_str(&text)?;
                    bend.lock().unwrap()("/ws", &mut said);
                    Message::text(said.to_string())
                }
                other => other,
            };
            to_client.send(frame).await?;
        }
        Ok(())
    };
    tokio::select! { done = up => done, done = down => done }
}
