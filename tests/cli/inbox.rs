//! What was printed is acknowledged by the next command; what was not is not.

use crate::common::MESH;
use crate::common::agent::Pair;
use std::process::{Command, Stdio};

#[test]
fn what_a_command_printed_is_acknowledged_by_the_next() {
    let pair = Pair::new();
    let bob = &pair.machines[1];
    let id = pair.send("first");
    let inbox = |args: &[&str]| String::from_utf8(bob.run(args).stdout).expect("text");
    assert!(inbox(&["inbox", "--peek"]).contains("first"));
    assert!(
        inbox(&["inbox", "--peek"]).contains("first"),
        "a peek takes nothing"
    );
    assert!(inbox(&["inbox"]).contains("first"));
    assert_ne!(
        pair.state(&id),
        "acknowledged",
        "shown, and not yet settled"
    );
    let second = pair.send("second");
    let next = inbox(&["inbox"]);
    assert!(next.contains("second") && !next.contains("first"), "{next}");
    assert_eq!(pair.state(&id), "acknowledged");
    assert_eq!(inbox(&["wait", "--timeout", "0"]), "");
    assert_eq!(pair.state(&second), "acknowledged");
    bob.json(&["ack", &pair.send("third")]);
    assert_eq!(inbox(&["inbox"]), "");
}

#[test]
fn output_that_nobody_could_read_acknowledges_nothing() {
    let pair = Pair::new();
    let bob = &pair.machines[1];
    let large = "x".repeat(20_000);
    let ids: Vec<String> = (0..10)
        .map(|n| pair.send(&format!("{n} {large}")))
        .collect();
    // `| head -1` leaves after the first line of 200 KB.
    for format in ["", "--json"] {
        let mut command = Command::new("bash");
        for (name, value) in bob.command().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let line = format!("set -o pipefail; '{MESH}' inbox {format} | head -c 10");
        let did = command.args(["-c", &line]).output().expect("bash starts");
        let said = String::from_utf8_lossy(&did.stderr);
        assert!(!said.contains("panic"), "{said}");
    }
    // And a reader that is gone before the first byte.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = bob
        .command()
        .arg("inbox")
        .stdout(writer)
        .stderr(Stdio::null())
        .status();
    assert!(
        status
            .expect("mesh starts")
            .code()
            .is_some_and(|code| code != 101)
    );
    assert_eq!(pair.peek().len(), 10);
    let all = bob.json(&["inbox"]);
    assert_eq!(
        all["messages"].as_array().map(Vec::len),
        Some(10),
        "all of it comes again"
    );
    assert!(ids.iter().all(|id| pair.state(id) != "acknowledged"));
    bob.json(&["inbox"]);
    assert!(ids.iter().all(|id| pair.state(id) == "acknowledged"));
}

#[test]
fn json_holds_what_the_table_shows() {
    let pair = Pair::new();
    pair.send("line one\nline \u{1b}[31mtwo");
    let bob = &pair.machines[1];
    let shown = String::from_utf8(bob.run(&["inbox", "--peek"]).stdout).expect("text");
    assert!(
        !shown.contains('\u{1b}'),
        "a peer cannot paint the terminal: {shown:?}"
    );
    let json = bob.json(&["inbox"]);
    assert_eq!(
        json["messages"][0]["message"],
        "line one\nline \u{1b}[31mtwo"
    );
    assert_eq!(json["messages"][0]["from"], "ann");
}

#[test]
fn a_list_that_is_not_all_says_how_much_is_left() {
    let pair = Pair::new();
    for text in ["one", "two", "three"] {
        pair.send(text);
    }
    let bob = &pair.machines[1];
    let shown = |args: &[&str]| String::from_utf8(bob.run(args).stdout).expect("text");
    let first = shown(&["inbox", "--limit", "1"]);
    assert!(first.ends_with("\n2 unread: mesh inbox\n"), "{first}");
    let rest = shown(&["inbox"]);
    assert!(rest.contains("three") && !rest.contains("unread"), "{rest}");
}
