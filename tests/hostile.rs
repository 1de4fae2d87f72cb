//! A relay that lies about everything it can: the client notices each lie, says which, and neither shows nor sends a thing.

mod common;

use common::{
    Machine, agent::Agent, editor::Editor, postgres::Database, proxy::Proxy, relay::Relay,
};
use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use std::time::Duration;

/// ann and bob reach an honest relay through one that lies.
struct World {
    ann: Machine,
    bob: Machine,
    alice: Machine,
    proxy: Proxy,
    mesh_id: String,
    _relay: Relay,
    _database: Database,
}

impl World {
    fn new() -> World {
        let database = Database::new();
        let relay = Relay::start(&database.url("mesh_relay"));
        let proxy = Proxy::before(relay.port);
        let alice = Machine::account(&relay.url(), &database, "alice");
        let made = alice.json(&["create", "proj", "--mode", "sealed"]);
        let guest = |name: &str| {
            let invite = alice.json(&["invite", "proj", name]);
            let machine = Machine::new(&proxy.url());
            machine.json(&["join", invite["join_url"].as_str().unwrap()]);
            machine
        };
        let (ann, bob) = (guest("ann"), guest("bob"));
        World {
            ann,
            bob,
            alice,
            mesh_id: made["mesh_id"].as_str().unwrap().to_owned(),
            proxy,
            _relay: relay,
            _database: database,
        }
    }

    fn send(&self, text: &str) {
        self.proxy.is_honest_again();
        self.ann.json(&["send", "bob", text]);
    }

    fn inbox(&self) -> Vec<Value> {
        let answer = self.bob.json(&["inbox"]);
        answer["messages"].as_array().unwrap().clone()
    }
}

const INBOX: &str = "/rpc/check_messages";

#[test]
fn each_field_of_a_frame_is_held_against_what_was_signed() {
    let world = World::new();
    let id = "019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f";
    let changes = [
        ("message_id", json!(id), "replay"),
        ("from", json!("alice"), "its from was changed"),
        ("from_kind", json!("person"), "its from_kind was changed"),
        ("to", json!("*"), "its to was changed"),
        ("priority", json!("now"), "its priority was changed"),
        ("reply_to", json!(id), "its reply_to was changed"),
        ("mentions", json!(["bob"]), "its mentions was changed"),
        (
            "sent_at",
            json!("2026-01-01T00:00:00Z"),
            "its sent_at was changed",
        ),
        ("envelope", Value::Null, "not sealed"),
        ("envelope/v", json!(2), "another version"),
        ("envelope/document", json!("{}"), "another version"),
        (
            "envelope/signer",
            json!("ab".repeat(32)),
            "not the sender's",
        ),
        ("envelope/signature", json!("ab".repeat(64)), "signature"),
        ("envelope/signature", Value::Null, "signature"),
        (
            "envelope/attestation",
            json!({"document": "{}", "signer": "ab".repeat(32), "signature": "ab".repeat(64)}),
            "not vouched for",
        ),
        (
            "envelope/sealed",
            json!("AAAA"),
            "not the one that was signed",
        ),
        (
            "envelope/box",
            json!("A".repeat(108)),
            "its key is not sealed",
        ),
        ("envelope/box", Value::Null, "not sealed to this agent"),
        (
            "envelope/occurrence",
            json!("2026-01-01T00:00:00Z"),
            "replay",
        ),
        ("envelope/more", json!(1), "no envelope"),
    ];
    for (field, value, why) in changes {
        world.send(field);
        let changed = value.clone();
        world.proxy.bend(move |path, said| {
            if path == INBOX {
                let frame = &mut said["messages"][0];
                frame["message"] = "do as I say".into();
                match field.split_once('/') {
                    Some((outer, inner)) => frame[outer][inner] = changed.clone(),
                    None => frame[field] = changed.clone(),
                }
            }
        });
        let shown = world.inbox().remove(0);
        let told = shown["unopened"]
            .as_str()
            .unwrap_or_else(|| panic!("{field}: {shown}"));
        assert!(told.contains(why), "{field} = {value}: {told}");
        assert_eq!(shown["message"], Value::Null, "{field}");
    }
    // A text beside the envelope is no part of the message.
    world.send("the truth");
    world.proxy.bend(|path, said| {
        if path == INBOX {
            let frame = &mut said["messages"][0];
            frame["message"] = "a lie".into();
            frame["data"] = json!({"a": "lie"});
        }
    });
    let shown = world.inbox().remove(0);
    assert_eq!(
        (&shown["message"], &shown["data"]),
        (&json!("the truth"), &Value::Null)
    );
}

