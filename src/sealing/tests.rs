//! The flow against a relay of a few lines, which can lie.

use super::*;
use crate::crypto::envelope;
use serde_json::json;
use settled::Frame;

const MESH: &str = "00000000-0000-7000-8000-00000000000e";

/// Who there is: their ids, names and identities.
struct Person {
    id: &'static str,
    name: &'static str,
    identity: Signer,
    chain: Value,
}

/// A relay that keeps messages and tells of identities; each answer passes through `bend`.
struct Relay {
    caller: Person,
    others: Vec<Person>,
    mode: Mutex<&'static str>,
    owner_key: Mutex<String>,
    /// As they were sent.
    stored: Mutex<Vec<Map<String, Value>>>,
    calls: Mutex<Vec<(String, Map<String, Value>)>>,
    bend: Mutex<Bend>,
}

/// Changes the answer to a function.
type Bend = Box<dyn Fn(&str, &mut Result<Value>) + Send>;

impl Exchange for Relay {
    async fn call(&self, function: &str, arguments: &Map<String, Value>) -> Result<Value> {
        let made = (function.to_owned(), arguments.clone());
        self.calls.lock().unwrap().push(made);
        let mut answer = self.answer(function, arguments);
        self.bend.lock().unwrap()(function, &mut answer);
        answer
    }
}

impl Relay {
    fn everybody(&self) -> impl Iterator<Item = &Person> {
        self.others.iter().chain([&self.caller])
    }

    fn answer(&self, function: &str, arguments: &Map<String, Value>) -> Result<Value> {
        match function {
            "whoami" => Ok(
                json!({"kind": "agent", "mesh": "proj", "mesh_id": MESH, "owner": "alice", "agent": self.caller.name,
                "agent_id": self.caller.id, "mode": *self.mode.lock().unwrap(), "owner_key": *self.owner_key.lock().unwrap()}),
            ),
            "list_identities" => Ok(self.everybody().map(row).collect()),
            "say" => self.store(arguments),
            "take" => {
                let stored = self.stored.lock().unwrap();
                let frames: Vec<Value> = stored.iter().map(|sent| self.frame(sent)).collect();
                Ok(json!({"messages": frames, "unread": 0, "claim": "c1"}))
            }
            _ => Ok(json!({})),
        }
    }

    fn store(&self, arguments: &Map<String, Value>) -> Result<Value> {
        let readers: Vec<Reader> = self
            .everybody()
            .map(|p| Reader::new(p.id, &p.identity.public_key()).unwrap())
            .collect();
        let document = arguments["message"]["document"]
            .as_str()
            .unwrap_or_default();
        if arguments["message"].is_object()
            && !document.contains(&envelope::recipients_hash(&readers))
        {
            let mut error = Error::new(409, "not sealed for those who are to read it now");
            error.data = Some(json!({"recipients": self.everybody().map(row).collect::<Vec<_>>()}));
            return Err(error);
        }
        self.stored.lock().unwrap().push(arguments.clone());
        Ok(json!({"stored": true}))
    }

    /// A stored message as the caller of this relay gets it.
    fn frame(&self, sent: &Map<String, Value>) -> Value {
        let mut envelope = sent["message"].clone();
        let document: Value = serde_json::from_str(envelope["document"].as_str().unwrap()).unwrap();
        let from = self
            .everybody()
            .find(|p| document["sender"] == p.id)
            .unwrap();
        let boxes = envelope.as_object_mut().unwrap().remove("boxes").unwrap();
        envelope["box"] = boxes[self.caller.id].clone();
        json!({"message_id": document["id"], "from": from.name, "from_kind": "agent", "to": sent["to"], "priority": "next", "message": null,
            "mentions": null, "data": null, "reply_to": null, "sent_at": document["sent_at"], "envelope": envelope})
    }

    fn made(&self, function: &str) -> Vec<Map<String, Value>> {
        let calls = self.calls.lock().unwrap();
        let of = calls.iter().filter(|(name, _)| name == function);
        of.map(|(_, arguments)| arguments.clone()).collect()
    }

    fn bend(&self, how: impl Fn(&str, &mut Result<Value>) + Send + 'static) {
        *self.bend.lock().unwrap() = Box::new(how);
    }
}

fn row(person: &Person) -> Value {
    json!({"agent_id": person.id, "agent": person.name, "identity_key": person.identity.public_key(), "chain": person.chain})
}

fn certificate(owner: &Signer, name: &str, identity: &Signer) -> Value {
    let arguments = json!({"agent": name, "identity_key": identity.public_key()});
    json!([owner.sign_call("create_agent_key", &arguments, Some(MESH))])
}

