//! What an event means to the pipeline, whichever era wrote it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::formats::evaluation_window::{self, Window};

/// An event as the pipeline sees it; the event itself keeps everything else.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A new artifact arrives.
    NewArtifact(NewArtifact),
    /// A share of the traffic is asked for by hand.
    CanaryWeight(CanaryWeight),
    /// The version on trial is to become the live one.
    Promote(Subject),
    /// The version on trial is to go.
    Discard(Subject),
    /// Somebody deployed, or failed to.
    DeploymentFinished(DeploymentFinished),
    /// Somebody tested.
    TestsFinished(TestsFinished),
    /// An evaluation is asked for.
    StartEvaluation(StartEvaluation),
    /// Somebody evaluated.
    EvaluationDone(EvaluationDone),
    /// Somebody approved, or declined.
    ApprovalFinished(ApprovalFinished),
    /// A monitoring tool opens or closes a problem.
    Problem(ProblemNotice),
    /// Any other type of event.
    Other {
        /// The type.
        kind: String,
    },
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The project.
    pub project: String,
    /// The stage.
    pub stage: String,
    /// The service.
    pub service: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A new artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewArtifact {
    /// The project.
    pub project: String,
    /// The stage, `None` for the first one.
    pub stage: Option<String>,
    /// The service.
    pub service: String,
    /// The image, perhaps with its tag.
    pub image: String,
    /// The tag, where it stands beside the image.
    pub tag: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A share of the traffic for the version on trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryWeight {
    /// What it is about.
    pub subject: Subject,
    /// Another image, where there is one.
    pub image: Option<String>,
    /// The share in per cent, 0 to 100.
    pub weight: u8,
}

/// The end of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentFinished {
    /// What it is about.
    pub subject: Subject,
    /// Whether it went well.
    pub succeeded: bool,
    /// The image, where it is said.
    pub image: Option<String>,
    /// The tag, where it is said.
    pub tag: Option<String>,
    /// Where it can be reached from inside, best first.
    pub local_urls: Vec<String>,
    /// Where it can be reached from outside, best first.
    pub public_urls: Vec<String>,
    /// The test strategy, where it is said.
    pub test_strategy: Option<String>,
    /// The deployment strategy, where it is said.
    pub deployment_strategy: Option<String>,
}

/// The end of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestsFinished {
    /// What it is about.
    pub subject: Subject,
    /// Whether it went well; up to 0.5 only a test that did is said to be finished.
    pub passed: bool,
    /// When it began, where that is said.
    pub start: Option<Timestamp>,
    /// When it ended, where that is said.
    pub end: Option<Timestamp>,
    /// The test strategy, where it is said.
    pub test_strategy: Option<String>,
    /// The deployment strategy, where it is said.
    pub deployment_strategy: Option<String>,
}

impl TestsFinished {
    /// Returns when the test ran; without that nobody can say what to evaluate.
    #[must_use]
    pub fn window(&self) -> Option<Window> {
        Window::new(self.start?, self.end?)
    }
}

/// A wish for an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartEvaluation {
    /// What it is about.
    pub subject: Subject,
    /// From when on, where that is said.
    pub start: Option<Timestamp>,
    /// Up to when, where that is said.
    pub end: Option<Timestamp>,
    /// How long, such as `5m`, where that is said.
    pub timeframe: Option<String>,
    /// The test strategy, where it is said.
    pub test_strategy: Option<String>,
    /// The deployment strategy, where it is said.
    pub deployment_strategy: Option<String>,
}

impl StartEvaluation {
    /// Returns the span of time that is meant, `None` when it is not said or empty.
    #[must_use]
    pub fn window(&self, now: Timestamp) -> Option<Window> {
        let length = self.timeframe.as_deref().and_then(|text| evaluation_window::timeframe(text).ok());
        match (self.start, self.end, length) {
            (Some(start), Some(end), _) => Window::new(start, end),
            (Some(start), None, Some(length)) => Window::new(start, start.saturating_add(length).ok()?),
            (None, None, Some(length)) => Window::new(now.saturating_sub(length).ok()?, now),
            _ => None,
        }
    }
}

/// What an evaluation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationResult {
    /// Good.
    Pass,
    /// Good enough, perhaps.
    Warning,
    /// Bad.
    Fail,
    /// Nobody can say.
    Inconclusive,
}

/// The end of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationDone {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub result: EvaluationResult,
    /// Its score, where there is one: per cent from 0.6 on, points before.
    pub score: Option<f64>,
}

/// The end of a wait for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalFinished {
    /// What it is about.
    pub subject: Subject,
    /// Whether it was granted.
    pub approved: bool,
    /// The event that asked for it.
    pub triggered_id: Option<String>,
}

/// A problem that a monitoring tool saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemNotice {
    /// The project, where the tool knows it.
    pub project: Option<String>,
    /// The stage, where the tool knows it.
    pub stage: Option<String>,
    /// The service, where the tool knows it.
    pub service: Option<String>,
    /// Whether it is open, rather than resolved.
    pub open: bool,
    /// What it is called.
    pub title: String,
    /// The tool's id of it.
    pub id: Option<String>,
    /// Where it is described.
    pub url: Option<String>,
}
