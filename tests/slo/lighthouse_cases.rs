//! Replays every case of lighthouse 1.4.5 that is arithmetic, and the derived ones, to the bit.

use std::collections::BTreeMap;

use portcullis::domain::gate::slo::baseline::{self, Earlier, EarlierRow};
use portcullis::domain::gate::slo::criterion::{Criterion, Operator};
use portcullis::domain::gate::slo::keptn::{self, Ended, Judged, Pool};
use portcullis::domain::gate::slo::release::Lighthouse;
use portcullis::domain::gate::slo::report::{Report, Target};
use portcullis::domain::gate::slo::total::{self, KeyFailure, Points};
use portcullis::domain::gate::slo::value::Value as SliValue;
use portcullis::domain::gate::slo::written::{CriteriaSet, TotalScore};
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::slo;
use serde_json::{Value, json};

use crate::support::{
    LIGHTHOUSE, answer, assert_same, cases, comparison, criterion, earlier, in_keptn, in_strict, json_of, number, sli_value, slo_of, texts,
};

const V1: Lighthouse = Lighthouse::V1;

#[test]
fn criteria_are_parsed() {
    for case in cases(LIGHTHOUSE, "parse_criteria", 28) {
        let text = case["criteria"].as_str().unwrap();
        let found = Criterion::parse(text, V1);
        match case["error"].as_str() {
            Some(error) => assert_eq!(found.unwrap_err().to_string(), error, "{text:?}"),
            None => {
                // NaN is not equal to itself; everything else is compared as it is.
                let (found, wanted) = (found.unwrap(), criterion(&case["expect"]).unwrap());
                assert_eq!(format!("{found:?}"), format!("{wanted:?}"), "{text:?}");
                assert_eq!(found.value.is_nan(), text == "<NaN");
            }
        }
    }
}

#[test]
fn values_are_compared_and_an_unknown_operator_is_none() {
    for case in cases(LIGHTHOUSE, "evaluate_value", 6) {
        check_operator(&case, &case["operator"], number(&case["target"]));
    }
    for case in cases(LIGHTHOUSE, "evaluate_fixed_threshold", 3) {
        let object = &case["criteria_object"];
        let target = number(&object["value"]);
        assert_eq!(target, number(&case["expect"]["targetValue"]));
        assert!(criterion(object).is_none_or(|criterion| criterion.target(1e9) == target));
        check_operator(&case, &object["operator"], target);
    }
}

fn check_operator(case: &Value, sign: &Value, target: f64) {
    let expect = &case["expect"];
    match Operator::from_sign(sign.as_str().unwrap()) {
        None => assert_eq!((&expect["error"], &expect["satisfied"]), (&json!("no operator set"), &json!(false))),
        Some(operator) => assert_eq!(json!(operator.holds(number(&case["measured"]), target)), expect["satisfied"], "{}", case["name"]),
    }
}

#[test]
fn percentiles_and_aggregates_are_computed() {
    for case in cases(LIGHTHOUSE, "percentile", 9) {
        let values: Vec<f64> = case["values"].as_array().unwrap().iter().map(number).collect();
        let found = baseline::percentile(&values, number(&case["percentile"]));
        assert_eq!(found.to_bits(), number(&case["expect"]).to_bits(), "{case}");
    }
    for case in cases(LIGHTHOUSE, "aggregate", 4) {
        let found = base(&case);
        assert_eq!(json!(found.is_none()), case["expect"]["skip"], "{}", case["name"]);
        assert_eq!(found.unwrap_or(0.0), number(&case["expect"]["value"]), "{}", case["name"]);
    }
}

/// The aggregate of the earlier values of a case, through the same selection as in an evaluation.
fn base(case: &Value) -> Option<f64> {
    let row = |value: &Value| {
        let status = value["status"].as_str().unwrap().to_owned();
        Earlier {
            result: "pass".into(),
            invalidated: false,
            rows: vec![EarlierRow { value: Some(SliValue { metric: "a".into(), ..sli_value(value) }), status }],
        }
    };
    let all: Vec<Earlier> = case["previous"].as_array().unwrap().iter().map(row).collect();
    let comparison = comparison(&case["comparison"]);
    let selected = baseline::select(&all, &comparison, V1);
    assert_eq!(selected.len(), all.len().min(2));
    let found: BTreeMap<&str, Vec<&SliValue>> = baseline::by_sli(&selected, &comparison, V1);
    baseline::aggregate(found.get("a").map_or(&[][..], Vec::as_slice), &comparison.aggregate_function)
}

#[test]
fn comparisons_with_earlier_values_are_judged() {
    for case in cases(LIGHTHOUSE, "evaluate_comparison", 7) {
        let criterion = criterion(&case["criteria_object"]).unwrap();
        let target = criterion.target(base(&case).unwrap());
        assert_eq!(json!(criterion.operator.holds(number(&case["measured"]), target)), case["expect"]["satisfied"], "{}", case["name"]);
    }
    for case in cases(LIGHTHOUSE, "evaluate_single_criteria", 8) {
        let judged = judge(&case, &[json!({"criteria": [case["criteria"]]})]);
        assert_eq!(json!(judged.satisfied), case["expect"]["satisfied"], "{}", case["name"]);
        assert_eq!(judged.error, None);
    }
}