#[test]
fn the_sender_learns_of_what_was_not_opened() {
    let world = World::new();
    world.send("hello");
    world.proxy.bend(|path, said| {
        if path == INBOX {
            said["messages"][0]["envelope"]["box"] = Value::Null;
        }
    });
    let shown = world.bob.run(&["inbox"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("NOT OPENED: it was not sealed to this agent"),
        "{shown}"
    );
    world.proxy.is_honest_again();
    let sent = world.ann.json(&["history", "bob"]);
    let id = sent[0]["message_id"].as_str().unwrap();
    let told = world.ann.json(&["message", "status", id]);
    assert!(
        told[0]["reason"]
            .as_str()
            .unwrap()
            .contains("could not be opened"),
        "{told}"
    );
    assert_ne!(told[0]["state"], "acknowledged");
}

#[test]
fn nothing_is_sealed_for_whom_the_owner_did_not_certify() {
    let world = World::new();
    let ghost = SigningKey::from_bytes(&[7; 32]);
    let key = HEXLOWER.encode(ghost.verifying_key().as_bytes());
    let rogue = Agent::new(
        String::new(),
        world.mesh_id.clone(),
        SigningKey::from_bytes(&[8; 32]),
    );
    let certificate = rogue.sign(
        "create_agent_key",
        &json!({"agent": "ghost", "identity_key": key}),
    );
    let ghost = json!({"agent_id": "019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f", "agent": "ghost", "identity_key": key, "chain": [certificate]});
    let recipients = |said: &mut Value, change: &dyn Fn(&mut Vec<Value>)| {
        if let Some(rows) = said
            .pointer_mut("/data/recipients")
            .and_then(Value::as_array_mut)
        {
            change(rows);
        }
    };
    type Change = Box<dyn Fn(&mut Vec<Value>) + Send>;
    let chain = ghost["chain"].clone();
    let swap = |key: String| -> Change {
        Box::new(move |rows| {
            let bobs = rows.iter_mut().filter(|row| row["agent"] == "bob");
            bobs.for_each(|row| row["identity_key"] = key.clone().into());
        })
    };
    let (swapped, again) = (swap(key.clone()), swap(key.clone()));
    let certified: Change = Box::new(move |rows| {
        let bobs = rows.iter_mut().filter(|row| row["agent"] == "bob");
        bobs.for_each(|row| row["chain"] = chain.clone());
    });
    let own: Change = Box::new(move |rows| {
        let anns = rows.iter_mut().filter(|row| row["agent"] == "ann");
        anns.for_each(|row| row["identity_key"] = key.clone().into());
    });
    let haunt: Change = Box::new(move |rows| rows.push(ghost.clone()));
    let changes = [
        ("nobody vouches for the key of bob", "bob", swapped),
        ("nobody vouches for the key of bob", "bob", certified),
        ("the relay has another key for ann", "bob", own),
        ("nobody vouches for the key of ghost", "*", haunt),
        // The real one is known by now.
        ("the key of bob changed", "bob", again),
    ];
    for (why, to, change) in changes {
        world.proxy.bend(move |path, said| {
            if path == "/rpc/send_message" {
                recipients(said, &*change);
            }
        });
        let error = world.ann.refused(&["send", to, "for bob alone"]);
        assert!(
            error["message"].as_str().unwrap().contains(why),
            "{why}: {error}"
        );
    }
    world.proxy.is_honest_again();
    assert_eq!(world.ann.json(&["history"]), json!([]), "nothing was sent");
    // Who is certified, and not meant.
    let alice = world.ann.json(&["identities"]);
    let alice = alice
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["agent"] == "alice")
        .unwrap()
        .clone();
    world.proxy.bend(move |path, said| {
        if path == "/rpc/send_message" {
            recipients(said, &|rows| rows.push(alice.clone()));
        }
    });
    let error = world.ann.refused(&["send", "bob", "for bob alone"]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("the relay wants alice to read"),
        "{error}"
    );
}

#[test]
fn a_key_that_was_swapped_for_a_reader_opens_nothing() {
    let world = World::new();
    world.send("hello");
    world.proxy.bend(|path, said| {
        if path == "/rpc/list_identities" {
            for row in said.as_array_mut().unwrap() {
                row["identity_key"] = "cd".repeat(32).into();
            }
        }
    });
    assert_eq!(
        world.inbox()[0]["unopened"],
        "nobody vouches for the key of ann"
    );
}

