//! A wait that is given up lets go of everything: no mail is lost with it, and nobody is shown as waiting.

use crate::common::agent::{Pair, session_key, texts};
use crate::common::{eventually, http, http::Line, socket::Socket};
use serde_json::{Value, json};

fn status(pair: &Pair) -> String {
    let peers = pair.call(&pair.ann, "list_peers", json!({}));
    let peers = peers.as_array().expect("peers");
    let bob = peers
        .iter()
        .find(|p| p["agent"] == "bob" || p["name"] == "bob");
    let status = &bob.expect("bob is there")["status"];
    status.as_str().expect("a status").to_owned()
}

#[test]
fn who_cancelled_its_wait_is_not_shown_as_waiting() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    bob.call("set_status", json!({"status": "working"}))
        .expect("a status");
    let waiting = bob.start("wait", json!({"timeout": 55}));
    let other = bob.start("wait", json!({"timeout": 55}));
    eventually("bob waits", || status(&pair) == "waiting");
    for id in [waiting, other] {
        bob.say(json!({"type": "cancel", "id": id}).to_string());
        bob.answer(id).expect_err("cancelled");
    }
    // Long before the wait would have been over by itself.
    eventually("bob works on", || status(&pair) == "working");
    // And its mail is held as before the wait.
    let sent = pair.send("not now");
    assert_eq!(pair.state(&sent), "queued");
    let arguments = json!({"to": "bob", "message": "now", "priority": "now"});
    pair.call(&pair.ann, "send_message", arguments);
    assert_eq!(bob.push()["message"], "now");
}

#[test]
fn one_of_two_waits_that_is_cancelled_leaves_the_other() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let kept = bob.start("wait", json!({"timeout": 55}));
    let given_up = bob.start("wait", json!({"timeout": 55}));
    eventually("bob waits", || status(&pair) == "waiting");
    bob.say(json!({"type": "cancel", "id": given_up}).to_string());
    bob.answer(given_up).expect_err("cancelled");
    pair.send("for the other");
    assert_eq!(texts(&bob.answer(kept).expect("mail")), ["for the other"]);
}

#[test]
fn a_wait_over_http_whose_client_went_away_lets_go_of_all() {
    let pair = Pair::new();
    let key = session_key();
    let mut bob = Socket::connect(&pair.relay, &pair.bob.token);
    let opened = bob.call("open_session", pair.bob.hello(&key, false));
    let session = opened.expect("a session")["session_id"].clone();
    let held = |count: usize| {
        let metrics = http::get(&pair.relay, "/metrics").body;
        metrics.contains(&format!("\nmesh_held {count}\n"))
    };
    for text in ["one", "two", "three"] {
        let request = format!(
            "authorization: Bearer {}\r\nmesh-session: {}",
            pair.bob.token,
            session.as_str().expect("an id")
        );
        let mut line = Line::open(pair.relay.port).expect("the relay listens");
        // From somebody who never writes: what came before does not end it.
        line.start_with("wait", &request, r#"{"timeout":55,"from":"alice"}"#);
        eventually("bob waits", || held(2) && status(&pair) == "waiting");
        drop(line);
        eventually("it waits no more", || held(1) && status(&pair) == "idle");
        pair.send(text);
        assert_eq!(bob.push()["message"], text, "no wait sees it first");
    }
    let mail = bob
        .call("check_messages", json!({"seen": []}))
        .expect("mail");
    assert_eq!(texts(&mail), ["one", "two", "three"]);
}

#[test]
fn mail_that_comes_as_a_wait_is_given_up_is_answered_or_there_at_the_next_check() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let mut ann = Socket::window(&pair.relay, &pair.ann, &session_key());
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    let mut outcomes = [0, 0];
    for n in 0..60 {
        let waiting = bob.start("wait", json!({"timeout": 55}));
        bob.call("whoami", json!({})).expect("in order");
        let text = n.to_string();
        let sending = ann.start("send_message", json!({"to": "bob", "message": text}));
        if n % 3 == 0 {
            ann.call("whoami", json!({})).expect("a little later");
        }
        bob.say(json!({"type": "cancel", "id": waiting}).to_string());
        ann.answer(sending).expect("sent");
        sent.push(text);
        // Without `seen` each answer counts as arrived: a cancelled wait may not have taken anything.
        let mail = match bob.answer(waiting) {
            Ok(mail) => mail,
            Err(error) => {
                assert_eq!(error["message"], "cancelled", "{error}");
                outcomes[0] += 1;
                continue;
            }
        };
        outcomes[1] += 1;
        got.extend(texts(&mail));
    }
    let rest: Value = bob
        .call("check_messages", json!({"limit": 100}))
        .expect("mail");
    got.extend(texts(&rest));
    println!("{} cancelled, {} answered", outcomes[0], outcomes[1]);
    assert_eq!(got, sent);
}
