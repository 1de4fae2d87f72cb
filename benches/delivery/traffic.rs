//! Senders, receivers, and the ledger in which both write what became of each message.

use crate::client::{Answer, Caller, PATIENCE, Socket};
use crate::measure::milliseconds;
use crate::report::{Row, percentile};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

/// Unanswered sends of one socket; the relay takes 64, and a receiver needs some for its acknowledgements.
pub const DEPTH: usize = 60;
/// How long nothing may happen before what is missing counts as lost.
const SILENCE: Duration = Duration::from_secs(10);

/// One entry per message; times are nanoseconds since the beginning, 0 is never.
pub struct Ledger {
    begin: Instant,
    next: AtomicUsize,
    entries: Vec<Entry>,
    acked: AtomicU64,
    refused: AtomicU64,
    settled: AtomicU64,
    settled_at: AtomicU64,
}

#[derive(Default)]
struct Entry {
    /// when it was sent, or should have been
    due: AtomicU64,
    acked_at: AtomicU64,
    shown: AtomicU32,
    shown_at: AtomicU64,
}

impl Ledger {
    pub fn new(capacity: usize) -> Arc<Ledger> {
        Arc::new(Ledger {
            begin: Instant::now(),
            next: AtomicUsize::new(0),
            entries: (0..capacity).map(|_| Entry::default()).collect(),
            acked: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            settled_at: AtomicU64::new(0),
        })
    }

    fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.begin).as_nanos().max(1) as u64
    }

    /// The next message, to be sent at `due`; its number, which is also its first word. None when the ledger is full.
    pub fn open(&self, due: Instant) -> Option<usize> {
        let number = self.next.fetch_add(1, Relaxed);
        let entry = self.entries.get(number)?;
        entry.due.store(self.nanos(due), Relaxed);
        Some(number)
    }

    /// The send was answered.
    pub fn answered(&self, number: usize, answer: &Answer) {
        if answer.result.is_err() {
            self.refused.fetch_add(1, Relaxed);
            return;
        }
        self.acked(number, answer.at);
    }

    pub fn acked(&self, number: usize, at: Instant) {
        let entry = &self.entries[number];
        entry.acked_at.store(self.nanos(at), Relaxed);
        self.acked.fetch_add(1, Relaxed);
    }

    /// It was pushed.
    fn shown(&self, text: &str, at: Instant) {
        let number = text.split(' ').next().and_then(|n| n.parse::<usize>().ok());
        if let Some(entry) = number.and_then(|number| self.entries.get(number)) {
            entry.shown_at.fetch_max(self.nanos(at), Relaxed);
            entry.shown.fetch_add(1, Relaxed);
        }
    }

    /// So many were acknowledged by their recipients.
    fn settled(&self, count: usize, at: Instant) {
        self.settled_at.fetch_max(self.nanos(at), Relaxed);
        self.settled.fetch_add(count as u64, Relaxed);
    }

    /// How often it was shown, and from when it was due to when the last had it.
    pub fn spread(&self, number: usize) -> (u32, f64) {
        let entry = &self.entries[number];
        let shown = entry.shown.load(Relaxed);
        (shown, span(&entry.due, &entry.shown_at))
    }

    /// Waits until recipients have acknowledged all that was acked, or nothing happens any more.
    pub async fn drained(&self) {
        self.settles(|| self.acked.load(Relaxed)).await;
    }

    /// Waits until recipients have acknowledged so many, or nothing happens any more.
    pub async fn settles(&self, all: impl Fn() -> u64) {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let settled = self.settled.load(Relaxed);
            if settled >= all() {
                return;
            }
            if settled != last {
                (last, since) = (settled, Instant::now());
            } else if since.elapsed() > SILENCE {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What became of all of it. The times are those from due to shown.
    pub fn row(&self, scenario: impl Into<String>) -> Row {
        let opened = self.next.load(Relaxed).min(self.entries.len());
        let entries = &self.entries[..opened];
        let is_acked = |entry: &&Entry| entry.acked_at.load(Relaxed) > 0;
        let is_shown = |entry: &&Entry| entry.shown.load(Relaxed) > 0;
        let acked = entries.iter().filter(is_acked).count() as u64;
        let received = entries.iter().filter(is_shown).count() as u64;
        let lost = entries.iter().filter(is_acked).filter(|e| !is_shown(e));
        let shown: u64 = entries
            .iter()
            .map(|e| u64::from(e.shown.load(Relaxed)))
            .sum();
        let pushed = entries.iter().filter(is_shown);
        let first = entries.first().map_or(0, |e| e.due.load(Relaxed));
        let seconds = (self.settled_at.load(Relaxed).saturating_sub(first)) as f64 / 1e9;
        let mut row = Row {
            scenario: scenario.into(),
            n: Some(opened as u64),
            acked: Some(acked),
            received: Some(received),
            lost: Some(lost.count() as u64),
            duplicated: Some(shown - received),
            msgs_per_s: Some(self.settled.load(Relaxed) as f64 / seconds),
            times: pushed.map(|e| span(&e.due, &e.shown_at)).collect(),
            latency: "push",
            ..Row::default()
        };
        let mut acks = self.ack_times();
        if !acks.is_empty() {
            let times = [50.0, 95.0, 99.0].map(|p| percentile(&mut acks, p));
            row.more.insert(
                "ack_ms_p50_p95_p99".into(),
                times.map(|t| (t * 100.0).round() / 100.0).to_vec().into(),
            );
        }
        let refused = self.refused.load(Relaxed);
        if refused > 0 {
            row.more.insert("refused".into(), refused.into());
        }
        row
    }

    /// The numbers of those that were acknowledged to their senders.
    pub fn acked_numbers(&self) -> impl Iterator<Item = usize> {
        let opened = self.entries.iter().enumerate();
        opened
            .filter(|(_, entry)| entry.acked_at.load(Relaxed) > 0)
            .map(|(number, _)| number)
    }

    /// From due to answered, of each that was.
    pub fn ack_times(&self) -> Vec<f64> {
        let acked = self.entries.iter().filter(|e| e.acked_at.load(Relaxed) > 0);
        acked.map(|e| span(&e.due, &e.acked_at)).collect()
    }
}

fn span(from: &AtomicU64, to: &AtomicU64) -> f64 {
    milliseconds(Duration::from_nanos(
        to.load(Relaxed).saturating_sub(from.load(Relaxed)),
    ))
}

/// The arguments of send_message for a message of 200 bytes.
pub fn letter(to: &str, number: usize, more: &str) -> String {
    format!(r#"{{"to":"{to}","message":"{number:<200}"{more}}}"#)
}

/// Keeps so many sends under way until the time is over.
pub async fn pipeline(caller: Caller, to: String, ledger: Arc<Ledger>, until: Instant) {
    let lines = (0..DEPTH).map(|_| async {
        while Instant::now() < until
            && let Some(number) = ledger.open(Instant::now())
        {
            let answer = caller.start("send_message", &letter(&to, number, ""));
            match timeout(PATIENCE, answer).await {
                Ok(Ok(answer)) => ledger.answered(number, &answer),
                _ => return,
            }
        }
    });
    futures_util::future::join_all(lines).await;
}

/// Sends at a fixed rate, whether answers come or not; a send that had to wait for its turn counts from when it was due.
pub async fn open_loop(
    caller: Caller,
    to: String,
    ledger: Arc<Ledger>,
    per_second: f64,
    until: Instant,
) {
    let begin = Instant::now();
    let places = Arc::new(Semaphore::new(DEPTH));
    for count in 0.. {
        let due = begin + Duration::from_secs_f64(f64::from(count) / per_second);
        if due >= until || Instant::now() >= until {
            break;
        }
        sleep_until(due.into()).await;
        let place = places.clone().acquire_owned().await.expect("never closed");
        let Some(number) = ledger.open(due) else {
            break;
        };
        let answer = caller.start("send_message", &letter(&to, number, ""));
        let ledger = ledger.clone();
        tokio::spawn(async move {
            if let Ok(Ok(answer)) = timeout(PATIENCE, answer).await {
                ledger.answered(number, &answer);
            }
            drop(place);
        });
    }
    let _ = timeout(PATIENCE, places.acquire_many(DEPTH as u32)).await;
}

/// What a receiver has to acknowledge yet; kept when its socket breaks.
#[derive(Default)]
pub struct Receiver {
    pub owed: Vec<String>,
    /// every message as it came, where a scenario wants to know: text and id
    pub seen: Option<Vec<(String, String)>>,
    /// how long it has a message before it acknowledges it
    pub reads_for: Duration,
}

impl Receiver {
    /// Confirms and acknowledges what is pushed until the socket closes: one ack_messages at a time, for all that came
    /// during the one before.
    pub async fn run(&mut self, mut socket: Socket, ledger: &Ledger) {
        let mut acks: Option<(Vec<String>, oneshot::Receiver<Answer>)> = None;
        let mut read = Instant::now();
        loop {
            tokio::select! {
                push = socket.pushes.recv() => {
                    let Some(first) = push else { break };
                    let mut ids = Vec::new();
                    let mut next = Some(first);
                    while let Some(push) = next {
                        ledger.shown(&push.text, push.at);
                        if let Some(seen) = &mut self.seen {
                            seen.push((push.text, push.id.clone()));
                        }
                        ids.push(push.id);
                        next = socket.pushes.try_recv().ok();
                    }
                    socket.caller.receipt(&ids);
                    self.owed.append(&mut ids);
                    read = Instant::now() + self.reads_for;
                }
                () = sleep_until(read.into()), if acks.is_none() && !self.owed.is_empty() => {}
                answer = async { (&mut acks.as_mut().expect("checked below").1).await }, if acks.is_some() => {
                    let (ids, _) = acks.take().expect("checked above");
                    match answer {
                        Ok(Answer { at, result: Ok(_) }) => ledger.settled(ids.len(), at),
                        Ok(_) => {
                            self.owed.extend(ids);
                            sleep(Duration::from_millis(100)).await;
                        }
                        Err(_) => self.owed.extend(ids),
                    }
                }
            }
            if acks.is_none() && !self.owed.is_empty() && read <= Instant::now() {
                let rest = self.owed.split_off(self.owed.len().min(1000));
                let ids = std::mem::replace(&mut self.owed, rest);
                let arguments = format!(r#"{{"message_ids":["{}"]}}"#, ids.join("\",\""));
                acks = Some((ids, socket.caller.start("ack_messages", &arguments)));
            }
        }
        if let Some((ids, _)) = acks {
            self.owed.extend(ids);
        }
    }
}

/// Receivers on these sockets that acknowledge at once, each in a task that ends when the value is dropped.
pub fn receivers(sockets: Vec<Socket>, ledger: &Arc<Ledger>) -> tokio::task::JoinSet<()> {
    readers(sockets, ledger, Duration::ZERO)
}

/// Receivers that have a message for so long before they acknowledge it.
pub fn readers(
    sockets: Vec<Socket>,
    ledger: &Arc<Ledger>,
    reads_for: Duration,
) -> tokio::task::JoinSet<()> {
    let tasks = sockets.into_iter().map(|socket| {
        let ledger = ledger.clone();
        let mut receiver = Receiver {
            reads_for,
            ..Receiver::default()
        };
        async move { receiver.run(socket, &ledger).await }
    });
    tasks.collect()
}
