//! What becomes of the objectives of files, one by one.
#![cfg(test)]

use super::*;
use crate::domain::gate::analysis::quantity::Quantity;
use crate::domain::gate::analysis::spec::{Objective as Judged, Reference, Target, TotalScore as Needed};

fn sets(texts: &[&[&str]]) -> Sets {
    let clause = |text: &&str| Clause { text: (*text).to_owned(), criterion: Criterion::parse_strictly(text).unwrap() };
    texts.iter().map(|set| set.iter().map(clause).collect()).collect()
}

fn objective(sli: &str, pass: &[&[&str]], warning: &[&[&str]], weight: u32) -> Objective {
    let (pass, warning) = (sets(pass), sets(warning));
    Objective { sli: sli.into(), display_name: String::new(), pass, warning, weight, key: false, baseline_optional: false }
}

fn spec(objectives: Vec<Objective>, pass: f64, warning: Option<f64>) -> Spec {
    let comparison = Comparison { count: 1, include: Include::All, aggregate: Aggregate::Average };
    Spec { filter: Vec::new(), comparison, objectives, total: TotalScore { pass, warning } }
}

fn names(compiled: &Compiled) -> Vec<String> {
    compiled.gates.iter().map(Gate::name).collect()
}

#[test]
fn fixed_limits_and_relative_ones_become_gates() {
    let compiled = slo(
        &spec(
            vec![
                objective("response_time_p95", &[&["<600", "<=+10%"]], &[&["<800"]], 1),
                objective("error_rate", &[&["<0.01"]], &[], 1),
                objective("throughput", &[], &[], 1),
            ],
            90.0,
            Some(75.0),
        ),
        &|_| None,
    );
    let errors = "error_rate: errors(5xx, 4xx, connect, reset, timeout, invalid) < 1%";
    assert_eq!(names(&compiled), ["response_time_p95: p95 < 800 ms", errors], "half of two points is 75 %, so the warning limit decides");
    let notes: Vec<&str> = compiled.remarks.iter().map(|remark| remark.message.as_str()).collect();
    assert!(notes.len() == 2 && notes[0].contains("4xx") && notes[1].contains("no pass criteria"), "{notes:?}");

    let strict = slo(&spec(vec![objective("response_time_p50", &[&["<600", "<=+10%"]], &[&["<800"]], 1)], 90.0, None), &|_| None);
    assert_eq!(names(&strict), ["response_time_p50: p50 < 600 ms", "response_time_p50: p50 <= stable * 1.1"]);
    assert!(strict.remarks[0].message.contains("the same moment") && strict.remarks[0].hint.is_none());
}

#[test]
fn a_release_reads_percent_signs_its_own_way() {
    let file = |criterion: &str| Slo {
        objectives: vec![Written {
            sli: "error_rate".into(),
            display_name: String::new(),
            pass: Some(vec![CriteriaSet { criteria: Some(vec![criterion.to_owned()]) }]),
            warning: None,
            weight: 1,
            key_sli: false,
        }],
        total_score: Some(crate::domain::gate::slo::written::TotalScore { pass: "90%".into(), warning: String::new() }),
        ..Slo::default()
    };
    let names = |criterion: &str, release| names(&slo(&released(&file(criterion), release).unwrap(), &|_| None));
    let kinds = "5xx, 4xx, connect, reset, timeout, invalid";
    assert_eq!(names("<=10%", Lighthouse::V1), [format!("error_rate: errors({kinds}) <= stable * 1.1")]);
    assert_eq!(names("<=0.1%", Lighthouse::V0_6_0), [format!("error_rate: errors({kinds}) < 10%")]);
    assert_eq!(released(&file("nonsense"), Lighthouse::V1).unwrap_err().index, 0);
    let without = Slo { total_score: None, ..file("<1") };
    assert_eq!(released(&without, Lighthouse::V1).unwrap_err().index, 1);
}

