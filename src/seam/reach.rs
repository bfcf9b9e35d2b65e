//! One version's endpoints as all workers see them: the list, what is left out for its failures, and the count of what was done
//! about them.
//!
//! An endpoint that fails several times in a row is left out for a while and then probed by one request; at most half of a
//! version's endpoints are. One that would be left out beyond that stays in, but is no longer called usable. A version of
//! which no endpoint is usable has failed: as a canary it gets nothing but such probes. What is stable is tried all the same,
//! because its requests have nowhere else to go, and a wrong verdict of ours must not take down what works.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::domain::endpoint::Endpoint;
use crate::domain::outlier;
use crate::domain::standing::Standing;
use crate::domain::time::{Timestamp, nanos};
use crate::seam::valve::Valve;

/// A moment that stands for "not left out" and for "open".
const IN: u64 = 0;
/// How much one failure to answer at all adds to a streak, and one answer of 5xx.
const FAILURE: u64 = 1 << 32;
const ERROR: u64 = 1;

/// One endpoint, shared by all workers.
#[derive(Debug)]
pub struct Place {
    target: Endpoint,
    /// Failures to answer in a row (upper half) and answers of 5xx in a row (lower half); written by workers. Two that write at
    /// once may lose a count, which only makes an ejection come later.
    streak: AtomicU64,
    /// From when it may be probed, in nanoseconds of the process's clock; [`IN`] while nothing is held against it. Written
    /// under [`Reach::change`], and by the worker that takes the probe.
    probe_from: AtomicU64,
    /// Whether a probe is on its way; written by the worker that takes it and by whoever hears of its end.
    probing: AtomicBool,
    /// Failed, but stays in because half of the endpoints are left out already; written under [`Reach::change`].
    kept: AtomicBool,
    /// Ejections in a row; written under [`Reach::change`].
    times: AtomicU32,
    /// When the last ejection ended, in nanoseconds; written under [`Reach::change`].
    returned: AtomicU64,
    /// Whether it passes its health check; written by the thread that checks.
    ready: AtomicBool,
}

impl Place {
    fn new(target: Endpoint, ready: bool) -> Self {
        Self {
            target,
            streak: AtomicU64::new(0),
            probe_from: AtomicU64::new(IN),
            probing: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            times: AtomicU32::new(0),
            returned: AtomicU64::new(0),
            ready: AtomicBool::new(ready),
        }
    }

    /// Returns where it is; never a name.
    #[must_use]
    pub const fn target(&self) -> &Endpoint {
        &self.target
    }

    /// Says whether a request may go there: it is ready, and it is not left out.
    #[must_use]
    pub fn is_in(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && (self.probe_from.load(Ordering::Relaxed) == IN || self.kept.load(Ordering::Relaxed))
    }

    /// Says whether nothing at all is held against it: two loads, so that a request that goes well writes nothing.
    #[must_use]
    pub fn is_spotless(&self) -> bool {
        self.streak.load(Ordering::Relaxed) == 0 && self.probe_from.load(Ordering::Relaxed) == IN
    }

    /// Says whether it passes its health check, if it has one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Says whether a further failure, the `count`-th in a row, makes it worse: enough of them while nothing is held against it,
    /// and otherwise only one after its term. What was on its way before it was left out does not count again.
    fn worsens(&self, count: u64, now: Timestamp) -> bool {
        match self.probe_from.load(Ordering::Relaxed) {
            IN => count >= u64::from(outlier::FAILURES),
            from if self.kept.load(Ordering::Relaxed) => from <= now.as_nanos(),
            _ => self.probing.swap(false, Ordering::AcqRel),
        }
    }

    /// Says whether it counts as one that can be reached: ready, and nothing is held against it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.is_ready() && self.probe_from.load(Ordering::Relaxed) == IN
    }

    fn is_out(&self) -> bool {
        self.probe_from.load(Ordering::Relaxed) != IN && !self.kept.load(Ordering::Relaxed)
    }

    /// Takes the turn of probing an endpoint that is left out, when it is due; one request gets it per ejection.
    #[must_use]
    pub fn take_probe(&self, now: Timestamp) -> bool {
        let from = self.probe_from.load(Ordering::Acquire);
        let next = (now + outlier::FIRST_TERM).as_nanos();
        let due = from != IN && !self.kept.load(Ordering::Relaxed) && self.is_ready() && from <= now.as_nanos();
        let taken = due && self.probe_from.compare_exchange(from, next, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if taken {
            self.probing.store(true, Ordering::Release);
        }
        taken
    }
}

/// The endpoints of a version at one moment.
#[derive(Debug, Default)]
pub struct List {
    /// Each place once, in the order of the configuration and of the answers for names.
    pub places: Vec<Arc<Place>>,
}

