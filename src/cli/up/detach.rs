//! `mesh up --detach`: the same command again in the background, and a wait until it is ready.

use super::running::{self, say};
use crate::error::{Error, Result};
use crate::postgres::process;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Errors: what the background process said when it ended early.
pub async fn run(base: &Path, listen: Option<SocketAddr>, json: bool) -> Result<()> {
    match running::take_or_report(base, listen, json).await? {
        Some(lock) => drop(lock),
        None => return Ok(()),
    }
    let path = base.join("up.log");
    let log = OpenOptions::new().create(true).append(true).open(&path)?;
    let begin = log.metadata()?.len();
    let arguments = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--detach");
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    process::detach(&mut command);
    let mut child = command.spawn()?;
    let pid = child.id() as i32;
    let mut shown = begin;
    loop {
        shown = show(&path, shown)?;
        if let Some(status) = child.try_wait()? {
            // Started at the same time as another one, it found that one and was done.
            if status.success()
                && let Some(other) = running::read(base).filter(|other| other.ready)
            {
                other.announce(json, true);
                return Ok(());
            }
            let said = super::tail(&path, begin, 5);
            return Err(Error::unavailable(format!(
                "mesh ended in the background ({status}): {said}"
            ))
            .hint(format!("tail {}", path.display())));
        }
        if let Some(running) =
            running::read(base).filter(|running| running.ready && running.pid == pid)
        {
            show(&path, shown)?;
            running.announce(json, false);
            if !json {
                say(&format!("Log: {}", path.display()));
            }
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Copies what was logged since `from` to stderr; gives the new end.
fn show(path: &Path, from: u64) -> Result<u64> {
    let mut log = std::fs::File::open(path)?;
    log.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes)?;
    _ = std::io::stderr().write_all(&bytes);
    Ok(from + bytes.len() as u64)
}
