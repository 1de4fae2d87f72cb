//! The keystore with a real OS keychain (gnome-keyring on a private bus) and without one.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

const MESH: &str = env!("CARGO_BIN_EXE_mesh");

/// `mesh doctor`, offline, in `home`; with a private bus and an unlocked keychain when `keychain`.
fn doctor(home: &Path, keychain: bool) -> (Value, Output) {
    let line = format!("'{MESH}' doctor --json --relay http://127.0.0.1:1");
    let unlock = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1";
    let mut command = match keychain {
        true => Command::new("dbus-run-session"),
        false => Command::new("sh"),
    };
    match keychain {
        true => command.args(["--", "sh", "-c", &format!("{unlock}; {line}")]),
        false => command.args(["-c", &line]),
    };
    let output = command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_RUNTIME_DIR", home)
        .output()
        .expect("dbus-run-session and gnome-keyring are installed");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    let checks = report["checks"].as_array().expect("a list of checks");
    let keystore = checks
        .iter()
        .find(|c| c["check"] == "keystore")
        .expect("a keystore check");
    (keystore.clone(), output)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_keychain_is_used_and_never_left_silently() {
    let home = tempfile::tempdir().unwrap();
    let (keystore, output) = doctor(home.path(), true);
    assert_eq!(keystore["verdict"], "ok", "{keystore} {}", stderr(&output));
    assert_eq!(keystore["message"], "keyring (the OS keychain)");
    let data = home.path().join("data/mesh");
    let config = std::fs::read_to_string(data.join("config.json")).unwrap();
    assert!(config.contains(r#""keystore": "keyring""#), "{config}");

    let (keystore, _) = doctor(home.path(), false);
    assert_eq!(
        keystore["verdict"], "fail",
        "the keychain is away: an error, no move to files"
    );
    assert!(!data.join("keys").exists());
}

#[test]
fn without_a_keychain_files_are_used_and_said_once() {
    let home = tempfile::tempdir().unwrap();
    let (keystore, output) = doctor(home.path(), false);
    assert_eq!(keystore["verdict"], "ok", "{keystore}");
    assert!(
        keystore["message"]
            .as_str()
            .unwrap()
            .starts_with("file (no usable OS keychain")
    );
    let warning = stderr(&output);
    let keys = home.path().join("data/mesh/keys");
    assert!(
        warning.contains("no usable OS keychain") && warning.contains(&*keys.to_string_lossy()),
        "{warning}"
    );
    let (_, again) = doctor(home.path(), false);
    assert!(!stderr(&again).contains("keychain"), "{}", stderr(&again));
}
