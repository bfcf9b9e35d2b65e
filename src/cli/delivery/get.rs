//! `get`: projects, the story of a context, the last evaluation of a context.

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::admin::Admin;
use crate::cli::delivery::evaluation::done;
use crate::cli::delivery::outcome::{Undone, end, list, text};
use crate::cli::delivery::story;
use crate::cli::output::Output;

/// What can be shown.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Get {
    /// Shows every project with what stands in its stages.
    Projects(ProjectsArgs),
    /// Shows everything that was decided under a context.
    Context(ContextArgs),
    /// Shows an event of a context.
    #[command(subcommand)]
    Event(Event),
}

/// Shows every project with what stands in its stages.
#[derive(Clone, Debug, clap::Args)]
pub struct ProjectsArgs {
    #[command(flatten)]
    output: Output,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// Shows everything that was decided under a context.
#[derive(Clone, Debug, clap::Args)]
pub struct ContextArgs {
    /// The context, as `send event` has printed it.
    id: String,
    #[command(flatten)]
    output: Output,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// An event of a context.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Event {
    /// The last evaluation.
    EvaluationDone(EvaluationArgs),
}

/// The last evaluation of a context.
#[derive(Clone, Debug, clap::Args)]
pub struct EvaluationArgs {
    /// The context, as `send event` has printed it.
    #[arg(long = "keptn-context", value_name = "ID")]
    context: String,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn get(what: &Get) -> ExitCode {
    end(match what {
        Get::Projects(args) => projects(args),
        Get::Context(args) => context(args),
        Get::Event(Event::EvaluationDone(args)) => evaluation(args),
    })
}

fn projects(args: &ProjectsArgs) -> Result<String, Undone> {
    let answer: Value = args.admin.get("/v1/projects")?;
    if args.output.is_json() {
        return Ok(format!("{answer:#}\n"));
    }
    let mut lines = Vec::new();
    for project in list(&answer, "/projects") {
        lines.push(format!("project {}", text(project, "/project")));
        for service in list(project, "/services") {
            lines.push(format!("  service {}", text(service, "/service")));
            lines.extend(list(service, "/stages").iter().map(stage));
        }
    }
    if lines.is_empty() {
        lines.push("there is no project; make one with: portcullis create project NAME --shipyard FILE".to_owned());
    }
    Ok(lines.join("\n") + "\n")
}

fn stage(stage: &Value) -> String {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let mut line = format!("    {:<12} live {:<10}", text(stage, "/stage"), or(text(stage, "/live/version"), "none"));
    let host = text(stage, "/host");
    match text(stage, "/run/version") {
        "" => {}
        version => line.push_str(&format!("  on trial {version}, {}: {}", text(stage, "/run/phase"), text(stage, "/run/reason"))),
    }
    if text(stage, "/run/version").is_empty() && !text(stage, "/last/outcome").is_empty() {
        line.push_str(&format!("  last {} {}", text(stage, "/last/artifact/tag"), text(stage, "/last/outcome")));
    }
    let port = stage.get("port").and_then(Value::as_u64).map_or_else(String::new, |port| format!(":{port}"));
    format!("{line}\n                 http://{host}{port}/")
}

fn context(args: &ContextArgs) -> Result<String, Undone> {
    let answer: Value = args.admin.get(&format!("/v1/contexts/{}", args.id))?;
    if args.output.is_json() {
        return Ok(format!("{answer:#}\n"));
    }
    let mut lines: Vec<String> = list(&answer, "/entries").iter().map(story::line).collect();
    // Evaluations of deliveries stand among the entries already.
    let alone = list(&answer, "/evaluations").iter().filter(|one| one.get("run").and_then(Value::as_u64) == Some(0));
    lines.extend(alone.map(|one| format!("evaluation of {}: [{}] {}", text(one, "/stage"), text(one, "/verdict"), text(one, "/reason"))));
    if answer.get("evaluating").and_then(Value::as_bool) == Some(true) {
        lines.push("an evaluation is under way".to_owned());
    }
    Ok(lines.join("\n") + "\n")
}

fn evaluation(args: &EvaluationArgs) -> Result<String, Undone> {
    let answer: Value = args.admin.get(&format!("/v1/contexts/{}", args.context))?;
    let event = done(&answer, &args.context);
    let event = event.ok_or_else(|| Undone::Here(format!("nothing was evaluated under the context {} yet", args.context)))?;
    Ok(format!("{event:#}\n"))
}
