//! One attached session: which of its queued mail is pushed, offered to a wait, or held back.

use super::frames;
use super::outbox::{Outbox, slow};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// Pushes a session may leave without receipt before no more are sent.
pub const OUTSTANDING: usize = 128;
/// How long it may leave that many before it counts as slow.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much news is remembered that a session was shown: a look may bring it again.
const TOLD: usize = 256;
/// How long a push is remembered that the database no longer has queued: what was sent after it may still be on its way here.
const MEMORY: Duration = Duration::from_secs(1);

/// A frame for a session, under the id its receipt will name.
pub struct Frame {
    pub id: Uuid,
    /// how often it was given back: each time it is new
    pub attempts: i16,
    pub body: Box<RawValue>,
}

/// A message that was pushed.
pub struct Pushed {
    attempts: i16,
    /// whether its receipt came
    pub receipt: bool,
    /// the look under way when it was pushed at once: that one may not have seen it queued yet
    look: Option<u64>,
    /// since when the database has it queued no more
    gone: Option<Instant>,
    /// whether that is because of its receipt, which a look under way may not have seen
    reported: bool,
}

impl Pushed {
    /// Whether the database may still have it queued.
    pub fn is_queued(&self) -> bool {
        self.gone.is_none()
    }

    /// The database has its receipt, and so has it queued no more.
    pub fn report(&mut self) {
        self.reported = true;
        self.gone.get_or_insert_with(Instant::now);
    }
}

/// A session and what its client has been shown.
pub struct Session {
    pub socket: u64,
    pub push_secret: Arc<str>,
    /// pushed on this socket and still queued in the database, or until a moment ago
    pub pushed: HashMap<Uuid, Pushed>,
    /// counts looks at the database
    pub look: u64,
    /// shown to a wait first
    offered: HashSet<(Uuid, i16)>,
    pub waiters: usize,
    /// calls that run and may take mail: it is not shown past their answers
    pub taking: usize,
    /// counts new mail, for waits
    news: Option<watch::Sender<u64>>,
    pub behind: bool,
    /// the look under way when a message was left to the next one: what follows waits for that, too
    left: Option<u64>,
    full_since: Option<Instant>,
    /// whether it may have missed news, its socket being new or too full
    pub fresh: bool,
    told: VecDeque<Uuid>,
}

impl Session {
    pub fn new(socket: u64, push_secret: Arc<str>) -> Session {
        Session {
            socket,
            push_secret,
            pushed: HashMap::new(),
            look: 0,
            offered: HashSet::new(),
            waiters: 0,
            taking: 0,
            news: None,
            behind: true,
            left: None,
            full_since: None,
            fresh: true,
            told: VecDeque::new(),
        }
    }

    /// Pushes what is new in `frames`, the whole queue when they are fewer than `at_most`; returns how many.
    /// What waits to be seen by a wait first, or for receipts, is left for the next time.
    pub fn deliver(&mut self, outbox: &Outbox, frames: Vec<Frame>, at_most: usize) -> u64 {
        let all_seen = frames.len() < at_most;
        self.pushed
            .retain(|_, pushed| pushed.gone.is_none_or(|since| since.elapsed() < MEMORY));
        self.shed();
        if all_seen {
            let queued: HashSet<_> = frames.iter().map(|f| (f.id, f.attempts)).collect();
            for (id, pushed) in &mut self.pushed {
                if !queued.contains(&(*id, pushed.attempts)) && pushed.look < Some(self.look) {
                    pushed.gone.get_or_insert_with(Instant::now);
                }
            }
            self.offered.retain(|offered| queued.contains(offered));
        }
        self.behind = !all_seen;
        let mut outstanding = self.outstanding();
        let mut news = false;
        let mut offers = false;
        let mut pushes = 0;
        for frame in frames {
            let pushed = self.pushed.get(&frame.id);
            let is_shown = |pushed: &Pushed| {
                pushed.attempts == frame.attempts && (pushed.is_queued() || pushed.reported)
            };
            if pushed.is_some_and(is_shown) {
                continue;
            }
            let attempt = (frame.id, frame.attempts);
            let offered = self.offered.contains(&attempt);
            news |= !offered;
            if self.waiters > 0 && !offered {
                self.offered.insert(attempt);
                offers = true;
                continue;
            }
            if outstanding >= OUTSTANDING || !outbox.is_roomy() || self.taking > 0 {
                self.behind = true;
                break;
            }
            outbox.send(frames::push(&frame.body, None));
            let pushed = Pushed {
                attempts: frame.attempts,
                receipt: false,
                look: None,
                gone: None,
                reported: false,
            };
            self.pushed.insert(frame.id, pushed);
            self.offered.remove(&attempt);
            outstanding += 1;
            pushes += 1;
        }
        if !self.behind && !offers {
            self.left.take_if(|left| *left < self.look);
        }
        if let Some(counter) = self.news.as_ref().filter(|_| news) {
            counter.send_modify(|news| *news += 1);
        }
        if outstanding < OUTSTANDING {
            self.full_since = None;
        } else if self.full_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            outbox.end.end(slow());
        }
        pushes
    }
}

