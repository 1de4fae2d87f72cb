//! More than one machine, and a machine that is lost.

use super::clean::{Clean, run};
use crate::common::MESH;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// `agent=key` of all peers, as others see them.
fn keys(machine: &Clean) -> Vec<String> {
    let peers = machine.json(&["--mesh", "proj", "peers"]);
    let peers = peers.as_array().expect("a table").iter();
    peers
        .map(|peer| format!("{}={}", peer["agent"], peer["key"]))
        .collect()
}

fn states(machine: &Clean) -> Vec<String> {
    let rows = machine.json(&["recover"]);
    let rows = rows.as_array().expect("a table").iter();
    rows.map(|row| {
        format!(
            "{} {}",
            row["agent"].as_str().unwrap(),
            row["state"].as_str().unwrap()
        )
    })
    .collect()
}

#[test]
fn a_second_machine_of_an_account_recovers_its_agents() {
    let (first, second, third) = (Clean::new(), Clean::new(), Clean::new());
    let relay = first.up();
    first.ok(&["create", "proj"]);
    first.ok(&["setup", "backend"]);
    first.ok(&["setup", "designer"]);
    first.ok(&["agent", "add", "nobody"]);
    let before = keys(&first);
    let account = first.ok(&["token", "--key"]);
    let sign_in = |machine: &Clean| machine.ok(&["login", account.trim(), "--relay", &relay]);

    sign_in(&second);
    let table = second.ok(&["recover"]);
    assert!(
        table.contains("backend") && table.contains("recovered"),
        "{table}"
    );
    assert!(table.contains("Next: mesh setup "), "{table}");
    assert_eq!(keys(&second), before, "the identities are the old ones");
    assert_eq!(states(&second), ["backend was here", "designer was here"]);
    assert_eq!(states(&first), ["backend was here", "designer was here"]);
    second.ok(&["setup", "backend"]);
    second.ok(&["setup", "late"]);
    assert_eq!(
        states(&first),
        ["backend was here", "designer was here", "late recovered"]
    );

    // `setup` alone does it too, for one agent; another identity only when that is asked for.
    sign_in(&third);
    let before = keys(&first);
    third.ok(&["setup", "designer"]);
    assert_eq!(keys(&third), before);
    third.ok(&["setup", "designer", "--new-identity"]);
    let after = keys(&third);
    assert_ne!(after, before);
    assert_eq!(
        states(&third),
        ["backend recovered", "designer was here", "late recovered"]
    );
    assert_eq!(
        states(&first),
        ["backend was here", "designer recovered", "late was here"]
    );
    assert_eq!(keys(&first), after);

    // Under a new name the old wrapping does not fit, until one says that it was renamed.
    first.ok(&["agent", "edit", "backend", "--name", "server"]);
    let fourth = Clean::new();
    sign_in(&fourth);
    let did = fourth.mesh(&["recover"]);
    assert_eq!(did.code, 1, "{did:?}");
    assert!(did.out.contains("kept as that of backend"), "{did:?}");
    let did = fourth.mesh(&["setup", "server"]);
    assert!(did.err.contains("mesh recover --renamed"), "{did:?}");
    fourth.ok(&["recover", "--renamed"]);
    fourth.ok(&["setup", "server"]);
}

fn backup(machine: &Clean, file: &Path, passphrase: &str, more: &[&str]) -> super::clean::Did {
    let words = machine.home.path().join("words");
    fs::write(&words, format!("{passphrase}\n")).unwrap();
    let (file, words) = (file.to_str().unwrap(), words.to_str().unwrap());
    machine.mesh(&[&["backup", file, "--passphrase-file", words], more].concat())
}

fn restore(machine: &Clean, file: &Path, passphrase: &str, more: &[&str]) -> super::clean::Did {
    let words = machine.home.path().join("words");
    fs::write(&words, passphrase).unwrap();
    let (file, words) = (file.to_str().unwrap(), words.to_str().unwrap());
    machine.mesh(&[&["restore", file, "--passphrase-file", words], more].concat())
}

