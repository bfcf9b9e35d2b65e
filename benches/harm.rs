//! How much harm a bad version does before its share is taken back: the headline table, and the same fault on the real proxy.
//!
//! `cargo bench --bench harm` runs it; `-- --runs N` makes so many simulated runs per cell. Each cell is a mean, as in the
//! project's statistics, section 0, and stands beside the figure there with the deviation.
//!
//! What is a miss: Portcullis later, or with more harm, than the table and 15 %; sooner or with less harm is none, and where it
//! is sooner the reason is printed. A peer must come out as the table has it, 15 % up or down: to be too hard on a peer is as
//! dishonest as to be too kind to oneself. A count of a few requests cannot be told apart to 15 %, so that below ten one request
//! more or less is allowed there. Exits with 1 on a miss, or when the real proxy harms more than 20 requests or takes longer
//! than 1.5 s.

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
/// Below this many requests one more or less is no miss of a peer.
const FEW: f64 = 10.0;
/// Portcullis sooner than the table by more than this share is explained.
const NOTABLY: f64 = 0.05;
/// Why Portcullis is sooner than the table at low rates.
const WHY_SOONER: &str = "sooner: the table's canary requests come independently of each other, so that its third one comes after \
three whole gaps on average; the proxy draws them evenly, so that the first comes anywhere within a gap and the third soon after \
two more. The evidence is the same three requests of three. It shows where the gap is long beside the limit of 1 s.";
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

/// Whose figures a cell holds, and so what is a miss.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Peers,
}

/// One cell beside the document's.
struct Cell {
    text: String,
    is_near: bool,
    is_sooner: bool,
}

/// Compares the means of one cell with the document's seconds and requests.
fn cell(line: Option<&Line>, document: (f64, f64), whose: Whose) -> Cell {
    let (Some(delay), Some(harmed)) = (line.and_then(|line| line.delay), line.and_then(|line| line.harmed)) else {
        return Cell { text: "never".to_owned(), is_near: false, is_sooner: false };
    };
    let (late, harm) = (delay.mean / document.0 - 1.0, harmed.mean / document.1 - 1.0);
    let is_near = match whose {
        Whose::Ours => late <= WITHIN && harm <= WITHIN,
        Whose::Peers => {
            let by_one = document.1 < FEW && (harmed.mean - document.1).abs() <= 1.0;
            late.abs() <= WITHIN && (harm.abs() <= WITHIN || by_one)
        }
    };
    let text = format!("{:.2} s {:+.0} % | {:.1} {:+.0} %", delay.mean, late * 100.0, harmed.mean, harm * 100.0);
    Cell { text, is_near, is_sooner: whose == Whose::Ours && late < -NOTABLY }
}

fn main() -> ExitCode {
    let text = include_str!("../tests/simulation/scenarios/s0_headline.toml");
    let Ok(scenarios) = scenario::load("s0_headline.toml", text) else {
        eprintln!("the scenario of the headline cannot be read; portcullis simulate shows why");
        return ExitCode::FAILURE;
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut good, mut is_sooner, mut rows) = (true, false, 0);
    println!("requests per second x share: seconds (off) | requests harmed (off), means, against the project's statistics, section 0");
    println!("a miss (!) is Portcullis later or with more harm than the table + 15 %, or a peer off by 15 % and by more than one request");
    println!(
        "{:<20} {:>28} {:>28} {:>28} {:>28} {:>28}",
        "", "Portcullis", "Flagger 1 min x 5", "Flagger 10 s x 1", "Argo 5 min, 4th fails", "Kayenta 1 h"
    );
    for scenario in scenarios {
        let Some((name, document)) = DOCUMENT.iter().find(|(name, _)| *name == scenario.name) else { continue };
        let results = run::run(&scenario, runs().unwrap_or(scenario.runs.0), 1, threads, &|| {});
        let report = Report::new(scenario.name.clone(), &scenario, &results);
        let mut row = format!("{name:<20}");
        for (index, wanted) in document.iter().enumerate().filter(|(_, wanted)| !wanted.0.is_nan()) {
            let whose = if index == 0 { Whose::Ours } else { Whose::Peers };
            let cell = cell(report.lines.get(index), *wanted, whose);
            good &= cell.is_near;
            is_sooner |= cell.is_sooner;
            row.push_str(&format!(" {:>28}", if cell.is_near { cell.text } else { format!("! {}", cell.text) }));
        }
        println!("{row}");
        rows += 1;
    }
    if rows < DOCUMENT.len() {
        eprintln!("s0_headline.toml has {rows} of the {} rows of the table", DOCUMENT.len());
        good = false;
    }
    if is_sooner {
        println!("{WHY_SOONER}");
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
