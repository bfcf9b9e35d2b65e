//! How fast a rollback is, as distributions beside their goals: from the deciding breach being evident to the canary's last pick.
//!
//! First the flag alone: two workers that load, draw and pick without pause. Then the real data plane with two workers that are
//! never out of requests, with a canary that fails, one that is slow and one that hangs. A breach is evident once the process has
//! what decides it: the head of an answer that is an error, or the time at which an answer was due that has not come. Nobody picks
//! the canary once the flag is set, which is checked. So the last pick is none after the evidence where no request that went to the
//! canary was read after it, and otherwise it is taken to be as late as it can: when the flag was set.
//!
//! `cargo bench --bench rollback -- --trips 1000 --report FILE`; exit code 1 unless every goal is met.

#[path = "rollback/flag.rs"]
mod flag;
#[path = "rollback/proxy.rs"]
mod proxy;
mod support;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use support::sheet::{Goal, Sheet};
use support::upstream::Manner;

/// Half of the rollbacks take no longer than this …
const USUALLY: Goal = Goal { share: 0.5, most: Duration::from_micros(50) };
/// … and all but one of a thousand no longer than this, though a worker may lose its core meanwhile.
const HARDLY_EVER: Goal = Goal { share: 0.999, most: Duration::from_millis(10) };

#[derive(Parser)]
struct Arguments {
    /// How many rollbacks of each kind are measured; the thousandth of fewer than 1000 is the longest.
    #[arg(long, default_value_t = 1000)]
    trips: usize,
    /// Where the figures are written as JSON, in microseconds.
    #[arg(long)]
    report: Option<String>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Arguments { trips, report, bench: _ } = Arguments::parse();
    let mut sheet = Sheet::begin();
    let goals = &[USUALLY, HARDLY_EVER];
    let flag = flag::measure(trips);
    sheet.judge("flag.evident_to_last_pick", "flag: breach evident → last canary pick of any worker", flag.last_pick, goals);
    sheet.show("flag.evident_to_visible", "flag: breach evident → flag visible to both workers", flag.visible);
    sheet.show("flag.evident_to_visible_on_core", "  of these with both workers on their cores", flag.visible_on_core);
    println!("  a worker was off its core for over {:?} across the trip in {} of {trips}", flag::OFF_CORE, flag.off_core);
    sheet.note("flag.off_core", flag.off_core.into());
    let manners = [("fail", "fails", Manner::Fail), ("slow", "is slow", Manner::Slow(2 * proxy::LIMIT)), ("hang", "hangs", Manner::Hang)];
    for (key, does, manner) in manners {
        let plane = match proxy::measure(manner, trips as u64) {
            Ok(plane) => plane,
            Err(error) => {
                eprintln!("the data plane could not be measured: {error}");
                return ExitCode::FAILURE;
            }
        };
        let name = |what: &str| format!("proxy, canary that {does}: {what}");
        let off_core = plane.to_flag.over(flag::OFF_CORE);
        sheet.judge(&format!("{key}.evident_to_last_pick"), &name("evident → last pick"), plane.to_last_pick, goals);
        sheet.must_not_be(
            &format!("{key}.started_after_flag"),
            "canary request that was read after the flag was set",
            plane.started_after_flag,
        );
        sheet.show(&format!("{key}.evident_to_flag"), &name("evident → flag"), plane.to_flag);
        sheet.show(&format!("{key}.evident_to_last_arrival"), &name("evident → last arrival"), plane.to_last_arrival);
        if manner == Manner::Fail {
            println!("  the worker was off its core for over {:?} before it set the flag in {off_core} of {trips}", flag::OFF_CORE);
            sheet.note(&format!("{key}.off_core"), off_core.into());
        }
        println!("  {:.0} requests/s by {} workers and {} clients", plane.rate, proxy::WORKERS, proxy::WORKERS * proxy::CLIENTS);
        sheet.note(&format!("{key}.requests_per_second"), plane.rate.into());
    }
    sheet.end(report.as_deref())
}
