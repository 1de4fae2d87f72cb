//! A window that loses its relay, its agent or its key.

use crate::common::team::Team;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn a_restart_of_the_relay_goes_unnoticed() {
    let team = Team::of(&["alice", "bob"]);
    let (mut alice, mut bob) = (team.window("alice", "any"), team.window("bob", "any"));
    bob.call("whoami", json!({}));
    alice.call("whoami", json!({}));
    let waiting = bob.send(
        "tools/call",
        json!({"name": "wait", "arguments": {"timeout": 50}}),
    );
    team.down();
    let sending = alice.send(
        "tools/call",
        json!({"name": "send_message", "arguments": {"to": "bob", "message": "still here"}}),
    );
    team.up();
    let sent = alice.answer(sending, Duration::from_secs(30));
    assert_eq!(sent["result"]["isError"], false, "{sent}");
    // A relay that drains ends waits early, as pending.
    let answer = bob.answer(waiting, Duration::from_secs(30));
    let mut mail = answer["result"]["structuredContent"].clone();
    if mail["pending"] == true {
        mail = bob.call("wait", json!({"timeout": 30})).0;
    }
    assert_eq!(mail["messages"][0]["message"], "still here", "{answer}");
}

#[test]
fn while_the_relay_is_away_no_call_waits_for_the_patience_of_others() {
    let team = Team::of(&["alice", "bob"]);
    let mut alice = team.window("alice", "any");
    alice.call("whoami", json!({}));
    team.down();
    let since = Instant::now();
    let sent = [0, 1, 2].map(|n| {
        alice.begin(
            "send_message",
            json!({"to": "bob", "message": n.to_string()}),
        )
    });
    for id in sent {
        assert_eq!(alice.result(id).0["code"], "ME503");
    }
    // Each has 20 s; one after the other they would take 60.
    assert!(since.elapsed() < Duration::from_secs(50));
}

#[test]
fn a_second_window_is_refused_until_it_takes_over() {
    let team = Team::of(&["alice"]);
    let mut first = team.window("alice", "any");
    first.call("whoami", json!({}));
    let mut second = team.window("alice", "any");
    let (error, result) = second.call("whoami", json!({}));
    assert_eq!(
        (&error["code"], &result["isError"]),
        (&json!("ME409"), &json!(true)),
        "{error}"
    );
    assert!(error["hint"].as_str().unwrap().contains("--takeover"));
    let mut third = team.start("alice", "any", &["--takeover"]);
    assert_eq!(third.call("whoami", json!({})).0["agent"], "alice");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(first.call("whoami", json!({})).1["isError"], true);
    assert!(third.hang_up().success());
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(second.call("whoami", json!({})).0["agent"], "alice");
}

#[test]
fn a_revoked_key_is_an_error_in_the_window_and_setup_mends_it() {
    let team = Team::of(&["alice"]);
    let mut window = team.window("alice", "any");
    window.call("whoami", json!({}));
    let keys: Vec<Value> = serde_json::from_str(&team.mesh(&["key", "list", "--json"]).1).unwrap();
    let key = keys.iter().find(|key| key["agent"] == "alice").unwrap()["key_id"]
        .as_str()
        .unwrap();
    assert_eq!(team.mesh(&["key", "revoke", key]).0, 0);
    std::thread::sleep(Duration::from_secs(1));
    let (error, _) = window.call("whoami", json!({}));
    assert_eq!(
        (&error["code"], &error["hint"]),
        (&json!("ME401"), &json!("mesh setup alice")),
        "{error}"
    );
    assert_eq!(team.mesh(&["run", "alice", "--no-launch"]).0, 1);
    assert_eq!(team.mesh(&["setup", "alice"]).0, 0);
    assert_eq!(
        team.window("alice", "any").call("whoami", json!({})).0["agent"],
        "alice"
    );
}
