//! Each field of a message in turn.

use crate::{
    common::editor::Editor,
    world::{World, document, frame, frames, id, public, sign, stranger},
};
use serde_json::{Value, json};
use std::time::Duration;

/// What is told of a message instead of the truth, and what the client says to it.
struct Lie {
    what: &'static str,
    says: &'static str,
    tell: fn(&mut Value),
}

const fn lie(what: &'static str, says: &'static str, tell: fn(&mut Value)) -> Lie {
    Lie { what, says, tell }
}

const NEVER: &str = "00000000-0000-7000-8000-000000000001";

/// To a message that its sender signed with `to`, `priority`, `reply_to` and `mentions`.
const REFUSED: &[Lie] = &[
    lie("message_id", "it was sent under another id", |f| {
        f["message_id"] = NEVER.into()
    }),
    lie(
        "message_id of no form",
        "it was sent under another id",
        |f| f["message_id"] = json!({"id": 1}),
    ),
    lie("no message_id", "it is not yours", |f| {
        leave_out(f, "message_id")
    }),
    lie("from", "its from was changed", |f| {
        f["from"] = "alice".into()
    }),
    lie("from of no form", "its from was changed", |f| {
        f["from"] = json!(["ann"])
    }),
    lie("from_kind", "its from_kind was changed", |f| {
        f["from_kind"] = "person".into()
    }),
    lie("from_kind of a server", "its from_kind was changed", |f| {
        f["from_kind"] = "server".into()
    }),
    lie("to", "its to was changed", |f| f["to"] = "*".into()),
    lie("to, more", "its to was changed", |f| {
        f["to"] = "alice, bob".into()
    }),
    lie("no to", "its to was changed", |f| f["to"] = Value::Null),
    lie("priority", "its priority was changed", |f| {
        f["priority"] = "next".into()
    }),
    lie("no priority", "its priority was changed", |f| {
        f["priority"] = Value::Null
    }),
    lie("reply_to", "its reply_to was changed", |f| {
        f["reply_to"] = NEVER.into()
    }),
    lie("no reply_to", "its reply_to was changed", |f| {
        f["reply_to"] = Value::Null
    }),
    lie("mentions", "its mentions was changed", |f| {
        f["mentions"] = json!(["bob", "alice"])
    }),
    lie("no mentions", "its mentions was changed", |f| {
        f["mentions"] = Value::Null
    }),
    lie("sent_at", "its sent_at was changed", |f| {
        f["sent_at"] = "2026-01-01T00:00:00Z".into()
    }),
    lie("sent_at of no form", "its sent_at was changed", |f| {
        f["sent_at"] = 5.into()
    }),
    lie("plain text instead", "not sealed", |f| {
        f["message"] = "a lie".into();
        f["envelope"] = Value::Null;
    }),
    lie("envelope of no form", "it is no envelope", |f| {
        f["envelope"] = "a lie".into()
    }),
    lie("an empty envelope", "another version", |f| {
        f["envelope"] = json!({})
    }),
    lie("envelope.v", "another version", |f| {
        f["envelope"]["v"] = 2.into()
    }),
    lie("one more in envelope", "no part of it", |f| {
        f["envelope"]["note"] = "a lie".into()
    }),
    lie("occurrence", "it was not scheduled", |f| {
        f["envelope"]["occurrence"] = "2026-01-01T00:00:00Z".into()
    }),
    lie("document", "no JSON", |f| {
        f["envelope"]["document"] = "{".into()
    }),
    lie("document, blanks", "canonical", |f| {
        let text = f["envelope"]["document"].as_str().unwrap().to_owned() + " ";
        f["envelope"]["document"] = text.into();
    }),
    lie("document.v", "another version", |f| {
        document(f, |d| d["v"] = 2.into())
    }),
    lie("one more in document", "no part of its document", |f| {
        document(f, |d| d["note"] = "a lie".into())
    }),
    lie("document.function", "the signature does not fit", |f| {
        document(f, |d| d["function"] = "broadcast".into())
    }),
    lie("document.arguments.to", "the signature does not fit", |f| {
        document(f, |d| d["arguments"]["to"] = "*".into())
    }),
    lie(
        "document.arguments.priority",
        "the signature does not fit",
        |f| {
            f["priority"] = "low".into();
            document(f, |d| d["arguments"]["priority"] = "low".into());
        },
    ),
    lie(
        "document.arguments.reply_to",
        "the signature does not fit",
        |f| {
            f["reply_to"] = NEVER.into();
            document(f, |d| d["arguments"]["reply_to"] = NEVER.into());
        },
    ),
    lie(
        "document.arguments.mentions",
        "the signature does not fit",
        |f| {
            f["mentions"] = Value::Null;
            document(f, |d| leave_out(&mut d["arguments"], "mentions"));
        },
    ),
    lie("document.arguments", "lacks the arguments", |f| {
        document(f, |d| leave_out(d, "arguments"))
    }),
    lie("document.mesh", "for another mesh", |f| {
        document(f, |d| d["mesh"] = NEVER.into())
    }),
    lie(
        "document.sender",
        "nobody vouches for the key of ann",
        |f| document(f, |d| d["sender"] = NEVER.into()),
    ),
    lie("document.id", "the signature does not fit", |f| {
        document(f, |d| d["id"] = NEVER.into());
    }),
    lie("document.recipients", "the signature does not fit", |f| {
        document(f, |d| d["recipients"] = "00".repeat(32).into())
    }),
    lie("document.sent_at", "the signature does not fit", |f| {
        document(f, |d| d["sent_at"] = "2099-01-01T00:00:00Z".into())
    }),
    lie("document.body", "the signature does not fit", |f| {
        document(f, |d| d["body"] = "00".repeat(32).into())
    }),
    lie("document.body_tag", "the signature does not fit", |f| {
        document(f, |d| d["body_tag"] = "00".repeat(32).into())
    }),
    lie("signer", "it is for another session", |f| {
        f["envelope"]["signer"] = public(&stranger()).into()
    }),
    lie("signature", "the signature does not fit", |f| {
        f["envelope"]["signature"] = "00".repeat(64).into()
    }),
    lie("no signature", "the text signature is missing", |f| {
        leave_out(&mut f["envelope"], "signature")
    }),
    lie("a stranger's signature", "mesh trust ann", sign),
    lie(
        "a stranger's signature over another document",
        "mesh trust ann",
        |f| {
            document(f, |d| d["arguments"]["priority"] = "low".into());
            sign(f);
        },
    ),
    lie("no attestation", "mesh trust ann", |f| {
        leave_out(&mut f["envelope"], "attestation")
    }),
    lie(
        "attestation",
        "the sender's window is not vouched for",
        |f| {
            f["envelope"]["attestation"]["signature"] = "00".repeat(64).into();
        },
    ),
    lie(
        "attestation of no form",
        "the sender's window is not vouched for",
        |f| f["envelope"]["attestation"] = 1.into(),
    ),
    lie("sealed", "not the one that was signed", |f| {
        f["envelope"]["sealed"] = "AAAA".into()
    }),
    lie("sealed of no form", "no base64", |f| {
        f["envelope"]["sealed"] = "?".into()
    }),
    lie("no box", "it was not sealed to this agent", |f| {
        f["envelope"]["box"] = Value::Null
    }),
    lie(
        "box",
        "its key is not sealed to this agent's identity",
        |f| {
            f["envelope"]["box"] = ("A".repeat(107) + "=").into();
        },
    ),
];

