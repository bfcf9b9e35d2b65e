//! Gate files of others that a service names: what they become, and where their mistakes are shown.

use super::*;
use crate::domain::gate::Gate;
use crate::domain::rollout::Schedule;

const SLO: &str = "\
spec_version: '1.0'
objectives:
  - sli: response_time_p95
    pass:
      - criteria: ['<600', '<=+10%']
  - sli: throughput
total_score: {pass: 90%}
";

const ANALYSIS: &str = "\
apiVersion: metrics.keptn.sh/v1
kind: AnalysisDefinition
metadata: {name: ed}
spec:
  objectives:
    - analysisValueTemplateRef: {name: p95}
      target:
        failure: {greaterThan: {fixedValue: 600}}
  totalScore: {passPercentage: 90, warningPercentage: 75}
---
apiVersion: metrics.keptn.sh/v1
kind: AnalysisValueTemplate
metadata: {name: p95}
spec:
  provider: {name: prometheus}
  query: histogram_quantile(0.95,sum(rate(http_response_time_milliseconds_bucket[1m]))by(le))
";

const FLAGGER: &str = "analysis: {interval: 20s, stepWeights: [5, 50], metrics: [{name: request-duration, thresholdRange: {max: 500}}]}\n";

const ARGO: &str = "\
kind: AnalysisTemplate
spec:
  metrics:
    - name: errors
      failureCondition: result[0] > 0.01
      provider:
        prometheus:
          query: sum(rate(http_requests_total{code=~\"5..\"}[1m])) / sum(rate(http_requests_total[1m]))
";

/// Loads a configuration with a canary beside other files.
fn load_with(files: &[(&str, &str)], rest: &str) -> Result<Loaded, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    load_in(folder.path(), format!("{WITH_CANARY}{rest}"), &Flags::default())
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.settings.services[0].gates.iter().map(Gate::name).collect()
}

#[track_caller]
fn good(files: &[(&str, &str)], rest: &str) -> Loaded {
    load_with(files, rest).unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

#[test]
fn each_kind_of_file_becomes_gates() {
    let slo = good(&[("slo.yaml", SLO)], "    slo: {file: slo.yaml}\n");
    assert_eq!(names(&slo), ["response_time_p95: p95 < 600 ms", "response_time_p95: p95 <= stable * 1.1"]);
    let notes = shown(&slo.notes);
    for part in ["slo.yaml:3:5 (objectives[0])", "stable version of the same moment", "slo.yaml:6:5 (objectives[1])", "no pass criteria"] {
        assert!(notes.contains(part), "{part} is missing in\n{notes}");
    }
    let sli = "indicators:\n  response_time_p95: histogram_quantile(0.95,sum(rate(http_request_duration_seconds_bucket[1m]))by(le))\n  throughput: up\n";
    let seconds = good(
        &[("slo.yaml", &SLO.replace("<600", "<0.6")), ("sli.yaml", sli)],
        "    slo: {file: slo.yaml, sli: sli.yaml, compat: strict}\n",
    );
    assert_eq!(names(&seconds)[0], "response_time_p95: p95 < 600 ms");
    let old = SLO.replace("'<=+10%'", "'<=10%'");
    assert!(load_with(&[("slo.yaml", &old)], "    slo: slo.yaml\n").is_err());
    assert_eq!(names(&good(&[("slo.yaml", &old)], "    slo: {file: slo.yaml, compat: 0.6.1}\n")), names(&slo));

    let analysis = good(&[("a.yaml", ANALYSIS)], "    analysis: a.yaml\n");
    assert_eq!(names(&analysis), ["p95: p95 < 600 ms"]);
    let argo = good(&[("t.yaml", ARGO)], "    argo: t.yaml\n");
    assert_eq!(names(&argo), ["errors: errors < 1%"]);

    let flagger = good(&[("c.yaml", FLAGGER)], "    flagger: c.yaml\n");
    assert_eq!(names(&flagger), ["request-duration: p99 < 500 ms"]);
    let Schedule::Steps(plan) = &flagger.settings.services[0].schedule else { panic!() };
    assert_eq!(plan.steps().iter().map(|step| step.weight.to_string()).collect::<Vec<_>>(), ["5%", "50%", "100%"]);
    let own = good(&[("c.yaml", FLAGGER)], "    flagger: c.yaml\n    plan: {start: 1%}\n");
    assert!(matches!(own.settings.services[0].schedule, Schedule::Ramp(_)), "a plan that is written wins");

    let all = good(
        &[("slo.yaml", SLO), ("a.yaml", ANALYSIS), ("c.yaml", FLAGGER), ("t.yaml", ARGO)],
        "    gates: [mean < 1s]\n    slo: slo.yaml\n    analysis: a.yaml\n    flagger: c.yaml\n    argo: t.yaml\n",
    );
    assert_eq!(names(&all).len(), 6);
    assert!(shown(&all.notes).contains("'p95: p95 < 600 ms' says nothing beyond"), "{}", shown(&all.notes));
}

#[test]
fn what_is_wrong_with_a_file_is_shown_in_its_own_lines() {
    for (file, text, rest, parts) in [
        ("slo.yaml", SLO.replace("response_time_p95", "cpu"), "slo: slo.yaml", &["slo.yaml:3:5 (objectives[0])", "well-known"][..]),
        ("slo.yaml", SLO.replace("'<600'", "'>600'"), "slo: slo.yaml", &["slo.yaml:3:5", "slower version"]),
        ("slo.yaml", SLO.replace("'<600'", "'<NaN'"), "slo: slo.yaml", &["slo.yaml:5:", "NaN"]),
        ("slo.yaml", SLO.replace("'<600'", "'<Inf'"), "slo: slo.yaml", &["slo.yaml:5:", "Inf"]),
        ("slo.yaml", SLO.replace("'<600'", "'<-600'"), "slo: slo.yaml", &["slo.yaml:"]),
        ("slo.yaml", SLO.replace("'<600', '<=+10%'", "'<600', '>700'"), "slo: slo.yaml", &["slo.yaml:5:"]),
        ("slo.yaml", SLO.to_owned(), "slo: {file: slo.yaml, compat: 0.5}", &["portcullis.yaml:6:", "no release of lighthouse"]),
        ("slo.yaml", SLO.to_owned(), "slo: {file: slo.yaml, sli: none.yaml}", &["portcullis.yaml:6:", "none.yaml is of no use"]),
        ("slo.yaml", SLO.to_owned(), "slo: {sli: slo.yaml}", &["portcullis.yaml:6:", "file is missing"]),
        ("a.yaml", ANALYSIS.replace("histogram_quantile", "nonsense"), "analysis: a.yaml", &["a.yaml:6:7 (objectives[0])", "hint"]),
        ("c.yaml", FLAGGER.replace("request-duration", "cpu"), "flagger: c.yaml", &["c.yaml:1:", "does not measure the metric \"cpu\""]),
        ("t.yaml", ARGO.replace("> 0.01", "> NaN"), "argo: t.yaml", &["t.yaml:5:", "not a finite number"]),
        ("t.yaml", ARGO.to_owned(), "argo: missing.yaml", &["portcullis.yaml:6:", "AnalysisTemplate", "path is right"]),
    ] {
        let problems = load_with(&[(file, &text)], &format!("    {rest}\n")).expect_err(rest);
        for part in parts {
            assert!(shown(&problems).contains(part), "{part} is missing in\n{}", shown(&problems));
        }
    }
    let informational = "objectives:\n  - sli: throughput\n  - sli: response_time_p95\n    pass: [{criteria: ['<600']}]\n    weight: 1\ntotal_score: {pass: 0%}\n";
    let problems = load_with(&[("slo.yaml", informational)], "    slo: slo.yaml\n").unwrap_err();
    assert!(shown(&problems).contains("no indicator that can be judged while the canary runs"), "{}", shown(&problems));
}

#[test]
fn a_file_grades_by_what_the_proxy_measures_and_says_what_is_missing() {
    let graded = |files: &[(&str, &str)], rest: &str| good(files, rest).settings.services[0].graded.clone();
    let slo = graded(&[("slo.yaml", SLO)], "    slo: slo.yaml\n");
    assert!(slo.len() == 1 && slo[0].figures.keys().eq(["response_time_p95"]), "{slo:?}");
    let both = graded(&[("slo.yaml", SLO), ("a.yaml", ANALYSIS)], "    slo: slo.yaml\n    analysis: a.yaml\n");
    assert!(both.len() == 2 && both[1].figures.keys().eq(["p95"]), "{both:?}");

    let weighted = |weight: u32| {
        let cpu = format!(
            "  - sli: cpu_usage\n    weight: {weight}\n    pass: [{{criteria: ['<50']}}]\n  - sli: memory\n    pass: [{{criteria: ['<50']}}]\n"
        );
        let p95 = "    pass:\n      - criteria: ['<600', '<=+10%']\n    weight: 20\n";
        SLO.replace("    pass:\n      - criteria: ['<600', '<=+10%']\n", &format!("{p95}{cpu}"))
    };
    let notes = shown(&good(&[("slo.yaml", &weighted(1))], "    slo: slo.yaml\n").notes);
    for part in
        ["slo.yaml:7:5 (objectives[1])", "\"cpu_usage\" cannot fail", "counts as missing when a step is graded", "\"memory\" cannot fail"]
    {
        assert!(notes.contains(part), "{part} is missing in\n{notes}");
    }
    let problems = shown(&load_with(&[("slo.yaml", &weighted(2))], "    slo: slo.yaml\n").unwrap_err());
    assert!(problems.contains("none of \"cpu_usage\", \"memory\"") && problems.contains("makes them informational"), "{problems}");
}

#[test]
fn ten_thousand_objectives_are_refused_in_linear_time() {
    let objective = "  - {sli: response_time_p95, pass: [{criteria: ['<600', '>=0', '<=+10%']}]}\n";
    let slo = format!("objectives:\n{}total_score: {{pass: 90%}}\n", objective.repeat(10_000));
    let begun = std::time::Instant::now();
    let problems = load_with(&[("slo.yaml", &slo)], "    slo: slo.yaml\n").unwrap_err();
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "a debug build takes a few seconds");
    assert!(problems.iter().any(Problem::is_error));
}
