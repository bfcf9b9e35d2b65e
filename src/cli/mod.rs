//! The command line: one file per command.

pub mod admin;
pub mod audit;
pub mod carts;
pub mod check;
pub mod delivery;
pub mod demo;
pub mod evaluate;
mod figures;
mod http;
mod leash;
pub mod load;
mod outlook;
mod reach;
mod remote;
mod replay;
mod results;
pub mod run;
pub mod simulate;
pub mod status;
pub mod token;
pub mod verbs;
pub mod why;

use std::process::ExitCode;

use clap::Parser;

/// A proxy that gives a new version a share of the traffic, judges it, and takes the share back.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version)]
enum Command {
    /// Runs the proxy.
    Run(Box<run::RunArgs>),
    /// Checks configurations and gate files, and shows every problem at once.
    Check(check::CheckArgs),
    /// Grades measured values by a gate file.
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Shows where the rollouts of a running proxy stand.
    Status(status::StatusArgs),
    /// Tells what became of a rollout and why, and verifies the evidence.
    Why(why::WhyArgs),
    /// Verifies that nobody has changed the journal.
    Audit(audit::AuditArgs),
    /// Holds a rollout where it is; its gates stay armed.
    Pause(verbs::VerbArgs),
    /// Lets a held rollout go on, with fresh evidence.
    Resume(verbs::VerbArgs),
    /// Holds the canary with another share of its plan; its gates stay armed.
    SetWeight(verbs::SetWeightArgs),
    /// Waives the holds that remain before the last step; evidence is still required.
    Promote(verbs::VerbArgs),
    /// Ends a rollout: the canary gets nothing.
    Abort(verbs::VerbArgs),
    /// Tries the last canary again, though it was rolled back or aborted.
    Retry(verbs::VerbArgs),
    /// Makes a token that forces a version for whoever sends it.
    Token(token::TokenArgs),
    /// Makes a project with its stages.
    #[command(subcommand)]
    Create(delivery::Create),
    /// Makes a service of a project known.
    #[command(subcommand)]
    Onboard(delivery::Onboard),
    /// Adds a test or a gate to a project, a stage or a service.
    AddResource(delivery::AddResourceArgs),
    /// Names the source of the values behind a project's gates.
    #[command(subcommand)]
    Configure(delivery::Configure),
    /// Sends an event, such as a new artifact.
    #[command(subcommand)]
    Send(Box<delivery::Send>),
    /// Shows projects, or what became of a context.
    #[command(subcommand)]
    Get(delivery::Get),
    /// Lets an artifact into a stage.
    Approve(delivery::DecideArgs),
    /// Does not let an artifact into a stage.
    Deny(delivery::DecideArgs),
    /// Runs rollouts in virtual time through the code that judges real ones.
    Simulate(simulate::SimulateArgs),
    /// Shows the main job with real processes on this machine.
    Demo(demo::DemoArgs),
    /// Sends requests to a server and says how it answered.
    Load(Box<load::LoadArgs>),
    /// Serves carts, the demo service.
    Carts(carts::CartsArgs),
}

/// Runs the command line and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    match Command::parse() {
        Command::Run(args) => run::run(*args),
        Command::Check(args) => check::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Pause(args) => verbs::run(verbs::Verb::Pause, &args),
        Command::Resume(args) => verbs::run(verbs::Verb::Resume, &args),
        Command::SetWeight(args) => verbs::set_weight(&args),
        Command::Promote(args) => verbs::run(verbs::Verb::Promote, &args),
        Command::Abort(args) => verbs::run(verbs::Verb::Abort, &args),
        Command::Retry(args) => verbs::run(verbs::Verb::Retry, &args),
        Command::Token(args) => token::run(&args),
        Command::Create(what) => delivery::create(&what),
        Command::Onboard(what) => delivery::onboard(&what),
        Command::AddResource(args) => delivery::add_resource(&args),
        Command::Configure(what) => delivery::configure(&what),
        Command::Send(what) => delivery::send(&what),
        Command::Get(what) => delivery::get(&what),
        Command::Approve(args) => delivery::decide(&args, "approve"),
        Command::Deny(args) => delivery::decide(&args, "deny"),
        Command::Simulate(args) => simulate::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Carts(args) => carts::run(&args),
    }
}
