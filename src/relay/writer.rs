//! The writing half of a socket.

use super::frames;
use super::outbox::{Outbox, slow};
use futures_util::{SinkExt, stream::SplitSink};
use hyper_tungstenite::HyperWebsocketStream;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message;

const PING: Duration = Duration::from_secs(15);
/// A frame that cannot be written for so long makes the client a slow one.
const STALLED: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(2);

type Sink = SplitSink<HyperWebsocketStream, Message>;

/// Writes what is queued and a ping every 15 s until the outbox ends; then says why and closes.
pub async fn run(mut sink: Sink, mut queue: Receiver<String>, outbox: Arc<Outbox>) {
    let mut ping = interval_at(Instant::now() + PING, PING);
    let error = loop {
        let (message, size) = tokio::select! {
            biased;
            error = outbox.end.ended() => break error,
            Some(text) = queue.recv() => {
                let size = text.len();
                (Message::text(text), size)
            }
            _ = ping.tick() => (Message::Ping(Default::default()), 0),
        };
        tokio::select! {
            biased;
            error = outbox.end.ended() => break error,
            sent = timeout(STALLED, sink.send(message)) => match sent {
                Ok(Ok(())) => outbox.wrote(size),
                Ok(Err(_)) => return,
                Err(_) => outbox.end.end(slow()),
            },
        }
    };
    let is_slow = error == slow();
    let _ = timeout(LAST_WORDS, async {
        while let Ok(text) = queue.try_recv() {
            if !is_slow && sink.send(Message::text(text)).await.is_err() {
                return;
            }
        }
        let _ = sink.send(Message::text(frames::ended(&error))).await;
        let _ = sink.close().await;
    })
    .await;
}
