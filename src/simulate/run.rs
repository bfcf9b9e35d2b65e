//! Runs a scenario many times, over as many threads as asked for; what comes of it does not depend on their number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::simulate::outcome::Outcome;
use crate::simulate::peers;
use crate::simulate::scenario::Scenario;
use crate::simulate::world;

/// How many runs a peer gets at most unless the scenario says otherwise.
const MOST_OF_A_PEER: usize = 200;

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Results {
    /// The seed of the first run; the others follow.
    pub seed: u64,
    /// What came of each run, in the order of their seeds.
    pub runs: Vec<Outcome>,
    /// What came of each run of each peer, in their order.
    pub peers: Vec<Vec<Outcome>>,
}

/// Runs a scenario `runs` times with the seeds from `seed` on, over `threads` threads. `done` is told of each run that is
/// done, from any thread.
#[must_use]
pub fn run(scenario: &Scenario, runs: usize, seed: u64, threads: usize, done: &(dyn Fn() + Sync)) -> Results {
    let seed_of = |index: usize| seed.wrapping_add(index as u64);
    let outcomes = spread(runs, threads, done, |index| world::run_for_seed(scenario, seed_of(index)));
    let peers = scenario.peer.iter().map(|peer| {
        let kind = &peer.kind;
        spread(runs_of_peers(scenario, runs), threads, &|| {}, |index| peers::run(kind, scenario, seed_of(index)))
    });
    Results { seed, runs: outcomes, peers: peers.collect() }
}

/// Returns how many runs each peer gets beside so many of Portcullis.
#[must_use]
pub fn runs_of_peers(scenario: &Scenario, runs: usize) -> usize {
    runs.min(scenario.peer_runs.map_or(MOST_OF_A_PEER, |most| most.0))
}

/// Does `count` pieces of work over threads and returns what came of each, in order.
fn spread<T: Send>(count: usize, threads: usize, done: &(dyn Fn() + Sync), work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    // The next piece nobody has begun; every thread takes from it.
    let next = AtomicUsize::new(0);
    // What is done, with its number; every thread adds to it.
    let results = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let result = work(index);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                    done();
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_seeds_whatever_the_threads() {
        for threads in [1, 2, 7] {
            assert_eq!(spread(100, threads, &|| {}, |index| index * 2), (0..100).map(|index| index * 2).collect::<Vec<_>>());
        }
        assert!(spread(0, 3, &|| {}, |index| index).is_empty());
    }
}
