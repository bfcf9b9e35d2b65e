//! How the controller lets workers go first: between pieces of its work it offers the core it runs on.
//!
//! Woken by a report it takes the core from a worker in the midst of its requests, and what came meanwhile waits for as long as the
//! report is read. A worker that waits for the core gets it with the next offer; where none waits an offer is one system call.

use std::time::Duration;

use crate::control::shell::Shell;

/// How many entries are taken in between two offers: about as much work as a worker has with one request.
const PIECE: usize = 128;

/// For how long the core may be away over all offers of one tick, a twentieth of it. Where a worker never rests each offer costs a
/// slice, which is some milliseconds: the judge comes that much later, and by the last slice, but no more.
const MOST_AWAY: Duration = Duration::from_millis(5);

/// The offers of one tick.
#[derive(Debug, Default)]
pub struct Offers {
    away: Duration,
}

impl Offers {
    /// Begins those of the next tick.
    pub const fn renew(&mut self) {
        self.away = Duration::ZERO;
    }

    /// Offers the core, unless it was away for long enough; `give_way` does it and returns for how long the core was away.
    pub fn offer(&mut self, give_way: impl FnOnce() -> Duration) {
        if self.away < MOST_AWAY {
            self.away = self.away.saturating_add(give_way());
        }
    }
}

/// Takes all items in their order and offers the core between pieces of them.
pub fn in_pieces<T>(items: impl IntoIterator<Item = T>, shell: &mut dyn Shell, mut take: impl FnMut(T)) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 && index % PIECE == 0 {
            shell.offer_core();
        }
        take(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_offered_once_the_core_was_away_for_long_until_the_next_tick() {
        let (mut offers, mut given) = (Offers::default(), 0);
        let mut offer = |offers: &mut Offers, takes: Duration| {
            for _ in 0..100 {
                offers.offer(|| {
                    given += 1;
                    takes
                });
            }
            std::mem::take(&mut given)
        };
        assert_eq!(offer(&mut offers, Duration::from_micros(10)), 100, "nobody waits for it for long");
        assert_eq!(offer(&mut offers, Duration::from_millis(3)), 2, "a worker that fills its core");
        assert_eq!(offer(&mut offers, Duration::ZERO), 0);
        offers.renew();
        assert_eq!(offer(&mut offers, Duration::MAX), 1);
    }
}
