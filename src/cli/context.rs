//! Which key a command uses, and for which relay.

#[cfg(test)]
mod tests;

use super::globals::Globals;
use crate::{
    crypto::Signer,
    error::{Error, Result},
    home::{self, Config, Credential, Home, Workspace},
    keystore::Held,
    rpc::{Client, Target, relay_url},
    sealing::{Keys, Sealing},
};
use std::path::Path;

pub const DEFAULT_RELAY: &str = "http://127.0.0.1:7700";

/// What a command needs to call a relay.
pub struct Context {
    pub home: Home,
    pub client: Client,
    /// Signs calls; None when there is no key.
    pub signer: Option<Signer>,
    /// None with `MESH_KEY` or without any key.
    pub credential: Option<Credential>,
    /// The key itself; None when there is none.
    pub held: Option<Held>,
}

impl Context {
    /// Seals and opens with the key of this command; None when there is none.
    pub fn sealing(&self) -> Option<Sealing> {
        let held = self.held.as_ref()?;
        let keys = Keys {
            signer: held.signer(),
            is_bare: held.identity.is_none(),
            session: None,
        };
        let own = self.credential.as_ref().filter(|c| c.kind == "agent");
        let own = own.and_then(|credential| credential.mesh_id.clone());
        let wanted = own.or_else(|| self.client.target.mesh.clone());
        Some(Sealing::new(&self.home, keys).in_mesh(wanted))
    }
}

/// The key for a command: `MESH_KEY` or `MESH_KEY_FILE`, then `--agent`, then the workspace the command runs in, then
/// the account of the relay, then the only agent. Without any key the client is not signed in.
///
/// ME404 when `--agent` names one whose key is not here, ME400 when several fit.
pub async fn resolve(globals: &Globals) -> Result<Context> {
    resolve_for(globals, "any").await
}

/// [`resolve`] for a call that only `who` may make (as the catalogue says it): for `account`, the account's key even in
/// a workspace, whose mesh is then the one to act in.
pub async fn resolve_for(globals: &Globals, who: &str) -> Result<Context> {
    let home = Home::find(globals.home.as_deref())?;
    let config = home.config()?;
    let ca = globals.ca.clone().or_else(|| config.ca.clone());
    let wanted = globals.relay.as_deref().map(relay_url).transpose()?;

    if let Some(held) = from_environment()? {
        let relay = wanted
            .or(config.relay)
            .unwrap_or_else(|| DEFAULT_RELAY.into());
        let target = Target {
            relay,
            ca,
            bearer: Some(held.key.bearer()),
            mesh: globals.mesh.clone(),
        };
        return finish(home, target, None, Some(held));
    }
    let here = std::env::current_dir()
        .ok()
        .and_then(|directory| workspace(&config, &directory));
    let choice = choose(&config, globals, wanted.as_deref(), here, who)?;
    let held = match &choice {
        Some(credential) => Some(held(&home, credential).await?),
        None => None,
    };
    let relay = wanted
        .or_else(|| choice.as_ref().map(|c| c.relay.clone()))
        .or(config.relay.clone())
        .unwrap_or_else(|| DEFAULT_RELAY.into());
    let is_agent = choice.as_ref().is_some_and(|c| c.kind == "agent");
    // An agent's key has one mesh and needs no word about it.
    let mesh = match is_agent {
        true => None,
        false => globals
            .mesh
            .clone()
            .or_else(|| here.filter(|w| w.relay == relay).map(|w| w.mesh_id.clone())),
    };
    let bearer = held.as_ref().map(|held| held.key.bearer());
    finish(
        home,
        Target {
            relay,
            ca,
            bearer,
            mesh,
        },
        choice,
        held,
    )
}

/// The key of `credential` from the keystore; ME401 when it is gone.
pub async fn held(home: &Home, credential: &Credential) -> Result<Held> {
    Held::load(home, &credential.id).await?.ok_or_else(|| {
        Error::new(
            401,
            format!(
                "the key of {} is not in the keystore any more",
                describe(credential)
            ),
        )
        .hint("mesh login")
    })
}

/// `alice at http://…` or `designer in proj`.
pub fn describe(credential: &Credential) -> String {
    match (&credential.agent, &credential.account) {
        (Some(agent), _) => format!(
            "{agent} in {}",
            credential.mesh.as_deref().unwrap_or("its mesh")
        ),
        (_, Some(account)) => format!("{account} at {}", credential.relay),
        _ => format!("a key for {}", credential.relay),
    }
}

/// The workspace that `directory` is in; the innermost when they are nested.
pub fn workspace<'a>(config: &'a Config, directory: &Path) -> Option<&'a Workspace> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = real(directory);
    let around = config
        .workspaces
        .iter()
        .filter(|w| directory.starts_with(real(&w.path)));
    around.max_by_key(|w| w.path.components().count())
}

