//! How the parts are put together.
#![cfg(test)]

use std::time::Duration;

use super::*;
use crate::domain::gate::foreign_slo;
use crate::domain::gate::graded::{Arithmetic, Graded};
use crate::domain::rollout::{Ramp, Schedule, Start};
use crate::domain::version::Version;
use crate::formats::slo;

/// The objectives of lighthouse's own example, with the units of its Prometheus provider.
const SLO: &str = "\
spec_version: '1.0'
comparison: {compare_with: single_result, include_result_with_score: pass, aggregate_function: avg}
objectives:
  - sli: response_time_p95
    pass: [{criteria: ['<=+10%', '<600']}]
    warning: [{criteria: ['<=800']}]
  - sli: error_rate
    weight: 2
    key_sli: true
    pass: [{criteria: ['<=0.01']}]
total_score: {pass: 90%, warning: 75%}
";

fn service(graded: Vec<Graded>) -> config::Service {
    let version = |name: &str| Version::new(name.parse().unwrap(), Vec::new());
    config::Service {
        name: "carts".parse().unwrap(),
        rules: Vec::new(),
        choice: None,
        stable: version("v1"),
        canary: Some(version("v2")),
        gates: Vec::new(),
        perfspec: None,
        graded,
        policy: crate::domain::gate::Policy::default(),
        schedule: Schedule::Ramp(Ramp { start: Start::Auto, factor: 3, hold: Duration::ZERO, harm: None, approval: None }),
        expected_traffic: None,
        mutual: crate::domain::upkeep::Rules::default(),
        way_back: crate::domain::way_back::WayBack::default(),
        http_route: None,
        webhooks: Vec::new(),
        webhook_failure: crate::domain::gate::Inconclusive::Hold,
        names: Vec::new(),
    }
}

#[test]
fn a_service_is_graded_by_its_slo_file_and_without_files_not_at_all() {
    assert!(grader(&service(Vec::new())).is_none());
    let spec = slo::read("slo.yaml", SLO).unwrap().spec;
    let figures = foreign_slo::slo(&spec, &|_| None).figures;
    let grade = grader(&service(vec![Graded { arithmetic: Arithmetic::Slo(spec), figures }])).unwrap();
    for (p95, errors, stable, expected) in [
        (500.0, 0, 490.0, Verdict::Pass),
        (580.0, 0, 490.0, Verdict::Warning),
        (900.0, 0, 890.0, Verdict::Fail),
        (500.0, 2, 490.0, Verdict::Fail),
    ] {
        let (of_canary, of_stable) = (|_: f64| p95 * 1e6, |_: f64| stable * 1e6);
        let canary = Measured { key: "v2", count: 100, mean_ns: 1e8, quantile: &of_canary, classes: [0, 100 - errors, 0, 0, errors, 0, 0] };
        let beside = Measured { key: "v1", count: 100, mean_ns: 1e8, quantile: &of_stable, classes: [0, 100, 0, 0, 0, 0, 0] };
        let (verdict, why) = grade(&canary, Some(&beside));
        assert_eq!(verdict, expected, "{p95} ms, {errors} errors, stable {stable} ms: {why}");
    }
}
