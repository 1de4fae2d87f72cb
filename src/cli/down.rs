//! `mesh down`: ends what `mesh up` started.

use super::globals::Globals;
use super::up::{cluster_folder, running};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::postgres::{cluster, platform, process};
use std::io::Write;
use std::time::{Duration, Instant};

/// Stop the relay and the private PostgreSQL that `mesh up` started.
///
/// Calls that are under way are finished first. Nothing is deleted.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  mesh down")]
pub struct Args {
    /// How long to wait for the end, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
}

/// Errors: ME403 when it runs as somebody else, ME503 when it does not end in time.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = &Home::find(globals.home.as_deref())?;
    let json = globals.json;
    let base = platform::base(home);
    let mut stopped = false;
    if base.exists() {
        stopped |= stop_process(&base, Duration::from_secs(args.timeout)).await?;
        if let Some(cluster) =
            cluster::existing(&cluster_folder(home))?.filter(|c| c.running().is_some())
        {
            cluster.stop().await?;
            stopped = true;
        }
    }
    let mut out = std::io::stdout().lock();
    _ = match (json, stopped) {
        (true, _) => writeln!(out, "{}", serde_json::json!({ "stopped": stopped })),
        (false, true) => writeln!(out, "Mesh is down."),
        (false, false) => writeln!(out, "Mesh was not up."),
    };
    Ok(())
}

/// Ends the process that holds the lock, and waits until it has let go. False when there is none.
async fn stop_process(base: &std::path::Path, patience: Duration) -> Result<bool> {
    let begun = Instant::now();
    let mut asked = None;
    while running::take(base)?.is_none() {
        // The holder writes its number right after it took the lock.
        let pid = running::read(base)
            .map(|running| running.pid)
            .filter(|pid| *pid > 0);
        if let Some(pid) = pid.filter(|_| asked.is_none()) {
            match process::terminate(pid) {
                Err(error) if error.status() != 404 => return Err(error),
                _ => asked = Some(pid),
            }
        }
        if begun.elapsed() > patience {
            let pid = asked.map(|pid| pid.to_string()).unwrap_or_default();
            return Err(Error::unavailable(format!("process {pid} does not end"))
                .hint(format!("kill -9 {pid}")));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok(asked.is_some())
}
