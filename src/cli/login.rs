//! `mesh login`: use a key on this machine.

mod place;

use super::{globals::Globals, text};
use crate::{
    crypto::Secret,
    error::{Error, Result},
    home::{Credential, Home},
    keystore::{self, Held},
    rpc::relay_url,
};
use serde_json::{Map, Value, json};
use std::{
    io::{BufRead, IsTerminal},
    path::PathBuf,
};
use zeroize::Zeroizing;

pub use place::{Place, ca_of, relay_of, remember_relay};

/// Sign in on this machine with a key
///
/// The key goes into the OS keychain, or where there is none into a file that only you can read. A one-time key from
/// an administrator becomes a key of your own, which is shown once. Without a key it is asked for and not shown.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh login mc_… --relay https://mesh.example.org
  pass show mesh | mesh login -")]
pub struct Args {
    /// The key; - reads it from stdin
    #[arg(value_name = "mc_…", allow_hyphen_values = true)]
    pub key: Option<String>,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let relay = relay_of(globals, &home.config()?)?;
    let key = read_secret(args.key, "Key: ")?;
    let done = sign_in(&home, &relay, ca_of(globals)?, key).await?;
    remember_relay(&home, globals, &relay)?;
    let backend = keystore::backend(&home).await?;
    if globals.json {
        let credential = &done.credential;
        let mut answer = json!({"kind": credential.kind, "account": credential.account, "mesh": credential.mesh,
            "agent": credential.agent, "relay": relay, "keystore": backend, "next": done.next()});
        if let Some(key) = &done.new_key {
            answer["key"] = key.text().into();
        }
        print_json(&answer);
        return Ok(());
    }
    println!("Signed in as {}.", done.name());
    if let Some(key) = &done.new_key {
        show_once(key);
    }
    if done.credential.kind == "agent" && !done.has_identity {
        println!(
            "This key can read and write messages. To open a window, use the machine where the agent was set up:"
        );
        println!("its identity is there.");
    }
    println!("Next: {}", done.next());
    Ok(())
}

/// Signs in with `key` at `relay` and keeps it in the keystore; a one-time key becomes one made here, without showing
/// it. Returns the account's name (or the agent's, for a scoped key).
///
/// Safe to repeat after a crash or a lost answer: what a one-time key becomes is stored before it is sent.
pub async fn login(home: &Home, relay: &str, key: Secret) -> Result<String> {
    Ok(sign_in(home, relay, None, key).await?.name())
}

/// Who this machine is signed in as now.
pub struct SignedIn {
    pub credential: Credential,
    /// Set when the key was made here just now: show it once.
    pub new_key: Option<Secret>,
    /// Whether an agent's window can be opened here.
    pub has_identity: bool,
}

impl SignedIn {
    fn name(&self) -> String {
        let credential = &self.credential;
        credential
            .account
            .clone()
            .or_else(|| credential.agent.clone())
            .unwrap_or_default()
    }

    fn next(&self) -> String {
        match &self.credential.agent {
            Some(agent) => format!("mesh --agent {agent} inbox"),
            None if self.new_key.is_some() => "mesh create proj".into(),
            None => "mesh recover".into(),
        }
    }
}

/// [`login`], and what came of it. `ca` is a PEM file to trust; None takes the configured one.
pub async fn sign_in(
    home: &Home,
    relay: &str,
    ca: Option<PathBuf>,
    key: Secret,
) -> Result<SignedIn> {
    if key.is_invite() {
        return Err(Error::new(400, "that is an invite, not a key").hint("mesh join"));
    }
    let relay = relay_url(relay)?;
    let place = Place {
        home,
        relay: &relay,
        ca: ca.or(home.config()?.ca),
    };
    let id = format!("key-{}", key.prefix());
    // An earlier try may have turned this one-time key into the stored one without hearing so.
    let stored = Held::load(home, &id).await?;
    if let Some(stored) = stored
        .as_ref()
        .filter(|stored| stored.key.text() != key.text())
        && let Some(who) = place.whoami_if_known(&stored.key).await?
    {
        let is_known = place.knows(&id)?;
        let credential = place.enter(id, &who).await?;
        let new_key = (!is_known).then(|| stored.key.clone());
        return Ok(SignedIn {
            credential,
            new_key,
            has_identity: stored.identity.is_some(),
        });
    }
    let who = place.whoami(&key).await?;
    place.refuse_another_account(&who)?;
    if who["kind"] != "ticket" {
        let held = Held {
            key,
            identity: place.identity(&who).await?,
        };
        held.store(home, &id).await?;
        let credential = place.enter(id, &who).await?;
        return Ok(SignedIn {
            credential,
            new_key: None,
            has_identity: held.identity.is_some(),
        });
    }
    let new = stored.map_or_else(|| Secret::generate("mc_"), |stored| stored.key);
    Held {
        key: new.clone(),
        identity: None,
    }
    .store(home, &id)
    .await?;
    let arguments = one("secret", new.registration());
    place
        .client(Some(&key))?
        .call("redeem_ticket", &arguments)
        .await?;
    let who = place.whoami(&new).await?;
    Ok(SignedIn {
        credential: place.enter(id, &who).await?,
        new_key: Some(new),
        has_identity: false,
    })
}

/// A key or invite as argument, from stdin (`-`, or when nobody is there to type), or asked for without echo.
pub fn read_secret(given: Option<String>, prompt: &str) -> Result<Secret> {
    Secret::parse(&read_text(given, prompt)?)
}

/// The text of [`read_secret`], which is not empty.
pub fn read_text(given: Option<String>, prompt: &str) -> Result<Zeroizing<String>> {
    let text = match given.map(Zeroizing::new) {
        Some(text) if text.as_str() != "-" => text,
        None if std::io::stdin().is_terminal() => Zeroizing::new(
            rpassword::prompt_password(prompt)
                .map_err(|e| Error::usage(format!("no key was typed: {e}")))?,
        ),
        _ => {
            let mut line = Zeroizing::new(String::new());
            std::io::stdin().lock().read_line(&mut line)?;
            line
        }
    };
    if text.trim().is_empty() {
        return Err(Error::usage(format!(
            "{}nothing was given",
            prompt.to_lowercase()
        )));
    }
    Ok(text)
}

/// The one moment a new account key is shown.
pub fn show_once(key: &Secret) {
    println!("\n  {}\n", key.text());
    println!(
        "This is your account key. Keep it, in a password manager say: it is shown this once, and it is the only"
    );
    println!("way to sign in on another machine.");
}

/// One JSON value on stdout; indented for a person.
pub fn print_json(value: &Value) {
    println!("{}", text::json(value, std::io::stdout().is_terminal()));
}

pub fn one(name: &str, value: Value) -> Map<String, Value> {
    [(name.to_owned(), value)].into_iter().collect()
}
