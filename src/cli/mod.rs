//! The command line: one file per command.

pub mod admin;
pub mod audit;
pub mod carts;
pub mod check;
pub mod delivery;
pub mod demo;
pub mod evaluate;
mod exit;
mod figures;
mod http;
pub mod inject;
pub mod intercept;
mod leash;
pub mod load;
mod outlook;
mod output;
mod reach;
pub mod ready;
mod reference;
mod remote;
mod replay;
pub mod report;
mod results;
pub mod run;
pub mod schema;
pub mod shell;
mod sidecar;
pub mod simulate;
pub mod status;
pub mod token;
pub mod verbs;
pub mod watch;
pub mod webhook;
pub mod why;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

/// A proxy that gives a new version a share of the traffic, judges it, and takes the share back.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version)]
enum Command {
    Run(Box<run::RunArgs>),
    Check(check::CheckArgs),
    Evaluate(Box<evaluate::EvaluateArgs>),
    Status(status::StatusArgs),
    Watch(watch::WatchArgs),
    History(report::HistoryArgs),
    Report(report::ReportArgs),
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
    Abort(delivery::AbortArgs),
    /// Tries the last canary again, though it was rolled back or aborted.
    Retry(verbs::VerbArgs),
    Token(token::TokenArgs),
    Ready(ready::ReadyArgs),
    Inject(Box<inject::InjectArgs>),
    Webhook(Box<webhook::WebhookArgs>),
    #[command(visible_alias = "init")]
    Intercept(intercept::InterceptArgs),
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
    /// Approves a rollout that waits for it, or an artifact that waits for a stage.
    Approve(delivery::DecideArgs),
    /// Denies it: the canary gets nothing, the artifact does not enter the stage.
    Deny(delivery::DecideArgs),
    Simulate(simulate::SimulateArgs),
    Demo(demo::DemoArgs),
    Load(Box<load::LoadArgs>),
    Carts(carts::CartsArgs),
    Schema(schema::SchemaArgs),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// Returns the whole command line, with the exit codes at the end of its help.
#[must_use]
fn command() -> clap::Command {
    Command::command().after_long_help(exit::told())
}

/// Runs the command line and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = Command::from_arg_matches(&command().get_matches());
    match parsed.unwrap_or_else(|error| error.exit()) {
        Command::Run(args) => run::run(*args),
        Command::Check(args) => check::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::History(args) => report::history(&args),
        Command::Report(args) => report::report(&args),
        Command::Why(args) => why::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Pause(args) => verbs::run(verbs::Verb::Pause, &args),
        Command::Resume(args) => verbs::run(verbs::Verb::Resume, &args),
        Command::SetWeight(args) => verbs::set_weight(&args),
        Command::Promote(args) => verbs::run(verbs::Verb::Promote, &args),
        Command::Abort(args) => delivery::abort(&args),
        Command::Retry(args) => verbs::run(verbs::Verb::Retry, &args),
        Command::Token(args) => token::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Inject(args) => inject::run(&args),
        Command::Webhook(args) => webhook::run(&args),
        Command::Intercept(args) => intercept::run(&args),
        Command::Create(what) => delivery::create(&what),
        Command::Onboard(what) => delivery::onboard(&what),
        Command::AddResource(args) => delivery::add_resource(&args),
        Command::Configure(what) => delivery::configure(&what),
        Command::Send(what) => delivery::send(&what),
        Command::Get(what) => delivery::get(&what),
        Command::Approve(args) => delivery::decide(&args, verbs::Verb::Approve),
        Command::Deny(args) => delivery::decide(&args, verbs::Verb::Deny),
        Command::Simulate(args) => simulate::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Carts(args) => carts::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => shell::completions(&args, command()),
        Command::Man(args) => shell::man(&args, &command()),
    }
}

#[cfg(test)]
mod tests;
