//! Replays every case of the lifecycle toolkit's evaluators.

use std::collections::BTreeMap;

use portcullis::domain::gate::analysis::keptn;
use portcullis::domain::gate::analysis::quantity::Quantity;
use portcullis::domain::gate::analysis::spec::{Definition, Objective, Outcome, Reference, Target, TotalScore};
use portcullis::formats::analysis;
use serde_json::{Value, json};

use crate::support::{ANALYSIS, cases, number};

/// Makes the text of a definition with one objective around a target.
fn definition(target: &Value, weight: &Value, reference: &Value) -> String {
    let objective = json!({"analysisValueTemplateRef": reference, "target": target, "weight": weight});
    json!({
        "apiVersion": "metrics.keptn.sh/v1", "kind": "AnalysisDefinition",
        "spec": {"objectives": [objective], "totalScore": {"passPercentage": 90, "warningPercentage": 75}},
    })
    .to_string()
}

/// Reads a target by both readers, which must agree.
fn target(value: &Value) -> Target {
    let text = definition(value, &json!(1), &json!({"name": "a"}));
    let strict = analysis::read("a.yaml", &text).unwrap().definition;
    let original = analysis::read_keptn("a.yaml", &text).unwrap();
    assert_eq!(strict, original, "{value}");
    original.objectives[0].target.clone()
}

#[test]
fn operators_are_fulfilled_or_not() {
    for case in cases(ANALYSIS, "operators", 14) {
        let operator = target(&json!({"failure": case["operator"]})).failure.unwrap();
        for limit in [Quantity::approximate, Quantity::exact] {
            let found = operator.fulfilled(number(&case["value"]), limit);
            assert_eq!(json!(found), case["expect"]["fulfilled"], "{}", case["name"]);
        }
    }
}

#[test]
fn targets_fail_first_and_warn_next() {
    for case in cases(ANALYSIS, "targets", 5) {
        let found = target(&case["target"]).outcome(number(&case["value"]), Quantity::approximate);
        let wanted = (case["expect"]["pass"].as_bool().unwrap(), case["expect"]["warning"].as_bool().unwrap());
        assert_eq!((found == Outcome::Pass, found == Outcome::Warning), wanted, "{}", case["name"]);
    }
}

#[test]
fn objectives_give_their_weight_half_of_it_or_nothing() {
    for case in cases(ANALYSIS, "objectives", 4) {
        // The original stubs the target; here it is one that gives the same result.
        let target = match case["target_result"].as_str() {
            Some("warning") => json!({"warning": {"greaterThan": {"fixedValue": 0}}}),
            Some("fail") => json!({"failure": {"greaterThan": {"fixedValue": 0}}}),
            _ => json!({}),
        };
        let weight = if case["weight"].is_null() { json!(1) } else { case["weight"].clone() };
        let objective =
            analysis::read("a.yaml", &definition(&target, &weight, &case["reference"])).unwrap().definition.objectives.remove(0);
        let values: BTreeMap<String, String> = serde_json::from_value(case["values"].clone()).unwrap();
        let found = keptn::grade(&objective, &values);
        let expect = &case["expect"];
        assert_eq!(found.score, Some(number(&expect["score"])), "{}", case["name"]);
        assert_eq!(json!(found.error), expect["error"], "{}", case["name"]);
        assert!(expect["value"].is_null() || found.value == number(&expect["value"]));
    }
}

#[test]
fn values_are_read_by_their_key() {
    for case in cases(ANALYSIS, "read_value", 3) {
        let values: BTreeMap<String, String> = serde_json::from_value(case["values"].clone()).unwrap();
        let found = keptn::read_value(&values, case["key"].as_str().unwrap());
        match case["expect"]["value"].as_f64() {
            Some(value) => assert_eq!(found, Ok(value)),
            None => assert!(found.is_err() && case["expect"]["error"] == true, "{}", case["name"]),
        }
    }
    for case in cases(ANALYSIS, "value_key", 2) {
        let text = |key: &str| case["reference"][key].as_str().unwrap_or_default().to_owned();
        assert_eq!(json!(Reference { name: text("name"), namespace: text("namespace") }.value_key()), case["expect"]);
    }
}

#[test]
fn analyses_come_to_their_totals() {
    for case in cases(ANALYSIS, "analyses", 6) {
        let needed = &case["totalScore"];
        let total_score = TotalScore {
            pass_percentage: needed["passPercentage"].as_i64().unwrap(),
            warning_percentage: needed["warningPercentage"].as_i64().unwrap(),
        };
        let part = |one: &Value| (number(&one["weight"]), number(&one["score"]), one["keyObjective"].as_bool().unwrap_or(false));
        let points: Vec<_> = case["objectives"].as_array().unwrap().iter().map(part).collect();
        let (found, expect) = (keptn::total(&points, total_score), &case["expect"]);
        assert_eq!((&json!(found.pass), &json!(found.warning)), (&expect["pass"], &expect["warning"]), "{}", case["name"]);
        assert_eq!((found.score, found.maximum), (number(&expect["totalScore"]), number(&expect["maximumScore"])), "{}", case["name"]);
        whole(&points, total_score, expect);
    }
}

/// The same through a whole definition, where a value of 0, 1 or 2 fails, warns or passes.
fn whole(points: &[(f64, f64, bool)], total_score: TotalScore, expect: &Value) {
    let limit = |text: &str| Some(portcullis::domain::gate::analysis::spec::Operator::LessThan(Quantity::parse(text).unwrap()));
    let objective = |(at, (weight, _, key)): (usize, &(f64, f64, bool))| Objective {
        reference: Reference { name: format!("v{at}"), namespace: String::new() },
        target: Target { failure: limit("1"), warning: limit("2") },
        weight: *weight as i64,
        key_objective: *key,
    };
    let value = |(at, (weight, score, _)): (usize, &(f64, f64, bool))| (format!("v{at}"), (2.0 * score / weight).to_string());
    let objectives = points.iter().enumerate().map(objective).collect();
    let report = keptn::evaluate(&Definition { objectives, total_score }, &points.iter().enumerate().map(value).collect());
    let report = serde_json::to_value(report).unwrap();
    for key in ["pass", "warning"] {
        assert_eq!(report[key], expect[key]);
    }
    for key in ["totalScore", "maximumScore"] {
        assert_eq!(number(&report[key]), number(&expect[key]));
    }
}
