//! What is shown: what was signed by whom it names, or the reason why not.

use super::world::*;
use crate::sealing::*;
use serde_json::json;

#[tokio::test]
async fn each_field_that_is_changed_on_the_way_is_noticed() {
    let other = json!("00000000-0000-7000-8000-000000000001");
    let changes = [
        ("message_id", other.clone(), "replay"),
        ("from", json!("eve"), "its from"),
        ("from_kind", json!("person"), "its from_kind"),
        ("to", json!("eve"), "its to"),
        ("priority", json!("now"), "its priority"),
        ("reply_to", other.clone(), "its reply_to"),
        ("mentions", json!(["bob"]), "its mentions"),
        ("sent_at", json!("2020-01-01T00:00:00Z"), "its sent_at"),
        ("envelope/v", json!(2), "another version"),
        ("envelope/signer", json!("ab".repeat(32)), "the sender's"),
        ("envelope/signature", json!("ab".repeat(64)), "signature"),
        (
            "envelope/sealed",
            json!("AAAA"),
            "not the one that was signed",
        ),
        ("envelope/box", Value::Null, "not sealed to this agent"),
        (
            "envelope/occurrence",
            json!("2026-01-01T00:00:00Z"),
            "replay",
        ),
        ("envelope", Value::Null, "not sealed"),
    ];
    for (field, value, why) in changes {
        let (bob, messages) = said_to_bob(move |function, answer| {
            if function == "take" {
                let frame = &mut frames(answer).unwrap()[0];
                frame["message"] = "a lie".into();
                match field.split_once('/') {
                    Some((_, inner)) => frame["envelope"][inner] = value.clone(),
                    None => frame[field] = value.clone(),
                }
            }
        })
        .await;
        let shown = &messages[0];
        let told = shown["unopened"]
            .as_str()
            .unwrap_or_else(|| panic!("{field}: {shown}"));
        assert!(told.contains(why), "{field}: {told}");
        assert_eq!(
            (&shown["message"], &shown["data"]),
            (&Value::Null, &Value::Null)
        );
        let reports = bob.relay.made("report_unopened");
        assert_eq!(reports.len(), 1, "{field}");
        let ids = reports[0]["message_ids"].as_array().unwrap();
        assert!(ids.contains(&shown["message_id"]), "{field}");
        assert_eq!(reports[0]["reason"], told);
    }
}

#[tokio::test]
async fn a_text_beside_the_envelope_is_not_believed() {
    let (_, messages) = said_to_bob(|function, answer| {
        if function == "take" {
            let frame = &mut frames(answer).unwrap()[0];
            frame["message"] = "a lie".into();
            frame["data"] = "a lie".into();
        }
    })
    .await;
    assert_eq!(
        (&messages[0]["message"], &messages[0]["data"]),
        (&json!("the plan"), &json!({"n": 1}))
    );
}

#[tokio::test]
async fn a_sender_nobody_vouches_for_is_not_believed() {
    let (_, messages) = said_to_bob(|function, answer| {
        if let ("list_identities", Ok(rows)) = (function, answer) {
            rows.as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(|row| row["chain"] = json!([]));
        }
    })
    .await;
    assert_eq!(messages[0]["unopened"], "nobody vouches for the key of ann");
}

#[tokio::test]
async fn notices_are_the_servers() {
    let (_, messages) = said_to_bob(|function, answer| {
        if function == "take" {
            let frame = &mut frames(answer).unwrap()[0];
            frame["message"] = "task 7 is yours".into();
            frame["envelope"] = json!({"notice": true});
        }
    })
    .await;
    assert_eq!(messages[0]["message"], "task 7 is yours");
    assert_eq!(messages[0]["from"], "mesh (server)");
}

/// The server's word for `to` of the last message, which names no address.
fn claim(world: &World, to: Value) {
    world.relay.bend(move |function, answer| {
        if function == "take" {
            let frame = frames(answer).unwrap().last_mut().unwrap();
            frame["to"] = to.clone();
            frame["reply_to"] = "00000000-0000-7000-8000-000000000001".into();
        }
    });
}

