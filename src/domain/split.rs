//! Decides which version a request goes to: a randomised low-discrepancy draw that is exact at small numbers.
//!
//! The requests are cut into strata that carry one canary request each; inside its stratum the canary request sits at a
//! random place. So after any number of requests the count is within two of the exact share, while no client with a
//! rhythm of its own can fall into step with the draw, which a plain round robin would allow. Every worker draws for
//! itself; nothing is shared.

use crate::domain::outcome::Role;
use crate::domain::weight::Weight;

/// The mass of one stratum in basis points.
const STRATUM: u64 = 10_000;

/// The state of one worker's draw for one route.
#[derive(Clone, Debug)]
pub struct Draw {
    mass: u64,
    stratum: u64,
    target: u64,
}

impl Draw {
    /// Begins a draw; `random` is any uniform number.
    #[must_use]
    pub const fn new(random: u32) -> Self {
        Self { mass: 0, stratum: 0, target: random as u64 % STRATUM }
    }

    /// Decides the next request. `random` must be uniform and independent of the traffic; the weight may change at any time.
    pub const fn next(&mut self, weight: Weight, random: u32) -> Role {
        self.mass += weight.basis_points() as u64;
        // Mass left over from a larger weight may lie beyond the target; without a share it buys nothing.
        if weight.basis_points() == 0 || self.mass <= self.target {
            return Role::Stable;
        }
        self.stratum += STRATUM;
        self.target = self.stratum + random as u64 % STRATUM;
        Role::Canary
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn canary_counts(weight: Weight, workers: usize, seed: u64, requests: usize) -> Vec<(usize, Vec<u64>)> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut draws: Vec<Draw> = (0..workers).map(|_| Draw::new(rng.random())).collect();
        let mut counts = vec![0_u64; workers];
        (1..=requests)
            .map(|n| {
                let worker = rng.random_range(0..workers);
                if draws[worker].next(weight, rng.random()) == Role::Canary {
                    counts[worker] += 1;
                }
                (n, counts.clone())
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_count_stays_within_two_of_the_share_per_worker(points in 0_u16..=10_000, workers in 1_usize..=8, seed: u64) {
            let weight = Weight::from_basis_points(points).unwrap();
            for (n, counts) in canary_counts(weight, workers, seed, 600) {
                let total: u64 = counts.iter().sum();
                let exact = n as f64 * weight.ratio();
                prop_assert!((total as f64 - exact).abs() <= 2.0 * workers as f64, "seed {seed}: {total} of {n} at {weight} with {workers} workers");
            }
        }

        #[test]
        fn one_worker_is_within_two_after_any_number_of_requests(points in 0_u16..=10_000, seed: u64) {
            let weight = Weight::from_basis_points(points).unwrap();
            for (n, counts) in canary_counts(weight, 1, seed, 2_000) {
                let exact = n as f64 * weight.ratio();
                prop_assert!((counts[0] as f64 - exact).abs() <= 2.0, "seed {seed}: {} of {n} at {weight}", counts[0]);
            }
        }

        #[test]
        fn a_changing_weight_keeps_the_sum_exact(changes in prop::collection::vec((0_u16..=10_000, 1_usize..50), 1..20), seed: u64) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut draw = Draw::new(rng.random());
            let (mut exact, mut count) = (0.0, 0_u64);
            for (points, requests) in changes {
                let weight = Weight::from_basis_points(points).unwrap();
                for _ in 0..requests {
                    exact += weight.ratio();
                    count += u64::from(draw.next(weight, rng.random()) == Role::Canary);
                    prop_assert!((count as f64 - exact).abs() <= 2.0, "seed {seed}: {count} against {exact}");
                }
            }
        }
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        let mut draw = Draw::new(9_999);
        assert!((0..1000).all(|i| draw.next(Weight::ZERO, i * 7919) == Role::Stable));
        let mut draw = Draw::new(9_999);
        assert!((0..1000).all(|i| draw.next(Weight::FULL, i * 7919) == Role::Canary));
    }

    #[test]
    fn nothing_is_nothing_whatever_the_weight_was_before() {
        for seed in 0..2_000 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut draw = Draw::new(rng.random());
            for _ in 0..rng.random_range(1..50) {
                let weight = Weight::from_basis_points(rng.random_range(1..=10_000)).unwrap();
                let _ = draw.next(weight, rng.random());
            }
            assert_eq!(draw.next(Weight::ZERO, rng.random()), Role::Stable, "seed {seed}");
        }
    }

    #[test]
    fn a_rhythmic_client_does_not_fall_into_step() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut draw = Draw::new(rng.random());
        let half: Weight = "50%".parse().unwrap();
        let mut even = 0_i64;
        for n in 0..20_000 {
            if draw.next(half, rng.random()) == Role::Canary {
                even += if n % 2 == 0 { 1 } else { -1 };
            }
        }
        assert!(even.abs() < 500, "canary requests at even places exceed those at odd ones by {even}");
    }
}
