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

#[tokio::test]
async fn what_is_no_text_is_not_sent_in_any_mesh() {
    for mode in ["sealed", "open"] {
        let (ann, _) = two();
        *ann.relay.mode.lock().unwrap() = mode;
        let others = [
            (json!(5), "number"),
            (json!(true), "boolean"),
            (json!([1]), "array"),
            (json!({"a": "x".repeat(65_537)}), "object"),
        ];
        for (message, kind) in others {
            let said = json!({"to": "*", "message": message});
            let error = ann.say(said).await.unwrap_err();
            let told = format!("the argument 'message' must be a JSON string, not {kind}");
            assert_eq!((error.code.as_str(), error.message), ("ME400", told));
        }
        assert!(ann.relay.made("say").is_empty());
    }
}

#[tokio::test]
async fn what_is_one_line_is_held_to_it_before_it_is_sealed() {
    let (ann, _) = two();
    let mut function = say();
    function.arguments[1].schema = json!({"type": "string", "maxLength": 500, "pattern": "^.*$"});
    let long = "ä".repeat(500);
    let lines = [
        (
            format!("{long}ä"),
            "ME413",
            "the message is too long: at most 500 characters",
        ),
        (
            "a\nb".into(),
            "ME400",
            "the message is one line, without tabs",
        ),
        (
            "a\tb".into(),
            "ME400",
            "the message is one line, without tabs",
        ),
        (
            "a\u{1b}[31mb".into(),
            "ME400",
            "the message holds control or direction characters",
        ),
        (
            "a\u{202e}b".into(),
            "ME400",
            "the message holds control or direction characters",
        ),
    ];
    for (message, code, told) in lines {
        let said = object(json!({"to": "*", "message": message}));
        let error = ann.sealing.call(&ann.relay, &function, &said).await;
        let error = error.unwrap_err();
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, told));
    }
    assert!(ann.relay.made("say").is_empty());
    let said = object(json!({"to": "*", "message": format!(" {long} ")}));
    ann.sealing
        .call(&ann.relay, &function, &said)
        .await
        .unwrap();
}
