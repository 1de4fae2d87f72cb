//! Which catalogue the command line is built from, and when it is fetched anew.

use super::globals::Globals;
use crate::{
    catalogue::Catalogue,
    crypto,
    error::Result,
    home::Home,
    rpc::{Client, Target},
};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

/// Longest time a command spends on fetching a catalogue, which it can do without.
const PATIENCE: Duration = Duration::from_secs(2);

/// Fetches and keeps the catalogue of the relay of `client` if its last answer named another than the one kept.
/// A failure is no error: the next call tries again.
pub async fn refresh(home: &Home, client: &Client) {
    let relay = &client.target.relay;
    let named = client.catalogue_hash();
    if named.is_some() && named != Catalogue::stored_hash(home, relay) {
        fetch(home, client).await;
    }
}

/// What the relay of the command line answers to GET /catalogue.json.
pub async fn fetched(globals: &Globals) -> Result<Value> {
    let home = Home::find(globals.home.as_deref())?;
    let relay = super::relay(&home, globals.relay.clone());
    Client::new(target(&home, &relay, globals.ca.clone()))?
        .get("/catalogue.json")
        .await
}

/// The catalogue of `relay` as it is now, kept for later; `None` when it cannot be had in two seconds.
pub async fn now(home: &Home, relay: &str, ca: Option<PathBuf>) -> Option<Catalogue> {
    fetch(home, &Client::new(target(home, relay, ca)).ok()?).await
}

fn target(home: &Home, relay: &str, ca: Option<PathBuf>) -> Target {
    let ca = ca.or_else(|| home.config().ok()?.ca);
    Target {
        relay: relay.to_owned(),
        ca,
        bearer: None,
        mesh: None,
    }
}

async fn fetch(home: &Home, client: &Client) -> Option<Catalogue> {
    let answer = tokio::time::timeout(PATIENCE, client.get("/catalogue.json"))
        .await
        .ok()?
        .ok()?;
    let hash = client
        .catalogue_hash()
        .unwrap_or_else(|| crypto::sha256_hex(answer.to_string().as_bytes()));
    Catalogue::store(home, &client.target.relay, &hash, &answer).ok()
}
