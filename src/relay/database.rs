//! Statements to Postgres, and what their failures mean.

use super::calls::{Answer, Request};
use super::{Relay, mail};
use crate::error::Error;
use deadpool_postgres::{Client, Object, Pool};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Row, error::SqlState};

const CALL: &str = "select ordinal, status, answer, caller, effects \
                    from mesh_lib.gate, mesh_lib.call($1, $2, $3, $4, $5, $6) order by ordinal";
/// Times are said, and read where they name no zone, in UTC, whatever zone the server is set to.
const SETTINGS: &str = "set statement_timeout = '10s'; set lock_timeout = '5s'; set idle_in_transaction_session_timeout = '15s'; \
                        set jit = off; set timezone = 'UTC'";
/// A call that waits for a lock, or takes long, makes all of its batch wait, and the lane behind it. So a batch soon gives
/// up. Not at the gate, though, which a reload closes for everybody: that is worth waiting for.
const HASTY: &str = "set mesh.lock_timeout = '200ms'; set statement_timeout = '3s'";
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the server's own statement_timeout: this one only ends a connection that went silent.
const SILENCE: Duration = Duration::from_secs(15);

/// How long a call may take.
#[derive(Clone, Copy)]
pub enum Haste {
    /// others wait for it
    Hasty,
    /// it is on its own
    Patient,
}

/// Why a statement gave nothing.
pub enum Failure {
    /// no connection: nothing ran
    Away(String),
    /// the connection broke: it may have run or not
    Lost(String),
    /// the database refused the statement: nothing of it is left
    Refused(SqlState, String),
}

impl Failure {
    /// Whether the same may succeed when it is run again: it met a lock, a deadlock or its time-out.
    pub fn is_busy(&self) -> bool {
        self.is_deadlock()
            || matches!(self, Failure::Refused(state, _) if ["55P03", "57014"].contains(&state.code()))
    }

    /// Whether it was ended so that another could go on.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Failure::Refused(state, _) if state.code().starts_with("40"))
    }

    /// The error a caller sees. An unexpected one is logged under an id and its text hidden.
    pub fn error(&self) -> Error {
        match self {
            Failure::Away(_) => Error::unavailable("the database is away; try again"),
            Failure::Lost(_) => Error::unavailable(
                "the database went away; it is not known whether the call took effect",
            ),
            Failure::Refused(state, text) => refused(state, text),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Away(why) => write!(f, "no connection: {why}"),
            Failure::Lost(why) => write!(f, "connection lost: {why}"),
            Failure::Refused(state, why) => write!(f, "{}: {why}", state.code()),
        }
    }
}

/// The answers of `calls`, in order, from one transaction.
pub async fn call(relay: &Relay, haste: Haste, calls: &[&Request]) -> Result<Vec<Answer>, Failure> {
    let column =
        |get: fn(&Request) -> Option<&str>| calls.iter().map(|c| get(c)).collect::<Vec<_>>();
    let tokens = column(|c| c.token.as_deref());
    let meshes = column(|c| c.mesh.as_deref());
    let sessions = column(|c| c.session.as_deref());
    let functions = column(|c| Some(&c.function));
    let arguments = column(|c| Some(&c.arguments));
    let (pool, more) = match haste {
        Haste::Hasty => (&relay.hasty, HASTY),
        Haste::Patient => (&relay.patient, ""),
    };
    let rows = run(
        relay,
        pool,
        more,
        CALL,
        &[
            &tokens, &meshes, &sessions, &functions, &arguments, &relay.id,
        ],
    )
    .await?;
    if rows.len() != calls.len() {
        let text = format!("{} answers to {} calls", rows.len(), calls.len());
        return Err(Failure::Refused(SqlState::INTERNAL_ERROR, text));
    }
    let answers: Vec<Answer> = rows
        .iter()
        .map(|row| {
            answer(row).map_err(|e| Failure::Refused(SqlState::INTERNAL_ERROR, e.to_string()))
        })
        .collect::<Result<_, _>>()?;
    for effects in answers.iter().map(|answer| &answer.effects) {
        if let Some(push) = &effects.push {
            mail::push(relay, push);
        }
        effects.news.iter().for_each(|news| mail::tell(relay, news));
    }
    Ok(answers)
}