/// A machine of one agent, and the relay as it sees it.
struct World {
    relay: Relay,
    sealing: Sealing,
    owner: Signer,
    home: Home,
    _folder: tempfile::TempDir,
}

/// ann, bob and eve; the machine is `name`'s, and all of them are certified by one owner.
fn world(name: &str, owner: &Signer, identities: [&Signer; 3]) -> World {
    let names = [("a1", "ann"), ("b2", "bob"), ("e3", "eve")];
    let people = names
        .into_iter()
        .zip(identities)
        .map(|((id, name), identity)| Person {
            id,
            name,
            identity: identity.clone(),
            chain: certificate(owner, name, identity),
        });
    let (mut own, others): (Vec<_>, Vec<_>) = people.partition(|person| person.name == name);
    let folder = tempfile::tempdir().unwrap();
    let home = Home::find(Some(folder.path())).unwrap();
    let caller = own.remove(0);
    let keys = Keys {
        signer: caller.identity.clone(),
        is_bare: false,
        session: None,
    };
    World {
        sealing: Sealing::new(&home, keys),
        relay: Relay {
            caller,
            others,
            mode: Mutex::new("sealed"),
            owner_key: Mutex::new(owner.public_key()),
            stored: Mutex::default(),
            calls: Mutex::default(),
            bend: Mutex::new(Box::new(|_, _| {})),
        },
        owner: owner.clone(),
        home,
        _folder: folder,
    }
}

/// ann's machine and bob's.
fn two() -> (World, World) {
    let (owner, ann, bob, eve) = (
        Signer::generate(),
        Signer::generate(),
        Signer::generate(),
        Signer::generate(),
    );
    let identities = [&ann, &bob, &eve];
    (
        world("ann", &owner, identities),
        world("bob", &owner, identities),
    )
}

fn say() -> Function {
    let argument = |name: &str, kind: &str| json!({"name": name, "type": kind});
    serde_json::from_value(json!({"name": "say", "arguments": [argument("to", "mesh.addresses"), argument("message", "mesh.sealed"),
        argument("data", "mesh.sealed_data"), argument("priority", "text"), argument("reply_to", "uuid"),
        argument("key", "mesh.request_key"), argument("request", "mesh.request_id")]}))
    .unwrap()
}

fn take() -> Function {
    serde_json::from_value(json!({"name": "take", "arguments": [{"name": "seen", "type": "mesh.seen"}],
        "returns": {"columns": [{"name": "messages", "type": "mesh.frames"}, {"name": "claim", "type": "uuid"}]}}))
    .unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

impl World {
    async fn say(&self, arguments: Value) -> Result<Value> {
        self.sealing
            .call(&self.relay, &say(), &object(arguments))
            .await
    }

    async fn take(&self) -> Value {
        let (function, none) = (take(), Map::new());
        let taken = self.sealing.call(&self.relay, &function, &none).await;
        taken.unwrap()["messages"].clone()
    }

    /// Hands on what was sent from here to the relay of `other`.
    fn carry(&self, other: &World) {
        *other.relay.stored.lock().unwrap() = self.relay.stored.lock().unwrap().clone();
    }
}

/// What ann said to all as bob reads it, with his relay bending its answers.
async fn said_to_bob(bend: impl Fn(&str, &mut Result<Value>) + Send + 'static) -> (World, Value) {
    let (ann, bob) = two();
    ann.say(json!({"to": "*", "message": "the plan", "data": {"n": 1}}))
        .await
        .unwrap();
    ann.carry(&bob);
    bob.relay.bend(bend);
    let messages = bob.take().await;
    (bob, messages)
}

fn frames(answer: &mut Result<Value>) -> Option<&mut Vec<Value>> {
    answer.as_mut().ok()?.get_mut("messages")?.as_array_mut()
}

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

#[tokio::test]
async fn plain_text_never_goes_where_it_was_sealed_before() {
    let (ann, _) = two();
    ann.say(json!({"to": "*", "message": "one"})).await.unwrap();
    *ann.relay.mode.lock().unwrap() = "open";
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
    async fn call(&self, function: &str, arguments: &Map<String, Value>) -> Result<Value> {
        match arguments.get("message") {
            Some(Value::String(_)) => Err(Error::new(400, "this mesh is sealed")),
            _ => self.0.call(function, arguments).await,
        }
    }
}

#[tokio::test]
async fn a_mesh_that_is_opened_meanwhile_gets_plain_text_once_a_person_agrees() {
    let (ann, _) = two();
    ann.say(json!({"to": "*", "message": "one"})).await.unwrap();
    *ann.relay.mode.lock().unwrap() = "open";
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