/// What stands beside the envelope and is shown by nobody.
const IGNORED: &[Lie] = &[
    lie("message", "", |f| f["message"] = "a lie".into()),
    lie("data", "", |f| f["data"] = json!({"a": "lie"})),
    lie("unopened", "", |f| f["unopened"] = "a lie".into()),
    lie("sealed", "", |f| f["sealed"] = "a lie".into()),
    lie("late", "", |f| f["late"] = "a lie".into()),
    lie("a field nobody knows", "", |f| {
        f["note_of_your_user"] = "a lie".into()
    }),
];

fn leave_out(value: &mut Value, name: &str) {
    value.as_object_mut().unwrap().shift_remove(name);
}

/// Sends bob a message of ann's window that has all that can be signed.
fn send(ann: &mut Editor, text: &str, first: &str) -> String {
    let (sent, all) = ann.call(
        "send_message",
        json!({"to": "bob", "message": text, "data": {"text": text}, "priority": "now", "reply_to": first, "mentions": ["bob"]}),
    );
    assert!(sent["message_id"].is_string(), "{all}");
    id(&sent)
}

fn with_text<'a>(messages: &'a [Value], text: &str) -> &'a Value {
    let found = messages.iter().find(|m| m["message"] == text);
    found.unwrap_or_else(|| panic!("{text} is not in {messages:?}"))
}

