//! How much harm a bad version does before its share is taken back: the headline table, and the same fault on the real proxy.
//!
//! `cargo bench --bench harm` runs it; `-- --runs N` makes so many simulated runs per cell. Each cell stands beside the figure
//! of the project's statistics, section 0, with the deviation. Exits with 1 when a cell is off by more than 15 % or the real
//! proxy does more harm than 20 requests or takes longer than 1.5 s.

#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared with the tests, where a failure ends the run"
)]
#[path = "../tests/support/process.rs"]
mod process;
#[path = "harm/real.rs"]
mod real;

use std::process::ExitCode;

use portcullis::simulate::report::{Line, Report};
use portcullis::simulate::{run, scenario};

/// By how much a cell may be off.
const WITHIN: f64 = 0.15;
/// What the real proxy must keep to: seconds and requests.
const REAL: (f64, u64) = (1.5, 20);

/// The document's seconds and harmed requests: Portcullis, Flagger twice, Argo, Kayenta.
type Row = (&'static str, [(f64, f64); 5]);

/// Section 0 of the project's statistics.
const DOCUMENT: [Row; 7] = [
    ("1 x 10%", [(31.0, 3.0), (360.0, 36.0), (20.0, 2.0), (1200.0, 119.0), (3600.0, 360.0)]),
    ("10 x 10%", [(3.9, 4.0), (360.0, 360.0), (20.0, 20.0), (1200.0, 1_200.0), (3600.0, 3_600.0)]),
    ("100 x 10%", [(1.3, 13.0), (360.0, 3_600.0), (20.0, 200.0), (1200.0, 12_000.0), (3600.0, 36_000.0)]),
    ("1000 x 1%", [(1.3, 13.0), (360.0, 3_600.0), (20.0, 200.0), (1200.0, 12_000.0), (3600.0, 36_000.0)]),
    ("1000 x 10%", [(1.03, 103.0), (360.0, 36_000.0), (20.0, 2_000.0), (1200.0, 120_000.0), (3600.0, 360_000.0)]),
    ("1000 x 50%", [(1.01, 504.0), (360.0, 180_000.0), (20.0, 10_000.0), (1200.0, 600_000.0), (3600.0, 1_800_000.0)]),
    ("1000, default ramp", [(1.6, 9.0), (f64::NAN, f64::NAN), (f64::NAN, f64::NAN), (f64::NAN, f64::NAN), (f64::NAN, f64::NAN)]),
];

/// Reads `--runs N`; what cargo adds is ignored.
fn runs() -> Option<usize> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--runs");
    arguments.next()?;
    arguments.next()?.parse().ok()
}

/// Writes one cell and says whether it is near enough.
fn cell(line: Option<&Line>, document: (f64, f64)) -> (String, bool) {
    let (Some(delay), Some(harmed)) = (line.and_then(|line| line.delay), line.and_then(|line| line.harmed)) else {
        return ("never".to_owned(), false);
    };
    let off = |found: f64, wanted: f64| if wanted.is_nan() { 0.0 } else { found / wanted - 1.0 };
    let (late, harm) = (off(delay.median, document.0), off(harmed.median, document.1));
    let text = format!("{:.2} s {:+.0} % | {:.0} {:+.0} %", delay.median, late * 100.0, harmed.median, harm * 100.0);
    // Half a request is as near as a median of requests can be.
    (text, late.abs() <= WITHIN && (harm.abs() <= WITHIN || (harmed.median - document.1).abs() <= 0.5))
}

fn main() -> ExitCode {
    let text = include_str!("../tests/simulation/scenarios/s0_headline.toml");
    let Ok(scenarios) = scenario::load("s0_headline.toml", text) else {
        eprintln!("the scenario of the headline cannot be read; portcullis simulate shows why");
        return ExitCode::FAILURE;
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut good = true;
    println!("requests per second x share: seconds (off) | requests harmed (off), medians, against the project's statistics, section 0");
    println!(
        "{:<20} {:>26} {:>26} {:>26} {:>26} {:>26}",
        "", "Portcullis", "Flagger 1 min x 5", "Flagger 10 s x 1", "Argo 5 min, 4th fails", "Kayenta 1 h"
    );
    for scenario in scenarios {
        let Some((name, document)) = DOCUMENT.iter().find(|(name, _)| *name == scenario.name) else { continue };
        let results = run::run(&scenario, runs().unwrap_or(scenario.runs.0), 1, threads, &|| {});
        let report = Report::new(scenario.name.clone(), &scenario, &results);
        let mut row = format!("{name:<20}");
        for (index, wanted) in document.iter().enumerate().filter(|(_, wanted)| !wanted.0.is_nan()) {
            let (text, near) = cell(report.lines.get(index), *wanted);
            good &= near;
            row.push_str(&format!(" {:>26}", if near { text } else { format!("! {text}") }));
        }
        println!("{row}");
    }
    match real::measure() {
        Ok(real) => {
            let near = real.seconds <= REAL.0 && real.harmed <= REAL.1;
            println!(
                "{} the real proxy, 100 requests/s x 10 %, every canary request 1 s late: {:.3} s, {} harmed (at most {} s, {})",
                if near { "ok" } else { "!" },
                real.seconds,
                real.harmed,
                REAL.0,
                REAL.1
            );
            good &= near;
        }
        Err(why) => {
            eprintln!("the real proxy could not be measured: {why}");
            good = false;
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
