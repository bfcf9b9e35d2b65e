//! Runs `portcullis evaluate` with a source in place of a file of values: what it needs, and what is told where that is missing.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::support::{DYNATRACE, PROMETHEUS};

/// Runs the command in a folder with both gate files and a token, and returns exit code, result and error output.
fn evaluate(arguments: &[&str]) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let slo = "objectives:\n  - {sli: response_time_p95, pass: [{criteria: [\"<600\"]}]}\ntotal_score: {pass: \"90%\"}\n";
    let analysis = "apiVersion: metrics.keptn.sh/v1\nkind: AnalysisDefinition\nspec: {objectives: []}\n";
    let files =
        [("prometheus.json", PROMETHEUS), ("dynatrace.json", DYNATRACE), ("slo.yaml", slo), ("analysis.yaml", analysis), ("token", "t\n")];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let run = Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("evaluate").args(arguments).current_dir(folder.path()).output().unwrap();
    let json = serde_json::from_slice(&run.stdout).unwrap_or(Value::Null);
    (run.status.code(), json, String::from_utf8(run.stderr).unwrap())
}

/// Returns the URL of a port at which nobody listens.
fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[test]
fn a_source_that_is_down_is_inconclusive_and_failed_in_the_original() {
    let url = nobody();
    let times = ["--start", "2026-01-31T12:00:00", "--end", "2026-01-31T12:03:20"];
    let names = ["--project", "sockshop", "--stage", "dev", "--service", "carts"];
    let run = |gate: &str, source: &str, more: &[&str], mode: &str| {
        evaluate(&[&[gate, "--compat", mode, source, &url], more, &names, &times].concat())
    };
    let (code, json, errors) = run("prometheus.json", "--prometheus", &[], "strict");
    assert_eq!((code, &json["result"]), (Some(4), &Value::from("inconclusive")), "{errors}");
    assert_eq!(json["options"], serde_json::json!({"timeStart": 1_769_860_800, "timeEnd": 1_769_861_000}));
    assert!(json["reasons"].to_string().contains("cannot be asked"), "{json}");
    let (code, json, _) = run("prometheus.json", "--prometheus", &[], "keptn");
    assert_eq!((code, &json["result"]), (Some(3), &Value::from("failed")));
    let (code, json, errors) = run("dynatrace.json", "--dynatrace", &["--token-file", "token", "--wait", "1"], "strict");
    assert_eq!((code, &json["result"]), (Some(4), &Value::from("inconclusive")), "{errors}");
    let (code, json, errors) = run("slo.yaml", "--prometheus", &[], "strict");
    assert_eq!((code, &json["result"]), (Some(4), &Value::from("inconclusive")), "{errors}");
}

#[test]
fn arguments_that_are_missing_or_wrong_are_told_with_what_to_write() {
    let url = nobody();
    for (arguments, code, told) in [
        (&["prometheus.json"][..], 2, "--values"),
        (&["prometheus.json", "--values", "v.json", "--prometheus", &url], 2, "cannot be used with"),
        (&["prometheus.json", "--values", "v.json", "--start", "x"], 2, "cannot be used with"),
        (&["prometheus.json", "--prometheus", &url], 2, "$ENVIRONMENT has no value\n  hint: give --project and --stage"),
        (
            &["prometheus.json", "--prometheus", &url, "--compat", "keptn"],
            2,
            "$ENVIRONMENT has no value\n  hint: give --project and --stage",
        ),
        (&["dynatrace.json", "--prometheus", &url], 2, "asks Dynatrace, and nothing says where that is\n  hint: give --dynatrace"),
        (&["dynatrace.json", "--prometheus", &url, "--compat", "keptn"], 2, "hint: give --dynatrace with its URL"),
        (&["dynatrace.json", "--dynatrace", &url], 2, "--token-file"),
        (&["dynatrace.json", "--dynatrace", &url, "--token-file", "nowhere"], 1, "nowhere holds no token"),
        (&["dynatrace.json", "--dynatrace", "http://192.0.2.1", "--token-file", "token"], 2, "in clear text"),
        (&["dynatrace.json", "--dynatrace", &url, "--token-file", "token"], 2, "$SERVICE has no value\n  hint: give --service"),
        (&["prometheus.json", "--prometheus", "localhost:9090"], 2, "neither http:// nor https://"),
        (&["prometheus.json", "--prometheus", &url, "--start", "2026-01-31T12:00:00"], 2, "--start needs --timeframe or --end"),
        (&["prometheus.json", "--prometheus", &url, "--project", "a'b"], 2, "write a name of letters"),
        (&["slo.yaml", "--prometheus", &url], 2, "$SERVICE has no value\n  hint: give --service"),
        (&["analysis.yaml", "--prometheus", &url], 2, "hint: give --values"),
    ] {
        let (exit, json, errors) = evaluate(arguments);
        assert_eq!((exit, json), (Some(code), Value::Null), "{arguments:?}: {errors}");
        assert!(errors.contains(told), "{arguments:?}: {errors}");
    }
}
