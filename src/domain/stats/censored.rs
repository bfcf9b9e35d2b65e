//! The breach test over requests whose outcomes become known in any order, folded in by the order in which they started.
//!
//! What is in flight counts as good, and the evidence is the largest over the prefixes of requests in start order; then
//! P(ever E ≥ 1/α) ≤ α for any delays, even ones that depend on the outcome (Theorem 1 of the project's statistics). Only prefixes
//! that end in a known breach need be looked at. The resolved prefix serves the pass test and is forgotten.
//!
//! A breach raises the count of every prefix from its own number on, so many may have to be looked at again. A tree of counts finds
//! the best of them: a stretch of requests with c breaches, the earliest of which could be its first c requests, has no better
//! prefix than that; stretches whose bound does not exceed the best so far are left out. That leaves one or two evaluations for
//! each breach when breaches become known in start order or fast, and some tens when half of thousands in flight fail in any order; the
//! memory is that of the requests since the oldest unresolved one.

use serde::{Deserialize, Serialize};

use crate::domain::stats::counts::Counts;
use crate::domain::stats::exceedance::{BetaMixture, log_e_pass};
use crate::domain::stats::parameter::ParameterError;

/// More requests than this cannot be unresolved at once; a larger number is a broken report.
const SANE: u64 = 1 << 24;

/// The shortest stretch of requests that is kept.
const SHORTEST: usize = 64;

/// What is known of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slot {
    #[default]
    Open,
    Good,
    Breach,
    Excluded,
}

/// The breach test of one share over requests in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct CensoredExceedance {
    test: BetaMixture,
    started: u64,
    /// The resolved prefix, the excluded among its requests included.
    prefix: Counts,
    /// How many of the resolved prefix are excluded.
    excluded: u64,
    /// The highest number of a known breach, and how many breaches are known.
    tip: Counts,
    best: f64,
    /// Requests up to `base`, with `base_breaches` among them, are forgotten; slot i is request `base` + 1 + i.
    base: u64,
    base_breaches: u64,
    /// As many as a power of two.
    slots: Vec<Slot>,
    /// A heap of the number of breaches among the slots: the root is node 1, the children of i are 2 i and 2 i + 1.
    tree: Vec<u32>,
}

impl CensoredExceedance {
    /// Starts without requests and without evidence against "at most `p0` of them are bad".
    ///
    /// # Errors
    ///
    /// Refuses a `p0` that is not strictly between 0 and 1.
    pub fn new(p0: f64) -> Result<Self, ParameterError> {
        Ok(Self::with(BetaMixture::new(p0)?))
    }

    /// Starts without requests for a test that was made before, such as one with another prior.
    #[must_use]
    pub fn with(test: BetaMixture) -> Self {
        Self {
            test,
            started: 0,
            prefix: Counts::default(),
            excluded: 0,
            tip: Counts::default(),
            best: 0.0,
            base: 0,
            base_breaches: 0,
            slots: vec![Slot::Open; SHORTEST],
            tree: vec![0; 2 * SHORTEST],
        }
    }

    /// Notes that a request began and returns its number, counted from 1.
    pub const fn start(&mut self) -> u64 {
        self.started += 1;
        self.started
    }

    /// Notes that a request ended well. The first report of a request stands; false for any other, and for numbers that cannot be.
    pub fn good(&mut self, seq: u64) -> bool {
        self.resolve(seq, Slot::Good)
    }

    /// Notes that nothing can be said of a request, such as one whose client left: good for this test, left out of the pass test.
    ///
    /// Returns as [`CensoredExceedance::good`].
    pub fn exclude(&mut self, seq: u64) -> bool {
        self.resolve(seq, Slot::Excluded)
    }

    /// Notes that a request is known to be a breach, be it over its limit and unanswered; returns ln E, the largest so far.
    ///
    /// A breach of a request that was reported before changes nothing.
    pub fn breach(&mut self, seq: u64) -> f64 {
        let test = self.test;
        self.breach_by(seq, &mut |n, k| test.log_e(n, k))
    }

