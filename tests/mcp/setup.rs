//! `mesh setup` and `mesh run`: how an editor gets its window.

use crate::common::{editor::Editor, team::Team};
use serde_json::{Value, json};

#[test]
fn setup_may_be_run_again_and_many_times_at_once() {
    let team = Team::of(&[]);
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| team.mesh(&["setup", "bob", "--role", "coder"]).0))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(codes, [0; 4]);
    let keys: Vec<Value> = serde_json::from_str(&team.mesh(&["key", "list", "--json"]).1).unwrap();
    assert_eq!(keys.iter().filter(|key| key["agent"] == "bob").count(), 1);

    let workspace = team.home().join("workspaces/proj/bob");
    std::fs::remove_dir_all(&workspace).unwrap();
    let (code, shown) = team.mesh(&[
        "run",
        "bob",
        "--no-launch",
        "--json",
        "--",
        "--model",
        "opus",
    ]);
    assert_eq!(code, 0);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["cwd"], workspace.to_str().unwrap());
    let arguments = shown["args"].to_string();
    assert!(
        arguments.contains("Your role: coder")
            && arguments.contains("opus")
            && !arguments.contains("mc_"),
        "{arguments}"
    );
    let config = std::fs::read_to_string(workspace.join(".mcp.json")).unwrap();
    assert!(
        config.contains("\"alwaysLoad\": true") && !config.contains("mc_"),
        "{config}"
    );

    let mut window = Editor::in_folder(&workspace, team.home(), &["mcp"]);
    assert!(
        window.initialize("any", "2025-11-25")["instructions"]
            .as_str()
            .unwrap()
            .contains("agent `bob`")
    );
    assert_eq!(window.call("whoami", json!({})).0["role"], "coder");
}

#[test]
fn setup_leaves_what_is_not_ours() {
    let team = Team::of(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".mcp.json");
    let setup = ["setup", "bob", "--dir", folder.path().to_str().unwrap()];
    for text in [
        "// mine\n{}",
        "{\"mcpServers\":{\"mesh\":{\"command\":\"other\"}}}",
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(team.mesh(&setup).0, 1);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    std::fs::write(
        &file,
        "{\n   \"mcpServers\": {\n      \"other\": {\"command\": \"x\"}\n   }\n}\n",
    )
    .unwrap();
    assert_eq!(team.mesh(&setup).0, 0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with(
            "{\n   \"mcpServers\": {\n      \"other\": {\"command\": \"x\"},\n      \"mesh\": {"
        ),
        "{text}"
    );
    for name in ["../x", "all", "a/b", "deadbeef"] {
        assert_eq!(team.mesh(&["setup", name]).0, 2, "{name}");
    }
}

#[test]
fn run_becomes_the_editor_and_hands_it_no_key() {
    use std::os::unix::fs::PermissionsExt;
    let team = Team::of(&["bob"]);
    let bin = tempfile::tempdir().unwrap();
    let program = bin.path().join("claude");
    std::fs::write(
        &program,
        "#!/bin/sh\npwd\necho \"$@\"\nenv | grep mc_\nexit 7\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        bin.path().display(),
        std::env::var("PATH").unwrap()
    );
    let run = |path: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mesh"));
        command.arg("--home").arg(team.home()).args([
            "run",
            "bob",
            "--channels",
            "--",
            "--model",
            "opus",
        ]);
        command
            .env("PATH", path)
            .env("MESH_KEY", "mc_not_this")
            .output()
            .unwrap()
    };
    let output = run(&path);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(
        text.lines()
            .next()
            .unwrap()
            .ends_with("workspaces/proj/bob"),
        "{text}"
    );
    assert!(
        text.contains("server:mesh --append-system-prompt") && text.contains("--model opus"),
        "{text}"
    );
    assert!(!text.contains("mc_"), "{text}");
    let missing = run("/nowhere");
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        String::from_utf8(missing.stderr)
            .unwrap()
            .contains("npm install")
    );
}