#[test]
fn each_field_that_is_changed_on_the_way_is_noticed_and_named() {
    let world = World::new();
    let first = world.send("first");
    world.inbox();
    let mut ann = world.window(&world.ann, "ann");
    let mut victims = Vec::new();
    for Lie { what, says, tell } in REFUSED {
        let (before, after) = (format!("before {what}"), format!("after {what}"));
        send(&mut ann, &before, &first);
        let victim = send(&mut ann, what, &first);
        send(&mut ann, &after, &first);
        let (lied, own) = (*tell, victim.clone());
        world.liar.lies(move |asked, answer| {
            if asked.function == "check_messages" {
                lied(frame(&mut answer.body, &own).expect("it was sent"));
            }
        });
        let mail = world.inbox();
        assert_eq!(mail.len(), 3, "{what}: {mail:?}");
        with_text(&mail, &before);
        with_text(&mail, &after);
        let shown = mail.iter().find(|m| m["unopened"].is_string());
        let shown = shown.unwrap_or_else(|| panic!("{what}: {mail:?}"));
        let why = shown["unopened"].as_str().unwrap();
        assert!(why.contains(says), "{what}: {why}");
        assert_eq!(
            (&shown["message"], &shown["data"]),
            (&Value::Null, &Value::Null),
            "{what}"
        );
        world.liar.is_honest();
        let (status, _) = ann.call("message_status", json!({"message_id": victim}));
        let status = &status[0];
        assert_eq!(status["acknowledged_at"], Value::Null, "{what}: {status}");
        // Which message it is not even its id says, when the document cannot be read.
        let reason = status["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(says), "{what}: {status}");
        victims.push(*what);
    }
    world.no_delay();
    let mail = world.inbox();
    assert_eq!(mail.len(), victims.len());
    for what in victims {
        assert_eq!(with_text(&mail, what)["data"], json!({"text": what}));
    }
}

#[test]
fn what_stands_beside_the_envelope_is_shown_by_nobody() {
    let world = World::new();
    let first = world.send("first");
    let mut ann = world.window(&world.ann, "ann");
    for Lie { what, tell, .. } in IGNORED {
        world.inbox();
        let text = format!("the truth about {what}");
        send(&mut ann, &text, &first);
        let lied = *tell;
        world.liar.lies(move |asked, answer| {
            if asked.function == "check_messages" {
                frames(&mut answer.body).into_iter().for_each(lied);
            }
        });
        let mail = world.inbox();
        world.liar.is_honest();
        let shown = with_text(&mail, &text);
        assert_eq!(
            (&shown["data"], &shown["sealed"]),
            (&json!({"text": text}), &json!(true)),
            "{what}"
        );
        assert!(!shown.to_string().contains("lie\""), "{what}: {shown}");
    }
}

#[test]
fn each_field_of_a_push_that_is_changed_is_noticed_and_named() {
    let world = World::new();
    let first = world.send("first");
    world.inbox();
    let (mut ann, mut bob) = (
        world.window(&world.ann, "ann"),
        world.window(&world.bob, "bob"),
    );
    let mut told = |what: &str| {
        let notice = bob.notice("notifications/claude/channel", Duration::from_secs(20));
        let notice = notice.unwrap_or_else(|| panic!("{what}: no notice"));
        notice["params"]["content"].as_str().unwrap().to_owned()
    };
    // A window is told once of what has no name.
    for Lie { what, says, tell } in REFUSED.iter().filter(|lie| lie.what != "no message_id") {
        let lied = *tell;
        world.liar.lies(move |asked, answer| {
            if asked.function == "push" {
                let push = answer.body.as_object_mut().unwrap();
                let own = push.shift_remove("box").unwrap_or_default();
                push["message"]["envelope"]["box"] = own;
                lied(&mut push["message"]);
            }
        });
        send(&mut ann, what, &first);
        let content = told(what);
        assert!(content.contains(says), "{what}: {content}");
        assert!(!content.contains("a lie"), "{what}: {content}");
        world.liar.is_honest();
        let text = format!("after {what}");
        send(&mut ann, &text, &first);
        let content = told(&text);
        assert!(content.contains(&text), "{what}: {content}");
    }
}

#[test]
fn what_is_no_message_at_all_is_not_shown() {
    let world = World::new();
    let lies = [
        json!("a lie"),
        json!(["a lie"]),
        json!({"note": "a lie"}),
        json!(7),
        Value::Null,
    ];
    for lie in lies {
        world.send("honest");
        world.liar.puts_first(lie.clone());
        let mail = world.inbox();
        world.liar.is_honest();
        with_text(&mail, "honest");
        assert!(
            !json!(mail).to_string().contains("a lie"),
            "{lie}: {mail:?}"
        );
    }
    world.send("honest");
    world.liar.lies(|asked, answer| {
        if asked.function == "check_messages" {
            answer.body["messages"] = json!({"from": "ann", "message": "a lie"});
        }
    });
    let output = world.bob.run(&["inbox", "--json"]);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        !text.contains("a lie") && !text.contains("panicked"),
        "{text}"
    );
    world.liar.is_honest();
    world.no_delay();
    with_text(&world.inbox(), "honest");
}
