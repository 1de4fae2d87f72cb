//! The same again, or in another order.

use crate::world::{World, frames};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Frames as the relay told them.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Value>>>);

impl Kept {
    /// Keeps what the inbox is told from now on.
    fn of(world: &World) -> Kept {
        let kept = Kept::default();
        let own = kept.clone();
        world.liar.lies(move |asked, answer| {
            if asked.function == "check_messages" {
                let told = frames(&mut answer.body)
                    .into_iter()
                    .map(|frame| frame.clone());
                own.0.lock().unwrap().extend(told);
            }
        });
        kept
    }

    fn first(&self) -> Value {
        self.0.lock().unwrap()[0].clone()
    }
}

/// bob's mail, with these frames before what is really there.
fn inbox_with(world: &World, told: Vec<Value>) -> Vec<Value> {
    world.liar.lies(move |asked, answer| {
        if asked.function == "check_messages" {
            let messages = answer.body["messages"].as_array_mut().unwrap();
            messages.splice(0..0, told.clone());
        }
    });
    let mail = world.inbox();
    world.liar.is_honest();
    mail
}

/// The honest message arrives, and of what came before it why it is not shown.
fn only_honest(world: &World, what: &str, told: Value) -> String {
    world.send("honest");
    let mail = inbox_with(world, vec![told]);
    assert_eq!(mail.len(), 2, "{what}: {mail:?}");
    assert_eq!(mail[1]["message"], "honest", "{what}: {mail:?}");
    assert_eq!(mail[0]["message"], Value::Null, "{what}: {mail:?}");
    mail[0]["unopened"].as_str().unwrap().to_owned()
}

fn with(frame: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut frame = frame.clone();
    change(&mut frame);
    frame
}

const NEVER: &str = "00000000-0000-7000-8000-000000000001";

#[test]
fn a_message_that_comes_again_is_called_a_replay() {
    let world = World::new();
    world.send("once");
    let kept = Kept::of(&world);
    assert_eq!(world.inbox()[0]["message"], "once");
    world.liar.is_honest();
    let frame = kept.first();

    let renamed = with(&frame, |f| f["message_id"] = NEVER.into());
    let why = only_honest(&world, "under another id", renamed);
    assert!(
        why.contains("a replay: it was sent under another id"),
        "{why}"
    );
    // The inbox before has acknowledged it.
    let why = only_honest(&world, "acknowledged", frame.clone());
    assert!(
        why.contains("a replay: it was read and acknowledged before"),
        "{why}"
    );
    // Nor does a window of the same machine believe it.
    let mut bob = world.window(&world.bob, "bob");
    world.liar.lies(move |asked, answer| {
        if asked.function == "check_messages" {
            answer.body["messages"] = json!([frame]);
        }
    });
    let (mail, _) = bob.call("check_messages", json!({}));
    assert!(mail["messages"][0]["unopened"].is_string(), "{mail}");
}

#[test]
fn an_occurrence_of_a_schedule_comes_once() {
    let world = World::new();
    world
        .ann
        .json(&["schedule", "bob", "in a second", "--in", "1 second"]);
    let frame = arrived(&world, "in a second");
    let told = [
        (
            "at another id",
            with(&frame, |f| f["message_id"] = NEVER.into()),
            "under another id",
        ),
        (
            "at another time",
            with(&frame, |f| {
                f["message_id"] = NEVER.into();
                f["envelope"]["occurrence"] = f["sent_at"].clone();
            }),
            "a replay",
        ),
        (
            "without its time",
            with(&frame, |f| f["envelope"]["occurrence"] = Value::Null),
            "comes without its time",
        ),
        (
            "before it was made",
            with(&frame, |f| {
                f["envelope"]["occurrence"] = "2020-01-01T00:00:00Z".into()
            }),
            "at another time",
        ),
        (
            "in times to come",
            with(&frame, |f| {
                f["envelope"]["occurrence"] = "2099-01-01T00:00:00Z".into()
            }),
            "at another time",
        ),
        (
            "at no time",
            with(&frame, |f| f["envelope"]["occurrence"] = "a lie".into()),
            "at another time",
        ),
        ("again", frame.clone(), "acknowledged before"),
    ];
    for (what, told, says) in told {
        let why = only_honest(&world, what, told);
        assert!(why.contains(says), "{what}: {why}");
    }
}

#[test]
fn an_occurrence_of_many_comes_once_however_its_time_is_written() {
    let world = World::new();
    world
        .ann
        .json(&["schedule", "bob", "each year", "--cron", "0 0 1 1 *"]);
    world
        .database
        .value("update mesh_data.schedule set next_at = date_trunc('second', now())");
    let frame = arrived(&world, "each year");
    let at = frame["envelope"]["occurrence"].as_str().unwrap();
    let at = at
        .trim_end_matches("+00:00")
        .trim_end_matches('Z')
        .to_owned();
    for other in [
        format!("{at}Z"),
        format!("{at}.000Z"),
        format!("{at}-00:00"),
        format!("{at}+00:00"),
    ] {
        let told = with(&frame, |f| {
            f["message_id"] = NEVER.into();
            f["envelope"]["occurrence"] = other.clone().into();
        });
        let why = only_honest(&world, &other, told);
        assert!(
            why.contains("a replay: it came before under another id"),
            "{other}: {why}"
        );
    }
}

/// Waits for the scheduled message, and takes it: its frame as the relay told it.
fn arrived(world: &World, text: &str) -> Value {
    let kept = Kept::of(world);
    crate::common::eventually("the scheduled message is there", || {
        world.inbox().iter().any(|m| m["message"] == text)
    });
    world.liar.is_honest();
    kept.first()
}

