//! `mesh signup`: an account for yourself, where the relay allows it.

use super::{
    globals::Globals,
    login::{Place, ca_of, one, print_json, relay_of, remember_relay, show_once},
};
use crate::{
    crypto::{self, Secret},
    error::Result,
    home::Home,
    keystore::{self, Held},
};
use serde_json::json;

/// Make an account for yourself at a relay
///
/// The account's key is made here and shown once. The relay must allow it (mesh up and mesh relay: --signup open).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh signup alice --relay https://mesh.example.org")]
pub struct Args {
    /// The account's name, unique at the relay
    #[arg(value_name = "name")]
    pub name: String,
    /// How people see you
    #[arg(long, value_name = "text")]
    pub display_name: Option<String>,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let relay = relay_of(globals, &home.config()?)?;
    let place = Place {
        home: &home,
        relay: &relay,
        ca: ca_of(globals)?.or(home.config()?.ca),
    };
    // The same id for the same wish, so that a try whose answer was lost is found again.
    let wish = format!("{relay}\n{}", args.name.to_ascii_lowercase());
    let id = format!("signup-{}", &crypto::sha256_hex(wish.as_bytes())[..12]);
    let stored = Held::load(&home, &id).await?;
    let is_new = stored.is_none();
    let key = stored.map_or_else(|| Secret::generate("mc_"), |held| held.key);
    let known = match is_new {
        true => None,
        false => place.whoami_if_known(&key).await?,
    };
    if known.is_none() {
        Held {
            key: key.clone(),
            identity: None,
        }
        .store(&home, &id)
        .await?;
        let mut arguments = one("name", args.name.as_str().into());
        arguments.insert("secret".into(), key.registration());
        if let Some(display_name) = &args.display_name {
            arguments.insert("display_name".into(), display_name.as_str().into());
        }
        if let Err(error) = place.client(None)?.call("signup", &arguments).await {
            if is_new && (400..500).contains(&error.status()) {
                keystore::delete(&home, &id).await?;
            }
            return Err(error);
        }
    }
    let who = match known {
        Some(who) => who,
        None => place.whoami(&key).await?,
    };
    let already = place.knows(&id)?;
    let credential = place.enter(id, &who).await?;
    remember_relay(&home, globals, &relay)?;
    let account = credential.account.unwrap_or(args.name);
    if globals.json {
        let mut answer = json!({"account": account, "relay": relay, "next": "mesh create proj"});
        if !already {
            answer["key"] = key.text().into();
        }
        print_json(&answer);
        return Ok(());
    }
    println!("Account {account} at {relay}; signed in.");
    if !already {
        show_once(&key);
    }
    println!("Next: mesh create proj");
    Ok(())
}
