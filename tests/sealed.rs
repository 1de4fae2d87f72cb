//! Sealed meshes, with the real relay, database and client: all ways of addressing, and what is left of it anywhere.

mod common;

use common::{
    Machine,
    editor::{Editor, sends_in_order, waits_at_once},
    eventually,
    postgres::Database,
    relay::Relay,
};
use serde_json::{Value, json};
use std::{fs, path::Path, thread, time::Duration};

/// Every text that is sent here holds this word.
const WORD: &str = "quetzalcoatl";

/// A relay that logs all it can, and on it alice's sealed mesh `proj` with the guests ann and bob on machines of their own.
struct World {
    database: Database,
    relay: Relay,
    alice: Machine,
    ann: Machine,
    bob: Machine,
    log: tempfile::NamedTempFile,
    invites: Vec<String>,
}

impl World {
    fn new() -> World {
        let database = Database::new();
        let log = tempfile::NamedTempFile::new().unwrap();
        let relay = Relay::logging(&database.url("mesh_relay"), log.path());
        let alice = Machine::account(&relay.url(), &database, "alice");
        assert_eq!(
            alice.json(&["create", "proj", "--mode", "sealed"])["mode"],
            "sealed"
        );
        let mut invites = Vec::new();
        let mut guest = |name: &str| {
            let invite = alice.json(&["invite", "proj", name]);
            let url = invite["join_url"].as_str().unwrap().to_owned();
            let machine = Machine::new(&alice.relay);
            machine.json(&["join", &url]);
            let invite = url.split_once('#').unwrap().1;
            invites.push(invite.split('.').next().unwrap().to_owned());
            machine
        };
        World {
            ann: guest("ann"),
            bob: guest("bob"),
            database,
            relay,
            alice,
            log,
            invites,
        }
    }

    /// All that a superuser can select, as text.
    fn dump(&self) -> String {
        let tables = self.database.value(
            "select string_agg(format('select t::text from %I.%I t', n.nspname, c.relname), ' union all ')
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind = 'r' and n.nspname in ('mesh_data', 'mesh_lib', 'mesh')",
        );
        self.database.value(&format!(
            "select string_agg(t, E'\\x01') from ({tables}) t (t)"
        ))
    }

    /// What no server may know: private halves, keys, bearers, invites.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = self.invites.clone();
        for machine in [&self.alice, &self.ann, &self.bob] {
            secrets.push(machine.token());
            for kept in fs::read_dir(machine.file("keys")).unwrap() {
                let text = fs::read_to_string(kept.unwrap().path()).unwrap();
                let kept: Value = serde_json::from_str(&text).unwrap();
                let texts = kept.as_object().unwrap().values().filter_map(Value::as_str);
                secrets.extend(texts.map(str::to_owned));
            }
        }
        secrets
    }

    /// Asserts that neither the database nor the relay's log holds what was said, or a secret.
    fn holds_nothing(&self) {
        let log = fs::read_to_string(self.log.path()).unwrap();
        assert!(
            log.contains("DEBUG") || log.contains("INFO"),
            "it logs: {log}"
        );
        let dump = self.dump();
        assert!(dump.contains("proj") && dump.contains("ann"));
        for (place, text) in [("the database", &dump), ("the log", &log)] {
            let text = text.to_lowercase();
            let hex: String = WORD.bytes().map(|b| format!("{b:02x}")).collect();
            for word in [WORD, &hex] {
                assert!(
                    !text.contains(word),
                    "{place} holds a text: {}",
                    around(&text, word)
                );
            }
            for secret in self.secrets() {
                assert!(
                    !text.contains(&secret.to_lowercase()),
                    "{place} holds a secret: {}",
                    around(&text, &secret[..16])
                );
            }
        }
    }
}

fn window(machine: &Machine, agent: &str) -> Editor {
    let mut editor = Editor::on(machine, &["mcp", "--mesh", "proj", "--agent", agent]);
    editor.initialize("claude-code", "2025-11-25");
    editor.call("whoami", json!({}));
    editor
}

fn around(text: &str, word: &str) -> String {
    let at = text.find(word).unwrap_or(0);
    text.get(at.saturating_sub(200)..(at + 100).min(text.len()))
        .unwrap_or("?")
        .to_owned()
}

fn text(what: &str) -> String {
    format!("{what}: {WORD}")
}

/// The mail of a machine, all of which must have been sealed and opened.
fn inbox(machine: &Machine) -> Vec<Value> {
    let answer = machine.json(&["inbox"]);
    let messages = answer["messages"].as_array().unwrap().clone();
    for message in &messages {
        assert_eq!(
            (&message["sealed"], message.get("unopened")),
            (&json!(true), None),
            "{message}"
        );
        assert_eq!(message.get("envelope"), None);
    }
    messages
}

