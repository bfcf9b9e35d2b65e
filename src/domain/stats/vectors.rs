//! Replays every vector of the project's statistics, and fails on a function it does not know.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::gate::evidence;
use crate::domain::stats::censored::CensoredExceedance;
use crate::domain::stats::chained::{Block, ChainedBlocks};
use crate::domain::stats::changepoint::{self, ChangepointGrid};
use crate::domain::stats::counts::Counts;
use crate::domain::stats::grid::{self, ApdexCounts};
use crate::domain::stats::two_arm::{self, Comparison, Guess, TwoArm};
use crate::domain::stats::{exceedance, gates, mean, planning, projection, quantile, special};

/// The functions whose vectors `domain::gate::slo` replays, 16 of the 254; the other 238 are replayed here.
const ELSEWHERE: [&str; 2] = ["criterion_limit", "parse_keptn_criterion"];

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
        assert_eq!((replayed.values().sum::<usize>(), elsewhere.values().sum::<usize>()), (238, 16));
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

impl<'a> Args<'a> {
    fn number(self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {}", self.0))
    }

    fn count(self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is no count in {}", self.0))
    }

    fn list(self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.0[name].as_array().unwrap_or_else(|| panic!("{name} is no list in {}", self.0)).iter()
    }

    /// The rows of a list of lists of numbers.
    fn rows(self, name: &str) -> Vec<Vec<f64>> {
        self.list(name).map(numbers).collect()
    }

