//! One test for each decided row on gate files; rows G1 and G2 stand beside the code that decides them.

use portcullis::domain::gate::perfspec::keptn;
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::perfspec;
use serde_json::{Value, json};

use crate::support::{DYNATRACE, PROMETHEUS, carts, errors, in_keptn, in_strict, json_of, notes, value};

/// Asserts that a strict load fails with exactly these errors, each part of one in order.
fn assert_errors(spec: &Value, expected: &[&str]) {
    let errors = errors(spec);
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, part) in errors.iter().zip(expected) {
        assert!(error.contains(part), "{error:?} does not contain {part:?}");
    }
}

#[test]
fn both_files_of_the_seed_load_unmodified_in_both_modes_and_live() {
    for (text, id, bad) in [(DYNATRACE, "ResponseTime_Backend", json!(800_000)), (PROMETHEUS, "request_latency_seconds", json!("0.8"))] {
        assert!(perfspec::load("f", text).is_ok());
        assert!(perfspec::load_live("f", text).is_ok());
        let spec: Value = serde_json::from_str(text).unwrap();
        let values = |v: &Value| json!({id: [{"key": "k", "value": v}]});
        assert_eq!(in_keptn(&spec, &values(&json!(0.01)))["result"], "pass");
        assert_eq!(in_keptn(&spec, &values(&bad))["result"], "fail");
        assert_eq!(in_strict(&spec, &values(&json!(0.01))).unwrap().verdict, Verdict::Pass);
        assert_eq!(in_strict(&spec, &values(&bad)).unwrap().verdict, Verdict::Fail);
        assert!(perfspec::load("f", &text.replace('\n', "\r\n")).is_ok(), "CRLF");
    }
}

#[test]
fn g3_what_is_no_perfspec_is_failed_and_strictly_an_error() {
    for text in ["", "{", "[]", "null", "\"x\"", "{}", "{\"objectives\": {\"pass\": 1}}"] {
        let report = json_of(&keptn::evaluate(&perfspec::load_keptn(text), &|_| Err("never asked".to_owned())));
        let rejected = json!({"result": "failed", "error": keptn::BAD_FORMAT});
        assert_eq!(report, rejected, "{text:?}");
        let problems = perfspec::load("f", text).unwrap_err();
        assert!(problems.iter().any(|p| p.is_error() && p.line == Some(1) && p.hint.is_some()), "{text:?}: {problems:?}");
    }
    assert_errors(&json!({"objectives": {"pass": 1}}), &["indicators is missing"]);
}

#[test]
fn g4_unknown_keys_are_ignored_and_strictly_named_with_the_nearest_known_one() {
    let misspelt = carts(|spec| {
        spec["indicators"][0]["grading"]["thresholds"]["lowerWarning "] = json!(1e9);
        spec["indicators"][0]["grading"]["metricsScore"] = json!(1);
        spec["objectives"]["needsreview"] = json!(10);
        spec["indicator"] = json!([]);
    });
    assert_eq!(in_keptn(&misspelt, &value(5))["result"], "pass");
    assert_errors(
        &misspelt,
        &[
            "indicators[0].grading.thresholds.\"lowerWarning \": unknown key \"lowerWarning \" (did you mean \"lowerWarning\"?)",
            "indicators[0].grading.metricsScore: unknown key \"metricsScore\" (did you mean \"metricScore\"?)",
            "objectives.needsreview: unknown key \"needsreview\" (known here: pass, warning)",
            "indicator: unknown key \"indicator\" (did you mean \"indicators\"?)",
        ],
    );
}

#[test]
fn g4_known_keys_without_effect_are_noted() {
    let inert = carts(|spec| {
        spec["indicators"][0]["metadata"] = json!({"playbookhints": []});
        spec["indicators"][0]["query"]["output"] = json!("total");
        spec["comment"] = json!("x");
    });
    let notes = notes(&inert);
    for key in ["spec_version", "startTimestamp", "endTimestamp", "metadata", "output", "comment"] {
        assert!(notes.iter().any(|note| note.contains(&format!("\"{key}\" has no effect"))), "{key}: {notes:#?}");
    }
}

#[test]
fn g5_an_unknown_source_is_skipped_and_strictly_an_error() {
    for (source, hint) in [("dynatrace", "did you mean \"Dynatrace\"?"), ("NeoLoad", "known here: Prometheus, Dynatrace")] {
        let spec = carts(|spec| spec["indicators"][0]["source"] = json!(source));
        let report = in_keptn(&spec, &value(5));
        assert_eq!((&report["result"], &report["totalScore"], &report["indicatorResults"]), (&json!("fail"), &json!(0), &json!([])));
        assert_errors(&spec, &[hint]);
    }
}

