//! Folds outcomes in by the order in which requests started, which makes the tests valid for any delays.
//!
//! Requests carry start numbers 1, 2, 3, …; their ends become known in any order. Each gate has a cursor: everything before
//! it is resolved for that gate and was folded in, in order. What no gate needs any more is forgotten.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::time::Timestamp;

/// How a canary request ended, as far as gates care.
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

/// What is known of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Its start number was taken; nothing was reported yet.
    Unknown,
    /// It began at this time and has not ended.
    InFlight(Timestamp),
    /// It began at this time and its response head was sent on after this long; its body has not ended.
    Answered(Timestamp, Duration),
    /// It ended.
    Done(Fate),
}

/// The requests of one trial in start order, from the oldest that some gate still needs.
#[derive(Clone, Debug, Default)]
pub struct StartOrder {
    first: u64,
    slots: VecDeque<Slot>,
}

impl StartOrder {
    /// Begins with request number 1.
    #[must_use]
    pub fn new() -> Self {
        Self { first: 1, slots: VecDeque::new() }
    }

    /// Notes that a request began.
    pub fn started(&mut self, seq: u64, at: Timestamp) {
        if let Some(slot) = self.slot(seq)
            && *slot == Slot::Unknown
        {
            *slot = Slot::InFlight(at);
        }
    }

    /// Notes that a request's response head was sent on after `latency`; its body may go on for long.
    pub fn answered(&mut self, seq: u64, latency: Duration) {
        let Some(slot) = self.slot(seq) else { return };
        match *slot {
            Slot::InFlight(at) => *slot = Slot::Answered(at, latency),
            // Nobody knows when it began, so it never counts as old.
            Slot::Unknown => *slot = Slot::Answered(Timestamp::NEVER, latency),
            Slot::Answered(..) | Slot::Done(_) => {}
        }
    }

    /// Notes how a request ended; the first report stands.
    pub fn ended(&mut self, seq: u64, fate: Fate) {
        if let Some(slot) = self.slot(seq)
            && !matches!(slot, Slot::Done(_))
        {
            *slot = Slot::Done(fate);
        }
    }

    /// Returns what is known of a request, `None` when it was forgotten or never heard of.
    #[must_use]
    pub fn get(&self, seq: u64) -> Option<Slot> {
        self.slots.get(usize::try_from(seq.checked_sub(self.first)?).ok()?).copied()
    }

    /// Iterates over the requests from `seq` on, in start order.
    pub fn from(&self, seq: u64) -> impl Iterator<Item = Slot> + '_ {
        self.slots.iter().skip(usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX)).copied()
    }

    /// Forgets everything before `seq`.
    pub fn forget_before(&mut self, seq: u64) {
        while self.first < seq && self.slots.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Returns how many requests are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Says whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn slot(&mut self, seq: u64) -> Option<&mut Slot> {
        /// More requests than this cannot be in flight at once; a larger number is a broken report.
        const SANE: usize = 1 << 24;
        let index = usize::try_from(seq.checked_sub(self.first)?).ok().filter(|i| *i < SANE)?;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::Unknown);
        }
        self.slots.get_mut(index)
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

    #[test]
    fn reports_in_any_order_land_in_start_order() {
        let mut order = StartOrder::new();
        order.ended(3, GOOD);
        order.started(1, Timestamp::ZERO);
        assert_eq!(order.from(1).collect::<Vec<_>>(), [Slot::InFlight(Timestamp::ZERO), Slot::Unknown, Slot::Done(GOOD)]);
        order.ended(1, GOOD);
        order.ended(1, Fate::Excluded { after: Duration::ZERO });
        assert_eq!(order.get(1), Some(Slot::Done(GOOD)), "the first report stands");
        order.started(3, Timestamp::ZERO);
        assert_eq!(order.get(3), Some(Slot::Done(GOOD)), "a late start does not undo an end");
    }

    #[test]
    fn an_answer_ends_the_waiting_and_is_not_undone() {
        let mut order = StartOrder::new();
        let head = Duration::from_millis(5);
        order.started(1, Timestamp::ZERO);
        order.answered(1, head);
        order.started(1, Timestamp::ZERO);
        order.answered(1, Duration::from_secs(9));
        assert_eq!(order.get(1), Some(Slot::Answered(Timestamp::ZERO, head)));
        order.ended(1, GOOD);
        order.answered(1, head);
        assert_eq!(order.get(1), Some(Slot::Done(GOOD)));
    }

    #[test]
    fn what_is_forgotten_stays_forgotten() {
        let mut order = StartOrder::new();
        order.ended(1, GOOD);
        order.ended(2, GOOD);
        order.forget_before(2);
        assert_eq!((order.len(), order.get(1), order.get(2)), (1, None, Some(Slot::Done(GOOD))));
        order.started(1, Timestamp::ZERO);
        assert_eq!(order.get(1), None);
    }
}