fn answer(row: &Row) -> Result<Answer, tokio_postgres::Error> {
    let status: i32 = row.try_get("status")?;
    let body: Option<Json<Box<RawValue>>> = row.try_get("answer")?;
    let caller: Option<Json<_>> = row.try_get("caller")?;
    let effects: Option<Json<_>> = row.try_get("effects")?;
    Ok(Answer {
        status: u16::try_from(status).unwrap_or(500),
        body: body.map_or_else(|| RawValue::NULL.to_owned(), |body| body.0),
        caller: caller.map(|caller| caller.0),
        effects: effects.map(|effects| effects.0).unwrap_or_default(),
        is_written: false,
    })
}

/// Runs one prepared statement on a connection of the pool.
pub async fn query(
    relay: &Relay,
    pool: &Pool,
    statement: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Failure> {
    run(relay, pool, "", statement, values).await
}

async fn run(
    relay: &Relay,
    pool: &Pool,
    more: &str,
    statement: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Failure> {
    let client = match timeout(CONNECT, pool.get()).await {
        Ok(Ok(client)) => client,
        Ok(Err(e)) => return Err(count(relay, Failure::Away(e.to_string()))),
        Err(_) => return Err(count(relay, Failure::Away("time out".to_owned()))),
    };
    let failure = match timeout(SILENCE, prepared(&client, more, statement, values)).await {
        Ok(Ok(rows)) => return Ok(rows),
        Ok(Err(e)) => classify(&client, &e),
        Err(_) => Failure::Lost("time out".to_owned()),
    };
    if matches!(failure, Failure::Lost(_)) {
        drop(Object::take(client));
    }
    Err(count(relay, failure))
}

async fn prepared(
    client: &Client,
    more: &str,
    statement: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    // A connection that has prepared nothing yet is a new one.
    if client.statement_cache.size() == 0 {
        client.batch_execute(&format!("{SETTINGS}; {more}")).await?;
    }
    let statement = client.prepare_cached(statement).await?;
    client.query(&statement, values).await
}

fn classify(client: &Client, error: &tokio_postgres::Error) -> Failure {
    let Some(refusal) = error.as_db_error() else {
        return if error.is_closed() || client.is_closed() || is_io(error) {
            Failure::Lost(error.to_string())
        } else {
            Failure::Refused(SqlState::INTERNAL_ERROR, error.to_string())
        };
    };
    // A plan made before a reload may be all that is wrong.
    client.statement_cache.clear();
    let text = refusal.message().to_owned();
    match refusal.code().code() {
        // shutdown, crash of another backend, starting up, session ended by a time-out
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Failure::Lost(text),
        _ => Failure::Refused(refusal.code().clone(), text),
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

fn count(relay: &Relay, failure: Failure) -> Failure {
    relay.metrics.database_errors.add(1);
    if !matches!(failure, Failure::Refused(..)) {
        relay.check.notify_one();
    }
    failure
}

/// The one mapping of a foreign SQLSTATE.
fn refused(state: &SqlState, text: &str) -> Error {
    let code = state.code();
    if let Some(status) = code.strip_prefix("ME").and_then(|s| s.parse().ok()) {
        return Error::new(status, text);
    }
    match code {
        "23502" | "23514" => Error::new(400, text),
        "23505" => Error::new(409, text),
        "57014" => Error::unavailable("the call took too long and was undone; try again"),
        "55P03" => Error::unavailable("the database is busy; try again"),
        // a function, table or right that is not there yet
        "42883" | "42P01" | "3F000" | "42501" => {
            Error::unavailable("the database is not ready for this relay").hint("mesh migrate")
        }
        _ if code.starts_with("22") => Error::new(400, text),
        _ if ["08", "40", "53", "57"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Error::unavailable("the database is busy; try again")
        }
        _ => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            tracing::error!(id, sqlstate = code, "{text}");
            Error::internal(format!("something broke in the relay (error {id})"))
        }
    }
}
