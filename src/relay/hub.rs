//! Fan-out: which session hangs on which socket, what was pushed to it, what is to be reported. No database in it.

use super::Relay;
use super::attached::{Frame, OUTSTANDING, Session};
use super::calls::{News, Push};
use super::frames;
use super::outbox::Outbox;
use crate::error::Error;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// Receipts that may wait for a database that is away.
const RECEIPTS: usize = 100_000;

/// A session bound to the socket whose call opened it.
#[derive(Clone, Debug, Deserialize)]
pub struct Attach {
    pub session_id: Uuid,
    pub push_secret: Arc<str>,
}

/// One delivery to confirm: session, push secret, message.
pub type Receipt = (Uuid, Arc<str>, Uuid);

#[derive(Default)]
pub struct Hub(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    last: u64,
    sockets: HashMap<u64, Socket>,
    /// boxed, as half of the room in a map is empty
    sessions: HashMap<Uuid, Box<Session>>,
    reports: Reports,
}

/// What the database is to be told.
#[derive(Default)]
pub struct Reports {
    pub receipts: Vec<Receipt>,
    /// sessions that came
    pub arrived: Vec<Attach>,
    /// sessions that went and did not come back
    pub gone: Vec<Attach>,
    /// sessions that gave up waiting
    pub gave_up: Vec<Attach>,
}

struct Socket {
    outbox: Arc<Outbox>,
    session: Option<Uuid>,
}

impl Hub {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new socket; the number names it from now on.
    pub fn open(&self, outbox: Arc<Outbox>) -> u64 {
        let mut inner = self.inner();
        inner.last += 1;
        let socket = inner.last;
        inner.sockets.insert(
            socket,
            Socket {
                outbox,
                session: None,
            },
        );
        socket
    }

    /// A socket is gone, and with it its session, unless that moved to another one.
    pub fn close(&self, socket: u64) {
        let mut inner = self.inner();
        if let Some(Socket {
            session: Some(session),
            ..
        }) = inner.sockets.remove(&socket)
        {
            inner.detach(session, socket);
        }
    }

    /// Binds a session to a socket and takes it from the one it was on.
    pub fn attach(&self, socket: u64, attach: Attach) {
        let mut inner = self.inner();
        let Some(entry) = inner.sockets.get_mut(&socket) else {
            return inner.reports.gone.push(attach);
        };
        let before = entry.session.replace(attach.session_id);
        if let Some(before) = before.filter(|before| *before != attach.session_id) {
            inner.detach(before, socket);
        }
        let other = inner
            .sessions
            .get(&attach.session_id)
            .map(|s| s.socket)
            .filter(|s| *s != socket);
        if let Some(other) = other.and_then(|other| inner.sockets.get_mut(&other)) {
            other.session = None;
            other.outbox.end.end(Error::new(
                409,
                "the session goes on over another connection",
            ));
        }
        let session = Session::new(socket, attach.push_secret.clone());
        inner.sessions.insert(attach.session_id, Box::new(session));
        inner.reports.arrived.push(attach);
    }

    /// Begins a look at the database for all attached sessions: what is pushed at once from now on, it may not see.
    pub fn begin_look(&self) {
        for session in self.inner().sessions.values_mut() {
            session.look += 1;
        }
    }

    /// The sessions that may have missed news; from now on they have not.
    pub fn take_fresh(&self) -> Vec<Uuid> {
        let mut inner = self.inner();
        let sessions = inner.sessions.iter_mut();
        let take = |(id, session): (&Uuid, &mut Box<Session>)| {
            std::mem::take(&mut session.fresh).then_some(*id)
        };
        sessions.filter_map(take).collect()
    }

    /// They have, after all.
    pub fn put_fresh_back(&self, fresh: &[Uuid]) {
        let mut inner = self.inner();
        for id in fresh {
            if let Some(session) = inner.sessions.get_mut(id) {
                session.fresh = true;
            }
        }
    }

