//! Calls whose batch failed run aside: one by one, and out of the way of their lane, so that a call that waits for a lock or
//! takes long keeps nobody waiting but its own caller.

use super::Relay;
use super::batch::Job;
use super::calls::{Answer, Request};
use super::database::{self, Failure, Haste};
use crate::error::Error;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How many run at once in haste. Most of a failed batch is harmless and soon done.
pub const HASTY: usize = 2;
/// How many of the others run at once, which have to wait.
pub const PATIENT: usize = 4;
/// How long a call is tried before it is refused.
const LONGEST: Duration = Duration::from_secs(20);
/// Calls of one caller that may wait here.
const QUEUE: usize = 1024;

pub struct Aside {
    /// by token: what waits behind the call that runs
    queues: Mutex<HashMap<String, VecDeque<Job>>>,
    hasty: Semaphore,
    patient: Semaphore,
}

impl Aside {
    pub fn new() -> Aside {
        Aside {
            queues: Mutex::default(),
            hasty: Semaphore::new(HASTY),
            patient: Semaphore::new(PATIENT),
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Job>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the job when earlier ones of its caller are here, which it may not overtake; else gives it back.
    pub fn behind(&self, job: Job) -> Option<Job> {
        let mut queues = self.queues();
        let token = job.request.token.as_ref();
        match token.and_then(|token| queues.get_mut(token)) {
            None => return Some(job),
            Some(queue) if queue.len() < QUEUE => queue.push_back(job),
            Some(_) => job.answer(busy()),
        }
        None
    }
}

/// Runs a job aside, after those of its caller that are there already.
pub fn put(relay: &Arc<Relay>, job: Job) {
    relay.metrics.aside.add(1);
    let Some(job) = relay.aside.behind(job) else {
        return;
    };
    let relay = relay.clone();
    let Some(token) = job.request.token.clone() else {
        // Calls of nobody have no order.
        tokio::spawn(async move { one(&relay, job).await });
        return;
    };
    // Only the lane of this token gets here with it, so nothing came in between.
    relay.aside.queues().insert(token.clone(), VecDeque::new());
    tokio::spawn(async move {
        let mut next = Some(job);
        while let Some(job) = next {
            one(&relay, job).await;
            let mut queues = relay.aside.queues();
            next = queues.get_mut(&token).and_then(VecDeque::pop_front);
            if next.is_none() {
                queues.remove(&token);
            }
        }
    });
}

async fn one(relay: &Relay, job: Job) {
    if job.is_abandoned() {
        return;
    }
    let answer = tried(relay, &job.request).await.unwrap_or_else(|failure| {
        tracing::debug!("a call failed alone: {failure}");
        failure.error().into()
    });
    if !answer.is_null() {
        relay.wakes.send_modify(|wakes| *wakes += 1);
    }
    job.answer(answer);
}

/// In haste first, as most of a batch were only in bad company.
async fn tried(relay: &Relay, request: &Request) -> Result<Answer, Failure> {
    let begun = Instant::now();
    let hasty = {
        let _place = relay.aside.hasty.acquire().await;
        single(relay, Haste::Hasty, request).await
    };
    if !matches!(&hasty, Err(failure) if failure.is_busy()) {
        return hasty;
    }
    let _place = relay.aside.patient.acquire().await;
    while begun.elapsed() < LONGEST {
        match single(relay, Haste::Patient, request).await {
            Err(failure) if failure.is_deadlock() => {}
            done => return done,
        }
    }
    Ok(busy())
}

/// Runs one call in a transaction of its own.
pub async fn single(relay: &Relay, haste: Haste, request: &Request) -> Result<Answer, Failure> {
    let answers = database::call(relay, haste, &[request]).await?;
    let none = || Error::internal("no answer").into();
    Ok(answers.into_iter().next().unwrap_or_else(none))
}

fn busy() -> Answer {
    Error::unavailable("the database is busy; try again").into()
}
