//! Calls that send and wait for answers, and messages the server sends by itself.

use crate::common::agent::{Pair, session_key, texts};
use crate::common::{eventually, http, relay::Relay, socket::Socket};
use serde_json::{Value, json};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Answers a pushed question.
fn reply(window: &mut Socket, question: &Value, message: &str) -> Value {
    window
        .call(
            "reply",
            json!({"message_id": question["message_id"], "message": message}),
        )
        .expect("an answer is sent")
}

fn answers(answer: &Value) -> Vec<&str> {
    let answers = answer["answers"].as_array().expect("answers");
    answers
        .iter()
        .map(|a| a["message"].as_str().expect("text"))
        .collect()
}

#[test]
fn an_ask_over_a_socket_is_answered_by_the_reply() {
    let pair = Pair::new();
    let other = Relay::start(&pair.database.url("mesh_relay"));
    let mut bob = Socket::window(&other, &pair.bob, &session_key());
    let mut ann = Socket::window(&pair.relay, &pair.ann, &session_key());
    let start = Instant::now();
    let ask = ann.start(
        "ask_agent",
        json!({"to": "bob", "message": "which blue?", "timeout": 50}),
    );
    let question = bob.push();
    assert_eq!(question["message"], "which blue?");
    assert_eq!(reply(&mut bob, &question, "the dark one")["to"], "ann");
    let answer = ann.answer(ask).expect("an answer");
    assert_eq!(answers(&answer), ["the dark one"]);
    assert_eq!(
        (&answer["message_id"], &answer["pending"]),
        (&question["message_id"], &json!(false))
    );
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "the reply woke it"
    );
    // Run again at every wake, it asked once; and its answer is in hand, so the next check settles it.
    assert_eq!(bob.kept("push"), 0);
    let next = ann
        .call("check_messages", json!({"seen": [answer["claim"]]}))
        .expect("mail");
    assert!(texts(&next).is_empty(), "{next}");
    assert_eq!(pair.peek().len(), 0);
}

#[test]
fn of_two_who_are_asked_one_answers_in_time() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let mut ann = Socket::window(&pair.relay, &pair.ann, &session_key());
    let ask = ann.start(
        "ask_agent",
        json!({"to": "bob, alice", "message": "agreed?", "timeout": 3}),
    );
    let question = bob.push();
    reply(&mut bob, &question, "yes");
    let answer = ann.answer(ask).expect("what there is when the time is out");
    assert_eq!(answers(&answer), ["yes"]);
    assert_eq!(
        (&answer["pending"], &answer["waiting_for"]),
        (&json!(true), &json!(["alice"]))
    );

    // The late answer is mail like any other, and `next` says how to wait for it.
    let id = question["message_id"].as_str().expect("an id");
    assert_eq!(answer["next"], format!("mesh wait --thread {id}"));
    let wait = ann.start(
        "wait",
        json!({"thread": id, "timeout": 50, "seen": [answer["claim"]]}),
    );
    pair.owner.json(&["reply", id, "me too"]);
    let late = ann.answer(wait).expect("mail");
    assert_eq!(texts(&late), ["me too"]);
    assert_eq!(late["messages"][0]["from"], "alice");
}

#[test]
fn an_ask_that_is_given_up_or_made_again_asks_once() {
    let pair = Pair::new();
    let mut ann = Socket::window(&pair.relay, &pair.ann, &session_key());
    let request = uuid::Uuid::new_v4().to_string();
    let arguments = json!({"to": "bob", "message": "why?", "timeout": 50, "request_id": request});
    let ask = ann.start("ask_agent", arguments.clone());
    eventually("the question is there", || pair.peek() == ["why?"]);
    ann.say(json!({"type": "cancel", "id": ask}).to_string());
    assert_eq!(ann.answer(ask).expect_err("cancelled")["code"], "ME409");

    let question =
        pair.call(&pair.bob, "check_messages", json!({"peek": true}))["messages"][0].clone();
    let again = ann.start("ask_agent", arguments);
    pair.call(
        &pair.bob,
        "reply",
        json!({"message_id": question["message_id"], "message": "because"}),
    );
    assert_eq!(answers(&ann.answer(again).expect("an answer")), ["because"]);
    assert!(pair.peek().is_empty(), "asked once, and read");
}

