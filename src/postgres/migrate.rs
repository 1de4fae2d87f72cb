//! Brings a database to this release: roles, then tables (refinery), then code. Never backwards.

use super::error::{is_busy, lines_before, of_query};
use super::load::{Loaded, load};
use super::prepare;
use super::source::{File, Sources, version};
use crate::error::{Error, Result};
use refinery::error::Kind;
use refinery::{Migration, Runner};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The protocol major this binary speaks; a relay serves any newer schema of the same one.
pub const PROTOCOL: i32 = 1;

/// Where refinery writes down what ran.
pub(super) const HISTORY: &str = "public.refinery_schema_history";

/// The advisory lock of all migrations: "mesh" in ASCII.
const LOCK: i64 = 0x6d65_7368;

/// How long to wait for another process that migrates.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Outcome {
    /// The version of the tables now.
    pub schema: i32,
    /// Names of the migrations that ran, such as V2__messages.
    pub applied: Vec<String>,
    pub loaded: Loaded,
    /// Why nothing was touched: the database is of a newer release.
    pub newer: Option<String>,
}

/// Migrates and reloads over `client`; any number of processes may do so at once. `say` hears what takes long.
/// Errors: ME503 for a server that is too old or set up wrongly, or busy for long; ME403 for missing rights; ME409 when an
/// object of somebody else is in the way; SQL errors name file and line, and the file's changes are undone.
pub async fn migrate(
    client: &mut Client,
    sources: &Sources,
    say: impl Fn(&str),
) -> Result<Outcome> {
    prepare::check_server(client).await?;
    lock(client, &say).await?;
    let result = locked(client, sources, &say).await;
    // When this fails the connection is gone, and the lock with it.
    _ = client
        .execute("select pg_catalog.pg_advisory_unlock($1)", &[&LOCK])
        .await;
    result
}

/// Whether the code in the database speaks this binary's protocol.
pub async fn speaks_our_protocol(client: &Client) -> bool {
    let query = "select (mesh_lib.catalogue() ->> 'protocol')::integer";
    client
        .query_one(query, &[])
        .await
        .is_ok_and(|row| row.get::<_, Option<i32>>(0) == Some(PROTOCOL))
}

async fn locked(client: &mut Client, sources: &Sources, say: &impl Fn(&str)) -> Result<Outcome> {
    if let Some(newer) = newer(client, sources).await? {
        let schema = applied_version(client).await?.unwrap_or_default();
        return Ok(Outcome {
            schema,
            applied: Vec::new(),
            loaded: Loaded::Nothing,
            newer: Some(newer),
        });
    }
    let settings = "set check_function_bodies = off; set client_min_messages = warning; set lock_timeout = '5s'; \
                    set search_path = public";
    client
        .batch_execute(settings)
        .await
        .map_err(|e| of_query(&e))?;
    prepare::roles(client, &sources.roles).await?;
    let applied = tables(client, &sources.migrations, say).await?;
    let schema = applied_version(client).await?.unwrap_or_default();
    let loaded = load(client, &sources.code, RELEASE, schema, say).await?;
    Ok(Outcome {
        schema,
        applied,
        loaded,
        newer: None,
    })
}

