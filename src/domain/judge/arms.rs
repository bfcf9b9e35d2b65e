//! The two arms of a trial, and the requests of one lane of them in start order.
//!
//! A lane is a ring: it reaches from the oldest request that some gate still waits for to the newest. It does not judge.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::start_order::{Course, Fate, Stage};
use crate::domain::time::Timestamp;

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

/// What is known of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// What is known of it; before its start is reported, it began at a moment by which it must have begun.
    pub course: Course,
    /// Whether its start was reported.
    pub started: bool,
    /// The epoch it began in.
    pub generation: u64,
    /// One bit for each gate that has had its say on it.
    pub settled: u64,
    /// One bit for each Apdex gate that has counted half of it, and for each comparison that has taken in its latency.
    pub halved: u64,
}

impl Request {
    const fn unknown(by: Timestamp) -> Self {
        Self { course: Course::begun(by), started: false, generation: 0, settled: 0, halved: 0 }
    }

    /// Notes that no gate has anything to say on it: its block is gone.
    pub const fn leave_out(&mut self) {
        (self.settled, self.halved) = (u64::MAX, u64::MAX);
    }

    /// Says whether nothing will ever be heard of it: its start is missing although younger ones are long known.
    pub fn is_lost(&self, known_until: Timestamp, patience: Duration) -> bool {
        !self.started && self.course.stage == Stage::InFlight && known_until.since(self.course.at) > patience
    }
}

/// More requests than this cannot be in flight at once; a larger number is a broken report.
const SANE: usize = 1 << 24;

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

    /// Notes that a request began and what befell it since; `None` when nothing of that is news, or nobody waits for it any more. Says
    /// whether its beginning is news.
    pub fn take(&mut self, seq: u64, generation: u64, course: &Course) -> Option<(&mut Request, bool)> {
        if seq == self.next() && self.requests.len() < SANE {
            self.requests.push_back(Request { course: *course, started: true, generation, settled: 0, halved: 0 });
            return self.requests.back_mut().map(|request| (request, true));
        }
        let request = self.reach(seq, course.at)?;
        let begins = !std::mem::replace(&mut request.started, true);
        if begins {
            (request.course.at, request.generation) = (course.at, generation);
        }
        (request.course.learn(course) || begins).then_some((request, begins))
    }

    /// Notes that a request's response head was sent on; `None` when it was answered, ended or forgotten before.
    pub fn answer(&mut self, seq: u64, latency: Duration, now: Timestamp) -> Option<&mut Request> {
        let request = self.reach(seq, now)?;
        request.course.answer(latency).then_some(request)
    }

    /// Notes how a request ended; `None` when it had ended before or was forgotten.
    pub fn end(&mut self, seq: u64, fate: Fate, now: Timestamp) -> Option<&mut Request> {
        let request = self.reach(seq, now)?;
        request.course.end(fate).then_some(request)
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
    use crate::domain::error_kinds::ErrorKinds;

    const GOOD: Fate = Fate::Measured {
        latency: Duration::from_millis(5),
        duration: Duration::from_millis(6),
        errors: ErrorKinds::NONE,
        unanswered: false,
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    fn start(lane: &mut Lane, seq: u64, generation: u64, ms: u64) -> bool {
        lane.take(seq, generation, &Course::begun(at(ms))).is_some_and(|(_, begins)| begins)
    }

    #[test]
    fn reports_in_any_order_land_in_start_order_and_the_first_stands() {
        let mut lane = Lane::new(vec![[1, 1]]);
        assert!(lane.end(3, GOOD, at(0)).is_some());
        assert!(start(&mut lane, 1, 7, 1));
        assert!(!start(&mut lane, 1, 8, 2), "its start is known");
        assert!(lane.end(1, Fate::Excluded { after: Duration::ZERO }, at(0)).is_some());
        assert!(lane.end(1, GOOD, at(0)).is_none() && lane.answer(1, Duration::ZERO, at(0)).is_none());
        assert_eq!(lane.get(1).map(|r| (r.course.at, r.generation, r.course.stage)), Some((at(1), 7, Stage::Excluded)));
        let late = lane.take(3, 7, &Course::begun(at(3))).map(|(r, begins)| (r.course.stage, r.course.latency, begins));
        assert_eq!(late, Some((Stage::Ended { unanswered: false }, 5_000_000, true)), "a late start does not undo an end");
    }

    #[test]
    fn what_was_never_heard_of_is_lost_once_its_successors_are_old() {
        let mut lane = Lane::new(vec![[1, 1]]);
        start(&mut lane, 2, 1, 10);
        let lost = |until| lane.get(1).unwrap().is_lost(until, Duration::from_secs(60));
        assert!(!lost(at(60_010)) && lost(at(60_011)));
    }

    #[test]
    fn what_a_deadline_waits_for_is_kept() {
        let mut lane = Lane::new(vec![[1, 1]; 2]);
        for seq in 1..=5 {
            start(&mut lane, seq, 1, seq);
        }
        lane.forget_before(4);
        assert_eq!(lane.len(), 5);
        (lane.due, lane.overdue) = (vec![[4, 6], [6, 6]], 6);
        lane.forget_before(6);
        assert_eq!((lane.len(), lane.get(3).is_none(), lane.next()), (2, true, 6));
        assert!(!start(&mut lane, 3, 1, 9), "what is forgotten stays forgotten");
    }
}
