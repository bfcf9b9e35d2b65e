//! `send event start-evaluation`, and what `get event evaluation-done` shows of an evaluation.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin::Admin;
use crate::cli::delivery::outcome::{Undone, end, list, text};
use crate::cli::exit;
use crate::cli::figures::harmless;
use crate::domain::delivery::StageName;
use crate::domain::version::Name;

/// How often the proxy is asked.
const PERIOD: Duration = Duration::from_millis(250);

/// Judges what a stage's sources say of a time, and delivers nothing; without a time, of the last five minutes.
#[derive(Clone, Debug, clap::Args)]
pub struct StartEvaluationArgs {
    /// The project.
    #[arg(long, value_name = "NAME")]
    project: Name,
    /// The service.
    #[arg(long, value_name = "NAME")]
    service: Name,
    /// The stage.
    #[arg(long, value_name = "NAME")]
    stage: StageName,
    /// The length of the time in minutes, such as 5m; it ends now unless --start is given.
    #[arg(long, value_name = "MINUTES")]
    timeframe: Option<String>,
    /// Its start in UTC, such as 2026-01-31T12:00:00.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Its end, in the same manner.
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// The context it is kept under; absent: a new one.
    #[arg(long = "keptn-context", value_name = "ID")]
    context: Option<String>,
    /// Waits for the verdict and tells it: exit code 0 for pass or warning, 3 for anything else.
    #[arg(long)]
    wait: bool,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// Runs the command and returns its exit code.
pub(super) fn start_evaluation(args: &StartEvaluationArgs) -> ExitCode {
    let StartEvaluationArgs { project, service, stage, timeframe, start, end: until, context, admin, wait } = args;
    let path = format!("/v1/projects/{project}/services/{service}/stages/{stage}/evaluations");
    let wish = json!({"timeframe": timeframe, "start": start, "end": until, "context": context});
    let context = match admin.post(&path, &wish) {
        Ok(answer) => text(&answer, "/keptnContext").to_owned(),
        Err(error) => return end(Err(error.into())),
    };
    let told = end(Ok(format!("ID of keptn context: {context}\n")));
    if !wait || told != ExitCode::SUCCESS {
        return told;
    }
    match follow(admin, &context) {
        Ok(evaluation) => {
            let verdict = text(&evaluation, "/verdict");
            let told = end(Ok(format!("{verdict}: {}\n", text(&evaluation, "/reason"))));
            let passed = ["pass", "warning"].contains(&verdict);
            if passed || told != ExitCode::SUCCESS { told } else { exit::FAIL.end() }
        }
        Err(why) => {
            eprintln!("error: {}", harmless(&why.to_string()));
            exit::REFUSED.end()
        }
    }
}

/// Waits until the evaluation of a context is made, and returns it.
fn follow(admin: &Admin, context: &str) -> Result<Value, Undone> {
    loop {
        // It is known from the moment it was accepted, unless the proxy has ended meanwhile.
        let story: Value = admin.get(&format!("/v1/contexts/{context}"))?;
        if story.get("evaluating").and_then(Value::as_bool) != Some(true) {
            let last = list(&story, "/evaluations").last().cloned();
            return last.ok_or_else(|| Undone::Here("the evaluation was made and not kept; see the log of the proxy".to_owned()));
        }
        std::thread::sleep(PERIOD);
    }
}

/// Returns the last evaluation of a story as keptn 0.4 told it; nothing where there is none.
pub(super) fn done(story: &Value, context: &str) -> Option<Value> {
    let judged = |entry: &&Value| entry.get("verdict").is_some_and(|verdict| !verdict.is_null());
    let evaluations = list(story, "/evaluations");
    let entry = list(story, "/entries").iter().rev().find(judged);
    // What the sources said belongs to the run and the stage that it judged.
    let of_entry = |entry: &&Value| evaluations.iter().rev().find(|one| ["run", "stage"].iter().all(|key| one.get(key) == entry.get(key)));
    let evaluation = entry.as_ref().map_or_else(|| evaluations.last(), of_entry);
    let last = entry.or(evaluation)?;
    let mut details = evaluation.and_then(|one| one.get("report")).and_then(Value::as_object).cloned().unwrap_or_default();
    let verdict = text(last, "/verdict");
    details.insert("result".to_owned(), verdict.into());
    details.insert("message".to_owned(), text(last, "/reason").into());
    if let Some(evaluation) = evaluation {
        details.insert("timeStart".to_owned(), text(evaluation, "/start").into());
        details.insert("timeEnd".to_owned(), text(evaluation, "/end").into());
    }
    Some(json!({
        "type": "sh.keptn.events.evaluation-done", "shkeptncontext": context,
        "data": {
            "project": text(last, "/project"), "stage": text(last, "/stage"), "service": text(last, "/service"),
            "evaluationpassed": verdict == "pass", "evaluationdetails": details,
        },
    }))
}
