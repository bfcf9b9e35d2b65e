//! Slices of start time, with what each gate counts in them, for both arms.
//!
//! A block is one slice in one epoch. It exists from its first request until every gate has taken it in. What a gate asks of
//! it is frozen when it begins, so that it rests on earlier requests alone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::gate::basis::Losses;
use crate::domain::judge::score::{HALF, WHOLE};
use crate::domain::stats::counts::Counts;
use crate::domain::stats::mean::LAMBDAS;
use crate::domain::time::{Timestamp, nanos};

/// The number of a slice of time, and the generation of an epoch.
pub(super) type Key = (u64, u64);

/// What a gate asks of a block, as of its beginning.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    /// Whether the gate leaves the block out.
    pub out: bool,
    /// Whether the block begins while the version warms up.
    pub warm: bool,
    /// For a comparison of latencies: what a canary's request may take, and what a stable one.
    pub limits: [Duration; 2],
    /// The share that may be bad where a breach is to be confirmed; for a mean, how many times the limit is allowed.
    pub null: f64,
    /// The stable version's share of breaches.
    pub rate: f64,
    /// The epoch's weight, where both arms have a share.
    pub weight: Option<f64>,
}

/// What one gate counts of one arm in one block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// The requests that began, but for those that turned out to be none of the gate's.
    pub requests: u64,
    /// Those of them that are resolved.
    pub settled: u64,
    /// What is known to be lost: [`WHOLE`] for a bad request; for a mean the nanoseconds of the resolved.
    pub loss: u64,
    /// How many of them lost [`HALF`].
    pub halves: u64,
    /// How many of those are not resolved and may yet lose all.
    pub pending: u64,
    /// How many of the bad ones were unanswered when they counted.
    pub unanswered: u64,
    /// The sum over requests in flight of the nanoseconds from the block's beginning to theirs.
    pub offsets: u64,
    /// The latest beginning of a request, in nanoseconds from the block's.
    pub latest: u64,
    /// For a mean, of the canary: the sums of ln (1 − λ + λ L/limit) over the resolved.
    pub logs: [f64; LAMBDAS.len()],
}

impl Tally {
    pub const fn begin(&mut self, offset: u64) {
        self.requests += 1;
        self.offsets += offset;
        if offset > self.latest {
            self.latest = offset;
        }
    }

    /// Takes out a request that turned out to be none of the gate's, of which half may have been counted.
    pub const fn exclude(&mut self, offset: u64, halved: bool) {
        self.requests -= 1;
        self.offsets -= offset;
        if halved {
            (self.loss, self.halves, self.pending) = (self.loss - HALF, self.halves - 1, self.pending - 1);
        }
    }

    /// Counts half of a request that is not resolved yet.
    pub const fn halve(&mut self) {
        (self.loss, self.halves, self.pending) = (self.loss + HALF, self.halves + 1, self.pending + 1);
    }

    /// Resolves a request, of which half may have been counted.
    pub const fn settle(&mut self, offset: u64, loss: u64, halved: bool, half: bool, unanswered: bool) {
        self.settled += 1;
        self.offsets -= offset;
        if halved {
            (self.loss, self.halves, self.pending) = (self.loss - HALF, self.halves - 1, self.pending - 1);
        }
        self.loss = self.loss.saturating_add(loss);
        self.halves += half as u64;
        self.unanswered += unanswered as u64;
    }

    pub const fn in_flight(&self) -> u64 {
        self.requests - self.settled
    }

    pub const fn is_settled(&self) -> bool {
        self.requests == self.settled
    }

    pub const fn and(&self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            settled: self.settled + other.settled,
            loss: self.loss.saturating_add(other.loss),
            halves: self.halves + other.halves,
            pending: self.pending + other.pending,
            unanswered: self.unanswered + other.unanswered,
            offsets: self.offsets + other.offsets,
            latest: if other.latest > self.latest { other.latest } else { self.latest },
            logs: [0.0; LAMBDAS.len()],
        }
    }

    /// Returns the requests and the bad ones, halves left out; what is in flight counts as good.
    pub const fn counts(&self) -> Counts {
        Counts::new(self.requests, self.bad())
    }

    /// Returns the requests that lost all.
    pub const fn bad(&self) -> u64 {
        (self.loss - self.halves * HALF) / WHOLE
    }

    /// Returns counts whose share is the mean loss; what is in flight loses what is known.
    pub const fn losses(&self) -> Counts {
        Counts::new(self.requests * WHOLE, self.loss)
    }

    /// Returns the same with what is in flight losing all.
    pub const fn losses_at_most(&self) -> Counts {
        Counts::new(self.requests * WHOLE, self.loss + self.in_flight() * WHOLE - self.pending * HALF)
    }

    pub const fn classes(&self) -> Losses {
        Losses { none: self.requests - self.halves - self.bad(), half: self.halves, whole: self.bad() }
    }

    /// Returns the same with what is in flight losing all.
    pub const fn classes_at_most(&self) -> Losses {
        let Losses { none, half, whole } = self.classes();
        Losses { none: none - (self.in_flight() - self.pending), half: half - self.pending, whole: whole + self.in_flight() }
    }

    /// Returns the mean latency in nanoseconds, what is in flight having taken until `known_until`; 0 without requests.
    pub fn average(&self, start: Timestamp, known_until: Timestamp) -> f64 {
        let since = nanos(known_until.since(start)) as f64;
        let out = (self.in_flight() as f64 * since - self.offsets as f64).max(0.0);
        if self.requests == 0 { 0.0 } else { (self.loss as f64 + out) / self.requests as f64 }
    }
}