/// Why a request was tried a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer began.
    Reset,
    /// A pooled connection had ended when the request was sent.
    Stale,
}

impl Again {
    /// Every reason, in the order of its index.
    pub const ALL: [Self; 3] = [Self::Connect, Self::Reset, Self::Stale];

    /// Returns the label used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Stale => "stale",
        }
    }
}

/// What was done about a version's endpoints since it came into use. Written by workers, none of it on the way of a request
/// that goes well; read when it is shown.
#[derive(Debug, Default)]
pub struct Deeds {
    /// Second tries by [`Again`].
    pub retries: [AtomicU64; Again::ALL.len()],
    /// Second tries that the budget did not allow.
    pub unaffordable: AtomicU64,
    /// Requests given to stable after the version had failed them.
    pub rescues: AtomicU64,
    /// Requests drawn for the version that went to stable because it had no usable endpoint.
    pub vetoes: AtomicU64,
    /// Requests turned away because the version held as many as it may.
    pub limited: AtomicU64,
    /// Requests refused because the version had got everything back and held as much as it could take.
    pub shed: AtomicU64,
    /// Ejections.
    pub ejections: AtomicU64,
}

/// One version's endpoints.
#[derive(Debug)]
pub struct Reach {
    list: Arc<ArcSwap<List>>,
    /// From when a request may be given to the version, in nanoseconds: [`IN`] while an endpoint is usable, the time of the next
    /// probe when all have failed, the end of time without any. Written under `change` and by whoever takes that probe.
    open_from: AtomicU64,
    /// The earliest probe that comes due of an endpoint that is left out, in nanoseconds; written under `change`.
    next_probe: AtomicU64,
    /// How often who is in may have changed, from 1; written under `change`, after the change.
    changes: AtomicU64,
    /// The index of the [`Standing`]; written under `change`.
    standing: AtomicU8,
    /// Whether an endpoint is unready until it has passed a check.
    checked: bool,
    /// Guards every change of who is in and who is out, so that the half that may be left out is exact. Taken only when
    /// something fails, returns, or moves.
    change: Mutex<()>,
    /// What bounds the version over all workers for a while; written by the controller.
    valve: ArcSwapOption<Valve>,
    /// What was done.
    pub deeds: Deeds,
}

impl Reach {
    /// Begins without endpoints; with `checked` each is unready until it has passed a check.
    #[must_use]
    pub fn new(checked: bool) -> Self {
        Self {
            list: Arc::default(),
            open_from: AtomicU64::new(u64::MAX),
            next_probe: AtomicU64::new(u64::MAX),
            changes: AtomicU64::new(1),
            standing: AtomicU8::new(Standing::Absent.index()),
            checked,
            change: Mutex::new(()),
            valve: ArcSwapOption::empty(),
            deeds: Deeds::default(),
        }
    }

    /// Returns the list, for a pool to cache.
    #[must_use]
    pub const fn list(&self) -> &Arc<ArcSwap<List>> {
        &self.list
    }

    /// Bounds what the version may hold over all workers, or no longer. A worker follows with its next round, or at once where its
    /// routing changes.
    pub fn narrow(&self, valve: Option<Arc<Valve>>) {
        self.valve.store(valve);
    }

    /// Returns what bounds the version over all workers, if something does.
    #[must_use]
    pub fn valve(&self) -> Option<Arc<Valve>> {
        self.valve.load_full()
    }

    /// Returns how many endpoints are usable.
    #[must_use]
    pub fn usable(&self) -> u32 {
        u32::try_from(self.list.load().places.iter().filter(|place| place.is_usable()).count()).unwrap_or(u32::MAX)
    }