    /// Shows news to the sessions it names, once to each; returns to how many.
    pub fn tell(&self, news: &News, id: Uuid) -> u64 {
        let mut inner = self.inner();
        let Inner {
            sessions, sockets, ..
        } = &mut *inner;
        let text = format!(r#"{{"type":"news","news":{}}}"#, news.frame.get());
        let mut told = 0;
        for session in &news.sessions {
            if let Some(session) = sessions.get_mut(session)
                && let Some(socket) = sockets.get(&session.socket)
            {
                told += u64::from(session.tell(&socket.outbox, id, &text));
            }
        }
        told
    }

    /// The attached sessions with their secrets, and how much mail to ask for each.
    pub fn attached(&self) -> (HashMap<Uuid, Arc<str>>, usize) {
        let inner = self.inner();
        let most = inner
            .sessions
            .values()
            .map(|s| s.pushed.values().filter(|p| p.is_queued()).count())
            .max()
            .unwrap_or(0);
        let sessions = inner
            .sessions
            .iter()
            .map(|(id, s)| (*id, s.push_secret.clone()))
            .collect();
        (sessions, OUTSTANDING / 2 + most)
    }

    /// Pushes the mail that `asked` sessions have not been pushed yet; returns how many frames. A session's wait gets the
    /// first look: what is new is left to it until the next time.
    pub fn deliver(
        &self,
        asked: &HashMap<Uuid, Arc<str>>,
        mut mail: HashMap<Uuid, Vec<Frame>>,
        at_most: usize,
    ) -> u64 {
        let mut inner = self.inner();
        let Inner {
            sessions, sockets, ..
        } = &mut *inner;
        let mut pushes = 0;
        for (id, push_secret) in asked {
            let Some(session) = sessions
                .get_mut(id)
                .filter(|s| s.push_secret == *push_secret)
            else {
                continue;
            };
            let Some(socket) = sockets.get(&session.socket) else {
                continue;
            };
            let frames = mail.remove(id).unwrap_or_default();
            pushes += session.deliver(&socket.outbox, frames, at_most);
        }
        pushes
    }

    /// Pushes one message to the sessions it names; returns to how many. The others get it by a look.
    pub fn push(&self, push: &Push, message: Uuid) -> usize {
        let mut inner = self.inner();
        let Inner {
            sessions, sockets, ..
        } = &mut *inner;
        let message_for = |at: usize| {
            let own = push
                .boxes
                .as_ref()
                .and_then(|boxes| boxes.get(at)?.as_deref());
            frames::push(&push.frame, own)
        };
        let owed = |at: usize| *push.after.as_ref()?.get(at)?;
        let mut pushes = 0;
        for (at, id) in push.sessions.iter().enumerate() {
            if let Some(session) = sessions.get_mut(id)
                && let Some(socket) = sockets.get(&session.socket)
            {
                let text = || message_for(at);
                pushes += usize::from(session.push(&socket.outbox, message, owed(at), text));
            }
        }
        pushes
    }

    /// Ends the sockets of `asked` sessions that are over, with the reason.
    pub fn end(&self, asked: &HashMap<Uuid, Arc<str>>, session: Uuid, why: &str) {
        let inner = self.inner();
        let found = inner
            .sessions
            .get(&session)
            .filter(|s| asked.get(&session) == Some(&s.push_secret));
        if let Some(socket) = found.and_then(|s| inner.sockets.get(&s.socket)) {
            socket.outbox.end.end(Error::new(409, why));
        }
    }

    /// Takes note that the client of `socket` has these messages.
    pub fn receipt(&self, socket: u64, ids: &[Uuid]) -> u64 {
        let mut inner = self.inner();
        let Inner {
            sessions,
            sockets,
            reports: Reports { receipts, .. },
            ..
        } = &mut *inner;
        let Some(id) = sockets.get(&socket).and_then(|s| s.session) else {
            return 0;
        };
        let Some(session) = sessions.get_mut(&id) else {
            return 0;
        };
        let mut news = 0;
        for message in ids {
            if receipts.len() < RECEIPTS
                && session
                    .pushed
                    .get_mut(message)
                    .is_some_and(|p| !std::mem::replace(&mut p.receipt, true))
            {
                receipts.push((id, session.push_secret.clone(), *message));
                news += 1;
            }
        }
        news
    }

    /// Takes what is to be reported.
    pub fn reports(&self) -> Reports {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let mut reports = std::mem::take(&mut inner.reports);
        let session = |who: &Attach| inner.sessions.get(&who.session_id);
        reports.gone.retain(|gone| session(gone).is_none());
        let waits_again = |who: &Attach| session(who).is_some_and(|s| s.waiters > 0);
        reports.gave_up.retain(|who| !waits_again(who));
        reports
    }

    /// Takes note that the database has these receipts: it has the messages queued no more.
    pub fn reported(&self, receipts: &[Receipt]) {
        let mut inner = self.inner();
        for (session, _, message) in receipts {
            let pushed = inner
                .sessions
                .get_mut(session)
                .and_then(|s| s.pushed.get_mut(message));
            if let Some(pushed) = pushed {
                pushed.report();
            }
        }
    }

    /// Gives back what could not be reported.
    pub fn put_back(&self, untold: Reports) {
        let reports = &mut self.inner().reports;
        reports.receipts.splice(0..0, untold.receipts);
        reports.arrived.splice(0..0, untold.arrived);
        reports.gone.splice(0..0, untold.gone);
        reports.gave_up.splice(0..0, untold.gave_up);
    }

    /// Whether some session has mail that waits for receipts of what was pushed before.
    pub fn is_behind(&self) -> bool {
        self.inner().sessions.values().any(|s| s.behind)
    }

    /// The news of an attached session: changes when it has new mail.
    pub fn news(&self, session: Uuid) -> Option<watch::Receiver<u64>> {
        self.inner()
            .sessions
            .get_mut(&session)
            .map(|session| session.news())
    }

    /// Lets a wait of `session` see new mail before its socket does, until the guard is dropped.
    pub fn waiter(&self, relay: &Arc<Relay>, session: Uuid) -> Waiter {
        if let Some(entry) = self.inner().sessions.get_mut(&session) {
            entry.waiters += 1;
        }
        Waiter {
            relay: relay.clone(),
            session,
            is_answered: false,
        }
    }

    /// Holds back what is pushed to `session` until the guard is dropped: a call that may take mail runs, and what it takes came
    /// before.
    pub fn taking(&self, relay: &Arc<Relay>, session: Uuid) -> Taking {
        if let Some(entry) = self.inner().sessions.get_mut(&session) {
            entry.taking += 1;
        }
        let relay = relay.clone();
        Taking { relay, session }
    }

    /// Sockets and sessions, now.
    pub fn sizes(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.sockets.len(), inner.sessions.len())
    }
}

