//! Iterates every case of the grader's reference data in both modes.

use serde_json::{Value, json};

use crate::support::{in_keptn, in_strict, json_of};

fn data() -> Value {
    serde_json::from_str(include_str!("../data/compat/grader-cases.json")).unwrap()
}

fn list<'a>(data: &'a Value, name: &str, count: usize) -> &'a [Value] {
    let cases = data[name].as_array().unwrap();
    assert_eq!(cases.len(), count, "the number of {name} changed");
    cases
}

/// Makes a whole file and its values out of one graded indicator.
fn run_of(id: &Value, grading: &Value, results: &Value) -> (Value, Value) {
    let indicator = json!({"id": id, "source": "Prometheus", "query": "up", "grading": grading});
    let id = id.as_str().unwrap();
    (json!({"indicators": [indicator], "objectives": {"pass": 1, "warning": 1}}), json!({id: results}))
}

/// Says whether the words of `expected` occur in `text` in their order.
fn words_in_order(text: &str, expected: &str) -> bool {
    let mut rest = text;
    expected.split_whitespace().all(|word| match rest.find(word) {
        Some(at) => {
            rest = &rest[at + word.len()..];
            true
        }
        None => false,
    })
}

/// Holds a strict run to what the data says of it.
fn assert_strict(name: &str, spec: &Value, values: &Value, expected: &Value) {
    let outcome = in_strict(spec, values);
    if let Some(message) = expected.get("load_error") {
        let problems = outcome.expect_err(name);
        let found = problems.iter().any(|p| {
            p.is_error()
                && p.line.is_some()
                && p.hint.is_some()
                && words_in_order(&format!("{}: {}", p.path, p.message), message.as_str().unwrap())
        });
        assert!(found, "{name}: {message} is not among {problems:#?}");
        return;
    }
    let report = outcome.unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
    let json = json_of(&report);
    assert!(!report.reasons.is_empty(), "{name}: a verdict without a reason");
    for (key, value) in expected.as_object().unwrap() {
        match key.as_str() {
            "verdict" => assert_eq!(&json["verdict"], value, "{name}"),
            "reason" => {
                let reason = value.as_str().unwrap();
                assert!(report.reasons.iter().any(|r| r.contains(reason)), "{name}: {:?} does not say {reason:?}", report.reasons);
            }
            "score" | "violations" => assert_eq!(&json["indicatorResults"][0][key], value, "{name}: {key}"),
            "totalScore" | "result" | "indicatorResults" => assert_eq!(&json[key], value, "{name}: {key}"),
            other => panic!("{name}: the test does not know the expectation {other}"),
        }
    }
}

#[test]
fn the_thirteen_cases_of_the_grader_hold_in_both_modes() {
    let data = data();
    let defaults = &data["defaults"];
    for case in list(&data, "cases", 13) {
        let name = case["name"].as_str().unwrap();
        if case["case"] == 1 {
            context_is_kept(&case["options"], &case["expect"]["context"]);
            continue;
        }
        let mut grading = case["grading"].clone();
        grading["metadata"] = defaults["metadata"].clone();
        let mut expected = case["expect"].clone();
        for violation in expected["violations"].as_array_mut().unwrap() {
            assert_eq!(violation["metadata"], "=grading.metadata", "{name}");
            violation["metadata"] = defaults["metadata"].clone();
        }
        let (spec, values) = run_of(&defaults["indicator_id"], &grading, &case["results"]);
        let result = &in_keptn(&spec, &values)["indicatorResults"][0];
        assert_eq!(result["id"], defaults["indicator_id"], "{name}");
        assert_eq!((&result["score"], &result["violations"]), (&expected["score"], &expected["violations"]), "{name}");
        assert_strict(name, &spec, &values, case.get("strict").unwrap_or(&expected));
    }
}

/// Case 1: the context of the options is found again in the result.
fn context_is_kept(options: &Value, context: &Value) {
    use portcullis::domain::gate::perfspec::{Js, keptn, strict};
    let text = crate::support::DYNATRACE;
    let spec = portcullis::formats::perfspec::load("f", text).unwrap().spec;
    let strictly = strict::evaluate(&spec, &std::collections::BTreeMap::new());
    let original = keptn::evaluate(&portcullis::formats::perfspec::load_keptn(text), &|_| Ok(Js::List(Vec::new())));
    for report in [strictly, original] {
        assert_eq!(&json_of(&report.with_options(Js::from(options)))["options"]["context"], context);
    }
}

#[test]
fn the_edge_cases_of_the_language_hold_in_both_modes() {
    let data = data();
    for case in list(&data, "edge_cases", 14) {
        let name = case["name"].as_str().unwrap();
        let (spec, values) = run_of(&json!("i"), &case["grading"], &case["results"]);
        let report = in_keptn(&spec, &values);
        let result = &report["indicatorResults"][0];
        assert_eq!((&result["score"], &result["violations"]), (&case["keptn"]["score"], &case["keptn"]["violations"]), "{name}");
        if name == "missing metricScore" {
            assert_eq!((&report["totalScore"], &report["result"]), (&Value::Null, &json!("fail")), "{name}");
        }
        assert_strict(name, &spec, &values, case.get("strict").unwrap_or(&case["keptn"]));
    }
}

#[test]
fn the_whole_runs_hold_in_both_modes() {
    let data = data();
    for case in list(&data, "run_cases", 15) {
        let name = case["name"].as_str().unwrap();
        let mut values = json!({});
        let mut indicators = Vec::new();
        for indicator in case["indicators"].as_array().unwrap() {
            values[indicator["id"].as_str().unwrap()] = indicator["results"].clone();
            let source = indicator.get("source").cloned().unwrap_or_else(|| json!("Prometheus"));
            indicators.push(json!({"id": indicator["id"], "source": source, "query": "up", "grading": indicator["grading"]}));
        }
        let spec = json!({"indicators": indicators, "objectives": case["objectives"]});
        let report = in_keptn(&spec, &values);
        for (key, value) in case["keptn"].as_object().unwrap() {
            let found = if key == "violations" { &report["indicatorResults"][0][key] } else { &report[key] };
            assert_eq!(found, value, "{name}: {key}");
        }
        assert_eq!(report["objectives"], case["objectives"], "{name}");
        assert_strict(name, &spec, &values, case.get("strict").unwrap_or(&case["keptn"]));
    }
}
