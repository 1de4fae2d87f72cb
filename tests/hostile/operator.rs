//! The operator of the database, who writes into it as a superuser.

use crate::world::{World, public, stranger};
use serde_json::Value;

/// What is done to the message `:id`, whose neighbour is `:other`; and what bob's client says to it.
const CHANGES: &[(&str, &str)] = &[
    (
        "message set sender_agent_id = (select agent_id from mesh_data.agent where name = 'alice')",
        "its from was changed",
    ),
    ("message set address = '*'", "its to was changed"),
    ("message set priority = 0", "its priority was changed"),
    ("message set mentions = '{bob}'", "its mentions was changed"),
    (
        "message set reply_to = ':other'",
        "its reply_to was changed",
    ),
    (
        "message set sent_at = sent_at - interval '1 hour'",
        "its sent_at was changed",
    ),
    ("message set envelope = null, body = 'a lie'", "not sealed"),
    (
        "message set envelope = envelope - 'signature'",
        "the text signature is missing",
    ),
    (
        "message set envelope = jsonb_set(envelope, '{v}', '2')",
        "another version",
    ),
    (
        "message set envelope = o.envelope from mesh_data.message o where o.message_id = ':other' and m.message_id",
        "the sealed text",
    ),
    (
        "message set envelope = jsonb_set(m.envelope, '{sealed}', o.envelope -> 'sealed') from mesh_data.message o where o.message_id = ':other' and m.message_id",
        "not the one that was signed",
    ),
    ("message set occurrence_at = now()", "it was not scheduled"),
    ("delivery set box = null", "it was not sealed to this agent"),
    (
        "delivery set box = o.box from mesh_data.delivery o where o.message_id = ':other' and m.message_id",
        "the sealed text",
    ),
];

#[test]
fn what_an_operator_writes_is_noticed_and_named() {
    let world = World::new();
    for (change, says) in CHANGES {
        let (id, other) = (world.send("changed"), world.send("honest"));
        let change = change.replace(":other", &other);
        let (set, chosen) = match change.strip_suffix(" m.message_id") {
            Some(_) => (change.as_str(), format!("= '{id}'")),
            None => (change.as_str(), format!("where m.message_id = '{id}'")),
        };
        let (table, rest) = set.split_once(' ').unwrap();
        world.database.value(&format!(
            "set session_replication_role = replica; update mesh_data.{table} m {rest} {chosen}"
        ));
        let mail = world.inbox();
        let honest: Vec<_> = mail.iter().filter(|m| m["message"] == "honest").collect();
        assert_eq!((mail.len(), honest.len()), (2, 1), "{change}: {mail:?}");
        let shown = mail.iter().find(|m| m["unopened"].is_string());
        let shown = shown.unwrap_or_else(|| panic!("{change}: {mail:?}"));
        let why = shown["unopened"].as_str().unwrap();
        assert!(why.contains(says), "{change}: {why}");
        assert_eq!(shown["message"], Value::Null, "{change}");
        if !change.contains("sender_agent_id") {
            let status = world.status(&id);
            assert!(
                status["reason"].as_str().unwrap_or_default().contains(says),
                "{change}: {status}"
            );
            assert_eq!(status["acknowledged_at"], Value::Null, "{change}: {status}");
        }
    }
}

#[test]
fn an_operator_who_gives_another_key_gets_nothing() {
    let world = World::new();
    let swap = |key: &str| {
        world.database.value(&format!(
            "update mesh_data.agent set identity_key = decode('{key}', 'hex') where name = 'bob'"
        ))
    };
    let own = world
        .database
        .value("select encode(identity_key, 'hex') from mesh_data.agent where name = 'bob'");
    swap(&public(&stranger()));
    let error = world.ann.refused(&["send", "bob", "secret"]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("nobody vouches for the key of bob"),
        "{error}"
    );
    swap(&own);
    world.send("honest");
    swap(&public(&stranger()));
    let error = world.ann.refused(&["send", "bob", "secret"]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("the key of bob changed"),
        "{error}"
    );
    assert_eq!(error["hint"], "mesh trust bob");
}

#[test]
fn an_operator_who_opens_the_mesh_reads_nothing() {
    let world = World::new();
    world.send("sealed");
    world
        .database
        .value("update mesh_data.mesh set mode = 'open', mode_at = now() - interval '1 year'");
    let error = world.ann.refused(&["send", "bob", "secret"]);
    assert_eq!(error["hint"], "mesh trust --mode", "{error}");
}

#[test]
fn a_notice_an_operator_writes_is_the_servers() {
    let world = World::new();
    let id = world.send("replaced");
    world.database.value(&format!(
        "update mesh_data.message set envelope = null, notice = 'a lie' where message_id = '{id}'"
    ));
    let mail = world.inbox();
    assert_eq!(
        (&mail[0]["from"], &mail[0]["from_kind"]),
        (&"mesh (server)".into(), &"server".into()),
        "{mail:?}"
    );
}
