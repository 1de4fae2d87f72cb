//! What comes twice, or later than it should.

use super::world::*;
use crate::sealing::{settled::Frame, *};
use serde_json::json;

#[tokio::test]
async fn what_was_acknowledged_does_not_come_again() {
    let (bob, messages) = said_to_bob(|_, _| {}).await;
    assert_eq!(messages[0]["message"], "the plan");
    assert_eq!(
        bob.take().await[0]["message"],
        "the plan",
        "it was not acknowledged"
    );
    let seen = object(json!({"seen": "c1"}));
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
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
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
        priority: "next".into(),
        id: "i".into(),
        occurrence: "-".into(),
        message_id: "i".into(),
        asked,
    };
    there.take(&frame(there.mark().unwrap())).unwrap();
    let asked = here.mark().unwrap();
    there.acknowledge("c").unwrap();
    assert!(here.take(&frame(asked)).is_ok());
    let asked = here.mark().unwrap();
    assert!(here.take(&frame(asked)).unwrap_err().contains("replay"));
}
