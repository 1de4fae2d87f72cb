//! `mesh setup`: an agent of mine with a key and a workspace on this machine.

pub mod owner;

use super::{
    context,
    globals::Globals,
    login::{Place, ca_of, print_json},
    text, workspace,
};
use crate::{
    editors,
    error::{Error, Result},
    home::{Config, Credential, Home, Workspace},
    keystore::Held,
    rpc::relay_url,
};
use owner::Owner;
use serde_json::{Value, json};
use std::{fs::File, path::PathBuf};

/// Set an agent up on this machine
///
/// Creates the agent if there is none of that name, gives this machine a key that is only this agent's, and writes a
/// workspace for its editor. Safe to run again.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(
    after_help = "Examples:\n  mesh setup commander\n  mesh setup designer --role \"UI designer\" --dir ~/src/site"
)]
pub struct Args {
    /// The agent
    #[arg(value_name = "agent")]
    pub name: String,
    /// The folder to work in, instead of one under MESH_HOME
    #[arg(long, value_name = "folder")]
    pub dir: Option<PathBuf>,
    /// The editor
    #[arg(long, value_name = "editor", default_value = "claude")]
    pub editor: String,
    /// What the agent is for, in a few words
    #[arg(long, value_name = "text")]
    pub role: Option<String>,
    /// What the editor is told at every start
    #[arg(long, value_name = "text")]
    pub prompt: Option<String>,
    /// Give it another identity when the old one is lost: mail sealed for that one is not readable any more, and the others
    /// must say `mesh trust`
    #[arg(long)]
    pub new_identity: bool,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let (_, workspace) = setup(&args, globals).await?;
    let next = format!("mesh run {}", workspace.agent);
    if globals.json {
        print_json(
            &json!({"mesh": workspace.mesh, "agent": workspace.agent, "path": workspace.path,
            "editor": workspace.editor, "next": next}),
        );
        return Ok(());
    }
    println!(
        "{} of {} works in {}",
        workspace.agent,
        workspace.mesh,
        text::clean(&workspace.path.to_string_lossy())
    );
    println!("Next: {next}");
    Ok(())
}

/// Agent, key and workspace; what is there already stays.
pub async fn setup(args: &Args, globals: &Globals) -> Result<(Credential, Workspace)> {
    let name = workspace::checked_name("agent", &args.name)?;
    let editor = editors::find(&args.editor)?;
    let home = Home::find(globals.home.as_deref())?;
    let _alone = alone(&home).await?;
    let credential = match present(&home.config()?, globals, &name)? {
        Some(credential) if !args.new_identity && is_good(&home, globals, &credential).await? => {
            if args.role.is_some() || args.prompt.is_some() {
                let owner = Owner::find(globals, credential.mesh_id.as_deref()).await?;
                owner.describe(&name, args).await?;
            }
            credential
        }
        gone => {
            let mesh = gone
                .as_ref()
                .and_then(|gone| gone.mesh_id.as_deref())
                .or(globals.mesh.as_deref());
            let owner = Owner::find(globals, mesh).await?;
            owner.create_agent(&name, args).await?;
            owner.key(&home, globals, &name, args.new_identity).await?
        }
    };
    let workspace = workspace::prepare(&home, globals, &credential, args.dir.as_deref(), editor)?;
    Ok((credential, workspace))
}

/// This machine's credential of the agent; None when there is none, ME409 when several meshes have one.
pub fn present(config: &Config, globals: &Globals, name: &str) -> Result<Option<Credential>> {
    let relay = globals.relay.as_deref().map(relay_url).transpose()?;
    let mut found = config.credentials.iter().filter(|credential| {
        credential.kind == "agent"
            && credential.agent.as_deref() == Some(name)
            && relay
                .as_ref()
                .is_none_or(|relay| *relay == credential.relay)
            && globals
                .mesh
                .as_deref()
                .is_none_or(|mesh| context::is_mesh(credential, mesh))
    });
    let first = found.next().cloned();
    if let (Some(first), Some(other)) = (&first, found.next()) {
        let of = |credential: &Credential| credential.mesh.clone().unwrap_or_default();
        let message = format!(
            "agent {name} is in more than one mesh here: {}, {}",
            of(first),
            of(other)
        );
        return Err(Error::new(409, message).hint(format!("mesh --mesh {} run {name}", of(first))));
    }
    Ok(first)
}

/// What the relay says of the agent, with its own key.
pub async fn whoami(home: &Home, globals: &Globals, credential: &Credential) -> Result<Value> {
    let held = context::held(home, credential).await?;
    place(home, globals, &credential.relay)?
        .whoami(&held.key)
        .await
}

/// Whether the relay still takes the key. One that cannot be asked is taken for good.
pub async fn is_good(home: &Home, globals: &Globals, credential: &Credential) -> Result<bool> {
    let Some(held) = Held::load(home, &credential.id).await? else {
        return Ok(false);
    };
    // A key without identity may send and read, but opens no window.
    if held.identity.is_none() {
        return Ok(false);
    }
    match place(home, globals, &credential.relay)?
        .whoami(&held.key)
        .await
    {
        Err(error) if error.status() == 503 => Ok(true),
        Err(error) if matches!(error.status(), 401 | 410) => Ok(false),
        answer => answer.map(|_| true),
    }
}

fn place<'a>(home: &'a Home, globals: &Globals, relay: &'a str) -> Result<Place<'a>> {
    Ok(Place {
        home,
        relay,
        ca: ca_of(globals)?.or(home.config()?.ca),
    })
}

/// Held until dropped: two setups at once would make two keys.
pub async fn alone(home: &Home) -> Result<File> {
    home.create()?;
    let file = home.root.join("setup.lock");
    let lock = tokio::task::spawn_blocking(move || {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(file)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    Ok(lock.await.map_err(|e| Error::internal(e.to_string()))??)
}
