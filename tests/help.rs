//! The words of the command line on a machine that has never seen a relay: transcripts in tests/cmd.

use assert_cmd::Command;
use std::path::Path;

/// `mesh` with nothing of the caller's environment but the path.
fn mesh(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    command
        .env_clear()
        .env("HOME", home)
        .env("MESH_HOME", home.join("mesh"))
        .env("MESH_RELAY", "http://127.0.0.1:1");
    command
}

#[test]
fn transcripts() {
    let home = tempfile::tempdir().unwrap();
    trycmd::TestCases::new()
        .env("HOME", home.path().to_string_lossy())
        .env("MESH_HOME", home.path().join("mesh").to_string_lossy())
        .env("MESH_RELAY", "http://127.0.0.1:1")
        .case("tests/cmd/*.trycmd")
        .run();
}

#[test]
fn a_usage_error_is_exit_code_2_and_one_line_of_json_when_asked() {
    let home = tempfile::tempdir().unwrap();
    let output = mesh(home.path())
        .args(["--json", "send", "designer"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["code"], "ME400");
    assert!(
        error["message"].as_str().unwrap().contains("<message>"),
        "{error}"
    );
}

#[test]
fn a_usage_error_names_the_command_that_helps_and_keeps_its_tips() {
    let home = tempfile::tempdir().unwrap();
    for (words, hint, tip) in [
        (&["send"][..], "mesh send --help", ""),
        (&["room", "show"], "mesh room --help", "tip: mesh room has "),
        (
            &["--agent", "a", "send", "b", "c", "d"],
            "mesh send --help",
            "in quotes",
        ),
        (&["sned"], "mesh --help", "send"),
    ] {
        let output = mesh(home.path())
            .arg("--json")
            .args(words)
            .output()
            .unwrap();
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["hint"], hint, "{error}");
        assert!(error["message"].as_str().unwrap().contains(tip), "{error}");
    }
}

#[test]
fn an_absent_relay_is_exit_code_3() {
    let home = tempfile::tempdir().unwrap();
    let output = mesh(home.path())
        .args(["reference", "--check"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).starts_with("error: "),
        "{output:?}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mesh"));
    command
        .args(["completions", "zsh"])
        .env("MESH_HOME", home.path())
        .stdout(writer);
    let output = command
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn completions_know_the_commands_of_the_catalogue() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = mesh(home.path())
            .args(["completions", shell])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("peers") && text.contains("reply-to"),
            "{shell}"
        );
    }
}

#[test]
fn the_reference_is_that_of_the_catalogue() {
    let home = tempfile::tempdir().unwrap();
    let check = ["reference", "--check", "--from", "docs/api.json"];
    mesh(home.path())
        .args(check)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .assert()
        .success();
}

#[test]
fn output_of_others_has_no_colour_codes() {
    let home = tempfile::tempdir().unwrap();
    let output = mesh(home.path()).arg("--help").output().unwrap();
    assert!(!output.stdout.contains(&0x1b));
}
