//! What a template becomes, and how each of its mistakes is named.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::gate::Gate;

const TEMPLATE: &str = "\
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: success-rate}
spec:
  args: [{name: service-name}]
  metrics:
    - name: success-rate
      interval: 5m
      successCondition: result[0] >= 0.95
      failureLimit: 3
      provider:
        prometheus:
          address: http://prometheus.example.com:9090
          query: |
            sum(irate(istio_requests_total{reporter=\"source\",destination_service=~\"{{args.service-name}}\",response_code!~\"5.*\"}[5m])) /
            sum(irate(istio_requests_total{reporter=\"source\",destination_service=~\"{{args.service-name}}\"}[5m]))
    - name: latency
      failureCondition: result[0] > 0.5
      provider:
        prometheus:
          query: histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket[1m])) by (le))
";

fn loaded(text: &str) -> Loaded {
    read("template.yaml", text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn conditions_on_what_the_proxy_measures_become_gates() {
    let names = |text: &str| loaded(text).gates.iter().map(Gate::name).collect::<Vec<_>>();
    assert_eq!(names(TEMPLATE), ["success-rate: errors < 5%", "latency: p95 < 500 ms"]);
    let both = TEMPLATE.replace("      failureLimit: 3", "      failureCondition: result[0] < 0.9");
    assert_eq!(names(&both), ["success-rate: errors < 5%", "latency: p95 < 500 ms"]);
    assert!(loaded(&both).notes.iter().any(|note| note.message.contains("successCondition decides")));
    let guarded = TEMPLATE.replace("result[0] >= 0.95", "len(result) == 0 || isNaN(result[0]) || result[0] >= 0.99");
    assert_eq!(names(&guarded)[0], "success-rate: errors < 1%");
    assert!(loaded(&guarded).notes.iter().any(|note| note.line == Some(9) && note.message.contains("without traffic nothing passes")));
    let dry = TEMPLATE.replace("  args:", "  dryRun: [{metricName: latency}]\n  args:");
    assert_eq!(names(&dry).len(), 1);
    assert_eq!(names(&TEMPLATE.replace("AnalysisTemplate", "ClusterAnalysisTemplate")).len(), 2);
    assert_eq!(names(&format!("kind: Rollout\n---\n{TEMPLATE}")).len(), 2);
}

#[test]
fn every_mistake_is_named_at_its_place() {
    for (from, to, line, message, hint) in [
        ("kind: AnalysisTemplate", "kind: AnalysisRun", 1, "there is no AnalysisTemplate", "kind: AnalysisTemplate"),
        ("spec:", "spek:", 1, "spec is missing", "metrics"),
        ("  metrics:", "  metric:", 6, "unknown key \"metric\"", "did you mean \"metrics\"?"),
        ("successCondition", "sucessCondition", 9, "unknown key", "did you mean \"successCondition\"?"),
        ("name: latency", "name: success-rate", 17, "occurs twice", "name of its own"),
        ("result[0] >= 0.95", "result[0] >= NaN", 9, "not a finite number", "result[0] >= 0.95"),
        ("result[0] >= 0.95", "result[0] < 0.95", 9, "more errors", "upper limit"),
        ("result[0] >= 0.95", "result[0] >= 1", 9, "no number of requests", "one in a thousand"),
        ("result[0] >= 0.95", "result[0] >= 0", 9, "never fire", "smaller share"),
        ("result[0] >= 0.95", "result[0] >= 0.9 && result[0] < 0.5", 9, "contradicts itself", "result[0] >= 0.95"),
        ("result[0] > 0.5", "result[0] > -1", 18, "above 0", "seconds"),
        ("result[0] > 0.5", "result[0] > .inf", 18, "not a finite number", "result[0]"),
        ("http_request_duration_seconds_bucket", "my_bucket", 21, "\"my_bucket\"", "success rate"),
        ("          address:", "          adress:", 13, "unknown key", "did you mean \"address\"?"),
        ("    - name: latency\n", "    - name: latency\n      provider: {web: {url: x}}\n", 19, "occurs twice", "keep one"),
    ] {
        assert!(TEMPLATE.contains(from), "{from}");
        let problems = read("template.yaml", &TEMPLATE.replacen(from, to, 1)).expect_err(to);
        let told = problems.iter().filter(|problem| problem.is_error()).any(|error| {
            error.message.contains(message)
                && error.hint.as_deref().is_some_and(|found| found.contains(hint))
                && (line == 1 || error.line == Some(line) || message == "occurs twice")
        });
        assert!(told, "{to}: {problems:#?}");
    }
    let web = TEMPLATE.replace("        prometheus:\n          query: histogram", "        web:\n          query: histogram");
    let problems = read("template.yaml", &web).unwrap_err();
    assert!(problems.iter().any(|problem| problem.line == Some(20) && problem.message.contains("asks a provider")), "{problems:#?}");
    let silent =
        TEMPLATE.replace("      successCondition: result[0] >= 0.95\n", "").replace("      failureCondition: result[0] > 0.5\n", "");
    assert!(read("t", &silent).unwrap_err().iter().any(|problem| problem.message.contains("nothing is judged")));
    assert!(read("t", &format!("{TEMPLATE}---\n{TEMPLATE}")).unwrap_err().iter().any(|problem| problem.message.contains("two Analysis")));
}

#[test]
fn ten_thousand_metrics_are_read_in_linear_time() {
    let query = "sum(rate(http_requests_total{code=~'5..'}[1m]))/sum(rate(http_requests_total[1m]))";
    let metric =
        |n: usize| format!("  - {{name: m{n}, failureCondition: result > 0.5, provider: {{prometheus: {{query: \"{query}\"}}}}}}\n");
    let text = format!("kind: AnalysisTemplate\nspec:\n  metrics:\n{}", (0..10_000).map(metric).collect::<String>());
    assert_eq!(loaded(&text).gates.len(), 10_000, "the configuration that names the file refuses so many");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9:{}\\[\\]\"',&*!|>%#<~ \n-]{0,120}", cut in 0_usize..TEMPLATE.len(), place in 0_usize..TEMPLATE.len(), c in any::<char>()) {
        let mut changed: Vec<char> = TEMPLATE.chars().take(cut).collect();
        if let Some(found) = changed.get_mut(place) {
            *found = c;
        }
        for text in [text, changed.into_iter().collect()] {
            if let Err(problems) = read("f", &text) {
                prop_assert!(problems.iter().any(|problem| problem.is_error()));
            }
        }
    }

    #[test]
    fn any_condition_is_read_or_refused(text in "(result|\\[0\\]|[<>=!&|()]|[0-9.]|asFloat|len|isNaN|,| |é){0,20}") {
        let _ = (condition::success(&text), condition::failure(&text));
    }
}