/// Whether `wanted` (a name, `owner/name` or id) means the mesh of this credential.
pub fn is_mesh(credential: &Credential, wanted: &str) -> bool {
    let same = |known: &Option<String>, wanted: &str| {
        known
            .as_deref()
            .is_some_and(|k| k.eq_ignore_ascii_case(wanted))
    };
    match wanted.split_once('/') {
        Some((owner, name)) => same(&credential.owner, owner) && same(&credential.mesh, name),
        None => same(&credential.mesh, wanted) || same(&credential.mesh_id, wanted),
    }
}

fn finish(
    home: Home,
    target: Target,
    credential: Option<Credential>,
    held: Option<Held>,
) -> Result<Context> {
    let signer = held.as_ref().map(Held::signer);
    Ok(Context {
        home,
        client: Client::new(target)?,
        signer,
        credential,
        held,
    })
}

fn from_environment() -> Result<Option<Held>> {
    let given = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    if let Some(key) = given("MESH_KEY") {
        return Held::parse(&key).map(Some);
    }
    let Some(file) = given("MESH_KEY_FILE") else {
        return Ok(None);
    };
    let path = Path::new(&file);
    let text =
        zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|e| home::at(path, e))?);
    // Secrets that an orchestrator mounts are often 0644 in a directory only we see: say it, do not refuse.
    if let Some(mode) = home::loose_mode(path)? {
        eprintln!("warning: {file} has mode {mode:03o}: others may be able to read the key");
    }
    Held::parse(&text).map(Some)
}

fn choose(
    config: &Config,
    globals: &Globals,
    relay: Option<&str>,
    here: Option<&Workspace>,
    who: &str,
) -> Result<Option<Credential>> {
    let at_relay = |c: &&Credential| relay.is_none_or(|relay| c.relay == relay);
    let in_mesh = |c: &&Credential| globals.mesh.as_deref().is_none_or(|mesh| is_mesh(c, mesh));
    let agents = || {
        config
            .credentials
            .iter()
            .filter(|c| c.kind == "agent")
            .filter(at_relay)
            .filter(in_mesh)
    };

    if let Some(name) = &globals.agent {
        let fit: Vec<_> = agents()
            .filter(|c| {
                c.agent
                    .as_deref()
                    .is_some_and(|a| a.eq_ignore_ascii_case(name))
            })
            .collect();
        return match fit[..] {
            [one] => Ok(Some(one.clone())),
            [] => Err(no_key(name, account_of(config, relay))),
            _ => {
                let meshes: Vec<_> = fit.iter().filter_map(|c| c.mesh.as_deref()).collect();
                let first = meshes.first().copied().unwrap_or_default();
                Err(Error::new(
                    400,
                    format!(
                        "{name} is an agent in several meshes: {}",
                        meshes.join(", ")
                    ),
                )
                .hint(format!("mesh --mesh {first} --agent {name} …")))
            }
        };
    }
    let account = account_of(config, relay);
    if who == "account" && account.is_some() {
        return Ok(account.cloned());
    }
    if let Some(here) = here {
        let same = |c: &&Credential| {
            c.relay == here.relay
                && c.agent.as_deref() == Some(&here.agent)
                && c.mesh_id.as_deref() == Some(&here.mesh_id)
        };
        if let Some(own) = agents().find(same) {
            return Ok(Some(own.clone()));
        }
    }
    if account.is_some() {
        return Ok(account.cloned());
    }
    let mut all = agents();
    Ok(all.next().filter(|_| all.next().is_none()).cloned())
}

/// ME404: a person has the account key only, and acts with that where no agent is named.
fn no_key(agent: &str, account: Option<&Credential>) -> Error {
    let message = format!("there is no key for an agent {agent} on this machine");
    let person = account.and_then(|account| account.account.as_deref());
    if person.is_some_and(|person| person.eq_ignore_ascii_case(agent)) {
        return Error::new(
            404,
            format!("{message}: leave --agent out to act as yourself"),
        );
    }
    Error::new(404, message).hint(format!("mesh setup {agent}"))
}

/// The account at `relay`; without one given, at the configured relay, else the only account there is.
fn account_of<'a>(config: &'a Config, relay: Option<&str>) -> Option<&'a Credential> {
    let accounts = || config.credentials.iter().filter(|c| c.kind == "account");
    if let Some(relay) = relay {
        return accounts().find(|c| c.relay == relay);
    }
    let usual = config.relay.as_deref().unwrap_or(DEFAULT_RELAY);
    accounts().find(|c| c.relay == usual).or_else(|| {
        let mut all = accounts();
        all.next().filter(|_| all.next().is_none())
    })
}
