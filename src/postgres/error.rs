//! What Postgres says, as an error of Mesh.

use super::split::Statement;
use crate::error::Error;
use tokio_postgres::error::{DbError, ErrorPosition};

/// The error of a query: ours (`ME…`) as it is; a lost connection, a lock or a full server ME503; else ME500.
pub fn of_query(error: &tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        return Error::unavailable(format!("the database is away: {}", chain(error)));
    };
    if let Some(status) = db
        .code()
        .code()
        .strip_prefix("ME")
        .and_then(|s| s.parse().ok())
    {
        let mut ours = Error::new(status, db.message()).hint(db.hint().unwrap_or_default());
        ours.data = db
            .detail()
            .and_then(|detail| serde_json::from_str(detail).ok());
        return ours;
    }
    match db.code().code() {
        "42501" => Error::new(403, sentence(db)),
        code if ["08", "40", "53", "57"].contains(&&code[..2]) || code == "55P03" => {
            Error::unavailable(sentence(db))
        }
        _ => Error::internal(sentence(db)),
    }
}

/// The error of one statement, with its file and line.
pub fn of_statement(error: &tokio_postgres::Error, statement: &Statement) -> Error {
    let mut found = of_query(error);
    let line = statement.line
        + error
            .as_db_error()
            .map_or(0, |db| lines_before(db, &statement.text));
    found.message = format!("{}:{line}: {}", statement.file, found.message);
    found
}

/// The error of connecting: ME503, or ME403 when the server refuses this login.
pub fn of_connecting(error: &tokio_postgres::Error, to: &str) -> Error {
    match error.as_db_error() {
        Some(db) if db.code().code().starts_with("28") => Error::new(
            403,
            format!("the database at {to} refuses this login: {}", db.message()),
        )
        .hint("check user, password and pg_hba.conf"),
        Some(db) => Error::unavailable(format!(
            "the database at {to} is not ready: {}",
            db.message()
        )),
        None => {
            let why = chain(error);
            let hint = if why.contains("certificate") {
                "give the server's CA with --database-ca, or sslmode=disable on a network you trust"
            } else {
                ""
            };
            Error::unavailable(format!("cannot reach the database at {to}: {why}")).hint(hint)
        }
    }
}

/// Whether trying again soon can help: a lock time-out, a deadlock, or a catalogue row changed under us.
pub fn is_busy(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|db| match db.code().code() {
            "55P03" | "40P01" | "40001" => true,
            "XX000" => db.message().contains("concurrently"),
            // A role or schema made by somebody else since we looked.
            "23505" => db.schema() == Some("pg_catalog"),
            _ => false,
        })
}

/// How many lines of `text` stand before the place a syntax error points at.
pub fn lines_before(db: &DbError, text: &str) -> usize {
    match db.position() {
        Some(ErrorPosition::Original(at)) => text
            .chars()
            .take((*at as usize).saturating_sub(1))
            .filter(|c| *c == '\n')
            .count(),
        _ => 0,
    }
}

fn sentence(db: &DbError) -> String {
    let mut text = format!("{} ({})", db.message(), db.code().code());
    for more in [db.detail(), db.hint(), db.where_()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

/// An error and its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}
