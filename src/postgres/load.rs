//! The reload of sql/: functions and views in one transaction when their text changed; policies, triggers and what they
//! use only when theirs did, behind locks on every table.

use super::drop::{drop_code, drop_guard, lock_tables, lock_views};
use super::error::{is_busy, of_query, of_statement};
use super::plan::{Plan, plan};
use super::source::File;
use super::split::Statement;
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Transaction};

/// How long a reload tries to get its locks.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest wait for one lock, in milliseconds: below deadlock_timeout, so that we give way before Postgres ends
/// somebody's call. The first tries are shorter, since everybody waits behind us, and against a call that holds one of our
/// locks and wants another only a new try helps.
const LOCK_TIMEOUT: u64 = 900;

/// To hand a function to a role, a login that is no superuser needs that role to have CREATE on the schema: it has, until
/// the end of the load.
const LEND: &str = "create schema if not exists mesh; create schema if not exists mesh_lib; \
    grant create on schema mesh, mesh_lib to mesh_owner, mesh_definer, mesh_agent";
const TAKE_BACK: &str =
    "revoke create on schema mesh, mesh_lib from mesh_owner, mesh_definer, mesh_agent";

/// How much was loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loaded {
    /// The database has exactly this code.
    Nothing,
    /// Functions, views and types.
    Code,
    /// Policies, triggers and table privileges too.
    Everything,
}

/// Why a try failed.
enum Failure {
    /// A lock somebody else holds.
    Busy(Error),
    /// Our own policies, triggers or guarded functions use what the rest makes.
    Entangled(String),
    Final(Error),
}

/// Brings the code of the database to `code`, all or nothing. The caller holds the migration lock and has set
/// check_function_bodies off; mesh_data.code exists, and gets `release` and `schema`, the version of the tables.
/// Errors: with file and line; ME409 when an object of somebody else depends on ours; ME503 after a minute without the locks.
pub async fn load(
    client: &mut Client,
    code: &[File],
    release: &str,
    schema: i32,
    say: impl Fn(&str),
) -> Result<Loaded> {
    let plan = plan(code)?;
    let mut everything = false;
    let begun = Instant::now();
    let mut patience = 100;
    let mut said = Duration::ZERO;
    loop {
        let stamp = (release, schema);
        let failure = match attempt(client, &plan, stamp, everything, patience).await {
            Ok(loaded) => return Ok(loaded),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Busy(error)) => error,
            Err(Failure::Entangled(detail)) if everything => return Err(Error::internal(detail)),
            Err(Failure::Entangled(detail)) => {
                say(&format!(
                    "loading policies and triggers too, since {detail}"
                ));
                everything = true;
                continue;
            }
        };
        let waited = begun.elapsed();
        if waited > PATIENCE {
            let holder = holder(client)
                .await
                .map(|text| format!(": {text}"))
                .unwrap_or_default();
            return Err(Error::unavailable(format!(
                "no lock on Mesh's tables for {} s{holder}",
                waited.as_secs()
            )));
        }
        if waited >= said {
            let holder = holder(client).await.unwrap_or(failure.message);
            say(&format!("waiting for locks to load the code: {holder}"));
            said = waited + Duration::from_secs(5);
        }
        tokio::time::sleep(Duration::from_millis(patience)).await;
        patience = (patience * 2).min(LOCK_TIMEOUT);
    }
}

async fn attempt(
    client: &mut Client,
    plan: &Plan,
    (release, schema): (&str, i32),
    everything: bool,
    patience: u64,
) -> std::result::Result<Loaded, Failure> {
    let transaction = client.transaction().await.map_err(sort)?;
    let settings = format!("set local lock_timeout = {patience}; set local search_path = ''");
    transaction.batch_execute(&settings).await.map_err(sort)?;
    let loaded = match everything {
        true => Loaded::Everything,
        false => missing(&transaction, plan).await.map_err(sort)?,
    };
    if loaded != Loaded::Nothing {
        lock_views(&transaction).await.map_err(sort)?;
    }
    match loaded {
        Loaded::Nothing => {}
        Loaded::Code => drop_code(&transaction, &plan.guarded).await.map_err(sort)?,
        Loaded::Everything => {
            lock_tables(&transaction).await.map_err(sort)?;
            drop_guard(&transaction).await.map_err(sort)?;
            let nothing = HashSet::new();
            drop_code(&transaction, &nothing).await.map_err(sort)?;
        }
    }
    let wanted = plan.statements.iter().filter(|(guard, _)| match loaded {
        Loaded::Nothing => false,
        Loaded::Code => !guard,
        Loaded::Everything => true,
    });
    let lend = loaded != Loaded::Nothing && !is_superuser(&transaction).await.map_err(sort)?;
    if lend {
        transaction.batch_execute(LEND).await.map_err(sort)?;
    }
    run_all(&transaction, wanted.map(|(_, statement)| statement)).await?;
    if lend {
        transaction.batch_execute(TAKE_BACK).await.map_err(sort)?;
    }
    for (part, hash) in [("guard", &plan.guard_hash), ("rest", &plan.rest_hash)] {
        transaction
            .execute(
                "insert into mesh_data.code as c (part, hash, release, schema_version) values ($1, $2, $3, $4)
                 on conflict (part) do update set hash = excluded.hash, release = excluded.release,
                   schema_version = excluded.schema_version, loaded_at = pg_catalog.now()
                 where (c.hash, c.release, c.schema_version) <> (excluded.hash, excluded.release, excluded.schema_version)",
                &[&part, hash, &release, &schema],
            )
            .await
            .map_err(sort)?;
    }
    transaction.commit().await.map_err(sort)?;
    Ok(loaded)
}

