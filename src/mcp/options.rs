//! What `mesh mcp` was told, and what is known before the relay is asked.

use super::Shown;
use crate::{
    catalogue::Catalogue,
    cli::{context, globals::Globals},
    error::Result,
    home::Home,
};

/// What `mesh mcp` was told.
pub struct Options {
    pub globals: Globals,
    /// The agent and the mesh as far as they are known before the session is.
    pub agent: Option<String>,
    pub mesh: Option<String>,
    /// Takes the agent over from another window.
    pub takeover: bool,
    pub shown: Shown,
    /// The relay's catalogue as this machine last saw it.
    pub catalogue: Catalogue,
}

impl Options {
    /// Names and catalogue from what this machine knows; nothing is asked of the relay or the keystore.
    pub fn new(globals: Globals, takeover: bool, shown: Shown) -> Result<Options> {
        let home = Home::find(globals.home.as_deref())?;
        // A configuration that cannot be read is told by the tools, not by a server that does not start.
        let config = home.config().unwrap_or_default();
        let here = std::env::current_dir().unwrap_or_default();
        let workspace = context::workspace(&config, &here);
        let relay = globals
            .relay
            .as_deref()
            .or(workspace.map(|w| &*w.relay))
            .or(config.relay.as_deref());
        let catalogue = Catalogue::current(&home, relay.unwrap_or_default());
        let agent = globals.agent.clone().or(workspace.map(|w| w.agent.clone()));
        let mesh = globals.mesh.clone().or(workspace.map(|w| w.mesh.clone()));
        Ok(Options {
            globals,
            agent,
            mesh,
            takeover,
            shown,
            catalogue,
        })
    }
}
