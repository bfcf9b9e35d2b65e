//! The tripwire cell: start numbers, breach counts and the flag that takes the canary's share back.
//!
//! Each canary request takes a start number. A breach does `last.fetch_max(number)`, then `breaches.fetch_add(1)`, then one
//! compare with the table n_max, in that order: whoever counts the k-th breach then sees a `last` that covers all k of them.
//! Whoever crosses the table sets `tripped` with one store; every worker reads it at its next pick. Each wire counts twice:
//! since the trial began and since the step began, each against a table of its own. They share `last`: a step has no breach
//! that the trial lacks, and a `last` that is too high says too little, never too much. This file knows nothing but its
//! atomics, so that `tests/loom` can check it under every interleaving.

use super::sync::{Arc, AtomicU32, AtomicU64, Ordering};

/// The tables n_max of one wire: entry k−1 is the largest request number at which the k-th breach suffices.
///
/// An empty table never trips. At most 65 535 entries are used; beyond them the controller evaluates the formula.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// For the breaches since the trial began.
    pub cumulative: Box<[u64]>,
    /// For the breaches since the step began.
    pub step: Box<[u64]>,
}

impl Tables {
    /// Makes the tables of a wire that is judged by the whole trial alone.
    #[must_use]
    pub fn without_step(cumulative: Box<[u64]>) -> Self {
        Self { cumulative, step: Box::default() }
    }
}

/// Which count of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The breaches since the trial began.
    Cumulative,
    /// The breaches since the step began.
    Step,
}

/// What tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// The index of the wire.
    pub wire: usize,
    /// Which of its counts.
    pub test: Test,
    /// Breaches at the trip, k.
    pub breaches: u64,
    /// How many requests had started since that count began, up to the newest of these breaches, n. Stops at 2^42 − 1.
    pub requests: u64,
}

/// One count of one wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many requests had started since it began, up to the newest breach of the wire; 0 without a breach.
    pub requests: u64,
    /// The breaches counted.
    pub breaches: u64,
    /// How many of them had not been answered, or for a limit on the duration not ended, when they counted.
    pub unanswered: u64,
}

/// Both counts of one wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Since the trial began.
    pub cumulative: Count,
    /// Since the step began.
    pub step: Count,
}

/// The most wires of a trial: each has a bit in the [`Claims`] of a request.
pub const MOST_WIRES: usize = 32;

/// The most clients that a trial can ask for.
pub const MOST_CLIENTS: u8 = 8;

const WIRE_BITS: u32 = 5;
const TEST_BITS: u32 = 1;
const BREACH_BITS: u32 = 16;
const BREACH_SHIFT: u32 = WIRE_BITS + TEST_BITS;
const REQUEST_SHIFT: u32 = BREACH_SHIFT + BREACH_BITS;
const MOST_ENTRIES: usize = (1 << BREACH_BITS) - 1;
const MOST_REQUESTS: u64 = (1 << (u64::BITS - REQUEST_SHIFT)) - 1;

impl Trip {
    /// Packs it into a word that is never zero, because it has at least one breach.
    fn pack(self) -> u64 {
        let test = u64::from(self.test == Test::Step);
        (self.requests.min(MOST_REQUESTS) << REQUEST_SHIFT) | (self.breaches << BREACH_SHIFT) | (test << WIRE_BITS) | self.wire as u64
    }

    fn unpack(word: u64) -> Option<Self> {
        let wire = usize::try_from(word & ((1 << WIRE_BITS) - 1)).ok()?;
        let test = if word >> WIRE_BITS & 1 == 0 { Test::Cumulative } else { Test::Step };
        let breaches = word >> BREACH_SHIFT & MOST_ENTRIES as u64;
        (breaches > 0).then_some(Self { wire, test, breaches, requests: word >> REQUEST_SHIFT })
    }
}

/// One count against one table.
#[derive(Debug)]
struct Counter {
    n_max: Box<[u64]>,
    /// The start number from which it counts.
    first: u64,
    /// How many requests breached; written by whoever breaches, after `last`.
    breaches: AtomicU64,
    /// How many of them were unanswered when they counted; for the report only.
    unanswered: AtomicU64,
    /// As many clients of breaches as must be there, 0 where none is yet, filled from the front by whoever breaches, before
    /// `breaches`. Empty when one client is enough.
    clients: Box<[AtomicU64]>,
}

