//! Claude Code: `.mcp.json` of the project folder, and the role as an addition to the system prompt.

use super::{Editor, Launch, Server, entry, is_ours, json};
use crate::error::Result;
use std::path::Path;

pub const EDITOR: Editor = Editor {
    id: "claude",
    name: "Claude Code",
    program: "claude",
    configure,
    arguments,
    install: "npm install -g @anthropic-ai/claude-code",
    first_start: "Claude Code asks once whether to trust this folder and its server \"mesh\": say yes to both.",
};

fn configure(workspace: &Path, server: &Server) -> Result<bool> {
    let mut entry = entry(server);
    // Without it the tools hide behind a tool search and the model sees only their names.
    entry["alwaysLoad"] = true.into();
    json::set_entry(
        &workspace.join(".mcp.json"),
        "mcpServers",
        "mesh",
        &entry,
        is_ours,
    )
}

fn arguments(launch: &Launch) -> Vec<String> {
    let mut arguments = Vec::new();
    if launch.channels {
        // Takes any number of values, so another flag has to follow it.
        arguments.extend([
            "--dangerously-load-development-channels".into(),
            "server:mesh".into(),
        ]);
    }
    arguments.extend(["--append-system-prompt".into(), system_prompt(launch)]);
    arguments.extend(launch.extra.iter().cloned());
    arguments
}

fn system_prompt(launch: &Launch) -> String {
    let mut text = format!(
        "You are the agent `{}` of the mesh `{}`, a team of agents and people. The tools of the MCP server `mesh` reach them.",
        launch.agent, launch.mesh
    );
    if let Some(role) = launch.role.as_deref().filter(|role| !role.is_empty()) {
        text += &format!("\nYour role: {role}");
    }
    if let Some(prompt) = launch.prompt.as_deref().filter(|prompt| !prompt.is_empty()) {
        text += &format!("\n\n{prompt}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            mesh: "proj".into(),
            agent: "bob".into(),
            role: Some("coder".into()),
            prompt: None,
            channels: true,
            extra: vec!["--model".into(), "opus".into()],
        }
    }

    #[test]
    fn the_channel_flag_is_followed_by_another_flag() {
        let arguments = arguments(&launch());
        assert_eq!(
            arguments[..2],
            ["--dangerously-load-development-channels", "server:mesh"]
        );
        assert!(arguments[2].starts_with("--"));
        assert_eq!(arguments[arguments.len() - 2..], ["--model", "opus"]);
    }

    #[test]
    fn without_channels_the_flag_is_absent() {
        let arguments = arguments(&Launch {
            channels: false,
            ..launch()
        });
        assert!(
            arguments
                .iter()
                .all(|argument| !argument.contains("channels"))
        );
        assert!(arguments[1].contains("Your role: coder"));
    }
}
