//! A private Postgres: one cluster in a folder of its own, reached by a Unix socket and nothing else.
//!
//! `<folder>/data` is the cluster, `<folder>/run` the socket's place, `<folder>/server.log` the log. Who may log in is
//! decided by `peer` and an ident map: the server's user, root and the person who started it, as superuser, relay or admin.

use super::connect::connect;
use super::find::{Binaries, find};
use super::platform::{self, ServerUser};
use super::process;
use super::settings::{self, SUPERUSER};
use super::url::socket_url;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DATABASE: &str = "mesh";
const RECOVERY_SECONDS: &str = "300";

pub struct Cluster {
    folder: PathBuf,
    binaries: Binaries,
    user: ServerUser,
}

/// The cluster in `folder`, made on the first call. `say` hears what takes long.
/// Errors: ME503 no Postgres, ME403 a folder that the server's user cannot enter.
pub async fn open(folder: &Path, say: impl Fn(&str)) -> Result<Cluster> {
    if let Some(parent) = folder.parent() {
        platform::passable_directory(parent)?;
    }
    let user = platform::server_user(folder)?;
    let binaries = find(pinned(folder))?;
    platform::private_directory(folder, &user)?;
    platform::check_reachable(folder, &user)?;
    let cluster = Cluster {
        folder: folder.canonicalize()?,
        binaries,
        user,
    };
    // pg_ctl hands paths to a shell, between double quotes.
    if cluster
        .folder
        .to_string_lossy()
        .contains(['"', '$', '`', '\\', '\n'])
    {
        let place = cluster.folder.display();
        return Err(
            Error::usage(format!("{place} has a character that pg_ctl cannot take"))
                .hint("MESH_HOME=/srv/mesh mesh up"),
        );
    }
    if !cluster.data().join("PG_VERSION").exists() {
        say(&format!(
            "making a private PostgreSQL {} in {}",
            cluster.binaries.major,
            cluster.folder.display()
        ));
        cluster.initialise().await?;
    }
    Ok(cluster)
}

/// The cluster in `folder` if one was made there.
pub fn existing(folder: &Path) -> Result<Option<Cluster>> {
    let Some(major) = pinned(folder) else {
        return Ok(None);
    };
    let user = platform::server_user(folder)?;
    Ok(Some(Cluster {
        folder: folder.canonicalize()?,
        binaries: find(Some(major))?,
        user,
    }))
}

