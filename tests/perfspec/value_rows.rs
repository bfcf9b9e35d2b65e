//! One test for each decided row on values, and the rule for undecided indicators.

use portcullis::domain::gate::perfspec::spec::{Answer, Answers};
use portcullis::domain::gate::perfspec::{keptn, strict};
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::perfspec;
use serde_json::{Value, json};

use crate::support::{DYNATRACE, carts, in_keptn, in_strict, json_of, value};

#[test]
fn v1_nan_passes_and_is_strictly_inconclusive() {
    for odd in ["NaN", "+Inf", "", "fast"] {
        let report = in_strict(&carts(|_| ()), &value(odd)).unwrap();
        assert_eq!((report.verdict, report.result), (Verdict::Inconclusive, "inconclusive"), "{odd:?}");
    }
    assert_eq!(in_keptn(&carts(|_| ()), &value("NaN"))["result"], "pass");
}

#[test]
fn v2_a_missing_or_null_value_passes_and_is_strictly_inconclusive() {
    for values in [value(Value::Null), json!({"ResponseTime_Backend": [{"key": "k"}]})] {
        assert_eq!(in_keptn(&carts(|_| ()), &values)["result"], "pass");
        assert_eq!(in_strict(&carts(|_| ()), &values).unwrap().verdict, Verdict::Inconclusive);
    }
}

#[test]
fn v3_and_v4_no_values_fail_and_are_strictly_inconclusive_unless_empty_is_ignored() {
    for values in [json!({}), json!({"ResponseTime_Backend": []})] {
        let report = in_keptn(&carts(|_| ()), &values);
        assert_eq!(report["indicatorResults"][0]["violations"], json!([{"breach": "The indicator returned no values"}]));
        assert_eq!(report["result"], "fail");
        assert_eq!(in_strict(&carts(|_| ()), &values).unwrap().verdict, Verdict::Inconclusive);
        let ignoring = carts(|spec| spec["indicators"][0]["grading"]["ignoreEmpty"] = json!(true));
        let report = in_strict(&ignoring, &values).unwrap();
        assert_eq!(report.verdict, Verdict::Pass);
        assert!(report.reasons.iter().any(|reason| reason.contains("no data")), "{:?}", report.reasons);
    }
}

#[test]
fn v5_of_several_values_the_worst_counts() {
    let values = json!({"ResponseTime_Backend": [{"key": "a", "value": 1}, {"key": "b", "value": 900_000}, {"key": "c", "value": 2}]});
    assert_eq!(in_keptn(&carts(|_| ()), &values)["totalScore"], 50);
    assert_eq!(json_of(&in_strict(&carts(|_| ()), &values).unwrap())["totalScore"], 50);
}

#[test]
fn v6_and_v7_a_source_that_cannot_answer_fails_the_run_and_is_strictly_inconclusive() {
    for why in ["HTTP 503", "No Dynatrace Service Entity found."] {
        let answers = Answers::from([("ResponseTime_Backend".to_owned(), Answer::Unavailable(why.to_owned()))]);
        let original = keptn::evaluate(&perfspec::load_keptn(DYNATRACE), &|id| keptn::fetch_from(&answers, id));
        assert_eq!((original.result, original.error.as_deref()), ("failed", Some(why)));
        let report = strict::evaluate(&perfspec::load("f", DYNATRACE).unwrap().spec, &answers);
        assert_eq!(report.verdict, Verdict::Inconclusive);
        assert!(report.reasons.iter().any(|reason| reason.contains(why)), "{:?}", report.reasons);
    }
}

#[test]
fn v8_a_relative_limit_without_a_baseline_is_inconclusive_unless_it_is_optional() {
    let relative = carts(|spec| spec["indicators"][0]["grading"]["thresholds"] = json!({"upperSeverePerc": 10}));
    assert_eq!(in_keptn(&relative, &value(1e9))["result"], "pass");
    assert_eq!(in_strict(&relative, &value(1)).unwrap().verdict, Verdict::Inconclusive);
    let mut optional = relative.clone();
    optional["indicators"][0]["grading"]["baseline"] = json!("optional");
    assert_eq!(in_strict(&optional, &value(1)).unwrap().verdict, Verdict::Pass);
    let mut severe = relative;
    severe["indicators"][0]["grading"]["thresholds"]["lowerSevere"] = json!(5);
    assert_eq!(in_strict(&severe, &value(1)).unwrap().verdict, Verdict::Fail, "an absolute limit decides without a baseline");
}

#[test]
fn v15_what_is_not_finite_is_written_as_null_with_a_reason() {
    let mut loaded = perfspec::load("f", DYNATRACE).unwrap().spec;
    let nan = portcullis::domain::gate::perfspec::SourceResult::number("k", f64::NAN);
    let answers = Answers::from([("ResponseTime_Backend".to_owned(), Answer::Values(vec![nan]))]);
    let unusable = json!([{"key": "k", "value": null, "reason": "value is not a number: NaN"}]);
    assert_eq!(json_of(&strict::evaluate(&loaded, &answers))["indicatorResults"][0]["unusable"], unusable);
    loaded.indicators[0].metric_score = f64::MAX;
    loaded.indicators.push(loaded.indicators[0].clone());
    let one = portcullis::domain::gate::perfspec::SourceResult::number("k", 1.0);
    let report = json_of(&strict::evaluate(&loaded, &Answers::from([("ResponseTime_Backend".to_owned(), Answer::Values(vec![one]))])));
    assert_eq!(report["totalScore"], Value::Null);
    assert!(report["reasons"].as_array().unwrap().iter().any(|r| r == "totalScore is Infinity and is written as null"));
}

#[test]
fn an_undecided_indicator_matters_only_if_it_can_change_the_outcome() {
    let two = carts(|spec| {
        let mut minor = spec["indicators"][0].clone();
        (minor["id"], minor["grading"]["metricScore"]) = (json!("minor"), json!(20));
        spec["indicators"].as_array_mut().unwrap().push(minor);
    });
    let run = |major: Value, minor: Value| {
        let values = json!({"ResponseTime_Backend": [{"key": "k", "value": major}], "minor": [{"key": "k", "value": minor}]});
        in_strict(&two, &values).unwrap().verdict
    };
    assert_eq!(run(json!(1), Value::Null), Verdict::Pass, "100 points suffice whatever the other says");
    assert_eq!(run(json!(2e6), Value::Null), Verdict::Fail, "20 points never suffice");
    assert_eq!(run(Value::Null, json!(1)), Verdict::Inconclusive);
    let narrow = carts(|spec| (spec["indicators"], spec["objectives"]) = (two["indicators"].clone(), json!({"pass": 120, "warning": 100})));
    let values = json!({"ResponseTime_Backend": [{"key": "k", "value": 1}]});
    assert_eq!(in_strict(&narrow, &values).unwrap().verdict, Verdict::Warning, "at worst a warning, at best a pass");
}
