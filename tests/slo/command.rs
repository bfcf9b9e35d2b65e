//! Runs `portcullis evaluate` and `portcullis check` as processes and looks at their output and exit codes.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{INDICATORS, OBJECTIVES, QUALITY_GATES, SLI_PROMETHEUS};

const SLO: &str = "objectives:\n- sli: a\n  pass: [{criteria: ['<=+10%', '<600']}]\n  warning: [{criteria: ['<800']}]\ntotal_score: {pass: 90%, warning: 50%}\n";
const ANALYSIS: &str = "apiVersion: metrics.keptn.sh/v1\nkind: AnalysisDefinition\nspec:\n  objectives:\n  - analysisValueTemplateRef: {name: a}\n    target: {failure: {greaterThan: {fixedValue: 600}}}\n  totalScore: {passPercentage: 90, warningPercentage: 75}\n";

const CANARY: &str = "kind: Canary\nspec:\n  analysis:\n    metrics:\n    - {name: request-success-rate, thresholdRange: {min: 99}}\n    - name: latency\n      templateRef: {name: x}\n      thresholdRange: {min: 1, max: 500}\n";
const TEMPLATE: &str = "kind: AnalysisTemplate\nspec:\n  metrics:\n  - name: rate\n    successCondition: result[0] >= 0.95\n    failureCondition: result[0] < 0.9\n    provider: {prometheus: {query: up}}\n  - name: latency\n    successCondition: 'all(result, # < 0.5)'\n    provider: {datadog: {query: x}}\n";

/// Writes files into a fresh folder and runs the command there.
fn run(files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_portcullis"))).current_dir(folder.path()).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn evaluate(gate: &str, values: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    let arguments = [&["evaluate", "gate", "--values", "v.json"], more].concat();
    let earlier =
        r#"{"result": "pass", "indicatorResults": [{"value": {"metric": "a", "value": 500, "success": true}, "status": "pass"}]}"#;
    let (code, json, errors) =
        run(&[("gate", gate), ("v.json", values), ("sli.yaml", SLI_PROMETHEUS), ("i.yaml", INDICATORS), ("p.json", earlier)], &arguments);
    (code, serde_json::from_str(&json).unwrap_or(Value::Null), errors)
}

