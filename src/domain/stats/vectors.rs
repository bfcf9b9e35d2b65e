//! Replays every vector of the project's statistics, and fails on a function it does not know.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::domain::stats::{exceedance, special};

/// The functions whose vectors other modules replay.
const ELSEWHERE: [&str; 33] = [
    "ChainedBlocks",
    "ChangepointGrid",
    "ExceedanceGate",
    "TwoArmGate",
    "TwoArmPass",
    "alpha_shares",
    "apdex_breach",
    "apdex_pass",
    "average_gates",
    "changepoint_weight",
    "combine_gates",
    "combine_slo_breach",
    "combine_slo_pass",
    "criterion_limit",
    "explain_breach",
    "log_e_grid",
    "log_e_grid_varying",
    "log_e_mean_nonneg",
    "log_e_mean_pass",
    "min_requests_all_breach",
    "odds_grid",
    "parse_keptn_criterion",
    "project_diff",
    "project_ratio",
    "ramp_growth_rate",
    "ramp_steps",
    "ramp_weight_cap",
    "replay_latency_gate",
    "start_tail",
    "start_weight",
    "start_weight_for_rate",
    "two_sample_quantile_log_e",
    "wald_lower_bound",
];

/// How many vectors the repository's file holds of each function.
const COUNTS: [(&str, usize); 41] = [
    ("ChainedBlocks", 12),
    ("ChangepointGrid", 6),
    ("ExceedanceGate", 4),
    ("TwoArmGate", 3),
    ("TwoArmPass", 2),
    ("alpha_shares", 1),
    ("apdex_breach", 3),
    ("apdex_pass", 3),
    ("average_gates", 2),
    ("breach_n_max", 9),
    ("changepoint_weight", 1),
    ("combine_gates", 2),
    ("combine_slo_breach", 1),
    ("combine_slo_pass", 1),
    ("criterion_limit", 8),
    ("explain_breach", 4),
    ("kl_bernoulli", 5),
    ("ln_inc_beta", 6),
    ("log_e_breach", 48),
    ("log_e_grid", 15),
    ("log_e_grid_varying", 1),
    ("log_e_mean_nonneg", 4),
    ("log_e_mean_pass", 1),
    ("log_e_pass", 45),
    ("min_requests_all_breach", 3),
    ("odds_grid", 3),
    ("parse_keptn_criterion", 8),
    ("pass_n_min", 6),
    ("project_diff", 4),
    ("project_ratio", 5),
    ("ramp_growth_rate", 1),
    ("ramp_steps", 5),
    ("ramp_weight_cap", 3),
    ("rate_lower_bound", 5),
    ("rate_upper_bound", 5),
    ("replay_latency_gate", 6),
    ("start_tail", 1),
    ("start_weight", 1),
    ("start_weight_for_rate", 5),
    ("two_sample_quantile_log_e", 3),
    ("wald_lower_bound", 3),
];

/// The vectors' file: the repository's, or the one named by `PORTCULLIS_VECTORS`.
fn file() -> (Value, bool) {
    let named = std::env::var_os("PORTCULLIS_VECTORS");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/statistics/vectors.json");
    let path = named.clone().map_or_else(|| own.into(), PathBuf::from);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())), named.is_none())
}

#[test]
fn every_vector_of_the_reference_is_replayed() {
    let (vectors, own) = file();
    let (mut replayed, mut elsewhere) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new());
    for case in vectors["cases"].as_array().expect("the file holds cases") {
        let function = case["fn"].as_str().expect("a vector names its function");
        if ELSEWHERE.contains(&function) {
            *elsewhere.entry(function).or_default() += 1;
            continue;
        }
        let found = replay(function, Args(&case["args"])).unwrap_or_else(|| panic!("no replay is written for {function}: {case}"));
        let tolerance = case["tol"].as_f64().expect("a vector has a tolerance");
        assert!(same(&case["expect"], &found, tolerance), "{case}\nfound {found}");
        *replayed.entry(function).or_default() += 1;
    }
    if own {
        assert!(elsewhere.keys().eq(ELSEWHERE.iter()), "what others replay changed: {elsewhere:?}");
        replayed.append(&mut elsewhere);
        assert_eq!(replayed, BTreeMap::from(COUNTS));
        assert_eq!(replayed.values().sum::<usize>(), 254);
    }
}

/// Says whether what was found has the shape expected, and every number in it lies within the tolerance.
fn same(expected: &Value, found: &Value, tolerance: f64) -> bool {
    match (expected, found) {
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| same(expected, found, tolerance))
        }
        (Value::Object(expected), Value::Object(found)) => {
            expected.len() == found.len() && expected.iter().all(|(key, value)| same(value, &found[key], tolerance))
        }
        (Value::Number(expected), Value::Number(found)) => (expected.as_f64().unwrap() - found.as_f64().unwrap()).abs() <= tolerance,
        (expected, found) => expected == found,
    }
}

/// The arguments of one vector.
#[derive(Clone, Copy)]
struct Args<'a>(&'a Value);

impl Args<'_> {
    fn number(self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {}", self.0))
    }

    fn count(self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is no count in {}", self.0))
    }

    fn prior(self) -> (f64, f64) {
        (self.number("a"), self.number("b"))
    }
}

/// Returns what our function gives, in the shape of the vector's expectation; `None` for an unknown function.
fn replay(function: &str, args: Args) -> Option<Value> {
    one_arm(function, args)
}

fn one_arm(function: &str, args: Args) -> Option<Value> {
    let (number, count) = (|name| args.number(name), |name| args.count(name));
    let entries = |entry: &dyn Fn(u64) -> u64| json!((count("k_from")..=count("k_to")).map(entry).collect::<Vec<_>>());
    Some(match function {
        "ln_inc_beta" => {
            let (lower, upper) = special::ln_inc_beta(number("a"), number("b"), number("x"));
            json!([lower, upper])
        }
        "kl_bernoulli" => json!(special::kl_bernoulli(number("p"), number("q"))),
        "log_e_breach" => json!(exceedance::log_e_breach_with(count("n"), count("k"), number("p0"), args.prior())),
        "log_e_pass" => json!(exceedance::log_e_pass_with(count("n"), count("k"), number("p1"), args.prior())),
        "breach_n_max" => entries(&|k| exceedance::breach_n_max(k, number("p0"), (1.0 / number("alpha")).ln())),
        "pass_n_min" => entries(&|k| exceedance::pass_n_min(k, number("p1"), (1.0 / number("beta")).ln())),
        "rate_upper_bound" => json!(exceedance::rate_upper_bound(count("n"), count("k"), number("alpha"))),
        "rate_lower_bound" => json!(exceedance::rate_lower_bound(count("n"), count("k"), number("alpha"))),
        _ => return None,
    })
}
