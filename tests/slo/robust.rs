//! Properties: no input makes a reader or a grader panic, and strict mode never passes what it could not read.

use std::collections::BTreeMap;

use portcullis::domain::gate::analysis::{keptn as analysis_keptn, quantity::Quantity, strict as analysis_strict};
use portcullis::domain::gate::slo::criterion::Criterion;
use portcullis::domain::gate::slo::release::Lighthouse;
use portcullis::domain::gate::slo::strict::Readings;
use portcullis::domain::gate::slo::{keptn, live, strict};
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::problem::Problem;
use portcullis::formats::{analysis, kind, slo};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    ALL_KEYS, INDICATORS, OBJECTIVES, QUALITY_GATES, SLI_DYNATRACE, SLI_PROMETHEUS, answer, file, in_keptn, in_strict, json_of,
};

const DEFINITION: &str = "apiVersion: metrics.keptn.sh/v1\nkind: AnalysisDefinition\nmetadata: {name: a}\nspec:\n  objectives:\n    - analysisValueTemplateRef: {name: response-time-p95, namespace: keptn}\n      target:\n        failure: {greaterThan: {fixedValue: 600m}}\n        warning: {inRange: {lowBound: 300, highBound: 500}}\n      weight: 2\n      keyObjective: true\n  totalScore: {passPercentage: 90, warningPercentage: 75}\n---\napiVersion: metrics.keptn.sh/v1\nkind: AnalysisValueTemplate\nmetadata: {name: response-time-p95}\nspec: {provider: {name: p}, query: 'up'}\n";

/// Reads a text in every way there is.
fn read_all(text: &str) {
    let _ = kind::recognise("f", text);
    let checked = slo::check("f", text, None);
    checked.iter().for_each(|problem| assert!(!problem.to_string().is_empty()));
    match slo::read("f", text) {
        Ok(loaded) => {
            let report = strict::evaluate(&loaded.spec, &Readings::default(), &[]);
            assert!(report.verdict != Verdict::Pass || loaded.spec.total.pass <= 0.0, "{report:?}");
            assert!(!report.reasons.is_empty());
            let _ = json_of(&report);
        }
        Err(problems) => {
            assert!(problems.iter().any(Problem::is_error));
            assert!(checked.iter().any(Problem::is_error), "check accepts what read refuses");
        }
    }
    if let Ok(slo) = slo::read_keptn(text) {
        for release in Lighthouse::ALL {
            let values = json!([{"metric": "response_time_p95", "value": 5.0, "success": true}]);
            let _ = json_of(&keptn::evaluate(&slo, &answer(&values, ""), &[], release));
        }
    }
    for sli in [slo::read_sli("f", text), slo::read_sli_keptn("f", text)].into_iter().flatten() {
        for name in sli.names() {
            let _ = live::recognise(name, sli.query(name));
        }
        let _ = slo::read_with("f", QUALITY_GATES, &sli);
    }
    let _ = slo::read_pair(("f", text), ("g", INDICATORS));
    let _ = slo::read_pair(("f", OBJECTIVES), ("g", text));
    let _ = (slo::read_pair_keptn(text, INDICATORS), slo::read_pair_keptn(OBJECTIVES, text));
    let _ =
        (slo::read_earlier("f", text), slo::read_values_keptn("f", text, Lighthouse::V1), slo::read_values("f", text, ["a"].into_iter()));
    let _ = (analysis::read_values("f", text, None), analysis::check("f", text));
    if let Ok(loaded) = analysis::read("f", text) {
        let report = analysis_strict::evaluate(&loaded.definition, &BTreeMap::new());
        assert!(report.verdict != Verdict::Pass || loaded.definition.total_score.pass_percentage == 0, "{report:?}");
    }
    if let Ok(definition) = analysis::read_keptn("f", text) {
        let _ = analysis_keptn::evaluate(&definition, &BTreeMap::new());
    }
}

const SEEDS: [&str; 7] = [ALL_KEYS, QUALITY_GATES, SLI_PROMETHEUS, SLI_DYNATRACE, OBJECTIVES, INDICATORS, DEFINITION];