    /// Returns whether the version can be reached.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::at(self.standing.load(Ordering::Acquire))
    }

    /// Says whether a canary may have a request now: one load while it has a usable endpoint. When all have failed one request
    /// may probe from time to time.
    #[must_use]
    pub fn admits(&self, now: Timestamp) -> bool {
        let from = self.open_from.load(Ordering::Acquire);
        if from == IN {
            return true;
        }
        let next = (now + outlier::FIRST_TERM).as_nanos();
        from <= now.as_nanos() && self.open_from.compare_exchange(from, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Says whether an endpoint that is left out may be due for a probe: one load.
    #[must_use]
    pub fn owes_probe(&self, now: Timestamp) -> bool {
        self.next_probe.load(Ordering::Relaxed) <= now.as_nanos()
    }

    /// Notes that a probe was taken: until its term is over, requests need not look for it again.
    pub fn probed(&self) {
        let _changing = self.changing();
        self.next_probe.store(next_probe(&self.list.load()), Ordering::Relaxed);
    }

    /// Returns how often who is in may have changed: one load. Whoever reads it first and then who is in misses nothing.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Replaces the places; what is known of one that stays goes on.
    pub fn replace(&self, targets: Vec<Endpoint>) {
        let changing = self.changing();
        let before = self.list.load_full();
        let same =
            before.places.len() == targets.len() && before.places.iter().zip(&targets).all(|(place, target)| place.target == *target);
        if !same {
            let known: HashMap<&Endpoint, &Arc<Place>> = before.places.iter().map(|place| (&place.target, place)).collect();
            let new = |target| Arc::new(Place::new(target, !self.checked));
            let places =
                targets.into_iter().map(|target| known.get(&target).map_or_else(|| new(target.clone()), |place| Arc::clone(place)));
            self.list.store(Arc::new(List { places: places.collect() }));
        }
        self.settle(&changing);
    }

    /// Notes that an endpoint answered well: it is in again.
    pub fn answered(&self, place: &Place, now: Timestamp) {
        if place.streak.load(Ordering::Relaxed) != 0 {
            place.streak.store(0, Ordering::Relaxed);
        }
        if place.probe_from.load(Ordering::Relaxed) != IN {
            let changing = self.changing();
            place.probe_from.store(IN, Ordering::Release);
            place.kept.store(false, Ordering::Relaxed);
            place.returned.store(now.as_nanos(), Ordering::Relaxed);
            self.settle(&changing);
        }
    }

    /// Notes that an endpoint answered with 5xx. Many of those in a row make it an outlier while it may be left out, but never
    /// a version that has failed: whether its answers are good is for the gates to say.
    pub fn erred(&self, place: &Place, now: Timestamp) {
        let errors = (place.streak.load(Ordering::Relaxed) % FAILURE).saturating_add(ERROR).min(FAILURE - 1);
        place.streak.store(errors, Ordering::Relaxed);
        if place.kept.load(Ordering::Relaxed) {
            // It answers, so there is no reason to call it unusable.
            self.answered(place, now);
        } else if place.worsens(errors, now) {
            self.eject(place, now, false);
        }
    }

    /// Notes that an endpoint refused, reset or did not answer in time.
    pub fn failed(&self, place: &Place, now: Timestamp) {
        let failures = place.streak.fetch_add(FAILURE, Ordering::Relaxed) / FAILURE + 1;
        if place.worsens(failures, now) {
            self.eject(place, now, true);
        }
    }

    /// Notes the result of an endpoint's health checks.
    pub fn check(&self, place: &Place, ready: bool) {
        if place.ready.swap(ready, Ordering::AcqRel) != ready {
            let changing = self.changing();
            self.settle(&changing);
        }
    }

    /// Leaves an endpoint out, or calls it unusable where no more may be left out and it `is_dead`.
    fn eject(&self, place: &Place, now: Timestamp, is_dead: bool) {
        let changing = self.changing();
        let list = self.list.load();
        let others_out = list.places.iter().filter(|other| other.is_out() && !std::ptr::eq(other.as_ref(), place)).count();
        let leaves = outlier::may_leave(others_out, list.places.len());
        place.streak.store(0, Ordering::Relaxed);
        if !leaves && !is_dead {
            return;
        }
        if place.probe_from.load(Ordering::Relaxed) == IN
            && now.as_nanos().saturating_sub(place.returned.load(Ordering::Relaxed)) > nanos(outlier::LONGEST_TERM)
        {
            place.times.store(0, Ordering::Relaxed);
        }
        let times = place.times.load(Ordering::Relaxed).saturating_add(1);
        place.times.store(times, Ordering::Relaxed);
        place.kept.store(!leaves, Ordering::Relaxed);
        place.probe_from.store((now + outlier::term(times)).as_nanos().max(1), Ordering::Release);
        if leaves {
            self.deeds.ejections.fetch_add(1, Ordering::Relaxed);
        }
        self.settle(&changing);
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works out what follows from who is in and who is out.
    fn settle(&self, _changing: &MutexGuard<'_, ()>) {
        let list = self.list.load();
        let ready = || list.places.iter().filter(|place| place.is_ready());
        let probes = |place: &Arc<Place>| place.probe_from.load(Ordering::Relaxed);
        let (standing, open_from) = if list.places.is_empty() {
            (Standing::Absent, u64::MAX)
        } else if ready().any(|place| place.is_usable()) {
            (Standing::Usable, IN)
        } else if let Some(first) = ready().map(probes).min() {
            (Standing::Failed, first)
        } else {
            (Standing::Unready, u64::MAX)
        };
        self.next_probe.store(next_probe(&list), Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Release);
        self.standing.store(standing.index(), Ordering::Release);
        self.open_from.store(open_from, Ordering::Release);
    }
}

/// Returns when the first probe comes due of an endpoint that is left out, in nanoseconds.
fn next_probe(list: &List) -> u64 {
    let left_out = list.places.iter().filter(|place| place.is_ready() && place.is_out());
    left_out.map(|place| place.probe_from.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
