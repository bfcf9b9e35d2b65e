//! Who is not listened to for a while, because too many wrong tokens came from there.
//!
//! A token has far too many bits to be found by trying. What this keeps away is the trying itself: its load, its noise in the log,
//! and whoever has forgotten where a robot with an old token runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::domain::time::Timestamp;

/// How many wrong tokens within [`WINDOW`] lock a source out.
pub const STRIKES: u32 = 10;
/// Within which time of the first they count together.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long a source is locked out at first; each time that follows is twice as long.
pub const FIRST: Duration = Duration::from_secs(60);
/// The longest time; after as long without a wrong token, and not locked out, everything is forgotten.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// The most sources that are known; beyond, whoever has been quiet longest is forgotten, those locked out last of all.
pub const MOST: usize = 1024;

/// What stands for a source: its IPv4 address, or the network of its IPv6 address, all 2^64 of whose addresses it may use.
#[must_use]
pub fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The sources that wrong tokens came from lately.
#[derive(Debug, Default)]
pub struct Lockout {
    sources: BTreeMap<IpAddr, Tally>,
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    /// Wrong tokens since `since`.
    strikes: u32,
    since: Timestamp,
    /// When the last wrong token came.
    last: Timestamp,
    /// How often it was locked out.
    locks: u32,
    /// When it was locked out last, and for how long.
    locked: Option<(Timestamp, Duration)>,
}

impl Tally {
    fn left(&self, now: Timestamp) -> Option<Duration> {
        let (at, length) = self.locked?;
        length.checked_sub(now.since(at)).filter(|left| *left > Duration::ZERO)
    }

    fn is_forgotten(&self, now: Timestamp) -> bool {
        let heard_again = self.locked.map_or(self.last, |(at, length)| self.last.max(at + length));
        now.since(heard_again) >= LONGEST && heard_again <= now
    }
}

impl Lockout {
    /// Returns for how long a source is not listened to; `None` for one that is.
    #[must_use]
    pub fn left(&self, source: IpAddr, now: Timestamp) -> Option<Duration> {
        self.sources.get(&network(source))?.left(now)
    }

    /// Takes in that a source brought a wrong token. Returns for how long it is locked out, where this one was too many.
    pub fn strike(&mut self, source: IpAddr, now: Timestamp) -> Option<Duration> {
        let source = network(source);
        if !self.sources.contains_key(&source) && self.sources.len() >= MOST {
            self.make_room(now);
        }
        let fresh = Tally { strikes: 0, since: now, last: now, locks: 0, locked: None };
        let tally = self.sources.entry(source).or_insert(fresh);
        if tally.is_forgotten(now) {
            *tally = fresh;
        }
        if now.since(tally.since) >= WINDOW {
            (tally.strikes, tally.since) = (0, now);
        }
        tally.last = now;
        tally.strikes += 1;
        if tally.strikes < STRIKES {
            return None;
        }
        let length = FIRST.saturating_mul(1_u32.checked_shl(tally.locks).unwrap_or(u32::MAX)).min(LONGEST);
        (tally.strikes, tally.since) = (0, now);
        tally.locks = tally.locks.saturating_add(1);
        tally.locked = Some((now, length));
        Some(length)
    }

    /// Forgets whoever may be forgotten, and at least one.
    fn make_room(&mut self, now: Timestamp) {
        self.sources.retain(|_, tally| !tally.is_forgotten(now));
        if self.sources.len() < MOST {
            return;
        }
        let quietest = self.sources.iter().min_by_key(|(_, tally)| (tally.left(now).is_some(), tally.last));
        if let Some(source) = quietest.map(|(source, _)| *source) {
            self.sources.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    /// Brings wrong tokens until the source is locked out, and returns how many it took and for how long it is.
    fn provoke(lockout: &mut Lockout, source: IpAddr, now: Timestamp) -> (u32, Duration) {
        (1..).find_map(|count| Some((count, lockout.strike(source, now)?))).unwrap()
    }

    #[test]
    fn the_tenth_within_a_minute_locks_out_and_nobody_else() {
        let (mut lockout, source) = (Lockout::default(), ip("192.0.2.7"));
        assert_eq!(provoke(&mut lockout, source, at(5)), (STRIKES, FIRST));
        assert_eq!(lockout.left(source, at(6)), Some(Duration::from_secs(59)));
        assert_eq!(lockout.left(ip("::ffff:192.0.2.7"), at(6)), Some(Duration::from_secs(59)), "the same, written otherwise");
        assert_eq!(lockout.left(ip("192.0.2.8"), at(6)), None);
        assert_eq!(lockout.left(source, at(65)), None, "its time is over");
    }

    #[test]
    fn nine_in_each_minute_never_do() {
        let (mut lockout, source) = (Lockout::default(), ip("2001:db8::1"));
        for minute in 0..100 {
            for count in 1..STRIKES {
                let other = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::try_from(count).unwrap()));
                assert_eq!(lockout.strike(other, at(60 * minute)), None);
            }
        }
        assert!(lockout.strike(source, at(60 * 99)).is_some(), "one network is one source");
    }

    #[test]
    fn each_time_is_twice_as_long_up_to_an_hour_and_an_hour_of_quiet_forgets() {
        let (mut lockout, source) = (Lockout::default(), ip("192.0.2.7"));
        let (mut now, mut lengths) = (at(0), Vec::new());
        for _ in 0..40 {
            let (_, length) = provoke(&mut lockout, source, now);
            lengths.push(length.as_secs());
            now = now + length;
        }
        assert_eq!(lengths[..8], [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert!(lengths[8..].iter().all(|length| *length == 3600));
        assert_eq!(provoke(&mut lockout, source, now + LONGEST), (STRIKES, FIRST));
    }

    #[test]
    fn wrong_tokens_of_one_locked_out_lengthen_its_time() {
        let (mut lockout, source) = (Lockout::default(), ip("192.0.2.7"));
        provoke(&mut lockout, source, at(0));
        assert_eq!(provoke(&mut lockout, source, at(30)), (STRIKES, 2 * FIRST));
        assert_eq!(lockout.left(source, at(90)), Some(Duration::from_secs(60)));
    }

    #[test]
    fn there_are_never_too_many_and_those_locked_out_are_kept_longest() {
        let (mut lockout, locked) = (Lockout::default(), ip("192.0.2.7"));
        provoke(&mut lockout, locked, at(0));
        for number in 0..5_000_u32 {
            lockout.strike(IpAddr::V4((0x0a00_0000 + number).into()), at(1));
            assert!(lockout.sources.len() <= MOST);
        }
        assert!(lockout.left(locked, at(2)).is_some());
        lockout.strike(ip("198.51.100.1"), at(2 * LONGEST.as_secs()));
        assert_eq!(lockout.sources.len(), 1, "whoever was quiet for an hour is forgotten");
    }
}
