//! `mesh logout`: forget a key on this machine.

use super::{
    context::{describe, is_mesh},
    globals::Globals,
    login::{print_json, relay_of},
    text,
};
use crate::{
    error::{Error, Result},
    home::{Credential, Home},
    keystore,
};
use serde_json::json;

/// Forget a key on this machine
///
/// Forgets the account's key for the relay; with --agent, that agent's; with --all, every key for the relay. The keys
/// stay good elsewhere: mesh key revoke ends one everywhere.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh logout
  mesh logout --relay https://mesh.example.org --all
  mesh logout --agent designer")]
pub struct Args {
    /// Forget the keys of agents too
    #[arg(long)]
    pub all: bool,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let config = home.config()?;
    let relay = relay_of(globals, &config)?;
    let chosen = |c: &&Credential| {
        let is_named = |name: &String| {
            c.agent
                .as_deref()
                .is_some_and(|a| a.eq_ignore_ascii_case(name))
        };
        c.relay == relay
            && match &globals.agent {
                Some(name) => {
                    is_named(name) && globals.mesh.as_deref().is_none_or(|mesh| is_mesh(c, mesh))
                }
                None => args.all || c.kind == "account",
            }
    };
    let going: Vec<Credential> = config.credentials.iter().filter(chosen).cloned().collect();
    if going.is_empty() {
        return Err(
            Error::new(404, format!("no such key for {relay} is on this machine"))
                .hint("mesh status"),
        );
    }
    for credential in &going {
        // The key first: a name without a key says so, a key without a name would be forgotten in the keychain.
        keystore::delete(&home, &credential.id).await?;
        home.update(|config| config.credentials.retain(|c| c.id != credential.id))?;
    }
    let names: Vec<_> = going.iter().map(describe).collect();
    if globals.json {
        print_json(&json!({"forgotten": names}));
    } else {
        names
            .iter()
            .for_each(|name| println!("Forgot the key of {}.", text::clean(name)));
    }
    Ok(())
}
