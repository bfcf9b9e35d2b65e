//! The limits of the process and of a source.

use super::*;
use crate::config::{Limits, Memory};

fn limits(text: &str) -> Limits {
    loaded(&format!("limits: {{{text}}}\n{SMALL}")).settings.limits
}

#[test]
fn limits_are_read_with_their_units() {
    assert_eq!(limits(""), Limits { memory: Memory::Group, per_source: Some(1000) });
    assert_eq!(limits("memory: 512MiB, connections_per_source: 7"), Limits { memory: Memory::Bytes(512 << 20), per_source: Some(7) });
    assert_eq!(limits("memory: off, connections_per_source: off"), Limits { memory: Memory::Unlimited, per_source: None });
    assert_eq!(limits("memory: 2 GiB").memory, Memory::Bytes(2 << 30));
}

#[test]
fn what_is_no_limit_says_how_to_mend_it() {
    for (text, path, hint) in [
        ("memory: 512MB", "limits.memory", "512MiB"),
        ("memory: 1KiB", "limits.memory", "32 MiB"),
        ("memory: 99999999999999999999GiB", "limits.memory", "auto, off"),
        ("connections_per_source: 0", "limits.connections_per_source", "above 0"),
        ("connections_per_source: many", "limits.connections_per_source", "such as 1000"),
        ("memry: auto", "limits.memry", "memory"),
    ] {
        let problems = refused(&format!("limits: {{{text}}}\n{SMALL}"));
        let found = problems.iter().find(|problem| problem.path == path).unwrap_or_else(|| panic!("{}", shown(&problems)));
        assert!(found.to_string().contains(hint), "{found}");
    }
}

#[test]
fn what_is_told_to_others_is_read_and_its_mistakes_are_explained() {
    use crate::config::{Answers, Compatible, LogFormat, Metrics};
    let text = format!(
        "{SMALL}metrics: {{compat: [linkerd, istio, linkerd], namespace: shop}}\nanswers: {{server_timing: true}}\naccess_log_format: common\n"
    );
    let settings = loaded(&text).settings;
    assert_eq!(settings.metrics, Metrics { compat: vec![Compatible::Linkerd, Compatible::Istio], namespace: "shop".to_owned() });
    assert_eq!(settings.answers, Answers { version: false, server_timing: true });
    assert_eq!(settings.access_log_format, LogFormat::Common);
    for (line, path, hint) in [
        ("metrics: {compat: envoy}", "metrics.compat", "istio, linkerd"),
        ("metrics: {namespace: A.b}", "metrics.namespace", "lower-case"),
        ("metrics: {namespace: -a}", "metrics.namespace", "lower-case"),
        ("access_log_format: xml", "access_log_format", "json or common"),
        ("answers: {version: yes please}", "answers.version", "true or false"),
    ] {
        let problems = refused(&format!("{SMALL}{line}\n"));
        let found = problems.iter().find(|problem| problem.path == path).unwrap_or_else(|| panic!("{line}: {}", shown(&problems)));
        assert!(found.hint.as_deref().is_some_and(|text| text.contains(hint)), "{line}: {found}");
    }
}
