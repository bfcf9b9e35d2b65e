//! What is kept of the delivery of one service across a restart, and what its journal says.

use serde::{Deserialize, Serialize};

use crate::domain::delivery::artifact::Artifact;
use crate::domain::delivery::event::TestReport;
use crate::domain::delivery::shipyard::StageName;
use crate::domain::gate::Verdict;
use crate::domain::version::Name;

/// Where a run stands in its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Somebody must let the artifact in.
    Approval,
    /// The candidate is brought up.
    Deploying,
    /// The candidate's health is checked.
    Checking,
    /// All traffic goes to the candidate.
    Switching,
    /// Tests run.
    Testing,
    /// The gate is asked.
    Evaluating,
    /// A rollout gives the candidate a growing share under the gates.
    Shifting,
    /// All traffic goes back to the live deployment, or nowhere where there is none.
    Returning,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Self::Approval,
        Self::Deploying,
        Self::Checking,
        Self::Switching,
        Self::Testing,
        Self::Evaluating,
        Self::Shifting,
        Self::Returning,
    ];

    /// Returns the word used in the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Deploying => "deploying",
            Self::Checking => "checking",
            Self::Switching => "switching",
            Self::Testing => "testing",
            Self::Evaluating => "evaluating",
            Self::Shifting => "shifting",
            Self::Returning => "returning",
        }
    }
}

/// How an artifact ended in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It owns the stage.
    Passed,
    /// The gate, its tests or its health said no.
    Failed,
    /// Nobody could say; it may be tried again.
    Inconclusive,
    /// An operator stopped it.
    Aborted,
    /// It was not let in, or nobody let it in in time.
    Denied,
    /// A newer artifact took its place before its turn came.
    Superseded,
    /// It was not taken: it has failed before, or too many wait.
    Refused,
}

impl Outcome {
    /// Returns the word used in the API, events and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
            Self::Aborted => "aborted",
            Self::Denied => "denied",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
        }
    }
}

/// An artifact in a stage, running or about to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Its number within the service; the number of the run that brought it.
    pub id: u64,
    /// What runs.
    pub artifact: Artifact,
    /// What it is called in its stage: the version, with the number where another deployment there has that name.
    pub name: Name,
}

/// The deployment that owns a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// The deployment.
    pub deployment: Deployment,
    /// The context it came with.
    pub context: String,
    /// How it was judged in this stage; `None` where nothing judged it.
    pub verdict: Option<Verdict>,
}

/// One artifact on trial in one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its number within the service, growing.
    pub id: u64,
    /// The number of the run that began its delivery; a larger one is newer.
    pub delivery: u64,
    /// The context of the event that began the delivery; the same in every stage.
    pub context: String,
    /// How it was judged in the stage before; `None` where it was sent to this stage.
    #[serde(default)]
    pub from: Option<Verdict>,
    /// What is on trial.
    pub candidate: Deployment,
    /// Where it stands.
    pub phase: Phase,
    /// The number of the last effect that awaits an answer.
    pub attempt: u32,
    /// How often it was begun again after a restart.
    #[serde(default)]
    pub restarts: u32,
    /// Whether the candidate may have ordinary traffic.
    pub shifted: bool,
    /// Whether the candidate was found healthy.
    pub healthy: bool,
    /// What its tests said.
    #[serde(default)]
    pub tests: Option<TestReport>,
    /// How it was judged.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// While it returns: how it will end.
    #[serde(default)]
    pub ends: Option<Outcome>,
    /// Why it stands there, one plain sentence.
    pub reason: String,
}

/// An artifact that waits for a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// The number of its run.
    pub id: u64,
    /// The number of the run that began its delivery; a larger one is newer.
    pub delivery: u64,
    /// The context it came with.
    pub context: String,
    /// What waits.
    pub artifact: Artifact,
    /// How it was judged in the stage before; `None` where it was sent to this stage.
    pub from: Option<Verdict>,
    /// Whether somebody must approve because the stage before held its warning.
    #[serde(default)]
    pub held: bool,
}

/// How the last run of a stage ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// The run.
    pub run: u64,
    /// The context it came with.
    pub context: String,
    /// What was on trial.
    pub artifact: Artifact,
    /// How it ended.
    pub outcome: Outcome,
    /// How it was judged.
    pub verdict: Option<Verdict>,
    /// Why, one plain sentence.
    pub reason: String,
}

/// One stage of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// The stage.
    pub stage: StageName,
    /// The deployment that owns it; while a run is on trial the one to go back to.
    pub live: Option<Live>,
    /// What is on trial.
    pub run: Option<Run>,
    /// What waits, in its order.
    #[serde(default)]
    pub queue: Vec<Waiting>,
    /// Deployments that are being taken away.
    #[serde(default)]
    pub leaving: Vec<Deployment>,
    /// Deployments that the traffic could not be taken from; they leave when another one owns the stage.
    #[serde(default)]
    pub stranded: Vec<Deployment>,
    /// Artifacts that failed here and are not tried again unless asked; the newest 100.
    #[serde(default)]
    pub rejected: Vec<Artifact>,
    /// How the last run ended.
    #[serde(default)]
    pub last: Option<Finished>,
}

impl Lane {
    /// Makes the lane of a stage that nothing has reached.
    #[must_use]
    pub const fn new(stage: StageName) -> Self {
        Self {
            stage,
            live: None,
            run: None,
            queue: Vec::new(),
            leaving: Vec::new(),
            stranded: Vec::new(),
            rejected: Vec::new(),
            last: None,
        }
    }

    /// Returns the deployment that is to have the ordinary traffic when a process begins: the live one, else a first
    /// candidate that had it.
    #[must_use]
    pub fn serving(&self) -> Option<&Deployment> {
        let first = || self.run.as_ref().filter(|run| run.shifted && run.phase != Phase::Returning).map(|run| &run.candidate);
        self.live.as_ref().map(|live| &live.deployment).or_else(first)
    }
}

/// The delivery of one service as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The project.
    pub project: Name,
    /// The service.
    pub service: Name,
    /// The number of the next run.
    pub next: u64,
    /// The stages, those that the shipyard no longer has included.
    pub lanes: Vec<Lane>,
}

impl Record {
    /// Returns one stage of the service.
    #[must_use]
    pub fn lane(&self, stage: &StageName) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.stage == *stage)
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The project.
    pub project: Name,
    /// The service.
    pub service: Name,
    /// The stage.
    pub stage: StageName,
    /// The context of the delivery.
    pub context: String,
    /// The run; 0 for an artifact that was refused.
    pub run: u64,
    /// When it was written, RFC 3339 in UTC by the wall clock, for people; the store fills it in.
    #[serde(default)]
    pub at: Option<String>,
    /// The artifact.
    pub artifact: Artifact,
    /// Who decided: `delivery`, `tests`, `gate`, `sources`, `plan`, `deployer`, `restart`, `deadline`, or the operator's name.
    pub actor: String,
    /// Where the run stands after the change; `None` while it waits and after its end.
    pub phase: Option<Phase>,
    /// How the run ended, where it did.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// How the artifact was judged so far.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Why, one plain sentence.
    pub reason: String,
}
