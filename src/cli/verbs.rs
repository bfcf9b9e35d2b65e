//! `portcullis pause | resume | approve | deny | set-weight | promote | abort | retry`: what operators ask of a rollout.
//!
//! Each asks the admin listener of a running proxy and prints what it answered. What gives the canary more, or waives a hold, is confirmed at
//! a terminal first, and refused where nobody can be asked. An abort is asked about at a terminal alone: it is never held up elsewhere.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use http::Method;
use serde_json::{Map, Value};

use crate::cli::admin::Admin;
use crate::cli::exit;
use crate::cli::figures::harmless;
use crate::cli::http::{Body, JSON};
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// Asks something of a rollout.
///
/// Exit code: 0 when it was done or there was nothing to do, 2 when the proxy did not answer or refused, or it was not confirmed.
#[derive(Clone, Debug, clap::Args)]
pub struct VerbArgs {
    /// The service.
    #[arg(value_name = "SERVICE", default_value = "default")]
    pub service: Name,
    /// Whom to ask, and what to say.
    #[command(flatten)]
    pub say: Say,
}

/// Holds the canary with another share of its plan.
///
/// Exit code: 0 when it was done, 2 when the proxy did not answer or refused, or it was not confirmed.
#[derive(Clone, Debug, clap::Args)]
pub struct SetWeightArgs {
    /// The share, such as 10%: that of a step of the plan, or 0%.
    #[arg(value_name = "WEIGHT")]
    pub weight: Weight,
    /// The service.
    #[arg(value_name = "SERVICE", default_value = "default")]
    pub service: Name,
    /// Whom to ask, and what to say.
    #[command(flatten)]
    pub say: Say,
}

/// Whom to ask, and what to say.
#[derive(Clone, Debug, clap::Args)]
pub struct Say {
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who asks, for the journal; absent: $USER.
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Does not ask whether it is meant.
    #[arg(long)]
    pub yes: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub admin: Admin,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verb {
    /// Hold it.
    Pause,
    /// Let it go on.
    Resume,
    /// Approve it.
    Approve,
    /// Deny it.
    Deny,
    /// Hold it with this share.
    SetWeight(Weight),
    /// Waive the holds.
    Promote,
    /// End it.
    Abort,
    /// Begin the last one again.
    Retry,
}

impl Verb {
    /// The method, and the last part of the path.
    const fn place(self) -> (Method, &'static str) {
        match self {
            Self::Pause => (Method::POST, "pause"),
            Self::Resume => (Method::POST, "resume"),
            Self::Approve => (Method::POST, "approve"),
            Self::Deny => (Method::POST, "deny"),
            Self::SetWeight(_) => (Method::PUT, "weight"),
            Self::Promote => (Method::POST, "promote"),
            Self::Abort => (Method::POST, "abort"),
            Self::Retry => (Method::POST, "retry"),
        }
    }

    /// Whether it must not wait for an answer that nobody may give.
    const fn is_urgent(self) -> bool {
        matches!(self, Self::Abort)
    }

