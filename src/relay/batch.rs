//! Group commit: calls that write wait in lanes, and what waits in one goes into one transaction.

use super::Relay;
use super::calls::{Answer, Request};
use super::database::{self, Failure};
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
/// How long calls that broke a batch are tried one by one before the rest is refused.
const ALONE: Duration = Duration::from_secs(20);

/// Where writing calls queue up.
pub struct Lanes(Vec<mpsc::Sender<Job>>);

/// A call and who waits for its answer.
pub struct Job {
    request: Arc<Request>,
    reply: oneshot::Sender<Answer>,
}

/// The lanes, and the queue of each for its `lane` task.
pub fn lanes() -> (Lanes, Vec<mpsc::Receiver<Job>>) {
    let (senders, queues) = (0..LANES).map(|_| mpsc::channel(QUEUE)).unzip();
    (Lanes(senders), queues)
}

impl Lanes {
    /// Queues a call at once and answers it later. The calls of one token keep their order. ME503 when the lane is full.
    pub fn submit(&self, request: Arc<Request>) -> impl Future<Output = Answer> + Send + 'static {
        let mut hasher = DefaultHasher::new();
        request.token.hash(&mut hasher);
        let lane = hasher.finish() as usize % self.0.len();
        let (reply, answer) = oneshot::channel();
        let queued = self.0[lane].try_send(Job { request, reply });
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
    while let Some(first) = queue.recv().await {
        let mut bytes = first.request.arguments.len();
        let mut jobs = vec![first];
        while jobs.len() < BATCH && bytes < BATCH_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.request.arguments.len();
            jobs.push(job);
        }
        relay.metrics.batch(jobs.len());
        run(&relay, grouped(jobs)).await;
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

async fn run(relay: &Relay, jobs: Vec<Job>) {
    let requests: Vec<&Request> = jobs.iter().map(|job| &*job.request).collect();
    match database::call(relay, &requests).await {
        Ok(answers) => {
            // Not for waits that found nothing, or they would wake each other for ever.
            if answers.iter().any(|answer| !answer.is_null()) {
                relay.wakes.send_modify(|wakes| *wakes += 1);
            }
            for (job, answer) in jobs.into_iter().zip(answers) {
                let _ = job.reply.send(answer);
            }
        }
        Err(failure @ Failure::Refused(..)) => {
            tracing::warn!(
                "a batch of {} calls failed and runs one by one: {failure}",
                jobs.len()
            );
            alone(relay, jobs).await;
        }
        Err(failure) => {
            tracing::debug!("a batch of {} calls failed: {failure}", jobs.len());
            for job in jobs {
                let _ = job.reply.send(failure.error().into());
            }
        }
    }
}

/// Nothing of a refused batch is left, so each call may run again; once, and without the others.
async fn alone(relay: &Relay, jobs: Vec<Job>) {
    let start = Instant::now();
    for job in jobs {
        let answer = if start.elapsed() < ALONE {
            single(relay, &job.request).await
        } else {
            Error::unavailable("the database is busy; try again").into()
        };
        let _ = job.reply.send(answer);
    }
}

/// Runs one call in a transaction of its own, without a lane.
pub async fn single(relay: &Relay, request: &Request) -> Answer {
    match database::call(relay, &[request]).await {
        Ok(mut answers) => answers
            .pop()
            .unwrap_or_else(|| Error::internal("no answer").into()),
        Err(failure) => failure.error().into(),
    }
}
