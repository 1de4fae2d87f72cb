//! The options every command takes.

use clap::{ArgMatches, FromArgMatches as _, parser::ValueSource};
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

impl Globals {
    /// As given. An empty variable is none; an empty option is a mistake, and stays.
    pub fn given(matches: &ArgMatches) -> Result<Globals, clap::Error> {
        let mut globals = Globals::from_arg_matches(matches)?;
        let texts = [
            ("relay", &mut globals.relay),
            ("mesh", &mut globals.mesh),
            ("agent", &mut globals.agent),
        ];
        for (id, value) in texts {
            let is_variable = matches.value_source(id) == Some(ValueSource::EnvVariable);
            if is_variable && value.as_deref() == Some("") {
                *value = None;
            }
        }
        Ok(globals)
    }
}

/// What a variable of the environment says. An empty one says nothing.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}
