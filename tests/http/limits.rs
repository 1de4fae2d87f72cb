//! What is too large, too slow or too often.

use crate::common::agent::Pair;
use crate::common::http::{exchange, post};
use crate::common::relay::status;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn a_body_of_ten_megabytes_is_413_however_it_is_sent() {
    let pair = Pair::new();
    let bearer = format!("authorization: Bearer {}\n", pair.ann.token);
    let body = format!(r#"{{"to":"bob","message":"{}"}}"#, "x".repeat(10 << 20));
    let announced = post(&pair.relay, "send_message", &bearer, body.as_bytes());
    assert_eq!(announced.refusal("announced")["code"], "ME413");
    // A client that asks first is spared the sending.
    let asking = format!(
        "POST /rpc/send_message HTTP/1.1\nhost: relay\n{bearer}content-length: {}\nexpect: 100-continue",
        body.len()
    );
    assert_eq!(
        exchange(&pair.relay, &asking, b"").refusal("asked")["code"],
        "ME413"
    );

    let mut chunks = Vec::new();
    for _ in 0..160 {
        chunks.extend_from_slice(b"10000\r\n");
        chunks.extend(std::iter::repeat_n(b'x', 0x10000));
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    let chunked = exchange(
        &pair.relay,
        &format!(
            "POST /rpc/send_message HTTP/1.1\nhost: relay\n{bearer}transfer-encoding: chunked"
        ),
        &chunks,
    );
    assert_eq!(chunked.refusal("chunked")["code"], "ME413");
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn heads_that_are_too_large_or_no_http_are_refused_and_closed() {
    let pair = Pair::new();
    let many: String = (0..5000).map(|n| format!("x-{n}: y\n")).collect();
    for head in [
        format!(
            "GET /health HTTP/1.1\nhost: relay\nx-large: {}",
            "y".repeat(1 << 20)
        ),
        format!("GET /health HTTP/1.1\nhost: relay\n{many}"),
        format!("GET /{} HTTP/1.1\nhost: relay", "y".repeat(1 << 20)),
        "nonsense".to_owned(),
        "GET /health HTTP/9.9\nhost: relay".to_owned(),
        "POST /rpc/whoami HTTP/1.1\nhost: relay\ncontent-length: -5".to_owned(),
        "POST /rpc/whoami HTTP/1.1\nhost: relay\ncontent-length: many".to_owned(),
        "POST /rpc/whoami HTTP/1.1\nhost: relay\ncontent-length: 2\ncontent-length: 3".to_owned(),
    ] {
        let answer = exchange(&pair.relay, &head, b"");
        // hyper answers these itself, or closes.
        assert!(
            answer.status == 0 || (400..500).contains(&answer.status),
            "{:.60}: {}",
            head,
            answer.status
        );
    }
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn a_body_shorter_than_announced_is_no_call() {
    let pair = Pair::new();
    let head = format!(
        "POST /rpc/send_message HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {}\r\ncontent-length: 500\r\n\r\n",
        pair.ann.token
    );
    let mut stream = TcpStream::connect(("127.0.0.1", pair.relay.port)).expect("the relay listens");
    stream.write_all(head.as_bytes()).expect("written");
    stream
        .write_all(br#"{"to":"bob","message":"half"}"#)
        .expect("written");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("half closed");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
    // Longer than announced: the rest is another request, which is none.
    let mut bytes = head
        .replace("content-length: 500", "content-length: 2")
        .into_bytes();
    bytes.extend_from_slice(b"{}{}{}{}\r\n\r\n");
    let answer = pair.relay.request(bytes).expect("answers");
    assert_eq!(status(&answer), 400, "{answer}");
    assert_eq!(pair.peek(), [] as [&str; 0]);
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn a_client_that_dribbles_its_request_is_closed() {
    let pair = Pair::new();
    let begun = "POST /rpc/whoami HTTP/1.1\r\nhost: relay\r\nx-slow: ";
    let mut slow = TcpStream::connect(("127.0.0.1", pair.relay.port)).expect("the relay listens");
    let mut silent = TcpStream::connect(("127.0.0.1", pair.relay.port)).expect("the relay listens");
    slow.set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a time-out");
    slow.write_all(begun.as_bytes()).expect("written");
    let closed = (0..80).any(|_| {
        let mut byte = [0];
        let read = slow.read(&mut byte);
        // A byte now and then does not keep it open.
        read.is_ok() || slow.write_all(b"y").is_err()
    });
    assert!(closed, "still open after 40 seconds");
    silent
        .set_read_timeout(Some(Duration::from_secs(40)))
        .expect("a time-out");
    let mut rest = Vec::new();
    silent
        .read_to_end(&mut rest)
        .expect("closed, not timed out");
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn a_key_that_calls_too_often_is_told_when_to_come_back_and_others_are_served() {
    let pair = Pair::new();
    let body = "{}";
    let request = format!(
        "POST /rpc/whoami HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {}\r\ncontent-length: 2\r\n\r\n{body}",
        pair.ann.token
    );
    // More than its burst at once, over a few connections, until one is refused.
    let refused = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| flood(pair.relay.port, &request, 400)))
            .collect();
        runs.into_iter()
            .find_map(|run| run.join().expect("no panic"))
    });
    let refused = refused.expect("a refusal");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("mesh-catalogue"), "{refused}");
    let bearer = format!("authorization: Bearer {}\n", pair.bob.token);
    assert_eq!(post(&pair.relay, "whoami", &bearer, b"{}").status, 200);
    assert_eq!(pair.relay.health(), 200);
}

/// Sends a request so often without waiting for answers; the first answer that is 429.
fn flood(port: u16, request: &str, times: usize) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the relay listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out");
    let mut writer = stream.try_clone().expect("a second handle");
    let all = request.repeat(times);
    let writing = std::thread::spawn(move || drop(writer.write_all(all.as_bytes())));
    let mut seen = String::new();
    let mut buffer = [0; 65536];
    while seen.matches("HTTP/1.1 ").count() <= times {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => seen += &String::from_utf8_lossy(&buffer[..n]),
            _ => break,
        }
        if let Some(at) = seen.find("HTTP/1.1 429")
            && let Some(end) = seen[at..].find("}")
        {
            let found = seen[at..at + end].to_owned();
            let _ = stream.shutdown(std::net::Shutdown::Both);
            writing.join().expect("no panic");
            return Some(found);
        }
        if seen.matches("HTTP/1.1 ").count() == times {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    writing.join().expect("no panic");
    None
}

#[test]
fn strangers_are_slowed_down_by_address() {
    let pair = Pair::new();
    let answers: Vec<u16> = (0..80)
        .map(|_| {
            post(
                &pair.relay,
                "whoami",
                "authorization: Bearer mt_guess\n",
                b"{}",
            )
            .status
        })
        .collect();
    assert!(
        answers.starts_with(&[401]) && answers.contains(&429),
        "{answers:?}"
    );
    let bearer = format!("authorization: Bearer {}\n", pair.ann.token);
    assert_eq!(post(&pair.relay, "whoami", &bearer, b"{}").status, 200);
}
