//! What waits to be written to one socket, and why the socket ends.

use crate::error::Error;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

const FRAMES: usize = 1024;
const BYTES: usize = 8 << 20;
/// Pushes wait in the database, not here, above this. A batch alone brings a socket a hundred frames; once some wait
/// there, all after them do, until the relay has looked.
const ROOMY_FRAMES: usize = 512;
const ROOMY_BYTES: usize = 1 << 20;

/// A bounded queue of text frames.
#[derive(Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    more: Notify,
    pub end: Arc<End>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<String>,
    /// of the frames, and of the one that was taken and is not written yet
    bytes: usize,
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame. A client that lets 1,024 frames or 8 MiB pile up is ended as slow.
    pub fn send(&self, frame: String) {
        let mut queue = self.queue();
        let is_too_much = queue.bytes > 0 && queue.bytes + frame.len() > BYTES;
        if is_too_much || queue.frames.len() == FRAMES {
            drop(queue);
            return self.end.end(slow());
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        drop(queue);
        self.more.notify_one();
    }

    /// The next frame, for the one task that writes them.
    pub async fn next(&self) -> String {
        loop {
            if let Some(frame) = self.take() {
                return frame;
            }
            self.more.notified().await;
        }
    }

    /// The next frame, if one waits. What is empty takes no memory.
    pub fn take(&self) -> Option<String> {
        let mut queue = self.queue();
        let frame = queue.frames.pop_front();
        if queue.frames.is_empty() {
            queue.frames = VecDeque::new();
        }
        frame
    }

    /// Tells the outbox that a frame of `size` bytes was written.
    pub fn wrote(&self, size: usize) {
        self.queue().bytes -= size;
    }

    /// Whether there is room for a push.
    pub fn is_roomy(&self) -> bool {
        let queue = self.queue();
        queue.frames.len() <= ROOMY_FRAMES && queue.bytes < ROOMY_BYTES
    }
}

/// Why something open is over; the first reason counts.
#[derive(Default)]
pub struct End {
    why: OnceLock<Box<Error>>,
    over: Notify,
}

impl End {
    pub fn end(&self, error: Error) {
        if self.why.set(Box::new(error)).is_ok() {
            self.over.notify_waiters();
        }
    }

    pub fn is_over(&self) -> bool {
        self.why.get().is_some()
    }

    /// Resolves once it is over.
    pub async fn ended(&self) -> &Error {
        loop {
            let over = self.over.notified();
            if let Some(why) = self.why.get() {
                return why;
            }
            over.await;
        }
    }
}

/// What a client is told that does not read what it is sent.
pub fn slow() -> Error {
    Error::unavailable("slow client: connect again to catch up")
}
