//! One test for each decided row on values and comparison with earlier evaluations.

use portcullis::domain::gate::slo::release::Lighthouse;
use portcullis::domain::gate::slo::report::Report;
use portcullis::domain::gate::slo::strict::{self, Readings};
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::slo;
use serde_json::{Value, json};

use crate::support::{earlier, file, in_keptn, in_strict, load};

const V1: Lighthouse = Lighthouse::V1;

/// Grades a file with one objective strictly, the value written as a file of values has it.
fn one(criteria: &[&str], value: Value, previous: &[f64]) -> Report {
    let row = |value: &f64| json!({"result": "pass", "indicators": [{"value": {"metric": "a", "value": value, "success": true}, "status": "pass"}]});
    in_strict(&file(&[("a", criteria)], |_| ()), &json!({"a": value}), &previous.iter().map(row).collect()).unwrap()
}

#[test]
fn v1_to_v5_what_is_no_single_number_is_inconclusive_with_the_reason() {
    for (value, part) in [
        (json!("NaN"), "the value is NaN"),
        (json!("Inf"), "the value is +Inf"),
        (json!(null), "the value is null"),
        (json!([]), "no values"),
        (json!([{"value": 1}, {"value": 2}]), "2 values where one is wanted"),
        (json!("fast"), "not a number"),
        (json!(true), "not a number"),
        (json!({"value": 0, "success": false, "message": "could not get data"}), "could not get data"),
    ] {
        let report = one(&["<10"], value, &[]);
        assert_eq!((report.verdict, report.score), (Verdict::Inconclusive, None), "{part}");
        assert!(report.reasons.iter().any(|reason| reason.contains(part)), "{part}: {:?}", report.reasons);
    }
    for value in [json!(5), json!("5"), json!([5]), json!([{"key": "k", "value": "5"}]), json!({"value": 5, "success": true})] {
        assert_eq!(one(&["<10"], value, &[]).verdict, Verdict::Pass);
    }
    let nothing = in_strict(&file(&[("a", &["<10"])], |_| ()), &json!({}), &json!(null)).unwrap();
    assert_eq!(nothing.verdict, Verdict::Inconclusive);
    assert_eq!(in_keptn(&file(&[("a", &["<10"])], |_| ()), &json!([]), &json!(null), V1).result, "fail");
}

#[test]
fn v8_a_first_run_is_inconclusive_unless_the_objective_says_otherwise() {
    assert_eq!(one(&["<=+10%"], json!(5), &[]).verdict, Verdict::Inconclusive);
    assert_eq!(one(&["<=+10%", "<4"], json!(5), &[]).verdict, Verdict::Fail, "the fixed criterion fails whatever the other says");
    let optional = file(&[("a", &["<=+10%"])], |file| file["objectives"][0]["baseline"] = json!("optional"));
    assert_eq!(in_strict(&optional, &json!({"a": 5}), &json!(null)).unwrap().verdict, Verdict::Pass);
    assert_eq!(
        in_keptn(&file(&[("a", &["<=+10%"])], |_| ()), &json!([{"metric": "a", "value": 5, "success": true}]), &json!(null), V1).result,
        "pass"
    );
}

#[test]
fn v9_a_percentage_of_nothing_says_nothing_and_a_difference_still_does() {
    for base in [0.0, -10.0] {
        assert_eq!(one(&["<=+10%"], json!(-20), &[base]).verdict, Verdict::Inconclusive);
        assert_eq!(one(&["<=+1"], json!(base + 1.0), &[base]).verdict, Verdict::Pass);
        assert_eq!(one(&["<=+1"], json!(base + 1.5), &[base]).verdict, Verdict::Fail);
    }
    assert_eq!(one(&["<=+10%"], json!(11), &[10.0]).verdict, Verdict::Pass);
    assert_eq!(one(&["<=+10%"], json!(11.5), &[10.0]).verdict, Verdict::Fail);
}

#[test]
fn v12_an_undecided_key_objective_rules_out_a_pass_and_nothing_else() {
    let key = |weight: u32| {
        file(&[("a", &["<10"]), ("k", &["<10"])], |file| {
            file["objectives"][0]["weight"] = json!(weight);
            file["objectives"][1]["key_sli"] = json!(true);
        })
    };
    let of = |file: &Value, values: Value| in_strict(file, &values, &json!(null)).unwrap();
    let report = of(&key(99), json!({"a": 1}));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.message.contains("the key objective k is undecided"), "{}", report.message);
    assert_eq!(of(&key(1), json!({"a": 99})).verdict, Verdict::Fail, "half of the points are lost whatever k is");
    assert_eq!(of(&key(99), json!({"a": 1, "k": 99})).message, "the key objective k fails");
    let plain = file(&[("a", &["<10"]), ("b", &["<10"])], |file| file["objectives"][0]["weight"] = json!(99));
    assert_eq!(of(&plain, json!({"a": 1})).verdict, Verdict::Pass, "an unknown point of a hundred changes nothing");
}

#[test]
fn v13_a_source_that_failed_never_passes() {
    let spec = load(&file(&[("a", &["<10"])], |_| ())).unwrap();
    let of = |value: f64| {
        let by_sli = slo::read_values("v", &json!({"a": value}).to_string(), ["a"].into_iter()).unwrap().by_sli;
        strict::evaluate(&spec, &Readings { by_sli, source_failed: Some("timed out".into()) }, &earlier(&json!(null)))
    };
    assert_eq!(of(5.0).verdict, Verdict::Inconclusive);
    assert!(of(5.0).message.contains("timed out"));
    assert_eq!(of(15.0).verdict, Verdict::Fail);
}

#[test]
fn a_warning_at_worst_is_a_warning_and_names_the_score() {
    let file = file(&[("a", &["<10"])], |file| {
        file["objectives"][0]["warning"] = json!([{"criteria": ["<20"]}]);
        file["total_score"]["warning"] = json!("50%");
    });
    let report = in_strict(&file, &json!({"a": 15}), &json!(null)).unwrap();
    assert_eq!((report.verdict, report.score, report.rows.as_ref().unwrap()[0].status), (Verdict::Warning, Some(50.0), "warning"));
    assert!(report.reasons.iter().any(|reason| reason == "a: 15 misses \"<10\", which is 10"), "{:?}", report.reasons);
}

#[test]
fn a_printed_result_is_read_back_as_an_earlier_one() {
    let report = one(&["<10"], json!(5), &[]);
    let text = serde_json::to_string(&report).unwrap();
    for text in [text.clone(), format!("[{text}]"), format!("{{\"data\": {text}}}")] {
        let read = slo::read_earlier("p", &text).unwrap();
        assert_eq!((read.len(), read[0].result.as_str()), (1, "pass"));
        let value = read[0].rows[0].value.as_ref().unwrap();
        assert_eq!((value.metric.as_str(), value.value, value.success), ("a", 5.0, true));
    }
    assert!(slo::read_earlier("p", "[{}]").unwrap_err()[0].message.contains("no result"));
}
