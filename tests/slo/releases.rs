//! One test for each difference between the releases of lighthouse.

use portcullis::domain::gate::slo::keptn;
use portcullis::domain::gate::slo::release::Lighthouse::{self, V0_6_0, V0_6_1, V0_7_1, V0_8, V0_12, V0_19, V1, V1_0};
use portcullis::domain::gate::slo::report::Report;
use serde_json::{Value, json};

use crate::support::{answer, file, in_keptn, json_of, slo_of};

fn values(of: &[(&str, f64)]) -> Value {
    of.iter().map(|(metric, value)| json!({"metric": metric, "value": value, "success": true})).collect()
}

/// Returns the results of all releases, the oldest first.
fn all(file: &Value, values: &Value, previous: &Value) -> Vec<&'static str> {
    Lighthouse::ALL.iter().map(|release| in_keptn(file, values, previous, *release).result).collect()
}

fn rows(report: &Report) -> usize {
    report.rows.as_ref().map_or(0, Vec::len)
}

#[test]
fn a_percent_without_sign_is_absolute_in_0_6_0() {
    let one = file(&[("a", &["<=10%"])], |_| ());
    let previous = json!([{"result": "pass", "indicators": [{"value": {"metric": "a", "value": 100, "success": true}, "status": "pass"}]}]);
    assert_eq!(all(&one, &values(&[("a", 105.0)]), &previous), ["fail", "pass", "pass", "pass", "pass", "pass", "pass", "pass"]);
}

#[test]
fn an_empty_pass_fails_before_0_7_1_and_objectives_are_wanted_since_1_0() {
    let shown = file(&[("a", &["<1"]), ("b", &["<1"])], |file| file["objectives"][0]["pass"] = json!([]));
    let status = |release| in_keptn(&shown, &values(&[("a", 9.0), ("b", 0.0)]), &json!(null), release).rows.unwrap()[0].status;
    assert_eq!((status(V0_6_1), status(V0_7_1), status(V1)), ("fail", "info", "info"));
    assert_eq!(all(&file(&[], |_| ()), &json!([]), &json!(null)), ["pass", "pass", "pass", "pass", "pass", "pass", "fail", "fail"]);
}

#[test]
fn earlier_evaluations_are_chosen_by_the_slis_own_status_before_0_8() {
    let one = file(&[("a", &["<=+10%"])], |file| {
        file["comparison"] = json!({"compare_with": "single_result", "include_result_with_score": "pass"});
    });
    let previous = json!([
        {"result": "fail", "indicators": [{"value": {"metric": "a", "value": 10, "success": true}, "status": "pass"}]},
        {"result": "pass", "indicators": [{"value": {"metric": "a", "value": 100, "success": true}, "status": "fail"}]},
    ]);
    let result = |release| in_keptn(&one, &values(&[("a", 50.0)]), &previous, release).result;
    assert_eq!((result(V0_7_1), result(V0_8)), ("fail", "pass"));
}

#[test]
fn a_row_has_one_list_of_targets_before_0_8() {
    let one = file(&[("a", &["<10"])], |file| file["objectives"][0]["warning"] = json!([{"criteria": ["<20"]}]));
    let row = |release, value: f64| json_of(&in_keptn(&one, &values(&[("a", value)]), &json!(null), release));
    let old = row(V0_6_0, 15.0);
    let targets = &old["evaluationdetails"]["indicatorResults"][0]["targets"];
    assert_eq!((&targets[0]["criteria"], &targets[1]["criteria"]), (&json!("<20"), &json!("<10")));
    assert_eq!(row(V0_6_0, 5.0)["evaluationdetails"]["indicatorResults"][0]["targets"].as_array().unwrap().len(), 1);
    let new = row(V0_8, 5.0);
    assert_eq!(new["evaluation"]["indicatorResults"][0]["warningTargets"][0]["violated"], json!(false));
    assert!(new["evaluation"]["indicatorResults"][0]["value"].get("comparedValue").is_none());
    assert_eq!(row(V0_12, 5.0)["evaluation"]["indicatorResults"][0]["value"]["comparedValue"], 0);
}

