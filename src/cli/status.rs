//! `portcullis status`: asks a running proxy where its rollouts stand and what they wait for.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::admin::Admin;
use crate::cli::exit;
use crate::cli::figures::{UNKNOWN, bounds, columns, harmless, quantity, span};
use crate::cli::output::Output;
use crate::cli::reach;
use crate::cli::remote::RemoteError;
use crate::control::status::{RolloutStatus, ServiceStatus};
use crate::domain::gate::evidence;
use crate::domain::gate::{Policy, Verdict};
use crate::domain::judge::GateStatus;
use crate::domain::rollout::Phase;
use crate::domain::version::Name;

/// Shows where the rollouts of a running proxy stand, what they wait for, and how far each gate is.
///
/// Exit code: 0 when the proxy answered, 2 when it did not or knows no such service.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// The service; absent: all of them.
    #[arg(value_name = "SERVICE")]
    pub service: Option<Name>,
    /// Whom to ask.
    #[command(flatten)]
    pub admin: Admin,
    /// How the answer is written.
    #[command(flatten)]
    pub output: Output,
}

#[derive(Deserialize)]
struct Listing {
    rollouts: Vec<ServiceStatus>,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &StatusArgs) -> ExitCode {
    let text = match answer(args) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {}", harmless(&error.to_string()));
            return exit::REFUSED.end();
        }
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write the answer: {error}");
            exit::REFUSED.end()
        }
    }
}

fn answer(args: &StatusArgs) -> Result<String, RemoteError> {
    let path = args.service.as_ref().map_or_else(|| "/v1/rollouts".to_owned(), |service| format!("/v1/rollouts/{service}"));
    if args.output.is_json() {
        return Ok(format!("{:#}\n", args.admin.get::<Value>(&path)?));
    }
    let services = match args.service {
        Some(_) => vec![args.admin.get::<ServiceStatus>(&path)?],
        None => args.admin.get::<Listing>(&path)?.rollouts,
    };
    Ok(harmless(&table(&services)))
}

/// Writes every service with its rollout.
fn table(services: &[ServiceStatus]) -> String {
    let parts: Vec<String> = services.iter().map(service).collect();
    if parts.is_empty() { "the proxy has no services\n".to_owned() } else { parts.join("\n") }
}

fn service(status: &ServiceStatus) -> String {
    let mut text = format!("{}: owned by {}\n", status.name, status.owner.name);
    match &status.rollout {
        None if status.waits.is_none() => text.push_str("  no rollout yet\n"),
        None => {}
        Some(rollout) => text.push_str(&told(rollout)),
    }
    if let Some(waits) = &status.waits {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {waits}");
    }
    if let Some(way_back) = status.way_back.as_ref().filter(|way_back| way_back.is_worth_telling()) {
        text.push_str(&columns("  ", &[vec!["way back".to_owned(), way_back.sentence.clone()]]));
    }
    text.push_str(&reach::told(&status.endpoints));
    if !status.rejected.is_empty() {
        let names: Vec<&str> = status.rejected.iter().map(Name::as_str).collect();
        text.push_str(&columns("  ", &[vec!["rejected".to_owned(), names.join(", ")]]));
    }
    text
}

fn told(rollout: &RolloutStatus) -> String {
    let mut place = format!("{} with {} of the traffic", rollout.phase.as_str().replace('_', " "), rollout.weight);
    if !rollout.phase.is_terminal() && rollout.steps > 0 {
        place.push_str(&format!(", step {} of {}, {:.1} requests/s over both versions", rollout.step + 1, rollout.steps, rollout.rate));
    }
    if rollout.brakes > 0 {
        place.push_str(&format!(", braked {}", if rollout.brakes == 1 { "once".to_owned() } else { format!("{} times", rollout.brakes) }));
    }
    let mut rows = vec![
        vec!["rollout".to_owned(), format!("{} of {} against {}", rollout.id, rollout.canary.name, rollout.stable.name)],
        vec!["stands".to_owned(), place],
        vec!["because".to_owned(), rollout.reason.clone()],
    ];
    if let Some(waits) = waits(rollout) {
        rows.push(vec!["waits".to_owned(), waits]);
    }
    if let Some(file) = &rollout.file {
        rows.push(vec!["gate file".to_owned(), format!("{}: {}", file.verdict, file.reason)]);
    }
    if !rollout.durable {
        rows.push(vec!["unsaved".to_owned(), "the last decision is not durable yet; see that the disk works".to_owned()]);
    }
    columns("  ", &rows) + &gates(&rollout.gates)
}

