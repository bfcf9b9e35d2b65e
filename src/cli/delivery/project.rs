//! `create project`, `onboard service`, `approve` and `deny`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::admin::Admin;
use crate::cli::delivery::files::{self, Target};
use crate::cli::delivery::outcome::{Undone, end, list, text};
use crate::cli::verbs::{self, Say, Verb, VerbArgs};
use crate::config::read_text;
use crate::domain::delivery::StageName;
use crate::domain::version::Name;

/// What can be made.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Create {
    /// Makes a project with the stages of its shipyard.
    Project(CreateProjectArgs),
}

/// Makes a project with the stages of its shipyard.
#[derive(Clone, Debug, clap::Args)]
pub struct CreateProjectArgs {
    /// The project: small letters, digits and hyphens, because it is a part of host names.
    name: String,
    /// The file with the stages.
    #[arg(long, value_name = "FILE")]
    shipyard: PathBuf,
    /// Delivers as keptn 0.4 did: everything to the new version before the tests.
    #[arg(long, value_name = "MODE", default_value = "strict", value_parser = ["strict", "keptn"])]
    compat: String,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// What can be made known.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Onboard {
    /// Makes a service of a project known, with its tests and gates.
    Service(OnboardServiceArgs),
}

/// Makes a service of a project known, with its tests and gates.
#[derive(Clone, Debug, clap::Args)]
pub struct OnboardServiceArgs {
    /// The service: small letters, digits and hyphens, because it is a part of host names.
    name: String,
    /// The project.
    #[arg(long, value_name = "NAME")]
    project: Name,
    /// A folder whose files are added for the service, such as jmeter/load.jmx and perfspec/perfspec.json in it.
    #[arg(long, value_name = "DIR")]
    resources: Option<PathBuf>,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// Decides about the rollout of a service, or with a project about an artifact in a stage.
///
/// Exit code: 0 when it was done, 2 when the proxy did not answer or refused, or it was not confirmed.
#[derive(Clone, Debug, clap::Args)]
pub struct DecideArgs {
    /// The service whose rollout is meant; absent: `default`.
    #[arg(value_name = "SERVICE", conflicts_with_all = ["project", "service", "stage", "context"])]
    rollout: Option<Name>,
    /// The project of an artifact.
    #[arg(long, value_name = "NAME", requires_all = ["service", "stage"])]
    project: Option<Name>,
    /// The service it is of.
    #[arg(long, value_name = "NAME", requires = "project")]
    service: Option<Name>,
    /// The stage it waits for, or is on trial in.
    #[arg(long, value_name = "NAME", requires = "project")]
    stage: Option<StageName>,
    /// The context of the artifact, as `send event` has printed it; absent: whatever waits.
    #[arg(long = "keptn-context", value_name = "ID", requires = "project")]
    context: Option<String>,
    /// Whom to ask, and what to say.
    #[command(flatten)]
    say: Say,
}

/// Ends a rollout: the canary gets nothing, at once or in steps.
///
/// Exit code: 0 when it was done, 2 when the proxy did not answer or refused, or it was not confirmed.
#[derive(Clone, Debug, clap::Args)]
pub struct AbortArgs {
    /// Lets the share go down in steps as stable bears it, within a minute at most, where the service's `way_back` is `ramp` and nothing
    /// is known to be wrong with the canary; else as without this.
    #[arg(long, conflicts_with = "project")]
    ramp: bool,
    /// Which one, and what to say.
    #[command(flatten)]
    decide: DecideArgs,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn create(Create::Project(args): &Create) -> ExitCode {
    end(create_project(args))
}

fn create_project(args: &CreateProjectArgs) -> Result<String, Undone> {
    let shipyard = read_text(&args.shipyard).map_err(|problem| Undone::Here(problem.to_string()))?;
    let body = json!({"name": args.name, "shipyard": shipyard, "compat": args.compat});
    let answer = args.admin.post("/v1/projects", &body)?;
    let stages: Vec<&str> = list(&answer, "/stages").iter().filter_map(Value::as_str).collect();
    let next = format!("next: portcullis onboard service NAME --project {}", args.name);
    Ok(format!("project {} has the stages {}\n{next}\n", text(&answer, "/project"), stages.join(", ")))
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn onboard(Onboard::Service(args): &Onboard) -> ExitCode {
    end(onboard_service(args))
}

fn onboard_service(args: &OnboardServiceArgs) -> Result<String, Undone> {
    // Everything is read before anything is changed.
    let files = args.resources.as_deref().map(files::below).transpose()?.unwrap_or_default();
    let answer = args.admin.post(&format!("/v1/projects/{}/services", args.project), &json!({"name": args.name}))?;
    let mut lines = vec![format!("service {} of project {}", args.name, args.project)];
    lines.extend(list(&answer, "/hosts").iter().filter_map(Value::as_str).map(|host| format!("  {host}")));
    let service: Name = args.name.parse().map_err(|error| Undone::Here(format!("{error}")))?;
    for (uri, content) in files {
        files::put(&args.admin, &args.project, Target { stage: None, service: Some(&service) }, &uri, content)?;
        lines.push(format!("added {uri}"));
    }
    lines.push(format!(
        "next: portcullis send event new-artifact --project {} --service {} --image IMAGE --tag TAG",
        args.project, args.name
    ));
    Ok(lines.join("\n") + "\n")
}

/// Aborts and returns the exit code.
#[must_use]
pub fn abort(args: &AbortArgs) -> ExitCode {
    decide(&args.decide, if args.ramp { Verb::Recede } else { Verb::Abort })
}

/// Approves, denies or aborts and returns the exit code.
#[must_use]
pub fn decide(args: &DecideArgs, verb: Verb) -> ExitCode {
    let DecideArgs { rollout, project, service, stage, context, say } = args;
    let (Some(project), Some(service), Some(stage)) = (project, service, stage) else {
        return verbs::run(verb, &VerbArgs { service: rollout.clone().unwrap_or_else(verbs::usual), say: say.clone() });
    };
    let what = match verb {
        Verb::Approve => "approve",
        Verb::Abort => "abort",
        _ => "deny",
    };
    let path = format!("/v1/projects/{project}/services/{service}/stages/{stage}/{what}");
    let actor = say.actor.as_deref().unwrap_or("operator");
    let reason = say.reason.as_deref().unwrap_or("no reason given");
    let done = say.admin.post(&path, &json!({"context": context, "actor": actor, "reason": reason}));
    end(done.map_err(Undone::from).map(|_| format!("{what}: {service} in {stage} of {project}\n")))
}