impl Session {
    /// Changes when there is new mail.
    pub fn news(&mut self) -> watch::Receiver<u64> {
        self.news
            .get_or_insert_with(|| watch::Sender::new(0))
            .subscribe()
    }

    /// Whether mail waits for the next look.
    pub fn is_owed(&self) -> bool {
        self.behind || self.left.is_some()
    }

    /// A session without mail keeps no room for any.
    fn shed(&mut self) {
        if self.pushed.is_empty() {
            self.pushed.shrink_to_fit();
        }
        if self.offered.is_empty() {
            self.offered.shrink_to_fit();
        }
        self.news.take_if(|news| news.receiver_count() == 0);
    }

    /// Pushes without receipt.
    fn outstanding(&self) -> usize {
        let waits = |pushed: &&Pushed| !pushed.receipt && pushed.is_queued();
        self.pushed.values().filter(waits).count()
    }

    /// Shows news that was not shown yet; true when it did.
    pub fn tell(&mut self, outbox: &Outbox, id: Uuid, text: &str) -> bool {
        if self.told.contains(&id) {
            return false;
        }
        if !outbox.is_roomy() {
            self.fresh = true;
            return false;
        }
        outbox.send(text.to_owned());
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        self.told.push_back(id);
        true
    }

    /// Pushes one message ahead of the next look, unless it would overtake `after` or one that was left to a look, or go past a
    /// wait or a call that takes mail; true when it did.
    pub fn push(
        &mut self,
        outbox: &Outbox,
        id: Uuid,
        after: Option<Uuid>,
        text: impl FnOnce() -> String,
    ) -> bool {
        let overtakes = after.is_some_and(|after| !self.pushed.contains_key(&after));
        let outstanding = self.outstanding();
        let is_full = outstanding >= OUTSTANDING || !outbox.is_roomy();
        let is_taken = self.waiters + self.taking > 0;
        if overtakes || self.left.is_some() || is_taken || is_full {
            self.behind |= outstanding >= OUTSTANDING;
            self.left = Some(self.look);
            return false;
        }
        self.pushed.entry(id).or_insert_with(|| {
            outbox.send(text());
            Pushed {
                attempts: 0,
                receipt: false,
                look: Some(self.look),
                gone: None,
                reported: false,
            }
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, OUTSTANDING, Session};
    use crate::relay::outbox::Outbox;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    fn frames(ids: &[Uuid]) -> Vec<Frame> {
        given_back(ids, 0)
    }

    fn given_back(ids: &[Uuid], attempts: i16) -> Vec<Frame> {
        ids.iter()
            .map(|id| Frame {
                id: *id,
                attempts,
                body: RawValue::NULL.to_owned(),
            })
            .collect()
    }

    fn ids(count: usize) -> Vec<Uuid> {
        (0..count).map(|_| Uuid::new_v4()).collect()
    }

    #[test]
    fn mail_is_pushed_once_while_it_stays_queued() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        let mail = ids(3);
        assert_eq!(session.deliver(&outbox, frames(&mail), 64), 3);
        assert_eq!(session.deliver(&outbox, frames(&mail), 64), 0);
        // gone from the queue and back in it: it was taken and given up
        assert_eq!(session.deliver(&outbox, frames(&[]), 64), 0);
        assert_eq!(session.deliver(&outbox, frames(&mail), 64), 3);
    }

    #[test]
    fn mail_that_was_given_back_between_two_looks_is_shown_again() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        let mail = ids(2);
        session.deliver(&outbox, frames(&mail), 64);
        assert_eq!(session.deliver(&outbox, given_back(&mail, 1), 64), 2);
        assert_eq!(session.deliver(&outbox, given_back(&mail, 1), 64), 0);
        // and to a wait first, as new mail
        session.waiters = 1;
        let news = session.news();
        assert_eq!(session.deliver(&outbox, given_back(&mail, 2), 64), 0);
        assert!(news.has_changed().unwrap());
    }

