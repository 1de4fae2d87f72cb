//! Which `mesh up` runs: a lock that dies with its process, and up.json beside it with what others ask.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What up.json says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Running {
    pub ready: bool,
    pub url: Option<String>,
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    pub pid: i32,
    pub account: Option<String>,
}

/// Held while `mesh up` runs; up.json goes with it.
pub struct Lock {
    base: PathBuf,
    _file: File,
}

/// The lock, or None after the running one was reported: a second `mesh up` is no error, but where it is to `listen` changes nothing.
pub async fn take_or_report(
    base: &Path,
    listen: Option<SocketAddr>,
    json: bool,
) -> Result<Option<Lock>> {
    let begun = Instant::now();
    loop {
        if let Some(lock) = take(base)? {
            return Ok(Some(lock));
        }
        if let Some(running) = read(base).filter(|running| running.ready) {
            running.announce(json, true);
            if let (Some(asked), Some(bound)) = (listen, running.listen)
                && (asked.ip() != bound.ip() || ![0, bound.port()].contains(&asked.port()))
            {
                say(&format!(
                    "note: it listens on {bound} as before, not on {asked}: for that, `mesh down` and `mesh up --listen {asked}`"
                ));
            }
            return Ok(None);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(
                Error::unavailable("another `mesh up` is starting and does not get ready")
                    .hint("mesh down"),
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The lock, unless a process holds it.
pub fn take(base: &Path) -> Result<Option<Lock>> {
    let path = base.join("up.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| Error::new(403, format!("cannot write {}: {e}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock {
            base: base.to_path_buf(),
            _file: file,
        })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// What the holder of the lock wrote; stale when nobody holds it.
pub fn read(base: &Path) -> Option<Running> {
    serde_json::from_slice(&std::fs::read(base.join("up.json")).ok()?).ok()
}

impl Lock {
    pub fn write(&self, running: &Running) -> Result<()> {
        let new = self.base.join("up.json.new");
        let text = serde_json::to_string(running).map_err(|e| Error::internal(e.to_string()))?;
        std::fs::write(&new, text)?;
        std::fs::rename(new, self.base.join("up.json"))?;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        _ = std::fs::remove_file(self.base.join("up.json"));
    }
}

impl Running {
    /// This process: starting without a URL, ready with one.
    pub fn new(url: Option<String>) -> Running {
        Running {
            ready: url.is_some(),
            url,
            listen: None,
            pid: std::process::id() as i32,
            account: None,
        }
    }

    pub fn with_account(self, account: Option<String>) -> Running {
        Running { account, ..self }
    }

    /// Says that Mesh is up and what to do next; with `json` the one ready line.
    pub fn announce(&self, json: bool, already: bool) {
        let mut out = std::io::stdout().lock();
        let url = self.url.as_deref().unwrap_or_default();
        if json {
            let line = serde_json::to_string(self).unwrap_or_default();
            _ = writeln!(out, "{line}").and_then(|()| out.flush());
            return;
        }
        let account = self
            .account
            .as_ref()
            .map(|name| format!(", account {name}"))
            .unwrap_or_default();
        let state = if already { "already up" } else { "up" };
        _ = write!(
            out,
            "Mesh is {state} at {url}{account} (process {})\n\nNext:\n  \
             mesh create proj            a team workspace\n  \
             mesh go commander           an editor window in it, as agent `commander`\n  \
             mesh invite proj designer   somebody else's\n  \
             mesh down                   stop all of it\n",
            self.pid
        );
        _ = out.flush();
    }
}

/// A line for the person, on stderr.
pub fn say(text: &str) {
    _ = writeln!(std::io::stderr(), "{text}");
}