    /// What it would do, where somebody should think twice.
    fn question(self, service: &Name) -> Option<String> {
        match self {
            Self::Pause | Self::Deny | Self::SetWeight(Weight::ZERO) => None,
            Self::Abort => Some(format!("end the rollout of {service}: the canary gets nothing, and is tried again only on a retry")),
            Self::Resume => Some(format!("let the rollout of {service} go on")),
            Self::Approve => Some(format!("approve that the rollout of {service} goes on")),
            Self::SetWeight(weight) => Some(format!("hold the canary of {service} with {weight}, without the evidence for it")),
            Self::Promote => Some(format!("waive the remaining holds of {service}")),
            Self::Retry => Some(format!("try the last canary of {service} again")),
        }
    }
}

/// Returns the service that is meant where none is named.
#[must_use]
pub fn usual() -> Name {
    "default".parse().expect("it is a name")
}

/// Asks for a share and returns the exit code.
#[must_use]
pub fn set_weight(args: &SetWeightArgs) -> ExitCode {
    run(Verb::SetWeight(args.weight), &VerbArgs { service: args.service.clone(), say: args.say.clone() })
}

/// Asks for something and returns the exit code.
#[must_use]
pub fn run(verb: Verb, args: &VerbArgs) -> ExitCode {
    match asked(verb, args) {
        Ok(message) => {
            println!("{}", harmless(&message));
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {}", harmless(&message));
            exit::REFUSED.end()
        }
    }
}

fn asked(verb: Verb, args: &VerbArgs) -> Result<String, String> {
    let VerbArgs { service, say } = args;
    let asked = std::io::stdin().is_terminal();
    if let Some(what) = verb.question(service).filter(|_| !say.yes && (asked || !verb.is_urgent())) {
        confirmed(&what, asked)?;
    }
    let (method, word) = verb.place();
    let (seen, path) = (format!("/v1/rollouts/{service}"), format!("/v1/rollouts/{service}/{word}"));
    let body = Body { kind: JSON, bytes: body(verb, say, std::env::var("USER").ok()).to_string().into(), field: None };
    let answer = say.admin.remote().and_then(|remote| match verb {
        // It needs no condition: whatever has changed, the canary is to get nothing.
        Verb::Abort => remote.send_with(method, &path, body),
        _ => remote.send_if_unchanged(method, &path, &seen, body),
    });
    let answer = answer.map_err(|error| error.to_string())?;
    answer.get("message").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("the answer has no message: {answer}"))
}

/// Writes what the proxy is told. Who asks may be anybody's name; the journal says who it was said to be.
fn body(verb: Verb, say: &Say, user: Option<String>) -> Value {
    let mut body = Map::new();
    if let Verb::SetWeight(weight) = verb {
        body.insert("weight".to_owned(), Value::String(weight.to_string()));
    }
    if let Some(actor) = say.actor.clone().or_else(|| user.filter(|user| !user.is_empty())) {
        body.insert("actor".to_owned(), Value::String(actor));
    }
    // A retry tells its reason by itself.
    if let Some(reason) = say.reason.clone().filter(|_| verb != Verb::Retry) {
        body.insert("reason".to_owned(), Value::String(reason));
    }
    Value::Object(body)
}

/// Asks at the terminal; where there is none, somebody must have said so before.
fn confirmed(what: &str, asked: bool) -> Result<(), String> {
    if !asked {
        return Err(format!("this would {what}; say --yes, since nobody can be asked"));
    }
    eprint!("This will {what}. Go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| format!("the answer cannot be read: {error}"))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err("it was not confirmed, so nothing was done".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(reason: Option<&str>, actor: Option<&str>) -> Say {
        Say { reason: reason.map(str::to_owned), actor: actor.map(str::to_owned), yes: true, admin: Admin::default() }
    }

    #[test]
    fn the_proxy_is_told_who_why_and_how_much() {
        let half = Verb::SetWeight("50%".parse().unwrap());
        let told = body(half, &say(Some("a try"), None), Some("ann".to_owned()));
        assert_eq!(told, serde_json::json!({"weight": "50%", "actor": "ann", "reason": "a try"}));
        assert_eq!(body(Verb::Abort, &say(None, Some("bo")), Some("ann".to_owned())), serde_json::json!({"actor": "bo"}));
        assert_eq!(body(Verb::Retry, &say(Some("mended"), None), Some(String::new())), serde_json::json!({}));
    }

    #[test]
    fn what_gives_more_or_ends_it_is_asked_about_and_only_an_abort_goes_on_unasked() {
        let service = "carts".parse().unwrap();
        for verb in [Verb::Pause, Verb::Deny, Verb::SetWeight(Weight::ZERO)] {
            assert_eq!(verb.question(&service), None, "{verb:?}");
        }
        for verb in [Verb::Resume, Verb::Approve, Verb::Promote, Verb::Retry, Verb::SetWeight(Weight::FULL)] {
            assert!(verb.question(&service).is_some() && !verb.is_urgent(), "{verb:?}");
        }
        assert!(Verb::Abort.question(&service).is_some() && Verb::Abort.is_urgent());
    }
}
