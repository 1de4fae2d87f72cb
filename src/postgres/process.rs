//! Processes: running, watching and ending them.

use crate::error::{Error, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Runs a command to its end off the async threads. Ok(Err(text)) is what a failed one said.
pub async fn run(mut command: Command) -> Result<std::result::Result<(), String>> {
    let task = tokio::task::spawn_blocking(move || command.output());
    let output = task.await.map_err(|e| Error::internal(e.to_string()))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if output.status.success() {
        Ok(())
    } else {
        Err(text(&output.stdout) + &text(&output.stderr))
    })
}

/// Whether there is a process `pid`.
pub fn alive(pid: i32) -> bool {
    !matches!(
        kill(Pid::from_raw(pid), None),
        Err(nix::errno::Errno::ESRCH)
    )
}

/// Whether `pid` is a live process whose working directory is `folder`, as a postmaster's is. Where the system does not
/// tell, whether it is alive.
pub fn lives_in(pid: i32, folder: &Path) -> bool {
    let alive = alive(pid);
    match std::fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(cwd) => alive && folder.canonicalize().is_ok_and(|folder| cwd == folder),
        Err(_) => alive && !Path::new("/proc/self/cwd").exists(),
    }
}

/// Whether any process works in `folder`; None where the system does not tell.
pub fn inhabited(folder: &Path) -> Option<bool> {
    let processes = std::fs::read_dir("/proc")
        .ok()
        .filter(|_| Path::new("/proc/self/cwd").exists())?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Some(pids.into_iter().any(|pid: i32| lives_in(pid, folder)))
}

/// Asks a process to end.
pub fn terminate(pid: i32) -> Result<()> {
    kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|e| match e {
        nix::errno::Errno::ESRCH => Error::new(404, format!("process {pid} is gone")),
        e => Error::new(403, format!("cannot stop process {pid}: {e}")),
    })
}

/// Detaches a command from this terminal: its own session.
pub fn detach(command: &mut Command) {
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(())
        });
    }
}

/// Becomes `command`; returns only why it could not.
pub fn exec(mut command: Command) -> Error {
    let error = command.exec();
    Error::internal(format!(
        "cannot run {}: {error}",
        command.get_program().to_string_lossy()
    ))
}

/// Resolves at Ctrl-C, SIGTERM or SIGHUP.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut signals = Vec::new();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        signals.extend(signal(kind));
    }
    let next = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(next).await;
}
