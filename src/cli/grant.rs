//! `mesh grant`: let an agent read what was sealed before it came.

use super::{context, globals::Globals, login::print_json, text};
use crate::error::{Error, Result};
use serde_json::json;

/// Let an agent read messages it asked for
///
/// What was said in a room before an agent came is sealed for those who were there. It asks with `mesh room ask`; any
/// of them grants it. The keys of those messages are boxed for it on this machine.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh room requests
  mesh grant designer")]
pub struct Args {
    /// Who asked
    #[arg(value_name = "agent")]
    pub name: String,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let context = context::resolve(globals).await?;
    let sealing = context.sealing().ok_or_else(|| {
        Error::new(
            401,
            "nobody is signed in here, so there is nothing to grant",
        )
        .hint("mesh login")
    })?;
    let granted = sealing.grant(&context.client, &args.name).await?;
    if globals.json {
        print_json(&json!(granted));
        return Ok(());
    }
    let agent = text::clean_line(&args.name);
    match granted.messages {
        0 => println!("{agent} asks for nothing that can be read here."),
        1 => println!("{agent} can read 1 more message now."),
        many => println!("{agent} can read {many} more messages now."),
    }
    for why in &granted.left {
        println!("Not granted: {}", text::clean_line(why));
    }
    Ok(())
}
