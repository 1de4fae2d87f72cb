//! `mesh migrate`: brings a database to this release.

use super::globals::Globals;
use super::up::running::say;
use crate::error::{Error, Result};
use crate::postgres::connect::connect;
use crate::postgres::error::of_query;
use crate::postgres::load::Loaded;
use crate::postgres::{migrate, source};
use std::io::Write;
use std::path::PathBuf;

/// Bring a database to this release: roles, tables, functions.
///
/// Safe to run again, by many processes at once, and while relays serve. It never goes back to an older release.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  mesh migrate --database-url postgresql://postgres:secret@db.example.org/mesh
  MESH_DATABASE_URL=… mesh migrate --signup open")]
pub struct Args {
    /// The database, as a superuser, or as its owner with CREATEROLE
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
    /// Whether strangers may make themselves an account
    #[arg(long, value_name = "open|closed")]
    pub signup: Option<Signup>,
    #[arg(long, hide = true, value_name = "DIR", env = "MESH_SOURCE")]
    pub source: Option<PathBuf>,
}

/// Self-service accounts.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq)]
pub enum Signup {
    Open,
    Closed,
}

/// Errors: as `postgres::migrate::migrate`; ME409 for a database of a newer release.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let json = globals.json;
    let sources = source::find(args.source.as_deref())?;
    let mut connection = connect(&args.database_url, args.database_ca.as_deref()).await?;
    let outcome = migrate::migrate(&mut connection.client, &sources, say).await?;
    if let Some(newer) = outcome.newer {
        return Err(Error::new(409, format!("this database is newer: {newer}")).hint("update mesh"));
    }
    if let Some(signup) = args.signup {
        allow_signup(&connection.client, signup).await?;
    }
    let loaded = match outcome.loaded {
        Loaded::Nothing => "nothing",
        Loaded::Code => "code",
        Loaded::Everything => "everything",
    };
    let mut out = std::io::stdout().lock();
    _ = if json {
        let result = serde_json::json!({
            "schema": outcome.schema, "applied": outcome.applied, "loaded": loaded, "release": migrate::RELEASE,
        });
        writeln!(out, "{result}")
    } else {
        let applied = if outcome.applied.is_empty() {
            "nothing".to_owned()
        } else {
            outcome.applied.join(", ")
        };
        writeln!(
            out,
            "schema    {}\napplied   {applied}\nreloaded  {loaded}\nrelease   {}",
            outcome.schema,
            migrate::RELEASE
        )
    };
    Ok(())
}

/// Opens or closes self-service accounts, as mesh_admin.
pub async fn allow_signup(client: &tokio_postgres::Client, signup: Signup) -> Result<()> {
    client
        .batch_execute("set role mesh_admin")
        .await
        .map_err(|e| of_query(&e))?;
    let result = client
        .execute("select mesh.allow_signup($1)", &[&(signup == Signup::Open)])
        .await;
    client
        .batch_execute("reset role")
        .await
        .map_err(|e| of_query(&e))?;
    result.map(|_| ()).map_err(|e| of_query(&e))
}
