//! How a socket signs in, and what opens a window.

use crate::common::agent::{Pair, session_key};
use crate::common::socket::Socket;
use serde_json::json;

#[test]
fn the_bearer_comes_in_the_header_or_in_the_first_frame() {
    let pair = Pair::new();
    let token = &pair.bob.token;
    let mut header = Socket::connect(&pair.relay, token);
    assert_eq!(
        header.call("whoami", json!({})).expect("signed in")["agent"],
        "bob"
    );
    let mut framed = Socket::upgrade(&pair.relay, "/ws", &[]).expect("an upgrade");
    framed.say(json!({"type": "auth", "token": token}).to_string());
    assert_eq!(framed.frame().expect("a welcome")["type"], "welcome");
    assert_eq!(
        framed.call("whoami", json!({})).expect("signed in")["agent"],
        "bob"
    );
}

#[test]
fn a_bearer_in_the_query_is_refused_even_when_it_is_good() {
    let pair = Pair::new();
    let bearer = format!("Bearer {}", pair.bob.token);
    for name in ["token", "key", "access_token", "TOKEN"] {
        let path = format!("/ws?{name}={}", pair.bob.token);
        let (status, error) = Socket::upgrade(&pair.relay, &path, &[("authorization", &bearer)])
            .err()
            .expect("a refusal");
        assert_eq!((status, &error["code"]), (400, &json!("ME400")), "{name}");
        assert!(!error.to_string().contains(&pair.bob.token));
    }
}

#[test]
fn a_wrong_bearer_is_refused_wherever_it_stands() {
    let pair = Pair::new();
    for bearer in ["Bearer mt_wrong", "Basic YTpi", "mt_wrong", "Bearer"] {
        let (status, error) = Socket::upgrade(&pair.relay, "/ws", &[("authorization", bearer)])
            .err()
            .expect("a refusal");
        assert_eq!((status, &error["code"]), (401, &json!("ME401")), "{bearer}");
    }
    for first in [
        json!({"type": "auth", "token": "mt_wrong"}).to_string(),
        json!({"type": "auth"}).to_string(),
        json!({"id": 1, "call": "whoami"}).to_string(),
        "nonsense".to_owned(),
    ] {
        let mut socket = Socket::upgrade(&pair.relay, "/ws", &[]).expect("an upgrade");
        socket.say(first.clone());
        let error = socket.ended();
        let code = error["code"].as_str().expect("a code");
        assert!(["ME400", "ME401"].contains(&code), "{first}: {error}");
    }
}

#[test]
fn a_second_window_is_refused_until_it_takes_over_and_that_ends_the_first() {
    let pair = Pair::new();
    let mut first = Socket::window(&pair.relay, &pair.bob, &session_key());
    let (second_key, mut second) = (session_key(), Socket::connect(&pair.relay, &pair.bob.token));
    let refused = second
        .call("open_session", pair.bob.hello(&second_key, false))
        .expect_err("another window runs");
    assert_eq!(refused["code"], "ME409");
    assert!(
        refused["hint"]
            .as_str()
            .expect("a hint")
            .contains("--takeover")
    );

    let opened = second
        .call("open_session", pair.bob.hello(&second_key, true))
        .expect("taken over");
    assert_eq!(opened["resumed"], false);
    let error = first.ended();
    assert_eq!(error["code"], "ME409");
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("took over"),
        "{error}"
    );
    pair.send("for the new one");
    assert_eq!(second.push()["message"], "for the new one");
}

#[test]
fn a_session_that_resumes_on_another_socket_leaves_the_first() {
    let pair = Pair::new();
    let key = session_key();
    let mut first = Socket::window(&pair.relay, &pair.bob, &key);
    let mut second = Socket::window(&pair.relay, &pair.bob, &key);
    assert_eq!(first.ended()["code"], "ME409");
    pair.send("once");
    assert_eq!(second.push()["message"], "once");
}

#[test]
fn a_hello_that_another_signed_or_that_was_changed_is_refused() {
    let pair = Pair::new();
    let mut bob = Socket::connect(&pair.relay, &pair.bob.token);
    let key = session_key();
    let foreign = pair.ann.hello(&key, false);
    assert_eq!(
        bob.call("open_session", foreign)
            .expect_err("ann is not bob")["code"],
        "ME403"
    );
    let mut changed = pair.bob.hello(&key, false);
    changed["takeover"] = json!(true);
    assert_eq!(
        bob.call("open_session", changed)
            .expect_err("not what was signed")["code"],
        "ME400"
    );
}

#[test]
fn an_account_in_several_meshes_is_told_which_when_it_does_not_say() {
    let pair = Pair::new();
    pair.owner.open_mesh("two");
    let commands: [&[&str]; 2] = [&["send", "bob", "hi"], &["grant", "bob"]];
    for command in commands {
        let refused = pair.owner.refused(command);
        assert_eq!(refused["code"], "ME400", "{command:?}: {refused}");
        assert_eq!(
            (&refused["data"]["candidates"], &refused["hint"]),
            (&json!(["proj", "two"]), &json!("mesh --mesh proj …")),
            "{command:?}: {refused}"
        );
    }
    let sent = ["--mesh", "proj", "send", "bob", "hi"];
    assert_eq!(pair.owner.json(&sent)["recipients"][0]["agent"], "bob");
}
