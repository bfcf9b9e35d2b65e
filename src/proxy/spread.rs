//! Spreads connections over the workers: whoever accepts one keeps it, unless another worker has so many fewer that it is better off there.
//!
//! The kernel chooses among the listening sockets by a hash of the addresses. That is even for many connections and uneven for few, and
//! one over HTTP/2 carries as much as hundreds and stays for hours. Only the way of a new connection is touched, never that of a request.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::proxy::plain::{Loose, Remote};

/// How many connections a worker may hand over between two ticks. One costs some ten microseconds of both workers, so that clients which
/// open a connection for each request, thousands in a second, pay less than 1 % for what chance does well enough for them.
const MOST_PER_TICK: u32 = 32;

/// All workers, as those see them who accept connections.
#[derive(Debug)]
pub struct Spread {
    places: Box<[Place]>,
}

/// One worker; on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place {
    /// The connections that are open there or on their way there; written when one is accepted and when it ends.
    open: AtomicUsize,
    /// Where it takes connections; set once, by the worker itself.
    door: OnceLock<UnboundedSender<Handed>>,
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub struct Handed {
    /// The socket, which belongs to no runtime.
    pub socket: Loose,
    /// Where it comes from.
    pub remote: Remote,
    /// Which of the configured listeners has accepted it, from 0.
    pub door: usize,
    /// Counts it where it goes.
    pub seat: Seat,
}

/// Counts a connection at a worker for as long as it is kept.
#[derive(Debug)]
pub struct Seat {
    spread: Arc<Spread>,
    at: usize,
}

/// One worker's view.
#[derive(Debug)]
pub struct Desk {
    spread: Arc<Spread>,
    index: usize,
    /// How many connections may still be handed over before the next tick.
    left: Cell<u32>,
}

impl Spread {
    /// Makes places for so many workers, which nobody has taken yet.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { places: (0..workers).map(|_| Place::default()).collect() })
    }
}

impl Desk {
    /// Takes the place of a worker; others hand nothing over to it before [`Desk::open`].
    #[must_use]
    pub fn new(spread: &Arc<Spread>, index: usize) -> Self {
        Self { spread: Arc::clone(spread), index, left: Cell::new(MOST_PER_TICK) }
    }

    /// Begins to take connections from others; `None` where the worker has no place, or does so already.
    #[must_use]
    pub fn open(&self) -> Option<UnboundedReceiver<Handed>> {
        let (sender, handed) = mpsc::unbounded_channel();
        self.spread.places.get(self.index)?.door.set(sender).ok().map(|()| handed)
    }

    /// Allows as many hand-overs as there may be until the next tick.
    pub fn renew(&self) {
        self.left.set(MOST_PER_TICK);
    }

    /// Counts a connection here.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.seat_at(self.index)
    }

    /// Counts a connection that was accepted here at another worker, where it is better off there.
    #[must_use]
    pub fn better_seat(&self) -> Option<Seat> {
        let own = self.spread.places.get(self.index)?.open.load(Ordering::Relaxed);
        if own == 0 || self.left.get() == 0 {
            return None;
        }
        let others = self.spread.places.iter().enumerate().filter(|(at, place)| *at != self.index && place.door.get().is_some());
        let (at, least) = others.map(|(at, place)| (at, place.open.load(Ordering::Relaxed))).min_by_key(|(_, open)| *open)?;
        is_better_off(own, least).then(|| {
            self.left.set(self.left.get() - 1);
            self.seat_at(at)
        })
    }

    fn seat_at(&self, at: usize) -> Seat {
        if let Some(place) = self.spread.places.get(at) {
            place.open.fetch_add(1, Ordering::Relaxed);
        }
        Seat { spread: Arc::clone(&self.spread), at }
    }
}

/// Says whether one more connection is better off where there are `least` than where there are `own`. An eighth is left to chance.
const fn is_better_off(own: usize, least: usize) -> bool {
    own > least + least / 8
}

impl Seat {
    /// Hands a connection over to the worker of this seat.
    ///
    /// # Errors
    ///
    /// Gives it back where that worker takes none any more, because it drains.
    pub fn hand_over(self, socket: Loose, remote: Remote, door: usize) -> Result<(), Loose> {
        let spread = Arc::clone(&self.spread);
        let Some(sender) = spread.places.get(self.at).and_then(|place| place.door.get()) else { return Err(socket) };
        sender.send(Handed { socket, remote, door, seat: self }).map_err(|refused| refused.0.socket)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(place) = self.spread.places.get(self.at) {
            place.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desks(workers: usize) -> (Vec<Desk>, Vec<UnboundedReceiver<Handed>>) {
        let spread = Spread::new(workers);
        let desks: Vec<Desk> = (0..workers).map(|index| Desk::new(&spread, index)).collect();
        let doors = desks.iter().map(|desk| desk.open().unwrap()).collect();
        (desks, doors)
    }

    fn counts(desk: &Desk) -> Vec<usize> {
        desk.spread.places.iter().map(|place| place.open.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn connections_that_one_worker_accepts_are_spread_over_all() {
        let (desks, _doors) = desks(4);
        let seats: Vec<Seat> = (0..8).map(|_| desks[2].better_seat().unwrap_or_else(|| desks[2].seat())).collect();
        assert_eq!(counts(&desks[0]), [2, 2, 2, 2]);
        drop(seats);
        assert_eq!(counts(&desks[0]), [0; 4], "who has ended is not counted");
    }

    #[test]
    fn among_many_an_eighth_is_left_to_chance() {
        for (own, least, better) in
            [(0, 0, false), (1, 0, true), (1, 1, false), (8, 7, true), (9, 8, false), (10, 8, true), (112, 100, false)]
        {
            assert_eq!(is_better_off(own, least), better, "{own} {least}");
        }
    }

    #[test]
    fn between_two_ticks_only_so_many_are_handed_over() {
        let (desks, _doors) = desks(2);
        let _own: Vec<Seat> = (0..200).map(|_| desks[0].seat()).collect();
        let handed = std::iter::from_fn(|| desks[0].better_seat()).collect::<Vec<_>>().len();
        assert_eq!(handed, MOST_PER_TICK as usize);
        desks[0].renew();
        assert!(desks[0].better_seat().is_some());
    }

    #[test]
    fn who_takes_none_gets_none_and_a_connection_is_given_back() {
        let spread = Spread::new(2);
        let (one, other) = (Desk::new(&spread, 0), Desk::new(&spread, 1));
        let _kept = one.seat();
        assert!(one.better_seat().is_none(), "it has not begun");
        let mut door = other.open().unwrap();
        assert!(other.open().is_none(), "it has begun already");
        let seat = one.better_seat().unwrap();
        door.close();
        let (socket, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(seat.hand_over(Loose::Unix(socket), Remote::Unix, 0).is_err());
        assert_eq!(counts(&one), [1, 0]);
        assert!(Desk::new(&spread, 2).open().is_none() && Desk::new(&spread, 2).better_seat().is_none(), "there is no such worker");
    }
}
