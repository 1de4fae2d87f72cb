//! Transport only: what the relay means by its answers is tested against a real one.

use super::*;
use futures_util::{SinkExt, StreamExt};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

fn target(relay: impl Into<String>) -> Target {
    Target {
        relay: relay.into(),
        ca: None,
        bearer: Some("mt_test".into()),
        mesh: Some("proj".into()),
    }
}

/// A server whose answer to a path is a function of the request's head and body.
async fn http(answer: fn(&str, &hyper::HeaderMap, Value) -> (u16, String)) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (status, text) = answer(head.uri.path(), &head.headers, body);
                let answer = Response::builder()
                    .status(status)
                    .header("mesh-catalogue", "abc");
                Ok::<_, Infallible>(answer.body(Full::<Bytes>::from(text)).unwrap())
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Client::new(target(format!("http://{address}/"))).unwrap()
}

#[tokio::test]
async fn a_call_carries_key_mesh_and_arguments() {
    let client = http(|path, headers, body| {
        let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let seen = json!({"path": path, "authorization": header("authorization"), "mesh": header("mesh"), "body": body});
        (200, seen.to_string())
    })
    .await;
    let arguments = json!({"to": "é"});
    let seen = client
        .call("send_message", arguments.as_object().unwrap())
        .await
        .unwrap();
    let expected = json!({"path": "/rpc/send_message", "authorization": "Bearer mt_test", "mesh": "proj", "body": arguments});
    assert_eq!(seen, expected);
    assert_eq!(client.catalogue_hash().as_deref(), Some("abc"));
    // What anybody may ask is asked without the key.
    assert_eq!(
        client.get("/health").await.unwrap()["authorization"],
        Value::Null
    );
    assert!(
        client
            .probe("/health")
            .await
            .unwrap()
            .date
            .unwrap()
            .ends_with("GMT")
    );
}

#[tokio::test]
async fn errors_are_the_relays_own_or_say_that_it_is_away() {
    let client = http(|path, _, _| match path {
        "/rpc/refused" => (
            403,
            json!({"code": "ME403", "message": "no", "hint": "mesh login"}).to_string(),
        ),
        "/rpc/proxy" => (502, "<html>bad gateway</html>".into()),
        _ => (200, "not json".into()),
    })
    .await;
    let error = client.call("refused", &Map::new()).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.hint.as_str()),
        ("ME403", "mesh login")
    );
    for function in ["proxy", "odd"] {
        let error = client.call(function, &Map::new()).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.hint.as_str()),
            ("ME503", "mesh up"),
            "{error}"
        );
    }
    let away = Client::new(target("http://127.0.0.1:1")).unwrap();
    for error in [
        away.call("whoami", &Map::new()).await.unwrap_err(),
        away.socket().await.err().unwrap(),
    ] {
        assert_eq!(
            (error.code.as_str(), error.hint.as_str()),
            ("ME503", "mesh up"),
            "{error}"
        );
    }
}

#[test]
fn urls_have_one_spelling() {
    for (given, wanted) in [
        ("https://h/", "https://h"),
        (" http://H:1/base/ ", "http://H:1/base"),
        ("127.0.0.1:7700", "http://127.0.0.1:7700"),
        ("localhost:7700", "http://localhost:7700"),
        ("10.0.0.5", "http://10.0.0.5"),
        ("[::1]:7700", "http://[::1]:7700"),
        ("mesh.example.org", "https://mesh.example.org"),
        ("93.184.216.34", "https://93.184.216.34"),
    ] {
        assert_eq!(relay_url(given).unwrap(), wanted);
    }
    for wrong in [
        "",
        "ftp://h",
        "http://",
        "https://me:secret@h",
        "https://h/?key=1",
        "https://h#mc_inv_0",
        "a b",
    ] {
        assert_eq!(relay_url(wrong).unwrap_err().code, "ME400", "{wrong}");
    }
}

#[test]
fn no_key_goes_in_the_clear_over_the_internet() {
    for private in [
        "127.0.0.1:1",
        "10.1.1.1",
        "192.168.0.9",
        "100.64.0.1",
        "169.254.1.1",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
    ] {
        assert!(
            Client::new(target(format!("http://{private}"))).is_ok(),
            "{private}"
        );
    }
    for public in [
        "93.184.216.34",
        "100.128.0.1",
        "172.32.0.1",
        "[2606:4700::1]",
        "[::ffff:8.8.8.8]",
    ] {
        let error = Client::new(target(format!("http://{public}")))
            .err()
            .expect(public);
        assert_eq!(
            (error.code.as_str(), error.hint),
            ("ME400", format!("mesh --relay https://{public} status"))
        );
    }
}

