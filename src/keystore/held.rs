//! What the keystore holds for a credential: its key, and an agent's identity.

use super::{delete, get, put};
use crate::{
    crypto::{Secret, Signer},
    error::{Error, Result},
    home::{Credential, Home},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A key and what signs for it.
#[derive(Clone)]
pub struct Held {
    pub key: Secret,
    /// The agent's own; account keys and bare scoped keys have none.
    pub identity: Option<Signer>,
}

impl Held {
    /// Reads `{"key","identity"?}` or a bare key. ME400 without repeating any of it.
    pub fn parse(text: &str) -> Result<Held> {
        if !text.trim_start().starts_with('{') {
            return Ok(Held {
                key: Secret::parse(text)?,
                identity: None,
            });
        }
        let wrong = || {
            Error::new(
                400,
                "a stored key is {\"key\",\"identity\"}, and this is not",
            )
        };
        let stored: Value = serde_json::from_str(text).map_err(|_| wrong())?;
        let identity = stored["identity"]
            .as_str()
            .map(Signer::from_seed)
            .transpose()?;
        Ok(Held {
            key: Secret::parse(stored["key"].as_str().ok_or_else(wrong)?)?,
            identity,
        })
    }

    /// Whether this is the same key with the same identity.
    pub fn is(&self, other: &Held) -> bool {
        let identity = |held: &Held| held.identity.as_ref().map(Signer::public_key);
        self.key.verifier() == other.key.verifier() && identity(self) == identity(other)
    }

    /// Who signs calls: the agent's identity, else the key itself.
    pub fn signer(&self) -> Signer {
        self.identity.clone().unwrap_or_else(|| self.key.signer())
    }

    /// What is under `id` in the keystore.
    pub async fn load(home: &Home, id: &str) -> Result<Option<Held>> {
        get(home, id)
            .await?
            .map(|text| Held::parse(&text))
            .transpose()
    }

    pub async fn store(&self, home: &Home, id: &str) -> Result<()> {
        let mut stored = json!({"key": self.key.text()});
        if let Some(identity) = &self.identity {
            stored["identity"] = identity.seed().as_str().into();
        }
        put(home, id, &Zeroizing::new(stored.to_string())).await
    }
}

/// Enters a credential whose key is stored under `credential.id` into config.json. One for the same account or agent
/// at the same relay is replaced, and its key forgotten.
pub async fn remember(home: &Home, credential: Credential) -> Result<()> {
    let id = credential.id.clone();
    let replaced = home.update(|config| {
        let (old, kept) = std::mem::take(&mut config.credentials)
            .into_iter()
            .partition::<Vec<_>, _>(|c| c.id == credential.id || same_holder(c, &credential));
        config.credentials = kept;
        config.relay.get_or_insert_with(|| credential.relay.clone());
        config.credentials.push(credential);
        old
    })?;
    for old in replaced.iter().filter(|old| old.id != id) {
        delete(home, &old.id).await?;
    }
    Ok(())
}

/// Whether both are for the same account or agent at the same relay.
pub fn same_holder(a: &Credential, b: &Credential) -> bool {
    let agent = |c: &Credential| {
        (
            c.mesh_id.clone(),
            c.agent.as_ref().map(|name| name.to_ascii_lowercase()),
        )
    };
    a.kind == b.kind
        && a.relay == b.relay
        && match a.kind.as_str() {
            "account" => a.account == b.account,
            _ => agent(a) == agent(b),
        }
}