fn pinned(folder: &Path) -> Option<u32> {
    std::fs::read_to_string(folder.join("data/PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

impl Cluster {
    /// Starts the server unless it runs, waits until it takes connections (recovery after a crash included), and makes
    /// the database. True when it had to be started.
    pub async fn start(&self, say: impl Fn(&str)) -> Result<bool> {
        let socket = platform::socket_directory(&self.folder.join("run"), &self.user)?;
        let changed = settings::write(&self.data(), &socket, &self.user)?;
        let started = if self.running().is_some() {
            if changed {
                self.control(&["reload"]).await?;
            }
            false
        } else {
            self.launch(&socket, &say).await?;
            true
        };
        self.make_database().await?;
        Ok(started)
    }

    /// Stops the server; connections are cut, transactions roll back. Nothing happens when it does not run.
    pub async fn stop(&self) -> Result<()> {
        if self.running().is_some() {
            self.control(&["stop", "-m", "fast", "-w", "-t", RECOVERY_SECONDS])
                .await?;
        }
        Ok(())
    }

    /// The server's process, when it is alive and really works on this cluster.
    pub fn running(&self) -> Option<i32> {
        let pid = self.lock_file()?.first()?.trim().parse().ok()?;
        process::lives_in(pid, &self.data()).then_some(pid)
    }

    /// The URL of the database for `role`: mesh_relay, mesh_admin or the superuser.
    pub fn url(&self, role: &str) -> Result<String> {
        Ok(socket_url(&self.socket()?, role, DATABASE))
    }

    /// The URL of the database for the superuser.
    pub fn superuser_url(&self) -> Result<String> {
        self.url(SUPERUSER)
    }

    /// A program of the same Postgres, such as psql.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.program(name)
    }

    /// Where the socket is: what the running server says, else where it will be.
    fn socket(&self) -> Result<PathBuf> {
        let said = self.running().and_then(|_| {
            self.lock_file()?
                .get(4)
                .filter(|line| !line.is_empty())
                .cloned()
        });
        said.map_or_else(
            || platform::socket_directory(&self.folder.join("run"), &self.user),
            |path| Ok(path.into()),
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn lock_file(&self) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }

    /// initdb into a folder beside, moved into place when complete, so that a kill in the middle leaves nothing half done.
    async fn initialise(&self) -> Result<()> {
        // An initdb whose mesh was killed may still be writing to its own.
        let new = self.folder.join(format!("data.new.{}", std::process::id()));
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("data.new") {
                _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let mut failure = String::new();
        for locale in ["C.UTF-8", "C.utf8", "en_US.UTF-8"] {
            if new.exists() {
                std::fs::remove_dir_all(&new)?;
            }
            let mut command = platform::server_command(
                &self.binaries.program("initdb"),
                &self.folder,
                &self.user,
            )?;
            command
                .arg("--pgdata")
                .arg(&new)
                .arg("--username")
                .arg(SUPERUSER);
            command.args([
                "--encoding=UTF8",
                "--lc-messages=C",
                "--data-checksums",
                "--no-instructions",
            ]);
            command
                .args(["--auth-local=peer", "--auth-host=reject"])
                .arg(format!("--locale={locale}"));
            match process::run(command).await? {
                Ok(()) => {
                    std::fs::rename(&new, self.data())?;
                    return Ok(());
                }
                Err(output) => failure = output,
            }
            if !failure.contains("locale") {
                break;
            }
        }
        Err(Error::internal(format!(
            "initdb failed: {}",
            failure.trim()
        )))
    }

    async fn launch(&self, socket: &Path, say: &impl Fn(&str)) -> Result<()> {
        self.clear_stale_locks(socket)?;
        let log = self.folder.join("server.log");
        if log.metadata().is_ok_and(|data| data.len() > 10_000_000) {
            std::fs::rename(&log, log.with_extension("log.1"))?;
        }
        // The processes of a server that was killed need a moment to notice.
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            let before = log.metadata().map_or(0, |data| data.len()) as usize;
            let log_argument = log.to_string_lossy();
            let result = self
                .control(&["start", "-w", "-t", RECOVERY_SECONDS, "-l", &log_argument])
                .await;
            let Err(error) = result else {
                return Ok(());
            };
            let said = std::fs::read(&log).unwrap_or_default();
            let said = String::from_utf8_lossy(said.get(before..).unwrap_or_default()).into_owned();
            let leftovers = said.contains("shared memory block") || said.contains("lock file");
            if !leftovers || Instant::now() > patience {
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(Error::unavailable(format!(
                    "the private PostgreSQL does not start: {}\n{last}",
                    error.message
                ))
                .hint(format!("tail {}", log.display())));
            }
            say("waiting for the processes of a killed PostgreSQL to end");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// A lock file whose process number now belongs to somebody else, or to a zombie, would keep the server from starting.
    /// It also guards against two servers on one cluster, so it goes only when certainly no process works there.
    fn clear_stale_locks(&self, socket: &Path) -> Result<()> {
        let data = self.data();
        let pid = self
            .lock_file()
            .and_then(|lines| lines.first()?.trim().parse().ok());
        if pid.is_some_and(process::alive) && process::inhabited(&data) == Some(false) {
            std::fs::remove_file(data.join("postmaster.pid"))?;
            let lock = socket.join(".s.PGSQL.5432.lock");
            if lock.exists() {
                std::fs::remove_file(lock)?;
            }
        }
        Ok(())
    }

    async fn control(&self, arguments: &[&str]) -> Result<()> {
        let data = self.data();
        let mut command =
            platform::server_command(&self.program("pg_ctl"), &self.folder, &self.user)?;
        command
            .arg(arguments[0])
            .arg("-s")
            .arg("-D")
            .arg(&data)
            .args(&arguments[1..]);
        process::run(command).await?.map_err(|output| {
            let lines: Vec<&str> = output
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            Error::internal(lines.join("; "))
        })
    }

    async fn make_database(&self) -> Result<()> {
        let url = self.superuser_url()?;
        let missing = match connect(&url, None).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let maintenance =
            connect(&socket_url(&self.socket()?, SUPERUSER, "postgres"), None).await?;
        let query = "select from pg_catalog.pg_database where datname = $1";
        let client = &maintenance.client;
        if client
            .query_opt(query, &[&DATABASE])
            .await
            .map_err(|e| super::error::of_query(&e))?
            .is_some()
        {
            return Err(missing);
        }
        client
            .batch_execute(&format!("create database {DATABASE}"))
            .await
            .map_err(|e| super::error::of_query(&e))
    }
}