#[tokio::test]
async fn an_address_that_nobody_signed_is_shown_where_the_signed_readers_prove_it() {
    let (mut ann, bob) = two();
    // ann's machine knows eve's key, too.
    ann.say(json!({"to": "*", "message": "to all"}))
        .await
        .unwrap();
    ann.relay.others.retain(|person| person.name == "bob");
    ann.say(json!({"message": "it is done"})).await.unwrap();
    let sent = ann.relay.made("say");
    assert!(sent.last().unwrap().get("to").is_none(), "{sent:?}");
    ann.carry(&bob);
    for machine in [&ann, &bob] {
        let others = ["ann", "eve", "*", "#board", "bob,eve", "Bob"].map(Value::from);
        let lies = others.into_iter().chain([json!(["bob"]), Value::Null]);
        let claims = lies.map(|lie| (lie, Value::Null));
        for (said, shown) in claims.chain([(json!("bob"), json!("bob"))]) {
            claim(machine, said.clone());
            let message = machine.take().await[1].clone();
            assert_eq!(message["message"], "it is done", "{said}: {message}");
            assert_eq!(message["to"], shown, "{said}");
            assert_eq!(message["reply_to"], Value::Null, "{said}");
        }
    }
}

#[tokio::test]
async fn an_address_that_nobody_signed_is_not_shown_where_others_read_it_as_well() {
    let (ann, bob) = two();
    ann.say(json!({"message": "it is done"})).await.unwrap();
    ann.carry(&bob);
    for machine in [&ann, &bob] {
        claim(machine, json!("bob"));
        let messages = machine.take().await;
        let message = &messages[0];
        assert_eq!(message["message"], "it is done", "{message}");
        assert_eq!(message["to"], Value::Null);
    }
}

#[tokio::test]
async fn what_a_sender_sealed_that_is_no_message_is_not_shown() {
    let size = "a message has 1 to 65,536 bytes";
    let long = "x".repeat(65_537);
    let bodies = [
        (
            "send_message",
            json!({"message": 5}),
            "a message is one text",
        ),
        (
            "send_message",
            json!({"message": {"from": "alice"}}),
            "a message is one text",
        ),
        (
            "send_message",
            json!({"message": null}),
            "a message is one text",
        ),
        ("send_message", json!({"data": 1}), "a message is one text"),
        (
            "send_message",
            json!({"message": "a", "text": "b"}),
            "a message is one text",
        ),
        ("send_message", json!({"message": ""}), size),
        ("send_message", json!({"message": long}), size),
        (
            "send_message",
            json!({"message": "a", "data": long}),
            "the data of a message has at most 65,536 bytes",
        ),
        (
            "done",
            json!({"summary": "x".repeat(501)}),
            "the summary is too long: at most 500 characters",
        ),
        (
            "done",
            json!({"summary": "a\nb"}),
            "the summary is one line, without tabs",
        ),
        (
            "done",
            json!({"summary": "a\u{1b}b"}),
            "the summary holds control or direction characters",
        ),
        ("later", json!({"said": 5}), "a message is one text"),
    ];
    for (function, body, why) in bodies {
        let (ann, bob) = two();
        ann.smuggle(function, body.clone());
        ann.carry(&bob);
        let shown = bob.take().await[0].clone();
        assert_eq!(shown["unopened"], why, "{body}");
        assert_eq!(
            (&shown["message"], &shown["data"]),
            (&Value::Null, &Value::Null),
            "{body}"
        );
        assert_eq!(bob.relay.made("report_unopened")[0]["reason"], why);
    }
    for (function, body) in [
        ("done", json!({"summary": "x".repeat(500)})),
        ("later", json!({"said": "x".repeat(65_536), "data": null})),
    ] {
        let (ann, bob) = two();
        ann.smuggle(function, body.clone());
        ann.carry(&bob);
        let shown = bob.take().await[0].clone();
        assert_eq!(shown["unopened"], Value::Null, "{shown}");
    }
}

#[tokio::test]
async fn what_is_listed_without_anything_to_read_is_for_others_and_a_plain_text_is_nobodys() {
    let (_, bob) = two();
    bob.relay.bend(|function, answer| {
        if function == "list" {
            let row = |message: Value, envelope: Value| json!({"message_id": "m", "from": "ann", "message": message, "envelope": envelope});
            *answer = Ok(json!([
                row(Value::Null, Value::Null),
                row("(not for you)".into(), Value::Null),
                row("a lie".into(), Value::Null),
                row(Value::Null, json!({"document": "{}"})),
            ]));
        }
    });
    let column = |name: &str, kind: &str| json!({"name": name, "type": kind});
    let list: Function = serde_json::from_value(json!({"name": "list", "returns": {"type": "set", "columns": [
        column("message_id", "uuid"), column("from", "text"), column("message", "text"), column("envelope", "mesh.envelope")]}}))
    .unwrap();
    let none = Map::new();
    let shown = bob.sealing.call(&bob.relay, &list, &none).await.unwrap();
    assert_eq!(
        shown[0],
        json!({"message_id": "m", "from": "ann", "message": "(not for you)"})
    );
    for row in &shown.as_array().unwrap()[1..] {
        assert_eq!(row["message"], Value::Null, "{row}");
        assert!(row["unopened"].is_string(), "{row}");
    }
}