impl Counter {
    fn new(n_max: Box<[u64]>, first: u64, min_clients: u8) -> Self {
        let n_max = if n_max.len() > MOST_ENTRIES { n_max.into_iter().take(MOST_ENTRIES).collect() } else { n_max };
        let clients = if min_clients > 1 { min_clients.min(MOST_CLIENTS) } else { 0 };
        Self {
            n_max,
            first,
            breaches: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            clients: (0..clients).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts a breach whose number `last` covers already, and returns the requests and breaches when they suffice.
    fn breach(&self, last: &AtomicU64, seq: u64, client: u64, unanswered: bool) -> Option<(u64, u64)> {
        if seq < self.first {
            return None;
        }
        self.note(client);
        if unanswered {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        let breaches = self.breaches.fetch_add(1, Ordering::AcqRel) + 1;
        let requests = last.load(Ordering::Acquire) - (self.first - 1);
        let n_max = self.n_max.get(usize::try_from(breaches - 1).ok()?)?;
        (requests <= *n_max && self.has_clients()).then_some((requests, breaches))
    }

    /// Notes whose request breached, unless as many clients as must be there are known already.
    fn note(&self, client: u64) {
        // Requests of which nobody knows whose they are count as those of one client.
        let client = if client == 0 { u64::MAX } else { client };
        for slot in &self.clients {
            let mut known = slot.load(Ordering::Acquire);
            if known == 0 {
                match slot.compare_exchange(0, client, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return,
                    Err(other) => known = other,
                }
            }
            if known == client {
                return;
            }
        }
    }

    fn has_clients(&self) -> bool {
        self.clients.last().is_none_or(|slot| slot.load(Ordering::Acquire) != 0)
    }

    fn count(&self, last: &AtomicU64) -> Count {
        // Breaches first: `last` then covers at least those counted.
        let breaches = self.breaches.load(Ordering::Acquire);
        let requests = if breaches == 0 { 0 } else { last.load(Ordering::Acquire) - (self.first - 1) };
        Count { requests, breaches, unanswered: self.unanswered.load(Ordering::Relaxed) }
    }
}

/// One gate's wire.
#[derive(Debug)]
struct Wire {
    /// The highest start number among breaches counted since the trial began; written by whoever breaches, before it counts.
    last: AtomicU64,
    cumulative: Counter,
}

/// What the steps of one trial share.
#[derive(Debug)]
struct Brake {
    wires: Box<[Wire]>,
    min_clients: u8,
    /// Zero while armed; else the packed [`Trip`]. Written once, by whoever crosses a table.
    tripped: AtomicU64,
}

/// A count on cache lines of its own, so that whoever writes it takes nothing else from the other cores.
#[derive(Debug)]
#[repr(align(128))]
struct Apart(AtomicU64);

/// One step of a trial of a canary, shared by all workers and by all epochs of that step.
///
/// The start numbers go on for the whole rollout. A breach is counted by the step in which its request began.
#[derive(Debug)]
pub struct Trial {
    /// The last start number taken in the rollout; written by every canary request.
    started: Arc<Apart>,
    brake: Arc<Brake>,
    /// The start number from which the step counts.
    first: u64,
    steps: Box<[Counter]>,
}

impl Trial {
    /// Arms the trial of a new rollout, with start numbers from 1: one wire for each pair of tables, at most [`MOST_WIRES`].
    ///
    /// A count trips only when its breaches come from at least `min_clients` clients, 1 to [`MOST_CLIENTS`]; what is outside
    /// counts as the nearest.
    #[must_use]
    pub fn new(wires: Vec<Tables>, min_clients: u8) -> Self {
        Self::arm(Arc::new(Apart(AtomicU64::new(0))), wires, min_clients)
    }

    fn arm(started: Arc<Apart>, wires: Vec<Tables>, min_clients: u8) -> Self {
        let first = started.0.load(Ordering::Relaxed) + 1;
        let counter = |n_max| Counter::new(n_max, first, min_clients);
        let wire = |n_max| Wire { last: AtomicU64::new(0), cumulative: counter(n_max) };
        let wires = wires.into_iter().take(MOST_WIRES).map(|tables| (wire(tables.cumulative), counter(tables.step)));
        let (wires, steps): (Vec<_>, Vec<_>) = wires.unzip();
        let brake = Brake { wires: wires.into(), min_clients, tripped: AtomicU64::new(0) };
        Self { started, brake: Arc::new(brake), first, steps: steps.into() }
    }

    /// Goes on with the next step: the same start numbers, cumulative counts and flag, and step counts that begin with the
    /// next request. A wire without a table has no step test.
    #[must_use]
    pub fn next_step(&self, step_tables: Vec<Box<[u64]>>) -> Self {
        let first = self.started() + 1;
        let mut tables = step_tables.into_iter();
        let counter = |_| Counter::new(tables.next().unwrap_or_default(), first, self.brake.min_clients);
        let steps = self.brake.wires.iter().map(counter).collect();
        Self { started: Arc::clone(&self.started), brake: Arc::clone(&self.brake), first, steps }
    }

    /// Begins a new trial of the same rollout that shares nothing but the start numbers: after a resume, after the warm-up,
    /// and without wires for probes.
    #[must_use]
    pub fn fresh(&self, wires: Vec<Tables>, min_clients: u8) -> Self {
        Self::arm(Arc::clone(&self.started), wires, min_clients)
    }

    /// Takes the start number of a canary request, from 1.
    pub fn begin(&self) -> u64 {
        self.started.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the last start number taken.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started.0.load(Ordering::Relaxed)
    }

    /// Returns the start number from which the step counts.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Says whether the canary must get nothing any more.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.brake.tripped.load(Ordering::Acquire) != 0
    }

    /// Returns what tripped, `None` while armed.
    #[must_use]
    pub fn trip(&self) -> Option<Trip> {
        Trip::unpack(self.brake.tripped.load(Ordering::Acquire))
    }

    /// Counts a breach of one wire by the request with start number `seq`; says whether this breach tripped the trial.
    ///
    /// `client` stands for whoever sent the request, 0 when that is unknown. The caller has claimed the breach with
    /// [`Claims::claim`], so that no request counts twice. A count that begins after the request leaves it out.
    pub fn breach(&self, wire: usize, seq: u64, client: u64, unanswered: bool) -> bool {
        let (Some(cell), Some(step)) = (self.brake.wires.get(wire), self.steps.get(wire)) else { return false };
        // A step begins no earlier than its trial.
        if seq < cell.cumulative.first {
            return false;
        }
        cell.last.fetch_max(seq, Ordering::AcqRel);
        let mut tripped = false;
        for (test, counter) in [(Test::Cumulative, &cell.cumulative), (Test::Step, step)] {
            if let Some((requests, breaches)) = counter.breach(&cell.last, seq, client, unanswered) {
                let word = Trip { wire, test, breaches, requests }.pack();
                tripped |= self.brake.tripped.compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            }
        }
        tripped
    }

    /// Returns the counts of every wire, for the judge and for reports.
    #[must_use]
    pub fn counts(&self) -> Vec<WireCounts> {
        let both = self.brake.wires.iter().zip(&self.steps);
        both.map(|(wire, step)| WireCounts { cumulative: wire.cumulative.count(&wire.last), step: step.count(&wire.last) }).collect()
    }
}

/// Which wires have had their say on one request: its deadline or its end, whichever comes first.
#[derive(Debug, Default)]
pub struct Claims {
    /// One bit per wire; written by the deadline queue and by the end of the request.
    settled: AtomicU32,
}

impl Claims {
    /// Makes claims on nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { settled: AtomicU32::new(0) }
    }

    /// Settles one wire for this request; says whether the caller is the first to do so. Wires from 32 on are never claimed.
    pub fn claim(&self, wire: usize) -> bool {
        let Some(bit) = u32::try_from(wire).ok().and_then(|w| 1_u32.checked_shl(w)) else { return false };
        self.settled.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Says whether a wire is settled; wires from 32 on always are.
    #[must_use]
    pub fn is_settled(&self, wire: usize) -> bool {
        let bit = u32::try_from(wire).ok().and_then(|w| 1_u32.checked_shl(w));
        bit.is_none_or(|bit| self.settled.load(Ordering::Acquire) & bit != 0)
    }
}

#[cfg(test)]
#[path = "tripwire_tests.rs"]
mod tests;
