//! `send event`: a new artifact, or any event from a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::admin::Admin;
use crate::cli::delivery::evaluation::{StartEvaluationArgs, start_evaluation};
use crate::cli::delivery::outcome::{Undone, end, text};
use crate::cli::delivery::story;
use crate::cli::exit;
use crate::cli::http::Body;
use crate::config::read_text;
use crate::domain::delivery::StageName;
use crate::domain::version::Name;
use crate::formats::cloudevent::{SIGNATURE, STRUCTURED, sign};

/// What can be sent.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Send {
    /// Sends an event.
    Event(EventArgs),
}

/// Sends an event: one of the kinds below, or one from a file.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EventArgs {
    #[command(subcommand)]
    kind: Option<Kind>,
    /// A file with a CloudEvent in JSON.
    #[arg(long, value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    /// The file of the secret that the event is signed with, where the proxy asks for that ('delivery.token_file').
    #[arg(long, value_name = "FILE", requires = "file")]
    token_file: Option<PathBuf>,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Kind {
    /// Delivers an artifact through the stages of its project.
    NewArtifact(NewArtifactArgs),
    /// Judges what a stage's sources say of a time, and delivers nothing.
    StartEvaluation(StartEvaluationArgs),
}

/// Delivers an artifact through the stages of its project.
#[derive(Clone, Debug, clap::Args)]
struct NewArtifactArgs {
    /// The project.
    #[arg(long, value_name = "NAME")]
    project: Name,
    /// The service.
    #[arg(long, value_name = "NAME")]
    service: Name,
    /// The image, perhaps with its tag or digest.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// The stage it is sent to; absent: the first one.
    #[arg(long, value_name = "NAME")]
    stage: Option<StageName>,
    /// Tries it again where it failed, in the stage it is sent to and those after it.
    #[arg(long)]
    retry: bool,
    /// Asks no registry whether the image is there.
    #[arg(long)]
    unchecked: bool,
    /// Waits until its way is over, and tells it: exit code 0 when it passed everywhere, 3 when it did not.
    #[arg(long)]
    wait: bool,
    /// Who sends it.
    #[arg(long, value_name = "WHO", default_value = "operator")]
    actor: String,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn send(Send::Event(args): &Send) -> ExitCode {
    match (&args.kind, &args.file) {
        (Some(Kind::NewArtifact(args)), _) => new_artifact(args),
        (Some(Kind::StartEvaluation(args)), _) => start_evaluation(args),
        (None, Some(file)) => end(from_file(&args.admin, file, args.token_file.as_deref())),
        (None, None) => end(Err(Undone::Here("name a kind of event, or a file with --file".to_owned()))),
    }
}

fn new_artifact(args: &NewArtifactArgs) -> ExitCode {
    let NewArtifactArgs { project, service, image, tag, stage, retry, unchecked, actor, admin, .. } = args;
    let path = format!("/v1/projects/{project}/services/{service}/artifacts");
    let sent =
        admin.post(&path, &json!({"image": image, "tag": tag, "stage": stage, "retry": retry, "unchecked": unchecked, "actor": actor}));
    let context = match sent {
        Ok(answer) => text(&answer, "/keptnContext").to_owned(),
        Err(error) => return end(Err(error.into())),
    };
    let told = end(Ok(format!("ID of keptn context: {context}\n")));
    if !args.wait || told != ExitCode::SUCCESS {
        return told;
    }
    match story::follow(admin, (project, service), &context) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => exit::FAIL.end(),
        Err(why) => {
            eprintln!("error: {why}");
            exit::REFUSED.end()
        }
    }
}

fn from_file(admin: &Admin, file: &Path, token: Option<&Path>) -> Result<String, Undone> {
    let event = read_text(file).map_err(|problem| Undone::Here(problem.to_string()))?;
    let unreadable = |path: &Path, error: std::io::Error| Undone::Here(format!("{}: {error}", path.display()));
    let token = token.map(|path| std::fs::read(path).map_err(|error| unreadable(path, error))).transpose()?;
    // The secret itself does not go over the wire.
    let signature = token.map(|token| sign(token.trim_ascii(), event.as_bytes()));
    let field = signature.as_deref().map(|signature| (SIGNATURE, signature));
    let body = Body { kind: STRUCTURED, bytes: event.into(), field };
    let answer = admin.send_with(http::Method::POST, "/v1/events", body)?;
    let ignored = answer.get("ignored").and_then(Value::as_str).map_or_else(String::new, |why| format!("note: {why}\n"));
    Ok(format!("ID of keptn context: {}\n{ignored}", text(&answer, "/keptnContext")))
}
