//! The load on the whole process, shared by all workers: how short it is of memory and descriptors, and who has how many
//! connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::lockout::network;

/// From this share of memory or descriptors on connections are given up as soon as they can be.
const TIGHT: f64 = 0.92;
/// From this share on nothing new is taken.
const FULL: f64 = 0.95;
/// Below this share everything is as it was.
const EASED: f64 = 0.85;

/// How short the process is of memory or descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    Normal = 0,
    /// Connections end after their next answer.
    Tight = 1,
    /// Besides, requests are answered with 503 and no connection is accepted.
    Full = 2,
}

impl Level {
    /// Returns the level after this one, given the larger of the shares of memory and descriptors that are in use.
    #[must_use]
    pub fn next(self, used: f64) -> Self {
        match self {
            _ if used >= FULL => Self::Full,
            _ if used >= TIGHT => Self::Tight,
            Self::Tight | Self::Full if used >= EASED => Self::Tight,
            _ => Self::Normal,
        }
    }
}

/// How many maps the connections are spread over, so that workers rarely wait for each other.
const SHARDS: usize = 16;

/// On cache lines of its own: every request reads it, and what lies beside it is written with every connection.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart(AtomicU8);

/// The load on the whole process.
#[derive(Debug, Default)]
pub struct Pressure {
    /// A [`Level`]; written by the overload manager alone, read with every request.
    level: Apart,
    /// Requests that were answered with 503 for it.
    shed: AtomicU64,
    /// Connections that were turned away because their source had as many as it may.
    over_source: AtomicU64,
    /// How many connections each source has; locked only while one is opened or closed.
    sources: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
}

impl Pressure {
    /// Returns the level.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.level.0.load(Ordering::Relaxed) {
            0 => Level::Normal,
            1 => Level::Tight,
            _ => Level::Full,
        }
    }

    /// Sets the level.
    pub fn set_level(&self, level: Level) {
        self.level.0.store(level as u8, Ordering::Relaxed);
    }

    /// Counts a request that was answered with 503 for the level.
    pub fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many requests were answered with 503 for the level, and how many connections their source had too many of.
    #[must_use]
    pub fn turned_away(&self) -> [u64; 2] {
        [&self.shed, &self.over_source].map(|count| count.load(Ordering::Relaxed))
    }

    /// Counts a connection of this source; `None` when it has as many as it may already.
    pub fn enter(self: &Arc<Self>, source: IpAddr, most: u32) -> Option<Visitor> {
        let source = network(source);
        let mut visitors = self.shard(source);
        let count = visitors.entry(source).or_default();
        if *count >= most {
            self.over_source.fetch_add(1, Ordering::Relaxed);
            if *count == 0 {
                visitors.remove(&source);
            }
            return None;
        }
        *count += 1;
        Some(Visitor { pressure: Arc::clone(self), source })
    }

    fn shard(&self, source: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let last = match source {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[7],
        };
        let [first, ..] = &self.sources;
        self.sources.get(usize::from(last) % SHARDS).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of a source; dropping it makes room for another.
#[derive(Debug)]
pub struct Visitor {
    pressure: Arc<Pressure>,
    source: IpAddr,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let mut visitors = self.pressure.shard(self.source);
        if let Some(count) = visitors.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                visitors.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_at_once_and_fall_with_a_margin() {
        let mut level = Level::Normal;
        for (used, expected) in [
            (0.5, Level::Normal),
            (0.91, Level::Normal),
            (0.92, Level::Tight),
            (0.86, Level::Tight),
            (0.84, Level::Normal),
            (0.99, Level::Full),
            (0.93, Level::Tight),
            (0.95, Level::Full),
            (0.90, Level::Tight),
            (f64::NAN, Level::Normal),
        ] {
            level = level.next(used);
            assert_eq!(level, expected, "{used}");
        }
    }

    #[test]
    fn a_source_has_so_many_connections_and_others_do_not_suffer() {
        let pressure = Arc::new(Pressure::default());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = pressure.enter(ip("192.0.2.7"), 2).unwrap();
        let _second = pressure.enter(ip("::ffff:192.0.2.7"), 2).expect("the same source, written otherwise");
        assert!(pressure.enter(ip("192.0.2.7"), 2).is_none());
        assert!(pressure.enter(ip("192.0.2.8"), 2).is_some());
        drop(first);
        assert!(pressure.enter(ip("192.0.2.7"), 2).is_some(), "one has left");
        let _six = pressure.enter(ip("2001:db8::1"), 1).unwrap();
        assert!(pressure.enter(ip("2001:db8::ffff"), 1).is_none(), "one network is one source");
        assert!(pressure.enter(ip("2001:db8:0:1::1"), 1).is_some());
        assert!(pressure.enter(ip("203.0.113.1"), 0).is_none());
        assert_eq!(pressure.turned_away(), [0, 3]);
        let kept: usize = pressure.sources.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(kept, 2, "who has no connection is forgotten");
    }
}