#[test]
fn what_cannot_be_judged_live_is_an_error_and_what_cannot_fail_a_note() {
    let one = |sli: &str, pass: &[&[&str]]| slo(&spec(vec![objective(sli, pass, &[], 1)], 90.0, None), &|_| None);
    for (sli, pass, part) in [
        ("cpu", &[&["<1"][..]][..], "well-known"),
        ("throughput", &[&["<1"][..]], "clients"),
        ("response_time_p95", &[&[">1"][..]], "slower version"),
        ("response_time_p95", &[&["<1"][..], &["<2"][..]], "choice"),
        ("error_rate", &[&["=0"][..]], "exactly so"),
    ] {
        let compiled = one(sli, pass);
        assert!(compiled.gates.is_empty() && compiled.remarks.len() == 1, "{sli}: {compiled:?}");
        assert!(compiled.remarks[0].message.contains(part) && compiled.remarks[0].hint.is_some(), "{compiled:?}");
    }
    let light =
        spec(vec![objective("response_time_p95", &[&["<1"]], &[], 1), objective("response_time_p50", &[&["<1"]], &[], 99)], 90.0, None);
    let compiled = slo(&light, &|_| None);
    assert_eq!(names(&compiled), ["response_time_p50: p50 < 1 ms"]);
    assert!(compiled.remarks[0].message.contains("cannot fail the evaluation by itself") && compiled.figures.len() == 2);
}

#[test]
fn what_is_not_measured_is_said_to_be_missing_and_refused_where_no_grade_could_ever_be_known() {
    let with = |cpu: u32, memory: u32| {
        let measured = objective("response_time_p95", &[&["<600"]], &[], 80);
        slo(
            &spec(vec![measured, objective("cpu", &[&["<1"]], &[], cpu), objective("memory", &[&["<1"]], &[], memory)], 85.0, None),
            &|_| None,
        )
    };
    let light = with(10, 2);
    assert!(light.figures.keys().eq(["response_time_p95"]) && light.remarks.iter().all(|remark| remark.hint.is_none()), "{light:?}");
    assert!(light.remarks[0].message.contains("counts as missing") && light.remarks[0].message.contains("well-known"), "{light:?}");
    let heavy = with(10, 10);
    let refused: Vec<_> = heavy.remarks.iter().filter(|remark| remark.hint.is_some()).collect();
    assert!(refused.len() == 1 && refused[0].index == 1 && refused[0].message.contains("none of \"cpu\", \"memory\""), "{heavy:?}");
}

#[test]
fn targets_of_an_analysis_are_turned_around() {
    let limit = |text: &str| Quantity::parse(text).unwrap();
    let judged = |failure: Option<Fulfilled>, warning: Option<Fulfilled>| Definition {
        objectives: vec![Judged {
            reference: Reference { name: "p95".into(), namespace: String::new() },
            target: Target { failure, warning },
            weight: 1,
            key_objective: false,
        }],
        total_score: Needed { pass_percentage: 90, warning_percentage: 75 },
    };
    let query = |_: &str| Some("histogram_quantile(0.95,sum(rate(http_response_time_milliseconds_bucket[1m]))by(le))".to_owned());
    let gates = |failure, warning| names(&analysis(&judged(failure, warning), &query));
    let above = |text: &str| Some(Fulfilled::GreaterThan(limit(text)));
    assert_eq!(gates(above("600"), None), ["p95: p95 < 600 ms"]);
    assert_eq!(gates(above("600"), above("300")), ["p95: p95 < 300 ms"]);
    assert_eq!(gates(above("600"), Some(Fulfilled::InRange(limit("300"), limit("500")))), ["p95: p95 < 300 ms"]);
    assert_eq!(gates(Some(Fulfilled::NotInRange(limit("0"), limit("600"))), None), ["p95: p95 < 600 ms"]);
    assert!(gates(Some(Fulfilled::LessThan(limit("600"))), None).is_empty(), "a fast version does no harm");
    assert!(gates(None, None).is_empty());
}
