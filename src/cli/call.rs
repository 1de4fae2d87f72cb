//! Any call of the relay as a command.

use super::{catalogues, context, globals::Globals, output, values};
use crate::{catalogue::Function, error::Result, fill, seen};
use clap::ArgMatches;
use serde_json::{Map, Value};
use std::{collections::HashSet, time::Duration};

/// The pause between two calls that follow.
const PAUSE: Duration = Duration::from_millis(500);

/// Calls `function` with what its command line says and prints the result; errors are the relay's.
pub async fn run(function: &Function, matches: &ArgMatches, globals: &Globals) -> Result<()> {
    let (mut arguments, mesh) = values::read(function, matches, std::io::stdin())?;
    let mut globals = globals.clone();
    globals.mesh = mesh.or(globals.mesh);
    let context = context::resolve_for(&globals, &function.who).await?;
    seen::fill(function, &mut arguments, || {
        seen::read(&context.home, &context.client.target)
    });
    if let Some(cli) = &function.cli
        && let Some((argument, column)) = &cli.follow
        && let asked = cli.follow_if.as_ref()
        && asked.is_none_or(|name| arguments.get(name) == Some(&Value::Bool(true)))
    {
        let row = cli.follow_row.as_ref().unwrap_or(column);
        let words = (argument, column, row);
        return follow(function, words, arguments, &context, globals.json).await;
    }
    let outcome = fill::call(
        &context.client,
        function,
        arguments,
        context.signer.as_ref(),
    )
    .await;
    if let Ok(value) = &outcome {
        output::result(function, value, globals.json);
        // Printed: only now may the next call settle it.
        if let Some(claim) = seen::claim(function, value) {
            seen::write(&context.home, &context.client.target, claim)?;
        }
    }
    catalogues::refresh(&context.home, &context.client).await;
    outcome.map(|_| ())
}

/// Calls again and again and prints the rows that are new, a line each, until the process is ended: with `argument` as the last
/// row has `column`, and each `row` once. A relay that is away is waited for.
async fn follow(
    function: &Function,
    (argument, column, row): (&String, &String, &String),
    mut arguments: Map<String, Value>,
    context: &context::Context,
    as_json: bool,
) -> Result<()> {
    let mut printed = HashSet::new();
    let mut away = false;
    loop {
        let client = &context.client;
        let rows =
            match fill::call(client, function, arguments.clone(), context.signer.as_ref()).await {
                Ok(Value::Array(rows)) => rows,
                Ok(_) => Vec::new(),
                Err(error) if error.status() == 503 => {
                    if !std::mem::replace(&mut away, true) {
                        output::error(&error, as_json);
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
        away = false;
        let is_new = |found: &&Value| !printed.contains(&found[row]);
        for found in rows.iter().filter(is_new) {
            output::line(function, found, as_json);
        }
        if let Some(last) = rows.last() {
            arguments.insert(argument.clone(), last[column].clone());
            // What comes again is among the last rows.
            printed = rows.iter().map(|found| found[row].clone()).collect();
        }
        tokio::time::sleep(PAUSE).await;
    }
}
