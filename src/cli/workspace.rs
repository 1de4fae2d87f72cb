//! The folder an agent's editor works in: where it is, and what is written there.

use crate::{
    cli::globals::Globals,
    editors::{Editor, Server},
    error::{Error, Result},
    home::{Config, Credential, Home, Workspace},
};
use std::{
    fs,
    path::{Path, PathBuf, absolute},
};

/// Makes the folder of `credential`'s agent, or makes it again, writes the editor's configuration and records it.
///
/// `folder` is the one asked for; without it the recorded one, or the one under MESH_HOME. ME409 when it is another
/// agent's, or when the editor's configuration there is not ours to change.
pub fn prepare(
    home: &Home,
    globals: &Globals,
    credential: &Credential,
    folder: Option<&Path>,
    editor: &Editor,
) -> Result<Workspace> {
    let config = home.config()?;
    let (mesh, agent) = names(credential)?;
    let recorded = config
        .workspaces
        .iter()
        .find(|workspace| is_of(workspace, credential));
    let path = match (folder, recorded) {
        (Some(folder), _) => absolute(folder)?,
        (None, Some(workspace)) => workspace.path.clone(),
        (None, None) => default_folder(home, &config, credential)?,
    };
    if let Some(other) = config
        .workspaces
        .iter()
        .find(|w| w.path == path && !is_of(w, credential))
    {
        let message = format!(
            "{} is the workspace of agent {} of {}",
            path.display(),
            other.agent,
            other.mesh
        );
        return Err(
            Error::new(409, message).hint(format!("mesh setup {agent} --dir <another folder>"))
        );
    }
    make_folder(&path, &home.root)?;
    (editor.configure)(&path, &server(home, globals, &config, credential)?)?;
    let workspace = Workspace {
        mesh,
        mesh_id: credential.mesh_id.clone().unwrap_or_default(),
        agent,
        relay: credential.relay.clone(),
        path,
        editor: editor.id.into(),
    };
    home.update(|config| {
        config.workspaces.retain(|other| !is_of(other, credential));
        config.workspaces.push(workspace.clone());
    })?;
    Ok(workspace)
}

/// The recorded workspace of a credential's agent.
pub fn recorded(config: &Config, credential: &Credential) -> Option<Workspace> {
    config
        .workspaces
        .iter()
        .find(|workspace| is_of(workspace, credential))
        .cloned()
}

/// Checks a name before it becomes part of a path: `[a-z0-9][a-z0-9._-]{0,62}`, in lower case. `what` is "agent" or "mesh".
pub fn checked_name(what: &str, name: &str) -> Result<String> {
    let name = name.to_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let shaped = name.starts_with(plain)
        && name
            .chars()
            .all(|c| plain(c) || matches!(c, '.' | '_' | '-'));
    let only_hex = name.len() >= 8 && name.chars().all(|c| c.is_ascii_hexdigit());
    if !shaped || name.len() > 63 || only_hex || name == "all" {
        let message = format!(
            "{name:?} is no name of {} {what}: 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit, not \"all\", not only hex digits",
            if what.starts_with('a') { "an" } else { "a" }
        );
        return Err(Error::new(400, message));
    }
    Ok(name)
}

/// What the editor starts; it finds its key by these names.
fn server(
    home: &Home,
    globals: &Globals,
    config: &Config,
    credential: &Credential,
) -> Result<Server> {
    let (mesh, agent) = names(credential)?;
    let same_name = |other: &&Credential| {
        other.kind == "agent" && other.mesh == credential.mesh && other.agent == credential.agent
    };
    let mesh = match &credential.mesh_id {
        Some(id) if config.credentials.iter().filter(same_name).count() > 1 => id.clone(),
        _ => mesh,
    };
    let mut environment = Vec::new();
    if globals.home.is_some() {
        environment.push((
            "MESH_HOME".into(),
            absolute(&home.root)?.to_string_lossy().into_owned(),
        ));
    }
    if let Some(ca) = &globals.ca {
        environment.push((
            "MESH_CA".into(),
            absolute(ca)?.to_string_lossy().into_owned(),
        ));
    }
    Ok(Server {
        command: std::env::current_exe()?,
        arguments: ["mcp", "--mesh", &mesh, "--agent", &agent]
            .map(String::from)
            .to_vec(),
        environment,
    })
}

fn default_folder(home: &Home, config: &Config, credential: &Credential) -> Result<PathBuf> {
    let (mesh, agent) = names(credential)?;
    let folder = |mesh: &str| {
        Ok(absolute(
            home.root.join("workspaces").join(mesh).join(&agent),
        )?)
    };
    let path: PathBuf = folder(&mesh)?;
    // Two owners may each have a mesh of that name.
    let taken = config
        .workspaces
        .iter()
        .any(|other| other.path == path && !is_of(other, credential));
    match &credential.mesh_id {
        Some(id) if taken => {
            let id: String = id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
            folder(&format!("{mesh}-{id}"))
        }
        _ => Ok(path),
    }
}

/// Folders of ours are closed to other users; one that is there keeps its mode.
fn make_folder(path: &Path, home: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if path.starts_with(absolute(home)?) {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder
        .create(path)
        .map_err(|e| Error::internal(format!("cannot make {}: {e}", path.display())))
}

fn is_of(workspace: &Workspace, credential: &Credential) -> bool {
    workspace.relay == credential.relay
        && Some(&workspace.mesh_id) == credential.mesh_id.as_ref()
        && Some(&workspace.agent) == credential.agent.as_ref()
}

fn names(credential: &Credential) -> Result<(String, String)> {
    let mesh = checked_name("mesh", credential.mesh.as_deref().unwrap_or_default())?;
    let agent = checked_name("agent", credential.agent.as_deref().unwrap_or_default())?;
    Ok((mesh, agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_become_paths() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            ".hidden",
            "-x",
            "all",
            "deadbeef",
            "ä",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(checked_name("agent", bad).is_err(), "{bad:?}");
        }
        for good in [
            "a",
            "Commander",
            "a.b-c_d",
            "deadbee",
            "9lives",
            &"x".repeat(63),
        ] {
            assert!(checked_name("agent", good).is_ok(), "{good:?}");
        }
    }
}