#[test]
fn g6_an_unknown_grader_or_query_rejects_the_run_and_is_strictly_an_error() {
    let changes: [(&str, Value, &str); 5] = [
        ("/grading/type", json!("Fancy"), "unknown grader type"),
        ("/grading", Value::Null, "must be an object, not null"),
        ("/query", json!({"aggregation": "AVG"}), "unsupported query type"),
        ("/query", json!({"entityType": "Service", "smartscape": "toRelationships:calls", "aggregation": "AVG"}), "can only be counted"),
        ("/query", json!({"entityType": "Robot", "smartscape": "toRelationships:calls", "aggregation": "count"}), "unknown entityType"),
    ];
    for (pointer, replacement, error) in changes {
        let spec = carts(|spec| *spec["indicators"][0].pointer_mut(pointer).unwrap() = replacement.clone());
        if !error.contains("entityType") {
            assert_eq!(in_keptn(&spec, &value(5))["result"], "failed", "{error}");
        }
        assert_errors(&spec, &[error]);
    }
    assert_errors(&carts(|spec| spec["indicators"][0]["query"]["aggregation"] = json!("median")), &["unsupported aggregation \"median\""]);
    let without = carts(|spec| drop(spec["indicators"][0].as_object_mut().unwrap().remove("grading")));
    assert_eq!(in_keptn(&without, &value(5))["result"], "failed");
    assert_errors(&without, &["grading is missing"]);
}

#[test]
fn g7_a_duplicate_id_wins_and_is_strictly_an_error() {
    let spec = carts(|spec| {
        let mut second = spec["indicators"][0].clone();
        second["grading"]["metricScore"] = json!(7);
        spec["indicators"].as_array_mut().unwrap().push(second);
    });
    assert_eq!(in_keptn(&spec, &value(5))["totalScore"], 7);
    assert_errors(&spec, &["indicators[1].id: the id \"ResponseTime_Backend\" is used twice, first by indicators[0]"]);
}

#[test]
fn g7_a_duplicate_key_is_strictly_an_error_and_the_last_one_counts_in_the_original() {
    let text = DYNATRACE.replace("\"upperWarning\": 800000", "\"upperWarning\": 800000, \"upperSevere\": 5");
    let five = json!([{"key": "k", "value": 5}]);
    let report = keptn::evaluate(&perfspec::load_keptn(&text), &|_| Ok((&five).into()));
    assert_eq!(report.result, "fail");
    let problems = perfspec::load("f", &text).unwrap_err();
    let problem = problems.iter().find(|p| p.is_error()).unwrap();
    assert_eq!((problem.path.as_str(), problem.line), ("indicators[0].grading.thresholds.upperSevere", Some(17)));
    assert!(problem.message.contains("occurs twice"));
}