fn judge(case: &Value, sets: &[Value]) -> Judged {
    let sets: Vec<CriteriaSet> = sets.iter().map(|set| CriteriaSet { criteria: Some(texts(&set["criteria"])) }).collect();
    Judged::new(&sets, &SliValue::new("a", number(&case["measured"])), base(case), V1)
}

#[test]
fn criteria_sets_are_joined_by_and_and_or() {
    let sets = cases(LIGHTHOUSE, "evaluate_criteria_set", 2).into_iter().map(|case| (vec![json!({"criteria": case["criteria"]})], case));
    let ors =
        cases(LIGHTHOUSE, "evaluate_or_combined", 3).into_iter().map(|case| (case["criteria_sets"].as_array().unwrap().clone(), case));
    for (sets, case) in sets.chain(ors) {
        let judged = judge(&case, &sets);
        assert_eq!(json!(judged.satisfied), case["expect"]["satisfied"], "{}", case["name"]);
        let shown = |target: &Target| json!({"criteria": target.criteria, "targetValue": target.target, "violated": target.violated});
        let targets = judged.targets.unwrap().iter().map(shown).collect::<Vec<_>>();
        assert_same(&json!(targets), &case["expect"]["targets"], case["name"].as_str().unwrap());
    }
}

#[test]
fn objectives_are_graded_with_every_field_of_a_row() {
    for case in cases(LIGHTHOUSE, "evaluate_objectives", 10) {
        let name = case["name"].as_str().unwrap();
        let slo = slo_of(&case["slo"]);
        let input = answer(&case["input"]["indicatorValues"], case["input"]["provider_result"].as_str().unwrap());
        let all = earlier(&case["previous"]);
        let graded = keptn::grade(&slo, &input, &all.iter().collect::<Vec<_>>(), V1);
        let expect = &case["expect"];
        assert_eq!(graded.maximum, number(&expect["maximum_score"]), "{name}");
        assert_eq!(json!(graded.key_failure.is_some()), expect["key_sli_failed"], "{name}");
        assert_eq!(json!(graded.message), expect["message"], "{name}");
        let ended = if graded.ended == Some(Ended::NoObjectives) { "fail" } else { "" };
        assert_eq!((&json!(ended), &json!(ended)), (&expect["evaluation_result"], &expect["event_result"]), "{name}");
        assert_eq!(number(&expect["evaluation_score"]), 0.0);
        let rows = graded.rows.map(|rows| rows.iter().map(|row| serde_json::to_value(row.to_js(V1)).unwrap()).collect::<Vec<_>>());
        assert_same(&json!(rows), &expect["indicatorResults"], name);
    }
}

#[test]
fn scores_are_added_up_and_judged() {
    for case in cases(LIGHTHOUSE, "calculate_score", 6) {
        let points = |row: &Value| {
            assert!(row["metric"].is_string());
            Points { score: number(&row["score"]), has_pass_targets: row["has_pass_targets"].as_bool().unwrap() }
        };
        let points: Vec<Points> = case["indicators"].as_array().unwrap().iter().map(points).collect();
        let text = |key: &str| case["total_score"][key].as_str().unwrap().to_owned();
        let needed = TotalScore { pass: text("pass"), warning: text("warning") };
        let failure = case["key_sli_failure"].as_object().map(|failure| KeyFailure {
            name: failure["name"].as_str().unwrap().to_owned(),
            message: failure["message"].as_str().unwrap().to_owned(),
        });
        let found = total::total(number(&case["maximum_score"]), &points, Some(&needed), failure.as_ref(), V1).unwrap();
        let expect = &case["expect"];
        assert_eq!((&json!(found.result), &json!(found.result)), (&expect["result"], &expect["event_result"]), "{}", case["name"]);
        assert_eq!(found.score.to_bits(), number(&expect["score"]).to_bits(), "{}", case["name"]);
        assert_eq!((&json!(found.message), &expect["status"]), (&expect["message"], &json!("succeeded")), "{}", case["name"]);
        assert!(expect["error"].is_null());
    }
}

#[test]
fn a_value_is_taken_and_the_last_one_moves_into_its_place() {
    for case in cases(LIGHTHOUSE, "take_sli_result", 4) {
        let values: Vec<SliValue> = case["results"].as_array().unwrap().iter().map(sli_value).collect();
        let mut pool = Pool::new(&values);
        let found = pool.find(case["sli"].as_str().unwrap(), true).cloned();
        let wanted = Some(&case["expect"]["found"]).filter(|found| !found.is_null()).map(sli_value);
        assert_eq!(found, wanted, "{}", case["name"]);
        let left: Vec<SliValue> = case["expect"]["left"].as_array().unwrap().iter().map(sli_value).collect();
        assert_eq!(pool.left, left.iter().collect::<Vec<_>>(), "{}", case["name"]);
    }
}

