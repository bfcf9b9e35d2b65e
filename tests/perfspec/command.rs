//! Runs `portcullis evaluate` as a process and looks at its output and exit code.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{DYNATRACE, PROMETHEUS};

fn evaluate(spec: &Path, values: &Path, mode: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["evaluate", "--compat", mode, "--perfspec"])
        .arg(spec)
        .arg("--values")
        .arg(values)
        .output()
        .unwrap()
}

/// Writes both files into a fresh folder and runs the command.
fn run(spec: impl AsRef<[u8]>, values: impl AsRef<[u8]>, mode: &str) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let (spec_path, values_path) = (folder.path().join("perfspec.json"), folder.path().join("values.json"));
    std::fs::write(&spec_path, spec).unwrap();
    std::fs::write(&values_path, values).unwrap();
    let output = evaluate(&spec_path, &values_path, mode);
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), json, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_exit_code_tells_pass_warning_fail_and_inconclusive_apart() {
    let forgiving = DYNATRACE.replace("75", "50");
    for (spec, values, mode, code, result) in [
        (DYNATRACE, r#"{"ResponseTime_Backend": [{"key": "k", "value": 799999}]}"#, "strict", 0, "pass"),
        (DYNATRACE, r#"{"ResponseTime_Backend": [{"key": "k", "value": 800000}]}"#, "strict", 3, "fail"),
        (&forgiving, r#"{"ResponseTime_Backend": [{"key": "k", "value": 800000}]}"#, "strict", 0, "warning"),
        (DYNATRACE, "{}", "strict", 4, "inconclusive"),
        (DYNATRACE, "{}", "keptn", 3, "fail"),
        (PROMETHEUS, r#"{"request_latency_seconds": [{"key": "{}", "value": "NaN"}]}"#, "strict", 4, "inconclusive"),
        (PROMETHEUS, r#"{"request_latency_seconds": [{"key": "{}", "value": "NaN"}]}"#, "keptn", 0, "pass"),
        ("not JSON", "{}", "keptn", 3, "failed"),
    ] {
        let (exit, json, errors) = run(spec, values, mode);
        assert_eq!((exit, &json["result"]), (Some(code), &Value::from(result)), "{mode} {values}: {errors}");
    }
}

#[test]
fn the_published_example_is_printed_in_the_original_shape() {
    let values = r#"{"ResponseTime_Backend": [{"key": "SERVICE-64F930D2B8E888FF", "value": 1014676.0082135524}]}"#;
    let (_, json, _) = run(DYNATRACE, values, "keptn");
    let expected = r#"{"options":{},"totalScore":0,"objectives":{"pass":90,"warning":75},"indicatorResults":[{"id":"ResponseTime_Backend","violations":[{"value":1014676.0082135524,"key":"SERVICE-64F930D2B8E888FF","breach":"upperSevere","threshold":1000000}],"score":0}],"result":"fail"}"#;
    assert_eq!(json.to_string(), expected);
    let (_, json, _) = run(DYNATRACE, values, "strict");
    assert_eq!(json["verdict"], "fail");
    assert!(json["reasons"].as_array().unwrap().len() >= 2, "{json}");
}

#[test]
fn every_error_of_both_files_is_listed_and_the_exit_code_is_78() {
    let broken = DYNATRACE.replace("\"metricScore\"", "\"metricsScore\"").replace("\"Dynatrace\"", "\"dynatrace\"");
    let (code, json, errors) = run(broken, "{\"a\": 1,}", "strict");
    assert_eq!((code, json), (Some(78), Value::Null));
    for part in
        ["perfspec.json:6:17", "perfspec.json:19:9", "did you mean \"Dynatrace\"?", "did you mean \"metricScore\"?", "values.json:1:9"]
    {
        assert!(errors.contains(part), "{part} is not in {errors}");
    }
    let (code, _, errors) = run(DYNATRACE, "[]", "keptn");
    assert_eq!(code, Some(78), "{errors}");
    let (code, _, errors) = run(b"{\n\"a\": \"\xff\"}", "{}", "strict");
    assert_eq!(code, Some(78));
    assert!(errors.contains("perfspec.json:2") && errors.contains("UTF-8"), "{errors}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason_and_the_exit_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such.json");
    for mode in ["strict", "keptn"] {
        let output = evaluate(&missing, folder.path(), mode);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("no-such.json") && errors.contains("No such file") && errors.contains("hint:"), "{errors}");
    }
}
