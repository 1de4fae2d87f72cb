//! What only the account may do: create agents and give their keys to a machine.

use super::{Args, place};
use crate::{
    catalogue::Catalogue,
    cli::{
        context,
        globals::Globals,
        login::{Place, one},
    },
    crypto::{Secret, Signer, sha256_hex},
    error::{Error, Result},
    fill,
    home::{Credential, Home},
    keystore::Held,
    pins::Pins,
    rpc::Client,
};
use serde_json::{Map, Value, json};

/// Who may create agents and their keys: the account, in one mesh.
pub struct Owner {
    client: Client,
    /// The account's.
    key: Secret,
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
        let (Some(held), Some(signer), false) = (context.held, context.signer, is_agent) else {
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
            key: held.key,
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
    /// between, nothing is lost. The agent's identity stays what it was: the one that is here already, or the one that
    /// another machine of the account left with the relay; `new_identity` gives it another.
    pub async fn key(
        &self,
        home: &Home,
        globals: &Globals,
        name: &str,
        new_identity: bool,
    ) -> Result<Credential> {
        let id = self.id(name);
        let kept = Held::load(home, &id).await?;
        if let Some(kept) = kept.as_ref().filter(|_| !new_identity)
            && let Some(who) = self
                .place(home, globals)?
                .whoami_if_known(&kept.key)
                .await?
        {
            return self.place(home, globals)?.enter(id, &who).await;
        }
        let here = match kept.and_then(|kept| kept.identity) {
            None => self.identity(home, name).await?,
            identity => identity,
        };
        let identity = match here.filter(|_| !new_identity) {
            Some(identity) => identity,
            None if new_identity => Signer::generate(),
            None => match self.kept_identity(name, false).await {
                Ok(identity) => identity,
                Err(error) if error.status() == 404 => Signer::generate(),
                Err(error) => return Err(error),
            },
        };
        self.key_for(home, globals, name, identity).await
    }

    /// A key for this machine with the identity that another machine left with the relay; `was_renamed` takes one that was
    /// left under another name too. ME404 when there is none.
    pub async fn recover(
        &self,
        home: &Home,
        globals: &Globals,
        name: &str,
        was_renamed: bool,
    ) -> Result<Credential> {
        let identity = self.kept_identity(name, was_renamed).await?;
        self.key_for(home, globals, name, identity).await
    }

    /// Names and public identities of the account's agents in this mesh that have one.
    pub async fn agents(&self) -> Result<Vec<(String, String)>> {
        let rows = self.client.call("list_identities", &Map::new()).await?;
        let is_own = |row: &&Value| {
            let first = row["chain"][0]["document"].as_str().unwrap_or_default();
            let first: Value = serde_json::from_str(first).unwrap_or_default();
            row["kind"] == "agent" && first["function"] == "create_agent_key"
        };
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let rows = rows.as_array().into_iter().flatten().filter(is_own);
        Ok(rows
            .map(|row| (text(row, "agent"), text(row, "identity_key")))
            .collect())
    }

    pub fn mesh_id(&self) -> &str {
        &self.mesh_id
    }

    async fn key_for(
        &self,
        home: &Home,
        globals: &Globals,
        name: &str,
        identity: Signer,
    ) -> Result<Credential> {
        let (id, place) = (self.id(name), self.place(home, globals)?);
        let held = Held {
            key: Secret::generate("mc_"),
            identity: Some(identity.clone()),
        };
        held.store(home, &id).await?;
        let function = Catalogue::current(home, &self.client.target.relay)
            .function("create_agent_key")
            .cloned()
            .ok_or_else(|| Error::new(404, "the relay makes no keys for agents"))?;
        let mut arguments = Map::from_iter([
            ("agent".to_owned(), json!(name)),
            ("identity_key".to_owned(), json!(identity.public_key())),
        ]);
        // First: an agent that has an identity has it on the account's other machines, too.
        let wrapped = self.key.wrap_identity(&self.mesh_id, name, &identity);
        let mut keeping = arguments.clone();
        keeping.insert("wrapped".into(), wrapped.into());
        self.client.call("keep_identity", &keeping).await?;
        arguments.insert("manage".into(), true.into());
        let options = fill::Options {
            secret: Some(held.key.clone()),
            ..fill::Options::default()
        };
        fill::call(
            &self.client,
            &function,
            arguments,
            Some(&self.signer),
            options,
        )
        .await?;
        let who = place.whoami(&held.key).await?;
        // The relay took the account's signature for the owner's.
        let mesh = who["mesh"].as_str().unwrap_or_default();
        let pins = Pins::new(home);
        pins.own(&self.mesh_id, mesh, &self.signer.public_key())?;
        // Nor does an identity that was made or opened here need anybody's word.
        pins.update(&self.mesh_id, |mesh| {
            let id = who["agent_id"].as_str().unwrap_or_default();
            let pinned = mesh.agents.get_mut(id);
            if let Some(agent) = pinned.filter(|a| a.name.eq_ignore_ascii_case(name)) {
                agent.key = identity.public_key();
            }
            Ok(())
        })?;
        place.enter(id, &who).await
    }

    /// What the relay keeps of the agent's identity for this account, opened.
    async fn kept_identity(&self, name: &str, was_renamed: bool) -> Result<Signer> {
        let kept = self
            .client
            .call("get_wrapped_identity", &one("agent", name.into()))
            .await?;
        let another = |error: Error| error.hint(format!("mesh setup {name} --new-identity"));
        let wrapped = kept["wrapped"].as_str().unwrap_or_default();
        let unwrapped = self
            .key
            .unwrap_identity(&self.mesh_id, wrapped)
            .map_err(another)?;
        if kept["identity_key"] != *unwrapped.identity.public_key() {
            let message =
                format!("what the relay keeps for {name} is another identity than {name} has");
            return Err(another(Error::new(409, message)));
        }
        if !was_renamed && !unwrapped.agent.eq_ignore_ascii_case(name) {
            let message = format!(
                "the kept identity of {name} was kept as that of {}: was it renamed?",
                unwrapped.agent
            );
            return Err(Error::new(409, message).hint("mesh recover --renamed"));
        }
        Ok(unwrapped.identity)
    }

    fn place<'a>(&'a self, home: &'a Home, globals: &Globals) -> Result<Place<'a>> {
        place(home, globals, &self.client.target.relay)
    }

    /// Under which id this machine keeps the agent's key.
    fn id(&self, name: &str) -> String {
        let relay = &self.client.target.relay;
        let about = format!("{relay} {} {name}", self.mesh_id);
        format!("agent-{}", &sha256_hex(about.as_bytes())[..24])
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
pub async fn only_mesh(client: &Client) -> Result<String> {
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
