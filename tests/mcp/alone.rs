//! A window whose relay is not there: the protocol, and what it knows by itself.

use crate::common::editor::Editor;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A window whose relay is not there.
fn alone(folder: &std::path::Path) -> Editor {
    Editor::start(
        folder,
        &[
            "--relay",
            "http://127.0.0.1:9",
            "mcp",
            "--mesh",
            "proj",
            "--agent",
            "bob",
        ],
    )
}

#[test]
fn a_probe_for_a_newer_protocol_is_refused_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = alone(folder.path());
    let meta = json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "claude-code", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}});
    for params in [meta.clone(), json!({}), json!({"more": 1})] {
        assert_eq!(
            editor.request("server/discover", params)["error"]["code"],
            -32601
        );
    }
    assert_eq!(editor.request("tools/list", meta)["error"]["code"], -32600);
    let hello = editor.initialize("claude-code", "2026-07-28");
    assert_eq!(hello["protocolVersion"], "2025-11-25");
    assert!(hello["capabilities"]["experimental"]["claude/channel"].is_object());
    assert_eq!(
        editor.request("server/discover", json!({}))["error"]["code"],
        -32601
    );
}

#[test]
fn the_instructions_name_the_agent_and_are_short() {
    let folder = tempfile::tempdir().unwrap();
    let hello = alone(folder.path()).initialize("any", "2025-06-18");
    assert_eq!(hello["protocolVersion"], "2025-06-18");
    let text = hello["instructions"].as_str().unwrap();
    assert!(text.contains("agent `bob` of the mesh `proj`") && !text.contains('{'));
    // Fewer than 2,000 tokens at three characters each.
    assert!(text.len() < 6_000, "{}", text.len());
}

#[test]
fn tools_are_listed_while_the_relay_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = alone(folder.path());
    editor.initialize("any", "2025-11-25");
    let tools = editor.request("tools/list", json!({}))["result"]["tools"].clone();
    let tools = tools.as_array().unwrap();
    let catalogue: Value = serde_json::from_str(include_str!("../../docs/api.json")).unwrap();
    let functions = catalogue["functions"].as_array().unwrap();
    let is_destructive = |tool: &Value| {
        let mut same = functions.iter().filter(|f| f["name"] == tool["name"]);
        tool["name"] == "call_destructive_tool"
            || same.any(|function| function["destructive"] == true)
    };
    assert!(tools.len() <= 27, "{}", tools.len());
    for name in [
        "send_message",
        "check_messages",
        "wait",
        "list_peers",
        "find_tools",
        "call_tool",
        "call_destructive_tool",
    ] {
        assert!(tools.iter().any(|tool| tool["name"] == name), "{name}");
    }
    for tool in tools {
        assert_eq!(tool["annotations"]["openWorldHint"], false, "{tool}");
        let hint = &tool["annotations"]["destructiveHint"];
        assert_eq!(hint, is_destructive(tool), "{tool}");
        let text = tool["inputSchema"].to_string();
        assert!(
            !text.contains("anyOf") && !text.contains("$ref") && !text.contains("\"type\":["),
            "{text}"
        );
    }
}

#[test]
fn bad_calls_are_results_the_model_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = alone(folder.path());
    editor.initialize("any", "2025-11-25");
    let calls = [
        json!({"name": 5}),
        json!({"name": "whoami", "arguments": "text"}),
        json!({"name": "call_tool", "arguments": {}}),
        json!({"name": "call_destructive_tool", "arguments": {}}),
        json!({"name": "call_tool", "arguments": {"name": "list_meshes", "arguments": []}}),
        json!({"name": "whoami", "arguments": {}}),
    ];
    for call in calls {
        let answer = editor.request("tools/call", call.clone());
        assert_eq!(answer["result"]["isError"], true, "{call} {answer}");
        let error: Value =
            serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert!(
            error["code"].as_str().unwrap().starts_with("ME4"),
            "{call} {error}"
        );
    }
    for line in ["nonsense", "[]", "{\"jsonrpc\":\"2.0\",\"id\":7}"] {
        editor.write(line);
    }
    assert!(editor.request("ping", json!({}))["result"].is_object());
}

#[test]
fn it_ends_when_the_editor_does() {
    let folder = tempfile::tempdir().unwrap();
    for initialized in [false, true] {
        let mut editor = alone(folder.path());
        if initialized {
            editor.initialize("any", "2025-11-25");
        }
        let since = Instant::now();
        assert!(editor.hang_up().success());
        assert!(since.elapsed() < Duration::from_secs(3));
    }
}