#[test]
fn an_ask_over_http_waits_too() {
    let pair = Pair::new();
    scope(|scope| {
        let ask = scope.spawn(|| {
            pair.call(
                &pair.ann,
                "ask_agent",
                json!({"to": "bob", "message": "why?", "timeout": 50}),
            )
        });
        eventually("ann waits", || {
            http::get(&pair.relay, "/metrics")
                .body
                .contains("\nmesh_held 1\n")
        });
        let mail = pair.call(&pair.bob, "check_messages", json!({}));
        pair.call(
            &pair.bob,
            "reply",
            json!({"message_id": mail["messages"][0]["message_id"], "message": "because"}),
        );
        assert_eq!(answers(&ask.join().expect("an answer")), ["because"]);
    });
    let (status, error) = pair.relay.post(
        "ask_agent",
        Some(&pair.ann.token),
        &json!({"to": "nobody", "message": "x", "timeout": 50}).to_string(),
    );
    assert_eq!((status, &error["code"]), (404, &json!("ME404")));
}

#[test]
fn a_scheduled_message_arrives_once_though_two_relays_tick() {
    let pair = Pair::new();
    let other = Relay::start(&pair.database.url("mesh_relay"));
    let mut bob = Socket::window(&other, &pair.bob, &session_key());
    for n in 0..20 {
        pair.call(
            &pair.ann,
            "schedule_message",
            json!({"to": "bob", "message": format!("m{n}"), "in": "1 second"}),
        );
    }
    assert!(pair.peek().is_empty(), "not before its time");
    let mut pushed: Vec<Value> = (0..20).map(|_| bob.push()["message"].clone()).collect();
    pushed.sort_by_key(|m| m.to_string());
    pushed.dedup();
    assert_eq!(pushed.len(), 20, "{pushed:?}");
    sleep(Duration::from_secs(2));
    assert_eq!(pair.peek().len(), 20, "each once");
    let listed = pair.call(&pair.ann, "list_scheduled", json!({}));
    assert_eq!(listed[0]["state"], "sent");
}

#[test]
fn mail_that_expires_is_swept() {
    let pair = Pair::new();
    let sent = pair.call(
        &pair.ann,
        "send_message",
        json!({"to": "bob", "message": "now or never", "expires_in": 0.5}),
    );
    let id = sent["message_id"].as_str().expect("an id");
    eventually("it expires", || {
        pair.database.value(&format!(
            "select state from mesh_data.delivery where message_id = '{id}'"
        )) == "expired"
    });
    assert_eq!(pair.state(id), "expired");
}

#[test]
fn asking_and_scheduling_are_commands() {
    let pair = Pair::new();
    let ann = &pair.machines[0];
    let pending = ann.json(&["ask", "bob", "why?", "--timeout", "0"]);
    assert_eq!(
        (&pending["pending"], &pending["waiting_for"]),
        (&json!(true), &json!(["bob"]))
    );
    let mail = pair.machines[1].json(&["inbox"]);
    let id = mail["messages"][0]["message_id"].as_str().expect("mail");
    pair.machines[1].json(&["reply", id, "because"]);
    let thread = pending["next"].as_str().expect("a command");
    let wait: Vec<&str> = thread.split(' ').skip(1).collect();
    assert_eq!(texts(&ann.json(&wait)), ["because"]);
    let report = pair.machines[1].json(&["done", "it is answered", "--to", "ann"]);
    assert_eq!(report["reported_to"], "ann");

    let made = ann.json(&["schedule", "bob", "later", "--in", "2 hours"]);
    let listed = ann.json(&["schedule", "list"]);
    assert_eq!(
        (&listed[0]["schedule_id"], &listed[0]["state"]),
        (&made["schedule_id"], &json!("scheduled"))
    );
    let cancel = made["next"].as_str().expect("a command");
    let cancel: Vec<&str> = cancel.split(' ').skip(1).collect();
    assert_eq!(ann.json(&cancel)["message"], "later");
    assert_eq!(ann.json(&["schedule", "list"]), json!([]));
    let refused = ann.refused(&["schedule", "bob", "x", "--cron", "0 25 * * *"]);
    assert!(
        refused["message"].as_str().expect("text").contains("hour"),
        "{refused}"
    );
}