/// How much of the plan the database does not have.
async fn missing(
    transaction: &Transaction<'_>,
    plan: &Plan,
) -> std::result::Result<Loaded, tokio_postgres::Error> {
    let query = "select part, hash from mesh_data.code";
    let rows = transaction.query(query, &[]).await?;
    let present = |part, hash: &str| {
        rows.iter()
            .any(|row| (row.get(0), row.get(1)) == (part, hash))
    };
    let guard = present("guard", &plan.guard_hash);
    Ok(match (guard, present("rest", &plan.rest_hash)) {
        (true, true) => Loaded::Nothing,
        (true, false) => Loaded::Code,
        (false, _) => Loaded::Everything,
    })
}

async fn is_superuser(
    transaction: &Transaction<'_>,
) -> std::result::Result<bool, tokio_postgres::Error> {
    let query = "select rolsuper from pg_catalog.pg_roles where rolname = current_user";
    Ok(transaction.query_one(query, &[]).await?.get(0))
}

/// Sends all statements at once and then reads the answers, so the locks are not held for a round trip each.
async fn run_all(
    transaction: &Transaction<'_>,
    statements: impl Iterator<Item = &Statement>,
) -> std::result::Result<(), Failure> {
    let mut waiting = Vec::new();
    for statement in statements {
        let mut answer = Box::pin(transaction.batch_execute(&statement.text));
        // The first poll sends it.
        let early = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        waiting.push((statement, answer, early));
    }
    for (statement, answer, early) in waiting {
        let result = match early {
            Poll::Ready(result) => result,
            Poll::Pending => answer.await,
        };
        result.map_err(|e| {
            if is_busy(&e) {
                sort(e)
            } else {
                Failure::Final(of_statement(&e, statement))
            }
        })?;
    }
    Ok(())
}

fn sort(error: tokio_postgres::Error) -> Failure {
    if is_busy(&error) {
        return Failure::Busy(of_query(&error));
    }
    let Some(db) = error.as_db_error().filter(|db| db.code().code() == "2BP01") else {
        return Failure::Final(of_query(&error));
    };
    let detail = db.detail().unwrap_or_default();
    let ours = |line: &str| {
        let (dependent, _) = line.split_once(" depends on ").unwrap_or((line, ""));
        dependent.contains("mesh_data.")
            || dependent.contains("function mesh_lib.")
            || dependent.contains("function mesh.")
    };
    if !detail.is_empty() && detail.lines().all(ours) {
        return Failure::Entangled(detail.replace('\n', "; "));
    }
    Failure::Final(
        Error::new(409, format!("something of yours depends on Mesh's functions, so they cannot be replaced: {detail}"))
            .hint("drop it, run this again, and make it anew"),
    )
}

/// Who holds what we wait for: the oldest open transaction with a lock in our schemas.
async fn holder(client: &Client) -> Option<String> {
    let row = client
        .query_opt(
            "select a.pid, coalesce(nullif(a.application_name, ''), a.usename), a.state,
               extract(epoch from clock_timestamp() - a.xact_start)::bigint
             from pg_catalog.pg_locks l
             join pg_catalog.pg_stat_activity a on a.pid = l.pid and a.pid <> pg_catalog.pg_backend_pid()
             join pg_catalog.pg_class c on c.oid = l.relation
             where l.granted and c.relnamespace in (to_regnamespace('mesh_data'), to_regnamespace('mesh'), to_regnamespace('mesh_lib'))
             order by a.xact_start limit 1",
            &[],
        )
        .await
        .ok()??;
    let (name, state): (Option<String>, Option<String>) = (row.get(1), row.get(2));
    Some(format!(
        "process {} ({}) has been {} in a transaction for {} s",
        row.get::<_, i32>(0),
        name.unwrap_or_default(),
        state.unwrap_or_default(),
        row.get::<_, Option<i64>>(3).unwrap_or_default()
    ))
}
