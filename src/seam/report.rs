//! What workers tell the controller.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::domain::observation::Observation;
use crate::domain::start_order::{Course, Fate};
use crate::domain::time::Timestamp;
use crate::domain::version::Name;

/// One event of a request, for the judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// The request with this start number began.
    Started(u64, Timestamp),
    /// The response head of the request with this start number was sent on after this time.
    Answered(u64, Duration),
    /// The request with this start number ended.
    Ended(u64, Fate),
}

/// The stable version's requests beside a canary since the last report; each worker numbers its own of one rollout, from 1.
///
/// Most end in the report they began in: each is one entry, filled in where it stands, rather than three marks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StableMarks {
    /// The number of the first of `begun`.
    first: u64,
    /// Those that began, by their numbers without a gap.
    begun: Vec<Course>,
    /// What else was noted: of requests of earlier reports, and what is out of order.
    others: Vec<Mark>,
}

impl StableMarks {
    /// Notes one event of a request.
    pub fn note(&mut self, mark: Mark) {
        let next = self.first + self.begun.len() as u64;
        match mark {
            Mark::Started(number, at) if self.begun.is_empty() || number == next => {
                if self.begun.is_empty() {
                    self.first = number;
                }
                self.begun.push(Course::begun(at));
            }
            Mark::Started(..) => self.others.push(mark),
            Mark::Answered(number, latency) => match self.course(number) {
                Some(course) => _ = course.answer(latency),
                None => self.others.push(mark),
            },
            Mark::Ended(number, fate) => match self.course(number) {
                Some(course) => _ = course.end(fate),
                None => self.others.push(mark),
            },
        }
    }

    fn course(&mut self, number: u64) -> Option<&mut Course> {
        self.begun.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Iterates over the requests that began, with their numbers, growing.
    pub fn begun(&self) -> impl Iterator<Item = (u64, &Course)> {
        (self.first..).zip(&self.begun)
    }

    /// Returns what else was noted, in its order.
    #[must_use]
    pub fn others(&self) -> &[Mark] {
        &self.others
    }

    /// Returns how many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.begun.len() + self.others.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands over what there is, with room for as much again, so that few requests have to make room.
    #[must_use]
    pub fn hand_over(&mut self) -> Self {
        let begun = Vec::with_capacity(self.begun.len());
        std::mem::replace(self, Self { first: 0, begun, others: Vec::new() })
    }
}

/// A message from a worker.
#[derive(Debug)]
pub enum Report {
    /// What one worker saw of one epoch since its last report.
    Observed {
        /// The service.
        service: Name,
        /// The rollout.
        rollout: u64,
        /// The worker.
        worker: usize,
        /// The epoch's generation.
        generation: u64,
        /// The versions that played stable and canary; without a canary the owner stands twice.
        versions: (Name, Name),
        /// One observation per role that saw anything.
        observations: Vec<Observation>,
        /// What was asked beside the split, by version: forced and mirrored requests, which no gate sees.
        beside: Vec<(Name, Observation)>,
        /// The canary's requests one by one, by their start numbers in the rollout.
        marks: Vec<Mark>,
        /// The stable version's requests beside a canary one by one.
        stable_marks: StableMarks,
    },
    /// A tripwire of this service's trial has just tripped; the share is already gone.
    Tripped {
        /// The service.
        service: Name,
        /// The rollout.
        rollout: u64,
        /// When the deciding breach was evident: a head was read, or a deadline passed.
        evident: Timestamp,
        /// When the flag was set.
        at: Timestamp,
    },
    /// This worker has reported everything it saw up to this moment.
    UpTo {
        /// The worker.
        worker: usize,
        /// The moment.
        at: Timestamp,
    },
    /// Look at your commands.
    Wake,
}

/// A worker's end of the channel.
pub type ReportSender = SyncSender<Report>;

/// How many reports may wait; a worker whose report does not fit keeps it and tries again on its next tick.
const CAPACITY: usize = 1024;

/// Makes the channel from the workers to the controller.
#[must_use]
pub fn channel() -> (ReportSender, Receiver<Report>) {
    sync_channel(CAPACITY)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::error_kinds::ErrorKinds;

    const MS: Duration = Duration::from_millis(1);

    fn mark(number: u64, stage: u8) -> Mark {
        let at = Timestamp::from_nanos(number * 1_000);
        let fate = Fate::Measured { latency: MS, duration: 2 * MS, errors: ErrorKinds::NONE, unanswered: false };
        match stage {
            0 => Mark::Started(number, at),
            1 => Mark::Answered(number, MS),
            _ => Mark::Ended(number, fate),
        }
    }

    /// What is known of each request: whether it began, and its course.
    type Known = BTreeMap<u64, (bool, Course)>;

    fn tell(known: &mut Known, mark: &Mark) {
        let (Mark::Started(number, _) | Mark::Answered(number, _) | Mark::Ended(number, _)) = *mark;
        let (begun, course) = known.entry(number).or_insert((false, Course::begun(Timestamp::ZERO)));
        match *mark {
            Mark::Started(_, at) => (*begun, course.at) = (true, at),
            Mark::Answered(_, latency) => _ = course.answer(latency),
            Mark::Ended(_, fate) => _ = course.end(fate),
        }
    }

    fn take(known: &mut Known, handed: &StableMarks) {
        handed.others().iter().for_each(|mark| tell(known, mark));
        for (number, taken) in handed.begun() {
            tell(known, &Mark::Started(number, taken.at));
            known.entry(number).and_modify(|(_, course)| _ = course.learn(taken));
        }
    }

    #[test]
    fn a_request_that_ends_in_its_report_is_one_entry() {
        let mut marks = StableMarks::default();
        [mark(7, 0), mark(8, 0), mark(8, 1), mark(8, 2), mark(7, 1)].into_iter().for_each(|mark| marks.note(mark));
        let handed = marks.hand_over();
        assert_eq!((handed.len(), handed.others().len(), marks.is_empty()), (2, 0, true));
        let numbers: Vec<u64> = handed.begun().map(|(number, _)| number).collect();
        assert_eq!(numbers, [7, 8]);
        [mark(7, 2), mark(9, 0), mark(6, 2)].into_iter().for_each(|mark| marks.note(mark));
        assert_eq!((marks.begun().count(), marks.others()), (1, [mark(7, 2), mark(6, 2)].as_slice()));
    }

    proptest! {
        #[test]
        fn no_mark_is_lost_and_each_stays_with_its_request(noted in prop::collection::vec((1..40_u64, 0..3_u8, prop::bool::weighted(0.1)), 0..120)) {
            let mut known = BTreeSet::new();
            let (mut marks, mut handed, mut wanted) = (StableMarks::default(), BTreeMap::new(), BTreeMap::new());
            for (number, stage, ends) in noted {
                if known.insert((number, stage)) {
                    marks.note(mark(number, stage));
                    tell(&mut wanted, &mark(number, stage));
                }
                if ends {
                    take(&mut handed, &marks.hand_over());
                    prop_assert_eq!(&handed, &wanted);
                }
            }
            take(&mut handed, &marks.hand_over());
            prop_assert_eq!(handed, wanted);
        }
    }
}
