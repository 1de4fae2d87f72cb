//! `mesh recover`: the account's agents on one more machine.

use super::{
    context,
    globals::Globals,
    login::print_json,
    output,
    setup::{self, owner::Owner},
    text,
};
use crate::{
    error::{Error, Result},
    home::{Credential, Home},
    keystore::Held,
};
use serde_json::{Map, Value, json};

/// Bring your agents to this machine
///
/// Each of your agents, in all your meshes, gets a key here and the identity it has on your other machines, so that its
/// mail opens here too. The identities come from the relay, which keeps them sealed under your account key. An agent of a
/// guest lives where it joined.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh login && mesh recover
  mesh --mesh proj recover")]
pub struct Args {
    /// Take identities that were kept under another name of the agent
    #[arg(long)]
    pub renamed: bool,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let _alone = setup::alone(&home).await?;
    let mut rows = Vec::new();
    for (mesh_id, mesh) in own_meshes(globals).await? {
        let owner = Owner::find(globals, Some(&mesh_id)).await?;
        for (agent, key) in owner.agents().await? {
            let state = match is_here(&home, globals, &owner, &agent, &key).await {
                Ok(true) => Ok("was here"),
                Ok(false) => owner
                    .recover(&home, globals, &agent, args.renamed)
                    .await
                    .map(|_| "recovered"),
                Err(error) => Err(error),
            };
            let (state, why) = match state {
                Ok(state) => (state, None),
                Err(error) => ("cannot", Some(error)),
            };
            let (why, hint) = why.map(|e| (e.message, e.hint)).unzip();
            rows.push(
                json!({"agent": agent, "mesh": mesh, "state": state, "why": why, "hint": hint}),
            );
        }
    }
    match globals.json {
        true => print_json(&json!(rows)),
        false => print(&rows),
    }
    let lost = rows.iter().filter(|row| row["state"] == "cannot").count();
    match lost {
        0 => Ok(()),
        1 => Err(Error::new(409, "one agent could not be brought here")),
        _ => Err(Error::new(
            409,
            format!("{lost} agents could not be brought here"),
        )),
    }
}

/// Whether this machine has a good key of the agent, with the identity that it has now.
async fn is_here(
    home: &Home,
    globals: &Globals,
    owner: &Owner,
    agent: &str,
    identity: &str,
) -> Result<bool> {
    let is_it = |c: &&Credential| {
        c.kind == "agent"
            && c.mesh_id.as_deref() == Some(owner.mesh_id())
            && c.agent.as_deref() == Some(agent)
    };
    let config = home.config()?;
    let Some(credential) = config.credentials.iter().find(is_it) else {
        return Ok(false);
    };
    let held = Held::load(home, &credential.id).await?;
    let same = held.is_some_and(|held| held.signer().public_key() == identity);
    Ok(same && setup::is_good(home, globals, credential).await?)
}

/// Ids and names of the meshes that the account owns; only `--mesh` when that is given.
async fn own_meshes(globals: &Globals) -> Result<Vec<(String, String)>> {
    let account = Globals {
        agent: None,
        mesh: None,
        ..globals.clone()
    };
    let context = context::resolve_for(&account, "account").await?;
    let mut client = context.client;
    client.target.mesh = None;
    let who = client.call("whoami", &Map::new()).await?;
    if who["kind"] != "account" {
        return Err(Error::new(401, "agents are recovered with your account").hint("mesh login"));
    }
    let rows = client.call("list_meshes", &Map::new()).await?;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let wanted = |row: &&Value| {
        let names = [
            text(row, "mesh_id"),
            text(row, "mesh"),
            format!("{}/{}", text(row, "owner"), text(row, "mesh")),
        ];
        let mesh = globals.mesh.as_deref();
        row["owner"] == who["account"]
            && mesh.is_none_or(|mesh| names.iter().any(|n| n.eq_ignore_ascii_case(mesh)))
    };
    let own = rows.as_array().into_iter().flatten().filter(wanted);
    let own: Vec<_> = own
        .map(|row| (text(row, "mesh_id"), text(row, "mesh")))
        .collect();
    match (&globals.mesh, own.is_empty()) {
        (Some(mesh), true) => {
            Err(Error::new(404, format!("you own no mesh {mesh:?}")).hint("mesh list"))
        }
        _ => Ok(own),
    }
}

fn print(rows: &[Value]) {
    let columns = ["agent", "mesh", "state", "why"].map(String::from);
    output::value(&json!(rows), &columns, false);
    if let Some(row) = rows.iter().find(|row| row["state"] == "recovered") {
        let agent = text::clean_line(row["agent"].as_str().unwrap_or_default());
        println!("Next: mesh setup {agent}");
    }
}
