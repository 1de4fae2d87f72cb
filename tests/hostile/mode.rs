//! What mesh this is: sealed or open, whose, and whether it is one at all.

use crate::{
    common::Machine,
    world::{World, public, stranger},
};
use serde_json::{Value, json};

const TEXT: &str = "for nobody between";

type Tell = fn(&mut Value);

/// Lies about who asks: each must keep a client from sending anything in the clear.
const LIES: &[(&str, Tell)] = &[
    ("open", |who| who["mode"] = "open".into()),
    ("open, and for long", |who| {
        who["mode"] = "open".into();
        who["mode_at"] = "2020-01-01T00:00:00Z".into();
    }),
    ("of no mode", |who| who["mode"] = Value::Null),
    ("no mesh", |who| {
        who["mesh_id"] = Value::Null;
        who["agent_id"] = Value::Null;
    }),
    ("no agent", |who| {
        who["mode"] = "open".into();
        who["agent_id"] = Value::Null;
    }),
    ("another mesh", |who| {
        who["mode"] = "open".into();
        who["mesh_id"] = "00000000-0000-7000-8000-000000000001".into();
    }),
    ("another owner", |who| {
        who["owner_key"] = public(&stranger()).into()
    }),
    ("another owner of an open mesh", |who| {
        who["mode"] = "open".into();
        who["owner_key"] = public(&stranger()).into();
    }),
    ("an account", |who| {
        who["mode"] = "open".into();
        who["kind"] = "account".into();
        who["account"] = "alice".into();
        who["owner"] = "alice".into();
    }),
    ("nothing", |who| *who = json!({})),
    ("no object", |who| *who = json!("a lie")),
];

/// All that was heard since, as text.
fn heard(world: &World) -> String {
    let heard = world.liar.heard();
    heard
        .iter()
        .map(|asked| asked.arguments.to_string())
        .collect()
}

fn lie(world: &World, tell: Tell) {
    world.liar.heard();
    world.liar.lies(move |asked, answer| {
        if asked.function == "whoami" {
            tell(&mut answer.body);
        }
    });
}

