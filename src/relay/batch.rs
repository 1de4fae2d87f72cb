//! Group commit: calls that write wait in lanes, and what waits in one goes into one transaction.

use super::calls::{Answer, Request};
use super::database::{self, Failure, Haste};
use super::hub::Taking;
use super::{Relay, aside};
use crate::error::Error;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Transactions open at once.
pub const LANES: usize = 4;
const QUEUE: usize = 4096;
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// Who comes next waits for all of a batch, so after one that took longer they are smaller.
const LONG: Duration = Duration::from_millis(500);

/// Where writing calls queue up.
pub struct Lanes(Vec<mpsc::Sender<Job>>);

/// A call and who waits for its answer.
pub struct Job {
    pub request: Arc<Request>,
    reply: oneshot::Sender<Answer>,
    is_wait: bool,
    /// what is pushed to its session waits until it is answered
    _taking: Option<Taking>,
}

impl Job {
    pub fn answer(self, mut answer: Answer) {
        let is_last = !self.is_wait || !answer.is_null();
        if let Some(write) = self.request.write.as_ref().filter(|_| is_last) {
            write(&answer);
            answer.is_written = true;
        }
        let _ = self.reply.send(answer);
    }

    /// Whether this is a run of a wait that was given up: it would take mail for nobody.
    pub fn is_abandoned(&self) -> bool {
        self.is_wait && self.reply.is_closed()
    }
}

/// The lanes, and the queue of each for its `lane` task.
pub fn lanes() -> (Lanes, Vec<mpsc::Receiver<Job>>) {
    let (senders, queues) = (0..LANES).map(|_| mpsc::channel(QUEUE)).unzip();
    (Lanes(senders), queues)
}

impl Lanes {
    /// Queues a call at once and answers it later. The calls of one token keep their order. ME503 when the lane is full.
    pub fn submit(
        &self,
        request: Arc<Request>,
        is_wait: bool,
        taking: Option<Taking>,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let mut hasher = DefaultHasher::new();
        request.token.hash(&mut hasher);
        let lane = hasher.finish() as usize % self.0.len();
        let (reply, answer) = oneshot::channel();
        let queued = self.0[lane].try_send(Job {
            request,
            reply,
            is_wait,
            _taking: taking,
        });
        async move {
            if queued.is_err() {
                return Error::unavailable("too many calls wait already; try again").into();
            }
            let gone = || Error::unavailable("the relay is going away").into();
            answer.await.unwrap_or_else(|_| gone())
        }
    }
}

/// Runs the calls of one lane until the relay ends: no linger, a batch is what waits.
pub async fn lane(relay: Arc<Relay>, mut queue: mpsc::Receiver<Job>) {
    let mut at_most = BATCH;
    while let Some(first) = queue.recv().await {
        let mut bytes = 0;
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            if let Some(job) = relay.aside.behind(job).filter(|job| !job.is_abandoned()) {
                bytes += job.request.arguments.len();
                jobs.push(job);
            }
            let is_full = jobs.len() >= at_most || bytes >= BATCH_BYTES;
            next = if is_full { None } else { queue.try_recv().ok() };
        }
        if jobs.is_empty() {
            continue;
        }
        let (begun, size) = (Instant::now(), jobs.len());
        relay.metrics.batch(size);
        run(&relay, grouped(jobs)).await;
        at_most = if begun.elapsed() > LONG {
            (size / 2).max(1)
        } else {
            (2 * at_most).min(BATCH)
        };
    }
}

/// The same calls with those of one function together, as far as each caller's own order allows: the database takes a run
/// of them in one go.
fn grouped(jobs: Vec<Job>) -> Vec<Job> {
    let mut groups: Vec<Vec<Job>> = Vec::new();
    let mut latest: HashMap<String, usize> = HashMap::new();
    let mut callers: HashMap<Option<String>, usize> = HashMap::new();
    for job in jobs {
        let earliest = callers.get(&job.request.token).copied().unwrap_or(0);
        let group = match latest.get(&job.request.function) {
            Some(group) if *group >= earliest => *group,
            _ => {
                groups.push(Vec::new());
                latest.insert(job.request.function.clone(), groups.len() - 1);
                groups.len() - 1
            }
        };
        callers.insert(job.request.token.clone(), group);
        groups[group].push(job);
    }
    groups.into_iter().flatten().collect()
}

async fn run(relay: &Arc<Relay>, jobs: Vec<Job>) {
    let requests: Vec<&Request> = jobs.iter().map(|job| &*job.request).collect();
    match database::call(relay, Haste::Hasty, &requests).await {
        Ok(answers) => {
            // Not for waits that found nothing, or they would wake each other for ever.
            if answers.iter().any(|answer| !answer.is_null()) {
                relay.wakes.send_modify(|wakes| *wakes += 1);
            }
            for (job, answer) in jobs.into_iter().zip(answers) {
                job.answer(answer);
            }
        }
        // Nothing of it is left, so each call may run again.
        Err(failure @ Failure::Refused(..)) => {
            tracing::warn!(
                "a batch of {} calls failed and runs one by one: {failure}",
                jobs.len()
            );
            jobs.into_iter().for_each(|job| aside::put(relay, job));
        }
        Err(failure) => {
            tracing::debug!("a batch of {} calls failed: {failure}", jobs.len());
            for job in jobs {
                job.answer(failure.error().into());
            }
        }
    }
}
