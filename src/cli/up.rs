//! `mesh up`: a private Postgres, the schema, a relay and an account, in one process.

mod account;
mod detach;
pub mod running;

use super::globals::Globals;
use super::migrate::{Signup, allow_signup};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::postgres::cluster::{self, Cluster};
use crate::postgres::connect::{Connection, connect};
use crate::postgres::url::as_role;
use crate::postgres::{migrate, platform, process, source};
use crate::relay;
use running::{Running, say};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Start Mesh on this machine: a private PostgreSQL, its schema, a relay and an account for you.
///
/// Safe to run again: it takes up what is there, also after a crash. Ctrl-C or `mesh down` stops all of it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  mesh up
  mesh up --detach
  mesh up --listen 0.0.0.0:7700 --public-url https://mesh.example.org
  mesh up --database-url postgresql://me:secret@db.example.org/mesh")]
pub struct Args {
    /// Where the relay listens [default: 127.0.0.1:7700]
    #[arg(long, value_name = "ADDRESS", value_parser = super::relay::address)]
    pub listen: Option<SocketAddr>,
    /// How others reach the relay; it stands in invites
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Use this database instead of a private one. For trying things out: the relay then has this login's rights.
    /// In production run `mesh migrate` and `mesh relay`
    #[arg(
        long,
        value_name = "URL",
        env = "MESH_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// PEM file of the authority to trust for the database's certificate
    #[arg(long, value_name = "FILE", requires = "database_url")]
    pub database_ca: Option<PathBuf>,
    /// Run in the background, and return when it is ready
    #[arg(long)]
    pub detach: bool,
    /// Whether strangers may make themselves an account
    #[arg(long, value_name = "open|closed")]
    pub signup: Option<Signup>,
    #[arg(long, hide = true, value_name = "DIR", env = "MESH_SOURCE")]
    pub source: Option<PathBuf>,
}

impl Args {
    fn listen(&self) -> SocketAddr {
        self.listen
            .unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7700))
    }
}

/// Runs until it is told to stop. Errors: ME503 no Postgres or the port is taken, ME409 a newer database.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    super::log_to_stderr();
    let home = &Home::find(globals.home.as_deref())?;
    let json = globals.json;
    let base = platform::base(home);
    platform::passable_directory(&base)?;
    if args.detach {
        return detach::run(&base, args.listen, json).await;
    }
    let Some(lock) = running::take_or_report(&base, args.listen, json).await? else {
        return Ok(());
    };
    check_port(args.listen())?;
    lock.write(&Running::new(None))?;
    let stop = stop_signal();
    let cluster = match args.database_url {
        Some(_) => None,
        None => Some(cluster::open(&base.join("postgres"), say).await?),
    };
    let result = work(&args, home, json, &lock, cluster.as_ref(), stop).await;
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    result
}

async fn work(
    args: &Args,
    home: &Home,
    json: bool,
    lock: &running::Lock,
    cluster: Option<&Cluster>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let (admin, relay_url) = tokio::select! {
        prepared = prepare(args, cluster) => prepared?,
        () = stopped(stop.clone()) => return Ok(()),
    };
    let options = relay::Options {
        listen: args.listen(),
        public_url: args.public_url.clone(),
        database_url: relay_url,
        tls_cert: None,
        tls_key: None,
        database_ca: args.database_ca.clone(),
        calls_per_second: relay::CALLS_PER_SECOND,
    };
    let (ready, bound) = oneshot::channel();
    let mut serving = pin!(relay::serve(options, stopped(stop), ready));
    let bound = tokio::select! {
        ended = &mut serving => return ended,
        bound = bound => bound.map_err(|_| Error::internal("the relay ended before it listened"))?,
    };
    let url = local_url(bound);
    let account = tokio::select! {
        ended = &mut serving => return ended,
        account = account::ensure(home, &admin.client, &url, cluster.is_some()) => account,
    };
    drop(admin);
    let account = account.unwrap_or_else(|error| {
        say(&format!("no account was made: {error}"));
        if !error.hint.is_empty() {
            say(&format!("  {}", error.hint));
        }
        None
    });
    let running = Running {
        listen: Some(bound),
        ..Running::new(Some(url)).with_account(account)
    };
    lock.write(&running)?;
    running.announce(json, false);
    tokio::select! {
        ended = &mut serving => ended,
        never = supervise(cluster) => match never {},
    }
}

/// Starts the server, migrates, and gives the administrator's connection and the relay's URL.
async fn prepare(args: &Args, cluster: Option<&Cluster>) -> Result<(Connection, String)> {
    let sources = source::find(args.source.as_deref())?;
    let (admin_url, relay_url) = match (cluster, &args.database_url) {
        (Some(cluster), _) => {
            cluster.start(say).await?;
            (cluster.superuser_url()?, cluster.url("mesh_relay")?)
        }
        (None, Some(url)) => (url.clone(), as_role(url, "mesh_relay")?),
        (None, None) => return Err(Error::internal("neither a cluster nor a database")),
    };
    let mut admin = connect(&admin_url, args.database_ca.as_deref()).await?;
    let outcome = migrate::migrate(&mut admin.client, &sources, say).await?;
    if let Some(newer) = outcome.newer {
        if !migrate::speaks_our_protocol(&admin.client).await {
            return Err(
                Error::new(409, format!("this database is newer: {newer}")).hint("update mesh")
            );
        }
        say(&format!("leaving the database as it is: {newer}"));
    }
    if let Some(signup) = args.signup {
        allow_signup(&admin.client, signup).await?;
    }
    Ok((admin, relay_url))
}

/// Starts the private server again whenever it is gone.
async fn supervise(cluster: Option<&Cluster>) -> std::convert::Infallible {
    let Some(cluster) = cluster else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        if cluster.running().is_none() {
            say("the private PostgreSQL is gone; starting it again");
            if let Err(error) = cluster.start(say).await {
                say(&error.to_string());
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// Errors early, before a server is started for nothing.
fn check_port(listen: SocketAddr) -> Result<()> {
    let Err(error) = TcpListener::bind(listen) else {
        return Ok(());
    };
    let other = SocketAddr::new(listen.ip(), listen.port().wrapping_add(1));
    Err(match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::unavailable(format!("something else listens on {listen}"))
                .hint(format!("mesh up --listen {other}"))
        }
        _ => Error::unavailable(format!("cannot listen on {listen}: {error}"))
            .hint("mesh up --listen 127.0.0.1:7700"),
    })
}

/// The URL under which programs of this machine reach a relay that listens on `bound`.
fn local_url(bound: SocketAddr) -> String {
    let ip = if bound.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        bound.ip()
    };
    format!("http://{}", SocketAddr::new(ip, bound.port()))
}

/// True in the channel after the first signal; a second one ends the process at once.
fn stop_signal() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        process::stop_signal().await;
        _ = sender.send(true);
        process::stop_signal().await;
        std::process::exit(130);
    });
    receiver
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone with its task: the runtime is ending.
    _ = stop.wait_for(|stop| *stop).await;
}

/// The folder of the private server.
pub fn cluster_folder(home: &Home) -> PathBuf {
    platform::base(home).join("postgres")
}

/// Reads the end of a log for an error message: its last `lines` lines.
fn tail(path: &Path, from: u64, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(from as usize..).unwrap_or_default()).into_owned();
    let last: Vec<&str> = text.lines().rev().take(lines).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("\n")
}
