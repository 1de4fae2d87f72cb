//! A key is in the keystore and nowhere else: no argv, no environment, no log, no folder, no error, no database.

use super::clean::Clean;
use crate::common::editor::Editor;
use serde_json::json;
use std::path::{Path, PathBuf};

#[test]
fn keys_and_bearers_are_in_the_keystore_and_nowhere_else() {
    let (owner, friend) = (Clean::new(), Clean::new());
    let relay = owner.up();
    owner.ok(&["create", "proj"]);
    owner.ok(&["setup", "commander"]);
    let ticket = owner.ok(&["psql", "-XAtc", "select mesh.create_account('alice')"]);
    let alice = Clean::new();
    alice.ok(&["login", ticket.trim(), "--relay", &relay]);
    let invite = owner.json(&["invite", "proj", "designer"]);
    friend.ok(&["join", invite["join_url"].as_str().expect("a URL")]);

    // What the started editor, and so every program it starts, can see of itself.
    let path = friend.claude(
        "tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; cat .mcp.json",
    );
    let mut command = friend.command(crate::common::MESH);
    let key = friend.ok(&["token", "--key"]);
    command
        .env("PATH", path)
        .env("MESH_KEY", key.trim())
        .args(["run", "designer", "--channels"]);
    let ran = super::clean::run(command);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("mcpServers"), "{ran:?}");
    none_in("the editor's process", &format!("{}{}", ran.out, ran.err));

    // A window that works: its command line, and what it says on the way.
    let workspace = friend.mesh_home().join("workspaces/proj/designer");
    let mut command = friend.command(crate::common::MESH);
    command
        .arg("mcp")
        .current_dir(&workspace)
        .env("RUST_LOG", "trace");
    let mut window = Editor::run(command);
    window.initialize("claude-code", "2025-11-25");
    let (who, _) = window.call("whoami", json!({}));
    assert_eq!(who["agent"], "designer", "{who}");
    let line = std::fs::read(format!("/proc/{}/cmdline", window.pid())).expect("it runs");
    none_in("mesh mcp's command line", &String::from_utf8_lossy(&line));
    window.call("send_message", json!({"to": "commander", "message": "x"}));
    window.hang_up();

    // Errors name no key, whichever it was.
    let wrong = format!("mc_{}", "0".repeat(48));
    for args in [
        &["login", &wrong] as &[&str],
        &["join", &format!("{relay}/join#mc_inv_{}", "0".repeat(48))],
    ] {
        let did = alice.mesh(&[args, &["--relay", &relay]].concat());
        assert_ne!(did.code, 0);
        none_in("an error", &format!("{}{}", did.out, did.err));
    }
    owner.ok(&["down"]);
    for machine in [&owner, &friend, &alice] {
        let mut seen = 0;
        walk(machine.home.path(), &mut |path, bytes| {
            seen += 1;
            if path.parent() != Some(&machine.mesh_home().join("keys")) {
                none_in(&path.display().to_string(), &String::from_utf8_lossy(bytes));
            }
        });
        assert!(seen >= 3, "{seen} files");
        let keys = machine.mesh_home().join("keys");
        assert!(
            std::fs::read_dir(keys).expect("keys").count() > 0,
            "this test would find them"
        );
    }
}

/// Panics when the text holds a whole key, invite or bearer.
fn none_in(place: &str, text: &str) {
    for (prefix, digits) in [("mc_inv_", 48), ("mc_", 48), ("mt_", 64)] {
        for (at, _) in text.match_indices(prefix) {
            let rest = text[at + prefix.len()..].bytes();
            let hex = rest.take_while(|b| b.is_ascii_hexdigit()).count();
            assert!(hex < digits, "{place} holds {prefix}…");
        }
    }
}

fn walk(folder: &Path, each: &mut impl FnMut(&PathBuf, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() {
            walk(&path, each);
        } else if kind.is_file() {
            each(&path, &std::fs::read(&path).expect("a file"));
        }
    }
}