const WORDS: &str = "ferret granite lullaby 71 oboe";

#[test]
fn a_backup_brings_a_lost_machine_back() {
    let (owner, guest, new) = (Clean::new(), Clean::new(), Clean::new());
    owner.up();
    owner.ok(&["create", "proj"]);
    let invite = owner.json(&["invite", "proj", "designer"]);
    guest.ok(&["join", invite["join_url"].as_str().expect("a URL")]);
    let file = guest.home.path().join("my.backup");

    let weak = backup(&guest, &file, "password123", &[]);
    assert!(weak.code == 2 && weak.err.contains("too easy"), "{weak:?}");
    assert!(!file.exists(), "nothing is left behind");
    let did = backup(&guest, &file, WORDS, &[]);
    assert!(did.code == 0 && did.out.contains("1 key in"), "{did:?}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("mesh backup 1\nargon2id "));
    assert!(!text.contains("mc_") && !text.contains("designer"));

    let again = backup(&guest, &file, WORDS, &[]);
    assert!(
        again.code == 1 && again.err.contains("--force"),
        "{again:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(backup(&guest, &file, WORDS, &["--force"]).code, 0);
    assert_ne!(fs::read_to_string(&file).unwrap(), text);

    let wrong = restore(&new, &file, "ferret granite lullaby 72 oboe", &[]);
    assert!(
        wrong.code == 1 && wrong.err.contains("passphrase"),
        "{wrong:?}"
    );
    let did = restore(&new, &file, WORDS, &[]);
    assert!(did.code == 0 && did.out.contains("restored"), "{did:?}");
    let who = new.json(&["whoami"]);
    assert_eq!(who["agent"], "designer");
    let did = restore(&new, &file, WORDS, &["--json"]);
    let rows: serde_json::Value = serde_json::from_str(&did.out).unwrap();
    assert_eq!(rows[0]["state"], "was here");

    // From stdin, and not from nobody.
    let nobody = guest.mesh(&["backup", "other.backup"]);
    assert!(
        nobody.code == 2 && nobody.err.contains("--passphrase-file"),
        "{nobody:?}"
    );
    let line = format!("echo '{WORDS}' | mesh backup other.backup --passphrase-file -");
    let did = guest.shell(&line);
    assert_eq!(did.code, 0, "{did:?}");
    let did = new.mesh(&["restore", "words"]);
    assert!(did.code != 0, "{did:?}");
    let broken = restore(&new, &new.home.path().join("words"), WORDS, &[]);
    assert!(
        broken.code == 2 && broken.err.contains("no backup"),
        "{broken:?}"
    );
    assert_eq!(
        Clean::new().mesh(&["backup", "b"]).code,
        1,
        "there is nothing to keep"
    );
}

#[test]
fn a_backup_does_not_replace_a_newer_key() {
    let owner = Clean::new();
    owner.up();
    owner.ok(&["create", "proj"]);
    owner.ok(&["setup", "backend"]);
    let file = owner.home.path().join("old.backup");
    assert_eq!(backup(&owner, &file, WORDS, &[]).code, 0);
    owner.ok(&["setup", "backend", "--new-identity"]);
    let key = || {
        let mut command = owner.command(MESH);
        command.args(["--agent", "backend", "token", "--key"]);
        run(command).out
    };
    let newer = key();
    let did = restore(&owner, &file, WORDS, &[]);
    assert!(did.code == 0 && did.out.contains("Kept:"), "{did:?}");
    assert_eq!(key(), newer);
    let did = restore(&owner, &file, WORDS, &["--force"]);
    assert!(did.code == 0 && did.out.contains("restored"), "{did:?}");
    assert_ne!(key(), newer);
}

/// A mesh with its owner at one machine and designer, a guest, at another.
fn two_friends() -> (Clean, Clean) {
    let (owner, guest) = (Clean::new(), Clean::new());
    owner.up();
    owner.ok(&["create", "proj", "--mode", "sealed"]);
    owner.ok(&["setup", "backend"]);
    let invite = owner.json(&["invite", "proj", "designer"]);
    guest.ok(&["join", invite["join_url"].as_str().expect("a URL")]);
    (owner, guest)
}

#[test]
fn both_sides_see_the_same_safety_number() {
    let (owner, guest) = two_friends();
    let name = owner.json(&["whoami"])["account"]
        .as_str()
        .unwrap()
        .to_owned();
    let here = owner.json(&["--mesh", "proj", "verify", "designer"]);
    let there = guest.json(&["verify", &name]);
    assert_eq!(here["number"], there["number"]);
    assert_eq!(here["number"].as_str().unwrap().len(), 12 * 5 + 11);
    assert_eq!(
        (&here["key"], &here["own_key"]),
        (&there["own_key"], &there["key"])
    );
    assert_eq!(
        (&here["doubt"], &there["doubt"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    let backend = owner.json(&["--agent", "backend", "verify", "designer"]);
    assert_eq!(
        backend["number"],
        guest.json(&["verify", "backend"])["number"]
    );
    assert_ne!(backend["number"], here["number"]);
    let said = guest.ok(&["verify", "backend"]);
    assert!(
        said.contains("mesh verify designer") && said.contains("vouches"),
        "{said}"
    );

    let unknown = guest.mesh(&["verify", "nobody"]);
    assert!(
        unknown.code == 1 && unknown.err.contains("has a key"),
        "{unknown:?}"
    );
    let own = guest.mesh(&["verify", "designer"]);
    assert!(own.code == 2 && own.err.contains("own agent"), "{own:?}");
}

#[test]
fn a_changed_key_is_refused_until_it_is_trusted() {
    let (owner, guest) = two_friends();
    guest.ok(&["send", "backend", "hello"]);
    let seen = guest.ok(&["trust", "backend"]);
    assert!(seen.contains("is the one this machine has seen"), "{seen}");

    owner.ok(&["send", "backend", "hello"]);
    owner.ok(&["setup", "backend", "--new-identity"]);
    owner.ok(&["send", "backend", "the machine that made the key knows it"]);
    let refused = guest.mesh(&["send", "backend", "hello again"]);
    assert!(
        refused.code == 1 && refused.err.contains("mesh trust backend"),
        "{refused:?}"
    );
    let changed = guest.mesh(&["verify", "backend"]);
    assert!(
        changed.code == 1 && changed.err.contains("mesh trust backend"),
        "{changed:?}"
    );
    let alone = guest.mesh(&["trust", "backend"]);
    assert!(alone.code == 2 && alone.err.contains("--yes"), "{alone:?}");
    assert!(
        alone.err.contains("old key") && alone.err.contains("vouches for it"),
        "{alone:?}"
    );
    assert_eq!(
        guest.mesh(&["send", "backend", "hello again"]).code,
        1,
        "asking changes nothing"
    );

    let trusted = guest.json(&["trust", "backend", "--yes"]);
    assert_eq!(trusted["changed"], true);
    assert_ne!(trusted["key"], trusted["before"]);
    guest.ok(&["send", "backend", "hello again"]);
    let owner_seen = guest.ok(&["trust", "--owner"]);
    assert!(
        owner_seen.contains("is the one this machine has seen"),
        "{owner_seen}"
    );
    let mode = guest.ok(&["trust", "--mode"]);
    assert!(mode.contains("Nothing changed: proj is sealed"), "{mode}");
}

#[test]
fn a_backup_takes_along_whose_key_is_whose() {
    let (owner, guest) = two_friends();
    guest.ok(&["send", "backend", "hello"]);
    let file = guest.home.path().join("b");
    assert_eq!(backup(&guest, &file, WORDS, &[]).code, 0);
    owner.ok(&["setup", "backend", "--new-identity"]);
    let new = Clean::new();
    assert_eq!(restore(&new, &file, WORDS, &[]).code, 0);
    let refused = new.mesh(&["send", "backend", "hello"]);
    assert!(
        refused.code == 1 && refused.err.contains("mesh trust backend"),
        "{refused:?}"
    );
}
