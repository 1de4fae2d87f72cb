//! Any call of the relay as a command.

use super::{catalogues, context, globals::Globals, output, values};
use crate::{catalogue::Function, error::Result, fill, seen};
use clap::ArgMatches;

/// Calls `function` with what its command line says and prints the result; errors are the relay's.
pub async fn run(function: &Function, matches: &ArgMatches, globals: &Globals) -> Result<()> {
    let (mut arguments, mesh) = values::read(function, matches, std::io::stdin())?;
    let mut globals = globals.clone();
    globals.mesh = mesh.or(globals.mesh);
    let context = context::resolve_for(&globals, &function.who).await?;
    seen::fill(function, &mut arguments, || {
        seen::read(&context.home, &context.client.target)
    });
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
