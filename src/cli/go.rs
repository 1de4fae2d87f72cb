//! `mesh go`: set an agent up and start its editor.

use crate::{
    cli::{
        globals::Globals,
        run::{Start, launch},
        setup,
    },
    error::Result,
    home::Home,
};

/// Set an agent up and start its editor
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mesh go commander\n  mesh go designer --role \"UI designer\" --dir ~/src/site\n  mesh go designer -- --model opus"
)]
pub struct Args {
    #[command(flatten)]
    pub setup: setup::Args,
    #[command(flatten)]
    pub start: Start,
}

/// Returns only when the editor could not be started, or with `--no-launch`.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let (credential, _) = setup::setup(&args.setup, globals).await?;
    let home = Home::find(globals.home.as_deref())?;
    launch(&home, globals, &credential, &args.start).await
}