/// One gate's part of a block.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub frozen: Frozen,
    pub canary: Tally,
    pub stable: Tally,
    /// For a comparison of latencies: those of the stable version in microseconds, until they are taken in.
    pub latencies: Vec<u32>,
    /// How many latencies are still to come.
    pub awaited: u64,
    /// Whether the baseline has taken in the stable version's requests.
    pub absorbed: bool,
}

impl Cell {
    pub const fn new(frozen: Frozen) -> Self {
        Self { frozen, canary: EMPTY, stable: EMPTY, latencies: Vec::new(), awaited: 0, absorbed: false }
    }
}

const EMPTY: Tally =
    Tally { requests: 0, settled: 0, loss: 0, halves: 0, pending: 0, unanswered: 0, offsets: 0, latest: 0, logs: [0.0; LAMBDAS.len()] };

/// One gate's part of a block, to be looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub key: Key,
    pub start: Timestamp,
    /// Whether all of its requests have begun.
    pub over: bool,
    /// Whether nothing can change in it any more.
    pub last: bool,
    pub cell: &'a Cell,
}

/// The blocks that some gate has not taken in yet.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    length: u64,
    /// Blocks before this are gone.
    from: u64,
    /// One cell per gate.
    open: BTreeMap<Key, Vec<Cell>>,
    newest: Option<Key>,
}

impl Blocks {
    pub fn new(length: Duration) -> Self {
        Self { length: nanos(length).max(1), from: 0, open: BTreeMap::new(), newest: None }
    }

    /// Returns the block of a request, and how long after the block's beginning it began, in nanoseconds.
    pub const fn place(&self, at: Timestamp, generation: u64) -> (Key, u64) {
        let slice = at.as_nanos() / self.length;
        ((slice, generation), at.as_nanos() - slice * self.length)
    }

    pub const fn start(&self, key: Key) -> Timestamp {
        Timestamp::from_nanos(key.0 * self.length)
    }

    /// Returns the largest key so far.
    pub const fn newest(&self) -> Option<Key> {
        self.newest
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Says whether a block can still take in requests, and exists.
    pub fn contains(&self, key: Key) -> Option<bool> {
        (key.0 >= self.from).then(|| self.open.contains_key(&key))
    }

    /// Returns the cells of a block of the same time in another epoch.
    pub fn sibling(&self, key: Key) -> Option<&[Cell]> {
        self.open.range((key.0, 0)..=(key.0, u64::MAX)).next().map(|(_, cells)| cells.as_slice())
    }

    pub fn insert(&mut self, key: Key, cells: Vec<Cell>) {
        self.newest = self.newest.max(Some(key));
        self.open.insert(key, cells);
    }

    pub fn get(&self, key: Key, gate: usize) -> Option<&Cell> {
        self.open.get(&key)?.get(gate)
    }

    pub fn get_mut(&mut self, key: Key, gate: usize) -> Option<&mut Cell> {
        self.open.get_mut(&key)?.get_mut(gate)
    }

    /// Returns a block's part of each gate, in the order of the gates.
    pub fn cells_mut(&mut self, key: Key) -> Option<&mut [Cell]> {
        self.open.get_mut(&key).map(Vec::as_mut_slice)
    }

    /// Iterates over one gate's part of the blocks that are over.
    pub fn over(&mut self, gate: usize, known_until: Timestamp) -> impl Iterator<Item = (Key, &mut Cell)> {
        let now = known_until.as_nanos() / self.length;
        self.open.range_mut(..(now, 0)).filter_map(move |(key, cells)| Some((*key, cells.get_mut(gate)?)))
    }

    /// Collects one gate's part of the blocks from a slice of time on.
    pub fn views(&self, gate: usize, from: u64, known_until: Timestamp) -> Vec<View<'_>> {
        let now = known_until.as_nanos() / self.length;
        self.open
            .range((from, 0)..)
            .filter_map(|(key, cells)| {
                let cell = cells.get(gate)?;
                let over = key.0 < now;
                let last = over && cell.canary.is_settled() && cell.stable.is_settled();
                Some(View { key: *key, start: self.start(*key), over, last, cell })
            })
            .collect()
    }

    /// Forgets the blocks before a slice of time, which every gate has taken in.
    pub fn forget_before(&mut self, from: u64) {
        if from > self.from {
            self.from = from;
            self.open = self.open.split_off(&(from, 0));
        }
    }
}
