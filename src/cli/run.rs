//! `mesh run`: start an agent's editor in its workspace.

use crate::{
    cli::{globals::Globals, login::print_json, workspace},
    editors::{self, Editor, Launch},
    error::{Error, Result},
    home::{Credential, Home},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Start an agent's editor in its workspace
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mesh run designer\n  mesh run designer -- --model opus\n  mesh run designer --no-launch"
)]
pub struct Args {
    /// The agent to be
    #[arg(value_name = "agent")]
    pub name: String,
    #[command(flatten)]
    pub start: Start,
}

/// How an editor is started.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Start {
    /// Let messages of peers wake an idle window (Claude Code asks at every start)
    #[arg(long)]
    pub channels: bool,
    /// Print what would be started
    #[arg(long)]
    pub no_launch: bool,
    /// Arguments for the editor
    #[arg(last = true, value_name = "editor argument")]
    pub extra: Vec<String>,
}

/// Becomes the editor, so its status is ours; returns only when it could not be started, or with `--no-launch`.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let name = workspace::checked_name("agent", &args.name)?;
    let home = Home::find(globals.home.as_deref())?;
    let config = home.config()?;
    let credential = super::setup::present(&config, globals, &name)?.ok_or_else(|| {
        Error::new(404, format!("no key of agent {name} on this machine"))
            .hint(format!("mesh setup {name}"))
    })?;
    launch(&home, globals, &credential, &args.start).await
}

/// Starts the editor of the workspace `credential` has, making that again if it is gone.
pub async fn launch(
    home: &Home,
    globals: &Globals,
    credential: &Credential,
    start: &Start,
) -> Result<()> {
    let recorded = workspace::recorded(&home.config()?, credential);
    let editor = editors::find(
        recorded
            .as_ref()
            .map_or("claude", |workspace| &workspace.editor),
    )?;
    let workspace = workspace::prepare(home, globals, credential, None, editor)?;
    let about = about(home, globals, credential).await?;
    let said = |key: &str| about[key].as_str().map(String::from);
    let arguments = (editor.arguments)(&Launch {
        mesh: workspace.mesh.clone(),
        agent: workspace.agent.clone(),
        role: said("role"),
        prompt: said("launch_prompt"),
        channels: start.channels,
        extra: start.extra.clone(),
    });
    if start.no_launch {
        return show(editor, &workspace.path, &arguments, globals);
    }
    become_editor(editor, &workspace.path, &arguments, globals.quiet)
}

/// What the relay says of the agent; nothing when it is away, because the editor can start without.
async fn about(home: &Home, globals: &Globals, credential: &Credential) -> Result<Value> {
    match super::setup::whoami(home, globals, credential).await {
        Err(error) if error.status() == 503 => {
            eprintln!("note: {error}; starting without role and launch prompt");
            Ok(Value::Null)
        }
        Err(error) if error.status() == 401 => {
            let agent = credential.agent.as_deref().unwrap_or_default();
            Err(error.hint(format!("mesh setup {agent}")))
        }
        answer => answer,
    }
}

fn show(editor: &Editor, folder: &Path, arguments: &[String], globals: &Globals) -> Result<()> {
    if globals.json {
        print_json(
            &json!({"cwd": folder.to_string_lossy(), "program": editor.program, "args": arguments}),
        );
        return Ok(());
    }
    let words = std::iter::once(editor.program).chain(arguments.iter().map(String::as_str));
    println!(
        "cd {} && {}",
        quoted(&folder.to_string_lossy()),
        words.map(quoted).collect::<Vec<_>>().join(" ")
    );
    Ok(())
}

/// The child gets no key: it is in the keystore, and the environment is readable by whatever the editor starts.
fn become_editor(editor: &Editor, folder: &Path, arguments: &[String], quiet: bool) -> Result<()> {
    let program = in_path(editor.program).ok_or_else(|| {
        let message = format!(
            "{} is not installed: there is no `{}` in PATH",
            editor.name, editor.program
        );
        Error::new(404, message).hint(editor.install)
    })?;
    if !quiet {
        eprintln!("{}", editor.first_start);
    }
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("MESH_KEY")
        .env_remove("MESH_KEY_FILE");
    let failed =
        |e: std::io::Error| Error::internal(format!("cannot start {}: {e}", editor.program));
    #[cfg(unix)]
    return Err(failed(std::os::unix::process::CommandExt::exec(
        &mut command,
    )));
    #[cfg(not(unix))]
    std::process::exit(command.status().map_err(failed)?.code().unwrap_or(70));
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = [
        program.to_owned(),
        format!("{program}.exe"),
        format!("{program}.cmd"),
    ];
    let names = if cfg!(windows) {
        &names[1..]
    } else {
        &names[..1]
    };
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.metadata()
            .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    file.is_file()
}

/// A word as a POSIX shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("--model"), "--model");
        assert_eq!(quoted("it's a"), r"'it'\''s a'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn programs_are_found_in_the_path() {
        assert!(in_path("sh").is_some());
        assert!(in_path("no-such-program-here").is_none());
    }
}