/// Says what has to happen before the rollout changes by itself; `None` when it is over.
pub(super) fn waits(rollout: &RolloutStatus) -> Option<String> {
    let left = |what: &str| rollout.held_seconds.filter(|s| *s > 0.0).map(|s| format!("{what} {}", span(s)));
    match rollout.phase {
        Phase::Promoted | Phase::RolledBack | Phase::Aborted => None,
        Phase::AwaitingApproval => {
            Some(left("for somebody to approve or deny it within").unwrap_or_else(|| "for the end of its deadline".to_owned()))
        }
        Phase::Paused => Some("until an operator resumes or aborts it".to_owned()),
        Phase::Braked => {
            let then = match rollout.brakes > Policy::RESUMES {
                true => "else it is held with nothing".to_owned(),
                false => format!("else it begins again (resume {} of {})", rollout.brakes, Policy::RESUMES),
            };
            let within = left("within").unwrap_or_else(|| "now".to_owned());
            Some(format!("for the breach to be confirmed {within}; {then}"))
        }
        Phase::Receding => Some(
            left("for stable to bear more of it; everything is given back within").unwrap_or_else(|| "for the last step down".to_owned()),
        ),
        Phase::Watching => Some(left("for the watch, another").unwrap_or_else(|| "for the promotion to be written".to_owned())),
        Phase::Progressing => match rollout.warm_up_seconds {
            Some(seconds) => Some(format!("for the warm-up, another {}", span(seconds))),
            None => Some([Some(missing(rollout)), left("the hold lasts another")].into_iter().flatten().collect::<Vec<_>>().join("; ")),
        },
    }
}

/// Says how much evidence is missing.
fn missing(rollout: &RolloutStatus) -> String {
    match (rollout.needs, rollout.needs_seconds) {
        _ if rollout.gates.is_empty() => "for the first judgement".to_owned(),
        (Some(0), _) if rollout.gates.iter().all(|gate| gate.verdict == Verdict::Pass) => "every gate passes".to_owned(),
        (Some(needs), seconds) => {
            let requests = if needs == 1 { "request" } else { "requests" };
            let about = match seconds {
                Some(seconds) => format!("about {} at this traffic", span(seconds)),
                None => "and there is no traffic now".to_owned(),
            };
            format!("needs {} more clean {requests}, {about}", evidence::thousands(needs))
        }
        (None, _) => match rollout.gates.iter().filter_map(|gate| gate.awaits_stable).max() {
            Some(more) => {
                let requests = if more == 1 { "request" } else { "requests" };
                let more = evidence::thousands(more);
                format!("for up to {more} more {requests} of the stable version; how many clean ones are needed is not known before")
            }
            None => "no number of clean requests would suffice as things are".to_owned(),
        },
    }
}

fn gates(gates: &[GateStatus]) -> String {
    if gates.is_empty() {
        return String::new();
    }
    let heads = ["gate", "verdict", "requests", "value", "limit", "pass", "brake", "confirm"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(gates.iter().map(gate));
    let legend = "  pass, brake, confirm: evidence of 1 in N, of the N at which it decides\n";
    format!("{}{legend}", columns("  ", &rows))
}

fn gate(gate: &GateStatus) -> Vec<String> {
    let odds = |log_e: f64, threshold: f64| format!("{} of {}", evidence::odds(log_e), evidence::odds(threshold));
    let unknown = || UNKNOWN.to_owned();
    let value = |value| format!("{}{}", quantity(gate.unit, value), bounds(gate.unit, gate.lower, gate.upper));
    vec![
        gate.gate.clone(),
        gate.verdict.to_string(),
        evidence::thousands(gate.requests),
        gate.value.map_or_else(unknown, value),
        gate.limit.map_or_else(unknown, |limit| quantity(gate.unit, limit)),
        odds(gate.log_e, gate.log_threshold),
        odds(gate.brake_log_e, gate.brake_log_threshold),
        gate.confirm_log_threshold.map_or_else(unknown, |threshold| odds(gate.confirm_log_e, threshold)),
    ]
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
