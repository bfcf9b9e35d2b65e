//! Says in words what the gates of a configuration will take: when they brake, what they need to pass, how long a rollout lasts.

use std::fmt::Write as _;
use std::time::Duration;

use crate::config::{Service, Settings};
use crate::domain::gate::{Criterion, Gate};
use crate::domain::rollout::outlook::{Pace, clean_requests, first_trips, spoken, spoken_rate, step_times};

/// How many entries of a tripwire are shown.
const ENTRIES: usize = 3;

/// Describes every service that has gates; empty when none has.
pub(super) fn of(settings: &Settings) -> String {
    settings.services.iter().filter(|service| !service.gates.is_empty()).map(of_service).collect()
}

fn of_service(service: &Service) -> String {
    let mut text = format!("\n{}: the canary\n", service.name);
    for gate in &service.gates {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}\n    {}", gate.name(), of_gate(gate, service));
    }
    text.push_str(&times(service));
    text
}

fn of_gate(gate: &Gate, service: &Service) -> String {
    let trips = first_trips(gate, service.gates.len(), &service.policy, ENTRIES);
    let trips: Vec<String> = trips.iter().map(|(bad, requests)| format!("{bad} of {requests}")).collect();
    let brakes = match (trips.split_first(), gate.criterion) {
        (Some((first, rest)), _) => {
            let (bad, requests) = first.split_once(" of ").unwrap_or((first, ""));
            let more: String = rest.iter().map(|entry| format!(", {entry}")).collect();
            format!("brakes at {bad} bad of the first {requests}{more} …")
        }
        (None, Criterion::Latency { .. } | Criterion::Errors { .. }) => "brakes after more bad requests than a table holds".to_owned(),
        (None, criterion) if criterion.is_relative() => "brakes ten times a second at most, compared with stable".to_owned(),
        (None, _) => "brakes ten times a second at most, by all values so far".to_owned(),
    };
    let passes = match clean_requests(gate, service.policy.beta) {
        Some(u64::MAX) => "no number of requests passes it".to_owned(),
        Some(requests) => format!("passes a step with {requests} clean requests"),
        None => "what it needs to pass depends on what is measured".to_owned(),
    };
    format!("{brakes}; {passes}")
}

/// Says how long each step and the whole rollout take without a bad request.
fn times(service: &Service) -> String {
    let Some(rate) = service.expected_traffic else {
        return "  write expected_traffic, such as 2/s, to see how long a rollout takes\n".to_owned();
    };
    let Ok(plan) = service.schedule.plan(&Pace::of(&service.gates, &service.policy, rate)) else { return String::new() };
    let times = step_times(&plan, &service.gates, &service.policy, rate);
    let steps: Vec<String> = plan.steps().iter().zip(&times).map(|(step, time)| format!("{} for {}", step.weight, spoken(*time))).collect();
    let whole: Duration = times.iter().fold(service.policy.watch, |sum, time| sum.saturating_add(*time));
    let watch = match service.policy.watch {
        Duration::ZERO => String::new(),
        watch => format!(", watched for {}", spoken(watch)),
    };
    let rate = spoken_rate(rate);
    format!("  at {rate}, none of them bad: {}{watch}; at least {} in all\n", steps.join(", "), spoken(whole))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::config::{Flags, Surroundings, load};

    fn told(rest: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        let text = format!(
            "listen: 127.0.0.1:8080\nstate: s\nservices:\n  - name: carts\n    stable: {{version: v1, endpoints: ['127.0.0.1:1']}}\n    canary: {{version: v2, endpoints: ['127.0.0.1:2']}}\n{rest}"
        );
        std::fs::write(&path, text).unwrap();
        let around = Surroundings {
            cores: 1,
            variable: &|_| None,
            resolve: &|_| Err(io::Error::other("none")),
            awaits_names: false,
            sends_traces: false,
            watches_clusters: false,
        };
        let path: &Path = &path;
        of(&load(Some(path), &Flags::default(), &around).unwrap().settings)
    }

    #[test]
    fn each_gate_is_told_in_words() {
        let text = told("    gates: [p95 < 1s, mean < 1s, errors <= stable + 0.2pp]\n");
        assert_eq!(
            text,
            "\ncarts: the canary\n  p95 < 1 s\n    brakes at 4 bad of the first 4, 5 of 7, 6 of 11 …; passes a step with 74 clean requests\n  \
             mean < 1 s\n    brakes ten times a second at most, by all values so far; what it needs to pass depends on what is measured\n  \
             errors <= stable + 0.2pp\n    brakes ten times a second at most, compared with stable; what it needs to pass depends on what is \
             measured\n  write expected_traffic, such as 2/s, to see how long a rollout takes\n"
        );
    }

    #[test]
    fn the_time_of_each_step_and_of_the_whole_is_told() {
        let text = told("    gates: [p95 < 1s]\n    expected_traffic: 2/s\n");
        let wanted = "  at 2 requests per second, none of them bad: 10% for 6 min 10 s, 30% for 2 min 4 s, 100% for 37 s, watched for 1 min; \
                      at least 9 min 51 s in all\n";
        assert!(text.ends_with(wanted), "{text}");
    }
}
