//! What a report holds, and that nothing in it can run.
#![cfg(test)]

use super::*;
use crate::cli::figures::quantity;
use crate::domain::gate::criterion::Unit;
use crate::domain::rollout::{Entry, Phase};
use crate::telemetry::reading::Reading;

const PROBE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&lt;";

/// When the rollout began, in milliseconds since 1970; it ended fifteen minutes later.
const BEGUN_MS: u64 = 1_795_694_400_000;

fn entry(phase: &str, reason: &str) -> Entry {
    let at = if phase == "progressing" { "2026-11-26T12:00:00.000Z" } else { "2026-11-26T12:15:00.000Z" };
    let (from, to) = if phase == "progressing" { (0, 1_000) } else { (1_000, 0) };
    let text = serde_json::json!({
        "service": "carts", "rollout": 3, "at": at, "stable": "0.8.1", "canary": "0.8.2", "actor": PROBE,
        "phase": phase, "owner": "stable", "from": from, "to": to, "generation": 7, "reason": reason,
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
    // Evidence to brake grows from nothing to all, evidence to pass says nothing.
    let reading = |second: u64| Reading {
        gate: PROBE.into(),
        pass: [-0.5, 3.0],
        brake: [second as f32 / 100.0, 9.0],
        confirm: Some([second as f32 / 200.0, 9.0]),
    };
    let point = |second: u64| Point {
        at_ms: BEGUN_MS + second * 1_000,
        weight: "10%".parse().unwrap(),
        stable: Some(arm(10)),
        canary: Some(arm(1_000)),
        gates: vec![reading(second)],
    };
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
    // Shares, p50 and p95 of two versions each, three lines of evidence; nobody knows a p99. The evidence is full.
    assert_eq!((text.matches("<polyline").count(), text.matches("<polygon").count()), (9, 4));
    assert_eq!(text.matches("width=\"450.0\"").count(), 2, "{text}");
    // Both decisions are marked in each of the five plots, the rollback as bad.
    assert_eq!((text.matches("class=\"mark\"").count(), text.matches("class=\"mark bad\"").count()), (5, 5), "{text}");
    assert!(text.contains("<td>20 ms</td>") && text.contains("<td>2.00 s</td>"), "the figures stand in a table too: {text}");
    assert!(text.len() < 250_000, "{} bytes", text.len());
    assert_eq!(quantity(Unit::Share, 0.5), "50%");
}

#[test]
fn the_evidence_of_a_gate_is_drawn_over_time_and_stands_in_a_table() {
    let points = points();
    let text = page(&story(), &points.iter().collect::<Vec<_>>(), "now");
    let plot = text.split("<figure ").find(|part| part.contains("100% decides")).expect("a plot of the evidence");
    let line = |class: &str| plot.split(&format!("<polyline class=\"{class}\" points=\"")).nth(1).expect(class).split('"').next().unwrap();
    let ends = |class: &str| {
        let at = |point: &str| point.split_once(',').map(|(x, y)| (x.parse::<f64>().unwrap(), y.parse::<f64>().unwrap())).unwrap();
        let points: Vec<&str> = line(class).split(' ').collect();
        (at(points.first().unwrap()), at(points.last().unwrap()))
    };
    // From the left to the right, from the bottom (0%) to the top (100%) or half the way, and never below it.
    let ((left, bottom), (right, top)) = ends("brake");
    assert!(left < 75.0 && right > 700.0 && bottom > 175.0 && top < 11.0, "{left} {bottom} {right} {top}");
    let (_, (_, half)) = ends("confirm");
    assert!((90.0..96.0).contains(&half), "{half}");
    assert!((ends("pass").1.1 - bottom).abs() < 0.2, "evidence below one says nothing");
    // What the decisions rested on are spots, the last at the right and full.
    assert!(plot.contains("<circle class=\"confirm\" cx=\"708.0\" cy=\"10.0\" r=\"4\"/>"), "{plot}");
    let table = text.split("The evidence of ").nth(1).unwrap().split("</details>").next().unwrap();
    for row in
        ["<td>measured</td><td>1 in 1 of 1 in 20</td><td>1 in ", "<td>rolled back</td><td>-</td><td>-</td><td>1 in 2,600 of 1 in 992</td>"]
    {
        assert!(table.contains(row), "{row} is missing in {table}");
    }
}

#[test]
fn what_another_rollout_left_is_not_drawn() {
    let all = points();
    let mut points: Vec<Point> = all.iter().step_by(10).cloned().collect();
    points.insert(0, Point { at_ms: BEGUN_MS - 20_000, ..all[800].clone() });
    points.push(Point { at_ms: BEGUN_MS + 920_000, ..all[800].clone() });
    let text = page(&story(), &points.iter().collect::<Vec<_>>(), "now");
    let figure = |name: &str| text.split("<figure ").find(|part| part.contains(name)).unwrap();
    let begins = |name: &str, class: &str| {
        let line = figure(name).split(&format!("<polyline class=\"{class}\" points=\"")).nth(1).unwrap().split(',').next().unwrap();
        line.parse::<f64>().unwrap()
    };
    assert!(begins("p95 of", "stable") < 70.1 && begins("p95 of", "canary") > 80.0 && begins("100% decides", "brake") > 80.0);
    let table = text.split("The evidence of ").nth(1).unwrap().split("</details>").next().unwrap();
    assert!(!table.contains("11:59:40") && !table.contains("12:15:20") && table.contains("12:14:50"), "{table}");
}

#[test]
fn what_an_ended_proxy_left_is_drawn_from_its_journal() {
    let text = page(&story(), &[], "now");
    assert!(text.contains("100% decides") && text.contains("Shares of the traffic") && text.contains("keeps no figures of that time"));
    // From nothing to 10%, fifteen minutes of it, and back: the step is upright.
    assert!(text.contains("<polyline class=\"canary\" points=\"70.0,176.0 70.0,159.4 708.0,159.4 708.0,176.0 708.0,176.0\"/>"), "{text}");
    let mut undated = story();
    undated.entries.iter_mut().for_each(|(_, entry)| entry.at = None);
    let text = page(&undated, &[], "now");
    assert!(text.contains("does not say when anything was") && !text.contains("<figcaption>"), "{text}");
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
        // What stands between quotation marks is a value.
        let names: String = tag.split('"').step_by(2).collect();
        assert!(!names.split_whitespace().skip(1).any(|attribute| attribute.starts_with("on")), "{tag}");
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
    assert!(!text.contains("100% decides"), "{text}");
}
