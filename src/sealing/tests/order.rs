//! What comes twice, or later than it should.

use super::world::*;
use crate::sealing::{settled::Frame, *};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn what_was_acknowledged_does_not_come_again() {
    let (bob, messages) = said_to_bob(|_, _| {}).await;
    assert_eq!(messages[0]["message"], "the plan");
    assert_eq!(
        bob.take().await[0]["message"],
        "the plan",
        "it was not acknowledged"
    );
    let seen = object(json!({"seen": ["c1"]}));
    let again = bob.sealing.call(&bob.relay, &take(), &seen).await.unwrap();
    let why = again["messages"][0]["unopened"].as_str().unwrap();
    assert!(why.contains("acknowledged before"), "{why}");
    // Also by another process.
    let other = Sealing::new(
        &bob.home,
        Keys {
            signer: bob.relay.caller.identity.clone(),
            is_bare: false,
            session: None,
        },
    );
    let again = other.call(&bob.relay, &take(), &Map::new()).await.unwrap();
    assert!(again["messages"][0]["unopened"].is_string());
}

#[tokio::test]
async fn what_comes_out_of_order_says_so() {
    let (ann, bob) = two();
    ann.say(json!({"to": "*", "message": "one"})).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    ann.say(json!({"to": "*", "message": "two"})).await.unwrap();
    ann.carry(&bob);
    bob.relay.stored.lock().unwrap().reverse();
    let messages = bob.take().await;
    assert_eq!(
        (&messages[0]["message"], messages[0].get("late")),
        (&json!("two"), None)
    );
    assert_eq!(messages[1]["message"], "one");
    assert!(
        messages[1]["late"]
            .as_str()
            .unwrap()
            .starts_with("it was sent before")
    );
}

#[tokio::test]
async fn what_mentions_its_reader_makes_nothing_late() {
    let (ann, bob) = two();
    for mentions in [None, Some(["bob"])] {
        let sent = json!({"to": "*", "message": "hi", "mentions": mentions});
        ann.say(sent).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    ann.carry(&bob);
    bob.relay.stored.lock().unwrap().reverse();
    let messages = bob.take().await;
    assert_eq!(messages[0]["mentions"], json!(["bob"]));
    assert_eq!(messages[1].get("late"), None, "{messages}");
}

#[test]
fn what_another_process_acknowledges_meanwhile_is_no_replay() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home {
        root: directory.path().to_owned(),
    };
    let (here, there) = (Settled::open(&home, "a"), Settled::open(&home, "a"));
    let frame = |asked| Frame {
        claim: "c".into(),
        sender: "s".into(),
        queue: "next/-".into(),
        id: "i".into(),
        occurrence: "-".into(),
        message_id: "i".into(),
        asked,
        at: Instant::now(),
    };
    there.take(&frame(there.mark().unwrap())).unwrap();
    let asked = here.mark().unwrap();
    there.acknowledge("c").unwrap();
    assert!(here.take(&frame(asked)).is_ok());
    let asked = here.mark().unwrap();
    assert!(here.take(&frame(asked)).unwrap_err().contains("replay"));
}

#[test]
fn what_came_and_was_acknowledged_while_a_call_was_under_way_is_no_replay_in_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home {
        root: directory.path().to_owned(),
    };
    let log = Settled::open(&home, "a");
    let take = |id: &str, asked| {
        log.take(&Frame {
            claim: "c".into(),
            sender: "s".into(),
            queue: "next/-".into(),
            id: id.into(),
            occurrence: "-".into(),
            message_id: id.into(),
            asked,
            at: Instant::now(),
        })
    };
    take("old", log.mark().unwrap()).unwrap();
    let asked = log.mark().unwrap();
    take("new", log.mark().unwrap()).unwrap();
    let acknowledging = log.mark().unwrap();
    log.acknowledge("c").unwrap();
    assert!(take("new", asked).is_ok());
    assert!(take("old", asked).unwrap_err().contains("replay"));
    assert!(take("new", acknowledging).unwrap_err().contains("replay"));
    assert!(take("new", usize::MAX).unwrap_err().contains("replay"));
}

#[test]
fn what_came_first_and_is_opened_last_is_not_late() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home {
        root: directory.path().to_owned(),
    };
    let start = Instant::now();
    // Sent in the order of their numbers, and come at those times.
    let late = |log: &Settled, sent: u32, came: u64| {
        let id = format!("00000000-{sent:04}-7000-8000-000000000000");
        let frame = Frame {
            claim: "c".into(),
            sender: "s".into(),
            queue: "next/-".into(),
            id: id.clone(),
            occurrence: "-".into(),
            message_id: id,
            asked: 0,
            at: start + Duration::from_millis(came),
        };
        log.take(&frame).unwrap().is_some()
    };
    let log = Settled::open(&home, "a");
    assert!(!late(&log, 3, 3) && !late(&log, 1, 1) && !late(&log, 2, 2));
    assert!(late(&log, 0, 2), "1 and 2 came before");
    assert!(!late(&log, 9, 4) && !late(&log, 4, 3));
    assert!(late(&log, 8, 4) && late(&log, 5, 5));
    for n in 10..500 {
        assert!(!late(&log, n, n.into()), "{n}");
    }
    assert!(late(&log, 6, 600) && !late(&log, 500, 600));
    // What another process took, or this one before, came before all.
    assert!(late(&Settled::open(&home, "a"), 7, 0));
}
