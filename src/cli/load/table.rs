//! The table at the end: what became of the requests, in numbers for people.

use std::time::Duration;

use crate::cli::figures::{columns, harmless};
use crate::cli::load::report::{Report, Verdict};
use crate::domain::gate::evidence::thousands;
use crate::domain::time::human;

/// Writes the table, the verdict last; in colour where wanted.
pub(super) fn table(report: &Report, colour: bool) -> String {
    let r = &report.requests;
    let head = format!("{}  {}, {} users, {:.1} s", report.url, report.protocol, thousands(count(report.users)), report.elapsed_s);
    let interrupted = if report.interrupted { ", interrupted" } else { "" };
    let mut requests = format!("{} sent", thousands(r.sent));
    if let Some(planned) = r.planned.filter(|planned| *planned != r.sent) {
        requests.push_str(&format!(" of {}", thousands(planned)));
    }
    for (number, what) in [(r.answered, "answered"), (r.failed, "failed"), (r.abandoned, "abandoned"), (r.redirects, "redirects followed")]
    {
        if number > 0 || what == "answered" {
            requests.push_str(&format!(", {} {what}", thousands(number)));
        }
    }
    let intended = report.intended_per_s.map_or_else(String::new, |rate| format!(" of {rate} intended"));
    let status: Vec<String> = report.status.iter().map(|(class, number)| format!("{class} {}", thousands(*number))).collect();
    let mut rows = vec![["requests".to_owned(), requests], ["answers/s".to_owned(), format!("{:.1}{intended}", report.answers_per_s)]];
    if !status.is_empty() {
        rows.push(["status".to_owned(), status.join("  ")]);
    }
    for (kind, failures) in &report.failures {
        rows.push([format!("failed: {kind}"), format!("{}, first: {}", thousands(failures.count), failures.first)]);
    }
    if let Some(l) = &report.latency_ms {
        let all = [("p50", l.p50), ("p90", l.p90), ("p95", l.p95), ("p99", l.p99), ("p99.9", l.p99_9), ("max", l.max), ("mean", l.mean)];
        let from = if report.latency_from == "sending" { "" } else { ", from the intended start" };
        rows.push([format!("latency{from}"), String::new()]);
        rows.extend(all.into_iter().map(|(name, ms)| [format!("  {name}"), time(ms)]));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    harmless(&format!("{head}{interrupted}\n{}", columns("", &rows))) + &format!("{}\n", verdict(report, colour))
}

fn verdict(report: &Report, colour: bool) -> String {
    let share = |share: f64| format!("{}%", (share * 1e4).round() / 1e2);
    let wrong = report.requests.bad + report.requests.failed;
    let (code, text) = match (report.verdict, report.error_share) {
        (Verdict::Inconclusive, _) | (_, None) => (33, "inconclusive: no request ended".to_owned()),
        (Verdict::Pass, Some(_)) if wrong == 0 => (32, "pass: nothing went wrong".to_owned()),
        (verdict, Some(of)) => {
            let (code, word) = if verdict == Verdict::Pass { (32, "pass") } else { (31, "fail") };
            let accepted = share(report.accepted_error_share);
            (code, format!("{word}: {} went wrong, {} of all, {accepted} accepted", thousands(wrong), share(of)))
        }
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
}

/// Writes milliseconds in the unit people would choose, with the digits that are known.
pub(super) fn time(ms: f64) -> String {
    let us = (ms * 1e3).max(0.0);
    let digits = if us >= 1e5 {
        1e3
    } else if us >= 1e4 {
        1e2
    } else if us >= 1e3 {
        1e1
    } else {
        1.0
    };
    human(Duration::from_micros(((us / digits).round() * digits) as u64))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::cli::load::report::Asked;
    use crate::load::Counters;

    fn empty() -> Report {
        let asked = Asked {
            url: "http://a.test/".to_owned(),
            plan: None,
            protocol: "HTTP/1.1",
            users: 10,
            planned: Some(1200),
            intended_per_s: Some(200.0),
            accepted_error_share: 0.01,
        };
        let counters = Arc::new(Counters::default());
        Report::new(asked, SystemTime::UNIX_EPOCH, Duration::from_secs(2), true, counters.snapshot(), &counters)
    }

    #[test]
    fn a_run_without_answers_is_inconclusive() {
        let report = empty();
        assert_eq!((report.verdict, report.begun.as_str()), (Verdict::Inconclusive, "1970-01-01T00:00:00.000Z"));
        let text = table(&report, false);
        assert!(text.starts_with("http://a.test/  HTTP/1.1, 10 users, 2.0 s, interrupted\n"), "{text}");
        assert!(text.contains("0 sent of 1,200, 0 answered\n") && text.ends_with("inconclusive: no request ended\n"), "{text}");
        assert!(!text.contains("latency") && !text.contains("status"), "{text}");
    }

    #[test]
    fn counts_reasons_and_percentiles_are_told() {
        let mut report = empty();
        (report.error_share, report.verdict) = (Some(0.025), Verdict::Fail);
        (report.requests.bad, report.requests.failed, report.requests.sent) = (20, 5, 1000);
        report.status = [("2xx", 975), ("5xx", 20)].into();
        let first = "no answer \u{1b}[2J".to_owned();
        report.failures = [("timeout", crate::cli::load::report::Failures { count: 5, first })].into();
        report.latency_ms = Some(crate::load::Latency { p50: Duration::from_micros(1234), ..latency() }.into());
        let text = table(&report, true);
        for wanted in [
            "1,000 sent of 1,200, 0 answered, 5 failed",
            "2xx 975  5xx 20",
            "failed: timeout",
            "5, first: no answer \u{fffd}[2J",
            "latency, from the intended start",
            "1.23 ms",
            "200 intended",
            "\u{1b}[31mfail: 25 went wrong, 2.5% of all, 1% accepted\u{1b}[0m",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
        }
    }

    fn latency() -> crate::load::Latency {
        let time = Duration::from_millis(2);
        crate::load::Latency { count: 1, mean: time, p50: time, p90: time, p95: time, p99: time, p999: time, max: time }
    }

    #[test]
    fn a_latency_claims_no_more_digits_than_are_known() {
        for (ms, text) in [(0.0421, "42 µs"), (1.2345, "1.23 ms"), (12.345, "12.3 ms"), (1234.5, "1.235 s"), (0.0, "0 ns")] {
            assert_eq!(time(ms), text);
        }
    }
}
