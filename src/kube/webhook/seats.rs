//! The seats of connections: a bounded number, and who gives one up when somebody else comes.
//!
//! Whoever reaches the port may open connections and keep them. So the address with the most of them gives one up first, the one that has
//! lain idle longest; where several addresses have as many, it is the one idle longest of them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::kube::webhook::pace::Pace;

/// How often it is looked again for somebody who could give a seat up.
const GLANCE: Duration = Duration::from_millis(200);

/// All seats.
#[derive(Debug)]
pub struct Seats {
    free: Arc<Semaphore>,
    /// From how many connections of one address on those with requests at hand give up a seat too.
    crowd: usize,
    /// Who sits. Written where one sits down, is asked to leave, or stands up.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    last: u64,
    guests: HashMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    from: IpAddr,
    pace: Arc<Pace>,
    leave: Arc<Notify>,
    is_leaving: bool,
}

/// A seat that is taken; it is free again once this is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    number: u64,
    pace: Arc<Pace>,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// Makes so many, all free.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(most)), crowd: most / 4, taken: Mutex::default() })
    }

    /// Takes a seat for a connection from an address; where there is none, somebody is asked to leave.
    pub async fn take(self: &Arc<Self>, from: IpAddr) -> Seat {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return self.sit(permit, from);
            }
            self.make_room();
            if let Ok(Ok(permit)) = timeout(GLANCE, Arc::clone(&self.free).acquire_owned()).await {
                return self.sit(permit, from);
            }
        }
    }

    fn sit(self: &Arc<Self>, permit: OwnedSemaphorePermit, from: IpAddr) -> Seat {
        let (pace, leave) = (Arc::new(Pace::new(Instant::now())), Arc::new(Notify::new()));
        let mut taken = self.taken();
        taken.last += 1;
        let number = taken.last;
        taken.guests.insert(number, Guest { from, pace: Arc::clone(&pace), leave: Arc::clone(&leave), is_leaving: false });
        drop(taken);
        Seat { seats: Arc::clone(self), number, pace, leave, _permit: permit }
    }

    /// Asks somebody to leave, unless somebody is about to.
    fn make_room(&self) {
        let mut taken = self.taken();
        if taken.guests.values().any(|guest| guest.is_leaving) {
            return;
        }
        let sitting = taken.guests.iter().map(|(number, guest)| Sitting {
            number: *number,
            from: guest.from,
            idle_since: guest.pace.idle_since(),
            begun: guest.pace.begun(),
        });
        let leaving = leaving(&sitting.collect::<Vec<_>>(), self.crowd);
        if let Some(guest) = leaving.and_then(|number| taken.guests.get_mut(&number)) {
            guest.is_leaving = true;
            guest.leave.notify_one();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Returns how the connection is used.
    #[must_use]
    pub fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// Waits until somebody else needs the seat.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().guests.remove(&self.number);
    }
}

/// Who sits, for choosing who leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sitting {
    /// Which one it is.
    pub(super) number: u64,
    /// Where it came from.
    pub(super) from: IpAddr,
    /// Since when it lies idle.
    pub(super) idle_since: Option<Instant>,
    /// Since when it sits.
    pub(super) begun: Instant,
}

/// Chooses who gives up a seat: of the address with the most, the one idle longest; where none of them is and they are more than `crowd`, the
/// one there longest; else whoever has lain idle longest.
pub(super) fn leaving(sitting: &[Sitting], crowd: usize) -> Option<u64> {
    let mut of_address = HashMap::<IpAddr, usize>::new();
    for one in sitting {
        *of_address.entry(one.from).or_default() += 1;
    }
    let most = of_address.values().copied().max()?;
    let idlest = |of: &dyn Fn(&&Sitting) -> bool| {
        let idle = sitting.iter().filter(of).filter_map(|one| Some((one.idle_since?, one.number)));
        idle.min().map(|(_, number)| number)
    };
    let has_most = |one: &&Sitting| of_address.get(&one.from) == Some(&most);
    let oldest = || sitting.iter().filter(has_most).map(|one| (one.begun, one.number)).min().map(|(_, number)| number);
    idlest(&has_most).or_else(|| if most > crowd { oldest() } else { idlest(&|_| true) })
}
