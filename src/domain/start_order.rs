//! How a request ended, as far as gates care; requests are judged in the order in which they started.

use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::time::{Timestamp, nanos};

/// How a request ended, as far as gates care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The version answered, or failed to, through nobody else's fault.
    Measured {
        /// From head read to response head sent on, or to the failure.
        latency: Duration,
        /// From head read to the last byte, or to the failure.
        duration: Duration,
        /// In which ways the version failed; none when it did not.
        errors: ErrorKinds,
        /// Whether the version sent no response head at all, so that `latency` is only a lower bound.
        unanswered: bool,
    },
    /// The client left, or the proxy failed, before the version answered: no statement but that it took longer than this.
    Excluded {
        /// From head read to the end.
        after: Duration,
    },
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is known but perhaps its start.
    InFlight,
    /// Its response head was sent on; its body has not ended.
    Answered,
    /// It ended.
    Ended {
        /// Whether no response head was sent, so that its latency is only a lower bound.
        unanswered: bool,
    },
    /// It ended through somebody else's fault; its latency is how long it had been out.
    Excluded,
}

/// What is known of a request by now, in 32 bytes: there is one for each request that is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// When it began.
    pub at: Timestamp,
    /// From head read to response head sent on, or to the end without one, in nanoseconds; 0 while neither is known.
    pub latency: u64,
    /// From head read to the end, in nanoseconds; 0 while it has not ended.
    pub duration: u64,
    /// In which ways the version failed.
    pub errors: ErrorKinds,
    /// How far it has come.
    pub stage: Stage,
}

impl Course {
    /// A request that has just begun.
    #[must_use]
    pub const fn begun(at: Timestamp) -> Self {
        Self { at, latency: 0, duration: 0, errors: ErrorKinds::NONE, stage: Stage::InFlight }
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
        let is_news = !self.has_ended();
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

    /// Notes what another account of the same request knows beyond this one, but for its beginning; says whether that was news.
    pub const fn learn(&mut self, other: &Self) -> bool {
        let is_news = match other.stage {
            Stage::InFlight => false,
            Stage::Answered => matches!(self.stage, Stage::InFlight),
            Stage::Ended { .. } | Stage::Excluded => !self.has_ended(),
        };
        if is_news {
            *self = Self { at: self.at, ..*other };
        }
        is_news
    }

    /// Says whether it has ended.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended { .. } | Stage::Excluded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const END: Fate = Fate::Measured { latency: MS, duration: Duration::from_millis(2), errors: ErrorKinds::SERVER, unanswered: false };

    #[test]
    fn the_first_account_of_an_answer_and_of_an_end_stands() {
        let mut course = Course::begun(Timestamp::from_nanos(7));
        assert!(course.answer(3 * MS) && !course.answer(4 * MS));
        assert_eq!((course.stage, course.latency, course.duration), (Stage::Answered, 3_000_000, 0));
        assert!(course.end(END) && !course.end(Fate::Excluded { after: MS }) && !course.answer(MS));
        assert_eq!((course.stage, course.latency, course.duration), (Stage::Ended { unanswered: false }, 1_000_000, 2_000_000));
        assert_eq!((course.errors, size_of::<Course>()), (ErrorKinds::SERVER, 32));
    }

    #[test]
    fn another_account_adds_what_is_news_and_leaves_the_beginning() {
        let (mut known, mut other) = (Course::begun(Timestamp::from_nanos(7)), Course::begun(Timestamp::from_nanos(9)));
        assert!(!known.learn(&other));
        other.answer(MS);
        assert!(known.learn(&other) && !known.learn(&other));
        assert_eq!((known.at.as_nanos(), known.stage), (7, Stage::Answered));
        other.end(Fate::Excluded { after: 5 * MS });
        assert!(known.learn(&other) && !known.learn(&Course { stage: Stage::Answered, ..other }));
        assert_eq!(known, Course { at: known.at, ..other });
    }
}
