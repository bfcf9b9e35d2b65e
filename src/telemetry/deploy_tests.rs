//! Holds the alert rules and the Grafana dashboard to the families that exist, and to their labels.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use crate::telemetry::metrics as m;

/// The labels of families of ours, and those that Prometheus and its histograms add.
const ADDED: [&str; 3] = ["le", "instance", "job"];
/// Words of PromQL that stand where a metric could.
const WORDS: [&str; 27] = [
    "sum",
    "max",
    "min",
    "by",
    "without",
    "rate",
    "increase",
    "changes",
    "clamp",
    "histogram_quantile",
    "unless",
    "and",
    "or",
    "on",
    "time",
    "label_values",
    "le",
    "service",
    "version",
    "role",
    "phase",
    "gate",
    "verdict",
    "reason",
    "instance",
    "group_left",
    "inf",
];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns what is wrong with a query: families that do not exist, and labels that they do not have.
fn wrong(query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$' || c == '"') {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = text.split_once('"').unwrap().1;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word.starts_with('$') || WORDS.contains(&word) {
            continue;
        }
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        let family = m::ALL.iter().find(|family| family.name == word || Some(family.name) == base);
        let labels: Vec<&str> = match (family, word.starts_with("process_")) {
            (Some(family), _) => family.labels.iter().copied().chain(ADDED).collect(),
            (None, true) => ADDED.to_vec(),
            (None, false) => {
                found.push(format!("there is no family {word}"));
                continue;
            }
        };
        if let Some((selector, after)) = rest.strip_prefix('{').and_then(|selector| selector.split_once('}')) {
            rest = after;
            for matcher in selector.split(',') {
                let name = matcher.split(['=', '!']).next().unwrap().trim();
                if !labels.contains(&name) {
                    found.push(format!("{word} has no label {name}"));
                }
            }
        }
        if let Some(range) = rest.strip_prefix('[') {
            rest = range.split_once(']').unwrap().1;
        }
    }
    found
}

#[test]
fn a_query_that_asks_for_nothing_is_found() {
    assert_eq!(wrong(r#"sum by (service) (rate(portcullis_requests_total{service="$service",class="5xx"}[5m])) > 0"#), [""; 0]);
    assert_eq!(wrong("histogram_quantile(0.5, rate(portcullis_response_time_seconds_bucket{le=\"1\"}[1m]))"), [""; 0]);
    assert_eq!(wrong("portcullis_requests_totals"), ["there is no family portcullis_requests_totals"]);
    assert_eq!(wrong("portcullis_decision_age_seconds{service=\"a\"}"), ["portcullis_decision_age_seconds has no label service"]);
}

#[test]
fn every_query_of_the_dashboard_asks_for_what_there_is() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("deploy/grafana/portcullis.json")).unwrap();
    let mut queries = Vec::new();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        queries.push(target["expr"].as_str().unwrap().to_owned());
    }
    queries.extend(dashboard["annotations"]["list"].as_array().unwrap().iter().map(|one| one["expr"].as_str().unwrap().to_owned()));
    queries.push(dashboard["templating"]["list"][1]["query"]["query"].as_str().unwrap().to_owned());
    assert!(queries.len() >= 20, "{} queries", queries.len());
    let found: Vec<String> = queries.iter().flat_map(|query| wrong(query)).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(panels.iter().all(|panel| panel["datasource"]["uid"] == "${datasource}"), "a panel names a source of its own");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn every_alert_asks_for_what_there_is_and_is_tried() {
    let rules: serde_json::Value = serde_saphyr::from_str(&read("deploy/prometheus/rules.yaml")).unwrap();
    let tried = read("tests/prometheus/rules_test.yaml");
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() >= 10);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert_eq!(wrong(rule["expr"].as_str().unwrap()), [""; 0], "{name}");
        assert!(rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string(), "{name}");
        assert!(tried.matches(&format!("alertname: {name}")).count() >= 2, "{name} is not tried both ways");
    }
}