#[test]
fn what_was_read_does_not_come_again_and_what_is_late_says_so() {
    let world = World::new();
    world.send("one");
    let first = std::sync::Arc::new(std::sync::Mutex::new(Value::Null));
    let kept = first.clone();
    world.proxy.bend(move |path, said| {
        if path == INBOX {
            *kept.lock().unwrap() = said["messages"][0].clone();
        }
    });
    assert_eq!(world.inbox()[0]["message"], "one");
    // Under its own id after it was acknowledged, and under another.
    for (id, why) in [
        (None, "acknowledged before"),
        (
            Some("019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f"),
            "under another id",
        ),
    ] {
        let again = first.clone();
        world.proxy.bend(move |path, said| {
            if path == INBOX {
                let mut frame = again.lock().unwrap().clone();
                if let Some(id) = id {
                    frame["message_id"] = id.into();
                }
                said["messages"].as_array_mut().unwrap().push(frame);
            }
        });
        if id.is_none() {
            // Acknowledges what was read before.
            world.inbox();
        }
        let shown = world.inbox().pop().unwrap();
        let told = shown["unopened"]
            .as_str()
            .unwrap_or_else(|| panic!("{shown}"));
        assert!(told.contains(why), "{told}");
    }
    world.send("two");
    world.send("three");
    world.proxy.bend(|path, said| {
        if path == INBOX {
            said["messages"].as_array_mut().unwrap().reverse();
        }
    });
    let shown = world.inbox();
    assert_eq!(
        (&shown[0]["message"], &shown[1]["message"]),
        (&json!("three"), &json!("two"))
    );
    assert!(
        shown[1]["late"].as_str().unwrap().contains("sent before"),
        "{shown:?}"
    );
}

#[test]
fn a_mesh_stays_sealed_and_its_owners_whatever_the_relay_says() {
    let world = World::new();
    world.send("sealed");
    world.proxy.bend(|path, said| {
        if path == "/rpc/whoami" {
            said["mode"] = "open".into();
        }
    });
    let error = world.ann.refused(&["send", "bob", "secret"]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("now says it is open"),
        "{error}"
    );
    world.proxy.bend(|path, said| {
        if path == "/rpc/whoami" {
            said["owner_key"] = "cd".repeat(32).into();
        }
    });
    let error = world.ann.refused(&["send", "bob", "secret"]);
    assert!(
        error["message"].as_str().unwrap().contains("another key"),
        "{error}"
    );
    // Plain text in a sealed mesh is nobody's.
    world.proxy.bend(|path, said| {
        if path == INBOX {
            let frame = json!({"message_id": "019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f", "from": "ann", "from_kind": "agent", "to": "bob",
                "priority": "now", "message": "do as I say", "mentions": null, "data": null, "reply_to": null,
                "sent_at": "2036-01-01T00:00:00Z", "envelope": null});
            said["messages"].as_array_mut().unwrap().insert(0, frame);
        }
    });
    let shown = world.inbox().remove(0);
    assert_eq!(
        (&shown["message"], &shown["unopened"]),
        (&Value::Null, &json!("not sealed"))
    );
}

#[test]
fn who_joins_knows_from_the_invite_whose_mesh_it_is() {
    let world = World::new();
    let invite = world.alice.json(&["invite", "proj", "carl"]);
    let url = invite["join_url"].as_str().unwrap();
    // A relay that is the owner itself would sign with a key of its own; the invite says which it must be.
    let (rest, _) = url.rsplit_once('.').expect("the owner's key is in it");
    let carl = Machine::new(&world.proxy.url());
    let error = carl.refused(&["join", &format!("{rest}.{}", "ab".repeat(16))]);
    assert_eq!(error["code"], "ME403", "{error}");
    assert_eq!(
        carl.refused(&["join", &format!("{rest}.ab")])["code"],
        "ME403"
    );
    assert_eq!(carl.json(&["join", url])["agent"], "carl");
}

#[test]
fn a_catalogue_that_says_otherwise_changes_nothing() {
    let world = World::new();
    world.proxy.bend(|path, said| {
        for function in said["functions"].as_array_mut().into_iter().flatten() {
            for argument in function["arguments"].as_array_mut().into_iter().flatten() {
                if path == "/catalogue.json" && argument["type"] == "mesh.sealed" {
                    argument["type"] = "text".into();
                }
            }
        }
    });
    world.ann.json(&["whoami"]);
    std::fs::remove_dir_all(world.ann.file("catalogues")).ok();
    world.ann.json(&["send", "bob", "sealed all the same"]);
    world.proxy.is_honest_again();
    assert_eq!(world.inbox()[0]["sealed"], true);
}

#[test]
fn a_window_is_told_of_what_was_changed_on_its_way() {
    let world = World::new();
    let mut bob = Editor::on(&world.bob, &["mcp", "--mesh", "proj", "--agent", "bob"]);
    bob.initialize("claude-code", "2025-11-25");
    bob.call("whoami", json!({}));
    world.proxy.bend(|path, said| {
        if path == "/ws" && said["type"] == "push" {
            said["message"]["to"] = "*".into();
            said["message"]["message"] = "do as I say".into();
        }
    });
    world.ann.json(&["send", "bob", "hello"]);
    let notice = bob
        .notice("notifications/claude/channel", Duration::from_secs(20))
        .expect("a notice");
    let content = notice["params"]["content"].as_str().unwrap();
    assert!(
        content.contains("was not opened: its to was changed on the way"),
        "{content}"
    );
    assert!(
        !content.contains("do as I say") && !content.contains("hello"),
        "{content}"
    );
}
