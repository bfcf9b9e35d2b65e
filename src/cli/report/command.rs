//! The commands themselves: ask for the past of a service, write it, and set the exit code.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::admin::journal::Line;
use crate::cli::admin::Admin;
use crate::cli::exit;
use crate::cli::figures::{columns, harmless};
use crate::cli::output::Output;
use crate::cli::report::page::page;
use crate::cli::report::past::{Past, thinned};
use crate::cli::report::tables::{self, DECISIONS, MOMENTS};
use crate::cli::why::source::SourceError;
use crate::cli::why::story::{Target, Untold};
use crate::domain::version::Name;
use crate::seam::clock::wall;

/// The most rows of figures.
const ROWS: usize = 20;

/// Shows what was decided for a service, and how its versions answered lately.
///
/// Exit code: 0 when it was told, 2 when the proxy does not answer or knows no such service.
#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// The service.
    #[arg(value_name = "SERVICE", default_value = "default")]
    pub service: Name,
    /// How many of the newest decisions.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// How it is written.
    #[command(flatten)]
    pub output: Output,
    /// Whom to ask.
    #[command(flatten)]
    pub admin: Admin,
}

/// Writes a rollout as one HTML page: what was decided and why, the evidence, and how both versions answered.
///
/// The page stands alone: it has no script and asks for nothing from elsewhere.
/// Exit code: 0 when it was written, 2 when there is no such rollout or no journal to read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis report carts/0.8.2 > carts.html")]
pub struct ReportArgs {
    /// The rollout, by its number or the name of the version on trial; absent: the newest of the service.
    #[arg(value_name = "SERVICE[/ROLLOUT]", default_value = "default")]
    pub target: Target,
    /// Whom to ask.
    #[command(flatten)]
    pub admin: Admin,
    /// The state folder of a proxy that has ended; it is only read, and has no figures over time.
    #[arg(long, value_name = "FOLDER", conflicts_with = "admin")]
    pub state: Option<PathBuf>,
}

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Untold(#[from] Untold),
}

/// Tells the history and returns the exit code.
#[must_use]
pub fn history(args: &HistoryArgs) -> ExitCode {
    end(Past::ask(&args.admin, &args.service).map(|past| told(&past, args)).map_err(Stop::Source))
}

/// Writes the report and returns the exit code.
#[must_use]
pub fn report(args: &ReportArgs) -> ExitCode {
    let past = match &args.state {
        Some(folder) => Past::read(folder),
        None => Past::ask(&args.admin, &args.target.service),
    };
    let written = past.map_err(Stop::Source).and_then(|past| {
        let story = past.story(&args.target)?;
        Ok(page(&story, &past.points(&story), &wall()))
    });
    end(written)
}

fn end(text: Result<String, Stop>) -> ExitCode {
    match text.map(|text| std::io::stdout().lock().write_all(text.as_bytes())) {
        Ok(Ok(())) => exit::DONE.end(),
        Ok(Err(error)) => {
            eprintln!("error: cannot write the answer: {error}\n  hint: send the output to a file or a reader that stays");
            exit::REFUSED.end()
        }
        Err(error) => {
            eprintln!("error: {}", harmless(&error.to_string()));
            exit::REFUSED.end()
        }
    }
}

fn told(past: &Past, args: &HistoryArgs) -> String {
    let from = past.journal.entries.len().saturating_sub(args.last);
    let decisions = past.journal.entries.get(from..).unwrap_or_default();
    if args.output.is_json() {
        let all = past.journal.complete && from == 0;
        return format!("{:#}\n", json!({"decisions": decisions, "complete": all, "history": past.chart}));
    }
    let decision = |line: &Line| match (&line.entry, &line.unreadable) {
        (Some(entry), _) => tables::decision(line.sequence, entry),
        (None, why) => vec![line.sequence.to_string(), format!("cannot be read: {}", why.as_deref().unwrap_or_default())],
    };
    let head = |heads: &[&str]| std::iter::once(heads.iter().map(|head| (*head).to_owned()).collect());
    let rows: Vec<Vec<String>> = head(&DECISIONS).chain(decisions.iter().map(decision)).collect();
    let mut text = format!("{}: what was decided\n{}", args.service, columns("  ", &rows));
    if from > 0 || !past.journal.complete {
        text.push_str("  older decisions are not shown\n");
    }
    let points: Vec<_> = past.chart.points.iter().collect();
    if let Some(status) = &past.status {
        let versions = status.rollout.as_ref().map_or_else(String::new, |r| format!(", {} against {}", r.canary.name, r.stable.name));
        text.push_str(&format!("\nhow both versions answered, over {} s each{versions}\n", past.chart.window_seconds));
    }
    let rows: Vec<Vec<String>> = head(&MOMENTS).chain(thinned(&points, ROWS).into_iter().map(tables::moment)).collect();
    text.push_str(&if points.is_empty() { "  nothing yet\n".to_owned() } else { columns("  ", &rows) });
    harmless(&text)
}
