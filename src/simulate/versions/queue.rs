//! The queue before a version that can serve only so many requests at once: first come, first served, over all its endpoints.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::simulate::scenario::Scale;

/// The places at which a version serves, and those that wait for one.
///
/// A request whose client has given up is served all the same, as a version does that does not look.
#[derive(Debug)]
pub(super) struct Queue {
    scale: Scale,
    /// When each place is free again.
    free: BinaryHeap<Reverse<Timestamp>>,
}

impl Queue {
    pub(super) fn new(scale: &Scale) -> Self {
        Self { scale: scale.clone(), free: BinaryHeap::new() }
    }

    /// Takes a place for `work` at the first moment from `at` on; returns how long that is.
    pub(super) fn wait(&mut self, at: Timestamp, work: Duration) -> Duration {
        let places = self.scale.places(at);
        while self.free.len() < places {
            self.free.push(Reverse(at));
        }
        while self.free.len() > places {
            self.free.pop();
        }
        let Reverse(free) = self.free.pop().unwrap_or(Reverse(at));
        let begins = free.max(at);
        self.free.push(Reverse(begins + work));
        begins.since(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::scenario::{Count, Rescale, Span};

    #[test]
    fn who_comes_while_all_places_are_taken_waits() {
        let at = |ms: u64| Timestamp::ZERO + Duration::from_millis(ms);
        let ms = Duration::from_millis;
        let change = |second, endpoints| Rescale { at: Span(Duration::from_secs(second)), endpoints: Count(endpoints) };
        let scale = Scale { endpoints: Count(2), each: Count(1), change: vec![change(1, 1), change(2, 3)] };
        assert_eq!([0, 1_000, 5_000].map(|ms| scale.endpoints_at(at(ms))), [2, 1, 3]);
        let mut queue = Queue::new(&scale);
        assert_eq!([0, 0, 0, 50].map(|from| queue.wait(at(from), ms(100))), [ms(0), ms(0), ms(100), ms(50)]);
        assert_eq!([1_000, 1_000, 1_000].map(|from| queue.wait(at(from), ms(500))), [ms(0), ms(500), ms(1_000)]);
        assert_eq!([2_000, 2_000, 2_000].map(|from| queue.wait(at(from), ms(500))), [ms(0), ms(0), ms(500)]);
    }
}
