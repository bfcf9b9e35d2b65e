//! The command itself: follows the events of the proxy, shows them, and sets the exit code.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::admin::journal::Line;
use crate::cli::admin::Admin;
use crate::cli::exit::{self, Exit};
use crate::cli::figures::harmless;
use crate::cli::output::Output;
use crate::cli::remote::RemoteError;
use crate::cli::watch::feed::{Event, Feed};
use crate::cli::watch::picture::Picture;
use crate::cli::watch::view::Moment;
use crate::control::status::ServiceStatus;
use crate::domain::rollout::{Entry, Phase};
use crate::domain::version::Name;
use crate::telemetry::history::Point;

/// How long a proxy that has answered before may be away.
const AWAY: Duration = Duration::from_secs(30);
/// How long to wait before it is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows a rollout live: shares, latencies of both versions, evidence on the way to its threshold, and what comes next.
///
/// On a terminal the picture is redrawn in place, elsewhere there is a line whenever something changes, and at least every ten seconds.
/// It ends with the rollout; one that is over already is told at once, and without any it waits.
/// Exit code: 0 when it was promoted, 3 when it was rolled back or aborted, 4 when it was not over after --for, 2 when the proxy
/// does not answer or knows no such service.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis watch carts --for 2h && echo promoted")]
pub struct WatchArgs {
    /// The service.
    #[arg(value_name = "SERVICE", default_value = "default")]
    pub service: Name,
    /// How long at most, such as 30m.
    #[arg(long = "for", value_name = "DURATION", value_parser = patience)]
    pub patience: Option<Duration>,
    /// How it is written; JSON is one line for each second.
    #[command(flatten)]
    pub output: Output,
    /// Whom to ask.
    #[command(flatten)]
    pub admin: Admin,
}

fn patience(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "write a number with a unit (s, m or h), such as 30m".to_owned())
}

/// Why it was not followed to its end.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("there is no service {0}; there are {1}")]
    NoService(Name, String),
    #[error("what the proxy tells cannot be read: {0}; is it of this release?")]
    Unreadable(#[from] serde_json::Error),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

#[derive(Deserialize)]
struct Snapshot {
    at: String,
    #[serde(default)]
    judged_ms: u64,
    rollouts: Vec<ServiceStatus>,
    #[serde(default)]
    figures: BTreeMap<String, Point>,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &WatchArgs) -> ExitCode {
    let mut watch = Watch { args, picture: Picture::begin(), after: None };
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Lost::Output);
    let ended = ended.and_then(|runtime| runtime.block_on(watch.follow()));
    watch.picture.end();
    match ended {
        Ok(exit) => exit.end(),
        // Who reads no further has seen enough.
        Err(Lost::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => exit::DONE.end(),
        Err(error) => {
            eprintln!("error: {}", harmless(&error.to_string()));
            exit::REFUSED.end()
        }
    }
}

struct Watch<'w> {
    args: &'w WatchArgs,
    picture: Picture,
    /// The newest transition that was told.
    after: Option<u64>,
}

impl Watch<'_> {
    /// Follows until it is over, the patience ends, or the proxy is away for too long.
    async fn follow(&mut self) -> Result<Exit, Lost> {
        let Some(patience) = self.args.patience else { return self.again_and_again().await };
        match tokio::time::timeout(patience, self.again_and_again()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.picture.say(&format!("{} is not over after {}", self.args.service, crate::domain::time::human(patience)))?;
                Ok(exit::INCONCLUSIVE)
            }
        }
    }

    async fn again_and_again(&mut self) -> Result<Exit, Lost> {
        let admin = self.args.admin.remote()?;
        let mut heard: Option<Instant> = None;
        loop {
            let path = self.after.map_or_else(|| "/v1/events".to_owned(), |after| format!("/v1/events?after={after}"));
            let mut feed = Feed::default();
            let told = admin.follow(&path, |bytes| {
                heard = Some(Instant::now());
                feed.push(bytes).into_iter().find_map(|event| self.take(&event).transpose())
            });
            match told.await {
                Ok(Some(ended)) => return ended,
                // A refusal is an answer; an ended stream may be a restart.
                Err(error @ (RemoteError::Refused(_) | RemoteError::NoAddress(_))) => return Err(error.into()),
                Err(error) if heard.is_none_or(|at| at.elapsed() > AWAY) => return Err(error.into()),
                Ok(None) | Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Shows an event; `Some` when it was the last.
    fn take(&mut self, event: &Event) -> Result<Option<Exit>, Lost> {
        match event.name.as_str() {
            "transition" => {
                let line: Line = serde_json::from_str(&event.data)?;
                self.after = self.after.max(Some(line.sequence));
                let ours = line.entry.filter(|entry| entry.service == self.args.service);
                if let Some(entry) = ours.filter(|_| !self.args.output.is_json()) {
                    self.picture.say(&transition(&entry))?;
                }
                Ok(None)
            }
            "snapshot" => self.moment(&event.data),
            _ => Ok(None),
        }
    }

    fn moment(&mut self, data: &str) -> Result<Option<Exit>, Lost> {
        let snapshot: Snapshot = serde_json::from_str(data)?;
        let name = &self.args.service;
        let Some(service) = snapshot.rollouts.iter().find(|service| service.name == *name) else {
            let known: Vec<&str> = snapshot.rollouts.iter().map(|service| service.name.as_str()).collect();
            return Err(Lost::NoService(name.clone(), if known.is_empty() { "none".to_owned() } else { known.join(", ") }));
        };
        let figures = snapshot.figures.get(name.as_str());
        if self.args.output.is_json() {
            let line = serde_json::json!({"at": snapshot.at, "service": service, "figures": figures});
            writeln!(std::io::stdout().lock(), "{line}")?;
        } else {
            let moment = Moment { service, figures, judged_ms: snapshot.judged_ms };
            let lines = moment.picture(self.picture.has_colour(), self.picture.width());
            self.picture.show(lines, &moment.stand(), &moment.line(&snapshot.at))?;
        }
        let over = service.rollout.as_ref().filter(|rollout| rollout.phase.is_terminal());
        let Some(over) = over else { return Ok(None) };
        if !self.args.output.is_json() {
            self.picture.say(&format!("{name}: {} {}: {}", over.canary.name, over.phase.as_str().replace('_', " "), over.reason))?;
        }
        Ok(Some(if over.phase == Phase::Promoted { exit::DONE } else { exit::FAIL }))
    }
}

/// Writes a line that stays: when, what, by whom and why.
fn transition(entry: &Entry) -> String {
    let at = entry.at.as_deref().unwrap_or_default();
    let share = if entry.from == entry.to { format!("at {}", entry.to) } else { format!("{} → {}", entry.from, entry.to) };
    format!("{at} {} {share} by {}: {}", entry.phase.as_str().replace('_', " "), entry.actor, entry.reason)
}
