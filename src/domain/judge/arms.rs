//! The two arms of a trial, and the requests of one lane of them in start order.
//!
//! A lane is a ring: it reaches from the oldest request that some gate still waits for to the newest. It does not judge.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::start_order::Fate;
use crate::domain::time::{Timestamp, nanos};

/// Which version a request went to, and by what its number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arm {
    /// The version on trial; its start numbers count all of the rollout's canary requests, from 1.
    Canary,
    /// The version that owns the traffic; its start numbers count one worker's requests beside the canary, from 1.
    Stable {
        /// The worker.
        worker: usize,
    },
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was reported but perhaps its start.
    InFlight,
    /// Its response head was sent on; its body has not ended.
    Answered,
    /// It ended; `unanswered` says that no response head was sent, so that its latency is only a lower bound.
    Ended { unanswered: bool },
    /// It ended through somebody else's fault; its latency is how long it had been out.
    Excluded,
}

/// What is known of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// When it began; before its start is reported, a moment by which it must have begun.
    pub at: Timestamp,
    /// Whether its start was reported.
    pub started: bool,
    /// The epoch it began in.
    pub generation: u64,
    pub stage: Stage,
    /// From head read to response head, or to the end without one, in nanoseconds.
    pub latency: u64,
    /// From head read to the end, in nanoseconds.
    pub duration: u64,
    pub errors: ErrorKinds,
    /// One bit for each gate that has had its say on it.
    pub settled: u64,
    /// One bit for each Apdex gate that has counted half of it, and for each comparison that has taken in its latency.
    pub halved: u64,
}

impl Request {
    const fn unknown(by: Timestamp) -> Self {
        Self {
            at: by,
            started: false,
            generation: 0,
            stage: Stage::InFlight,
            latency: 0,
            duration: 0,
            errors: ErrorKinds::NONE,
            settled: 0,
            halved: 0,
        }
    }

    /// Notes that the response head was sent on; says whether that was news.
    pub fn answer(&mut self, latency: Duration) -> bool {
        let is_news = self.stage == Stage::InFlight;
        if is_news {
            (self.stage, self.latency) = (Stage::Answered, nanos(latency));
        }
        is_news
    }

    /// Notes how it ended; says whether that was news.
    pub fn end(&mut self, fate: Fate) -> bool {
        let is_news = matches!(self.stage, Stage::InFlight | Stage::Answered);
        match fate {
            _ if !is_news => {}
            Fate::Measured { latency, duration, errors, unanswered } => {
                self.stage = Stage::Ended { unanswered };
                (self.latency, self.duration, self.errors) = (nanos(latency), nanos(duration), errors);
            }
            Fate::Excluded { after } => {
                self.stage = Stage::Excluded;
                (self.latency, self.duration) = (nanos(after), nanos(after));
            }
        }
        is_news
    }

    /// Says whether nothing will ever be heard of it: its start is missing although younger ones are long known.
    pub fn is_lost(&self, known_until: Timestamp, patience: Duration) -> bool {
        !self.started && self.stage == Stage::InFlight && known_until.since(self.at) > patience
    }
}

/// The requests of the canary, or of one worker's stable version, in start order.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    first: u64,
    requests: VecDeque<Request>,
    /// For each gate the next request whose first and second deadline is to be looked at.
    pub due: Vec<[u64; 2]>,
    /// The next request to be looked at for having been out for too long.
    pub overdue: u64,
}

impl Lane {
    /// Begins with request number 1; for each gate says from which request on its deadlines are to be looked at.
    pub const fn new(due: Vec<[u64; 2]>) -> Self {
        Self { first: 1, requests: VecDeque::new(), due, overdue: 1 }
    }

    /// Notes that a request began; `None` when that was known or nobody waits for it any more.
    pub fn start(&mut self, seq: u64, generation: u64, at: Timestamp) -> Option<&mut Request> {
        let request = self.reach(seq, at).filter(|request| !request.started)?;
        (request.at, request.generation, request.started) = (at, generation, true);
        Some(request)
    }