#[test]
fn the_freed_place_goes_to_the_last_value_also_for_values_found_later() {
    let values: Vec<SliValue> =
        ["a", "b", "c", "b"].iter().zip([1.0, 2.0, 3.0, 4.0]).map(|(sli, value)| SliValue::new(sli, value)).collect();
    let mut pool = Pool::new(&values);
    assert!(pool.find("a", true).is_some());
    let left = |pool: &Pool<'_>| pool.left.iter().map(|value| value.value).collect::<Vec<_>>();
    assert_eq!(left(&pool), [4.0, 2.0, 3.0]);
    assert_eq!(pool.find("b", true).map(|value| value.value), Some(4.0), "the moved one now stands first");
    assert_eq!(left(&pool), [3.0, 2.0]);
}

#[test]
fn files_are_read_with_the_defaults_of_the_original() {
    for case in cases(LIGHTHOUSE, "parse_slo", 5) {
        let found = slo::read_keptn(case["yaml"].as_str().unwrap());
        match case["error"].as_str() {
            Some(error) => assert_eq!(found.unwrap_err(), error),
            None => {
                let (found, expect) = (found.unwrap(), &case["expect"]);
                // The expectation is itself a file without anything left to default, but for the empty filter.
                assert_eq!(found, slo_of(expect), "{}", case["name"]);
                assert_eq!(found.comparison, comparison(&expect["comparison"]));
                assert_eq!(json!(found.spec_version), expect["spec_version"]);
                assert_eq!(json!(found.objectives.len()), json!(expect["objectives"].as_array().unwrap().len()));
                for (objective, wanted) in found.objectives.iter().zip(expect["objectives"].as_array().unwrap()) {
                    assert_eq!(json!(objective.weight), wanted["weight"]);
                    assert_eq!(objective.pass.is_none(), wanted["pass"].is_null());
                    assert_eq!(objective.warning.is_none(), wanted["warning"].is_null());
                }
            }
        }
    }
}

#[test]
fn an_errored_evaluation_and_a_missing_file_have_the_shape_of_the_event() {
    for case in cases(LIGHTHOUSE, "errored_event", 1) {
        let report = Report::errored(V1, case["message"].as_str().unwrap()).with_slo_text(case["slo_file_content"].as_str().unwrap());
        let (found, expect) = (json_of(&report), &case["expect"]);
        for key in ["status", "result", "message"] {
            assert_eq!(found[key], expect[key], "{key}");
        }
        assert_eq!(found["evaluation"]["sloFileContent"], expect["sloFileContent"]);
        assert_eq!(number(&found["evaluation"]["score"]), number(&expect["score"]));
    }
    let missing = &cases(LIGHTHOUSE, "evaluate_handler", 3)[0];
    let found = json_of(&Report::no_slo_file(V1, "{project}"));
    for key in ["status", "result", "message"] {
        assert_eq!(found[key], missing["expect"][key], "{key}");
    }
    let one = &cases(LIGHTHOUSE, "previous_evaluations", 1)[0];
    let stored = [Earlier::default()];
    let all = portcullis::domain::gate::slo::written::Comparison {
        include_result_with_score: one["include"].as_str().unwrap().to_owned(),
        ..Default::default()
    };
    assert_eq!(baseline::select(&stored, &all, V1).len(), one["expect_ids"].as_array().unwrap().len());
}

#[test]
fn whole_evaluations_come_to_their_results_in_both_modes() {
    for case in cases(LIGHTHOUSE, "end_to_end", 10) {
        let name = case["name"].as_str().unwrap();
        let report = in_keptn(&case["slo"], &case["indicatorValues"], &case["previous"], V1);
        let (found, expect) = (json_of(&report), &case["expect"]);
        assert_eq!(found["result"], expect["result"], "{name}");
        assert_eq!(number(&found["evaluation"]["score"]), number(&expect["score"]), "{name}");
        for key in ["message", "status"] {
            assert!(expect[key].is_null() || found[key] == expect[key], "{name}: {found}");
        }
        if let Some(statuses) = expect["statuses"].as_array() {
            let rows = found["evaluation"]["indicatorResults"].as_array().unwrap();
            assert_eq!(&rows.iter().map(|row| row["status"].clone()).collect::<Vec<_>>(), statuses, "{name}");
        }
        strictly(&case, name);
    }
}

fn strictly(case: &Value, name: &str) {
    let found = in_strict(&case["slo"], &case["indicatorValues"], &case["previous"]);
    let strict = &case["strict"];
    if let Some(part) = strict["load_error"].as_str() {
        let problems = found.unwrap_err();
        assert!(problems.iter().any(|p| p.is_error() && p.message.contains(part) && p.line == Some(1)), "{name}: {problems:#?}");
        return;
    }
    let report = found.unwrap();
    if !strict["verdict"].is_null() {
        assert_eq!(report.verdict, Verdict::Inconclusive, "{name}: {:?}", report.reasons);
        return;
    }
    let wanted = if strict["result"].is_null() { &case["expect"] } else { strict };
    assert_eq!((json!(report.result), report.score), (wanted["result"].clone(), Some(number(&wanted["score"]))), "{name}");
}
