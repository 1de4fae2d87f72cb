//! The order of calls: what an editor asks for at once is done in the order it came.
//!
//! A call gets its place when it is read, and keeps it until its answer is about to be written: one that only reads or waits
//! gives it up as soon as it is on its way, one that asks when its question is sent.

use crate::{
    catalogue::{Argument, Function},
    error::{Error, Result},
    sealing::{Arrived, Exchange},
    seen::{self, UnderWay},
    session::Session,
};
use futures_util::poll;
use serde_json::{Map, Value};
use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How long a call waits for those before it.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
pub struct Order(Arc<watch::Sender<Places>>);

#[derive(Default)]
struct Places {
    taken: BTreeSet<u64>,
    next: u64,
}

/// Where a call stands; given up when dropped.
pub struct Place {
    order: Order,
    number: u64,
    came: Instant,
    /// what to take note of when the answer is written
    arrival: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// its answer, which is under way until it is written
    way: Mutex<Option<UnderWay>>,
}

impl Order {
    /// The place behind all that are taken.
    pub fn place(&self) -> Arc<Place> {
        let mut number = 0;
        self.0.send_modify(|places| {
            number = places.next;
            places.next += 1;
            places.taken.insert(number);
        });
        Arc::new(Place {
            order: self.clone(),
            number,
            came: Instant::now(),
            arrival: Mutex::default(),
            way: Mutex::default(),
        })
    }

    /// Waits until no place is taken.
    pub async fn empty(&self) {
        let mut places = self.0.subscribe();
        let _ = places.wait_for(|places| places.taken.is_empty()).await;
    }
}

impl Place {
    /// Makes a call on a session when its turn comes. The mail it took is seen when its answer has arrived.
    pub async fn call(
        &self,
        session: &Session,
        function: &Function,
        arguments: &Map<String, Value>,
    ) -> Result<Value> {
        self.turn().await?;
        let exchange = InOrder {
            session,
            function,
            place: self,
        };
        let call = session.call(&exchange, &function.name, arguments);
        let result = call.await?;
        if let Some(claim) = seen::claim(function, &result).map(str::to_owned) {
            let session = session.clone();
            self.when_arrived(move || session.saw(claim));
        }
        Ok(result)
    }

    /// What to take note of then; nothing when it never is.
    pub fn when_arrived(&self, note: impl FnOnce() + Send + 'static) {
        *self.arrival() = Some(Box::new(note));
    }

    /// The answer is about to be written.
    pub fn arrived(&self) {
        if let Some(note) = self.arrival().take() {
            note();
        }
        drop(self.way.lock().map(|mut way| way.take()));
    }

    fn arrival(&self) -> MutexGuard<'_, Option<Box<dyn FnOnce() + Send>>> {
        self.arrival.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all before it have given up theirs; ME503 after 60 s.
    async fn turn(&self) -> Result<()> {
        let mut places = self.order.0.subscribe();
        let is_first = |places: &Places| places.taken.first().is_none_or(|n| *n >= self.number);
        match timeout_at(self.came + PATIENCE, places.wait_for(is_first)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::unavailable(
                "the calls before this one take long, and nothing was done; call again",
            )),
        }
    }

    pub fn give_up(&self) {
        let leave = |places: &mut Places| places.taken.remove(&self.number);
        self.order.0.send_if_modified(leave);
    }

    /// Since when the relay may have been away: who stood in line has waited for it already.
    fn since(&self) -> Instant {
        match self.order.0.borrow().taken.contains(&self.number) {
            true => self.came,
            false => Instant::now(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Gives a place up when the call that has it panics: its answer is never written.
pub struct Guard<'a>(pub &'a Place);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

/// Calls `function` at a place, on a session.
struct InOrder<'a> {
    session: &'a Session,
    function: &'a Function,
    place: &'a Place,
}

impl InOrder<'_> {
    async fn make(&self, function: &str, arguments: &Map<String, Value>) -> Result<Arrived> {
        let since = self.place.since();
        let way = &self.place.way;
        self.session.exchange(since, function, arguments, way).await
    }

    /// Asks at its place, and waits for the answer when it has given that up. It has a name: made again, it only waits.
    async fn ask(&self, timeout: &Argument, arguments: &Map<String, Value>) -> Result<Arrived> {
        let name = &self.function.name;
        let mut at_once = arguments.clone();
        at_once.insert(timeout.name.clone(), 0.into());
        let asked = self.make(name, &at_once).await?;
        if asked.value["pending"] != true {
            return Ok(asked);
        }
        self.place.give_up();
        // What is asked is asked: whoever believed otherwise would ask again.
        Ok(self.make(name, arguments).await.unwrap_or(asked))
    }

    /// Gives up its place as soon as the call is on its way.
    async fn set_out(&self, arguments: &Map<String, Value>) -> Result<Arrived> {
        self.session.online(self.place.since()).await?;
        let mut call = pin!(self.make(&self.function.name, arguments));
        if let Poll::Ready(answer) = poll!(call.as_mut()) {
            return answer;
        }
        self.place.give_up();
        call.await
    }
}

impl Exchange for InOrder<'_> {
    async fn exchange(&self, function: &str, arguments: &Map<String, Value>) -> Result<Arrived> {
        if function != self.function.name {
            return self.make(function, arguments).await;
        }
        let timeout = self.function.awaited();
        let timeout = timeout.filter(|timeout| waits(timeout, arguments.get(&timeout.name)));
        match timeout {
            Some(timeout) if self.function.is_named() => self.ask(timeout, arguments).await,
            None if !self.function.read_only => self.make(function, arguments).await,
            _ => self.set_out(arguments).await,
        }
    }
}

/// Whether a call with this time-out waits; one that is to be refused for it does not.
fn waits(timeout: &Argument, given: Option<&Value>) -> bool {
    let longest = timeout.schema["maximum"].as_u64().unwrap_or(0);
    match given {
        None | Some(Value::Null) => true,
        Some(given) => given.as_u64().is_some_and(|s| (1..=longest).contains(&s)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn turns_come_in_the_order_of_places_and_who_goes_away_holds_nobody() {
        let order = Order::default();
        let (first, second, third) = (order.place(), order.place(), order.place());
        first.turn().await.unwrap();
        assert!(third.turn().now_or_never().is_none());
        drop(second);
        assert!(third.turn().now_or_never().is_none());
        first.give_up();
        first.give_up();
        third.turn().await.unwrap();
        assert!(order.empty().now_or_never().is_none());
        third.give_up();
        order.empty().await;
    }

    #[test]
    fn a_time_out_that_will_be_refused_sends_nothing_first() {
        let catalogue = crate::catalogue::Catalogue::ours();
        let named = |f: &&Function| f.is_named() && f.awaited().is_some();
        let function = catalogue.functions.iter().find(named).unwrap();
        let waits = |given: Value| waits(function.awaited().unwrap(), Some(&given));
        assert!(waits(Value::Null) && waits(1.into()) && waits(55.into()));
        assert!(!waits(0.into()) && !waits(56.into()) && !waits((-1).into()) && !waits("9".into()));
        assert!(!waits(2.5.into()) && !waits(5.0.into()));
    }

    #[tokio::test]
    async fn who_waits_for_its_turn_waits_no_longer_than_it_is_there() {
        let order = Order::default();
        let (_first, mut second) = (order.place(), order.place());
        Arc::get_mut(&mut second).unwrap().came -= PATIENCE;
        assert_eq!(second.turn().await.unwrap_err().code, "ME503");
    }
}