/// One WebSocket connection, as the relay sees it, after its welcome.
async fn socket() -> (Socket, WebSocketStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(target(format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    let relay = async {
        let mut ws = accept_async(listener.accept().await.unwrap().0)
            .await
            .unwrap();
        ws.send(Message::text(
            json!({"type": "welcome", "version": "0"}).to_string(),
        ))
        .await
        .unwrap();
        ws
    };
    let (socket, relay) = tokio::join!(client.socket(), relay);
    (socket.unwrap(), relay)
}

async fn received(ws: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = ws.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn send(ws: &mut WebSocketStream<TcpStream>, frame: Value) {
    ws.send(Message::text(frame.to_string())).await.unwrap();
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order() {
    let (socket, mut relay) = socket().await;
    let none = Map::new();
    let relay = async {
        let (first, second) = (received(&mut relay).await, received(&mut relay).await);
        assert_eq!(
            (&first["mesh"], &first["args"]),
            (&json!("proj"), &json!({}))
        );
        let error = json!({"code": "ME404", "message": "gone", "hint": ""});
        send(&mut relay, json!({"id": second["id"], "error": error})).await;
        send(&mut relay, json!({"id": first["id"], "result": null})).await;
        relay
    };
    let (a, b, _relay) = tokio::join!(socket.call("a", &none), socket.call("b", &none), relay);
    assert_eq!(a.unwrap(), Value::Null);
    assert_eq!(b.unwrap_err().code, "ME404");
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_and_mail_gets_receipts() {
    let (mut socket, mut relay) = socket().await;
    let none = Map::new();
    let dropped = tokio::time::timeout(Duration::from_millis(50), socket.call("wait", &none));
    assert!(dropped.await.is_err());
    let id = received(&mut relay).await["id"].clone();
    assert_eq!(
        received(&mut relay).await,
        json!({"type": "cancel", "id": id})
    );
    // The answer that comes all the same disturbs nothing.
    send(&mut relay, json!({"id": id, "result": 1})).await;
    send(
        &mut relay,
        json!({"type": "push", "message": {"message_id": "m"}}),
    )
    .await;
    let Event::Push(message) = socket.next().await else {
        panic!("mail was pushed")
    };
    assert_eq!(message.value["message_id"], "m");
    socket.receipt(vec!["m".into()]).await.unwrap();
    assert_eq!(
        received(&mut relay).await,
        json!({"type": "receipt", "ids": ["m"]})
    );
}

#[tokio::test]
async fn more_mail_than_is_read_holds_no_call_back() {
    let (mut socket, mut relay) = socket().await;
    for n in 0..500 {
        send(&mut relay, json!({"type": "push", "message": {"n": n}})).await;
    }
    let none = Map::new();
    let relay = async {
        let id = received(&mut relay).await["id"].clone();
        send(&mut relay, json!({"id": id, "result": "here"})).await;
        relay
    };
    let (result, _relay) = tokio::join!(socket.call("whoami", &none), relay);
    assert_eq!(result.unwrap(), "here");
    for n in 0..500 {
        let Event::Push(message) = socket.next().await else {
            panic!("message {n} is there")
        };
        assert_eq!(message.value["n"], n);
    }
}

#[tokio::test]
async fn the_end_says_why_and_what_became_of_calls() {
    let (mut socket, mut relay) = socket().await;
    let none = Map::new();
    let relay = async {
        received(&mut relay).await;
        let error = json!({"code": "ME401", "message": "this key was revoked", "hint": ""});
        send(&mut relay, json!({"type": "ended", "error": error})).await;
    };
    let (result, ()) = tokio::join!(socket.call("send_message", &none), relay);
    let error = result.unwrap_err();
    assert_eq!(error.code, "ME503");
    assert!(error.message.contains("unknown"), "{error}");
    assert!(matches!(socket.next().await, Event::Ended(error) if error.code == "ME401"));
    assert!(matches!(socket.next().await, Event::Closed));
    let later = socket.call("whoami", &none).await.unwrap_err();
    assert!(later.message.contains("is closed"), "{later}");
}

#[tokio::test]
async fn a_refused_upgrade_gives_the_relays_error() {
    let client = http(|_, _, _| {
        (
            401,
            json!({"code": "ME401", "message": "not signed in", "hint": "mesh login"}).to_string(),
        )
    })
    .await;
    assert_eq!(client.socket().await.err().unwrap().code, "ME401");
}
