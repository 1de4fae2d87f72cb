//! For whom is sealed, and who may read: those this machine has checked.

use super::world::*;
use crate::sealing::*;
use serde_json::json;

#[tokio::test]
async fn readers_are_checked_before_anything_is_sealed_for_them() {
    let ghost = Signer::generate();
    let swapped = ghost.public_key();
    let ghost_row = json!({"agent_id": "f4", "agent": "ghost", "identity_key": swapped,
        "chain": certificate(&Signer::generate(), "ghost", &ghost)});
    for (what, code, change) in [
        ("a ghost", "ME403", json!({"add": ghost_row})),
        ("another key for bob", "ME403", json!({"key": swapped})),
        ("no chain", "ME403", json!({"chain": []})),
        ("my own key", "ME409", json!({"own": swapped})),
    ] {
        let (ann, _) = two();
        ann.relay.bend(move |function, answer| {
            let Err(error) = answer else { return };
            if function != "say" {
                return;
            }
            let rows = error.data.as_mut().unwrap()["recipients"]
                .as_array_mut()
                .unwrap();
            if let Some(add) = change.get("add") {
                rows.push(add.clone());
            }
            for row in rows.iter_mut() {
                match (row["agent"].as_str().unwrap(), &change) {
                    ("bob", change) if change.get("key").is_some() => {
                        row["identity_key"] = change["key"].clone()
                    }
                    ("bob", change) if change.get("chain").is_some() => {
                        row["chain"] = change["chain"].clone()
                    }
                    ("ann", change) if change.get("own").is_some() => {
                        row["identity_key"] = change["own"].clone()
                    }
                    _ => {}
                }
            }
        });
        let error = ann
            .say(json!({"to": "*", "message": "hi"}))
            .await
            .unwrap_err();
        assert_eq!(error.code, code, "{what}: {error}");
        assert_eq!(
            ann.relay.made("say").len(),
            1,
            "{what}: only the try without readers"
        );
    }
}

#[tokio::test]
async fn a_known_key_that_changes_is_refused_and_named() {
    let (ann, _) = two();
    ann.say(json!({"to": "*", "message": "one"})).await.unwrap();
    let owner = ann.owner.clone();
    ann.relay.bend(move |function, answer| {
        if let Err(error) = answer
            && function == "say"
        {
            let new = Signer::generate();
            let bob = &mut error.data.as_mut().unwrap()["recipients"][0];
            bob["identity_key"] = new.public_key().into();
            bob["chain"] = certificate(&owner, "bob", &new);
        }
    });
    let error = ann
        .say(json!({"to": "bob, eve", "message": "two"}))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.hint.as_str()),
        ("ME409", "mesh trust bob")
    );
}

#[tokio::test]
async fn nobody_reads_along_who_was_not_addressed() {
    let (ann, _) = two();
    let error = ann
        .say(json!({"to": "bob", "message": "for you"}))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("the relay wants eve to read"),
        "{error}"
    );
    assert_eq!(ann.relay.made("say").len(), 1);
}

#[tokio::test]
async fn what_a_former_agent_sent_is_read_and_nothing_is_sealed_for_it() {
    let (ann, bob) = two();
    ann.say(json!({"to": "*", "message": "the plan"}))
        .await
        .unwrap();
    bob.take().await;
    let another = pins::Agent {
        name: "ann".into(),
        key: Signer::generate().public_key(),
        seen_at: time::OffsetDateTime::now_utc(),
        former: false,
    };
    let pin = |mesh: &mut pins::Mesh| Ok(mesh.agents.insert("a9".into(), another));
    bob.sealing.pins.update(MESH, pin).unwrap();
    ann.carry(&bob);
    bob.relay.bend(|function, answer| {
        if let ("list_identities", Ok(rows)) = (function, answer) {
            let rows = rows.as_array_mut().unwrap().iter_mut();
            rows.for_each(|row| row["removed"] = (row["agent"] == "ann").into());
        }
    });
    let messages = bob.take().await;
    assert_eq!(messages[0]["message"], "the plan", "{messages}");
    assert_eq!(messages[0]["from"], "ann (former)");
    let error = bob.say(json!({"to": "*", "message": "no"})).await;
    assert_eq!(error.unwrap_err().hint, "mesh trust ann");
}

#[tokio::test]
async fn a_key_without_identity_takes_no_mail() {
    let (ann, bob) = two();
    ann.say(json!({"to": "*", "message": "hi"})).await.unwrap();
    let bare = Keys {
        signer: Signer::generate(),
        is_bare: true,
        session: None,
    };
    let sealing = Sealing::new(&bob.home, bare);
    let error = sealing
        .call(&bob.relay, &take(), &Map::new())
        .await
        .unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.hint.as_str()),
        ("ME403", "mesh setup bob")
    );
    assert!(bob.relay.made("take").is_empty());
}
