//! Mail reaches a socket, and is never lost by that.

use crate::common::agent::{Agent, Pair, session_key, texts};
use crate::common::{eventually, http, relay::Relay, socket::Socket};
use serde_json::{Value, json};

#[test]
fn a_push_says_who_and_what_and_a_receipt_makes_it_delivered() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let id = pair.send("hello");
    let message = bob.push();
    assert_eq!(
        (
            &message["message_id"],
            &message["from"],
            &message["from_kind"],
            &message["to"],
            &message["message"]
        ),
        (
            &json!(id),
            &json!("ann"),
            &json!("agent"),
            &json!("bob"),
            &json!("hello")
        )
    );
    assert_eq!(pair.state(&id), "pushed", "no receipt, so not delivered");
    bob.receipt(&message["message_id"]);
    eventually("delivered", || pair.state(&id) == "delivered");
}

#[test]
fn a_push_and_its_receipt_consume_nothing() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let id = pair.send("still here");
    let message = bob.push();
    bob.receipt(&message["message_id"]);
    eventually("delivered", || pair.state(&id) == "delivered");
    let first = bob
        .call("check_messages", json!({"seen": []}))
        .expect("mail");
    assert_eq!(texts(&first), ["still here"]);
    // Nobody said that this answer arrived, so it comes again; then it is said.
    let again = bob
        .call("check_messages", json!({"seen": []}))
        .expect("mail");
    assert_eq!(texts(&again), ["still here"]);
    let none = bob
        .call("check_messages", json!({"seen": [again["claim"]]}))
        .expect("an answer");
    assert!(texts(&none).is_empty());
    assert_eq!(pair.state(&id), "acknowledged");
}

#[test]
fn a_window_resumes_after_the_relay_was_killed_and_gets_what_it_had_not_acknowledged() {
    let mut pair = Pair::new();
    let key = session_key();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &key);
    let ids: Vec<String> = ["one", "two", "three"].map(|text| pair.send(text)).into();
    let first = bob.push();
    bob.receipt(&first["message_id"]);
    eventually("delivered", || pair.state(&ids[0]) == "delivered");
    bob.push();
    pair.relay.kill();
    assert_eq!(
        bob.frame()
            .map(|f| f["type"].clone())
            .filter(|t| t != "push"),
        None
    );

    pair.relay.restart();
    let mut bob = Socket::connect(&pair.relay, &pair.bob.token);
    let opened = bob
        .call("open_session", pair.bob.hello(&key, false))
        .expect("a session");
    assert_eq!(
        (&opened["resumed"], &opened["unread"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(
        [bob.push(), bob.push()].map(|m| m["message"].clone()),
        ["two", "three"],
        "pushed again: what had no receipt"
    );
    let mail = bob.call("check_messages", json!({})).expect("mail");
    assert_eq!(texts(&mail), ["one", "two", "three"]);
    bob.call("ack_messages", json!({"message_ids": ids}))
        .expect("acknowledged");
    assert!(pair.peek().is_empty());
}

#[test]
fn what_was_sent_while_nobody_was_connected_is_pushed_in_order_on_return() {
    let pair = Pair::new();
    let key = session_key();
    drop(Socket::window(&pair.relay, &pair.bob, &key));
    let sent: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    sent.iter().for_each(|text| drop(pair.send(text)));
    let mut bob = Socket::window(&pair.relay, &pair.bob, &key);
    let got: Vec<Value> = sent.iter().map(|_| bob.push()["message"].clone()).collect();
    assert_eq!(got, sent);
}

#[test]
fn a_message_crosses_from_one_relay_to_another() {
    let pair = Pair::new();
    let other = Relay::start(&pair.database.url("mesh_relay"));
    let mut bob = Socket::window(&other, &pair.bob, &session_key());
    let key = session_key();
    let mut ann = Socket::window(&pair.relay, &pair.ann, &key);
    for n in 0..10 {
        ann.call(
            "send_message",
            json!({"to": "bob", "message": n.to_string()}),
        )
        .expect("sent");
        assert_eq!(bob.push()["message"], n.to_string());
        // And into a wait.
        let waiting = bob.start("wait", json!({"timeout": 50}));
        let mail = bob.answer(waiting).expect("mail");
        assert_eq!(texts(&mail), [n.to_string()]);
        bob.call("send_message", json!({"to": "ann", "message": "back"}))
            .expect("sent");
        assert_eq!(ann.push()["message"], "back");
    }
    // A killed relay takes nothing with it: its window goes on at the other one.
    let mut relay = pair.relay;
    relay.kill();
    let mut ann = Socket::window(&other, &pair.ann, &key);
    let mail = ann.call("check_messages", json!({})).expect("mail");
    assert_eq!(texts(&mail).len(), 10);
}

#[test]
fn a_slow_client_is_disconnected_and_catches_up_in_order() {
    let pair = Pair::new();
    let key = session_key();
    let slow = Socket::window(&pair.relay, &pair.bob, &key);
    // More than the buffers on the way hold: the relay cannot write on.
    let filling = "x".repeat(60_000);
    let sent: Vec<String> = (0..120).map(|n| format!("{n} {filling}")).collect();
    let data = json!({"filling": filling});
    for text in &sent {
        pair.call(
            &pair.ann,
            "send_message",
            json!({"to": "bob", "message": text, "data": data}),
        );
    }
    eventually("the relay drops the socket", || {
        http::get(&pair.relay, "/metrics")
            .body
            .contains("\nmesh_sockets 0\n")
    });
    drop(slow);
    let mut bob = Socket::window(&pair.relay, &pair.bob, &key);
    for text in &sent {
        let message = bob.push();
        assert!(message["message"] == *text, "out of order");
        bob.receipt(&message["message_id"]);
    }
}

#[test]
fn more_mail_than_may_be_outstanding_comes_as_receipts_go() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let sent: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let mut ann = Socket::window(&pair.relay, &pair.ann, &session_key());
    for text in &sent {
        ann.call("send_message", json!({"to": "bob", "message": text}))
            .expect("sent");
    }
    for text in &sent {
        let message = bob.push();
        assert_eq!(message["message"], *text);
        bob.receipt(&message["message_id"]);
    }
    assert_eq!(bob.kept("push"), 0, "each was pushed once");
}

#[test]
fn a_broadcast_reaches_everybody_else() {
    let pair = Pair::new();
    let windows = |agent: &Agent| Socket::window(&pair.relay, agent, &session_key());
    let (mut ann, mut bob) = (windows(&pair.ann), windows(&pair.bob));
    ann.call("send_message", json!({"to": "*", "message": "all"}))
        .expect("sent");
    assert_eq!(bob.push()["to"], "*");
    bob.call("send_message", json!({"to": "ann", "message": "mine"}))
        .expect("sent");
    assert_eq!(ann.push()["message"], "mine", "not its own broadcast");
}
