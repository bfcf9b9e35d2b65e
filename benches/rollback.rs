//! How fast a rollback is, as distributions: from the deciding breach to the last thing the canary gets.
//!
//! First the flag alone: two workers that load, draw and pick without pause. Then the real data plane under load, with a canary
//! that hangs and one that is slow. `--report FILE` writes the figures as JSON, in microseconds.

#[path = "rollback/flag.rs"]
mod flag;
#[path = "rollback/proxy.rs"]
mod proxy;
mod support;

use std::process::ExitCode;

use portcullis::domain::time::Timestamp;
use serde_json::{Value, json};
use support::upstream::Manner;

/// Times in nanoseconds.
#[derive(Default)]
pub struct Times(Vec<u64>);

impl Times {
    /// Adds the time from `start` to `end`; an end before the start counts as no time at all.
    pub fn add(&mut self, start: Timestamp, end: Timestamp) {
        self.0.push(u64::try_from(end.since(start).as_nanos()).unwrap_or(u64::MAX));
    }

    /// Prints the distribution and returns it, in microseconds.
    fn show(mut self, name: &str) -> Value {
        self.0.sort_unstable();
        let count = self.0.len();
        let at = |share: f64| {
            let rank = ((share * count as f64).ceil() as usize).clamp(1, count.max(1));
            self.0.get(rank - 1).map_or(f64::NAN, |ns| *ns as f64 / 1e3)
        };
        let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(at);
        println!("{name:<54} {p50:>9.2} {p90:>9.2} {p99:>9.2} {p999:>9.2} {max:>9.2}   n = {count}");
        json!({ "count": count, "p50": p50, "p90": p90, "p99": p99, "p99_9": p999, "max": max })
    }
}

/// Reads `--report FILE`; what cargo adds is ignored.
fn report_file() -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--report");
    arguments.next()?;
    arguments.next()
}

fn main() -> ExitCode {
    println!("{:<54} {:>9} {:>9} {:>9} {:>9} {:>9}", "microseconds", "p50", "p90", "p99", "p99.9", "max");
    let flag = flag::measure(1_000);
    let off_core = flag.off_core;
    let mut report = json!({
        "flag": {
            "breach_to_visible_to_all": flag.visible.show("breach evident → flag visible to both workers"),
            "of_these_with_both_on_core": flag.visible_on_core.show("  of these with both workers on their cores"),
            "trip_to_last_canary_pick": flag.last_pick.show("trip → last canary pick of any worker"),
            "runs_with_a_worker_off_its_core": off_core,
        }
    });
    println!("in {off_core} of 1000 runs a worker was off its core for over {:?} across the trip", flag::OFF_CORE);
    for (key, manner) in [("hang", Manner::Hang), ("slow", Manner::Slow(2 * proxy::LIMIT))] {
        let plane = match proxy::measure(manner, 100) {
            Ok(plane) => plane,
            Err(error) => {
                eprintln!("the data plane could not be measured: {error}");
                return ExitCode::FAILURE;
            }
        };
        let (after, served) = (plane.started_after_trip, plane.served);
        let figures = json!({
            "breach_to_trip": plane.to_trip.show(&format!("proxy, canary that is {key}: breach evident → trip")),
            "breach_to_last_canary_request": plane.to_last.show(&format!("proxy, canary that is {key}: breach evident → last request")),
            "canary_requests_started_after_trip": after,
            "requests": served,
        });
        println!("proxy, canary that is {key}: {after} canary requests started after the trip, {served} requests in 100 runs");
        if let Some(all) = report.as_object_mut() {
            all.insert(key.to_owned(), figures);
        }
        if after > 0 {
            eprintln!("canary requests started after a trip");
            return ExitCode::FAILURE;
        }
    }
    if let Some(file) = report_file()
        && let Err(error) = std::fs::write(&file, format!("{report:#}\n"))
    {
        eprintln!("cannot write the report {file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
