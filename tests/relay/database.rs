//! A relay whose database is not there yet, goes away, and comes back.

use crate::common::agent::{Pair, session_key, texts};
use crate::common::{eventually, http, postgres::Database, relay::Relay, socket::Socket};
use serde_json::json;
use std::thread;

#[test]
fn a_relay_that_boots_before_the_migration_waits_for_it() {
    let database = Database::empty();
    // Roles are of the server, and another test may have made them or not: this login is always there.
    let relay = Relay::boot(&database.url("postgres"));
    eventually("the relay says that it is not ready", || {
        relay.health() == 503
    });
    let health = http::get(&relay, "/health").json();
    assert_eq!(health["status"], "unavailable");
    assert_eq!(http::get(&relay, "/ready").status, 503);
    assert_eq!(http::get(&relay, "/openapi.json").status, 503);
    let (status, error) = relay.post("whoami", Some("mt_x"), "{}");
    assert_eq!((status, &error["code"]), (503, &json!("ME503")));
    assert_eq!(http::get(&relay, "/join").status, 200);

    assert!(database.migrate(&[]).status.success());
    eventually("ready", || relay.health() == 200);
    assert_eq!(http::get(&relay, "/ready").status, 200);
    assert_eq!(relay.post("whoami", Some("mt_x"), "{}").0, 401);
}

#[test]
fn a_database_that_is_away_is_503_and_comes_back_by_itself() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let before = pair.send("before");
    pair.database.go_away();
    eventually("health says so", || pair.relay.health() == 503);
    let (status, error) = pair
        .relay
        .post("check_messages", Some(&pair.ann.token), "{}");
    assert_eq!((status, &error["code"]), (503, &json!("ME503")), "{error}");
    let answer = http::post(
        &pair.relay,
        "whoami",
        &format!("authorization: Bearer {}\n", pair.ann.token),
        b"{}",
    );
    assert_eq!(answer.status, 503);
    assert!(
        answer.header("retry-after").is_some(),
        "a client knows when to come back: {answer:?}"
    );
    assert_eq!(
        bob.call("whoami", json!({})).expect_err("away")["code"],
        "ME503"
    );

    pair.database.come_back();
    eventually("health recovers", || pair.relay.health() == 200);
    // The socket was never closed, its session goes on, and what is sent now is pushed.
    pair.send("after");
    assert_eq!(bob.push()["message"], "before");
    assert_eq!(bob.push()["message"], "after");
    assert_eq!(pair.peek(), ["before", "after"]);
    assert_eq!(pair.state(&before), "pushed");
}

#[test]
fn times_are_in_utc_wherever_the_server_is() {
    let pair = Pair::new();
    pair.database.value(&format!(
        "alter database {} set timezone = 'Asia/Kolkata'",
        pair.database.name
    ));
    pair.database.drop_connections();
    eventually("the relay is ready again", || pair.relay.health() == 200);
    pair.send("at noon");
    let mail = pair.call(&pair.bob, "check_messages", json!({"peek": true}));
    let sent_at = mail["messages"][0]["sent_at"].as_str().expect("a time");
    assert!(sent_at.ends_with("+00:00"), "{sent_at}");
}

#[test]
fn a_wait_outlives_the_loss_of_every_connection() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let waiting = bob.start("wait", json!({"timeout": 55}));
    bob.call("whoami", json!({})).expect("in order");
    for _ in 0..5 {
        pair.database.drop_connections();
        thread::sleep(std::time::Duration::from_millis(50));
    }
    eventually("the relay is ready again", || pair.relay.health() == 200);
    eventually("a send is taken", || {
        let body = json!({"to": "bob", "message": "through", "key": "once"}).to_string();
        pair.relay
            .post("send_message", Some(&pair.ann.token), &body)
            .0
            == 200
    });
    // A wake that met the dead connections may have ended it; then the mail is still there.
    let mail = match bob.answer(waiting) {
        Ok(mail) => mail,
        Err(error) => {
            assert_eq!(error["code"], "ME503", "{error}");
            bob.call("wait", json!({"timeout": 55})).expect("mail")
        }
    };
    assert_eq!(texts(&mail), ["through"]);
}
