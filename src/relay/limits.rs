//! Calls per second, counted in memory: per bearer once it is known to be good, per address before that.

use crate::error::{Error, Result};
use serde_json::json;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Calls per second of a key, unless the operator says otherwise. Twice as many at once.
pub const KEY: u32 = 200;
const ENTRIES: usize = 100_000;
/// Calls without a key, and failed sign-ins.
const ADDRESS: Rate = Rate {
    per_second: 20.0,
    burst: 40.0,
};
/// How far failed sign-ins that ran at once may overdraw, in calls.
const DEBT: f64 = -200.0;

#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    burst: f64,
}

/// Token buckets; at most 100,000, the full ones are forgotten first.
pub struct Limits {
    key_rate: Rate,
    hasher: RandomState,
    buckets: Mutex<HashMap<u64, Bucket>>,
}

struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Limits {
    /// No bucket has been touched yet. `calls_per_second`: of one key.
    pub fn new(calls_per_second: u32) -> Limits {
        let per_second = f64::from(calls_per_second);
        Limits {
            key_rate: Rate {
                per_second,
                burst: 2.0 * per_second,
            },
            hasher: RandomState::new(),
            buckets: Mutex::default(),
        }
    }

    /// Takes one call from the bucket of a bearer that signed in before, else looks at the address's. ME429 when it is empty.
    pub fn admit(&self, token: Option<&str>, peer: IpAddr) -> Result<()> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = token.and_then(|token| buckets.get_mut(&self.key(token))) {
            return bucket.take(1.0);
        }
        let bucket = self.bucket(&mut buckets, self.key(network(peer)), ADDRESS);
        // A sign-in costs only when it fails: a thousand agents behind one address may come back at once.
        bucket.take(if token.is_some() { 0.0 } else { 1.0 })
    }

    /// Notes how a call ended: `caller` says whether somebody signed in.
    pub fn signed_in(&self, token: Option<&str>, peer: IpAddr, caller: bool, status: u16) {
        let Some(token) = token else { return };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if caller {
            self.bucket(&mut buckets, self.key(token), self.key_rate);
        } else if status == 401 {
            buckets.remove(&self.key(token));
            let bucket = self.bucket(&mut buckets, self.key(network(peer)), ADDRESS);
            bucket.left = (bucket.left - 1.0).max(DEBT);
        }
    }

    fn key(&self, of: impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }

    fn bucket<'a>(
        &self,
        buckets: &'a mut HashMap<u64, Bucket>,
        key: u64,
        rate: Rate,
    ) -> &'a mut Bucket {
        let now = Instant::now();
        if buckets.len() >= ENTRIES && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= ENTRIES {
                buckets.clear();
            }
        }
        buckets.entry(key).or_insert(Bucket {
            rate,
            left: rate.burst,
            at: now,
        })
    }
}

impl Bucket {
    fn level(&self, now: Instant) -> f64 {
        let grown = now.duration_since(self.at).as_secs_f64() * self.rate.per_second;
        (self.left + grown).min(self.rate.burst)
    }

    fn is_full(&self, now: Instant) -> bool {
        self.level(now) >= self.rate.burst
    }

    fn take(&mut self, cost: f64) -> Result<()> {
        let now = Instant::now();
        self.left = self.level(now);
        self.at = now;
        if self.left < 1.0 {
            let wait = ((1.0 - self.left) / self.rate.per_second).ceil().max(1.0);
            let mut error = Error::new(429, "too many calls; slow down");
            error.data = Some(json!({ "retry_after": wait as u64 }));
            return Err(error);
        }
        self.left -= cost;
        Ok(())
    }
}

/// An IPv6 customer has a /64, so that counts as one address.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{KEY, Limits};
    use std::net::{IpAddr, Ipv4Addr};

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn calls_without_a_key_run_out_and_say_when_to_come_back() {
        let limits = Limits::new(KEY);
        let refused = (0..60)
            .find_map(|_| limits.admit(None, PEER).err())
            .unwrap();
        assert_eq!(refused.code, "ME429");
        assert_eq!(refused.data.unwrap()["retry_after"], 1);
    }

    #[test]
    fn failed_sign_ins_stop_strangers_but_not_a_known_key() {
        let limits = Limits::new(KEY);
        limits.signed_in(Some("good"), PEER, true, 200);
        for _ in 0..60 {
            limits.signed_in(Some("bad"), PEER, false, 401);
        }
        assert!(limits.admit(Some("bad"), PEER).is_err());
        assert!(limits.admit(None, PEER).is_err());
        assert!(limits.admit(Some("good"), PEER).is_ok());
    }

    #[test]
    fn many_good_keys_may_come_back_at_once() {
        let limits = Limits::new(KEY);
        for agent in 0..1000 {
            assert!(limits.admit(Some(&agent.to_string()), PEER).is_ok());
        }
    }

    #[test]
    fn one_key_has_its_rate() {
        let limits = Limits::new(KEY);
        limits.signed_in(Some("key"), PEER, true, 200);
        let taken = (0..1000)
            .take_while(|_| limits.admit(Some("key"), PEER).is_ok())
            .count();
        assert!((400..500).contains(&taken), "{taken}");
    }
}
