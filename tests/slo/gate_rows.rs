//! One test for each decided row on slo files: what the original does, and what is an error or a note strictly.

use portcullis::domain::gate::slo::release::Lighthouse;
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::problem::Problem;
use portcullis::formats::{kind, slo};
use serde_json::{Value, json};

use crate::support::{
    ALL_KEYS, INDICATORS, OBJECTIVES, QUALITY_GATES, SLI_DYNATRACE, SLI_PROMETHEUS, errors, file, in_keptn, in_strict, json_of, shown,
};

const V1: Lighthouse = Lighthouse::V1;

#[track_caller]
fn assert_errors(file: &Value, expected: &[&str]) {
    let errors = errors(file);
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, part) in errors.iter().zip(expected) {
        assert!(error.contains(part), "{error:?} does not contain {part:?}");
    }
}

fn value(sli: &str, value: f64) -> Value {
    json!([{"metric": sli, "value": value, "success": true}])
}

fn checked(text: &str) -> Vec<String> {
    shown(&slo::check("slo.yaml", text, None), Problem::is_error)
}

#[test]
fn the_published_files_load_unmodified_in_both_modes_with_either_line_end() {
    for text in [ALL_KEYS, QUALITY_GATES] {
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let loaded = slo::read("slo.yaml", &text).unwrap();
            assert!(loaded.notes.iter().all(|note| !note.is_error()));
            assert_eq!(slo::read_keptn(&text).unwrap().objectives.len(), loaded.spec.objectives.len());
            assert_eq!(checked(&text), [""; 0]);
        }
    }
    for text in [SLI_PROMETHEUS, SLI_DYNATRACE] {
        assert_eq!(
            slo::read_sli("sli.yaml", text).unwrap().names().count(),
            slo::read_sli_keptn("sli.yaml", text).unwrap().names().count()
        );
    }
    let slis = slo::read_sli("sli.yaml", SLI_PROMETHEUS).unwrap();
    assert!(slo::read_with("slo.yaml", QUALITY_GATES, &slis).is_ok());
    let (spec, notes) = slo::read_pair(("o.yaml", OBJECTIVES), ("i.yaml", INDICATORS)).unwrap();
    assert_eq!((spec.indicators.len(), spec.objectives.pass), (2, 90.0));
    assert_eq!(notes.iter().filter(|note| note.message.contains("timeframe")).count(), 2);
}

#[test]
fn the_kind_of_a_file_is_told_by_its_content_and_two_kinds_are_refused() {
    use kind::Kind;
    let perfspec = include_str!("../data/compat/perfspec_dynatrace.json");
    for (text, wanted) in [
        (ALL_KEYS, Kind::Slo),
        (QUALITY_GATES, Kind::Slo),
        (SLI_PROMETHEUS, Kind::Sli),
        (SLI_DYNATRACE, Kind::Sli),
        (OBJECTIVES, Kind::ServiceObjectives),
        (INDICATORS, Kind::ServiceIndicators),
        (perfspec, Kind::Perfspec),
        ("kind: AnalysisDefinition\n", Kind::Analysis),
        ("# a comment\n---\nkind: AnalysisValueTemplate\n---\nkind: AnalysisDefinition\n", Kind::Analysis),
        ("services: []\n", Kind::Configuration),
    ] {
        assert_eq!(kind::recognise("f", text).ok(), Some(wanted), "{text}");
    }
    let both = kind::recognise("f", "kind: AnalysisDefinition\nobjectives: [{sli: a}]\n").unwrap_err();
    assert!(both.ambiguous && both.problem.message.contains("could be an AnalysisDefinition") && both.problem.hint.is_some());
    for text in ["", "a: 1", "[]", "a: [", "\u{0}"] {
        assert!(!kind::recognise("f", text).unwrap_err().ambiguous, "{text:?}");
    }
}

#[test]
fn g3_what_is_no_mapping_is_errored_and_strictly_an_error() {
    for text in ["invalid", "[]", "1", "objectives: {}", "a: ["] {
        assert!(slo::read_keptn(text).unwrap_err().starts_with("yaml: "), "{text}");
        let problems = slo::read("slo.yaml", text).unwrap_err();
        assert!(problems.iter().any(|p| p.is_error() && p.line == Some(1) && p.hint.is_some()), "{text}: {problems:?}");
    }
    assert!(slo::read("slo.yaml", "").is_err());
}

#[test]
fn g4_unknown_keys_are_ignored_and_strictly_named_with_the_nearest_known_one() {
    let misspelt = file(&[("a", &["<10"])], |file| {
        file["objectives"][0]["fail"] = json!([]);
        file["objectives"][0]["wieght"] = json!(5);
        file["total_scor"] = json!({});
    });
    assert_eq!(in_keptn(&misspelt, &value("a", 1.0), &json!(null), V1).result, "pass");
    assert_errors(
        &misspelt,
        &[
            "objectives[0].fail: unknown key \"fail\"",
            "objectives[0].wieght: unknown key \"wieght\" (did you mean \"weight\"?)",
            "total_scor: unknown key",
        ],
    );
}