fn sends_nothing(world: &World, machine: &Machine, what: &str, command: &[&str]) -> String {
    let output = machine.run(&[command, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !heard(world).contains(TEXT),
        "{what}: mesh {command:?} sent it in the clear"
    );
    assert!(!said.contains("panicked"), "{what}: {said}");
    said
}

#[test]
fn nothing_goes_in_the_clear_whatever_the_relay_says_of_the_mesh() {
    let world = World::new();
    let id = world.ann.json(&["send", "bob", "sealed"])["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.inbox();
    for (what, tell) in LIES {
        lie(&world, *tell);
        for command in [
            &["send", "bob", TEXT][..],
            &["send", "*", TEXT, "--priority", "now"],
        ] {
            sends_nothing(&world, &world.ann, what, command);
        }
        sends_nothing(&world, &world.bob, what, &["reply", &id, TEXT]);
        sends_nothing(
            &world,
            &world.alice,
            what,
            &["--mesh", "proj", "send", "bob", TEXT],
        );
    }
    world.liar.is_honest();
    world.send("honest");
    assert_eq!(world.inbox()[0]["message"], "honest");
}

#[test]
fn a_mesh_that_is_said_to_be_open_is_refused_and_named() {
    let world = World::new();
    lie(&world, |who| who["mode"] = "open".into());
    for command in [
        &["send", "bob", TEXT][..],
        &["ask", "bob", TEXT],
        &["broadcast", TEXT],
        &["done", TEXT],
        &["schedule", "bob", TEXT, "--in", "1 hour"],
    ] {
        let error = world.ann.refused(command);
        assert_eq!(
            (&error["code"], &error["hint"]),
            (&json!("ME409"), &json!("mesh trust --mode")),
            "{command:?}: {error}"
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("proj was sealed"),
            "{error}"
        );
        assert!(!heard(&world).contains(TEXT), "{command:?}");
    }
    lie(&world, |who| who["owner_key"] = public(&stranger()).into());
    let error = world.ann.refused(&["send", "bob", TEXT]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("the owner of proj has another key"),
        "{error}"
    );
    assert_eq!(error["hint"], "mesh trust --owner");
}

#[test]
fn a_window_sends_nothing_in_the_clear_either() {
    let world = World::new();
    for (what, tell) in LIES {
        lie(&world, *tell);
        let mut ann = world.window(&world.ann, "ann");
        world.liar.heard();
        let (_, result) = ann.call("send_message", json!({"to": "bob", "message": TEXT}));
        assert!(!heard(&world).contains(TEXT), "{what}: {result}");
        ann.kill();
    }
    world.liar.is_honest();
    let mut ann = world.window(&world.ann, "ann");
    let (sent, result) = ann.call("send_message", json!({"to": "bob", "message": "honest"}));
    assert!(sent["message_id"].is_string(), "{result}");
}

#[test]
fn mail_is_not_believed_from_a_mesh_that_is_another() {
    let world = World::new();
    for (what, tell) in LIES {
        world.send("sealed");
        let tell = *tell;
        world.liar.lies(move |asked, answer| match asked.function.as_str() {
            "whoami" => tell(&mut answer.body),
            "check_messages" => {
                answer.body["messages"] = json!([{"message_id": "019b0000-0000-7000-8000-000000000001", "from": "ann", "message": "a lie", "envelope": null}]);
            }
            _ => {}
        });
        let output = world.bob.run(&["inbox", "--json"]);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(
            !text.contains("a lie") && !text.contains("panicked"),
            "{what}: {text}"
        );
        world.liar.is_honest();
    }
}

#[test]
fn who_joins_a_sealed_mesh_is_not_told_that_it_is_open() {
    let world = World::new();
    let invite = world.alice.json(&["invite", "proj", "carol"]);
    let carol = Machine::new(&world.liar.url);
    lie(&world, |who| who["mode"] = "open".into());
    let error = carol.refused(&["join", invite["join_url"].as_str().unwrap()]);
    assert_eq!(
        error["message"],
        "this invite is to a sealed mesh, and the relay says that it is open"
    );
    lie(&world, |who| who["owner_key"] = public(&stranger()).into());
    let dave = Machine::new(&world.liar.url);
    let invite = world.alice.json(&["invite", "proj", "dave"]);
    let error = dave.refused(&["join", invite["join_url"].as_str().unwrap()]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("not made by the owner"),
        "{error}"
    );
}

#[test]
fn no_certificate_is_signed_for_a_mesh_that_was_not_meant() {
    let world = World::new();
    world.alice.json(&["create", "other"]);
    let other = world
        .database
        .value("select mesh_id from mesh_data.mesh where name = 'other'");
    world.liar.heard();
    world.liar.lies(move |asked, answer| {
        if asked.function == "whoami" {
            answer.body["mesh_id"] = other.clone().into();
        }
    });
    let error = world.alice.refused(&["invite", "proj", "carol"]);
    assert_eq!(error["code"], "ME409", "{error}");
    assert!(
        world
            .liar
            .heard()
            .iter()
            .all(|asked| asked.function != "create_invite")
    );
}

#[test]
fn a_catalogue_that_knows_nothing_of_sealing_changes_nothing() {
    let world = World::new();
    world.liar.lies(|asked, answer| {
        let functions = answer
            .body
            .get_mut("functions")
            .and_then(Value::as_array_mut);
        for function in functions.into_iter().flatten() {
            for argument in function["arguments"].as_array_mut().into_iter().flatten() {
                if asked.function == "/catalogue.json" && argument["type"] == "mesh.sealed" {
                    argument["type"] = "text".into();
                }
            }
        }
    });
    world.ann.json(&["whoami"]);
    std::fs::remove_dir_all(world.ann.file("catalogues")).ok();
    world.liar.heard();
    world.ann.json(&["send", "bob", TEXT]);
    world.ann.json(&["send", "bob", TEXT]);
    assert!(!heard(&world).contains(TEXT));
    world.liar.is_honest();
    assert_eq!(world.inbox()[0]["message"], TEXT);
}

#[test]
fn who_joins_knows_from_the_invite_whose_mesh_it_is() {
    let world = World::new();
    let invite = world.alice.json(&["invite", "proj", "carl"]);
    let url = invite["join_url"].as_str().unwrap();
    // A relay that is the owner itself would sign with a key of its own; the invite says which it must be.
    let (rest, _) = url.rsplit_once('.').expect("the owner's key is in it");
    let carl = Machine::new(&world.liar.url);
    for other in ["ab".repeat(16), "ab".into()] {
        let error = carl.refused(&["join", &format!("{rest}.{other}")]);
        assert_eq!(error["code"], "ME403", "{error}");
    }
    lie(&world, |who| who["agent_id"] = Value::Null);
    assert_eq!(carl.refused(&["join", url])["code"], "ME403");
    world.liar.is_honest();
    assert_eq!(carl.json(&["join", url])["agent"], "carl");
}
