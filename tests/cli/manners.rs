//! Exit codes, completions, pipes that close, suggestions.

use super::clean::Clean;
use crate::common::{MESH, agent::Pair};

#[test]
fn exit_codes_tell_what_kind_of_no_it_was() {
    let pair = Pair::new();
    let bob = &pair.machines[1];
    let code = |args: &[&str]| bob.run(args).status.code();
    assert_eq!(code(&["peers"]), Some(0));
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["send", "nobody", "x"]), Some(1));
    assert_eq!(
        code(&["message", "status", "019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f"]),
        Some(1)
    );
    assert_eq!(code(&["nonsense"]), Some(2));
    assert_eq!(code(&["send", "ann"]), Some(2));
    assert_eq!(code(&["inbox", "--limit", "many"]), Some(2));
    assert_eq!(code(&["peers", "--relay", "http://127.0.0.1:9"]), Some(3));
    let error = bob.refused(&["send", "nobody", "x"]);
    assert_eq!(error["code"], "ME404");
    assert!(error["hint"].is_string(), "{error}");
    let typo = bob.run(&["sned", "ann", "x"]);
    assert!(
        String::from_utf8_lossy(&typo.stderr).contains("send"),
        "the closest command"
    );
    let typo = bob.run(&["send", "anm", "x"]);
    let said = String::from_utf8_lossy(&typo.stderr);
    assert!(said.contains("did you mean ann"), "{said}");
}

#[test]
fn completions_are_scripts_their_shells_accept() {
    let clean = Clean::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = clean.ok(&["completions", shell]);
        assert!(
            script.contains("mesh") && script.contains("send"),
            "{shell}"
        );
    }
    let did = clean.shell("mesh completions bash > script && bash -n script");
    assert_eq!(did.code, 0, "{did:?}");
}

#[test]
fn a_pipe_that_closes_is_no_panic() {
    let pair = Pair::new();
    let bob = &pair.machines[1];
    for args in [
        &["--help"] as &[&str],
        &["peers"],
        &["peers", "--json"],
        &["status"],
        &["doctor"],
        &["completions", "zsh"],
        &["inbox"],
        &["token"],
        &["help", "send"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let did = bob
            .command()
            .args(args)
            .stdout(writer)
            .output()
            .expect("mesh starts");
        let said = String::from_utf8_lossy(&did.stderr);
        assert_eq!(did.status.code(), Some(0), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
    let did = Clean::new().shell("set -o pipefail; mesh --help | head -1");
    assert!(did.code == 0 && did.out.lines().count() == 1, "{did:?}");
}

#[test]
fn a_machine_with_nothing_on_it_is_told_what_to_do() {
    let clean = Clean::new();
    let bare = clean.mesh(&[]);
    assert!(bare.code == 0 && bare.out.contains("mesh up"), "{bare:?}");
    let doctor = clean.mesh(&["doctor"]);
    assert_ne!(doctor.code, 0, "{doctor:?}");
    assert!(doctor.out.contains("mesh up"), "the fix: {doctor:?}");
    for args in [
        &["peers"] as &[&str],
        &["inbox"],
        &["token"],
        &["run", "x"],
        &["psql", "-c", "select 1"],
    ] {
        let did = clean.mesh(args);
        assert!([1, 3].contains(&did.code), "{args:?}: {did:?}");
        assert!(did.err.contains("hint: "), "{args:?}: {did:?}");
    }
    assert_eq!(clean.ok(&["down"]).trim(), "Mesh was not up.");
    assert!(std::path::Path::new(MESH).exists());
}
