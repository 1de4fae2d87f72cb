//! Who is to read it: keys that are not theirs, and members nobody invited.

use crate::{
    common::Machine,
    liar::Answer,
    world::{World, certificate, public, stranger},
};
use serde_json::{Value, json};

type Swap = Box<dyn Fn(&mut Value) + Send + Sync>;

const TEXT: &str = "for those I know";

/// The readers that a refused call names.
fn named(answer: &mut Answer) -> Option<&mut Vec<Value>> {
    let is_refused = answer.status == 409;
    let rows = answer.body.pointer_mut("/data/recipients");
    rows.and_then(Value::as_array_mut).filter(|_| is_refused)
}

fn row<'a>(rows: &'a mut [Value], agent: &str) -> &'a mut Value {
    let found = rows.iter_mut().find(|row| row["agent"] == agent);
    found.expect("the relay names them")
}

/// Sends through a relay that changes whom it names; the refusal. Nothing was sealed for anybody.
fn refused(world: &World, to: &str, change: impl Fn(&mut Vec<Value>) + Send + 'static) -> Value {
    world.liar.heard();
    world.liar.lies(move |_, answer| {
        if let Some(rows) = named(answer) {
            change(rows);
        }
    });
    let error = world.ann.refused(&["send", to, TEXT]);
    world.liar.is_honest();
    let sent = world
        .liar
        .heard()
        .into_iter()
        .filter(|asked| asked.function == "send_message");
    for asked in sent {
        assert_eq!(asked.arguments["message"]["boxes"], json!({}), "{to}");
    }
    error
}

#[test]
fn a_key_that_was_swapped_is_refused_and_named() {
    let world = World::new();
    let mesh = world.database.value("select mesh_id from mesh_data.mesh");
    let own = move |name: &str| {
        json!([certificate(
            &stranger(),
            &mesh,
            json!({"agent": name, "identity_key": public(&stranger())})
        )])
    };
    let swaps: [(&str, Swap); 3] = [
        (
            "with its own chain",
            Box::new(|row| row["identity_key"] = public(&stranger()).into()),
        ),
        (
            "with no chain",
            Box::new(|row| {
                row["identity_key"] = public(&stranger()).into();
                row["chain"] = json!([]);
            }),
        ),
        (
            "with a chain of its own",
            Box::new(move |row| {
                row["identity_key"] = public(&stranger()).into();
                row["chain"] = own("bob");
            }),
        ),
    ];
    let swaps = std::sync::Arc::new(swaps);
    // Never seen before: nobody vouches for it. Known: it has changed.
    for (code, says) in [
        ("ME403", "nobody vouches for the key of bob"),
        ("ME409", "the key of bob changed"),
    ] {
        for (at, (what, _)) in swaps.iter().enumerate() {
            let own = swaps.clone();
            let error = refused(&world, "bob", move |rows| own[at].1(row(rows, "bob")));
            assert_eq!(error["code"], code, "{what}: {error}");
            assert!(
                error["message"].as_str().unwrap().contains(says),
                "{what}: {error}"
            );
            assert_eq!(
                error["hint"] == "mesh trust bob",
                code == "ME409",
                "{what}: {error}"
            );
        }
        world.send("honest");
        assert_eq!(world.inbox()[0]["message"], "honest");
    }
}

#[test]
fn ones_own_key_is_not_swapped_either() {
    let world = World::new();
    let error = refused(&world, "bob", |rows| {
        row(rows, "ann")["identity_key"] = public(&stranger()).into()
    });
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("another key for ann"),
        "{error}"
    );
}