#[test]
fn g17_g18_files_that_judge_nothing() {
    let empty = file(&[], |_| ());
    assert_eq!(in_keptn(&empty, &json!([]), &json!(null), V1).result, "fail");
    assert_eq!(in_keptn(&empty, &json!([]), &json!(null), Lighthouse::V0_19).result, "pass");
    assert_errors(&empty, &["objectives: objectives is empty"]);
    let shown_only = file(&[("a", &["<10"])], |file| file["objectives"][0]["pass"] = json!([]));
    let report = in_keptn(&shown_only, &value("a", 1.0), &json!(null), V1);
    assert_eq!((report.result, report.score), ("pass", Some(100.0)));
    let strict = in_strict(&shown_only, &value("a", 1.0), &json!(null)).unwrap();
    assert_eq!((strict.verdict, strict.score), (Verdict::Inconclusive, None));
    assert!(checked(&shown_only.to_string())[0].contains("every objective is informational"));
}

#[test]
fn g19_to_g23_g25_g27_mistakes_are_errors_with_the_place_and_what_to_write() {
    let of = |criterion: &str| file(&[("a", &["<10", criterion])], |_| ());
    for (criterion, part) in [
        ("<10ms", "criterion \"<10ms\" of a: what follows the operator is not a number (a criterion has no unit: write \"<10\""),
        ("10", "does not begin with"),
        ("<=1%", "write \"<=+1%\" for 1 % above earlier values, or \"<=1\" for the number itself"),
        ("<=+-10%", "two signs"),
        ("<--10", "two signs"),
        ("<Inf", "not a finite number"),
        ("<NaN", "not a finite number"),
    ] {
        assert_errors(&of(criterion), &[part]);
        assert!(errors(&of(criterion))[0].starts_with("objectives[0].pass[0].criteria[1]: "));
    }
    assert_errors(&file(&[("a", &["<1e3"])], |_| ()), &[]);
    let changed = |change: fn(&mut Value)| file(&[("a", &["<10"])], change);
    for (file, part) in [
        (changed(|f| f["objectives"][0]["pass"] = json!([{"criteria": []}])), "empty criteria set of a"),
        (changed(|f| f["objectives"][0]["warning"] = json!([{"criteria": ["nonsense"]}])), "criterion \"nonsense\" of a"),
        (
            changed(|f| f["comparison"] = json!({"compare_with": "single_result", "aggregate_function": "p99"})),
            "aggregate_function \"p99\"",
        ),
        (changed(|f| f["comparison"] = json!({"compare_with": "some"})), "unknown compare_with"),
        (
            changed(|f| f["comparison"] = json!({"compare_with": "single_result", "include_result_with_score": "passed"})),
            "unknown include_result_with_score",
        ),
        (
            changed(|f| f["comparison"] = json!({"compare_with": "several_results", "number_of_comparison_results": -1})),
            "number_of_comparison_results -1",
        ),
        (changed(|f| f["objectives"][0]["weight"] = json!(0)), "weight 0 is not a whole number"),
        (changed(|f| f["objectives"][0]["weight"] = json!(1.5)), "weight 1.5"),
        (changed(|f| f["objectives"][0]["weight"] = json!(-1)), "weight -1"),
        (changed(|f| f["total_score"] = json!({"pass": "many"})), "\"many\" is not a percentage"),
        (changed(|f| f["total_score"] = json!({"pass": "-5%"})), "\"-5%\" is not a percentage"),
        (changed(|f| f["total_score"] = json!({"pass": "NaN"})), "\"NaN\" is not a percentage"),
        (changed(|f| f["total_score"] = json!({})), "pass is missing"),
        (changed(|f| drop(f.as_object_mut().unwrap().remove("total_score"))), "total_score is missing"),
        (changed(|f| f["objectives"] = json!([null])), "must be a mapping"),
    ] {
        assert_errors(&file, &[part]);
    }
    assert!(slo::read_keptn(&changed(|f| f["objectives"][0]["weight"] = json!(1.5)).to_string()).is_err());
    assert_eq!(slo::read_keptn(&changed(|f| f["objectives"][0]["weight"] = json!(0)).to_string()).unwrap().objectives[0].weight, 1);
}

#[test]
fn g13_criteria_that_exclude_each_other_are_an_error_that_names_the_line() {
    let text = "objectives:\n- sli: a\n  pass:\n  - criteria:\n    - \"<100\"\n    - \">200\"\ntotal_score: {pass: 90%}\n";
    let problems = slo::read("slo.yaml", text).unwrap_err();
    assert_eq!((problems.len(), problems[0].line), (1, Some(6)));
    assert!(problems[0].message.contains("no value of a meets both \"<100\" and \">200\""), "{}", problems[0]);
    assert!(slo::read("slo.yaml", &text.replace("    - \">200\"", "  - criteria: [\">200\"]")).is_ok(), "two sets are alternatives");
}

