//! What the database says of itself: whether it is ready, and the catalogue of its functions.

use super::Relay;
use crate::catalogue::{self, Catalogue};
use hyper::body::Bytes;
use serde_json::Value;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::Client;

const PROTOCOL: u32 = 1;
const TIME: Duration = Duration::from_secs(5);

/// The last that is known.
#[derive(Default)]
pub struct Schema(RwLock<State>);

#[derive(Default)]
struct State {
    ready: bool,
    why_not: String,
    loaded: Option<Arc<Loaded>>,
}

/// A catalogue and the documents made of it.
pub struct Loaded {
    pub hash: String,
    pub catalogue: Catalogue,
    pub json: Bytes,
    openapi: OnceLock<Bytes>,
}

impl Loaded {
    pub fn openapi(&self) -> Bytes {
        let make = || Bytes::from(catalogue::openapi(&self.catalogue).to_string());
        self.openapi.get_or_init(make).clone()
    }
}

impl Schema {
    /// The catalogue loaded last, kept while the database is away; none before the first time.
    pub fn loaded(&self) -> Option<Arc<Loaded>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .loaded
            .clone()
    }

    /// The catalogue's hash; empty before the first time.
    pub fn hash(&self) -> String {
        self.loaded().map(|l| l.hash.clone()).unwrap_or_default()
    }

    /// Why the database cannot serve, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (!state.ready).then(|| state.why_not.clone())
    }

    /// The database cannot serve; `why` is shown to anyone.
    pub fn away(&self, why: &str) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if state.ready || state.why_not != why {
            tracing::warn!("not ready: {why}");
        }
        state.ready = false;
        state.why_not = why.to_owned();
    }

    fn here(&self, loaded: Option<Loaded>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = loaded {
            tracing::info!(
                catalogue = loaded.hash,
                functions = loaded.catalogue.functions.len(),
                "catalogue loaded"
            );
            state.loaded = Some(Arc::new(loaded));
        }
        if !state.ready {
            tracing::info!("ready");
        }
        state.ready = true;
        state.why_not.clear();
    }
}

/// Asks the database how it is and reads its catalogue when that changed. Err when the connection is of no use any more.
pub async fn check(relay: &Relay, client: &Client) -> Result<(), String> {
    let checked = match timeout(TIME, ask(relay, client)).await {
        Ok(checked) => checked,
        Err(_) => return Err("the database does not answer".to_owned()),
    };
    match checked {
        Ok(loaded) => relay.schema.here(loaded),
        Err(_) if client.is_closed() => return Err("the database went away".to_owned()),
        Err(why) => relay.schema.away(&why),
    }
    Ok(())
}

async fn ask(relay: &Relay, client: &Client) -> Result<Option<Loaded>, String> {
    let row = client
        .query_one("select mesh_lib.health()", &[])
        .await
        .map_err(explain)?;
    let health: Value = row.try_get(0).map_err(explain)?;
    let hash = health["catalogue"].as_str().unwrap_or_default();
    if relay
        .schema
        .loaded()
        .is_some_and(|loaded| loaded.hash == hash)
    {
        return Ok(None);
    }
    let row = client
        .query_one("select mesh_lib.catalogue()::text", &[])
        .await
        .map_err(explain)?;
    let text: String = row.try_get(0).map_err(explain)?;
    let catalogue: Catalogue =
        serde_json::from_str(&text).map_err(|e| format!("the catalogue cannot be read: {e}"))?;
    if catalogue.protocol != PROTOCOL {
        let theirs = catalogue.protocol;
        return Err(format!(
            "the database speaks protocol {theirs}, this relay {PROTOCOL}"
        ));
    }
    Ok(Some(Loaded {
        hash: hash.to_owned(),
        catalogue,
        json: Bytes::from(text),
        openapi: OnceLock::new(),
    }))
}

fn explain(error: tokio_postgres::Error) -> String {
    match error.code().map(|state| state.code()) {
        Some("42883" | "42P01" | "3F000" | "42501") => {
            "the database is not migrated: mesh migrate".to_owned()
        }
        _ => {
            tracing::debug!("health: {error}");
            "the database does not answer".to_owned()
        }
    }
}