#[test]
fn g8_ids_like_integers_come_first_in_the_original_and_strictly_stand_in_the_order_of_the_file() {
    let spec = carts(|spec| {
        for id in ["10", "9"] {
            let mut copy = spec["indicators"][0].clone();
            copy["id"] = json!(id);
            spec["indicators"].as_array_mut().unwrap().push(copy);
        }
    });
    let ids = |report: &Value| report["indicatorResults"].as_array().unwrap().iter().map(|r| r["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&in_keptn(&spec, &value(5))), ["9", "10", "ResponseTime_Backend"]);
    assert_eq!(ids(&json_of(&in_strict(&spec, &value(5)).unwrap())), ["ResponseTime_Backend", "10", "9"]);
}

#[test]
fn g9_a_threshold_of_zero_is_ignored_and_strictly_honoured() {
    let spec = carts(|spec| spec["indicators"][0]["grading"]["thresholds"] = json!({"upperSevere": 0}));
    assert_eq!(in_keptn(&spec, &value(3))["result"], "pass");
    assert_eq!(in_strict(&spec, &value(3)).unwrap().verdict, Verdict::Fail);
    assert_eq!(in_strict(&spec, &value(-3)).unwrap().verdict, Verdict::Pass);
}

#[test]
fn g10_numbers_written_as_text_follow_the_language_and_are_strictly_errors() {
    let spec = carts(|spec| {
        spec["indicators"][0]["grading"]["thresholds"]["upperSevere"] = json!("9");
        spec["indicators"][0]["grading"]["thresholds"]["upperWarning"] = json!({});
        spec["indicators"][0]["grading"]["metricScore"] = json!("100");
        spec["objectives"]["pass"] = json!("9 points");
    });
    let report = in_keptn(&spec, &value("10"));
    assert_eq!((&report["totalScore"], &report["result"]), (&json!("0100"), &json!("warning")));
    assert_errors(
        &spec,
        &[
            "thresholds.upperSevere: upperSevere is not a number but the text \"9\" (write 9 without quotes)",
            "thresholds.upperWarning: upperWarning is not a number but an object",
            "metricScore is not a number but the text \"100\" (write 100 without quotes)",
            "objectives.pass: pass is not a number but the text \"9 points\"",
        ],
    );
}

#[test]
fn g10_a_number_that_no_double_holds_never_fires_and_is_strictly_an_error() {
    let text = DYNATRACE.replace("1000000", "1e400").replace("800000", "-1e400");
    let load = || perfspec::load("f", &text).unwrap_err().into_iter().filter(|p| p.message.contains("too large")).map(|p| p.line);
    assert_eq!(load().collect::<Vec<_>>(), [Some(16), Some(17)]);
    let text = DYNATRACE.replace("1000000", "1e400").replace("\"upperWarning\": 800000", "\"upperWarning\": 0");
    let huge = json!([{"key": "k", "value": 1e300}]);
    assert_eq!(keptn::evaluate(&perfspec::load_keptn(&text), &|_| Ok((&huge).into())).result, "pass");
    let sum = carts(|spec| {
        let mut second = spec["indicators"][0].clone();
        (second["id"], second["grading"]["metricScore"]) = (json!("b"), json!(1.7e308));
        spec["indicators"][0]["grading"]["metricScore"] = json!(1.7e308);
        spec["indicators"].as_array_mut().unwrap().push(second);
    });
    assert_errors(&sum, &["together are too large"]);
}

#[test]
fn g11_a_missing_score_fails_and_is_strictly_an_error() {
    let spec = carts(|spec| drop(spec["indicators"][0]["grading"].as_object_mut().unwrap().remove("metricScore")));
    let report = in_keptn(&spec, &value(5));
    assert_eq!((&report["totalScore"], &report["result"]), (&Value::Null, &json!("fail")));
    assert_errors(&spec, &["grading.metricScore is missing"]);
    assert_errors(&carts(|spec| spec["indicators"][0]["grading"]["metricScore"] = json!(-1)), &["metricScore -1 is below 0"]);
}

#[test]
fn g12_a_missing_or_null_objective_falls_through_and_is_strictly_an_error() {
    let missing = carts(|spec| spec["objectives"] = json!({"warning": 75}));
    assert_eq!(in_keptn(&missing, &value(5))["result"], "warning");
    assert_errors(&missing, &["objectives.pass is missing"]);
    let null = carts(|spec| spec["objectives"]["pass"] = Value::Null);
    assert_eq!(in_keptn(&null, &value(2e6))["result"], "pass");
    assert_errors(&null, &["objectives.pass: pass is not a number but null"]);
    let none = carts(|spec| drop(spec.as_object_mut().unwrap().remove("objectives")));
    assert_eq!(in_keptn(&none, &value(5))["result"], "failed");
    assert_errors(&none, &["objectives is missing"]);
}

#[test]
fn g13_contradictory_bounds_both_fire_and_are_strictly_an_error() {
    let spec =
        carts(|spec| spec["indicators"][0]["grading"]["thresholds"] = json!({"upperSevere": 30, "lowerSevere": 50, "lowerWarning": 30}));
    assert_eq!(in_keptn(&spec, &value(35))["indicatorResults"][0]["violations"].as_array().unwrap().len(), 2);
    assert_errors(&spec, &["lowerSevere 50 is above upperSevere 30", "lowerWarning 30 is equal to upperSevere 30"]);
}

#[test]
fn g14_results_that_can_never_occur_are_noted() {
    let said = |spec: &Value, path: &str, part: &str| {
        let notes = notes(spec);
        assert!(notes.iter().any(|n| n.starts_with(path) && n.contains(part)), "{part}: {notes:#?}");
    };
    said(&carts(|_| ()), "objectives.warning: ", "\"warning\" can never occur: no total lies from 75 up to 90");
    said(&carts(|spec| spec["objectives"]["pass"] = json!(160)), "objectives.pass: ", "needs 160 points and there are at most 100");
    said(&carts(|spec| spec["objectives"] = json!({"pass": 0})), "objectives: ", "\"fail\" can never occur");
    said(&carts(|spec| spec["objectives"] = json!({"pass": 90})), "objectives.warning: ", "there is no objectives.warning");
    let hidden = carts(|spec| spec["indicators"][0]["grading"]["thresholds"]["upperWarning"] = json!(1_000_000));
    said(&hidden, "indicators[0].grading.thresholds.upperWarning: ", "has no effect: upperSevere 1000000 is always reached first");
    let forgiving = carts(|spec| spec["objectives"]["warning"] = json!(50));
    assert!(!notes(&forgiving).iter().any(|note| note.contains("can never occur")));
}

#[test]
fn g15_an_empty_list_totals_zero_and_is_strictly_an_error() {
    let spec = |pass: i32| carts(|spec| (spec["indicators"], spec["objectives"]) = (json!([]), json!({"pass": pass})));
    assert_eq!(in_keptn(&spec(90), &json!({}))["result"], "fail");
    assert_eq!(in_keptn(&spec(0), &json!({}))["result"], "pass");
    assert_errors(&spec(0), &["indicators is empty"]);
}

#[test]
fn g16_in_this_format_an_objective_belongs_to_no_indicator_so_a_named_one_is_an_unknown_key() {
    let spec = carts(|spec| spec["objectives"]["ResponseTime_Backend"] = json!(90));
    assert_eq!(in_keptn(&spec, &value(5))["result"], "pass");
    assert_errors(&spec, &["unknown key \"ResponseTime_Backend\""]);
}

#[test]
fn g28_and_g29_a_placeholder_nothing_replaces_is_strictly_an_error() {
    let with = |query: &str| {
        let mut spec: Value = serde_json::from_str(PROMETHEUS).unwrap();
        spec["indicators"][0]["query"] = json!(query);
        spec
    };
    assert_errors(&with("up{job='$ENVIRONMNT'}"), &["unknown placeholder \"$ENVIRONMNT\" (did you mean \"ENVIRONMENT\"?)"]);
    assert_errors(&with("up{job='$ENVIRONMENTX'}"), &["unknown placeholder \"$ENVIRONMENTX\""]);
    assert_errors(&with("up{job='$SERVICE'}[$DURATIONm]"), &["unknown placeholder \"$SERVICE\""]);
    assert_errors(&with("up{job=~'carts$', x='a$1'}[$DURATION]"), &[]);
}

#[test]
fn g32_loading_says_from_which_value_each_indicator_fails_the_run() {
    let notes = notes(&carts(|_| ()));
    let line = "indicators[0].grading.thresholds.upperWarning: \"ResponseTime_Backend\" fails from 800000 (800 ms)";
    assert!(notes.iter().any(|note| note.starts_with(line)), "{notes:#?}");
    let loaded = perfspec::load("f", PROMETHEUS).unwrap();
    assert!(loaded.notes.iter().any(|n| n.message == "\"request_latency_seconds\" fails from 0.8 (800 ms)" && n.line == Some(11)));
}

#[test]
fn every_problem_is_named_at_once_with_place_and_snippet() {
    let text = "{\n  \"indicators\": [\n    { \"id\": \"a\", \"source\": \"dynatrace\",\n      \"grading\": { \"type\": \"Treshold\", \"thresholds\": {}, \"metricScore\": \"1\" } }\n  ],\n  \"objectivs\": {}\n}\n";
    let problems = perfspec::load("gate.json", text).unwrap_err();
    let places: Vec<_> = problems.iter().filter(|p| p.is_error()).map(|p| (p.line.unwrap(), p.column.unwrap(), p.path.as_str())).collect();
    assert_eq!(
        places,
        [
            (1, 1, "objectives"),
            (3, 5, "indicators[0].query"),
            (3, 28, "indicators[0].source"),
            (4, 28, "indicators[0].grading.type"),
            (4, 73, "indicators[0].grading.metricScore"),
            (6, 3, "objectivs"),
        ]
    );
    assert!(problems.iter().all(|p| p.snippet.as_deref() == text.lines().nth(p.line.unwrap() - 1)));
}

#[test]
fn what_the_proxy_cannot_answer_is_an_error_of_a_live_file_with_place_and_hint() {
    let text = PROMETHEUS.replace("requests_latency_seconds", "queue_length");
    assert!(perfspec::load("f", &text).is_ok());
    let problems = perfspec::check("f", &text);
    let problem = problems.iter().find(|p| p.is_error()).unwrap();
    assert_eq!((problem.path.as_str(), problem.line, problem.column), ("indicators[0].query", Some(7), Some(15)));
    assert!(problem.message.contains("queue_length_sum") && problem.hint.as_ref().unwrap().contains("requests_latency_seconds"));
    assert!(perfspec::check("f", DYNATRACE).iter().all(|p| !p.is_error()));
}

#[test]
fn a_file_of_values_is_checked_too() {
    let spec = perfspec::load("f", DYNATRACE).unwrap().spec;
    for (text, part) in [
        ("[]", "must be an object"),
        ("{", "not JSON"),
        (r#"{"ResponseTime_Backnd": []}"#, "unknown key \"ResponseTime_Backnd\""),
        (r#"{"ResponseTime_Backend": 5}"#, "must be a list, not a number"),
        (r#"{"ResponseTime_Backend": [5]}"#, "must be an object, not a number"),
        (r#"{"ResponseTime_Backend": [{"valeu": 5}]}"#, "unknown key \"valeu\""),
    ] {
        let problems = perfspec::load_values("v", text, &spec).unwrap_err();
        assert!(problems.iter().any(|p| p.message.contains(part) && p.hint.is_some() && p.line == Some(1)), "{text}: {problems:?}");
    }
}
