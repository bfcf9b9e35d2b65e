//! What clients notice of 1,000 shifts, 100 reloads, half of them bad, and 100 processes that take over from one another.
//!
//! `cargo bench --bench upheaval -- --shifts 1000 --reloads 100 --restarts 100`; exit code 1 unless nothing failed and nothing was
//! refused.

#[path = "../tests/support/upheaval.rs"]
#[allow(dead_code, reason = "shared with the test")]
mod upheaval;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use upheaval::{Counts, run};

#[derive(Parser)]
struct Arguments {
    /// Changes of the canary's share.
    #[arg(long, default_value_t = 1000)]
    shifts: u32,
    /// Times the configuration is read again.
    #[arg(long, default_value_t = 100)]
    reloads: u32,
    /// Times a new process takes over.
    #[arg(long, default_value_t = 100)]
    restarts: u32,
    /// Clients that ask all the time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Arguments { shifts, reloads, restarts, clients, bench: _ } = Arguments::parse();
    let begun = Instant::now();
    let tally = run(env!("CARGO_BIN_EXE_portcullis"), Counts { shifts, reloads, restarts, clients });
    let (good, bad) = tally.reloads;
    println!(
        "{} shifts, {good} good and {bad} bad reloads, {} hot restarts in {:.1} s",
        tally.shifts,
        tally.restarts,
        begun.elapsed().as_secs_f64()
    );
    println!("{} requests answered, {} failed, {} connections refused", tally.answered, tally.failed, tally.refused);
    tally.failures.iter().for_each(|failure| println!("  {failure}"));
    ExitCode::from(u8::from(tally.failed + tally.refused > 0))
}
