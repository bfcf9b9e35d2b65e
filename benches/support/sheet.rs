//! Distributions of times beside their goals: printed, judged, and written as JSON in microseconds.

use std::process::ExitCode;
use std::time::Duration;

use portcullis::domain::time::{Timestamp, nanos};
use serde_json::{Map, Value, json};

/// Times in nanoseconds.
#[derive(Default)]
pub struct Times(Vec<u64>);

impl Times {
    /// Adds the time from `start` to `end`; an end before the start counts as no time at all.
    pub fn add(&mut self, start: Timestamp, end: Timestamp) {
        self.push(end.since(start));
    }

    /// Adds a time.
    pub fn push(&mut self, time: Duration) {
        self.0.push(nanos(time));
    }

    /// Returns how many of them are longer than this.
    pub fn over(&self, time: Duration) -> usize {
        self.0.iter().filter(|ns| **ns > nanos(time)).count()
    }

    /// Returns the time that this share of them does not exceed, in microseconds; not a number where there is none. They must be sorted.
    fn at(&self, share: f64) -> f64 {
        let rank = ((share * self.0.len() as f64).ceil() as usize).clamp(1, self.0.len().max(1));
        self.0.get(rank - 1).map_or(f64::NAN, |ns| *ns as f64 / 1e3)
    }
}

/// The most that a share of the times may take.
#[derive(Clone, Copy)]
pub struct Goal {
    /// Of which share, 0.5 for the median.
    pub share: f64,
    /// How long at most.
    pub most: Duration,
}

/// What a bench prints and reports.
#[derive(Default)]
pub struct Sheet {
    figures: Map<String, Value>,
    missed: usize,
}

impl Sheet {
    /// Begins with the heads of the columns.
    pub fn begin() -> Self {
        println!("{:<62} {:>9} {:>9} {:>9} {:>9} {:>9}", "microseconds", "p50", "p90", "p99", "p99.9", "max");
        Self::default()
    }

    /// Prints a distribution without a goal.
    pub fn show(&mut self, key: &str, name: &str, times: Times) {
        self.judge(key, name, times, &[]);
    }

    /// Prints a distribution, and beneath it each goal with whether it was met. Without times no goal is.
    pub fn judge(&mut self, key: &str, name: &str, mut times: Times, goals: &[Goal]) {
        times.0.sort_unstable();
        let count = times.0.len();
        let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| times.at(share));
        println!("{name:<62} {p50:>9.2} {p90:>9.2} {p99:>9.2} {p999:>9.2} {max:>9.2}   n = {count}");
        let judged: Vec<Value> = goals.iter().map(|goal| self.judge_one(&times, *goal)).collect();
        let mut figures = json!({ "count": count, "p50": p50, "p90": p90, "p99": p99, "p99_9": p999, "max": max });
        if !judged.is_empty()
            && let Some(figures) = figures.as_object_mut()
        {
            figures.insert("goals".to_owned(), judged.into());
        }
        self.figures.insert(key.to_owned(), figures);
    }

    fn judge_one(&mut self, times: &Times, goal: Goal) -> Value {
        let (found, most) = (times.at(goal.share), nanos(goal.most) as f64 / 1e3);
        let is_met = found <= most;
        self.missed += usize::from(!is_met);
        let (share, verdict) = (format!("p{}", goal.share * 100.0), if is_met { "met" } else { "MISSED" });
        println!("  goal: {share} at most {most} µs, found {found:.2} µs: {verdict}");
        json!({ "share": goal.share, "most": most, "found": found, "met": is_met })
    }

    /// Prints a count that must be zero.
    pub fn must_not_be(&mut self, key: &str, name: &str, count: usize) {
        self.missed += usize::from(count > 0);
        println!("  goal: no {name}, found {count}: {}", if count == 0 { "met" } else { "MISSED" });
        self.note(key, count.into());
    }

    /// Notes a figure for the report.
    pub fn note(&mut self, key: &str, value: Value) {
        self.figures.insert(key.to_owned(), value);
    }

    /// Writes the report where one is wanted; success only if every goal was met.
    pub fn end(self, report: Option<&str>) -> ExitCode {
        if let Some(file) = report
            && let Err(error) = std::fs::write(file, format!("{:#}\n", Value::Object(self.figures)))
        {
            eprintln!("cannot write the report {file}: {error}; name a file that can be written");
            return ExitCode::FAILURE;
        }
        match self.missed {
            0 => println!("every goal is met"),
            missed => println!("{missed} goals are missed"),
        }
        ExitCode::from(u8::from(self.missed > 0))
    }
}
