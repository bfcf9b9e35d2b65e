//! The command line: one file per command.

pub mod carts;
pub mod evaluate;

use std::process::ExitCode;

use clap::Parser;

/// A proxy that gives a new version a share of the traffic, judges it, and takes the share back.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version)]
enum Command {
    /// Serves carts, the demo service.
    Carts(carts::CartsArgs),
    /// Grades measured values by a perfspec.
    Evaluate(evaluate::EvaluateArgs),
}

/// Runs the command line and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    match Command::parse() {
        Command::Carts(args) => carts::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
    }
}