#[test]
fn g14_a_gate_that_cannot_fire_loads_with_a_note_and_is_an_error_of_check() {
    for (objectives, total, part) in [
        (&[("response_time_p95", &["<0"][..])][..], json!({"pass": "90%"}), "\"<0\" is out of reach"),
        (
            &[("error_rate", &[">100"])],
            json!({"pass": "90%"}),
            "\">100\" is out of reach: error_rate is an error rate, always from 0 to 100",
        ),
        (&[("error_rate", &["<=100"])], json!({"pass": "90%"}), "can never miss its pass criteria"),
        (&[("a", &["<1"])], json!({"pass": "101%"}), "the result \"pass\" can never occur"),
        (&[("a", &["<1"])], json!({"pass": "0%"}), "the result \"fail\" can never occur"),
    ] {
        let file = file(objectives, |file| file["total_score"] = total);
        assert!(slo::read("slo.yaml", &file.to_string()).unwrap().notes.iter().any(|note| note.message.contains(part)), "{part}");
        let errors = checked(&file.to_string());
        assert!(errors.iter().any(|error| error.contains(part)), "{part}: {errors:#?}");
    }
}

#[test]
fn g24_g26_a_warning_that_never_helps_and_a_second_objective_are_noted() {
    let notes = |file: &Value| shown(&slo::read("slo.yaml", &file.to_string()).unwrap().notes, |_| true).join("\n");
    let warned = |criterion: &str| file(&[("a", &["<10"])], |file| file["objectives"][0]["warning"] = json!([{"criteria": [criterion]}]));
    assert!(notes(&warned("<5")).contains("not weaker than pass"));
    assert!(notes(&warned(">5")).contains("the other way"));
    assert!(!notes(&warned("<20")).contains("warning of a"));
    let twice = file(&[("a", &["<10"]), ("a", &[">1"])], |_| ());
    assert!(notes(&twice).contains("a is judged twice"));
    let report = in_strict(&twice, &value("a", 5.0), &json!(null)).unwrap();
    assert_eq!((report.verdict, report.score), (Verdict::Pass, Some(100.0)));
}

#[test]
fn an_sli_that_the_file_of_queries_lacks_and_a_placeholder_nothing_replaces_are_errors() {
    let slis = |text: &str| slo::read_sli("sli.yaml", text).unwrap();
    let of = |sli: &str, text: &str| {
        slo::read_with("slo.yaml", &file(&[(sli, &["<10"])], |_| ()).to_string(), &slis(text)).err().map(|p| p[0].to_string())
    };
    let one = "indicators: {response_time_p42x: \"up{job='$SERVICE'}\"}";
    assert!(of("response_time_p42", one).is_none(), "the provider has a query of its own");
    assert!(of("response_time_p42y", one).unwrap().contains("did you mean \"response_time_p42x\"?"));
    let bad = of("a", "indicators: {a: \"up{job='$SERVICEX-$STAGE'}\"}").unwrap();
    assert!(bad.contains("\"$SERVICEX\"") && bad.contains("did you mean \"SERVICE\"?"), "{bad}");
    let twice = slo::read_sli("sli.yaml", "indicators:\n  a: up\n  a: down\n").unwrap_err();
    assert!(twice[0].line == Some(3) && twice[0].message.contains("first in line 2"), "{}", twice[0]);
}

#[test]
fn g16_an_objective_of_0_5_without_indicator_is_dropped_and_strictly_an_error() {
    let objectives = OBJECTIVES.replace("metric: cpu_usage", "metric: cpu_usages");
    let original = slo::read_pair_keptn(&objectives, INDICATORS);
    assert_eq!(serde_json::to_value(&original).unwrap()["indicators"].as_array().unwrap().len(), 1);
    let problems = slo::read_pair(("o.yaml", &objectives), ("i.yaml", INDICATORS)).unwrap_err();
    let errors = shown(&problems, Problem::is_error);
    assert!(errors[0].contains("there is no indicator for the metric") && errors[0].contains("cpu_usage_sockshop_carts"), "{errors:?}");
}

#[test]
fn ten_thousand_objectives_are_read_and_judged() {
    let mut text = "objectives:\n".to_owned();
    let mut values = serde_json::Map::new();
    for at in 0..10_000 {
        text.push_str(&format!("- sli: s{at}\n  pass: [{{criteria: [\"<=+10%\", \"<{at}.5\"]}}]\n"));
        values.insert(format!("s{at}"), json!(at));
    }
    text.push_str("total_score: {pass: 90%, warning: 75%}\n");
    let (values, started) = (Value::from(values).to_string(), std::time::Instant::now());
    let spec = slo::read("slo.yaml", &text).unwrap().spec;
    let readings = slo::read_values("v", &values, spec.objectives.iter().map(|one| one.sli.as_str())).unwrap();
    let report = portcullis::domain::gate::slo::strict::evaluate(&spec, &readings, &[]);
    assert_eq!((report.verdict, report.rows.unwrap().len()), (Verdict::Inconclusive, 10_000));
    let answer = slo::read_values_keptn("v", &values, V1).unwrap();
    let found = portcullis::domain::gate::slo::keptn::evaluate(&slo::read_keptn(&text).unwrap(), &answer, &[], V1);
    assert_eq!(json_of(&found)["evaluation"]["score"], 100);
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?} is no linear time", started.elapsed());
}
