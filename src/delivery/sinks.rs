//! Tells other systems what happened, in keptn's events: by a task of its own, again and again until they take it, and never in the
//! way of a decision.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::net::ToSocketAddrs;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::Map;
use tokio::sync::Notify;

use crate::delivery::http as client;
use crate::delivery::judge::Case;
use crate::delivery::spot::Key;
use crate::domain::delivery::{Announcement, Artifact, Outcome, Stage, StageName};
use crate::domain::gate::Verdict;
use crate::formats::cloudevent::{self, About, Era, Evaluation, EvaluationResult, Message, Origin};
use crate::formats::evaluation_window::Window;

/// Who sends the events.
const SOURCE: &str = "portcullis";
/// The most events that wait for one sink; of more the oldest are dropped, and that is told.
const MOST: usize = 10_000;
/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The pause after the first failed attempt; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(60);

/// Everybody who is told.
pub(super) struct Sinks {
    era: Era,
    sinks: Vec<Rc<Sink>>,
}

struct Sink {
    url: http::Uri,
    waiting: RefCell<VecDeque<(String, Bytes)>>,
    more: Notify,
}

impl Sinks {
    /// Begins with the sinks at these URLs; to be called on the engine's thread.
    pub(super) fn new(urls: &[String], era: Era) -> Self {
        let sinks = urls.iter().filter_map(|url| url.parse().ok()).map(|url| {
            let sink = Rc::new(Sink { url, waiting: RefCell::default(), more: Notify::new() });
            tokio::task::spawn_local(Rc::clone(&sink).send());
            sink
        });
        Self { era, sinks: sinks.collect() }
    }

    /// Tells everybody.
    #[expect(clippy::too_many_arguments, reason = "an event names all of it")]
    pub(super) fn emit(
        &self,
        key: &Key,
        run: u64,
        context: &str,
        stage: &StageName,
        written: Option<&Stage>,
        artifact: &Artifact,
        announcement: &Announcement,
        host: &str,
    ) {
        if self.sinks.is_empty() {
            return;
        }
        let labels = BTreeMap::new();
        let about = About {
            project: key.0.as_str(),
            stage: stage.as_str(),
            service: key.1.as_str(),
            image: artifact.image(),
            tag: artifact.tag().or(artifact.digest()).unwrap_or_default(),
            test_strategy: written.and_then(|stage| stage.test.as_ref()).map_or("", |test| test.as_str()),
            deployment_strategy: written.map_or("", |stage| stage.strategy.as_str()),
            labels: &labels,
        };
        // The same announcement of the same run has the same id, so that whoever hears it twice can tell.
        let said = match announcement {
            // The tests and the rollout of a run may both be judged.
            Announcement::EvaluationDone { verdict, reason } => format!("{}-{:08x}", verdict.as_str(), digest(reason)),
            _ => String::new(),
        };
        let id = format!("{context}-{}-{}-{stage}-{run}-{}{said}", key.0, key.1, word(announcement));
        let now = Timestamp::now();
        let origin = Origin { id: &id, source: SOURCE, time: now, context: Some(context), triggered_id: None };
        let url = format!("http://{host}");
        let evaluation;
        let message = match announcement {
            Announcement::NewArtifact => Message::NewArtifact,
            // Whoever deploys by an event learns by this one that its turn has come.
            Announcement::ConfigurationChanged => Message::DeploymentTriggered,
            Announcement::DeploymentFinished => Message::DeploymentFinished { succeeded: true, local_url: &url, public_url: &url },
            Announcement::TestsFinished(report) => Message::TestsFinished { start: now, end: now, passed: report.passed },
            Announcement::EvaluationDone { verdict, reason } => {
                evaluation = judged(*verdict, reason, now);
                Message::EvaluationDone(&evaluation)
            }
            Announcement::Finished { outcome, reason } => {
                if *outcome == Outcome::Passed {
                    let id = format!("{id}-promoted");
                    self.send(&about, Message::Promoted, Origin { id: &id, ..origin });
                }
                Message::Finished { result: result(*outcome), message: reason }
            }
            Announcement::RolledBack { .. } => Message::Discarded,
            Announcement::ApprovalTriggered => Message::ApprovalTriggered { result: EvaluationResult::Pass },
            Announcement::ApprovalFinished { approved, .. } => Message::ApprovalFinished { approved: *approved },
        };
        self.send(&about, message, origin);
    }

