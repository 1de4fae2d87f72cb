//! `mesh psql`: the administrator's way to the database.

use super::globals::Globals;
use super::up::cluster_folder;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::postgres::url::{as_role, environment};
use crate::postgres::{cluster, find, process};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Open psql on Mesh's database, as mesh_admin.
///
/// All arguments go to psql.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  mesh psql
  mesh psql -c \"select mesh.create_account('alice')\"
  mesh psql -- --csv -f report.sql")]
pub struct Args {
    /// A database other than the private one of `mesh up`
    #[arg(
        long,
        value_name = "URL",
        env = "MESH_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// PEM file of the authority to trust for the database's certificate
    #[arg(long, value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
    /// What psql is given
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    pub arguments: Vec<OsString>,
}

/// Becomes psql. Errors: ME503 when the private database does not run or there is no psql.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = &Home::find(globals.home.as_deref())?;
    let (url, beside) = match &args.database_url {
        Some(url) => (
            as_role(url, "mesh_admin")?,
            find::find(None).ok().map(|found| found.program("psql")),
        ),
        None => {
            let cluster = cluster::existing(&cluster_folder(home))?
                .filter(|cluster| cluster.running().is_some());
            let cluster = cluster.ok_or_else(|| {
                Error::unavailable("Mesh's database does not run").hint("mesh up --detach")
            })?;
            (cluster.url("mesh_admin")?, Some(cluster.program("psql")))
        }
    };
    let program = beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| "psql".into());
    let mut command = Command::new(program);
    for name in [
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGUSER",
        "PGDATABASE",
        "PGPASSWORD",
        "PGOPTIONS",
        "PGSERVICE",
    ] {
        command.env_remove(name);
    }
    command
        .envs(environment(&url, args.database_ca.as_deref())?)
        .args(&args.arguments);
    Err(process::exec(command))
}
