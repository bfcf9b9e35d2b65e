//! Groups slices of time until both arms are in them, for the comparison of the arms.
//!
//! The bets of a group rest on the share of its requests that went to the canary in fact. That is valid for any routing: with A
//! and B the expected factors of a canary's and a stable request, the projection gives w A + (1−w) B ≤ 1, and so by the
//! inequality of means A^w B^(1−w) ≤ 1 for a group with exactly that share. Which slices form a group depends on the arms of
//! their requests alone, never on what became of them. A group is complete when it holds both arms and as many requests
//! as make one of the canary's at the epoch's weight; slices of one epoch only.

use std::sync::Arc;

use crate::domain::gate::basis::ArmBlock;
use crate::domain::judge::blocks::{Key, View};
use crate::domain::judge::history::Wagered;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::two_arm::{Bets, Comparison};

/// The slices since the last complete group.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: Key,
    /// The stable version's share of breaches as of the first slice.
    rate: f64,
    canary: Counts,
    stable: Counts,
}

/// Gathers slices in their order.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    comparison: Comparison,
    group: Option<Group>,
    /// The bets of groups that are not final, by their first slices, with the weight they were made for.
    made: Vec<(Key, f64, Arc<Bets>)>,
}

impl Pairs {
    pub const fn new(comparison: Comparison) -> Self {
        Self { comparison, group: None, made: Vec::new() }
    }

    pub const fn comparison(&self) -> Comparison {
        self.comparison
    }

    /// Takes in the slices that became final and returns the groups they complete.
    pub fn close(&mut self, last: &[View<'_>]) -> Vec<Wagered> {
        let mut group = self.group.take();
        let closed = last.iter().filter_map(|view| add(&mut group, view)).filter_map(|group| self.wager(&group)).collect();
        self.group = group;
        closed
    }

    /// Returns the groups that the slices that are over but not final would complete.
    pub fn look(&mut self, open: &[View<'_>]) -> Vec<Wagered> {
        let mut group = self.group;
        let found: Vec<Group> = open.iter().take_while(|view| view.over).filter_map(|view| add(&mut group, view)).collect();
        let wagered = found.iter().filter_map(|group| self.wager(group)).collect();
        self.made.retain(|(key, _, _)| found.iter().any(|group| group.first == *key));
        wagered
    }

    fn wager(&mut self, group: &Group) -> Option<Wagered> {
        let weight = group.canary.requests as f64 / (group.canary.requests + group.stable.requests) as f64;
        let block = ArmBlock { weight, rate: group.rate, canary: group.canary, stable: group.stable };
        let known = self.made.iter().find(|(key, made, _)| *key == group.first && *made == weight);
        if let Some((_, _, bets)) = known {
            return Some(Wagered { bets: bets.clone(), block });
        }
        let bets = Arc::new(ArmBlock::bets(self.comparison, weight, group.rate).ok()?);
        self.made.push((group.first, weight, bets.clone()));
        Some(Wagered { bets, block })
    }
}

/// Adds a slice and returns the group when it is complete. In flight counts as good for the canary and as a breach for stable.
fn add(group: &mut Option<Group>, view: &View<'_>) -> Option<Group> {
    let frozen = &view.cell.frozen;
    let weight = frozen.weight.filter(|_| !frozen.out && !frozen.warm)?;
    if group.is_some_and(|group| group.first.1 != view.key.1) {
        *group = None;
    }
    let grown = group.get_or_insert(Group { first: view.key, rate: frozen.rate, canary: Counts::new(0, 0), stable: Counts::new(0, 0) });
    let (canary, stable) = (&view.cell.canary, &view.cell.stable);
    grown.canary = Counts::new(grown.canary.requests + canary.requests, grown.canary.breaches + canary.bad());
    let bad = grown.stable.breaches + stable.bad() + stable.in_flight();
    grown.stable = Counts::new(grown.stable.requests + stable.requests, bad);
    let enough = (grown.canary.requests + grown.stable.requests) as f64 * weight >= 1.0 - 1e-9;
    if enough && grown.canary.requests > 0 && grown.stable.requests > 0 { group.take() } else { None }
}
