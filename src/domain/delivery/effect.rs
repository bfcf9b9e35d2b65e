//! What the engine must do for a delivery, in the order given.

use std::time::Duration;

use crate::domain::delivery::artifact::Artifact;
use crate::domain::delivery::event::{TestReport, Ticket};
use crate::domain::delivery::record::{Deployment, Entry, Outcome, Record};
use crate::domain::delivery::shipyard::{StageName, TestStrategy};
use crate::domain::gate::Verdict;
use crate::domain::rollout::Schedule;

/// What the world is told, in keptn's words where it had them.
#[derive(Clone, Debug, PartialEq)]
pub enum Announcement {
    /// The artifact has come to the stage (`new-artifact`, `delivery.triggered`).
    NewArtifact,
    /// The stage's configuration names it now (`configuration-changed`, `deployment.triggered`).
    ConfigurationChanged,
    /// It is up (`deployment-finished`).
    DeploymentFinished,
    /// Its tests are over (`tests-finished`).
    TestsFinished(TestReport),
    /// It is judged (`evaluation-done`).
    EvaluationDone {
        /// How.
        verdict: Verdict,
        /// Why, one plain sentence.
        reason: String,
    },
    /// Somebody must let it in (`approval.triggered`).
    ApprovalTriggered,
    /// Somebody did or did not (`approval.finished`).
    ApprovalFinished {
        /// Whether it was let in.
        approved: bool,
        /// Who, `deadline` where nobody did.
        actor: String,
    },
    /// The traffic is back on what served before (`rollback.finished`).
    RolledBack {
        /// Why, one plain sentence.
        reason: String,
    },
    /// The artifact's way through the stage is over (`{stage}.delivery.finished`).
    Finished {
        /// How.
        outcome: Outcome,
        /// Why, one plain sentence.
        reason: String,
    },
}

/// What the engine must do. Whatever has a ticket is answered with it, once; it may be asked again after a restart with a
/// larger attempt, and must then do no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this durably and in the order of the numbers, then answer with `Persisted` or `PersistFailed`.
    Persist {
        /// The number of the write, growing.
        number: u64,
        /// What is kept.
        record: Box<Record>,
        /// What the journal says, in its order.
        entries: Vec<Entry>,
    },
    /// Bring the candidate up without traffic; `Deployed` or `DeployFailed`.
    Deploy {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// What.
        deployment: Deployment,
    },
    /// Check the candidate's health; `Healthy` or `Unhealthy`.
    CheckHealth {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// What.
        deployment: Deployment,
    },
    /// Send all ordinary traffic of the stage to this deployment, or nowhere; `Switched` or `SwitchFailed`.
    Switch {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// To what; `None` takes the stage's service away.
        to: Option<Deployment>,
    },
    /// Run the tests, their requests forced onto the deployment, so that they are told apart from those of users; `TestEnded` or
    /// `TestLost`.
    Test {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// What is tested.
        deployment: Deployment,
        /// Which tests.
        strategy: TestStrategy,
    },
    /// Stop the tests of this ticket; no answer is awaited.
    StopTest {
        /// The ticket of the test.
        ticket: Ticket,
        /// Where.
        stage: StageName,
    },
    /// Ask the gate; `Evaluated`.
    Evaluate {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// What is judged.
        deployment: Deployment,
        /// The tests it is judged by; `None` where ordinary traffic must do.
        strategy: Option<TestStrategy>,
    },
    /// Move the traffic from what is live by a rollout under the gates; `RolloutEnded`. One run has one rollout: asked
    /// again, the engine goes on with it or says how it ended.
    Rollout {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// To what.
        deployment: Deployment,
        /// By which steps.
        schedule: Schedule,
    },
    /// End the rollout of this ticket with nothing for the candidate; no answer is awaited.
    AbortRollout {
        /// The ticket of the rollout.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// Why.
        reason: String,
    },
    /// Take a deployment away that gets no traffic any more, after its requests are done; `Retired`.
    Retire {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// What.
        deployment: Deployment,
    },
    /// Ask somebody to let the artifact in; `Approved` or `Denied`.
    AwaitApproval {
        /// Whom the answer belongs to.
        ticket: Ticket,
        /// Where.
        stage: StageName,
        /// What.
        artifact: Artifact,
        /// How it was judged in the stage before.
        from: Option<Verdict>,
        /// How long is waited.
        within: Duration,
    },
    /// Tell other systems. The same announcement of the same run may come again after a restart.
    Emit {
        /// The run.
        run: u64,
        /// The context of the delivery.
        context: String,
        /// Where.
        stage: StageName,
        /// What it is about.
        artifact: Artifact,
        /// What is told.
        announcement: Announcement,
    },
    /// Tell people.
    Notify {
        /// One plain sentence.
        sentence: String,
        /// Whether somebody should look.
        alarm: bool,
    },
}
