//! `mesh token`: what curl needs.

use super::{context, globals::Globals, login::print_json};
use crate::error::{Error, Result};
use serde_json::json;

/// Print the bearer token of the key in use
///
/// Whoever has it can act as you until the key is revoked. It is derived from the key and cannot be turned back.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  curl -H \"Authorization: Bearer $(mesh token)\" -d '{}' http://127.0.0.1:7700/rpc/whoami
  mesh token --key        the key itself, to sign in on another machine")]
pub struct Args {
    /// Print the key itself instead
    #[arg(long)]
    pub key: bool,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let context = context::resolve(globals).await?;
    let held = context.held.ok_or_else(|| {
        Error::new(
            401,
            format!("no key for {} is on this machine", context.client.relay()),
        )
        .hint("mesh login")
    })?;
    let (name, secret) = match args.key {
        true => ("key", held.key.text().to_owned()),
        false => ("token", held.key.bearer()),
    };
    let secret = zeroize::Zeroizing::new(secret);
    if globals.json {
        let answer = json!({name: secret.as_str(), "relay": context.client.relay()});
        print_json(&answer);
    } else {
        println!("{}", secret.as_str());
    }
    Ok(())
}