impl Inner {
    fn detach(&mut self, session_id: Uuid, socket: u64) {
        if self
            .sessions
            .get(&session_id)
            .is_some_and(|s| s.socket == socket)
            && let Some(session) = self.sessions.remove(&session_id)
        {
            self.reports.gone.push(Attach {
                session_id,
                push_secret: session.push_secret,
            });
        }
    }
}

/// A wait of a session, until it is dropped. One that was not answered is reported: the database takes it for going on.
pub struct Waiter {
    relay: Arc<Relay>,
    session: Uuid,
    pub is_answered: bool,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut inner = self.relay.hub.inner();
        let Inner {
            sessions, reports, ..
        } = &mut *inner;
        if let Some(entry) = sessions.get_mut(&self.session) {
            entry.waiters = entry.waiters.saturating_sub(1);
            if entry.waiters == 0 && !self.is_answered {
                reports.gave_up.push(Attach {
                    session_id: self.session,
                    push_secret: entry.push_secret.clone(),
                });
                self.relay.report.notify_one();
            }
        }
        self.relay.sweep.notify_one();
    }
}

/// A call that may take mail of a session, until it is dropped.
pub struct Taking {
    relay: Arc<Relay>,
    session: Uuid,
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(entry) = self.relay.hub.inner().sessions.get_mut(&self.session) {
            entry.taking = entry.taking.saturating_sub(1);
            if entry.taking == 0 && entry.is_owed() {
                self.relay.sweep.notify_one();
            }
        }
    }
}
