//! The spread of the draw: at every instant the canary's requests are within two per worker of its exact share.

use portcullis::domain::outcome::Role;
use portcullis::domain::split::Draw;
use portcullis::domain::weight::Weight;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

#[test]
fn the_canary_has_its_share_within_two_requests_per_worker_at_every_instant() {
    let mut furthest = 0.0_f64;
    for seed in 0..400 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let workers = rng.random_range(1..=8);
        let mut draws: Vec<(Draw, f64, f64)> = (0..workers).map(|_| (Draw::new(rng.random()), 0.0, 0.0)).collect();
        let mut weight = Weight::ZERO;
        for n in 0..1_000 {
            if n % 250 == 0 {
                weight = Weight::from_basis_points(rng.random_range(0..=10_000)).unwrap();
            }
            let (draw, count, exact) = &mut draws[rng.random_range(0..workers)];
            *exact += weight.ratio();
            let role = draw.next(weight, rng.random());
            assert!(weight > Weight::ZERO || role == Role::Stable, "seed = {seed}: a canary request without a share");
            *count += f64::from(u8::from(role == Role::Canary));
            let off = (*count - *exact).abs();
            furthest = furthest.max(off);
            assert!(off <= 2.0, "seed = {seed}: {count} requests of one worker, {exact:.2} would be exact");
            let total: f64 = draws.iter().map(|(_, count, exact)| count - exact).sum();
            assert!(total.abs() <= 2.0 * workers as f64, "seed = {seed}: off by {total:.2} over {workers} workers");
        }
    }
    println!("spread of the draw: never further than {furthest:.2} requests per worker from its share, {} runs", 400);
}
