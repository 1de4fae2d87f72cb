//! `mesh restore`: what a backup holds, on this machine.

use super::{
    backup::{Content, VERSION, of_user},
    context::describe,
    globals::Globals,
    login::print_json,
    output, passphrase,
};
use crate::{
    crypto,
    error::{Error, Result},
    home::{self, Config, Credential, Home},
    keystore::{self, Held},
    pins::{Book, Pins},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// Take the keys of a backup onto this machine
///
/// What this machine holds already stays: of an agent or account that has another key here, the one here is kept unless
/// you say --force. Folders of editors come along where they exist; mesh setup makes others.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh restore ~/mesh.backup
  pass show mesh-backup | mesh restore mesh.backup --passphrase-file -")]
pub struct Args {
    /// The file that mesh backup wrote
    #[arg(value_name = "file")]
    pub file: PathBuf,
    /// Replace other keys of the same agents and accounts
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub passphrase: passphrase::Args,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let sealed = fs::read(&args.file).map_err(|e| of_user(&args.file, e))?;
    let sealed = String::from_utf8_lossy(&sealed);
    let plain = crypto::open_backup(&args.passphrase.known()?, &sealed)?;
    let content: Content = serde_json::from_slice(&plain)
        .ok()
        .filter(|content: &Content| content.v == VERSION)
        .ok_or_else(|| Error::new(400, "this backup was made by another version of Mesh"))?;
    let config: Config = serde_json::from_value(content.config.clone())
        .map_err(|_| Error::new(400, "this backup was made by another version of Mesh"))?;
    let mut rows = Vec::new();
    for credential in &config.credentials {
        if let Some(key) = content.keys.get(&credential.id) {
            let state = take(&home, credential, &Held::parse(key)?, args.force).await?;
            rows.push(json!({"key": describe(credential), "state": state}));
        }
    }
    settle(&home, config)?;
    remember_keys(&home, content.pins)?;
    match globals.json {
        true => print_json(&json!(rows)),
        false => print(&rows),
    }
    Ok(())
}

/// `restored`, `was here`, or `kept`: there is another key here.
async fn take(home: &Home, new: &Credential, held: &Held, force: bool) -> Result<&'static str> {
    let config = home.config()?;
    let here = config
        .credentials
        .iter()
        .find(|c| c.id == new.id || keystore::same_holder(c, new));
    if let Some(here) = here
        && let Some(present) = Held::load(home, &here.id).await?
    {
        if present.is(held) {
            return Ok("was here");
        } else if !force {
            return Ok("kept");
        }
    }
    held.store(home, &new.id).await?;
    keystore::remember(home, new.clone()).await?;
    Ok("restored")
}

/// The rest of config.json, where this machine has nothing of its own.
fn settle(home: &Home, from: Config) -> Result<()> {
    home.update(|config| {
        config.relay = config.relay.take().or(from.relay);
        config.ca = config.ca.take().or(from.ca.filter(|ca| ca.exists()));
        let new = |w: &home::Workspace| {
            w.path.is_dir() && config.workspaces.iter().all(|known| known.path != w.path)
        };
        let new: Vec<_> = from.workspaces.into_iter().filter(new).collect();
        config.workspaces.extend(new);
    })
}

/// Whose key is whose, where this machine has not seen one itself.
fn remember_keys(home: &Home, pins: Value) -> Result<()> {
    let from: Book = match pins {
        Value::Null => Book::default(),
        pins => serde_json::from_value(pins)
            .map_err(|_| Error::new(400, "this backup was made by another version of Mesh"))?,
    };
    let pins = Pins::new(home);
    for (id, from) in from.meshes {
        pins.update(&id, |mesh| {
            if mesh.owner_key.is_empty() {
                *mesh = from;
            } else if mesh.is_owner(&from.owner_key) {
                for (agent_id, mut agent) in from.agents {
                    agent.former |= mesh.namesake(&agent_id, &agent.name).is_some();
                    mesh.agents.entry(agent_id).or_insert(agent);
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn print(rows: &[Value]) {
    output::value(&json!(rows), &[], false);
    if rows.iter().any(|row| row["state"] == "kept") {
        println!("Kept: there is another key here; mesh restore --force replaces it.");
    }
    println!("Next: mesh status");
}
