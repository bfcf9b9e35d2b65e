//! Replays the cases of keptn's jmeter-service: ports, URLs and the judgement of runs; names those that need a network.
#![cfg(test)]

use serde_json::Value;

use crate::formats::jmeter_conf::{TestUrl, last_summary, service_url};
use crate::load::judgement::{Judgement, Limits};

/// The groups that need a socket or files: `endpoint_available` is replayed where servers are reached, and `execute` where scripts are
/// found.
const ELSEWHERE: [(&str, usize); 2] = [("endpoint_available", 4), ("execute", 3)];

/// The groups that are replayed here, with the number of their cases.
const HERE: [(&str, usize); 3] = [("derive_port", 6), ("service_url", 3), ("judge_output", 8)];

fn all() -> Value {
    serde_json::from_str(include_str!("../../tests/data/compat/jmeter-cases.json")).unwrap()
}

fn cases(group: &str) -> Vec<Value> {
    all()[group].as_array().unwrap().clone()
}

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key].as_str().unwrap()
}

#[test]
fn every_group_of_cases_is_replayed_here_or_known_to_need_a_network() {
    let all = all();
    let found: Vec<(&str, usize)> =
        all.as_object().unwrap().iter().filter_map(|(group, cases)| Some((group.as_str(), cases.as_array()?.len()))).collect();
    let mut known: Vec<(&str, usize)> = HERE.into_iter().chain(ELSEWHERE).collect();
    known.sort_unstable();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, known);
}

#[test]
fn the_port_of_a_url_is_the_one_written_or_that_of_the_scheme() {
    for case in cases("derive_port") {
        let url: TestUrl = text(&case, "url").parse().unwrap();
        assert_eq!(url.port.to_string(), text(&case, "expect"), "{case}");
    }
}

#[test]
fn the_local_url_of_a_deployment_wins_and_has_a_path() {
    for case in cases("service_url") {
        let url = service_url(Some(text(&case, "local")), Some(text(&case, "public"))).unwrap();
        assert_eq!(url.to_string(), text(&case, "expect"), "{case}");
    }
}

#[test]
fn runs_are_judged_by_their_last_summary_as_in_the_original() {
    for case in cases("judge_output") {
        let lines: Vec<&str> = case["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let (read, expect) = (last_summary(&lines.join("\n")), &case["expect"]);
        if let Some(error) = expect["error"].as_str() {
            assert!(read.unwrap_err().to_string().contains(error), "{case}");
            continue;
        }
        let summary = read.unwrap();
        let figures = (summary.runs, u64::try_from(summary.average.as_millis()).unwrap(), summary.errors);
        let wanted = ["runs", "avg", "errors"].map(|key| expect[key].as_u64().unwrap());
        assert_eq!(figures, wanted.into(), "{case}");
        let limits = Limits {
            functional: case["functional"].as_bool().unwrap(),
            error_rate: case["accepted_error_rate"].as_f64().unwrap(),
            average: Some(std::time::Duration::from_millis(case["avg_rt_validation"].as_u64().unwrap())),
        };
        let passed = limits.judge(summary.runs, summary.errors, summary.average) == Judgement::Pass;
        assert_eq!(passed, expect["success"].as_bool().unwrap(), "{case}");
    }
}