    /// Notes that a request's response head was sent on; `None` when it was answered, ended or forgotten before.
    pub fn answer(&mut self, seq: u64, latency: Duration, now: Timestamp) -> Option<&mut Request> {
        let request = self.reach(seq, now)?;
        request.answer(latency).then_some(request)
    }

    /// Notes how a request ended; `None` when it had ended before or was forgotten.
    pub fn end(&mut self, seq: u64, fate: Fate, now: Timestamp) -> Option<&mut Request> {
        let request = self.reach(seq, now)?;
        request.end(fate).then_some(request)
    }

    /// Returns what is known of a request, `None` when it was forgotten or never heard of.
    pub fn get(&self, seq: u64) -> Option<&Request> {
        self.requests.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    /// Returns what is known of a request, to be changed.
    pub fn get_mut(&mut self, seq: u64) -> Option<&mut Request> {
        self.requests.get_mut(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    /// Forgets everything before `seq` that no deadline waits for.
    pub fn forget_before(&mut self, seq: u64) {
        let seq = self.due.iter().flatten().fold(seq.min(self.overdue), |least, due| least.min(*due));
        while self.first < seq && self.requests.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Returns the number after the newest request heard of.
    pub fn next(&self) -> u64 {
        self.first + self.requests.len() as u64
    }

    /// Returns how many requests are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Returns the place of a request, making room up to it; what is in between began by `by` at the latest.
    fn reach(&mut self, seq: u64, by: Timestamp) -> Option<&mut Request> {
        /// More requests than this cannot be in flight at once; a larger number is a broken report.
        const SANE: usize = 1 << 24;
        let index = usize::try_from(seq.checked_sub(self.first)?).ok().filter(|index| *index < SANE)?;
        if index >= self.requests.len() {
            self.requests.resize(index + 1, Request::unknown(by));
        }
        self.requests.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Fate = Fate::Measured {
        latency: Duration::from_millis(5),
        duration: Duration::from_millis(6),
        errors: ErrorKinds::NONE,
        unanswered: false,
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn reports_in_any_order_land_in_start_order_and_the_first_stands() {
        let mut lane = Lane::new(vec![[1, 1]]);
        assert!(lane.end(3, GOOD, at(0)).is_some());
        assert!(lane.start(1, 7, at(1)).is_some());
        assert!(lane.start(1, 8, at(2)).is_none(), "its start is known");
        assert!(lane.end(1, Fate::Excluded { after: Duration::ZERO }, at(0)).is_some());
        assert!(lane.end(1, GOOD, at(0)).is_none() && lane.answer(1, Duration::ZERO, at(0)).is_none());
        assert_eq!(lane.get(1).map(|r| (r.at, r.generation, r.stage)), Some((at(1), 7, Stage::Excluded)));
        let late = lane.start(3, 7, at(3)).map(|r| (r.stage, r.latency));
        assert_eq!(late, Some((Stage::Ended { unanswered: false }, 5_000_000)), "a late start does not undo an end");
    }

    #[test]
    fn what_was_never_heard_of_is_lost_once_its_successors_are_old() {
        let mut lane = Lane::new(vec![[1, 1]]);
        lane.start(2, 1, at(10));
        let lost = |until| lane.get(1).unwrap().is_lost(until, Duration::from_secs(60));
        assert!(!lost(at(60_010)) && lost(at(60_011)));
    }

    #[test]
    fn what_a_deadline_waits_for_is_kept() {
        let mut lane = Lane::new(vec![[1, 1]; 2]);
        for seq in 1..=5 {
            lane.start(seq, 1, at(seq));
        }
        lane.forget_before(4);
        assert_eq!(lane.len(), 5);
        (lane.due, lane.overdue) = (vec![[4, 6], [6, 6]], 6);
        lane.forget_before(6);
        assert_eq!((lane.len(), lane.get(3).is_none(), lane.next()), (2, true, 6));
        assert!(lane.start(3, 1, at(9)).is_none(), "what is forgotten stays forgotten");
    }
}
