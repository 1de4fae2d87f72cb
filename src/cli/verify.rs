//! `mesh verify`: is there nobody between this agent and another?

use super::{
    globals::Globals,
    login::print_json,
    peer::{Here, in_lines},
    text,
};
use crate::error::{Error, Result};
use serde_json::json;

/// Show the number that you and another agent compare
///
/// Both see the same 60 digits when each has the other's true key. Compare them where the relay is not in between: by
/// telephone, or side by side. Other digits mean that somebody gave one of you a false key.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh verify designer
  mesh --agent backend verify designer")]
pub struct Args {
    /// The other agent
    #[arg(value_name = "agent")]
    pub name: String,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let here = Here::find(globals).await?;
    let peer = here.peer(&args.name).await?;
    if let Some(pinned) = peer.pinned.as_ref().filter(|pinned| pinned.key != peer.key) {
        let message = format!(
            "the key of {} changed since this machine saw it ({})",
            peer.name,
            pinned.seen_at.date()
        );
        return Err(Error::new(409, message).hint(format!("mesh trust {}", peer.name)));
    }
    let number = here.safety_number(&peer.key)?;
    let vouched = match &peer.doubt {
        None => "The owner of the mesh vouches for this key".to_owned(),
        Some(why) => format!("Nobody vouches for this key: {why}"),
    };
    if globals.json {
        print_json(
            &json!({"agent": peer.name, "mesh": here.mesh(), "number": number, "key": peer.key,
            "own_key": here.own_key, "pinned": peer.pinned.is_some(), "doubt": peer.doubt}),
        );
        return Ok(());
    }
    println!("{}\n", in_lines(&number));
    println!(
        "{} sees the same with: mesh verify {}",
        text::clean_line(&peer.name),
        text::clean_line(here.own_name())
    );
    println!(
        "Other digits: somebody is in between. {}.",
        text::clean_line(&vouched)
    );
    Ok(())
}
