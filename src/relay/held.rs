//! What is open under which key, sockets and waits: it ends when the key is refused.

use super::Relay;
use super::outbox::End;
use crate::error::Error;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

#[derive(Default)]
pub struct Held(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    last: u64,
    open: HashMap<u64, (Uuid, Arc<End>)>,
}

impl Held {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys something is open under.
    pub fn keys(&self) -> HashSet<Uuid> {
        self.inner().open.values().map(|(key, _)| *key).collect()
    }

    /// Ends everything open under these keys.
    pub fn refuse(&self, keys: &HashSet<Uuid>) {
        let inner = self.inner();
        for (_, end) in inner.open.values().filter(|(key, _)| keys.contains(key)) {
            end.end(Error::new(401, "this key was revoked"));
        }
    }

    /// How much is open.
    pub fn size(&self) -> usize {
        self.inner().open.len()
    }
}

/// Something open under a key, until it is dropped.
pub struct Hold {
    relay: Arc<Relay>,
    number: u64,
}

impl Hold {
    /// Ends `end` when the key is refused.
    pub fn new(relay: &Arc<Relay>, key: Uuid, end: Arc<End>) -> Hold {
        let mut inner = relay.held.inner();
        inner.last += 1;
        let number = inner.last;
        inner.open.insert(number, (key, end));
        Hold {
            relay: relay.clone(),
            number,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.relay.held.inner().open.remove(&self.number);
    }
}
