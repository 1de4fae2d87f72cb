//! The options every command takes.

use std::path::PathBuf;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Globals {
    /// URL of the relay
    #[arg(long, global = true, env = "MESH_RELAY", value_name = "url")]
    pub relay: Option<String>,
    /// The mesh to act in: a name, owner/name or an id
    #[arg(long, global = true, env = "MESH_MESH", value_name = "mesh")]
    pub mesh: Option<String>,
    /// Act as this agent
    #[arg(long, global = true, env = "MESH_AGENT", value_name = "agent")]
    pub agent: Option<String>,
    /// Trust the certificate authorities of this PEM file
    #[arg(long, global = true, env = "MESH_CA", value_name = "file")]
    pub ca: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Keep this machine's files here
    #[arg(long, global = true, env = "MESH_HOME", value_name = "folder")]
    pub home: Option<PathBuf>,
    /// Print no notes
    #[arg(short, long, global = true)]
    pub quiet: bool,
}
