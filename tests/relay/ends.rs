//! What ends a socket, a wait or a relay: a revoked key, a drain; and the wait over HTTP.

use crate::common::agent::{Pair, session_key, texts};
use crate::common::{eventually, http, relay::Relay, socket::Socket};
use serde_json::json;
use std::thread;

#[test]
fn a_revoked_key_ends_its_sockets_its_waits_and_its_session() {
    let pair = Pair::new();
    let other = Relay::start(&pair.database.url("mesh_relay"));
    let mut window = Socket::window(&pair.relay, &pair.bob, &session_key());
    let mut idle = Socket::connect(&other, &pair.bob.token);
    let key = window.call("whoami", json!({})).expect("signed in")["key_id"].clone();
    window.start("wait", json!({"timeout": 55}));
    thread::scope(|scope| {
        let over_http = scope.spawn(|| {
            other.post(
                "wait",
                Some(&pair.bob.token),
                &json!({"timeout": 55}).to_string(),
            )
        });
        eventually("bob waits at the other relay", || {
            http::get(&other, "/metrics")
                .body
                .contains("\nmesh_held 2\n")
        });
        pair.owner
            .json(&["key", "revoke", key.as_str().expect("an id")]);
        let next = pair
            .relay
            .post("check_messages", Some(&pair.bob.token), "{}");
        assert_eq!((next.0, &next.1["code"]), (401, &json!("ME401")));

        // Within seconds, and so before these calls would have ended by themselves.
        let (status, error) = over_http.join().expect("an answer");
        assert_eq!((status, &error["code"]), (401, &json!("ME401")));
    });
    // The wait in the window ends with its socket.
    assert_eq!(window.ended()["code"], "ME401");
    assert_eq!(idle.ended()["code"], "ME401");
    let (status, _) = Socket::upgrade(
        &other,
        "/ws",
        &[("authorization", &format!("Bearer {}", pair.bob.token))],
    )
    .err()
    .expect("a refusal");
    assert_eq!(status, 401);
    let peers = pair.call(&pair.ann, "list_peers", json!({}));
    let bob = peers
        .as_array()
        .expect("peers")
        .iter()
        .find(|p| p["name"] == "bob" || p["agent"] == "bob");
    assert!(bob.is_none_or(|bob| bob["status"] == "offline"), "{peers}");
}

#[test]
fn a_wait_over_http_is_answered_when_mail_comes() {
    let pair = Pair::new();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pair.call(&pair.bob, "wait", json!({"timeout": 55})));
        eventually("bob waits", || {
            http::get(&pair.relay, "/metrics")
                .body
                .contains("\nmesh_held 1\n")
        });
        pair.send("wake up");
        assert_eq!(texts(&waiting.join().expect("an answer")), ["wake up"]);
    });
    let pending = pair.call(&pair.bob, "wait", json!({"timeout": 1}));
    assert_eq!(pending["pending"], true);
}

#[test]
fn a_relay_that_is_told_to_stop_drains() {
    let mut pair = Pair::new();
    let key = session_key();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &key);
    let waiting = bob.start("wait", json!({"timeout": 55}));
    bob.call("whoami", json!({})).expect("in order");
    let over_http = thread::scope(|scope| {
        let call = scope.spawn(|| {
            pair.relay.post(
                "wait",
                Some(&pair.ann.token),
                &json!({"timeout": 55}).to_string(),
            )
        });
        eventually("ann waits", || {
            http::get(&pair.relay, "/metrics")
                .body
                .contains("\nmesh_held 3\n")
        });
        pair.relay.terminate();
        call.join().expect("an answer")
    });
    assert_eq!((over_http.0, &over_http.1["pending"]), (200, &json!(true)));
    let last = bob.answer(waiting).expect("an answer before the end");
    assert_eq!(last["pending"], true);
    let error = bob.ended();
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("ME503"), &json!("the relay is going away"))
    );
    assert!(pair.relay.ended_well());

    // It told the database, so that others see the window as gone at once; it may resume.
    pair.relay.restart();
    let mut bob = Socket::connect(&pair.relay, &pair.bob.token);
    let opened = bob
        .call("open_session", pair.bob.hello(&key, false))
        .expect("a session");
    assert_eq!(opened["resumed"], true);
}

#[test]
fn a_stopped_relay_lets_another_window_in_at_once() {
    let mut pair = Pair::new();
    let _bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    pair.relay.terminate();
    assert!(pair.relay.ended_well());
    pair.relay.restart();
    Socket::window(&pair.relay, &pair.bob, &session_key());
}
