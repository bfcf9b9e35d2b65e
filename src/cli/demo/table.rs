//! The short table at the end: what happened, in numbers for people.

use crate::cli::demo::report::{Mode, Pages, Report};
use crate::domain::gate::evidence::thousands;

/// Writes the table with the verdict below it, and a last sentence that says whether the demo kept its promises.
#[must_use]
pub fn table(report: &Report) -> String {
    let unknown = || "unknown".to_owned();
    let count = |value: Option<u64>| value.map_or_else(unknown, thousands);
    let trip = match (report.breaches_at_trip, report.requests_at_trip) {
        (Some(breaches), Some(requests)) => format!("{breaches} of {requests} canary requests over the limit"),
        _ => unknown(),
    };
    let last = match report.trip_to_last_canary_request_us {
        Some(us) if us <= 0.0 => format!("none; the last one began {} before it", time(-us)),
        Some(us) => time(us),
        None => unknown(),
    };
    let rows = [
        ("0.8.2", outcome(report.rolled_back, "rolled back", report.rollback_s)),
        ("  evidence at the trip", trip),
        ("  first slow request sent → trip", report.first_slow_sent_to_trip_ms.map_or_else(unknown, |ms| time(ms * 1e3))),
        ("  breach evident → trip", report.breach_to_trip_us.map_or_else(unknown, time)),
        ("  trip → last canary request", last),
        ("  canary requests begun after the trip", count(report.canary_requests_started_after_trip)),
        ("  the same by 0.8.2's own books", count(report.canary_requests_arrived_after_trip)),
        ("  info page afterwards", pages("v1", report.info_page_after_rollback)),
        ("0.8.3", outcome(report.promoted, "promoted", report.promotion_s)),
        ("  info page afterwards", pages("v3", report.info_page_after_promotion)),
        ("client requests sent", thousands(report.requests_sent)),
        ("  harmed by 0.8.2", thousands(report.requests_harmed)),
        ("  slow although 0.8.2 never saw them", thousands(report.requests_slow_otherwise)),
        ("  lost to the hang of 0.8.2", thousands(report.requests_lost_to_hang)),
        ("  failed", thousands(report.requests_failed)),
        ("the whole story", format!("{:.1} s", report.wall_s)),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let fits = match name.trim_start() {
            "lost to the hang of 0.8.2" => report.mode == Mode::Hang,
            "slow although 0.8.2 never saw them" => report.requests_slow_otherwise > 0,
            _ => true,
        };
        if fits {
            text.push_str(&format!("{name:<40} {value}\n"));
        }
    }
    text.push_str(&stages(report));
    if let Some(verdict) = &report.verdict {
        text.push_str(&format!("\n0.8.2 is {verdict}.\n"));
    }
    if let Some(promotion) = &report.promotion {
        text.push_str(&format!("{promotion}.\n"));
    }
    text
}

/// Writes which version served in each stage after each artifact, and what the users there have met.
fn stages(report: &Report) -> String {
    if report.stages.is_empty() {
        return String::new();
    }
    let tags: Vec<String> = report.pipeline.artifacts.iter().map(|one| format!("{:<10}", format!("→ {}", one.tag))).collect();
    let mut text = format!("\n{:<16}{}{:>10}{:>9}\n", "stage serves", tags.join(""), "requests", "failed");
    for stage in ["dev", "staging", "production"] {
        let served: Vec<String> = report.stages.get(stage).into_iter().flatten().map(|tag| format!("{tag:<10}")).collect();
        let users = report.pipeline.users.get(stage).copied().unwrap_or_default();
        text.push_str(&format!("  {stage:<14}{}{:>10}{:>9}\n", served.join(""), thousands(users.requests), thousands(users.failed)));
    }
    for one in &report.pipeline.artifacts {
        text.push_str(&format!("  {} after {:.1} s: {}\n", one.tag, one.seconds, one.reason));
    }
    text.push_str(&format!("  requests of the performance test saved   {}\n", thousands(report.pipeline.test_requests_saved)));
    text
}

fn outcome(happened: bool, what: &str, after_s: Option<f64>) -> String {
    match (happened, after_s) {
        (true, Some(seconds)) => format!("{what} {seconds:.1} s after it arrived"),
        (true, None) => what.to_owned(),
        (false, _) => format!("NOT {what}"),
    }
}

fn pages(version: &str, pages: Pages) -> String {
    format!("{version} in {} of {}", pages.as_expected, pages.asked)
}

/// Writes microseconds in the unit people would choose.
fn time(us: f64) -> String {
    if us < 1e3 {
        format!("{us:.1} µs")
    } else if us < 1e6 {
        format!("{:.1} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_called_unknown_and_what_failed_is_loud() {
        let text = table(&Report::new(Mode::Slow));
        assert!(text.contains("NOT rolled back") && text.contains("NOT promoted"), "{text}");
        assert_eq!(text.matches("unknown").count(), 6, "{text}");
        assert!(!text.contains("hang") && !text.contains("never saw"), "{text}");
    }

    #[test]
    fn figures_are_written_in_a_fitting_unit() {
        let report = Report {
            rolled_back: true,
            rollback_s: Some(1.26),
            breaches_at_trip: Some(3),
            requests_at_trip: Some(4),
            first_slow_sent_to_trip_ms: Some(1012.4),
            breach_to_trip_us: Some(0.42),
            trip_to_last_canary_request_us: Some(-61_500.0),
            requests_sent: 12_345,
            requests_slow_otherwise: 7,
            verdict: Some("rolled back after 3 of 4".to_owned()),
            ..Report::new(Mode::Hang)
        };
        let text = table(&report);
        for wanted in [
            "rolled back 1.3 s after it arrived\n",
            " 3 of 4 canary requests over the limit\n",
            " 1.01 s\n",
            " 0.4 µs\n",
            " none; the last one began 61.5 ms before it\n",
            " 12,345\n",
            "lost to the hang",
            "never saw them     ",
            "\n0.8.2 is rolled back after 3 of 4.\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
        }
    }
}
