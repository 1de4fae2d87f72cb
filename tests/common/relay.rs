//! A relay in a process of its own, so that it can be killed.

use super::{MESH, eventually};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// A running relay; killed with the value.
pub struct Relay {
    pub port: u16,
    database_url: String,
    args: Vec<String>,
    log: Option<PathBuf>,
    child: Option<Child>,
}

impl Relay {
    /// Starts a relay that logs in to `database_url` and waits until it serves.
    pub fn start(database_url: &str) -> Relay {
        Relay::start_with(database_url, &[])
    }

    /// The same with further arguments of `mesh relay`.
    pub fn start_with(database_url: &str, args: &[&str]) -> Relay {
        let relay = Relay::boot_with(database_url, args);
        eventually("the relay serves", || relay.health() == 200);
        relay
    }

    /// Starts a relay and waits for nothing.
    pub fn boot(database_url: &str) -> Relay {
        Relay::boot_with(database_url, &[])
    }

    /// Starts a relay that logs all it can to this file.
    pub fn logging(database_url: &str, log: &Path) -> Relay {
        let mut relay = Relay::new(database_url, &[]);
        relay.log = Some(log.to_owned());
        relay.restart();
        relay
    }

    fn boot_with(database_url: &str, args: &[&str]) -> Relay {
        let mut relay = Relay::new(database_url, args);
        relay.spawn();
        relay
    }

    fn new(database_url: &str, args: &[&str]) -> Relay {
        Relay {
            port: free_port(),
            database_url: database_url.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            log: None,
            child: None,
        }
    }

    /// Starts it again on the same port, after `kill`, and waits until it serves.
    pub fn restart(&mut self) {
        self.spawn();
        eventually("the relay serves", || self.health() == 200);
    }

    fn spawn(&mut self) {
        let mut command = Command::new(MESH);
        command
            .args([
                "relay",
                "--listen",
                &format!("127.0.0.1:{}", self.port),
                "--database-url",
                &self.database_url,
            ])
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(log) = &self.log {
            let file = OpenOptions::new().create(true).append(true).open(log);
            command
                .env("MESH_LOG", "trace")
                .stderr(file.expect("a file for the log"));
        }
        self.child = Some(command.spawn().expect("mesh starts"));
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.pid() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).expect("the relay runs");
    }

    /// Waits for its own end, and says whether that was a clean one.
    pub fn ended_well(&mut self) -> bool {
        let mut status = None;
        eventually("the relay ends", || {
            let child = self.child.as_mut().expect("the relay was started");
            status = child.try_wait().expect("a status");
            status.is_some()
        });
        self.child = None;
        status.is_some_and(|status| status.success())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process of ours");
            child.wait().expect("the relay ends");
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the relay runs").id()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The status of /health; 0 when nobody answers.
    pub fn health(&self) -> u16 {
        self.request("GET /health HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n")
            .map_or(0, |answer| status(&answer))
    }

    /// Sends these very bytes and reads until the relay closes.
    pub fn request(&self, bytes: impl AsRef<[u8]>) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
        stream.write_all(bytes.as_ref())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// POST /rpc/<function> with this body and bearer: the status and the JSON body.
    pub fn post(
        &self,
        function: &str,
        token: Option<&str>,
        body: &str,
    ) -> (u16, serde_json::Value) {
        let bearer = token
            .map(|token| format!("authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        let answer = self
            .request(format!(
                "POST /rpc/{function} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n{bearer}content-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .expect("the relay answers");
        let json = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body)
            .unwrap_or_default();
        (
            status(&answer),
            serde_json::from_str(json).unwrap_or_else(|e| panic!("{function}: {e}: {answer}")),
        )
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The status in an HTTP answer.
pub fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on, below those the system gives to outgoing connections: a relay that is down keeps it.
pub fn free_port() -> u16 {
    let begin = (std::process::id() % 500) as u16 * 20;
    (0..10_000)
        .map(|_| 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
