//! Properties: no input makes the loaders or graders panic, and strict mode never passes what it could not read.

use portcullis::domain::gate::live;
use portcullis::domain::gate::perfspec::{Js, keptn, strict};
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::perfspec;
use portcullis::formats::problem::Severity;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{DYNATRACE, PROMETHEUS};

/// Loads a text in every way there is.
fn load_all(text: &str) {
    let checked = perfspec::check("f", text);
    for problem in &checked {
        assert!(!problem.to_string().is_empty());
    }
    match perfspec::load("f", text) {
        Ok(loaded) => {
            assert!(loaded.notes.iter().all(|note| note.severity == Severity::Note));
            let _ = live::compile(&loaded.spec, true);
            let report = strict::evaluate(&loaded.spec, &std::collections::BTreeMap::new());
            assert!(!report.reasons.is_empty());
            let _ = perfspec::load_values("v", text, &loaded.spec);
        }
        Err(problems) => {
            assert!(problems.iter().any(portcullis::formats::problem::Problem::is_error));
            assert!(checked.iter().any(portcullis::formats::problem::Problem::is_error), "check accepts what load refuses");
        }
    }
    let _ = crate::support::json_of(&keptn::evaluate(&perfspec::load_keptn(text), &|_| {
        Ok(Js::from(&json!([{"value": 1}, {"value": "x"}, {}])))
    }));
}

/// Any JSON value, shallow.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-zA-Z$ {}\\[\\]0-9'\"]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-zA-Z]{0,8}", inner), 0..4).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Every place of a JSON value, as pointers.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, inner)| pointers(inner, &format!("{at}/{key}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, inner)| pointers(inner, &format!("{at}/{index}"), out)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        load_all(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_damaged_file_of_the_seed_never_panics(
        dynatrace in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>(), any::<bool>()), 1..5),
    ) {
        let mut text: Vec<char> = if dynatrace { DYNATRACE } else { PROMETHEUS }.chars().collect();
        for (at, char, insert) in damage {
            let at = at.index(text.len());
            if insert { text.insert(at, char) } else { text[at] = char }
        }
        load_all(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_value_at_any_place_of_a_file_of_the_seed_never_panics(
        dynatrace in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any_json()), 1..3),
    ) {
        let mut spec: Value = serde_json::from_str(if dynatrace { DYNATRACE } else { PROMETHEUS }).unwrap();
        for (place, replacement) in changes {
            let mut places = Vec::new();
            pointers(&spec, "", &mut places);
            if let Some(slot) = spec.pointer_mut(place.get::<String>(&places)) {
                *slot = replacement;
            }
        }
        load_all(&spec.to_string());
    }

    #[test]
    fn strictly_one_value_passes_only_if_it_is_a_number_below_the_line(value in any_json()) {
        let spec = perfspec::load("f", DYNATRACE).unwrap().spec;
        let text = json!({"ResponseTime_Backend": [{"key": "k", "value": value}]}).to_string();
        let answers = perfspec::load_values("v", &text, &spec).unwrap();
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n: &f64| n.is_finite());
        let expected = match number {
            None => Verdict::Inconclusive,
            Some(number) if number < 800_000.0 => Verdict::Pass,
            Some(_) => Verdict::Fail,
        };
        prop_assert_eq!(strict::evaluate(&spec, &answers).verdict, expected);
    }

    #[test]
    fn on_numbers_and_files_without_zero_limits_both_modes_agree(
        severe in 1.0..1e6_f64, warning in 1.0..1e6_f64, points in 0_u32..200, pass in 0_u32..250, forgiven in 0_u32..250,
        values in proptest::collection::vec(-1e6..2e6_f64, 1..4),
    ) {
        let grading = json!({"type": "Threshold", "thresholds": {"upperSevere": severe, "upperWarning": warning}, "metricScore": points});
        let spec = json!({"indicators": [{"id": "i", "source": "Prometheus", "query": "up", "grading": grading}], "objectives": {"pass": pass, "warning": forgiven}});
        let values = json!({"i": values.iter().map(|v| json!({"key": "k", "value": v})).collect::<Vec<_>>()});
        let strict = crate::support::json_of(&crate::support::in_strict(&spec, &values).unwrap());
        let original = crate::support::in_keptn(&spec, &values);
        for key in ["options", "totalScore", "objectives", "indicatorResults", "result"] {
            prop_assert_eq!(&strict[key], &original[key]);
        }
    }
}
