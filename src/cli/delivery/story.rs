//! The story of a context: what was decided, line by line, as it happens.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::cli::admin::Admin;
use crate::cli::delivery::outcome::{Undone, list, text};
use crate::cli::figures::harmless;
use crate::domain::version::Name;

/// How often the proxy is asked.
const PERIOD: Duration = Duration::from_millis(250);

/// Returns an entry as one line.
pub(super) fn line(entry: &Value) -> String {
    let at = text(entry, "/at").get(11..19).unwrap_or("        ");
    let artifact = entry.pointer("/artifact/tag").and_then(Value::as_str).or_else(|| entry.pointer("/artifact/digest")?.as_str());
    let word = match (text(entry, "/outcome"), text(entry, "/phase")) {
        ("", phase) => phase,
        (outcome, _) => outcome,
    };
    let verdict = match text(entry, "/verdict") {
        "" => String::new(),
        verdict => format!(" [{verdict}]"),
    };
    let (stage, reason) = (text(entry, "/stage"), text(entry, "/reason"));
    format!("{at}  {stage:<12} {:<10} {word:<12}{verdict} {reason}", artifact.unwrap_or_default())
}

/// Prints the story as it happens until its way is over; says whether the artifact passed everywhere it came.
pub(super) fn follow(admin: &Admin, of: (&Name, &Name), context: &str) -> Result<bool, Undone> {
    let (mut shown, mut out) = (0, std::io::stdout().lock());
    loop {
        // The service is looked at first: what ends after that is in the story that is read next.
        let over = is_over(admin, of, context)?;
        let story: Value = admin.get(&format!("/v1/contexts/{context}")).or_else(|error| match error {
            crate::cli::remote::RemoteError::Refused(_) => Ok(Value::Null),
            other => Err(other),
        })?;
        let entries = list(&story, "/entries");
        for entry in entries.iter().skip(shown) {
            let told = writeln!(out, "{}", harmless(&line(entry))).and_then(|()| out.flush());
            told.map_err(|error| Undone::Here(format!("cannot write: {error}")))?;
        }
        shown = entries.len();
        if over && !entries.is_empty() {
            let ends = entries.iter().filter(|entry| !text(entry, "/outcome").is_empty());
            return Ok(ends.clone().count() > 0 && ends.into_iter().all(|entry| text(entry, "/outcome") == "passed"));
        }
        std::thread::sleep(PERIOD);
    }
}

/// Says whether no stage has anything of a context on trial or waiting any more.
fn is_over(admin: &Admin, (project, service): (&Name, &Name), context: &str) -> Result<bool, Undone> {
    let all: Value = admin.get("/v1/projects")?;
    let named = |value: &&Value, key: &str, name: &Name| value.get(key).and_then(Value::as_str) == Some(name.as_str());
    let project = list(&all, "/projects").iter().find(|one| named(one, "project", project));
    let service = project.and_then(|project| list(project, "/services").iter().find(|one| named(one, "service", service)));
    let Some(service) = service else { return Ok(true) };
    let runs = list(service, "/stages").iter().any(|stage| text(stage, "/run/keptnContext") == context);
    let waiting = |stage: &Value| list(stage, "/queue").iter().any(|waiting| text(waiting, "/keptnContext") == context);
    Ok(!runs && !list(service, "/stages").iter().any(waiting))
}
