//! What other systems are told of a delivery: announcements as keptn's events, each with an id of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Map;

use crate::delivery::digest;
use crate::delivery::judge::Case;
use crate::delivery::spot::Spot;
use crate::domain::delivery::{Announcement, Artifact, Outcome, Stage};
use crate::domain::gate::Verdict;
use crate::formats::cloudevent::{self, About, Era, Evaluation, EvaluationResult, Message, Origin};
use crate::formats::evaluation_window::Window;
use crate::store::Letter;

/// Who sends the events.
const SOURCE: &str = "portcullis";

/// What an announcement is about.
pub(super) struct Subject<'a> {
    pub(super) spot: &'a Spot,
    pub(super) run: u64,
    pub(super) context: &'a str,
    /// The stage as its shipyard has it.
    pub(super) written: Option<&'a Stage>,
    pub(super) artifact: &'a Artifact,
    /// The host name of the stage.
    pub(super) host: &'a str,
}

/// Makes the events of an announcement, none where the era has none for it. The same announcement of the same run has the same ids, so
/// that whoever hears it twice can tell.
pub(super) fn letters(era: Era, subject: &Subject<'_>, announcement: &Announcement) -> Vec<Letter> {
    let Subject { spot, run, context, written, artifact, host } = subject;
    let (project, service, stage) = (&spot.project, &spot.service, &spot.stage);
    let labels = BTreeMap::new();
    let about = About {
        project: project.as_str(),
        stage: stage.as_str(),
        service: service.as_str(),
        image: artifact.image(),
        tag: artifact.tag().or(artifact.digest()).unwrap_or_default(),
        test_strategy: written.and_then(|stage| stage.test.as_ref()).map_or("", |test| test.as_str()),
        deployment_strategy: written.map_or("", |stage| stage.strategy.as_str()),
        labels: &labels,
    };
    let said = match announcement {
        // The tests and the rollout of a run may both be judged.
        Announcement::EvaluationDone { verdict, reason } => {
            let reason = digest::sha256(reason.as_bytes());
            format!("{}-{}", verdict.as_str(), reason.get(..8).unwrap_or_default())
        }
        _ => String::new(),
    };
    let id = format!("{context}-{project}-{service}-{stage}-{run}-{}{said}", word(announcement));
    let now = Timestamp::now();
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
        Announcement::Finished { outcome, reason } => Message::Finished { result: result(*outcome), message: reason },
        Announcement::RolledBack { .. } => Message::Discarded,
        Announcement::ApprovalTriggered => Message::ApprovalTriggered { result: EvaluationResult::Pass },
        Announcement::ApprovalFinished { approved, .. } => Message::ApprovalFinished { approved: *approved },
    };
    let of = |id: String, message| sealed(era, &about, message, (id, context, now));
    let released = matches!(announcement, Announcement::Finished { outcome: Outcome::Passed, .. });
    let released = released.then(|| of(format!("{id}-promoted"), Message::Promoted)).flatten();
    released.into_iter().chain(of(id, message)).collect()
}

/// Makes the event of an evaluation that delivered nothing.
pub(super) fn evaluated(
    era: Era,
    case: &Case,
    direct: bool,
    live: Option<&Artifact>,
    (window, verdict, reason): (Window, Verdict, &str),
) -> Option<Letter> {
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
    let evaluation = Evaluation { start: window.start, end: window.end, ..judged(verdict, reason, window.end) };
    sealed(era, &about, Message::EvaluationDone(&evaluation), (id, &case.context, Timestamp::now()))
}

fn sealed(era: Era, about: &About<'_>, message: Message<'_>, (id, context, time): (String, &str, Timestamp)) -> Option<Letter> {
    let origin = Origin { id: &id, source: SOURCE, time, context: Some(context), triggered_id: None };
    let event = cloudevent::build(era, about, message, origin, &Map::new())?;
    let (kind, body) = (cloudevent::STRUCTURED.to_owned(), event.to_json().to_string());
    Some(Letter { id, kind, body, hold: None })
}

/// Returns how the end of a way through a stage is told.
const fn result(outcome: Outcome) -> EvaluationResult {
    match outcome {
        Outcome::Passed => EvaluationResult::Pass,
        Outcome::Failed | Outcome::Denied => EvaluationResult::Fail,
        Outcome::Inconclusive | Outcome::Aborted | Outcome::Superseded | Outcome::Refused => EvaluationResult::Inconclusive,
    }
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
