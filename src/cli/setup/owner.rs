//! What only the account may do: create agents and give their keys to a machine.

use super::{Args, place};
use crate::{
    catalogue::Catalogue,
    cli::{context, globals::Globals},
    crypto::{Secret, Signer, sha256_hex},
    error::{Error, Result},
    fill,
    home::{Credential, Home},
    keystore::Held,
    rpc::Client,
};
use serde_json::{Map, Value, json};

/// Who may create agents and their keys: the account, in one mesh.
pub struct Owner {
    client: Client,
    signer: Signer,
    mesh_id: String,
}

impl Owner {
    /// In `mesh`, or in the only mesh there is. ME401 without an account here, ME400 when there are several meshes.
    pub async fn find(globals: &Globals, mesh: Option<&str>) -> Result<Owner> {
        let globals = Globals {
            agent: None,
            mesh: mesh.map(String::from),
            ..globals.clone()
        };
        let context = context::resolve_for(&globals, "account").await?;
        let is_agent = context
            .credential
            .is_some_and(|credential| credential.kind == "agent");
        let Some(signer) = context.signer.filter(|_| !is_agent) else {
            return Err(Error::new(
                401,
                "agents are made with your account, and it is not signed in here",
            )
            .hint("mesh login"));
        };
        let mut client = context.client;
        if client.target.mesh.is_none() {
            client.target.mesh = Some(only_mesh(&client).await?);
        }
        let who = client.call("whoami", &Map::new()).await?;
        let mesh_id = who["mesh_id"]
            .as_str()
            .ok_or_else(|| Error::new(404, "there is no such mesh").hint("mesh list"))?;
        Ok(Owner {
            signer,
            mesh_id: mesh_id.into(),
            client,
        })
    }

    /// Creates the agent, or changes the one that exists where role and prompt are given.
    pub async fn create_agent(&self, name: &str, args: &Args) -> Result<()> {
        let mut arguments = describing(args);
        arguments.insert("name".into(), name.into());
        match self.client.call("create_agent", &arguments).await {
            Err(error) if error.status() == 409 => self.describe(name, args).await,
            answer => answer.map(drop),
        }
    }

    /// Changes role and launch prompt of the agent where they are given.
    pub async fn describe(&self, name: &str, args: &Args) -> Result<()> {
        let mut arguments = describing(args);
        if !arguments.is_empty() {
            arguments.insert("agent".into(), name.into());
            self.client.call("edit_agent", &arguments).await?;
        }
        Ok(())
    }

    /// A key of the agent for this machine.
    ///
    /// Key and identity are kept before the relay hears of them, under an id that the next try finds: whatever dies in
    /// between, nothing is lost. An identity that is here already stays the agent's.
    pub async fn key(&self, home: &Home, globals: &Globals, name: &str) -> Result<Credential> {
        let relay = &self.client.target.relay;
        let place = place(home, globals, relay)?;
        let id = format!(
            "agent-{}",
            &sha256_hex(format!("{relay} {} {name}", self.mesh_id).as_bytes())[..24]
        );
        let kept = Held::load(home, &id).await?;
        if let Some(kept) = &kept
            && let Some(who) = place.whoami_if_known(&kept.key).await?
        {
            return place.enter(id, &who).await;
        }
        let identity = match kept.and_then(|kept| kept.identity) {
            Some(identity) => identity,
            None => self
                .identity(home, name)
                .await?
                .unwrap_or_else(Signer::generate),
        };
        let held = Held {
            key: Secret::generate("mc_"),
            identity: Some(identity.clone()),
        };
        held.store(home, &id).await?;
        let function = Catalogue::current(home, relay)
            .function("create_agent_key")
            .cloned()
            .ok_or_else(|| Error::new(404, "the relay makes no keys for agents"))?;
        let arguments = Map::from_iter([
            ("agent".to_owned(), json!(name)),
            ("identity_key".to_owned(), json!(identity.public_key())),
            ("manage".to_owned(), json!(true)),
        ]);
        let options = fill::Options {
            secret: Some(held.key.clone()),
            ..fill::Options::default()
        };
        fill::call_with(
            &self.client,
            &function,
            arguments,
            Some(&self.signer),
            options,
        )
        .await?;
        let who = place.whoami(&held.key).await?;
        place.enter(id, &who).await
    }

    /// The identity the agent had here under a key that is no longer good.
    async fn identity(&self, home: &Home, name: &str) -> Result<Option<Signer>> {
        let config = home.config()?;
        let before = config.credentials.iter().find(|credential| {
            credential.relay == self.client.target.relay
                && credential.mesh_id.as_deref() == Some(&self.mesh_id)
                && credential.agent.as_deref() == Some(name)
        });
        match before {
            Some(before) => Ok(Held::load(home, &before.id)
                .await?
                .and_then(|held| held.identity)),
            None => Ok(None),
        }
    }
}

/// The id of the only mesh of the account.
async fn only_mesh(client: &Client) -> Result<String> {
    let answer = client.call("list_meshes", &Map::new()).await?;
    let meshes: Vec<&Value> = answer.as_array().into_iter().flatten().collect();
    let text = |mesh: &Value, column: &str| mesh[column].as_str().unwrap_or_default().to_owned();
    match meshes[..] {
        [one] => Ok(text(one, "mesh_id")),
        [] => Err(Error::new(404, "you have no mesh yet").hint("mesh create proj")),
        [first, ..] => {
            let names: Vec<_> = meshes.iter().map(|mesh| text(mesh, "mesh")).collect();
            let message = format!("which mesh? There is {}", names.join(", "));
            Err(Error::new(400, message).hint(format!("mesh --mesh {} …", text(first, "mesh"))))
        }
    }
}

fn describing(args: &Args) -> Map<String, Value> {
    let given = [("role", &args.role), ("launch_prompt", &args.prompt)];
    given
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))))
        .collect()
}