#[test]
fn the_exit_code_tells_the_verdict_of_every_kind_of_gate() {
    let previous = ["--previous", "p.json"];
    let latency = r#"{"request_latency_seconds": [{"value": 0.5}], "cpu_usage_sockshop_carts": [{"value": 0.1}]}"#;
    for (gate, values, more, code, result) in [
        (SLO, r#"{"a": 500}"#, &previous[..], 0, "pass"),
        (SLO, r#"{"a": 700}"#, &previous, 0, "warning"),
        (SLO, r#"{"a": 900}"#, &previous, 3, "fail"),
        (SLO, r#"{"a": 500}"#, &[], 0, "warning"),
        (SLO, "{}", &[], 4, "inconclusive"),
        (SLO, "{}", &["--compat", "keptn-1"], 3, "fail"),
        (SLO, r#"{"a": 500}"#, &["--compat", "keptn"], 0, "pass"),
        (SLO, r#"{"a": 500}"#, &["--compat", "keptn-0.6.0"], 0, "pass"),
        ("objectives: 1\ntotal_score: {}", "{}", &["--compat", "keptn"], 3, "fail"),
        (ANALYSIS, r#"{"a": 500}"#, &[], 0, "pass"),
        (ANALYSIS, r#"{"a": 700}"#, &[], 3, "fail"),
        (ANALYSIS, "{}", &[], 4, "inconclusive"),
        (ANALYSIS, "{}", &["--compat", "keptn"], 3, "fail"),
        (OBJECTIVES, latency, &["--sli", "i.yaml"], 0, "pass"),
        (OBJECTIVES, latency, &["--sli", "i.yaml", "--compat", "keptn"], 0, "pass"),
    ] {
        let (exit, json, errors) = evaluate(gate, values, more);
        assert_eq!((exit, &json["result"]), (Some(code), &json!(result)), "{values} {more:?}: {errors}");
    }
}

#[test]
fn a_canary_is_graded_by_its_ranges() {
    let alone = "analysis: {metrics: [{name: request-success-rate, threshold: 99}, {name: request-duration, threshold: 500}]}";
    for (gate, values, code, result) in [
        (CANARY, r#"{"request-success-rate": 99, "latency": 500}"#, 0, "pass"),
        (CANARY, r#"{"request-success-rate": "99.5", "latency": [{"key": "v2", "value": 1}]}"#, 0, "pass"),
        (CANARY, r#"{"request-success-rate": 98.9, "latency": 500}"#, 3, "fail"),
        (CANARY, r#"{"request-success-rate": 100, "latency": 500.1}"#, 3, "fail"),
        (CANARY, r#"{"request-success-rate": 100, "latency": 0.9}"#, 3, "fail"),
        (CANARY, r#"{"request-success-rate": 100}"#, 4, "inconclusive"),
        (CANARY, r#"{"request-success-rate": 100, "latency": null}"#, 4, "inconclusive"),
        (CANARY, r#"{"request-success-rate": 100, "latency": [1, 2]}"#, 4, "inconclusive"),
        (CANARY, r#"{"latency": 501}"#, 3, "fail"),
        (CANARY, "{}", 4, "inconclusive"),
        (alone, r#"{"request-success-rate": 99, "request-duration": 500}"#, 0, "pass"),
        (alone, r#"{"request-success-rate": 99, "request-duration": 501}"#, 3, "fail"),
        (alone, r#"{"request-success-rate": 98, "request-duration": 500}"#, 3, "fail"),
    ] {
        let (exit, json, errors) = evaluate(gate, values, &[]);
        assert_eq!((exit, &json["result"]), (Some(code), &json!(result)), "{values}: {errors}");
    }
    let (_, json, _) = evaluate(CANARY, r#"{"latency": 501}"#, &[]);
    assert_eq!(
        json,
        json!({
            "result": "fail",
            "metrics": [
                {"name": "request-success-rate", "status": "inconclusive", "values": null, "reason": "no value"},
                {"name": "latency", "status": "fail", "values": [501.0], "reason": "501 is above max 500"},
            ],
            "reasons": ["1 of 2 metrics fail", "request-success-rate: no value", "latency: 501 is above max 500"],
        })
    );
}

#[test]
fn a_template_is_graded_by_its_conditions() {
    let dry = TEMPLATE.replace("  metrics:", "  dryRun: [{metricName: latency}]\n  metrics:");
    let free = TEMPLATE.replace("    successCondition: 'all(result, # < 0.5)'\n", "");
    let guarded = TEMPLATE.replace("result[0] >= 0.95", "'len(result) == 0 || isNaN(result[0]) || result[0] >= 0.95'");
    let failure = TEMPLATE.replace("    successCondition: result[0] >= 0.95\n", "");
    for (gate, values, code, result) in [
        (TEMPLATE, r#"{"rate": 0.95, "latency": 0.1}"#, 0, "pass"),
        (TEMPLATE, r#"{"rate": [0.95], "latency": [0.1, 0.2]}"#, 0, "pass"),
        (TEMPLATE, r#"{"rate": 0.95, "latency": [0.1, 0.5]}"#, 3, "fail"),
        (TEMPLATE, r#"{"rate": 0.89, "latency": 0.1}"#, 3, "fail"),
        (TEMPLATE, r#"{"rate": 0.93, "latency": 0.1}"#, 4, "inconclusive"),
        (TEMPLATE, r#"{"rate": "NaN", "latency": 0.1}"#, 4, "inconclusive"),
        (TEMPLATE, r#"{"rate": [], "latency": 0.1}"#, 4, "inconclusive"),
        (TEMPLATE, r#"{"latency": 0.1}"#, 4, "inconclusive"),
        (&guarded, r#"{"rate": [], "latency": 0.1}"#, 4, "inconclusive"),
        (&guarded, r#"{"rate": "NaN", "latency": 0.1}"#, 4, "inconclusive"),
        (&guarded, r#"{"rate": 0.95, "latency": 0.1}"#, 0, "pass"),
        (&failure, r#"{"rate": 0.9, "latency": 0.1}"#, 0, "pass"),
        (&failure, r#"{"latency": 0.1}"#, 4, "inconclusive"),
        (&dry, r#"{"rate": 0.95}"#, 0, "pass"),
        (&free, r#"{"rate": 0.95}"#, 0, "pass"),
    ] {
        let (exit, json, errors) = evaluate(gate, values, &[]);
        assert_eq!((exit, &json["result"]), (Some(code), &json!(result)), "{values}: {errors}");
    }
}

#[test]
fn mistakes_in_foreign_metrics_are_shown_with_their_lines() {
    for (gate, values, part) in [
        (CANARY.replace("max: 500", "max: 500ms"), "{}", "gate:8:37"),
        (CANARY.replace("max: 500", "max: 0"), "{}", "contradicts itself"),
        (CANARY.replace("thresholdRange: {min: 99}", "interval: 1m"), "{}", "no threshold, so it could never fail"),
        (CANARY.replace("name: latency", "name: request-success-rate"), "{}", "occurs twice"),
        (CANARY.replace("metrics:", "metrcs:"), "{}", "did you mean \"metrics\"?"),
        (CANARY.to_owned(), r#"{"latancy": 1}"#, "did you mean \"latency\"?"),
        (TEMPLATE.replace("result[0] < 0.9", "result.rate < 0.9"), "{", "gate:6:23"),
        (TEMPLATE.replace("result[0] < 0.9", "result.rate < 0.9"), "{", "v.json:1:"),
        (TEMPLATE.replace("result[0] < 0.9", "'result[0] < {{args.low}}'"), "{}", "argument of the template"),
        (TEMPLATE.replace("successCondition", "sucessCondition"), "{}", "did you mean \"successCondition\"?"),
        ("kind: AnalysisTemplate\nspec: {metrics: [{name: a, provider: {web: {url: x}}}]}".to_owned(), "{}", "nothing is judged"),
    ] {
        let (exit, json, errors) = evaluate(&gate, values, &[]);
        assert!(exit == Some(78) && json.is_null() && errors.contains(part) && errors.contains("hint: "), "{exit:?} {part}: {errors}");
    }
}

#[test]
fn errors_of_every_file_are_shown_at_once_with_their_lines() {
    let broken = SLO.replace("'<600'", "'<600ms'").replace("total_score", "total_scor");
    let (code, json, errors) = evaluate(&broken, "{\"a\": 1,}", &[]);
    assert_eq!((code, json), (Some(78), Value::Null));
    for part in ["gate:3:", "write \"<600\" in the unit of the SLI", "gate:5:1 (total_scor)", "v.json:1:"] {
        assert!(errors.contains(part), "{part} is not in {errors}");
    }
    let (code, _, errors) = evaluate(SLO, r#"{"b": 1}"#, &[]);
    assert!(code == Some(78) && errors.contains("the gate file has no SLI \"b\""), "{errors}");
    let (code, _, errors) = evaluate(SLO, r#"{"a": 1}"#, &["--sli", "sli.yaml"]);
    assert!(code == Some(78) && errors.contains("sli.yaml has no SLI \"a\""), "{errors}");
}

#[test]
fn arguments_that_do_not_fit_and_files_that_are_no_gate_are_refused() {
    for (gate, more, code, part) in [
        (ANALYSIS, &["--sli", "sli.yaml"][..], 2, "--sli has no meaning for an AnalysisDefinition"),
        (ANALYSIS, &["--compat", "keptn-0.6.1"], 2, "write --compat keptn"),
        (CANARY, &["--compat", "keptn"], 2, "--compat has no meaning for a Canary"),
        (TEMPLATE, &["--sli", "sli.yaml"], 2, "--sli has no meaning for an AnalysisTemplate"),
        (OBJECTIVES, &[], 2, "add --sli service-indicators.yaml"),
        (SLI_PROMETHEUS, &[], 78, "this is an sli.yaml, no gate file"),
        ("services: []", &[], 78, "this is a configuration, no gate file"),
        ("a: 1", &[], 78, "no file of a known kind"),
        ("kind: AnalysisDefinition\ntotal_score: {}", &[], 78, "this could be an AnalysisDefinition"),
    ] {
        let (exit, _, errors) = evaluate(gate, "{}", more);
        assert!(exit == Some(code) && errors.contains(part) && errors.contains("hint: "), "{exit:?} {part}: {errors}");
    }
}

#[test]
fn check_takes_gate_files_and_refuses_those_that_cannot_fire() {
    let check = |files: &[(&str, &str)]| {
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let (code, output, _) = run(files, &[&["check"], names.as_slice()].concat());
        (code, output)
    };
    let (code, output) = check(&[
        ("slo.yaml", QUALITY_GATES),
        ("sli.yaml", SLI_PROMETHEUS),
        ("o.yaml", OBJECTIVES),
        ("i.yaml", INDICATORS),
        ("a.yaml", ANALYSIS),
    ]);
    assert_eq!(code, Some(0), "{output}");
    for (file, part) in [
        (SLO.replace("- sli: a", "- sli: response_time").replace("'<600'", "'<0'"), "slo.yaml:3:"),
        (SLO.replace("'<=+10%', '<600'", "'<100', '>200'"), "no value of a meets both"),
        (SLO.replace("pass: 90%", "pass: 110%"), "the result \"pass\" can never occur"),
        (
            ANALYSIS
                .replace("greaterThan: {fixedValue: 600}", "greaterThanOrEqual: {fixedValue: 0}")
                .replace("name: a", "name: response-time"),
            "no value of response-time passes",
        ),
        (ANALYSIS.replace("600", "600ms"), "\"600ms\" is not a quantity"),
    ] {
        let (code, output) = check(&[("slo.yaml", &file)]);
        assert!(code == Some(78) && output.contains(part), "{part}: {output}");
    }
    let (code, output) = check(&[("slo.yaml", &SLO.replace("sli: a", "sli: response_times")), ("sli.yaml", SLI_PROMETHEUS)]);
    assert!(code == Some(78) && output.contains("slo.yaml:2:8") && output.contains("has no SLI \"response_times\""), "{output}");
    let (code, output) = check(&[("o.yaml", OBJECTIVES)]);
    assert!(code == Some(78) && output.contains("says nothing alone"), "{output}");
}
