//! What waits to be written to one socket, and why the socket ends.

use crate::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{mpsc, watch};

const FRAMES: usize = 1024;
const BYTES: usize = 8 << 20;
/// Pushes wait in the database, not here, above this. A batch alone brings a socket a hundred frames; once some wait
/// there, all after them do, until the relay has looked.
const ROOMY_FRAMES: usize = 512;
const ROOMY_BYTES: usize = 1 << 20;

/// A bounded queue of text frames.
pub struct Outbox {
    queue: mpsc::Sender<String>,
    bytes: AtomicUsize,
    pub end: Arc<End>,
}

/// An outbox and the queue its writer takes from.
pub fn outbox() -> (Arc<Outbox>, mpsc::Receiver<String>) {
    let (queue, taken) = mpsc::channel(FRAMES);
    let outbox = Outbox {
        queue,
        bytes: AtomicUsize::new(0),
        end: Arc::default(),
    };
    (Arc::new(outbox), taken)
}

impl Outbox {
    /// Queues a frame. A client that lets 1,024 frames or 8 MiB pile up is ended as slow.
    pub fn send(&self, frame: String) {
        let size = frame.len();
        let before = self.bytes.fetch_add(size, Relaxed);
        let too_much = before > 0 && before + size > BYTES;
        if too_much || self.queue.try_send(frame).is_err() {
            self.bytes.fetch_sub(size, Relaxed);
            self.end.end(slow());
        }
    }

    /// Tells the outbox that a frame of `size` bytes was written.
    pub fn wrote(&self, size: usize) {
        self.bytes.fetch_sub(size, Relaxed);
    }

    /// Whether there is room for a push.
    pub fn is_roomy(&self) -> bool {
        self.queue.capacity() >= FRAMES - ROOMY_FRAMES && self.bytes.load(Relaxed) < ROOMY_BYTES
    }
}

/// Why something open is over; the first reason counts.
#[derive(Default)]
pub struct End(watch::Sender<Option<Error>>);

impl End {
    pub fn end(&self, error: Error) {
        self.0.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(error);
            first
        });
    }

    /// Resolves once it is over.
    pub async fn ended(&self) -> Error {
        let mut end = self.0.subscribe();
        let error = match end.wait_for(Option::is_some).await {
            Ok(error) => error.clone(),
            Err(_) => None,
        };
        error.unwrap_or_else(|| Error::internal("ended"))
    }
}

/// What a client is told that does not read what it is sent.
pub fn slow() -> Error {
    Error::unavailable("slow client: connect again to catch up")
}
