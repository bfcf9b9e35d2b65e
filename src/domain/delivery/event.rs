//! What can happen to a delivery, and how long an answer may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::delivery::artifact::Artifact;
use crate::domain::delivery::shipyard::StageName;
use crate::domain::gate::Verdict;

/// Which effect an answer belongs to; answers to anything but the last effect of a run are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket {
    /// The run; the deployment's number where one is retired.
    pub run: u64,
    /// The number of the effect within the run, growing.
    pub attempt: u32,
}

/// What a test run has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestReport {
    /// Whether the tests passed by their own rules.
    pub passed: bool,
    /// Whether they were stopped because the gate had already decided.
    pub stopped_early: bool,
    /// How many requests were sent.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// What there is to say about it, one plain sentence.
    pub reason: String,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RolloutEnd {
    /// The candidate owns the traffic.
    Promoted,
    /// The candidate owns the traffic, and whoever judged it has warned of it.
    Warned,
    /// A gate was breached, or the sources behind the gate file were against it; the candidate has nothing.
    RolledBack,
    /// It was stopped for another reason; the candidate has nothing.
    Aborted,
}

impl RolloutEnd {
    /// Says whether the candidate owns the traffic.
    #[must_use]
    pub const fn is_promoted(self) -> bool {
        matches!(self, Self::Promoted | Self::Warned)
    }
}

/// What can happen to a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An artifact arrives.
    Artifact {
        /// The context that follows it through every stage.
        context: String,
        /// The artifact.
        artifact: Artifact,
        /// The stage it is sent to; the first one where none is named.
        stage: Option<StageName>,
        /// Whether it may be tried again in a stage where it failed.
        retry: bool,
        /// Who sent it.
        actor: String,
    },
    /// The candidate is up.
    Deployed(Ticket),
    /// The candidate could not be brought up.
    DeployFailed(Ticket, String),
    /// The candidate is healthy.
    Healthy(Ticket),
    /// The candidate is not healthy.
    Unhealthy(Ticket, String),
    /// The traffic goes where it was sent.
    Switched(Ticket),
    /// The traffic could not be sent there.
    SwitchFailed(Ticket, String),
    /// The tests are over.
    TestEnded(Ticket, TestReport),
    /// The tests could not run, or what they said cannot be read.
    TestLost(Ticket, String),
    /// The gate has spoken.
    Evaluated {
        /// The effect it answers.
        ticket: Ticket,
        /// What it said.
        verdict: Verdict,
        /// Why, one plain sentence.
        reason: String,
    },
    /// The rollout is over.
    RolloutEnded {
        /// The effect it answers.
        ticket: Ticket,
        /// How.
        end: RolloutEnd,
        /// Who ended it: the plan, a gate, the sources, an operator.
        actor: String,
        /// Why, one plain sentence.
        reason: String,
    },
    /// A deployment is gone.
    Retired(Ticket),
    /// Somebody lets a run in; its attempt does not matter.
    Approved {
        /// The run.
        run: u64,
        /// Who.
        actor: String,
    },
    /// Somebody does not let a run in; its attempt does not matter.
    Denied {
        /// The run.
        run: u64,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Somebody stops what is on trial and what waits.
    Abort {
        /// In this stage only.
        stage: Option<StageName>,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Time has passed; to be given about once a second.
    Tick,
    /// The process has begun with what was kept; to be given once, after [`crate::domain::delivery::Delivery::restore`].
    Restored,
    /// The write of this number is durable.
    Persisted(u64),
    /// The write of this number failed, with the reason.
    PersistFailed(u64, String),
}

/// How long each effect may take before it counts as unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// To let an artifact in; it ends as denied.
    pub approval: Duration,
    /// To bring a candidate up.
    pub deploy: Duration,
    /// To check its health.
    pub check: Duration,
    /// To send all traffic somewhere.
    pub switch: Duration,
    /// To run the tests.
    pub test: Duration,
    /// To ask the gate.
    pub evaluate: Duration,
    /// For a whole rollout.
    pub rollout: Duration,
    /// To take a deployment away.
    pub retire: Duration,
    /// To make a change durable, all attempts together.
    pub write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            approval: minutes(24 * 60),
            deploy: minutes(10),
            check: minutes(2),
            switch: Duration::from_secs(30),
            test: minutes(60),
            evaluate: minutes(10),
            rollout: minutes(7 * 24 * 60),
            retire: minutes(5),
            write: minutes(1),
        }
    }
}
