//! `mesh relay`: one of any number of relays on a database.

use super::globals::Globals;
use crate::error::Result;
use crate::postgres::process;
use crate::relay::{CALLS_PER_SECOND, Options, serve};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Run a relay on a database that `mesh migrate` has prepared.
///
/// It holds no truth: run as many as you like side by side, and end one at any time. It never changes the schema; until there is one
/// it answers 503.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  mesh relay --database-url postgresql://mesh_relay:secret@db.example.org/mesh --listen 0.0.0.0:7700
  MESH_DATABASE_URL=… mesh relay --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem --public-url https://mesh.example.org")]
pub struct Args {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7700", value_parser = address)]
    pub listen: SocketAddr,
    /// The database, as role mesh_relay
    #[arg(
        long,
        value_name = "URL",
        env = "MESH_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: String,
    /// PEM file of the authority to trust for the database's certificate
    #[arg(long, value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
    /// How others reach this relay; it stands in invites
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// PEM file with the certificate chain for TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key for TLS
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// How many calls a second one key may make; twice as many at once
    #[arg(long, value_name = "N", default_value_t = CALLS_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..))]
    pub calls_per_second: u32,
}

/// Serves until Ctrl-C or SIGTERM, then drains.
pub async fn run(args: Args, _globals: &Globals) -> Result<()> {
    super::log_to_stderr();
    let options = Options {
        listen: args.listen,
        public_url: args.public_url,
        database_url: args.database_url,
        tls_cert: args.tls_cert,
        tls_key: args.tls_key,
        database_ca: args.database_ca,
        calls_per_second: args.calls_per_second,
    };
    let (ready, bound) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        if let Ok(address) = bound.await {
            super::up::running::say(&format!("listening on {address}"));
        }
    });
    serve(options, process::stop_signal(), ready).await
}

/// `host:port`, also by name.
pub fn address(text: &str) -> std::result::Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|e| format!("{e}; an address is host:port"))?;
    found
        .next()
        .ok_or_else(|| "that name has no address".into())
}