#[test]
fn what_is_written_down_of_a_message_cannot_be_made_up() {
    let world = World::new();
    world
        .ann
        .json(&["schedule", "bob", "first", "--in", "1 second"]);
    let first = arrived(&world, "first");
    world
        .ann
        .json(&["schedule", "bob", "second", "--in", "1 second"]);
    // A line of its own in what the client remembers: that the first came under the name it is told under then.
    let document: Value =
        serde_json::from_str(first["envelope"]["document"].as_str().unwrap()).unwrap();
    let made_up = format!(
        "x\ntook - - next {} once {NEVER}",
        document["id"].as_str().unwrap()
    );
    world.liar.lies(move |asked, answer| {
        if asked.function == "check_messages" {
            for frame in frames(&mut answer.body) {
                frame["message_id"] = made_up.clone().into();
            }
        }
    });
    let mut mail = Vec::new();
    crate::common::eventually("the second is there", || {
        mail = world.inbox();
        !mail.is_empty()
    });
    world.liar.is_honest();
    assert!(mail[0]["unopened"].is_string(), "{mail:?}");
    let told = with(&first, |f| f["message_id"] = NEVER.into());
    let why = only_honest(&world, "told under it", told);
    assert!(why.contains("a replay"), "{why}");
}

#[test]
fn what_comes_after_what_was_sent_later_is_marked() {
    let world = World::new();
    for text in ["one", "two", "three"] {
        world.send(text);
    }
    world.liar.lies(|asked, answer| {
        if asked.function == "check_messages" {
            answer.body["messages"].as_array_mut().unwrap().swap(0, 1);
        }
    });
    let mail = world.inbox();
    let shown: Vec<_> = mail
        .iter()
        .map(|m| (m["message"].as_str().unwrap(), m["late"].is_string()))
        .collect();
    assert_eq!(shown, [("two", false), ("one", true), ("three", false)]);
}

#[test]
fn a_message_that_was_held_back_is_marked() {
    let world = World::new();
    let held = world.send("held back");
    let kept = Kept::of(&world);
    let own = held.clone();
    world.liar.lies({
        let kept = kept.clone();
        move |asked, answer| {
            if asked.function == "check_messages" {
                let messages = answer.body["messages"].as_array_mut().unwrap();
                let taken = messages.iter().position(|m| m["message_id"] == *own);
                kept.0
                    .lock()
                    .unwrap()
                    .extend(taken.map(|at| messages.remove(at)));
            }
        }
    });
    world.send("next");
    assert_eq!(world.inbox()[0]["message"], "next");
    let mail = inbox_with(&world, vec![kept.first()]);
    assert_eq!(mail[0]["message"], "held back");
    assert!(mail[0]["late"].is_string(), "{mail:?}");
}

#[test]
fn what_belongs_to_one_message_opens_no_other() {
    let world = World::new();
    for member in ["box", "sealed", "document", "signature"] {
        world.send("one");
        world.send("two");
        world.send("honest");
        world.liar.lies(move |asked, answer| {
            if asked.function == "check_messages" {
                let mut told = frames(&mut answer.body);
                let one = told[0]["envelope"][member].take();
                told[0]["envelope"][member] = told[1]["envelope"][member].take();
                told[1]["envelope"][member] = one;
            }
        });
        let mail = world.inbox();
        world.liar.is_honest();
        for message in &mail[..2] {
            assert!(
                message["unopened"].is_string() && message["message"].is_null(),
                "{member}: {message}"
            );
        }
        assert_eq!(mail[2]["message"], "honest");
    }
    world.send("one");
    world.send("two");
    world.liar.lies(|asked, answer| {
        if asked.function == "check_messages" {
            let mut told = frames(&mut answer.body);
            let one = told[0]["envelope"].take();
            told[0]["envelope"] = told[1]["envelope"].take();
            told[1]["envelope"] = one;
        }
    });
    for message in world.inbox() {
        let why = message["unopened"].as_str().unwrap();
        assert!(
            why.contains("a replay: it was sent under another id"),
            "{why}"
        );
    }
}

#[test]
fn an_envelope_of_another_mesh_is_refused() {
    use crate::common::Machine;
    let world = World::new();
    world.alice.json(&["create", "other", "--mode", "sealed"]);
    let [carol, dave] = ["carol", "dave"].map(|name| Machine::guest(&world.alice, "other", name));
    carol.json(&["send", "dave", "elsewhere"]);
    let kept = Kept::of(&world);
    assert_eq!(dave.json(&["inbox"])["messages"][0]["message"], "elsewhere");
    let frame = kept.first();
    let why = only_honest(&world, "of another mesh", frame.clone());
    assert!(why.contains("nobody vouches for the key of carol"), "{why}");
    // Also when the relay tells who she is, with the certificate of the same owner.
    let identities = Arc::new(Mutex::new(Value::Null));
    let own = identities.clone();
    world.liar.lies(move |asked, answer| {
        if asked.function == "list_identities" {
            *own.lock().unwrap() = answer.body.clone();
        }
    });
    let eve = Machine::guest(&world.alice, "other", "eve");
    carol.json(&["send", "eve", "hello"]);
    eve.json(&["inbox"]);
    let known = identities.lock().unwrap().clone();
    assert_eq!(known[0]["agent"], "carol", "{known}");
    world.send("honest");
    world
        .liar
        .lies(move |asked, answer| match asked.function.as_str() {
            "check_messages" => answer.body["messages"]
                .as_array_mut()
                .unwrap()
                .insert(0, frame.clone()),
            "list_identities" => answer.body = known.clone(),
            _ => {}
        });
    let mail = world.inbox();
    assert_eq!(mail[0]["unopened"], "nobody vouches for the key of carol");
    assert_eq!(mail[1]["message"], "honest");
}
