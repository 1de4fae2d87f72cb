//! One table row per editor: how it is configured, how it is launched, what to say when it is not installed.

mod claude;
pub mod json;

use crate::error::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What `mesh` knows about an editor.
pub struct Editor {
    /// The name on the command line: `--editor claude`.
    pub id: &'static str,
    /// The name people know.
    pub name: &'static str,
    /// The program that starts it.
    pub program: &'static str,
    /// Writes the entry of the MCP server into the configuration of a workspace; true when something changed.
    pub configure: fn(workspace: &Path, server: &Server) -> Result<bool>,
    /// The arguments that start it in a workspace.
    pub arguments: fn(launch: &Launch) -> Vec<String>,
    /// The command that installs it.
    pub install: &'static str,
    /// What its first start asks, told to the person before it does.
    pub first_start: &'static str,
}

/// The MCP server an editor starts. Holds no secret: the key stays in the keystore.
pub struct Server {
    pub command: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// What an editor is told at its start.
pub struct Launch {
    pub mesh: String,
    pub agent: String,
    pub role: Option<String>,
    pub prompt: Option<String>,
    /// Lets peers' messages wake an idle window, where the editor can do that only behind a flag.
    pub channels: bool,
    /// Arguments of the person, passed on as they are.
    pub extra: Vec<String>,
}

/// Every editor there is.
pub const ALL: &[Editor] = &[claude::EDITOR];

/// The row of `id`; ME404 with the names there are when it is unknown.
pub fn find(id: &str) -> Result<&'static Editor> {
    ALL.iter().find(|editor| editor.id == id).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|editor| editor.id).collect();
        Error::new(
            404,
            format!("no editor named {id:?}; there is {}", known.join(", ")),
        )
    })
}

/// The JSON entry `{"type","command","args","env"}` that most editors take.
fn entry(server: &Server) -> Value {
    let mut entry = serde_json::json!({
        "type": "stdio",
        "command": server.command.to_string_lossy(),
        "args": server.arguments,
    });
    if !server.environment.is_empty() {
        entry["env"] = server
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
    }
    entry
}

/// Whether an entry named `mesh` was written by us: our program, started as an MCP server.
fn is_ours(entry: &Value) -> bool {
    let program = entry["command"]
        .as_str()
        .map(Path::new)
        .and_then(Path::file_stem);
    program.is_some_and(|stem| stem == "mesh") && entry["args"][0] == "mcp"
}
