//! A relay and what this machine keeps about it.

use super::super::{context::DEFAULT_RELAY, globals::Globals};
use crate::{
    crypto::{Secret, Signer},
    error::{Error, Result},
    home::{self, Config, Credential, Home},
    keystore::{self, Held},
    rpc::{Client, Target, relay_url},
};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A relay as seen from this machine.
pub struct Place<'a> {
    pub home: &'a Home,
    pub relay: &'a str,
    pub ca: Option<PathBuf>,
}

impl Place<'_> {
    pub fn client(&self, key: Option<&Secret>) -> Result<Client> {
        Client::new(Target {
            relay: self.relay.to_owned(),
            ca: self.ca.clone(),
            bearer: key.map(Secret::bearer),
            mesh: None,
        })
    }

    pub async fn whoami(&self, key: &Secret) -> Result<Value> {
        self.client(Some(key))?.call("whoami", &Map::new()).await
    }

    /// [`Place::whoami`]; None when the relay does not know the key.
    pub async fn whoami_if_known(&self, key: &Secret) -> Result<Option<Value>> {
        match self.whoami(key).await {
            Ok(who) => Ok(Some(who)),
            Err(error) if error.status() == 401 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Enters the key stored under `id` into config.json, as whoami describes it.
    pub async fn enter(&self, id: String, who: &Value) -> Result<Credential> {
        let text = |name: &str| who[name].as_str().map(str::to_owned);
        let is_agent = who["kind"] == "agent";
        let of_agent = |name: &str| text(name).filter(|_| is_agent);
        let credential = Credential {
            id,
            kind: if is_agent { "agent" } else { "account" }.into(),
            relay: self.relay.to_owned(),
            account: text("account").filter(|_| !is_agent),
            mesh: of_agent("mesh"),
            mesh_id: of_agent("mesh_id"),
            agent: of_agent("agent"),
            owner: of_agent("owner"),
        };
        keystore::remember(self.home, credential.clone()).await?;
        Ok(credential)
    }

    /// Whether a credential `id` is in config.json.
    pub fn knows(&self, id: &str) -> Result<bool> {
        Ok(self.home.config()?.credentials.iter().any(|c| c.id == id))
    }

    /// The identity that is here already for the agent that whoami describes.
    pub async fn identity(&self, who: &Value) -> Result<Option<Signer>> {
        let same = |c: &&Credential| {
            c.relay == self.relay
                && c.agent.is_some()
                && c.agent.as_deref() == who["agent"].as_str()
                && c.mesh_id.as_deref() == who["mesh_id"].as_str()
        };
        match self.home.config()?.credentials.iter().find(same) {
            Some(known) => Ok(Held::load(self.home, &known.id)
                .await?
                .and_then(|held| held.identity)),
            None => Ok(None),
        }
    }

    /// ME409 when another account is signed in here at this relay.
    pub fn refuse_another_account(&self, who: &Value) -> Result<()> {
        let Some(account) = who["account"].as_str().filter(|_| who["kind"] != "agent") else {
            return Ok(());
        };
        let config = self.home.config()?;
        let others = |c: &&Credential| {
            c.relay == self.relay && c.kind == "account" && c.account.as_deref() != Some(account)
        };
        match config.credentials.iter().find(others) {
            Some(other) => Err(Error::new(
                409,
                format!(
                    "this machine is signed in at {} as {}",
                    self.relay,
                    other.account.as_deref().unwrap_or("another")
                ),
            )
            .hint(format!("mesh logout --relay {}", self.relay))),
            None => Ok(()),
        }
    }
}

/// The relay a command is for: `--relay`, the configured one, or the one on this machine.
pub fn relay_of(globals: &Globals, config: &Config) -> Result<String> {
    let chosen = globals.relay.as_deref().or(config.relay.as_deref());
    relay_url(chosen.unwrap_or(DEFAULT_RELAY))
}

/// `--ca`, made absolute so that it can be kept.
pub fn ca_of(globals: &Globals) -> Result<Option<PathBuf>> {
    match &globals.ca {
        Some(path) => path.canonicalize().map(Some).map_err(|e| home::at(path, e)),
        None => Ok(None),
    }
}

/// After signing in: this relay, and its CA file, are the usual ones from now on.
pub fn remember_relay(home: &Home, globals: &Globals, relay: &str) -> Result<()> {
    let ca = ca_of(globals)?;
    home.update(|config| {
        config.relay = Some(relay.to_owned());
        config.ca = ca.or(config.ca.take());
    })
}