    /// Returns ln E: the largest over prefixes and time, which Ville's inequality bounds.
    #[must_use]
    pub const fn log_e(&self) -> f64 {
        self.best
    }

    /// Returns the number of requests started.
    #[must_use]
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// Returns the highest number of a known breach as the requests, and how many breaches are known.
    #[must_use]
    pub const fn tip(&self) -> Counts {
        self.tip
    }

    /// Returns the counts of the longest prefix in which every request is resolved, without the excluded ones.
    #[must_use]
    pub const fn resolved(&self) -> Counts {
        Counts::new(self.prefix.requests.saturating_sub(self.excluded), self.prefix.breaches)
    }

    /// Returns ln E of the pass test of the resolved prefix: evidence that fewer than `p1` of the requests are bad.
    #[must_use]
    pub fn log_e_pass(&self, p1: f64) -> f64 {
        let Counts { requests, breaches } = self.resolved();
        log_e_pass(requests, breaches, p1)
    }

    /// Returns for how many requests memory is held, at least those between the oldest unresolved and the newest reported one.
    #[must_use]
    pub const fn remembered(&self) -> usize {
        self.slots.len()
    }

    fn breach_by<F: FnMut(u64, u64) -> f64>(&mut self, seq: u64, evidence: &mut F) -> f64 {
        if self.resolve(seq, Slot::Breach) {
            self.tip = Counts::new(self.tip.requests.max(seq), self.tip.breaches.saturating_add(1));
            let from = seq.saturating_sub(self.base.saturating_add(1));
            self.best = self.search(Stretch { node: 1, low: 0, width: self.slots.len() as u64, before: 0 }, from, self.best, evidence);
        }
        self.best
    }

    /// Notes what became of a request, unless it is known.
    fn resolve(&mut self, seq: u64, outcome: Slot) -> bool {
        let Some(index) = self.make_room(seq) else { return false };
        match self.slots.get_mut(index) {
            Some(slot) if *slot == Slot::Open => *slot = outcome,
            _ => return false,
        }
        self.started = self.started.max(seq);
        if outcome == Slot::Breach {
            let mut node = self.slots.len() + index;
            while let Some(count) = self.tree.get_mut(node).filter(|_| node > 0) {
                *count += 1;
                node /= 2;
            }
        }
        while let Some(slot) = self.slots.get(usize::try_from(self.prefix.requests - self.base).unwrap_or(usize::MAX))
            && *slot != Slot::Open
        {
            self.prefix.requests += 1;
            self.prefix.breaches += u64::from(*slot == Slot::Breach);
            self.excluded += u64::from(*slot == Slot::Excluded);
        }
        true
    }

    /// Returns the index of a request's slot, forgetting the resolved prefix and growing when it lies beyond the last one.
    fn make_room(&mut self, seq: u64) -> Option<usize> {
        if seq <= self.prefix.requests || seq - self.prefix.requests > SANE {
            return None;
        }
        let index = usize::try_from(seq - self.base - 1).ok()?;
        if index < self.slots.len() {
            return Some(index);
        }
        // Twice what is needed, so that as many requests follow as are moved now.
        let needed = usize::try_from(seq - self.prefix.requests).ok()?;
        let length = (2 * needed).next_power_of_two().max(SHORTEST);
        let forgotten = usize::try_from(self.prefix.requests - self.base).ok()?;
        self.slots.drain(..forgotten.min(self.slots.len()));
        self.slots.resize(length, Slot::Open);
        self.slots.shrink_to(length);
        (self.base, self.base_breaches) = (self.prefix.requests, self.prefix.breaches);
        let leaves = self.slots.iter().map(|slot| u32::from(*slot == Slot::Breach));
        let mut tree: Vec<u32> = std::iter::repeat_n(0, length).chain(leaves).collect();
        for node in (1..length).rev() {
            let sum = tree.get(2 * node..2 * node + 2).map_or(0, |children| children.iter().sum());
            if let Some(count) = tree.get_mut(node) {
                *count = sum;
            }
        }
        self.tree = tree;
        Some(needed - 1)
    }

