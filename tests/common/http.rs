//! HTTP by hand: what a client that knows nothing of Mesh, or means no good, sends.

use super::relay::{Relay, status};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Panics unless this is a refusal as all refusals are: 4xx with {code, message, hint}.
    pub fn refusal(&self, what: &str) -> Value {
        assert!((400..500).contains(&self.status), "{what}: {self:?}");
        let error = self.json();
        assert_eq!(
            error["code"],
            format!("ME{}", self.status),
            "{what}: {error}"
        );
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{what}: {error}"
        );
        assert!(error["hint"].is_string(), "{what}: {error}");
        error
    }
}

/// Sends a request, its head as lines without the last two, and reads what comes back until the relay closes.
/// A relay may refuse before it has read all, so that writing fails is no fault.
pub fn exchange(relay: &Relay, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", relay.port)).expect("the relay listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(40)))
        .expect("a time-out");
    let head = head.trim_end().replace('\n', "\r\n");
    let _ = stream
        .write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes())
        .and_then(|()| stream.write_all(body));
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Answer {
        status: status(head),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// POST /rpc/<function> with these further header lines.
pub fn post(relay: &Relay, function: &str, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    exchange(
        relay,
        &format!("POST /rpc/{function} HTTP/1.1\nhost: relay\ncontent-length: {length}\n{headers}"),
        body,
    )
}

pub fn get(relay: &Relay, path: &str) -> Answer {
    exchange(relay, &format!("GET {path} HTTP/1.1\nhost: relay"), b"")
}

/// A connection that stays open, for one call after the other.
pub struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    /// None when nobody listens.
    pub fn open(port: u16) -> Option<Line> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).expect("an option");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a time-out");
        Some(Line {
            stream: BufReader::new(stream),
        })
    }

    /// Begins a call and leaves its answer for later. False when the connection broke.
    pub fn start(&mut self, function: &str, token: &str, body: &str) -> bool {
        self.start_with(function, &format!("authorization: Bearer {token}"), body)
    }

    /// The same with these header lines.
    pub fn start_with(&mut self, function: &str, headers: &str, body: &str) -> bool {
        let request = format!(
            "POST /rpc/{function} HTTP/1.1\r\nhost: relay\r\n{headers}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).is_ok()
    }

    /// The answer to the oldest call that has none yet; None when the connection broke.
    pub fn answer(&mut self) -> Option<(u16, Value)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((status(&head), serde_json::from_slice(&body).expect("JSON")))
    }

    /// A call on a connection that must hold.
    pub fn call(&mut self, function: &str, token: &str, body: &str) -> (u16, Value) {
        self.start(function, token, body);
        self.answer().expect("an answer")
    }

    /// Whether something came that was not read yet, or the end.
    pub fn has_answer(&self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("an option");
        let has = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).expect("an option");
        has || !self.stream.buffer().is_empty()
    }
}
