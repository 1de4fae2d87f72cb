//! How a session lives through broken connections, against a scripted relay.

use super::*;
use crate::crypto;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio_tungstenite::{accept_async, tungstenite::Message};

/// All call frames the relay saw, with the number of the connection as `on`.
type Seen = Arc<Mutex<Vec<Value>>>;

/// A relay that answers each call with `script(connection, call)`: an answer's members, or None to break the connection.
async fn relay(script: fn(usize, &Value) -> Option<Value>) -> (Target, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let (log, connections) = (seen.clone(), AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap().0;
            let (log, on) = (log.clone(), connections.fetch_add(1, Ordering::SeqCst));
            tokio::spawn(async move {
                let mut ws = accept_async(stream).await.unwrap();
                ws.send(Message::text(r#"{"type":"welcome"}"#))
                    .await
                    .unwrap();
                while let Some(Ok(frame)) = ws.next().await {
                    let Message::Text(text) = frame else { continue };
                    let mut frame: Value = serde_json::from_str(&text).unwrap();
                    frame["on"] = on.into();
                    log.lock().unwrap().push(frame.clone());
                    if frame.get("call").is_none() {
                        continue;
                    }
                    let Some(mut answer) = script(on, &frame) else {
                        return;
                    };
                    if let Some(push) = answer.as_object_mut().unwrap().remove("push") {
                        let push = json!({"type": "push", "message": push});
                        ws.send(Message::text(push.to_string())).await.unwrap();
                    }
                    if answer.get("type").is_none() {
                        answer["id"] = frame["id"].clone();
                    }
                    ws.send(Message::text(answer.to_string())).await.unwrap();
                }
            });
        }
    });
    (
        Target {
            relay,
            ca: None,
            bearer: Some("mt_test".into()),
            mesh: None,
        },
        seen,
    )
}

fn calls(seen: &Seen, function: &str) -> Vec<Value> {
    seen.lock()
        .unwrap()
        .iter()
        .filter(|frame| frame["call"] == function)
        .cloned()
        .collect()
}

