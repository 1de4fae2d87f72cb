//! `mesh mcp`: be the MCP server of an editor.

use crate::{
    cli::globals::Globals,
    error::Result,
    mcp::{self, Shown},
};

/// Be the MCP server of an editor, on stdin and stdout
///
/// Acts as the agent of the workspace it runs in, or as --agent in --mesh. `mesh setup` writes the editor's configuration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mesh mcp\n  mesh mcp --mesh proj --agent designer --tools all"
)]
pub struct Args {
    /// Take the agent over from another window that is open
    #[arg(long)]
    pub takeover: bool,
    /// Which tools are listed; with core the others are found by search
    #[arg(long, value_enum, default_value_t)]
    pub tools: Shown,
}

/// Serves until the editor goes away.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    super::log_to_stderr();
    mcp::serve(mcp::Options::new(
        globals.clone(),
        args.takeover,
        args.tools,
    )?)
    .await
}
