//! `mesh completions`: what a shell needs to complete commands and options.

use super::globals::Globals;
use crate::error::Result;
use clap_complete::Shell;

/// Print the completions of a shell
///
/// The commands are those of the relay this machine spoke to last, so run it again after an upgrade.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh completions bash > ~/.local/share/bash-completion/completions/mesh
  mesh completions zsh > \"${fpath[1]}/_mesh\"
  mesh completions fish > ~/.config/fish/completions/mesh.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let mut command = super::command_of(globals)?;
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mesh", &mut text);
    print!("{}", String::from_utf8_lossy(&text));
    Ok(())
}