/// Takes the lock by asking again and again: waiting inside a statement would hold a snapshot.
async fn lock(client: &Client, say: &impl Fn(&str)) -> Result<()> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        let row = client
            .query_one("select pg_catalog.pg_try_advisory_lock($1)", &[&LOCK])
            .await;
        if row.map_err(|e| of_query(&e))?.get(0) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::unavailable(
                "another process has been migrating this database for ten minutes",
            ));
        }
        if !said && begun.elapsed() > Duration::from_secs(1) {
            say("another process migrates this database; waiting for it");
            said = true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Why this binary must not touch the database: what is there is newer.
async fn newer(client: &Client, sources: &Sources) -> Result<Option<String>> {
    let known = sources
        .migrations
        .iter()
        .filter_map(number)
        .max()
        .unwrap_or(0);
    if let Some(applied) = applied_version(client)
        .await?
        .filter(|applied| *applied > known)
    {
        return Ok(Some(format!(
            "its tables are of version {applied}, this mesh {RELEASE} knows {known}"
        )));
    }
    if !exists(client, "mesh_data.code").await? {
        return Ok(None);
    }
    let rows = client
        .query("select release from mesh_data.code", &[])
        .await
        .map_err(|e| of_query(&e))?;
    let release = rows
        .iter()
        .map(|row| row.get::<_, String>(0))
        .find(|release| is_newer(release, RELEASE));
    Ok(release.map(|release| format!("its code is of mesh {release}, this is {RELEASE}")))
}

async fn applied_version(client: &Client) -> Result<Option<i32>> {
    if !exists(client, HISTORY).await? {
        return Ok(None);
    }
    let query = format!("select max(version) from {HISTORY}");
    Ok(client
        .query_one(&query, &[])
        .await
        .map_err(|e| of_query(&e))?
        .get(0))
}

async fn exists(client: &Client, table: &str) -> Result<bool> {
    let row = client
        .query_one(
            "select pg_catalog.to_regclass($1::text) is not null",
            &[&table],
        )
        .await;
    Ok(row.map_err(|e| of_query(&e))?.get(0))
}

/// Runs the migrations that are missing, each in its transaction.
async fn tables(client: &mut Client, files: &[File], say: &impl Fn(&str)) -> Result<Vec<String>> {
    let mut migrations = Vec::new();
    for file in files {
        migrations.push(
            Migration::unapplied(name(file), &file.text)
                .map_err(|e| Error::usage(format!("{}: {e}", file.path)))?,
        );
    }
    let begun = Instant::now();
    let mut runner = Runner::new(&migrations);
    runner.set_migration_table_name(HISTORY);
    let mut applied = Vec::new();
    loop {
        let error = match runner.run_async(client).await {
            Ok(report) => {
                applied.extend(report.applied_migrations().iter().map(ToString::to_string));
                return Ok(applied);
            }
            Err(error) => error,
        };
        let done = error
            .report()
            .map_or(&[][..], |report| report.applied_migrations());
        applied.extend(done.iter().map(ToString::to_string));
        let busy = of_postgres(&error).is_some_and(is_busy);
        if !busy || begun.elapsed() > Duration::from_secs(60) {
            return Err(explain(&error, files));
        }
        say("waiting for locks to change the tables");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn of_postgres(error: &refinery::Error) -> Option<&tokio_postgres::Error> {
    match error.kind() {
        Kind::Connection(_, source) => source.downcast_ref(),
        _ => None,
    }
}

fn explain(error: &refinery::Error, files: &[File]) -> Error {
    match (error.kind(), of_postgres(error)) {
        (Kind::DivergentVersion(..), _) => {
            Error::new(409, format!("{error}: a migration was edited after it ran"))
                .hint("restore the file from git")
        }
        (Kind::MissingVersion(..), _) => Error::new(409, error.to_string()),
        (Kind::Connection(what, _), Some(cause)) => {
            let mut found = of_query(cause);
            let file = files
                .iter()
                .find(|file| what.ends_with(&format!(" {}", name(file))));
            let place = file.map(|file| {
                let line = 1 + cause
                    .as_db_error()
                    .map_or(0, |db| lines_before(db, &file.text));
                format!("{}:{line}", file.path)
            });
            found.message = format!(
                "{}: {}",
                place.unwrap_or_else(|| what.clone()),
                found.message
            );
            found
        }
        _ => Error::internal(error.to_string()),
    }
}

/// `V2__messages` of `migrations/V2__messages.sql`.
fn name(file: &File) -> &str {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    name.strip_suffix(".sql").unwrap_or(name)
}

fn number(file: &File) -> Option<i32> {
    version(file.path.rsplit('/').next()?)
}

/// Whether release `a` comes after `b` by the rules of semantic versions; what is none never does.
fn is_newer(a: &str, b: &str) -> bool {
    fn parts(release: &str) -> Option<([u64; 3], bool, &str)> {
        let release = release.split('+').next()?;
        let (core, pre) = release.split_once('-').unwrap_or((release, ""));
        let mut numbers = core.split('.').map(|part| part.parse().ok());
        let core = [numbers.next()??, numbers.next()??, numbers.next()??];
        Some((core, pre.is_empty(), pre))
    }
    match (parts(a), parts(b)) {
        (Some(a), Some(b)) => a > b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_an_order() {
        for (a, b) in [
            ("0.2.0", "0.1.9"),
            ("0.10.0", "0.9.0"),
            ("1.0.0", "1.0.0-rc.1"),
            ("1.0.1-rc.1", "1.0.0"),
        ] {
            assert!(is_newer(a, b), "{a} {b}");
            assert!(!is_newer(b, a), "{b} {a}");
        }
        assert!(!is_newer("0.1.0", "0.1.0"));
        assert!(!is_newer("0.1.0+build", "0.1.0"));
        assert!(!is_newer("nightly", "0.1.0"));
    }
}
