//! What a Canary becomes, and how each of its mistakes is named.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::gate::Gate;

const CANARY: &str = "\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata:
  name: podinfo
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis:
    interval: 1m
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
      - name: request-success-rate
        thresholdRange: {min: 99}
        interval: 1m
      - name: request-duration
        thresholdRange: {max: 500}
        interval: 30s
    webhooks:
      - {name: load-test, url: http://flagger-loadtester.test/}
";

fn loaded(text: &str) -> Loaded {
    read("canary.yaml", text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.gates.iter().map(Gate::name).collect()
}

#[test]
fn the_metrics_become_gates_and_the_weights_a_plan() {
    let loaded = loaded(CANARY);
    assert_eq!(names(&loaded), ["request-success-rate: errors < 1%", "request-duration: p99 < 500 ms"]);
    let steps: Vec<(String, u64)> =
        loaded.plan.as_ref().unwrap().steps().iter().map(|step| (step.weight.to_string(), step.hold.as_secs())).collect();
    let wanted = ["10%", "20%", "30%", "40%", "50%", "100%"].map(|weight| (weight.to_owned(), 60));
    assert_eq!(steps, wanted);
    let notes: Vec<&str> = loaded.notes.iter().map(|note| note.path.as_str()).collect();
    assert!(notes.contains(&"spec.analysis.threshold") && notes.contains(&"spec.analysis.webhooks"), "{notes:?}");
}

#[test]
fn the_analysis_alone_older_names_and_listed_weights_are_read_too() {
    let weights =
        |loaded: &Loaded| loaded.plan.as_ref().map(|plan| plan.steps().iter().map(|step| step.weight.to_string()).collect::<Vec<_>>());
    let alone = loaded("interval: 5s\nstepWeights: [1, 5, 100]\nmetrics: [{name: request-success-rate, threshold: 99.9}]\n");
    assert_eq!(names(&alone), ["request-success-rate: errors < 0.1%"]);
    assert_eq!(weights(&alone).unwrap(), ["1%", "5%", "100%"]);
    assert_eq!(alone.plan.unwrap().steps()[0].hold.as_secs(), 10);
    let older =
        loaded(&CANARY.replace("analysis:", "canaryAnalysis:").replace("    maxWeight: 50\n    stepWeight: 10\n", "    iterations: 3\n"));
    assert_eq!((older.gates.len(), weights(&older)), (2, None));
}

#[test]
fn every_mistake_is_named_at_its_place() {
    for (from, to, line, message, hint) in [
        ("kind: Canary", "kind: Canry", 1, "there is no Canary", "kind: Canary"),
        ("  analysis:", "  analyses:", 1, "spec.analysis is missing", "metrics"),
        ("    metrics:", "    metrcs:", 13, "unknown key \"metrcs\"", "did you mean \"metrics\"?"),
        ("request-success-rate", "request-sucess-rate", 14, "does not measure", "did you mean \"request-success-rate\"?"),
        ("request-duration", "my-latency", 17, "does not measure", "request-duration"),
        ("request-duration", "request-success-rate", 17, "occurs twice", "keep one"),
        ("        interval: 30s", "        templateRef: {name: x}", 19, "has a templateRef of its own", "leave it out"),
        ("        interval: 30s", "        query: up", 19, "has a query of its own", "leave it out"),
        ("{min: 99}", "{min: 100}", 15, "no number of requests", "one in a thousand"),
        ("{min: 99}", "{min: 0}", 15, "never fire", "smaller share"),
        ("{min: 99}", "{min: -5}", 15, "never fire", "smaller share"),
        ("{min: 99}", "{min: .nan}", 15, "not a finite number", "without a unit"),
        ("{min: 99}", "{min: 99%}", 15, "not a finite number", "without a unit"),
        ("{min: 99}", "{min: 99, max: 98}", 15, "contradicts itself", "min be below max"),
        ("{min: 99}", "{max: 98}", 15, "asks for failures", "{min: 99}"),
        ("{min: 99}", "{}", 15, "neither min nor max", "{min: 99}"),
        ("        thresholdRange: {min: 99}\n", "", 14, "no threshold, so it could never fail", "thresholdRange"),
        ("{max: 500}", "{max: 500ms}", 18, "not a finite number", "without a unit"),
        ("{max: 500}", "{max: 0}", 18, "above 0 and at most 1 h", "milliseconds"),
        ("{max: 500}", "{min: 100, max: 500}", 18, "slower version", "{max: 500}"),
        ("interval: 1m\n    threshold", "interval: 1x\n    threshold", 9, "not an interval", "1m"),
        ("stepWeight: 10", "stepWeight: 0", 12, "not a weight", "1 to 100"),
        ("stepWeight: 10", "stepWeights: [10, 10]", 12, "not above the 10%", "above the one before"),
        ("maxWeight: 50", "maxWeight: 50%", 11, "not a weight", "without a sign"),
    ] {
        assert!(CANARY.contains(from), "{from}");
        let problems = read("canary.yaml", &CANARY.replacen(from, to, 1)).expect_err(to);
        let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).collect();
        assert!(
            errors.iter().any(|error| {
                let told = error.message.contains(message) && error.hint.as_deref().is_some_and(|found| found.contains(hint));
                told && (line == 1 || error.line == Some(line))
            }),
            "{to}: {errors:#?}"
        );
    }
}

#[test]
fn two_canaries_and_ten_thousand_metrics_are_refused() {
    assert!(read("c", &format!("{CANARY}---\n{CANARY}")).unwrap_err().iter().any(|problem| problem.message.contains("two Canaries")));
    let many = format!("metrics:\n{}", "- {name: request-duration, thresholdRange: {max: 5}}\n".repeat(10_000));
    let problems = read("c", &many).unwrap_err();
    assert!(problems.iter().any(|problem| problem.message.contains("occurs twice")) && problems.len() < 1_000);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9:{}\\[\\]\"',&*!|>%#<~ \n-]{0,120}", cut in 0_usize..CANARY.len(), place in 0_usize..CANARY.len(), c in any::<char>()) {
        let mut changed: Vec<char> = CANARY.chars().take(cut).collect();
        if let Some(found) = changed.get_mut(place) {
            *found = c;
        }
        for text in [text, changed.into_iter().collect()] {
            if let Err(problems) = read("f", &text) {
                prop_assert!(problems.iter().any(|problem| problem.is_error()));
            }
        }
    }
}
