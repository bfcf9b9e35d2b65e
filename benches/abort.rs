//! How fast an abort is while every worker is busy: until its answer, and until the last request that the canary gets.
//!
//! `cargo bench --bench abort -- --aborts 200`; exit code 1 unless 99 of 100 are answered within a tenth of a second.

#[path = "../tests/support/desk.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "shared with the tests of the admin listener")]
mod desk;
#[path = "../tests/support/saturation.rs"]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "shared with the tests of the admin listener")]
mod saturation;
#[path = "support/upstream.rs"]
#[allow(dead_code, reason = "shared with the bench of rollbacks")]
mod upstream;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use desk::{Desk, eventually};
use portcullis::domain::time::Timestamp;
use portcullis::seam::clock::Clock;
use saturation::Load;
use serde_json::json;
use upstream::{Manner, Upstream};

/// Within which time an abort is to be answered.
const PROMISED: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Arguments {
    /// How many rollouts are begun and aborted.
    #[arg(long, default_value_t = 200)]
    aborts: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Prints a distribution, in milliseconds, and returns its 99 % point.
fn show(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let count = times.len();
    let at = |share: f64| {
        let rank = ((share * count as f64).ceil() as usize).clamp(1, count.max(1));
        times.get(rank - 1).copied().unwrap_or_default()
    };
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| at(share).as_secs_f64() * 1e3);
    println!("{name:<44} {p50:>9.3} {p99:>9.3} {max:>9.3}   n = {count}");
    at(0.99)
}

fn main() -> ExitCode {
    let Arguments { aborts, bench: _ } = Arguments::parse();
    let clock = Clock::start();
    let canary = Upstream::start(clock, Manner::Fast).expect("a canary");
    let desk = Desk::before(saturation::upstream());
    let load = Load::start(&desk);
    eventually("answers", || (load.answers() > 1_000).then_some(()));
    let start = json!({"service": "carts", "canary": {"name": "0.8.2", "endpoints": [canary.address.to_string()]}}).to_string();
    let (begun, before) = (Instant::now(), load.answers());
    let (mut answered, mut last_from_order, mut last_from_answer) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..aborts {
        let started = desk.post("/v1/rollouts", &start);
        assert_eq!(started.status, 202, "{}", started.body);
        let table = desk.routes.current();
        let canary_now = table.routes.first().and_then(|route| route.epoch.canary.as_ref()).expect("a canary");
        let trial = Arc::clone(&canary_now.trial);
        eventually("canary requests", || (trial.started() > 100).then_some(()));
        let asked = clock.now();
        let aborted = desk.post("/v1/rollouts/carts/abort", "");
        let told = clock.now();
        assert_eq!((aborted.status, aborted.json().get("changed")), (200, Some(&json!(true))), "{}", aborted.body);
        // Whatever was picked before has reached the canary once so many others were served.
        let (from, served) = (load.answers(), 100 * saturation::CLIENTS as u64);
        eventually("the clients' next requests", || (load.answers() > from + served).then_some(()));
        let last = Timestamp::from_nanos(canary.arrivals().1);
        answered.push(told.since(asked));
        last_from_order.push(last.since(asked));
        last_from_answer.push(last.since(told));
    }
    let rate = (load.answers() - before) as f64 / begun.elapsed().as_secs_f64();
    println!("{} workers and {} clients beside it: {rate:.0} requests/s", saturation::WORKERS, saturation::CLIENTS);
    println!("{:<44} {:>9} {:>9} {:>9}", "milliseconds", "p50", "p99", "max");
    let p99 = show("abort sent → its answer", answered);
    show("abort sent → last request to the canary", last_from_order);
    show("abort answered → last request to the canary", last_from_answer);
    ExitCode::from(u8::from(p99 > PROMISED))
}
