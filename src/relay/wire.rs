//! One socket on the wire: reads what the client says and writes what waits for it, in one task.

use super::frames;
use super::outbox::{Outbox, slow};
use crate::error::Error;
use futures_util::{SinkExt, StreamExt};
use hyper_tungstenite::HyperWebsocketStream;
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

const DEAD: Duration = Duration::from_secs(45);
const PING: Duration = Duration::from_secs(15);
/// A frame that cannot be written for so long makes the client a slow one.
const STALLED: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(2);

pub struct Wire {
    stream: HyperWebsocketStream,
    outbox: Arc<Outbox>,
    /// the size of the frame that is being written, and since when it is
    writing: Option<(usize, Instant)>,
    /// whether the client takes nothing any more; what it said before may still be there to read
    is_deaf: bool,
    /// whether the client said what is no message, so that nothing after it is one
    is_garbled: bool,
    ping_at: Instant,
    heard_at: Instant,
}

enum Event {
    Heard(Option<Result<Message, WsError>>),
    Wrote(Result<(), WsError>),
    Next(String),
    Due,
}

impl Wire {
    pub fn new(stream: HyperWebsocketStream, outbox: Arc<Outbox>) -> Wire {
        let now = Instant::now();
        Wire {
            stream,
            outbox,
            writing: None,
            is_deaf: false,
            is_garbled: false,
            ping_at: now + PING,
            heard_at: now,
        }
    }

    /// What the client says next; none when it is gone, or silent for 45 s. Meanwhile what waits is written, and a ping
    /// every 15 s. Dropped, it loses nothing.
    pub async fn read(&mut self) -> Option<Result<Message, WsError>> {
        loop {
            let dead_at = self.heard_at + DEAD;
            let due = match self.writing {
                Some((_, since)) => since + STALLED,
                None if self.is_deaf => dead_at,
                None => self.ping_at,
            };
            let (is_writing, stream) = (self.writing.is_some(), &mut self.stream);
            let transfer = poll_fn(|cx| {
                if is_writing && let Poll::Ready(wrote) = stream.poll_flush_unpin(cx) {
                    return Poll::Ready(Event::Wrote(wrote));
                }
                stream.poll_next_unpin(cx).map(Event::Heard)
            });
            let event = tokio::select! {
                event = transfer => event,
                text = self.outbox.next(), if !is_writing && !self.is_deaf => Event::Next(text),
                () = sleep_until(due.min(dead_at)) => Event::Due,
            };
            match event {
                Event::Heard(heard) => {
                    self.heard_at = Instant::now();
                    self.is_garbled = matches!(heard, Some(Err(_)));
                    return heard;
                }
                Event::Wrote(wrote) => {
                    self.is_deaf |= wrote.is_err();
                    self.outbox
                        .wrote(self.writing.take().map_or(0, |(size, _)| size));
                }
                Event::Next(text) => self.write(text.len(), Message::text(text)),
                Event::Due if Instant::now() >= dead_at => return None,
                Event::Due if is_writing => {
                    self.outbox.end.end(slow());
                    self.writing = self.writing.map(|(size, _)| (size, Instant::now()));
                }
                Event::Due => {
                    self.ping_at += PING;
                    self.write(0, Message::Ping(Default::default()));
                }
            }
        }
    }

    fn write(&mut self, size: usize, message: Message) {
        match self.stream.start_send_unpin(message) {
            Ok(()) => self.writing = Some((size, Instant::now())),
            Err(_) => self.is_deaf = true,
        }
    }

    /// Writes until `done` resolves or the client is gone; what it says meanwhile is for nobody.
    pub async fn write_until(&mut self, done: impl Future) {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                _ = &mut done => return,
                heard = self.read() => if !matches!(heard, Some(Ok(_))) {
                    return;
                },
            }
        }
    }

    /// Writes what still waits, but to a slow client, says why it is over, and closes.
    pub async fn close(&mut self, error: &Error) {
        let is_slow = *error == slow();
        let _ = timeout(LAST_WORDS, async {
            while let Some(text) = self.outbox.take() {
                if !is_slow && self.stream.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
            let _ = self.stream.send(Message::text(frames::ended(error))).await;
            let _ = SinkExt::close(&mut self.stream).await;
        })
        .await;
        // Closing with unread bytes would reset the connection and lose what was just written.
        let _ = timeout(Duration::from_secs(1), async {
            if self.is_garbled {
                // On the heap, or each socket would keep the room for it from the start.
                let mut rest = vec![0; 4096];
                while let Ok(1..) = self.stream.get_mut().read(&mut rest).await {}
            }
            while let Some(Ok(_)) = self.stream.next().await {}
        })
        .await;
    }
}
