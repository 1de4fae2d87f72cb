//! Any call of the relay as a command.

use super::{
    catalogues,
    context::{self, Context},
    globals::Globals,
    grep, output, values,
};
use crate::{catalogue::Function, error::Result, fill, pins::Pins, sealing::Sealing, seen};
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
    let sealing = context.sealing();
    if let Some(cli) = &function.cli
        && let Some((argument, column)) = &cli.follow
        && let asked = cli.follow_if.as_ref()
        && asked.is_none_or(|name| arguments.get(name) == Some(&Value::Bool(true)))
    {
        let row = cli.follow_row.as_ref().unwrap_or(column);
        let words = (argument, column, row);
        let sealing = sealing.as_ref();
        return follow(function, words, arguments, &context, sealing, globals.json).await;
    }
    if let Some(text) = grep::wanted(matches) {
        let pages = |arguments| call(function, arguments, &context, sealing.as_ref());
        let found = grep::find(arguments, text, pages).await?;
        output::result(function, &found, globals.json);
        return Ok(());
    }
    let wish = arguments.get("mode").cloned();
    let outcome = call(function, arguments, &context, sealing.as_ref()).await;
    if let Ok(value) = &outcome {
        pin(function, wish.as_ref(), value, &context)?;
        output::result(function, value, globals.json);
        // Printed: only now may the next call settle it.
        if let Some(claim) = seen::claim(function, value) {
            seen::write(&context.home, &context.client.target, claim)?;
        }
    }
    catalogues::refresh(&context.home, &context.client).await;
    outcome.map(|_| ())
}

/// A mesh that its own account has made or changed here needs no relay's word about owner and mode.
fn pin(function: &Function, wish: Option<&Value>, result: &Value, context: &Context) -> Result<()> {
    let account = context.held.as_ref().filter(|held| held.identity.is_none());
    let (Some(account), Some(id)) = (account, result["mesh_id"].as_str()) else {
        return Ok(());
    };
    // The relay has checked that it is the owner who calls.
    if function.who != "account" {
        return Ok(());
    }
    let pins = Pins::new(&context.home);
    let name = result["mesh"].as_str().unwrap_or_default();
    let usual = function.arguments.iter().find(|a| a.name == "mode");
    if let Some(mode) = wish
        .or(usual.map(|mode| &mode.default))
        .and_then(Value::as_str)
    {
        pins.want(id, mode == "sealed")?;
    }
    pins.own(id, name, &account.key.signer().public_key())
}

async fn call(
    function: &Function,
    arguments: Map<String, Value>,
    context: &Context,
    sealing: Option<&Sealing>,
) -> Result<Value> {
    let options = fill::Options {
        sealing,
        ..fill::Options::default()
    };
    let signer = context.signer.as_ref();
    fill::call(&context.client, function, arguments, signer, options).await
}

/// Calls again and again and prints the rows that are new, a line each, until the process is ended: with `argument` as the last
/// row has `column`, and each `row` once. A relay that is away is waited for.
async fn follow(
    function: &Function,
    (argument, column, row): (&String, &String, &String),
    mut arguments: Map<String, Value>,
    context: &Context,
    sealing: Option<&Sealing>,
    as_json: bool,
) -> Result<()> {
    let mut printed = HashSet::new();
    let mut away = false;
    loop {
        let rows = match call(function, arguments.clone(), context, sealing).await {
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
