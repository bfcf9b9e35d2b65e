//! What a report holds, and that nothing in it can run.
#![cfg(test)]

use super::*;
use crate::cli::figures::quantity;
use crate::domain::gate::criterion::Unit;
use crate::domain::rollout::{Entry, Phase};

const PROBE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&lt;";

fn entry(phase: &str, reason: &str) -> Entry {
    let text = serde_json::json!({
        "service": "carts", "rollout": 3, "at": "2026-11-26T12:00:00.000Z", "stable": "0.8.1", "canary": "0.8.2", "actor": PROBE,
        "phase": phase, "owner": "stable", "from": 1_000, "to": 0, "generation": 7, "reason": reason,
        "evidence": {
            "gate": PROBE, "origin": "written", "verdict": "fail", "rule": "unrecorded", "requests": 3, "breaches": 3, "unanswered": 0,
            "log_e": 7.9, "log_threshold": 6.9, "alpha": 0.001, "estimate": null, "unit": "share", "tipped_by": [], "sentence": PROBE,
        },
    });
    serde_json::from_value(text).unwrap()
}

fn story() -> Story {
    let entries = vec![(1, entry("progressing", "0.8.2 gets 10% of carts")), (2, entry("rolled_back", PROBE))];
    Story { service: "carts".parse().unwrap(), rollout: 3, entries }
}

fn points() -> Vec<Point> {
    let arm = |ms: u64| Figures {
        requests: 100,
        errors: 1,
        in_flight: 0,
        p50_us: Some([ms * 900, ms * 1_000, ms * 1_100]),
        p95_us: Some([ms * 1_900, ms * 2_000, ms * 2_100]),
        p99_us: None,
    };
    let point =
        |second: u64| Point { at_ms: second * 1_000, weight: "10%".parse().unwrap(), stable: Some(arm(10)), canary: Some(arm(1_000)) };
    (0..900).map(point).collect()
}

#[test]
fn a_page_shows_the_sentence_the_shares_the_percentiles_and_the_evidence() {
    let points = points();
    let text = page(&story(), &points.iter().collect::<Vec<_>>(), "2026-11-26T12:01:00Z");
    assert!(text.starts_with("<!doctype html>"), "{text}");
    for part in [
        "<h1>carts, rollout 3: 0.8.2 against 0.8.1, rolled back</h1>",
        "<p class=\"verdict rolled_back\">",
        "Shares of the traffic",
        "p50 of the last ten seconds",
        "p95 of the last ten seconds",
        "p99 of the last ten seconds",
        "evidence towards its threshold",
        "<td>10% → 0%</td>",
        "1 in 2,600, decides at 1 in 992",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    // Shares, p50 and p95 of two versions each; nobody knows a p99. The evidence is full.
    assert_eq!((text.matches("<polyline").count(), text.matches("<polygon").count()), (6, 4));
    assert_eq!(text.matches("width=\"450.0\"").count(), 2, "{text}");
    assert!(text.contains("<td>20 ms</td>") && text.contains("<td>2.00 s</td>"), "the figures stand in a table too: {text}");
    assert!(text.len() < 200_000, "{} bytes", text.len());
    assert_eq!(quantity(Unit::Share, 0.5), "50%");
}

#[test]
fn nothing_in_a_page_runs_or_is_fetched() {
    let text = page(&story(), &points().iter().collect::<Vec<_>>(), PROBE);
    assert!(text.matches("&lt;script&gt;alert(1)").count() >= 5, "the probe stands where texts stand: {text}");
    let lower = text.to_ascii_lowercase();
    for banned in [
        "<script",
        "<img",
        "<iframe",
        "<object",
        "<embed",
        "<link",
        "<base",
        "<form",
        "<foreignobject",
        "<use",
        "<animate",
        "<a ",
        "http:",
        "https:",
        "url(",
        "@import",
        "javascript:",
    ] {
        assert!(!lower.contains(banned), "{banned} stands in the page");
    }
    // Tags are those of this program, and none has a handler.
    for tag in text.split('<').skip(1).map(|tag| tag.split('>').next().unwrap()) {
        assert!(!tag.split_whitespace().skip(1).any(|attribute| attribute.starts_with("on")), "{tag}");
    }
    assert!(text.contains("default-src 'none'"), "{text}");
}

#[test]
fn a_rollout_without_figures_or_evidence_says_so() {
    let mut bare = story();
    bare.entries.iter_mut().for_each(|(_, entry)| entry.evidence = None);
    bare.entries[1].1.phase = Phase::Aborted;
    let text = page(&bare, &[], "now");
    assert!(text.contains("No decision of this rollout rests on evidence") && text.contains("keeps no figures of that time"), "{text}");
    assert!(!text.contains("<svg"), "{text}");
}