#[test]
fn the_seeds_are_good_files() {
    assert!(analysis::read("f", DEFINITION).is_ok());
    SEEDS.iter().for_each(|seed| read_all(seed));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn yaml_like_text_never_panics(text in "([a-z_]{1,9}(: |:\n  )?|- |[<>=]{1,2}[0-9.+%-]{0,5}|\"|\\{|\\[|\\]|\\}|\n|  |---\n|objectives:|indicators:|kind:){0,40}") {
        read_all(&text);
    }

    #[test]
    fn a_damaged_published_file_never_panics(
        seed in 0..SEEDS.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>(), any::<bool>()), 1..5),
    ) {
        let mut text: Vec<char> = SEEDS[seed].chars().collect();
        for (at, char, insert) in damage {
            let at = at.index(text.len());
            if insert { text.insert(at, char) } else { text[at] = char }
        }
        read_all(&text.into_iter().collect::<String>());
    }

    #[test]
    fn criteria_quantities_and_queries_of_any_text_never_panic(text in "\\PC{0,30}|[<>=|%+0-9.einfNa-]{0,12}|(sum|rate|by|le|\\(|\\)|\\[1m\\]|\\{|\\}|/|,|:|'|[a-z_]{1,6}|builtin:|histogram_quantile){0,14}") {
        for release in Lighthouse::ALL {
            let _ = Criterion::parse(&text, release);
        }
        if let Ok(strict) = Criterion::parse_strictly(&text) {
            prop_assert!(strict.value.is_finite() && strict.value >= 0.0);
            prop_assert_eq!(Criterion::parse_strictly(&strict.to_string()), Ok(strict));
        }
        let _ = (Quantity::parse(&text), live::recognise("a", Some(&text)), live::recognise(&text, None));
    }

    #[test]
    fn strictly_one_value_passes_only_if_it_is_a_number_within_the_limit(value in prop_oneof![
        any::<f64>().prop_map(Value::from), any::<i32>().prop_map(Value::from), Just(Value::Null), any::<bool>().prop_map(Value::from),
        "[0-9.eE+-]{0,6}|NaN|inf".prop_map(Value::from), proptest::collection::vec(any::<i8>(), 0..3).prop_map(Value::from),
    ]) {
        let report = in_strict(&file(&[("a", &["<10"])], |_| ()), &json!({"a": value}), &Value::Null).unwrap();
        let single = if let Some([one]) = value.as_array().map(Vec::as_slice) { one } else { &value };
        let number = single.as_f64().or_else(|| single.as_str()?.trim().parse().ok()).filter(|n: &f64| n.is_finite());
        let expected = match number {
            None => Verdict::Inconclusive,
            Some(number) if number < 10.0 => Verdict::Pass,
            Some(_) => Verdict::Fail,
        };
        prop_assert_eq!(report.verdict, expected);
    }

    #[test]
    fn on_complete_numbers_both_modes_agree(
        limits in proptest::collection::vec((0_u32..100, 0_u32..100, 1_u32..5, any::<bool>()), 1..5),
        values in proptest::collection::vec(0_u32..100, 5), pass in 0_u32..100, warning in 0_u32..100,
    ) {
        let objective = |(at, (pass, warning, weight, key)): (usize, &(u32, u32, u32, bool))| json!({
            "sli": format!("s{at}"), "weight": weight, "key_sli": key,
            "pass": [{"criteria": [format!("<{pass}")]}], "warning": [{"criteria": [format!("<={warning}")]}],
        });
        let objectives: Vec<Value> = limits.iter().enumerate().map(objective).collect();
        let gate = json!({"objectives": objectives, "total_score": {"pass": format!("{pass}%"), "warning": format!("{warning}%")}});
        let values: Vec<Value> = (0..limits.len()).map(|at| json!({"metric": format!("s{at}"), "value": values[at], "success": true})).collect();
        let (strict, original) = (in_strict(&gate, &json!(values), &Value::Null).unwrap(), in_keptn(&gate, &json!(values), &Value::Null, Lighthouse::V1));
        prop_assert_eq!((strict.result, strict.score), (original.result, original.score));
    }
}