    /// Returns the larger of `best` and the evidence of the prefixes that end in a breach of this stretch, from slot `from` on.
    fn search<F: FnMut(u64, u64) -> f64>(&self, stretch: Stretch, from: u64, best: f64, evidence: &mut F) -> f64 {
        let Stretch { node, low, width, before } = stretch;
        let breaches = |node: usize| self.tree.get(node).map_or(0, |count| u64::from(*count));
        let count = breaches(node);
        if count == 0 || low + width <= from {
            return best;
        }
        if low >= from {
            let bound = evidence(self.base + low + count, self.base_breaches + before + count);
            // Where every request is a breach the bound is the evidence of the last.
            if bound <= best || count == width {
                return best.max(bound);
            }
        }
        let half = width / 2;
        let right = Stretch { node: 2 * node + 1, low: low + half, width: half, before: before + breaches(2 * node) };
        // The newest breach is most often the best, and leaves out most of the rest.
        let best = self.search(right, from, best, evidence);
        self.search(Stretch { node: 2 * node, width: half, ..stretch }, from, best, evidence)
    }
}

/// The slots below one node of the tree.
#[derive(Clone, Copy)]
struct Stretch {
    node: usize,
    /// The first slot, and how many there are.
    low: u64,
    width: u64,
    /// The breaches in slots before it.
    before: u64,
}

/// What of the test is written down; the rest follows from it.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    test: BetaMixture,
    started: u64,
    prefix: Counts,
    excluded: u64,
    newest_breach: u64,
    best: f64,
    /// One letter for each request after the prefix, up to the newest resolved one.
    rest: String,
}

impl From<&CensoredExceedance> for Written {
    fn from(test: &CensoredExceedance) -> Self {
        let letter = |slot: &Slot| match slot {
            Slot::Open => '.',
            Slot::Good => 'g',
            Slot::Breach => 'b',
            Slot::Excluded => 'x',
        };
        let skipped = usize::try_from(test.prefix.requests - test.base).unwrap_or(usize::MAX);
        let mut rest: String = test.slots.iter().skip(skipped).map(letter).collect();
        rest.truncate(rest.trim_end_matches('.').len());
        let CensoredExceedance { started, prefix, excluded, best, .. } = *test;
        Self { test: test.test, started, prefix, excluded, newest_breach: test.tip.requests, best, rest }
    }
}

impl From<CensoredExceedance> for Written {
    fn from(test: CensoredExceedance) -> Self {
        Self::from(&test)
    }
}

impl TryFrom<Written> for CensoredExceedance {
    type Error = ParameterError;

    fn try_from(written: Written) -> Result<Self, ParameterError> {
        let Written { test, started, prefix, excluded, newest_breach, best, rest } = written;
        let refuse = |name, value: u64, range| Err(ParameterError::Range { name, value: value as f64, range });
        if prefix.breaches.saturating_add(excluded) > prefix.requests {
            return refuse("number of resolved breaches and exclusions", prefix.breaches, "at most that of resolved requests");
        }
        let (base, base_breaches) = (prefix.requests, prefix.breaches);
        let tip = Counts::new(newest_breach, prefix.breaches);
        let mut read = Self { started, prefix, excluded, tip, best, base, base_breaches, ..Self::with(test) };
        for (offset, letter) in (1..).zip(rest.chars()) {
            let outcome = match letter {
                'g' => Slot::Good,
                'b' => Slot::Breach,
                'x' => Slot::Excluded,
                '.' => continue,
                _ => return refuse("letter of a request", u64::from(u32::from(letter)), "one of . g b x"),
            };
            let seq = base.saturating_add(offset);
            if !read.resolve(seq, outcome) {
                return refuse("number of an unresolved request", seq, "within 2^24 of the resolved ones");
            }
            read.tip.breaches += u64::from(outcome == Slot::Breach);
        }
        Ok(read)
    }
}

/// Equal are tests that know the same, however much memory they hold.
impl PartialEq for CensoredExceedance {
    fn eq(&self, other: &Self) -> bool {
        Written::from(self) == Written::from(other)
    }
}

#[cfg(test)]
#[path = "censored_tests.rs"]
mod tests;
