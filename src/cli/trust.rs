//! `mesh trust`: take a key that has changed.

use super::{
    globals::Globals,
    login::print_json,
    peer::{Here, in_lines, short},
    text,
};
use crate::{
    error::{Error, Result},
    pins::Agent,
};
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write};
use time::OffsetDateTime;

/// Take the new key of an agent, or of the owner of the mesh
///
/// This machine keeps the first key it sees of everybody, and refuses another until you say so here. Ask the other first,
/// by telephone say: a new key is what a lost machine looks like, and what an impostor looks like.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh trust designer
  mesh trust --owner --transferred")]
pub struct Args {
    /// The agent whose key changed
    #[arg(value_name = "agent", required_unless_present_any = ["owner", "mode"], conflicts_with_all = ["owner", "mode"])]
    pub name: Option<String>,
    /// The owner of the mesh has a new key, or is another
    #[arg(long, conflicts_with = "mode")]
    pub owner: bool,
    /// With --owner: the one before gave the mesh away, so what that one signed stays good
    #[arg(long, requires = "owner")]
    pub transferred: bool,
    /// The mesh is open now: what is sent there is readable by the server
    #[arg(long)]
    pub mode: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let here = Here::find(globals).await?;
    match &args.name {
        Some(name) => agent(&here, name, args.yes, globals.json).await,
        None if args.owner => owner(&here, &args, globals.json).await,
        None => mode(&here, args.yes, globals.json),
    }
}

async fn agent(here: &Here, name: &str, yes: bool, as_json: bool) -> Result<()> {
    let peer = here.peer(name).await?;
    let before = peer.pinned.as_ref();
    let is_new = before.is_none_or(|pinned| pinned.former || pinned.key != peer.key);
    if is_new {
        let verdict = peer.doubt.as_ref().map_or_else(
            || "the owner of the mesh vouches for it".to_owned(),
            |why| format!("NOBODY vouches for it: {why}"),
        );
        let old = before.map_or_else(
            || "none".to_owned(),
            |pinned| format!("{}, seen {}", short(&pinned.key), pinned.seen_at.date()),
        );
        let number = in_lines(&here.safety_number(&peer.key)?).replace('\n', "\n          ");
        show(&[
            ("agent", format!("{} of {}", peer.name, here.mesh())),
            ("old key", old),
            ("new key", short(&peer.key).to_owned()),
            ("chain", verdict),
            ("number", number),
        ]);
        confirm("Take the new key?", yes)?;
        here.pins.update(&here.mesh_id, |mesh| {
            // What its namesake sent before stays readable.
            let named = mesh.agents.values_mut().filter(|a| a.name == peer.name);
            named.for_each(|agent| agent.former = true);
            let new = Agent {
                name: peer.name.clone(),
                key: peer.key.clone(),
                seen_at: OffsetDateTime::now_utc(),
                former: false,
            };
            mesh.agents.insert(peer.agent_id.clone(), new);
            Ok(())
        })?;
        here.retry_unopened().await?;
    }
    let said = match is_new {
        true => format!(
            "{} is trusted with the key {}. What could not be opened before comes again now.",
            peer.name,
            short(&peer.key)
        ),
        false => format!("The key of {} is the one this machine has seen.", peer.name),
    };
    done(
        json!({"agent": peer.name, "key": peer.key, "before": before.map(|pinned| &pinned.key), "changed": is_new}),
        &said,
        as_json,
    );
    Ok(())
}

async fn owner(here: &Here, args: &Args, as_json: bool) -> Result<()> {
    let key = here.who["owner_key"].as_str().unwrap_or_default();
    let before = here.pinned.owner_key.clone();
    if key.is_empty() {
        return Err(Error::new(404, "the relay does not say who owns this mesh"));
    }
    let is_new = key != before;
    if is_new {
        let name = here.who["owner"].as_str().unwrap_or("somebody");
        let what = match args.transferred {
            true => "what the one before signed stays good",
            false => "what the one before signed is no longer believed; --transferred keeps it",
        };
        show(&[
            ("mesh", here.mesh().to_owned()),
            ("old owner", short(&before).to_owned()),
            ("new owner", format!("{} {name}", short(key))),
            ("agents", what.to_owned()),
        ]);
        confirm("Take the new owner?", args.yes)?;
        here.pins.update(&here.mesh_id, |mesh| {
            mesh.former_owner_keys.retain(|former| former != key);
            if args.transferred && !before.is_empty() {
                mesh.former_owner_keys.push(before.clone());
            }
            key.clone_into(&mut mesh.owner_key);
            Ok(())
        })?;
        here.retry_unopened().await?;
    }
    let said = match is_new {
        true => format!(
            "The owner of {} is trusted with the key {}.",
            here.mesh(),
            short(key)
        ),
        false => format!(
            "The owner of {} is the one this machine has seen.",
            here.mesh()
        ),
    };
    done(
        json!({"mesh": here.mesh(), "owner_key": key, "before": before, "changed": is_new}),
        &said,
        as_json,
    );
    Ok(())
}

fn mode(here: &Here, yes: bool, as_json: bool) -> Result<()> {
    let is_open = here.who["mode"] == "open";
    let is_new = is_open && here.pinned.sealed;
    if is_new {
        show(&[
            ("mesh", here.mesh().to_owned()),
            ("before", "sealed".to_owned()),
            (
                "now",
                "open: the server reads what is sent from now on".to_owned(),
            ),
        ]);
        confirm("Send readable messages there?", yes)?;
        here.pins.want(&here.mesh_id, false)?;
    }
    let said = match is_new {
        true => format!("{} is open to this machine.", here.mesh()),
        false => format!(
            "Nothing changed: {} is {}.",
            here.mesh(),
            if is_open { "open" } else { "sealed" }
        ),
    };
    done(
        json!({"mesh": here.mesh(), "mode": here.who["mode"], "changed": is_new}),
        &said,
        as_json,
    );
    Ok(())
}

/// On stderr, so that stdout has the outcome only.
fn show(lines: &[(&str, String)]) {
    for (name, value) in lines {
        let value: Vec<_> = value.lines().map(text::clean).collect();
        eprintln!("{name:<9} {}", value.join("\n"));
    }
}

/// ME403 when the answer is not yes; ME400 when nobody is there to answer.
fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("nobody is there to answer: say --yes"));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new(403, "nothing was changed")),
    }
}

fn done(answer: Value, said: &str, as_json: bool) {
    match as_json {
        true => print_json(&answer),
        false => println!("{}", text::clean_line(said)),
    }
}
