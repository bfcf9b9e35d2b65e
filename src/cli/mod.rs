//! The command line: one file per command.

pub mod carts;

use std::process::ExitCode;

use clap::Parser;

pub mod check;
pub mod evaluate;

/// A proxy that gives a new version a share of the traffic, judges it, and takes the share back.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version)]
enum Command {
    Check(check::CheckArgs),
    /// Grades measured values by a perfspec.
    Evaluate(evaluate::EvaluateArgs),
}

/// Runs the command line and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    match Command::parse() {
        Command::Check(args) => check::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
    }
}
