//! Another agent, as the relay and this machine know it.

use super::{context, globals::Globals, setup::owner::only_mesh};
use crate::{
    crypto,
    error::{Error, Result},
    home::Home,
    keystore::Held,
    pins::{self, Pins},
    rpc::{Client, Target},
    sealing::certified,
};
use serde_json::{Map, Value};

/// The mesh one acts in, as it is pinned and as the relay has it.
pub struct Here {
    home: Home,
    pub client: Client,
    pub pins: Pins,
    pub mesh_id: String,
    pub pinned: pins::Mesh,
    /// whoami.
    pub who: Value,
    /// The public identity of this machine's agent, or of the account.
    pub own_key: String,
}

/// Another agent of the mesh.
pub struct Peer {
    pub agent_id: String,
    pub name: String,
    /// As the relay has it now, 64 hex digits.
    pub key: String,
    /// As this machine saw it before.
    pub pinned: Option<pins::Agent>,
    /// Why the owner does not vouch for the key, if so.
    pub doubt: Option<String>,
}

impl Here {
    /// ME401 without a key, ME400 when it is not clear in which mesh.
    pub async fn find(globals: &Globals) -> Result<Here> {
        let context = context::resolve(globals).await?;
        let signer = context
            .signer
            .ok_or_else(|| Error::new(401, "nobody is signed in here").hint("mesh login"))?;
        let mut client = context.client;
        let mut who = client.call("whoami", &Map::new()).await?;
        if who["mesh_id"].is_null() {
            client.target.mesh = Some(only_mesh(&client).await?);
            who = client.call("whoami", &Map::new()).await?;
        }
        let mesh_id = who["mesh_id"].as_str().unwrap_or_default().to_owned();
        let pins = Pins::new(&context.home);
        Ok(Here {
            pinned: pins.mesh(&mesh_id)?,
            own_key: signer.public_key(),
            home: context.home,
            client,
            pins,
            mesh_id,
            who,
        })
    }

    pub fn mesh(&self) -> &str {
        self.who["mesh"].as_str().unwrap_or("this mesh")
    }

    /// Who this is, as the others see it.
    pub fn own_name(&self) -> &str {
        self.who["agent"].as_str().unwrap_or_default()
    }

    /// ME404 when nobody of that name has an identity, ME400 for oneself.
    pub async fn peer(&self, name: &str) -> Result<Peer> {
        let rows = self.client.call("list_identities", &Map::new()).await?;
        let is_it = |row: &&Value| {
            row["agent"]
                .as_str()
                .is_some_and(|agent| agent.eq_ignore_ascii_case(name))
        };
        let row = rows.as_array().into_iter().flatten().find(is_it);
        let row = row.ok_or_else(|| {
            let message = format!("no agent {name} of {} has a key", self.mesh());
            Error::new(404, message).hint("mesh peers")
        })?;
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let (agent_id, name, key) = (text("agent_id"), text("agent"), text("identity_key"));
        if self.who["agent_id"] == *agent_id {
            return Err(Error::usage(format!("{name} is this machine's own agent")));
        }
        let pinned = self.pinned.agents.get(&agent_id);
        let pinned = pinned.or_else(|| self.pinned.namesake(&agent_id, &name));
        Ok(Peer {
            pinned: pinned.cloned(),
            doubt: certified(&self.pinned, &self.mesh_id, &name, &key, &row["chain"]).err(),
            agent_id,
            name,
            key,
        })
    }

    /// What could not be opened here comes again at once: to everybody in the mesh whose key this machine has.
    pub async fn retry_unopened(&self) -> Result<()> {
        self.client.call("retry_unopened", &Map::new()).await?;
        let here = &self.client.target;
        for credential in self.home.config()?.credentials {
            let is_agent = credential.kind == "agent";
            let is_here = credential.mesh_id.as_ref() == Some(&self.mesh_id);
            if credential.relay != here.relay || is_agent && !is_here {
                continue;
            }
            let Ok(Some(held)) = Held::load(&self.home, &credential.id).await else {
                continue;
            };
            let client = Client::new(Target {
                bearer: Some(held.key.bearer()),
                mesh: Some(self.mesh_id.clone()),
                ..here.clone()
            })?;
            // A key may have been revoked, an account be in other meshes.
            if let Err(error) = client.call("retry_unopened", &Map::new()).await {
                tracing::debug!("nothing comes again with key {}: {error}", credential.id);
            }
        }
        Ok(())
    }

    pub fn safety_number(&self, key: &str) -> Result<String> {
        crypto::safety_number(&self.mesh_id, &self.own_key, key)
    }
}

/// Twelve groups of digits as three lines, to be read out.
pub fn in_lines(number: &str) -> String {
    let groups: Vec<_> = number.split(' ').collect();
    let lines: Vec<_> = groups.chunks(4).map(|four| four.join(" ")).collect();
    lines.join("\n")
}

/// The part of a key that people compare.
pub fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}
