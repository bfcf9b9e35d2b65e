//! What a simulated rollout is made from, and how versions behave.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use portcullis::domain::gate::{Gate, Share};
use portcullis::domain::rollout::{Plan, Step};
use portcullis::domain::tripwire::n_max_table;
use portcullis::domain::version::Version;
use rand::RngExt;
use rand::rngs::SmallRng;

/// How one request goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// From the start to the response head, `None` when it never comes.
    pub head: Option<Duration>,
    /// From the head to the last byte.
    pub body: Duration,
    /// Whether the answer is a 5xx.
    pub fails: bool,
    /// When the client leaves, if it does.
    pub leaves: Option<Duration>,
}

/// A version's behaviour: how its next request goes.
pub type Behaviour = fn(&mut SmallRng) -> Manner;

/// What a simulated rollout is made from.
#[derive(Clone)]
pub struct Setup {
    /// Workers, each with its own draw and its own reports.
    pub workers: usize,
    /// Requests per second over all workers, Poisson.
    pub rps: f64,
    /// What the canary must keep to.
    pub gates: &'static [&'static str],
    /// The ramp: weight in percent and hold.
    pub steps: &'static [(&'static str, Duration)],
    /// The bound on false rollbacks.
    pub alpha: f64,
    /// The bound on false promotions per step.
    pub beta: f64,
    /// How the canary behaves.
    pub canary: Behaviour,
    /// The chance that a write fails.
    pub disk_fails: f64,
    /// Judges by the tick's own time in place of the workers' last reports: a mistake, to show that it is one.
    pub judged_too_late: bool,
}

/// A short ramp.
pub const RAMP: &[(&str, Duration)] = &[("10%", secs(2)), ("30%", secs(2)), ("90%", secs(2)), ("100%", secs(2))];

/// Everything at once and without an end within any run.
pub const FOREVER: &[(&str, Duration)] = &[("100%", secs(24 * 3600))];

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 2,
            rps: 200.0,
            gates: &["p95 < 1s"],
            steps: RAMP,
            alpha: 0.001,
            beta: 0.05,
            canary: healthy,
            disk_fails: 0.0,
            judged_too_late: false,
        }
    }
}

impl Setup {
    /// Returns the gates.
    pub fn gates(&self) -> Vec<Gate> {
        self.gates.iter().map(|text| Gate::written(text.parse().unwrap())).collect()
    }

    /// Returns the plan.
    pub fn plan(&self) -> Plan {
        Plan::new(self.steps.iter().map(|(weight, hold)| Step { weight: weight.parse().unwrap(), hold: *hold }).collect()).unwrap()
    }
}

/// A version with one endpoint that nothing ever connects to.
pub fn version(name: &str) -> Version {
    Version { name: name.parse().unwrap(), endpoints: vec![([127, 0, 0, 1], 80).into()] }
}

/// Whole seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whole milliseconds.
pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Some time between two bounds in milliseconds.
pub fn between(rng: &mut SmallRng, low: u64, high: u64) -> Duration {
    Duration::from_micros(rng.random_range(low * 1_000..high * 1_000))
}

/// Answers after some time between two bounds in milliseconds.
pub fn answers(rng: &mut SmallRng, low: u64, high: u64) -> Manner {
    Manner { head: Some(between(rng, low, high)), ..Manner::default() }
}

/// A good version: 1 % of its requests take longer than a second.
pub fn healthy(rng: &mut SmallRng) -> Manner {
    if rng.random_bool(0.01) { answers(rng, 1_100, 3_000) } else { answers(rng, 20, 300) }
}

/// Returns the table of a share and a bound, computed once per process.
pub fn table(share: Share, alpha: f64) -> Box<[u64]> {
    type Tables = Mutex<HashMap<(Share, u64), Box<[u64]>>>;
    static TABLES: OnceLock<Tables> = OnceLock::new();
    let mut tables = TABLES.get_or_init(Mutex::default).lock().unwrap();
    tables.entry((share, alpha.to_bits())).or_insert_with(|| n_max_table(share, alpha)).clone()
}

/// Returns the seeds of a scenario: those asked for by `PORTCULLIS_SEED`, or the first `count`.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("PORTCULLIS_SEED") {
        Ok(text) => {
            let seed: u64 = text.parse().expect("PORTCULLIS_SEED is a whole number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    }
}

/// Says whether a single seed is replayed, so that claims about how often something happens do not apply.
pub fn is_replay() -> bool {
    seeds(2).count() == 1
}