fn texts(machine: &Machine) -> Vec<String> {
    let messages = inbox(machine);
    messages
        .iter()
        .map(|m| m["message"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[test]
fn every_way_to_say_something_is_sealed_and_read() {
    let world = World::new();
    let (alice, ann, bob) = (&world.alice, &world.ann, &world.bob);

    ann.json(&[
        "send",
        "bob",
        &text("direct"),
        "--data",
        &json!({"note": WORD}).to_string(),
    ]);
    let direct = inbox(bob).remove(0);
    assert_eq!(
        (&direct["message"], &direct["data"]["note"]),
        (&json!(text("direct")), &json!(WORD))
    );
    assert_eq!(
        (&direct["from"], &direct["from_kind"]),
        (&json!("ann"), &json!("agent"))
    );

    bob.json(&[
        "reply",
        direct["message_id"].as_str().unwrap(),
        &text("answer"),
    ]);
    let answer = inbox(ann).remove(0);
    assert_eq!(
        (&answer["message"], &answer["reply_to"]),
        (&json!(text("answer")), &direct["message_id"])
    );

    // The owner, as a person.
    alice.json(&["send", "ann", &text("from a person")]);
    let from_person = inbox(ann).remove(0);
    assert_eq!(
        (&from_person["from"], &from_person["from_kind"]),
        (&json!("alice"), &json!("person"))
    );
    ann.json(&["send", "alice", &text("to a person")]);
    assert_eq!(texts(alice), [text("to a person")]);

    ann.json(&["send", "*", &text("to all")]);
    assert_eq!(
        (texts(alice), texts(bob)),
        (vec![text("to all")], vec![text("to all")])
    );
    ann.json(&["broadcast", &text("broadcast")]);
    assert_eq!(texts(alice), [text("broadcast")]);
    let broadcast = inbox(bob).remove(0);
    // Nobody typed it, and it is signed.
    assert_eq!(
        (&broadcast["message"], &broadcast["to"]),
        (&json!(text("broadcast")), &json!("*"))
    );

    for member in [ann, bob] {
        member.json(&["group", "join", "web"]);
    }
    alice.json(&["send", "@web", &text("group")]);
    assert_eq!(
        (texts(ann), texts(bob)),
        (vec![text("group")], vec![text("group")])
    );

    ann.json(&["room", "create", "standup", "bob"]);
    texts(bob);
    ann.json(&["send", "#standup", &text("room")]);
    assert_eq!(texts(bob), [text("room")]);
    let history = bob.json(&["room", "history", "standup"]);
    assert_eq!(
        history.as_array().unwrap().last().unwrap()["message"],
        text("room")
    );

    alice.json(&["pool", "create", "reviewer", "ann,bob"]);
    alice.json(&["send", "role:reviewer", &text("pool")]);
    assert_eq!(
        [texts(ann), texts(bob)].concat(),
        [""; 0],
        "it waits for a window"
    );
    let mut window = window(bob, "bob");
    let (mail, _) = window.call("wait", json!({"timeout": 20}));
    assert_eq!(mail["messages"][0]["message"], text("pool"), "{mail}");
    window.call("check_messages", json!({}));
    drop(window);

    thread::scope(|scope| {
        let asked = scope.spawn(|| ann.json(&["ask", "bob", &text("question"), "--timeout", "20"]));
        eventually("the question is there", || {
            let waiting = bob.json(&["inbox", "--peek"]);
            waiting["messages"]
                .as_array()
                .is_some_and(|m| !m.is_empty())
        });
        let question = inbox(bob).remove(0);
        assert_eq!(question["message"], text("question"));
        bob.json(&["send", "ann", &text("by the way")]);
        bob.json(&[
            "reply",
            question["message_id"].as_str().unwrap(),
            &text("it is so"),
        ]);
        let answered = asked.join().unwrap();
        assert_eq!(answered["answers"][0]["message"], text("it is so"));
    });
    let earlier = inbox(ann).remove(0);
    assert_eq!(
        (&earlier["message"], earlier.get("late")),
        (&json!(text("by the way")), None),
        "the answer was not sent before it, but awaited"
    );

    bob.json(&["send", "ann", &text("earlier")]);
    bob.json(&["send", "ann", &text("for ann"), "--mentions", "ann"]);
    let mail = inbox(ann);
    assert_eq!(mail[0]["message"], text("for ann"), "it is urgent");
    assert_eq!(mail[1].get("late"), None, "{mail:?}");

    ann.json(&["send", "bob", &text("a task")]);
    assert_eq!(texts(bob), [text("a task")]);
    let report = bob.json(&["done", &text("all is done")]);
    assert!(texts(ann).contains(&text("all is done")));
    // Nobody typed to whom, so nobody signed it; the readers who are signed prove it.
    for reader in [ann, bob] {
        let read = reader.json(&["read", report["message_id"].as_str().unwrap()]);
        assert_eq!(
            (&read["message"], &read["to"]),
            (&json!(text("all is done")), &json!("ann")),
            "{read}"
        );
    }

    ann.json(&["schedule", "bob", &text("later"), "--in", "1 second"]);
    assert_eq!(ann.json(&["schedule", "list"])[0]["message"], text("later"));
    let mut later = Vec::new();
    eventually("the scheduled message is there", || {
        later = texts(bob);
        !later.is_empty()
    });
    assert_eq!(later, [text("later")]);

    let found = ann.json(&["history", "bob", "--grep", "ALL IS DONE"]);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    let found = bob.json(&["history", "--grep", "BROADCAST"]);
    assert_eq!(found[0]["to"], "*", "{found}");
    let shown = ann.run(&["history", "bob"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains(&text("direct")) && shown.contains("sealed"),
        "{shown}"
    );
    world.holds_nothing();
}

#[test]
fn who_was_offline_reads_after_a_restart() {
    let mut world = World::new();
    world
        .ann
        .json(&["send", "bob", &text("while you were away")]);
    world.relay.kill();
    world.relay.restart();
    assert_eq!(texts(&world.bob), [text("while you were away")]);
    world.holds_nothing();
}

#[test]
fn windows_show_what_was_sealed() {
    let world = World::new();
    let (mut ann, mut bob) = (window(&world.ann, "ann"), window(&world.bob, "bob"));
    let (sent, _) = ann.call(
        "send_message",
        json!({"to": "bob", "message": text("in a window"), "data": {"n": WORD}}),
    );
    assert_eq!(sent["recipients"][0]["state"], "pushed", "{sent}");
    let notice = bob
        .notice("notifications/claude/channel", Duration::from_secs(20))
        .expect("a notice");
    let content = notice["params"]["content"].as_str().unwrap();
    assert!(
        content.contains(&text("in a window")) && content.contains("\"ann\""),
        "{content}"
    );
    let (mail, _) = bob.call("check_messages", json!({}));
    assert_eq!(mail["messages"][0]["message"], text("in a window"));
    let (answered, _) = bob.call(
        "reply",
        json!({"message_id": mail["messages"][0]["message_id"], "message": text("seen")}),
    );
    assert!(answered["message_id"].is_string(), "{answered}");
    let (mail, _) = ann.call("wait", json!({"timeout": 20}));
    assert_eq!(mail["messages"][0]["message"], text("seen"));
    world.holds_nothing();
}

#[test]
fn a_window_seals_only_what_an_open_mesh_would_take() {
    let world = World::new();
    let mut ann = window(&world.ann, "ann");
    let mut refused = |tool: &str, arguments: Value| {
        let (error, result) = ann.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool}: {result}");
        let code = error["code"].as_str().unwrap().to_owned();
        (code, error["message"].as_str().unwrap().to_owned())
    };
    let calls = [
        ("send_message", json!({"to": "bob", "message": 5})),
        ("broadcast", json!({"message": false})),
        ("ask_agent", json!({"to": "bob", "message": [7]})),
    ];
    for (tool, arguments) in calls {
        let (code, message) = refused(tool, arguments);
        assert_eq!(code, "ME400", "{tool}: {message}");
        assert!(message.starts_with("the argument 'message' must be a JSON string"));
    }
    for (summary, code, told) in [
        (
            "x".repeat(501),
            "ME413",
            "the summary is too long: at most 500 characters",
        ),
        (
            "a\nb".into(),
            "ME400",
            "the summary is one line, without tabs",
        ),
    ] {
        let told = (code.to_owned(), told.to_owned());
        assert_eq!(
            refused("done", json!({"summary": summary, "to": "bob"})),
            told
        );
    }
    assert!(inbox(&world.bob).is_empty());
}

#[test]
fn what_a_window_sends_at_once_arrives_in_that_order_also_when_there_are_new_readers() {
    let world = World::new();
    let (mut ann, mut bob) = (window(&world.ann, "ann"), window(&world.bob, "bob"));
    // Whom these are sealed for, ann's machine learns only now.
    sends_in_order(&mut ann, &mut bob, |n| if n % 2 == 0 { "bob" } else { "*" });
}

#[test]
fn calls_that_wait_at_once_get_each_message_once_and_none_of_them_is_a_replay() {
    let world = World::new();
    let (mut ann, mut bob) = (window(&world.ann, "ann"), window(&world.bob, "bob"));
    waits_at_once(&mut ann, &mut bob);
}

#[test]
fn a_room_is_read_from_joining_on_unless_somebody_grants_it() {
    let world = World::new();
    let (ann, bob) = (&world.ann, &world.bob);
    ann.json(&["room", "create", "standup"]);
    ann.json(&["send", "#standup", &text("before")]);
    bob.json(&["room", "join", "standup"]);
    ann.json(&["send", "#standup", &text("after")]);
    let shown = |machine: &Machine| {
        let history = machine.json(&["room", "history", "standup"]);
        let rows = history.as_array().unwrap().clone();
        rows.into_iter()
            .filter(|row| row["from"] == "ann")
            .collect::<Vec<_>>()
    };
    let history = shown(bob);
    assert_eq!(
        (&history[0]["message"], &history[1]["message"]),
        (&Value::Null, &json!(text("after")))
    );
    assert_eq!(history[0]["unopened"], "it was not sealed to this agent");
    assert_eq!(bob.json(&["room", "ask", "standup"])["requested"], 1);
    assert_eq!(ann.json(&["grant", "bob"])["messages"], 1);
    assert_eq!(shown(bob)[0]["message"], text("before"));
    assert_eq!(ann.json(&["grant", "bob"])["messages"], 0);
    world.holds_nothing();
}

#[test]
fn what_could_not_be_opened_comes_at_once_when_its_key_is_trusted() {
    let world = World::new();
    let (alice, ann) = (&world.alice, &world.ann);
    alice.json(&["setup", "lead", "--mesh", "proj"]);
    let mut lead = window(alice, "lead");
    let mut shown = || {
        let notice = lead.notice("notifications/claude/channel", Duration::from_secs(20));
        let content = &notice.expect("a notice")["params"]["content"];
        content.as_str().unwrap().to_owned()
    };
    ann.json(&["send", "lead", &text("by the first ann")]);
    assert!(shown().contains(&text("by the first ann")));

    alice.json(&["agent", "remove", "ann"]);
    let second = Machine::guest(alice, "proj", "ann");
    second.json(&["send", "lead,alice", &text("by another ann")]);
    assert!(shown().contains("was not opened"));
    let unread = |machine: &Machine| machine.json(&["inbox"])["messages"][0].clone();
    assert!(unread(alice)["unopened"].is_string());
    assert_eq!(unread(alice), Value::Null);
    alice.json(&["trust", "ann", "--yes"]);
    assert!(shown().contains(&text("by another ann")));
    assert_eq!(unread(alice)["message"], text("by another ann"));
}

#[test]
fn a_key_alone_neither_reads_nor_writes_what_is_sealed() {
    let world = World::new();
    let key = |folder: &Path| {
        let kept = fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let kept: Value = serde_json::from_str(&fs::read_to_string(kept).unwrap()).unwrap();
        kept["key"].as_str().unwrap().to_owned()
    };
    let key = key(&world.bob.file("keys"));
    world.ann.json(&["send", "bob", &text("for bob")]);
    let elsewhere = Machine::new(&world.relay.url());
    for command in [&["inbox"][..], &["send", "ann", "hi"]] {
        let output = elsewhere
            .command()
            .env("MESH_KEY", &key)
            .args(command)
            .arg("--json")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let error: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&error["code"], &error["hint"]),
            (&json!("ME403"), &json!("mesh setup bob")),
            "{said}"
        );
    }
    assert_eq!(texts(&world.bob), [text("for bob")], "nobody took it");
    // Nor is plain text taken from who asks no client.
    let body = json!({"to": "bob", "message": "plain"}).to_string();
    assert_eq!(
        world
            .relay
            .post("send_message", Some(&world.ann.token()), &body)
            .0,
        400
    );
}

#[test]
fn a_mesh_that_is_opened_gets_nothing_until_that_is_agreed_to() {
    let world = World::new();
    world.ann.json(&["send", "bob", &text("sealed")]);
    world.alice.json(&["mesh", "mode", "proj", "open"]);
    let refused = world.ann.refused(&["send", "bob", "in the open"]);
    assert_eq!(
        (&refused["code"], &refused["hint"]),
        (&json!("ME409"), &json!("mesh trust --mode"))
    );
    // Who opened it meant to.
    world.alice.json(&["send", "bob", "hello"]);
    assert!(world.dump().contains("hello"));
}
