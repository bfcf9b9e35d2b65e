//! What files of keptn's own grade the canary by, with figures as a proxy measures them.
#![cfg(test)]

use super::*;
use crate::domain::gate::analysis::quantity::Quantity;
use crate::domain::gate::analysis::spec::{Objective as Judged, Operator, Reference, Target, TotalScore as Needed};
use crate::domain::gate::foreign_slo;
use crate::domain::gate::slo::criterion::Criterion;
use crate::domain::gate::slo::spec::{Aggregate, Clause, Comparison, Include, Objective, TotalScore};

/// A version whose p95 takes so many milliseconds and of whose 100 requests so many answered 500.
fn measured(p95: f64, errors: u64, check: impl FnOnce(&live::Measured<'_>)) {
    let quantile = move |_: f64| p95 * 1e6;
    let classes = [0, 100 - errors, 0, 0, errors, 0, 5];
    check(&live::Measured { key: "v2", count: 100, mean_ns: 1e8, quantile: &quantile, classes });
}

fn objective(sli: &str, pass: &str, warning: &str, weight: u32, key: bool) -> Objective {
    let sets = |text: &str| match text {
        "" => Vec::new(),
        text => vec![vec![Clause { text: text.to_owned(), criterion: Criterion::parse_strictly(text).unwrap() }]],
    };
    let (pass, warning) = (sets(pass), sets(warning));
    Objective { sli: sli.into(), display_name: String::new(), pass, warning, weight, key, baseline_optional: false }
}

/// The objectives of lighthouse's own example (p95 of weight 1, errors of weight 2 and decisive), 90 % to pass and 75 % to warn.
fn lighthouse(objectives: Vec<Objective>) -> Graded {
    let comparison = Comparison { count: 1, include: Include::All, aggregate: Aggregate::Average };
    let total = TotalScore { pass: 90.0, warning: Some(75.0) };
    let spec = Spec { filter: Vec::new(), comparison, objectives, total };
    let figures = foreign_slo::slo(&spec, &|_| None).figures;
    Graded { arithmetic: Arithmetic::Slo(spec), figures }
}

fn verdict(graded: &Graded, p95: f64, errors: u64, stable: Option<f64>) -> (Verdict, String) {
    let mut found = None;
    measured(p95, errors, |canary| match stable {
        None => found = Some(graded.grade(canary, None)),
        Some(p95) => measured(p95, 0, |stable| found = Some(graded.grade(canary, Some(stable)))),
    });
    found.unwrap()
}

#[test]
fn the_total_score_of_a_file_decides_with_the_proxys_figures() {
    let graded = lighthouse(vec![
        objective("response_time_p95", "<600", "<800", 1, false),
        objective("error_rate", "<=0.02", "<=0.05", 2, true),
        objective("throughput", "", "", 1, false),
    ]);
    for (p95, errors, expected, part) in [
        (500.0, 1, Verdict::Pass, "score of 100 %"),
        (700.0, 1, Verdict::Warning, "score of 83"),
        (900.0, 1, Verdict::Fail, "score of 66"),
        (500.0, 3, Verdict::Fail, "score of 66"),
        (500.0, 9, Verdict::Fail, "key objective error_rate fails"),
    ] {
        let (found, why) = verdict(&graded, p95, errors, None);
        assert!(found == expected && why.contains(part), "{p95} ms, {errors} errors: {found}: {why}");
    }
}

#[test]
fn what_the_proxy_does_not_measure_is_missing_and_leaves_its_points_open() {
    let graded = lighthouse(vec![objective("response_time_p95", "<600", "", 8, false), objective("cpu_usage", "<50", "", 2, false)]);
    assert_eq!(graded.figures.len(), 1);
    // 80 % for sure is a warning, 100 % would pass.
    let (found, why) = verdict(&graded, 500.0, 0, None);
    assert!(found == Verdict::Warning && why.contains("cpu_usage: no value"), "{found}: {why}");
    assert_eq!(verdict(&graded, 700.0, 0, None).0, Verdict::Fail);
    let heavy = lighthouse(vec![objective("response_time_p95", "<600", "", 1, false), objective("cpu_usage", "<50", "", 1, false)]);
    assert_eq!(verdict(&heavy, 500.0, 0, None).0, Verdict::Inconclusive, "half of the points are unknown");
}

#[test]
fn criteria_that_compare_are_held_against_the_stable_version() {
    let graded = lighthouse(vec![objective("response_time_p95", "<=+10%", "", 1, false)]);
    assert_eq!(verdict(&graded, 500.0, 0, Some(490.0)).0, Verdict::Pass);
    assert_eq!(verdict(&graded, 500.0, 0, Some(400.0)).0, Verdict::Fail);
    assert_eq!(verdict(&graded, 500.0, 0, None).0, Verdict::Inconclusive);
}

#[test]
fn an_analysis_definition_grades_by_its_own_points() {
    let limit = |text: &str| Quantity::parse(text).unwrap();
    let judged = |name: &str, failure: &str, warning: &str, weight: i64| Judged {
        reference: Reference { name: name.into(), namespace: String::new() },
        target: Target { failure: Some(Operator::GreaterThan(limit(failure))), warning: Some(Operator::GreaterThan(limit(warning))) },
        weight,
        key_objective: false,
    };
    let definition = Definition {
        objectives: vec![judged("p95", "600", "400", 1), judged("errors", "0.05", "0.02", 1)],
        total_score: Needed { pass_percentage: 90, warning_percentage: 75 },
    };
    let query = |name: &str| {
        let errors = "sum(rate(http_requests_total{status=~'5..'}[1m]))/sum(rate(http_requests_total[1m]))";
        let p95 = "histogram_quantile(0.95,sum(rate(http_response_time_milliseconds_bucket[1m]))by(le))";
        Some(if name == "p95" { p95 } else { errors }.to_owned())
    };
    let figures = foreign_slo::analysis(&definition, &query).figures;
    let graded = Graded { arithmetic: Arithmetic::Analysis(definition), figures };
    for (p95, errors, expected) in
        [(300.0, 1, Verdict::Pass), (500.0, 1, Verdict::Warning), (700.0, 1, Verdict::Fail), (500.0, 3, Verdict::Fail)]
    {
        let (found, why) = verdict(&graded, p95, errors, None);
        assert_eq!(found, expected, "{p95} ms, {errors} errors: {why}");
    }
}

#[test]
fn without_requests_nothing_is_known_and_several_files_must_all_pass() {
    let graded = lighthouse(vec![objective("error_rate", "<=0.02", "", 1, false)]);
    let nothing = live::Measured { key: "v2", count: 0, mean_ns: f64::NAN, quantile: &|_| f64::NAN, classes: [0; 7] };
    assert_eq!(graded.grade(&nothing, None).0, Verdict::Inconclusive);
    let grade = |verdict: Verdict| (verdict, verdict.to_string());
    for (one, other, expected) in [
        (Verdict::Pass, Verdict::Warning, Verdict::Warning),
        (Verdict::Inconclusive, Verdict::Warning, Verdict::Inconclusive),
        (Verdict::Inconclusive, Verdict::Fail, Verdict::Fail),
    ] {
        let (found, why) = joined(vec![grade(one), grade(other)]).unwrap();
        assert!(found == expected && why.contains(one.as_str()) && why.contains(other.as_str()), "{why}");
    }
    assert_eq!(joined(Vec::new()), None);
}
