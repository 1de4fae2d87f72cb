//! Which answer with mail arrived last: what a `mesh.seen` argument says, so that a lost answer loses no mail.

use crate::{
    catalogue::Function,
    crypto,
    error::Result,
    home::{self, Home},
    rpc::Target,
};
use serde_json::{Map, Value};
use std::{fs, path::PathBuf};

/// A claim no answer has: without one, all earlier answers would count as arrived.
pub const NOTHING: &str = "00000000-0000-0000-0000-000000000000";

/// Adds the claim of the last answer that arrived, if `function` asks for it and the caller does not say it.
pub fn fill(function: &Function, arguments: &mut Map<String, Value>, last: impl FnOnce() -> Value) {
    if let Some(argument) = function.arguments.iter().find(|a| a.kind == "mesh.seen") {
        arguments.entry(argument.name.clone()).or_insert_with(last);
    }
}

/// The claim in the answer of a function that takes one.
pub fn claim<'a>(function: &Function, answer: &'a Value) -> Option<&'a str> {
    function.arguments.iter().find(|a| a.kind == "mesh.seen")?;
    answer.get("claim")?.as_str()
}

/// The claim this machine's commands printed last, as this key in this mesh.
pub fn read(home: &Home, target: &Target) -> Value {
    fs::read_to_string(path(home, target))
        .unwrap_or_else(|_| NOTHING.to_owned())
        .into()
}

/// Keeps the claim of an answer that was printed. Errors: the file cannot be written.
pub fn write(home: &Home, target: &Target, claim: &str) -> Result<()> {
    home::private_directory(&home.root.join("seen"))?;
    home::write_private(&path(home, target), claim.as_bytes())
}

fn path(home: &Home, target: &Target) -> PathBuf {
    let who = format!("{} {:?} {:?}", target.relay, target.bearer, target.mesh);
    home.root
        .join("seen")
        .join(&crypto::sha256_hex(who.as_bytes())[..32])
}
