//! Mail that is held back, given back or waits for somebody to come: it is pushed when its time has come, without any
//! other traffic to set it off.

use crate::common::agent::{Agent, Pair, session_key, texts};
use crate::common::socket::Socket;
use serde_json::{Value, json};

fn window(pair: &Pair, agent: &Agent) -> Socket {
    Socket::window(&pair.relay, agent, &session_key())
}

fn send(pair: &Pair, message: &str, priority: &str) -> Value {
    let arguments = json!({"to": "bob", "message": message, "priority": priority});
    pair.call(&pair.ann, "send_message", arguments)
}

fn held_until_idle(status: &str) {
    let pair = Pair::new();
    let mut bob = window(&pair, &pair.bob);
    bob.call("set_status", json!({"status": status}))
        .expect("a status");
    for text in ["one", "two", "three"] {
        let sent = send(&pair, text, "next");
        assert_eq!(sent["recipients"][0]["state"], "queued", "{sent}");
        assert!(sent["recipients"][0]["waits_for"].is_string(), "{sent}");
    }
    send(&pair, "when you like", "low");
    send(&pair, "at once", "now");
    assert_eq!(bob.push()["message"], "at once");
    bob.call("set_status", json!({"status": "idle"}))
        .expect("a status");
    for text in ["one", "two", "three", "when you like"] {
        assert_eq!(bob.push()["message"], text);
    }
    assert_eq!(bob.kept("push"), 0);
}

#[test]
fn what_was_held_while_somebody_worked_is_pushed_in_order_when_it_is_idle() {
    held_until_idle("working");
}

#[test]
fn what_was_held_while_somebody_would_not_be_disturbed_is_pushed_in_order_afterwards() {
    held_until_idle("dnd");
}

#[test]
fn a_broadcast_is_pushed_to_those_who_were_away_when_they_come() {
    let pair = Pair::new();
    let mut ann = window(&pair, &pair.ann);
    let sent = ann
        .call("broadcast", json!({"message": "to all"}))
        .expect("sent");
    let to_bob = |r: &&Value| r["agent"] == "bob" && r["state"] == "queued";
    let recipients = sent["recipients"].as_array().expect("recipients");
    assert_eq!(recipients.iter().filter(to_bob).count(), 1, "{sent}");
    let mut bob = window(&pair, &pair.bob);
    let message = bob.push();
    assert_eq!(
        (&message["message"], &message["to"]),
        (&json!("to all"), &json!("*"))
    );
}

#[test]
fn mail_that_was_given_back_is_pushed_again() {
    let pair = Pair::new();
    let mut bob = window(&pair, &pair.bob);
    let id = pair.send("again and again");
    let arguments = |retry_after| json!({"message_ids": [id], "retry_after": retry_after});
    assert_eq!(bob.push()["message_id"], id);
    // As it was pushed, with a receipt, and taken: each at once and after a while.
    for retry_after in [0, 1] {
        bob.call("release_messages", arguments(retry_after))
            .expect("released");
        let message = bob.push();
        assert_eq!(message["message_id"], id);
        bob.receipt(&message["message_id"]);
    }
    for retry_after in [0, 1] {
        let taken = bob.call("check_messages", json!({})).expect("mail");
        assert_eq!(texts(&taken), ["again and again"]);
        bob.call("release_messages", arguments(retry_after))
            .expect("released");
        if retry_after == 0 {
            assert_eq!(bob.push()["message_id"], id);
        }
    }
    assert_eq!(bob.push()["message_id"], id);
    bob.call("release_messages", arguments(0)).expect("dead");
    let told = pair.call(&pair.ann, "message_status", json!({"message_id": id}));
    assert_eq!((&told[0]["state"], bob.kept("push")), (&json!("dead"), 0));
    pair.call(&pair.ann, "retry_message", json!({"message_id": id}));
    assert_eq!(bob.push()["message_id"], id);
}

#[test]
fn mail_for_a_role_that_nobody_had_a_window_for_is_pushed_to_the_first_that_opens() {
    let pair = Pair::new();
    pair.owner
        .json(&["pool", "create", "coder", "bob,ann", "--mesh", "proj"]);
    for text in ["first", "second"] {
        let sent = pair.owner.json(&["send", "role:coder", text]);
        assert_eq!(sent["recipients"][0]["state"], "queued", "{sent}");
    }
    // ann is the second of the pool, and the first to come.
    let mut ann = window(&pair, &pair.ann);
    for text in ["first", "second"] {
        let message = ann.push();
        assert_eq!(
            (&message["message"], &message["to"]),
            (&json!(text), &json!("role:coder"))
        );
    }
    let mut bob = window(&pair, &pair.bob);
    pair.send("for bob");
    assert_eq!(bob.push()["message"], "for bob", "and to nobody else");
}