    /// Tells everybody of an evaluation that delivered nothing.
    pub(super) fn evaluated(&self, case: &Case, direct: bool, live: Option<&Artifact>, (window, verdict, reason): (Window, Verdict, &str)) {
        let labels = BTreeMap::new();
        let about = About {
            project: case.spot.project.as_str(),
            stage: case.spot.stage.as_str(),
            service: case.spot.service.as_str(),
            image: live.map_or("", Artifact::image),
            tag: live.and_then(|live| live.tag().or(live.digest())).unwrap_or_default(),
            test_strategy: case.strategy.as_deref().unwrap_or_default(),
            deployment_strategy: if direct { "direct" } else { "blue_green_service" },
            labels: &labels,
        };
        let id = format!("{}-{}-evaluation-done", case.context, case.spot.stage);
        let origin = Origin { id: &id, source: SOURCE, time: Timestamp::now(), context: Some(&case.context), triggered_id: None };
        let evaluation = Evaluation { start: window.start, end: window.end, ..judged(verdict, reason, window.end) };
        self.send(&about, Message::EvaluationDone(&evaluation), origin);
    }

    fn send(&self, about: &About<'_>, message: Message<'_>, origin: Origin<'_>) {
        let Some(event) = cloudevent::build(self.era, about, message, origin, &Map::new()) else { return };
        let (kind, body) = (cloudevent::STRUCTURED.to_owned(), Bytes::from(event.to_json().to_string()));
        for sink in &self.sinks {
            let mut waiting = sink.waiting.borrow_mut();
            if waiting.len() >= MOST {
                waiting.pop_front();
                tracing::warn!("{} takes no events; the oldest of {MOST} was dropped", sink.url);
            }
            waiting.push_back((kind.clone(), body.clone()));
            sink.more.notify_one();
        }
    }
}

impl Sink {
    /// Sends one event after the other, each until it is taken.
    async fn send(self: Rc<Self>) {
        let mut pause = FIRST;
        loop {
            let next = self.waiting.borrow().front().cloned();
            let Some((kind, body)) = next else {
                self.more.notified().await;
                continue;
            };
            match self.post(&kind, body.clone()).await {
                Ok(()) => pause = FIRST,
                Err(why) => {
                    tracing::debug!("{} did not take an event: {why}", self.url);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                    continue;
                }
            }
            let mut waiting = self.waiting.borrow_mut();
            // The oldest may have been dropped meanwhile.
            if waiting.front().is_some_and(|(_, first)| *first == body) {
                waiting.pop_front();
            }
        }
    }

    async fn post(&self, kind: &str, body: Bytes) -> Result<(), String> {
        let authority = self.url.authority().ok_or("no host")?;
        let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(80));
        let resolved = tokio::task::spawn_blocking(move || {
            (host.trim_start_matches('[').trim_end_matches(']'), port).to_socket_addrs().ok().and_then(|mut all| all.next())
        });
        let address = resolved.await.ok().flatten().ok_or_else(|| format!("{authority} has no address"))?;
        let request = Request::post(self.url.path_and_query().map_or("/", |path| path.as_str()))
            .header(http::header::HOST, authority.as_str())
            .header(http::header::CONTENT_TYPE, kind)
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let status = client::ask(address, request, WITHIN).await?.status();
        // What is refused for good is not sent again.
        let taken = status.is_success() || (status.is_client_error() && ![408, 425, 429].contains(&status.as_u16()));
        if taken { Ok(()) } else { Err(format!("it answered with {status}")) }
    }
}

/// Returns how the end of a way through a stage is told.
const fn result(outcome: Outcome) -> EvaluationResult {
    match outcome {
        Outcome::Passed => EvaluationResult::Pass,
        Outcome::Failed | Outcome::Denied => EvaluationResult::Fail,
        Outcome::Inconclusive | Outcome::Aborted | Outcome::Superseded | Outcome::Refused => EvaluationResult::Inconclusive,
    }
}

/// Sums a sentence up, so that two are told apart.
fn digest(text: &str) -> u32 {
    text.bytes().fold(17, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

const fn word(announcement: &Announcement) -> &'static str {
    match announcement {
        Announcement::NewArtifact => "new-artifact",
        Announcement::ConfigurationChanged => "configuration-changed",
        Announcement::DeploymentFinished => "deployment-finished",
        Announcement::TestsFinished(_) => "tests-finished",
        Announcement::EvaluationDone { .. } => "evaluation-done",
        Announcement::ApprovalTriggered => "approval-triggered",
        Announcement::ApprovalFinished { .. } => "approval-finished",
        Announcement::RolledBack { .. } => "rolled-back",
        Announcement::Finished { .. } => "finished",
    }
}

fn judged(verdict: Verdict, reason: &str, now: Timestamp) -> Evaluation<'_> {
    let (result, score) = match verdict {
        Verdict::Pass => (EvaluationResult::Pass, 100.0),
        Verdict::Warning => (EvaluationResult::Warning, 75.0),
        Verdict::Fail => (EvaluationResult::Fail, 0.0),
        Verdict::Inconclusive => (EvaluationResult::Inconclusive, 0.0),
    };
    Evaluation {
        start: now,
        end: now,
        result,
        passed: verdict == Verdict::Pass,
        score,
        gate_file: "",
        message: reason,
        indicators: &[],
        compared: &[],
        pitometer: None,
    }
}
