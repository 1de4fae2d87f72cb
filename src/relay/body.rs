//! Reads a request's body within its limits.

use super::Relay;
use crate::error::{Error, Result};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, EXPECT};
use std::{sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// The longest body or frame: 1 MiB of arguments and what is around them.
pub const LIMIT: usize = (1 << 20) + (64 << 10);
const TIME: Duration = Duration::from_secs(30);
/// What is read and thrown away so that a client that only writes gets to read the refusal.
const DISCARD: usize = 16 << 20;

/// The body, and the permit of the memory it takes; keep that as long as the bytes.
/// ME413 over the limit, ME400 when it takes over 30 s or breaks off, ME503 when too much is held already.
pub async fn read(
    relay: &Relay,
    request: hyper::Request<Incoming>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>)> {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse().ok());
    let asks_first = request.headers().contains_key(EXPECT);
    if asks_first && announced.is_some_and(|length: usize| length > LIMIT) {
        return Err(too_large());
    }
    tokio::time::timeout(TIME, collect(relay, request.into_body()))
        .await
        .unwrap_or_else(|_| Err(Error::new(400, "the body took longer than 30 seconds")))
}

async fn collect(
    relay: &Relay,
    mut body: Incoming,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>)> {
    let mut bytes = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::new(400, "the body broke off"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        if seen > DISCARD {
            break;
        }
        if seen > LIMIT {
            bytes = Vec::new();
            held = None;
            continue;
        }
        let permit = hold(relay, data.len())?;
        match &mut held {
            Some(held) => held.merge(permit),
            None => held = Some(permit),
        }
        bytes.extend_from_slice(&data);
    }
    if seen > LIMIT {
        Err(too_large())
    } else {
        Ok((bytes, held))
    }
}

/// A permit for `size` bytes of memory; ME503 when too much is held already.
pub fn hold(relay: &Relay, size: usize) -> Result<OwnedSemaphorePermit> {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    Arc::clone(&relay.memory)
        .try_acquire_many_owned(size)
        .map_err(|_| Error::unavailable("the relay holds too much already; try again"))
}

fn too_large() -> Error {
    Error::new(413, "the body is larger than 1 MiB")
}