/// Nothing is sealed here, so nothing is kept.
fn home() -> Home {
    thread_local! {
        // Each test has its thread, and the folder goes with it.
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    FOLDER.with(|folder| Home::find(Some(folder.path())).unwrap())
}

fn opened() -> Option<Value> {
    Some(json!({"result": {"session_id": "s", "unread": 0}}))
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn in_the_open() -> Option<Value> {
    Some(json!({"result": {"mesh_id": "m", "agent_id": "a", "mode": "open"}}))
}

impl Exchange for Session {
    async fn exchange(&self, function: &str, arguments: &Map<String, Value>) -> Result<Arrived> {
        self.exchange(Instant::now(), function, arguments, &Mutex::default())
            .await
    }
}

#[tokio::test]
async fn a_broken_connection_is_resumed_and_harmless_calls_are_repeated() {
    let (target, seen) = relay(|on, frame| match frame["call"].as_str().unwrap() {
        "open_session" => opened(),
        _ if on == 0 => None,
        "whoami" => in_the_open(),
        _ => Some(json!({"result": {"on": on}})),
    })
    .await;
    let identity = Signer::generate();
    let window = Window {
        host: Some("here".into()),
        takeover: true,
        ..Default::default()
    };
    let (session, hello, mut notices) = Session::open(&home(), target, identity.clone(), window)
        .await
        .unwrap();
    assert_eq!(hello["session_id"], "s");
    let keyed = object(json!({"to": "x", "message": "y", "key": "k"}));
    assert_eq!(
        session
            .call(&session, "send_message", &keyed)
            .await
            .unwrap()["on"],
        1
    );
    assert!(matches!(notices.recv().await, Some(Notice::Offline)));
    assert!(matches!(notices.recv().await, Some(Notice::Online)));

    let hellos = calls(&seen, "open_session");
    assert_eq!(hellos.len(), 2);
    assert_eq!(
        hellos[0]["args"]["session_key"],
        hellos[1]["args"]["session_key"]
    );
    assert_eq!(
        (
            &hellos[0]["args"]["takeover"],
            &hellos[1]["args"]["takeover"]
        ),
        (&json!(true), &json!(false))
    );
    for hello in hellos {
        let mut arguments = object(hello["args"].clone());
        let signed = arguments.remove("hello").unwrap();
        assert_eq!(signed["signer"], identity.public_key());
        crypto::verify_call(&signed, "open_session", &Value::Object(arguments)).unwrap();
    }
    session.close().await;
    assert_eq!(calls(&seen, "close_session").len(), 1);
    assert!(matches!(notices.recv().await, Some(Notice::Ended(error)) if error.code == "ME410"));
}

#[tokio::test]
async fn a_call_that_may_have_happened_is_not_made_twice() {
    let (target, seen) = relay(|on, frame| match frame["call"].as_str().unwrap() {
        "open_session" => opened(),
        "whoami" => in_the_open(),
        _ if on == 0 => None,
        _ => Some(json!({"result": {}})),
    })
    .await;
    let (session, _, _notices) =
        Session::open(&home(), target, Signer::generate(), Window::default())
            .await
            .unwrap();
    let error = session
        .call(
            &session,
            "send_message",
            &object(json!({"to": "x", "message": "y"})),
        )
        .await
        .unwrap_err();
    assert_eq!(error.code, "ME503");
    assert!(error.message.contains("unknown"), "{error}");
    session.call(&session, "whoami", &Map::new()).await.unwrap();
    assert_eq!(calls(&seen, "send_message").len(), 1);
}

#[tokio::test]
async fn a_call_that_breaks_every_connection_ends() {
    let (target, seen) = relay(|_, frame| match frame["call"].as_str().unwrap() {
        "open_session" => opened(),
        _ => None,
    })
    .await;
    let (session, _, _notices) =
        Session::open(&home(), target, Signer::generate(), Window::default())
            .await
            .unwrap();
    assert_eq!(
        session
            .call(&session, "whoami", &Map::new())
            .await
            .unwrap_err()
            .code,
        "ME503"
    );
    assert_eq!(calls(&seen, "whoami").len(), ATTEMPTS);
}

#[tokio::test]
async fn mail_is_handed_on_with_a_receipt() {
    let (target, seen) = relay(|_, frame| match frame["call"].as_str().unwrap() {
        "open_session" => opened().map(|mut answer| {
            answer["push"] = json!({"message_id": "m", "message": "hi"});
            answer
        }),
        _ => Some(json!({"result": {}})),
    })
    .await;
    let (session, _, mut notices) =
        Session::open(&home(), target, Signer::generate(), Window::default())
            .await
            .unwrap();
    let Some(Notice::Mail(message)) = notices.recv().await else {
        panic!("mail was pushed")
    };
    assert_eq!(message["message"], "hi");
    session.call(&session, "whoami", &Map::new()).await.unwrap();
    let receipts: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .filter(|f| f["type"] == "receipt")
        .cloned()
        .collect();
    assert_eq!(receipts[0]["ids"], json!(["m"]));
}

#[tokio::test]
async fn a_revoked_key_or_a_take_over_is_final() {
    let (target, seen) = relay(|_, frame| match frame["call"].as_str().unwrap() {
        "open_session" => opened(),
        _ => Some(json!({"type": "ended", "error": {"code": "ME401", "message": "this key was revoked", "hint": ""}})),
    })
    .await;
    let (session, _, mut notices) =
        Session::open(&home(), target, Signer::generate(), Window::default())
            .await
            .unwrap();
    assert!(
        session
            .call(&session, "set_status", &object(json!({"key": 1})))
            .await
            .is_err()
    );
    assert!(matches!(notices.recv().await, Some(Notice::Ended(error)) if error.code == "ME401"));
    assert_eq!(
        session
            .call(&session, "whoami", &Map::new())
            .await
            .unwrap_err()
            .code,
        "ME401"
    );
    assert_eq!(calls(&seen, "open_session").len(), 1);
}

#[test]
fn what_is_made_again_does_no_harm() {
    let function = |arguments: Value| -> Function {
        serde_json::from_value(json!({"name": "f", "arguments": arguments})).unwrap()
    };
    let repeats =
        |arguments: Value, given: Value| repeatable(Some(&function(arguments)), &object(given));
    let seen = json!({"name": "seen", "type": "mesh.seen"});
    let key = json!({"name": "key", "type": "mesh.request_key"});
    let request = json!({"name": "request_id", "type": "mesh.request_id"});
    assert!(repeats(json!([seen]), json!({})), "takes mail");
    assert!(!repeats(json!([seen, key]), json!({})), "sends");
    assert!(!repeats(json!([seen, key]), json!({"key": null})));
    assert!(repeats(json!([seen, key]), json!({"key": "once"})));
    assert!(repeats(json!([seen, request]), json!({})), "is named");
    assert!(!repeats(json!([]), json!({})));
    assert!(!repeatable(None, &Map::new()));
}

#[tokio::test]
async fn what_was_seen_is_said_with_the_next_call() {
    let (target, seen) = relay(|_, frame| match frame["call"].as_str().unwrap() {
        "open_session" => opened(),
        _ => Some(json!({"result": {"messages": [], "claim": format!("claim {}", frame["id"])}})),
    })
    .await;
    let (session, _, _notices) =
        Session::open(&home(), target, Signer::generate(), Window::default())
            .await
            .unwrap();
    let nothing = Map::new();
    let check = || session.call(&session, "check_messages", &nothing);
    let answer = check().await.unwrap();
    session.saw(answer["claim"].as_str().unwrap().to_owned());
    // The second answer arrives nowhere.
    check().await.unwrap();
    check().await.unwrap();
    let made = calls(&seen, "check_messages");
    let said: Vec<_> = made.iter().map(|f| f["args"]["seen"].clone()).collect();
    let first = format!("claim {}", made[0]["id"]);
    assert_eq!(said, [json!([]), json!([first]), json!([])]);
}