    #[test]
    fn a_look_that_began_before_a_direct_push_does_not_forget_it() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        let id = Uuid::new_v4();
        session.look += 1;
        assert!(session.push(&outbox, id, None, String::new));
        assert_eq!(session.deliver(&outbox, frames(&[]), 64), 0);
        session.look += 1;
        assert_eq!(session.deliver(&outbox, frames(&[id]), 64), 0);
        session.look += 1;
        assert_eq!(session.deliver(&outbox, frames(&[]), 64), 0);
        assert!(session.pushed.values().all(|pushed| !pushed.is_queued()));
    }

    #[test]
    fn what_is_sent_after_mail_that_left_the_queue_just_now_overtakes_nothing() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        let mail = ids(4);
        session.deliver(&outbox, frames(&mail[..2]), 64);
        // One by its receipt, while a look was under way that still saw it queued; the other was acknowledged.
        session.pushed.get_mut(&mail[0]).unwrap().report();
        assert_eq!(session.deliver(&outbox, frames(&mail[..1]), 64), 0);
        assert!(session.push(&outbox, mail[2], Some(mail[0]), String::new));
        assert!(session.push(&outbox, mail[3], Some(mail[1]), String::new));
        assert_eq!(session.outstanding(), 2);
    }

    #[test]
    fn nothing_overtakes_mail_that_was_owed_before() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        assert!(!session.push(&outbox, second, Some(first), String::new));
        // Nor what was left to a look, until one that began later has shown it.
        assert!(!session.push(&outbox, Uuid::new_v4(), None, String::new));
        session.deliver(&outbox, frames(&[]), 64);
        assert!(!session.push(&outbox, Uuid::new_v4(), None, String::new));
        session.look += 1;
        session.waiters = 1;
        session.deliver(&outbox, frames(&[first, second]), 64);
        session.waiters = 0;
        assert!(!session.push(&outbox, Uuid::new_v4(), None, String::new));
        session.look += 1;
        assert_eq!(session.deliver(&outbox, frames(&[first, second]), 64), 2);
        assert!(session.push(&outbox, Uuid::new_v4(), Some(second), String::new));
    }

    #[test]
    fn a_wait_sees_new_mail_before_the_socket() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        let mut news = session.news();
        session.waiters = 1;
        let mail = ids(2);
        assert_eq!(session.deliver(&outbox, frames(&mail), 64), 0);
        assert!(news.has_changed().unwrap());
        news.mark_unchanged();
        assert_eq!(session.deliver(&outbox, frames(&mail[1..]), 64), 1);
        assert!(!news.has_changed().unwrap());
    }

    #[test]
    fn news_is_shown_once_and_asked_for_again_where_there_was_no_room() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        session.fresh = false;
        let ids = ids(1000);
        assert!(session.tell(&outbox, ids[0], "{}"));
        assert!(!session.tell(&outbox, ids[0], "{}") && !session.fresh);
        let told = ids.iter().filter(|id| session.tell(&outbox, **id, "{}"));
        assert!(told.count() < ids.len() && session.fresh);
        while let Some(text) = outbox.take() {
            outbox.wrote(text.len());
        }
        assert!(session.tell(&outbox, ids[999], "{}"));
    }

    #[test]
    fn pushes_stop_until_receipts_come() {
        let outbox = Outbox::default();
        let mut session = Session::new(1, "s".into());
        let mail = ids(OUTSTANDING + 9);
        let mut pushed = 0;
        for _ in 0..10 {
            pushed += session.deliver(&outbox, frames(&mail), 1000);
            while let Some(text) = outbox.take() {
                outbox.wrote(text.len());
            }
        }
        assert_eq!(pushed as usize, OUTSTANDING);
        assert!(session.behind);
        session
            .pushed
            .values_mut()
            .for_each(|pushed| pushed.receipt = true);
        assert_eq!(session.deliver(&outbox, frames(&mail), 1000), 9);
    }
}
