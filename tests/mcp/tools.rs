//! The tools a window lists, and the doors to the others.

use crate::common::{Machine, editor::Editor, team::Team};
use serde_json::{Value, json};

#[test]
fn what_is_destructive_is_called_through_a_door_that_says_so() {
    let team = Team::of(&["alice"]);
    let mut alice = team.window("alice", "any");
    let (found, _) = alice.call("find_tools", json!({"query": "room"}));
    let (harmless, destructive) = ("call_tool", "call_destructive_tool");
    for (call, argument, door, wrong) in [
        ("create_room", "name", harmless, destructive),
        ("close_room", "room", destructive, harmless),
    ] {
        let mut found = found.as_array().unwrap().iter();
        let tool = found.find(|tool| tool["name"] == call).unwrap();
        assert_eq!(tool["call_with"], door);
        let arguments = json!({"name": call, "arguments": {argument: "ideas"}});
        let (refused, _) = alice.call(wrong, arguments.clone());
        assert_eq!(
            (&refused["code"], &refused["hint"]),
            (&json!("ME403"), &json!(door))
        );
        assert_eq!(alice.call(door, arguments).1["isError"], false, "{call}");
    }
}

#[test]
fn a_window_lists_24_tools_and_the_doors_and_finds_the_others() {
    let team = Team::of(&["alice"]);
    let invite = team.mesh(&["invite", "proj", "ann", "--json"]).1;
    let invite: Value = serde_json::from_str(&invite).unwrap();
    let url = invite["join_url"].as_str().unwrap();
    let guest = Machine::new(url.split("/join").next().unwrap());
    guest.json(&["join", url]);
    let catalogue: Value = serde_json::from_str(include_str!("../../docs/api.json")).unwrap();
    let functions = catalogue["functions"].as_array().unwrap();
    let doors = ["find_tools", "call_tool", "call_destructive_tool"];
    let mut windows = [
        (true, team.window("alice", "any")),
        (false, Editor::on(&guest, &["mcp"])),
    ];
    windows[1].1.initialize("any", "2025-11-25");
    for (manages, window) in &mut windows {
        assert_eq!(window.call("whoami", json!({})).0["manage"], *manages);
        let listed: Vec<String> = window.tools().iter().map(name).collect();
        assert!(doors.iter().all(|door| listed.contains(&(*door).into())));
        assert!(listed.len() <= 24 + doors.len(), "{listed:?}");
        let (found, _) = window.call("find_tools", json!({}));
        let found: Vec<String> = found.as_array().unwrap().iter().map(name).collect();
        for function in functions {
            let who = function["who"].as_str().unwrap();
            let may = matches!(who, "anyone" | "any" | "agent") || *manages && who == "manage";
            let may = may && function["mcp"] != "never";
            let times = [&listed, &found].map(|names| names.contains(&name(function)));
            assert_eq!(times.contains(&true), may, "{function}");
            assert_ne!(times, [true, true], "{function}");
        }
    }
}

fn name(of: &Value) -> String {
    of["name"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_client_of_the_newest_revision_falls_back() {
    use rmcp::{ServiceExt, model::CallToolRequestParams, transport::TokioChildProcess};
    let team = tokio::task::spawn_blocking(|| Team::of(&["alice"]))
        .await
        .unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mesh"));
    command
        .arg("--home")
        .arg(team.home())
        .args(["mcp", "--mesh", "proj", "--agent", "alice"]);
    let client = ().serve(TokioChildProcess::new(command).unwrap()).await.unwrap();
    assert_eq!(
        client.peer_info().unwrap().protocol_version.as_str(),
        "2025-11-25"
    );
    let tools = client.list_all_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "send_message"));
    let who = client
        .call_tool(CallToolRequestParams::new("whoami"))
        .await
        .unwrap();
    assert_eq!(who.structured_content.unwrap()["agent"], "alice");
    client.cancel().await.unwrap();
}