    fn prior(self) -> (f64, f64) {
        (self.number("a"), self.number("b"))
    }
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// A whole number that a vector writes among others.
fn whole(number: f64) -> u64 {
    assert!(number >= 0.0 && number.fract() == 0.0, "{number} is no count");
    number as u64
}

/// Returns what our function gives, in the shape of the vector's expectation; `None` for an unknown function.
fn replay(function: &str, args: Args) -> Option<Value> {
    let families = [one_arm, grids, means, changepoints, chains, two_arms, in_flight, combined, planned];
    families.iter().find_map(|family| family(function, args))
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

fn grids(function: &str, args: Args) -> Option<Value> {
    let grid = |p0| grid::odds_grid(p0).expect("a vector's rate is a share");
    let apdex =
        || ApdexCounts { satisfied: args.count("satisfied"), tolerating: args.count("tolerating"), frustrated: args.count("frustrated") };
    Some(match function {
        "odds_grid" => {
            let shape = ["j", "omega_min", "theta_max", "top_weight"].map(|name| args.number(name));
            assert_eq!(shape, [12.0, 1.5, 0.98, 0.4], "the grid has one shape");
            json!(grid(args.number("p0")).alternatives().map(|alternative| [alternative.omega, alternative.weight]))
        }
        "log_e_grid" => json!(grid::log_e_grid(args.count("n"), args.count("k"), &grid(args.number("p0")))),
        "log_e_grid_varying" => {
            let observations = args.rows("observations").into_iter().map(|row| (row[0], row[1] == 1.0));
            json!(grid::log_e_grid_varying(observations, &grid(args.number("grid_p0"))).expect("rates are shares"))
        }
        "apdex_breach" => json!(apdex().log_e_breach(args.number("target")).expect("a target is a share")),
        "apdex_pass" => json!(apdex().log_e_pass(args.number("target")).expect("a target is a share")),
        _ => return None,
    })
}

fn changepoints(function: &str, args: Args) -> Option<Value> {
    let each_b = |f: &dyn Fn(u64) -> f64| json!(args.list("b").map(|b| f(b.as_u64().expect("a block"))).collect::<Vec<_>>());
    Some(match function {
        "changepoint_weight" => each_b(&changepoint::changepoint_weight),
        "start_weight" => each_b(&|b| changepoint::start_weight(b, args.number("start_mass"))),
        "start_tail" => each_b(&|b| changepoint::start_tail(b, args.number("start_mass"))),
        "ChangepointGrid" => {
            let blocks = |name| args.rows(name).into_iter().map(|row| (whole(row[0]), whole(row[1]))).collect::<Vec<_>>();
            let mut test = ChangepointGrid::new(args.number("p0")).expect("a vector's rate is a share");
            let after_each: Vec<f64> = blocks("blocks").into_iter().map(|(n, k)| test.update(n, k)).collect();
            json!({"after_each": after_each, "peek": test.peek(&blocks("peek"))})
        }
        _ => return None,
    })
}

fn means(function: &str, args: Args) -> Option<Value> {
    let values = || numbers(&args.0["values"]);
    let limit = |name| args.number(name);
    Some(match function {
        "log_e_mean_nonneg" => {
            assert_eq!(args.0["lambdas"], json!(mean::LAMBDAS), "the bets are fixed");
            json!(mean::log_e_mean_nonneg(&values(), limit("limit")).expect("a limit above 0"))
        }
        "log_e_mean_pass" => {
            assert!((args.number("grid_p0") - (1.0 - limit("limit") / limit("cap"))).abs() < 1e-12, "the grid is that of the mirror");
            json!(mean::log_e_mean_pass(&values(), limit("limit"), limit("cap")).expect("a cap above the limit"))
        }
        _ => return None,
    })
}

fn chains(function: &str, args: Args) -> Option<Value> {
    if function != "ChainedBlocks" {
        return None;
    }
    let block = |row: Vec<f64>| Block {
        index: whole(row[0]),
        p0: None,
        canary: Counts::new(whole(row[1]), whole(row[2])),
        stable: Counts::new(whole(row[3]), whole(row[4])),
    };
    let blocks = |name| args.rows(name).into_iter().map(block).collect::<Vec<_>>();
    let gap = u32::try_from(args.count("gap_blocks")).expect("a short gap");
    let mut test = ChainedBlocks::new(args.number("p0"), gap).expect("a vector's rate is a share");
    let after_each: Vec<f64> = blocks("blocks").iter().map(|block| test.update(block).expect("blocks in order")).collect();
    Some(json!({"after_each": after_each, "peek": test.peek(&blocks("peek")).expect("blocks in order")}))
}

fn two_arms(function: &str, args: Args) -> Option<Value> {
    let number = |name| args.number(name);
    let replayed = |comparison, multiples: &str, expected: &[f64]| {
        assert_eq!(numbers(&args.0[multiples]), expected, "the multiples are fixed");
        let guess = Guess { requests: number("guess_weight"), ..Guess::of(number("base_rate_guess")) };
        let mut test = TwoArm::new(comparison, guess).expect("a vector's margin");
        let counts = |n: f64, k: f64| Counts::new(whole(n), whole(k));
        let blocks = args.rows("blocks").into_iter();
        json!(blocks.map(|row| test.update(row[0], counts(row[1], row[2]), counts(row[3], row[4])).expect("a weight")).collect::<Vec<_>>())
    };
    let pair = |(a, b): (f64, f64)| json!([a, b]);
    let (theta_c, theta_b, w) = ("th_c", "th_b", "w");
    Some(match function {
        "project_ratio" => pair(projection::project_ratio(number(theta_c), number(theta_b), number(w), number("rho"))),
        "project_diff" => pair(projection::project_diff(number(theta_c), number(theta_b), number(w), number("delta"))),
        "TwoArmGate" if args.0["kind"] == "ratio" => replayed(Comparison::Ratio(number("margin")), "omegas", &two_arm::OMEGAS),
        "TwoArmGate" => {
            assert_eq!(args.0["kind"], "diff");
            replayed(Comparison::Difference(number("margin")), "omegas", &two_arm::OMEGAS)
        }
        "TwoArmPass" => replayed(Comparison::Within(number("rho")), "kappas", &two_arm::KAPPAS),
        "two_sample_quantile_log_e" => {
            let values = |name: &str| numbers(&args.0[name]);
            json!(quantile::two_sample_quantile_log_e(&values("base"), &values("cand"), number("p"), number("r")).expect("latencies"))
        }
        _ => return None,
    })
}

fn combined(function: &str, args: Args) -> Option<Value> {
    let log_es = || numbers(&args.0["log_es"]);
    let weights = (!args.0["weights"].is_null()).then(|| numbers(&args.0["weights"]));
    Some(match function {
        "combine_gates" => json!(gates::combine_gates(&log_es(), weights.as_deref()).expect("gates")),
        "average_gates" => json!(gates::average_gates(&log_es(), weights.as_deref()).expect("gates")),
        "combine_slo_breach" => json!(gates::combine_slo_breach(&args.rows("blocks")).expect("blocks")),
        "combine_slo_pass" => json!(gates::combine_slo_pass(&args.rows("blocks")).expect("blocks")),
        "alpha_shares" => {
            let steps = u32::try_from(args.count("n_steps")).expect("few steps");
            let shares = gates::alpha_shares(args.number("alpha"), steps).expect("a level");
            json!([shares.cumulative, shares.per_step])
        }
        "explain_breach" => json!(format!(
            "rolled back after {} of {} requests {}; had v2 met the gate, the chance of ever seeing evidence this strong would be below 1 in {}",
            args.count("k"),
            args.count("n"),
            args.0["what"].as_str().expect("a text"),
            evidence::odds(args.number("log_e"))
        )),
        _ => return None,
    })
}

fn planned(function: &str, args: Args) -> Option<Value> {
    let number = |name| args.number(name);
    let reveal = || Duration::from_secs_f64(number("reveal_s"));
    Some(match function {
        "wald_lower_bound" => json!(planning::wald_lower_bound(number("p"), number("p0"), number("alpha"))),
        "min_requests_all_breach" => {
            json!(planning::min_requests_all_breach(number("p0"), number("alpha")).expect("shares"))
        }
        "ramp_weight_cap" => json!(planning::ramp_weight_cap(number("harm_budget"), number("rate"), reveal(), number("upper_rate"))),
        "ramp_growth_rate" => json!(planning::ramp_growth_rate(number("harm_budget"), reveal(), number("c"))),
        "start_weight_for_rate" => json!(planning::start_weight_for_rate(number("rate"), reveal())),
        "ramp_steps" => json!(planning::ramp_steps(number("w0"), number("factor")).expect("a ramp")),
        _ => return None,
    })
}

fn in_flight(function: &str, args: Args) -> Option<Value> {
    let test = || CensoredExceedance::new(args.number("p0")).expect("a vector's rate is a share");
    let threshold = || (1.0 / args.number("alpha")).ln();
    Some(match function {
        "ExceedanceGate" => {
            let (mut test, p1) = (test(), args.number("p1"));
            let mut rows = Vec::new();
            let mut reported = BTreeSet::new();
            for event in args.list("events") {
                let seq = event[1].as_u64().expect("a number");
                let before = test.clone();
                match event[0].as_str() {
                    Some("start") => assert_eq!(test.start(), seq),
                    Some("good") => assert_eq!(test.good(seq), !reported.contains(&seq)),
                    Some("breach") => assert_eq!(test.breach(seq), test.log_e()),
                    _ => panic!("an event of no kind: {event}"),
                }
                if event[0] != "start" && !reported.insert(seq) {
                    // What is reported again changes nothing and has no row.
                    assert_eq!(test, before);
                    continue;
                }
                let Counts { requests, breaches } = test.resolved();
                rows.push(json!([test.log_e(), test.log_e_pass(p1), requests, breaches, test.log_e() >= threshold()]));
            }
            json!(rows)
        }
        "replay_latency_gate" => latency_gate(test(), args, threshold()),
        _ => return None,
    })
}

/// Replays requests \[start, duration or null, ok\] in virtual time: at one instant completions, then deadlines, then starts.
fn latency_gate(mut test: CensoredExceedance, args: Args, threshold: f64) -> Value {
    enum Kind {
        Completed { ok: bool },
        Deadline,
        Started,
    }
    let tau = args.number("tau_ms");
    let mut events = Vec::new();
    for (seq, request) in (1_u64..).zip(args.list("requests")) {
        let start = request[0].as_f64().expect("a time");
        events.push((start, 2, seq, Kind::Started));
        events.push(match request[1].as_f64() {
            Some(duration) if duration <= tau => (start + duration, 0, seq, Kind::Completed { ok: request[2].as_bool().expect("a truth") }),
            _ => (start + tau, 1, seq, Kind::Deadline),
        });
    }
    events.sort_by(|a, b| (a.0, a.1, a.2).partial_cmp(&(b.0, b.1, b.2)).expect("times are numbers"));
    let mut timeline = Vec::new();
    for (at, _, seq, kind) in events {
        match kind {
            Kind::Started => assert_eq!(test.start(), seq),
            Kind::Completed { ok: true } => assert!(test.good(seq)),
            Kind::Completed { ok: false } | Kind::Deadline => {
                let log_e = test.breach(seq);
                timeline.push(json!([at, test.tip().requests, test.tip().breaches, log_e]));
                if log_e >= threshold {
                    return json!({"timeline": timeline, "verdict_ms": at});
                }
            }
        }
    }
    json!({"timeline": timeline, "verdict_ms": null})
}