#[test]
fn a_value_answers_one_objective_and_leftovers_are_named_since_0_12() {
    let twice = file(&[("a", &["<10"]), ("a", &[">1"])], |_| ());
    assert_eq!(all(&twice, &values(&[("a", 5.0)]), &json!(null)), ["pass", "pass", "pass", "pass", "fail", "fail", "fail", "fail"]);
    let one = file(&[("a", &["<10"])], |_| ());
    let message = |release| in_keptn(&one, &values(&[("x", 1.0), ("a", 5.0), ("y", 1.0)]), &json!(null), release).message;
    assert_eq!(message(V0_8), "");
    assert!(message(V0_12).contains("not specified as SLO: x, y . Please"));
}

#[test]
fn a_provider_that_failed() {
    let slo = slo_of(&file(&[("a", &["<10"])], |_| ()));
    let of = |release| {
        let report = keptn::evaluate(&slo, &answer(&values(&[("a", 5.0)]), "fail"), &[], release);
        (report.result, report.evaluation_result, rows(&report_rows(report.rows)))
    };
    assert_eq!(of(V0_8), ("pass", "pass".to_owned(), 1));
    assert_eq!(of(V0_12), ("fail", "fail".to_owned(), 0));
    assert_eq!(of(V0_19), ("fail", "pass".to_owned(), 1));
}

fn report_rows(rows: Option<Vec<portcullis::domain::gate::slo::report::Row>>) -> Report {
    Report { rows, ..Report::errored(V1, "") }
}

#[test]
fn a_missing_value_has_a_row_since_0_19_and_fails_as_a_key_since_1_2() {
    let key = file(&[("a", &["<10"]), ("k", &["<10"])], |file| {
        file["objectives"][0]["weight"] = json!(99);
        file["objectives"][1]["key_sli"] = json!(true);
    });
    let of = |release| {
        let report = in_keptn(&key, &values(&[("a", 5.0)]), &json!(null), release);
        (report.result, rows(&report), report.rows.unwrap().last().unwrap().pass_targets.is_some())
    };
    assert_eq!((of(V0_12), of(V0_19), of(V1_0), of(V1)), (("pass", 1, true), ("pass", 2, false), ("pass", 2, true), ("fail", 2, true)));
}

#[test]
fn a_value_without_success_is_violated_then_an_error_then_a_row() {
    let one = file(&[("a", &["<10"])], |_| ());
    let failed = json!([{"metric": "a", "value": 0, "success": false, "message": "no"}]);
    let of = |release| in_keptn(&one, &failed, &json!(null), release);
    let target = |report: &Report| report.rows.as_ref().unwrap()[0].pass_targets.as_ref().unwrap()[0].target;
    assert_eq!(target(&of(V0_19)), Some(0.0));
    assert_eq!(of(V1_0).message, "error with a: cannot evaluate invalid SLI result");
    assert_eq!(target(&of(V1)), Some(10.0));
}

#[test]
fn a_pass_criterion_that_cannot_be_read_is_violated_before_1_0() {
    let one = file(&[("a", &["<10ms"])], |_| ());
    let of = |release| in_keptn(&one, &values(&[("a", 5.0)]), &json!(null), release);
    assert_eq!((of(V0_19).result, rows(&of(V0_19))), ("fail", 1));
    assert_eq!((of(V1_0).message.as_str(), rows(&of(V1_0))), ("error with a: could not parse criteria target value", 0));
}

#[test]
fn the_first_release_answers_an_error_as_failed() {
    let one = file(&[("a", &["<10"])], |file| drop(file.as_object_mut().unwrap().remove("total_score")));
    let report = json_of(&in_keptn(&one, &values(&[("a", 5.0)]), &json!(null), V0_6_0));
    assert_eq!((&report["result"], &report["evaluationdetails"]["result"]), (&json!("failed"), &json!("no target score defined")));
    let report = json_of(&in_keptn(&one, &values(&[("a", 5.0)]), &json!(null), V1));
    assert_eq!(
        (&report["status"], &report["result"], &report["message"]),
        (&json!("errored"), &json!("fail"), &json!("no target score defined"))
    );
}