#[test]
fn an_identity_that_was_swapped_is_refused_and_named() {
    let world = World::new();
    world.send("sealed");
    for change in [
        (|row: &mut Value| row["identity_key"] = public(&stranger()).into()) as fn(&mut Value),
        |row| row["chain"] = json!([]),
        |row| row["chain"] = Value::Null,
        |row| row["chain"] = json!("a lie"),
        |row| row["agent"] = "alice".into(),
        |row| row["agent_id"] = "00000000-0000-7000-8000-000000000001".into(),
    ] {
        world.liar.lies(move |asked, answer| {
            if asked.function == "list_identities" {
                answer
                    .body
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .for_each(change);
            }
        });
        let mail = world.inbox();
        world.liar.is_honest();
        assert_eq!(
            mail[0]["unopened"], "nobody vouches for the key of ann",
            "{mail:?}"
        );
        world.no_delay();
    }
    assert_eq!(world.inbox()[0]["message"], "sealed");
    // From now on it is known, and nobody asks again.
    world.send("more");
    world.liar.heard();
    assert_eq!(world.inbox()[0]["message"], "more");
    assert!(
        world
            .liar
            .heard()
            .iter()
            .all(|asked| asked.function != "list_identities")
    );
}

#[test]
fn nothing_is_sealed_for_a_member_nobody_invited() {
    let world = World::new();
    let mesh = world.database.value("select mesh_id from mesh_data.mesh");
    let key = public(&stranger());
    let made = json!([certificate(
        &stranger(),
        &mesh,
        json!({"agent": "ghost", "identity_key": key})
    )]);
    let chain_of = std::sync::Arc::new(std::sync::Mutex::new(Value::Null));
    for to in ["bob", "*", "bob, alice"] {
        let ghosts: [(&str, Value); 4] = [
            ("without a chain", json!([])),
            ("with a null for a chain", Value::Null),
            ("with a chain of its own", made.clone()),
            ("with bob's chain", json!("bob's")),
        ];
        for (what, chain) in ghosts {
            let (key, bobs) = (key.clone(), chain_of.clone());
            let error = refused(&world, to, move |rows| {
                *bobs.lock().unwrap() = row(rows, "bob")["chain"].clone();
                let chain = if chain == "bob's" {
                    row(rows, "bob")["chain"].clone()
                } else {
                    chain.clone()
                };
                let id = "00000000-0000-7000-8000-000000000001";
                rows.push(
                    json!({"agent_id": id, "agent": "ghost", "identity_key": key, "chain": chain}),
                );
            });
            let said = error["message"].as_str().unwrap();
            assert!(
                said.contains("nobody vouches for the key of ghost"),
                "{to} {what}: {error}"
            );
        }
    }
    // Nor under the name of somebody who is invited.
    let key = public(&stranger());
    let error = refused(&world, "*", move |rows| {
        let chain = row(rows, "bob")["chain"].clone();
        rows.push(json!({"agent_id": "00000000-0000-7000-8000-000000000001", "agent": "bob", "identity_key": key, "chain": chain}));
    });
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("the key of bob"),
        "{error}"
    );
}

#[test]
fn who_is_in_the_mesh_and_was_not_addressed_does_not_read_along() {
    let world = World::new();
    let eve = Machine::guest(&world.alice, "proj", "eve");
    let found = std::sync::Arc::new(std::sync::Mutex::new(Value::Null));
    let own = found.clone();
    world.liar.lies(move |_, answer| {
        if let Some(rows) = named(answer) {
            *own.lock().unwrap() = row(rows, "eve").clone();
        }
    });
    world.ann.json(&["send", "*", "for all"]);
    assert_eq!(eve.json(&["inbox"])["messages"][0]["message"], "for all");
    let eve = found.lock().unwrap().clone();
    let error = refused(&world, "bob", move |rows| rows.push(eve.clone()));
    let said = error["message"].as_str().unwrap();
    assert!(
        said.contains("the relay wants eve to read what is not for eve"),
        "{error}"
    );
}

#[test]
fn a_relay_that_is_never_satisfied_is_left_alone() {
    let world = World::new();
    world.liar.heard();
    world.liar.lies(|asked, answer| {
        if asked.function == "send_message" && answer.status == 200 {
            answer.status = 409;
            answer.body = json!({"code": "ME409", "message": "not those", "hint": "", "data": {"recipients": []}});
        }
    });
    world.ann.refused(&["send", "bob", TEXT]);
    let tries = world
        .liar
        .heard()
        .into_iter()
        .filter(|asked| asked.function == "send_message");
    assert!(tries.count() <= 4);
}
