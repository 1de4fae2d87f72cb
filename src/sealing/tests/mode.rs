//! Sealed, open, and what changes meanwhile: nothing goes in the clear unless a person agrees.

use super::world::*;
use crate::sealing::*;
use serde_json::json;

#[tokio::test]
async fn an_open_mesh_is_left_alone() {
    let (ann, bob) = two();
    *ann.relay.mode.lock().unwrap() = "open";
    ann.say(json!({"to": "bob", "message": "hi"}))
        .await
        .unwrap();
    assert_eq!(ann.relay.made("say")[0]["message"], "hi");
    *bob.relay.mode.lock().unwrap() = "open";
    bob.relay.bend(|function, answer| {
        if function == "take" {
            *answer = Ok(json!({"messages": [{"message_id": "m", "from": "ann", "message": "hi", "envelope": null}]}));
        }
    });
    assert_eq!(
        bob.take().await[0],
        json!({"message_id": "m", "from": "ann", "message": "hi"})
    );
}

/// ann, whose mesh is open since she sent something sealed there.
async fn opened() -> World {
    let (ann, _) = two();
    ann.say(json!({"to": "*", "message": "one"})).await.unwrap();
    *ann.relay.mode.lock().unwrap() = "open";
    ann
}

#[tokio::test]
async fn plain_text_never_goes_where_it_was_sealed_before() {
    let ann = opened().await;
    ann.sealing.forget();
    let error = ann
        .say(json!({"to": "*", "message": "two"}))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.hint.as_str()),
        ("ME409", "mesh trust --mode")
    );
    let calls = json!(*ann.relay.calls.lock().unwrap()).to_string();
    assert!(!calls.contains("two"));
}

#[tokio::test]
async fn a_mesh_that_is_sealed_meanwhile_gets_nothing_plain() {
    let (ann, _) = two();
    *ann.relay.mode.lock().unwrap() = "open";
    ann.say(json!({"to": "*", "message": "one"})).await.unwrap();
    *ann.relay.mode.lock().unwrap() = "sealed";
    let refusing = Refusing(&ann.relay);
    let said = object(json!({"to": "*", "message": "two"}));
    ann.sealing.call(&refusing, &say(), &said).await.unwrap();
    let last = ann.relay.made("say").pop().unwrap();
    assert!(last["message"].is_object());
}

/// Refuses plain text, as a sealed mesh does.
struct Refusing<'a>(&'a Relay);

impl Exchange for Refusing<'_> {
    async fn exchange(&self, function: &str, arguments: &Map<String, Value>) -> Result<Arrived> {
        match arguments.get("message") {
            Some(Value::String(_)) => Err(Error::new(400, "this mesh is sealed")),
            _ => self.0.exchange(function, arguments).await,
        }
    }
}

#[tokio::test]
async fn a_mesh_that_is_opened_meanwhile_gets_plain_text_once_a_person_agrees() {
    let ann = opened().await;
    ann.relay.bend(|function, answer| {
        if function == "say" && answer.is_err() {
            *answer = Err(Error::new(409, "this mesh is open"));
        }
    });
    let others = pins::Pins::new(&ann.home);
    let refused = ann.say(json!({"to": "bob", "message": "two"})).await;
    assert_eq!(refused.unwrap_err().hint, "mesh trust --mode");
    others.want(MESH, false).unwrap();
    ann.say(json!({"to": "bob", "message": "three"}))
        .await
        .unwrap();
    let said = ann.relay.made("say");
    assert_eq!(said.last().unwrap()["message"], "three");
    others.want(MESH, true).unwrap();
    let refused = ann.say(json!({"to": "bob", "message": "four"})).await;
    assert_eq!(refused.unwrap_err().hint, "mesh trust --mode");
    assert_eq!(ann.relay.made("say").len(), said.len());
}

#[tokio::test]
async fn another_owner_stops_everything() {
    let (ann, _) = two();
    ann.say(json!({"to": "*", "message": "one"})).await.unwrap();
    *ann.relay.owner_key.lock().unwrap() = Signer::generate().public_key();
    ann.sealing.forget();
    let error = ann
        .say(json!({"to": "*", "message": "two"}))
        .await
        .unwrap_err();
    assert!(error.message.contains("another key"), "{error}");
}
