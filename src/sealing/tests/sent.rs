//! What is sent: sealed, once, and of a size that fits.

use super::world::*;
use crate::sealing::*;
use serde_json::json;

#[tokio::test]
async fn what_one_says_the_other_reads_and_nobody_between() {
    let (ann, bob) = two();
    let said = json!({"to": "*", "message": "the plan", "data": {"n": 1}, "key": "k"});
    ann.say(said).await.unwrap();
    let sent = ann.relay.made("say");
    assert_eq!(sent.len(), 2, "without readers, then for them");
    assert_eq!(sent[0]["message"]["boxes"], json!({}));
    for call in &sent {
        assert!(!json!(call).to_string().contains("the plan"));
        assert_eq!((call.get("data"), &call["key"]), (None, &json!("k")));
    }
    ann.carry(&bob);
    let messages = bob.take().await;
    assert_eq!(messages[0]["message"], "the plan");
    assert_eq!(messages[0]["data"], json!({"n": 1}));
    assert_eq!(messages[0]["sealed"], true);
    assert_eq!(messages[0].get("envelope"), None);
    assert!(bob.relay.made("report_unopened").is_empty());
    // The readers are known now.
    ann.say(json!({"to": "*", "message": "more"}))
        .await
        .unwrap();
    assert_eq!(ann.relay.made("say").len(), 3);
}

#[tokio::test]
async fn all_tries_of_a_call_have_one_name_and_one_tag() {
    let (ann, _) = two();
    let said = json!({"to": "*", "message": "hi", "request": "r"});
    ann.say(said).await.unwrap();
    let documents: Vec<Value> = ann
        .relay
        .made("say")
        .iter()
        .map(|sent| serde_json::from_str(sent["message"]["document"].as_str().unwrap()).unwrap())
        .collect();
    for name in ["id", "body_tag"] {
        assert_eq!(documents[0][name], documents[1][name], "{name}");
    }
    assert_ne!(documents[0]["body"], documents[1]["body"]);
    assert_eq!(documents[0]["arguments"], json!({"to": "*"}));
}

#[tokio::test]
async fn too_short_and_too_long_is_said_before_it_is_sealed() {
    let (ann, _) = two();
    for (message, code) in [("", "ME400"), (&*"x".repeat(65_537), "ME413")] {
        let said = json!({"to": "*", "message": message});
        assert_eq!(ann.say(said).await.unwrap_err().code, code);
    }
    let said = json!({"to": "*", "message": "x", "data": "x".repeat(65_536)});
    assert_eq!(ann.say(said).await.unwrap_err().code, "ME413");
    assert!(ann.relay.made("say").is_empty());
}
