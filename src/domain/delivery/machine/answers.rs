//! How a delivery takes in the answers to its effects.

use crate::domain::delivery::course;
use crate::domain::delivery::effect::{Announcement, Effect};
use crate::domain::delivery::event::{Event, RolloutEnd, TestReport, Ticket};
use crate::domain::delivery::machine::{Change, Delivery, ticket};
use crate::domain::delivery::record::{Outcome, Phase};
use crate::domain::delivery::shipyard::Mode;
use crate::domain::gate::Verdict;
use crate::domain::time::Timestamp;

impl Delivery {
    pub(super) fn answered(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        match event {
            Event::Deployed(ticket) => match self.open(ticket, Phase::Deploying) {
                Some(lane) => self.deployed(now, lane),
                None => Vec::new(),
            },
            Event::DeployFailed(ticket, why) => {
                let reason = |version: &str, stage: &str| format!("{version} could not be deployed to {stage}: {why}");
                self.gave_up(now, (ticket, Phase::Deploying), Outcome::Inconclusive, "deployer", reason)
            }
            Event::Healthy(ticket) => match self.open(ticket, Phase::Checking) {
                Some(lane) => self.healthy(now, lane),
                None => Vec::new(),
            },
            Event::Unhealthy(ticket, why) => {
                let reason = |version: &str, stage: &str| format!("{version} is not healthy in {stage}: {why}");
                self.gave_up(now, (ticket, Phase::Checking), Outcome::Failed, "tests", reason)
            }
            Event::Switched(ticket) => self.switched(now, ticket),
            Event::SwitchFailed(ticket, why) => {
                if self.retries_return(now, ticket) {
                    return Vec::new();
                }
                let reason = |version: &str, stage: &str| format!("the traffic of {stage} could not be sent to {version}: {why}");
                self.gave_up(now, (ticket, Phase::Switching), Outcome::Inconclusive, "delivery", reason)
            }
            Event::TestEnded(ticket, report) => match self.open(ticket, Phase::Testing) {
                Some(lane) => self.tested(now, lane, report),
                None => Vec::new(),
            },
            Event::TestLost(ticket, why) => {
                let reason = |version: &str, stage: &str| format!("the tests of {version} in {stage} say nothing: {why}");
                self.gave_up(now, (ticket, Phase::Testing), Outcome::Inconclusive, "tests", reason)
            }
            Event::Evaluated { ticket, verdict, reason } => match self.open(ticket, Phase::Evaluating) {
                Some(lane) => self.evaluated(now, lane, verdict, reason),
                None => Vec::new(),
            },
            Event::RolloutEnded { ticket, end, actor, reason } => self.rolled(now, ticket, end, (&actor, reason)),
            _ => Vec::new(),
        }
    }

    /// Returns the stage whose run waits for this answer in this phase, and no longer waits for it.
    pub(super) fn open(&mut self, answer: Ticket, phase: Phase) -> Option<usize> {
        let mine = |lane: usize| self.run(lane).is_some_and(|run| ticket(run) == answer && run.phase == phase);
        let lane = (0..self.record.lanes.len()).find(|lane| mine(*lane))?;
        let waiting = self.waits.len();
        self.waits.retain(|wait| wait.run != answer.run);
        (self.waits.len() < waiting).then_some(lane)
    }

    /// Ends a run whose effect could not be done.
    fn gave_up(
        &mut self,
        now: Timestamp,
        (ticket, phase): (Ticket, Phase),
        outcome: Outcome,
        actor: &str,
        reason: impl Fn(&str, &str) -> String,
    ) -> Vec<Effect> {
        let Some(lane) = self.open(ticket, phase) else { return Vec::new() };
        let reason = self.words(lane, reason);
        self.back(now, lane, outcome, actor, reason)
    }

    /// Makes a sentence from the names of version and stage.
    pub(super) fn words(&self, lane: usize, sentence: impl Fn(&str, &str) -> String) -> String {
        let found = self.record.lanes.get(lane);
        let version = found.and_then(|lane| lane.run.as_ref()).map_or("?", |run| run.candidate.artifact.version().as_str());
        sentence(version, found.map_or("?", |lane| lane.stage.as_str()))
    }

    fn deployed(&mut self, now: Timestamp, lane: usize) -> Vec<Effect> {
        let told = self.emit(lane, Announcement::DeploymentFinished);
        let reason = self.words(lane, |version, stage| format!("{version} is up in {stage}"));
        self.go_on(now, lane, "deployer", reason);
        told.into_iter().collect()
    }

    fn healthy(&mut self, now: Timestamp, lane: usize) -> Vec<Effect> {
        if let Some(run) = self.run_mut(lane) {
            run.healthy = true;
        }
        let reason = self.words(lane, |version, stage| format!("{version} is healthy in {stage}"));
        self.go_on(now, lane, "tests", reason);
        Vec::new()
    }

    fn switched(&mut self, now: Timestamp, ticket: Ticket) -> Vec<Effect> {
        if let Some(lane) = self.open(ticket, Phase::Returning) {
            return self.returned(lane);
        }
        let Some(lane) = self.open(ticket, Phase::Switching) else { return Vec::new() };
        let reason = self.words(lane, |version, stage| format!("{version} has the traffic of {stage}"));
        self.go_on(now, lane, "delivery", reason);
        Vec::new()
    }

    fn tested(&mut self, now: Timestamp, lane: usize, report: TestReport) -> Vec<Effect> {
        let (Some(situation), Some(stage)) = (self.situation(lane), self.stage(lane)) else { return Vec::new() };
        let evaluated = course::after(Phase::Testing, false, stage, situation) == Some(Phase::Evaluating);
        let mut told: Vec<_> = self.emit(lane, Announcement::TestsFinished(report.clone())).into_iter().collect();
        let said = report.reason.clone();
        let reason = self.words(lane, |version, stage| {
            format!("the tests of {version} in {stage} {}: {said}", if report.passed { "passed" } else { "failed" })
        });
        let passed = report.passed;
        let Some(run) = self.run_mut(lane) else { return told };
        run.tests = Some(report);
        // The gate is asked also after failed tests, for the report; the original did without.
        if evaluated && (passed || situation.mode == Mode::Strict) {
            self.ask(now, lane, Change::Enter(Phase::Evaluating), "tests", reason);
            return told;
        }
        if !passed {
            told.extend(self.back(now, lane, Outcome::Failed, "tests", reason));
            return told;
        }
        run.verdict = Some(Verdict::Pass);
        told.extend(self.judged(lane, Verdict::Pass, &reason));
        self.go_on(now, lane, "tests", reason);
        told
    }

    fn evaluated(&mut self, now: Timestamp, lane: usize, verdict: Verdict, reason: String) -> Vec<Effect> {
        let keptn = self.shipyard.mode() == Mode::Keptn;
        let Some(run) = self.run_mut(lane) else { return Vec::new() };
        let failed_tests = run.tests.as_ref().filter(|tests| !tests.passed).map(|tests| tests.reason.clone());
        let (verdict, reason) = match failed_tests {
            Some(tests) => (Verdict::Fail, format!("the tests failed ({tests}), and the gate says {verdict}: {reason}")),
            None => (verdict, reason),
        };
        let reason = self.words(lane, |version, stage| format!("{verdict} for {version} in {stage}: {reason}"));
        match verdict {
            Verdict::Pass | Verdict::Warning => self.go_on_with(now, lane, ("gate", verdict), reason),
            Verdict::Fail => self.back(now, lane, Outcome::Failed, "gate", reason),
            // The original knows no third answer: an evaluation that could not be made did not pass.
            Verdict::Inconclusive if keptn => self.back(now, lane, Outcome::Failed, "gate", reason),
            Verdict::Inconclusive => self.back(now, lane, Outcome::Inconclusive, "gate", reason),
        }
    }

    fn rolled(&mut self, now: Timestamp, ticket: Ticket, end: RolloutEnd, (actor, reason): (&str, String)) -> Vec<Effect> {
        let Some(lane) = self.open(ticket, Phase::Shifting) else { return Vec::new() };
        let Some(run) = self.run_mut(lane) else { return Vec::new() };
        // A warning of the tests' evaluation stays one: the rollout's gates add to it.
        let warned = run.verdict == Some(Verdict::Warning) || end == RolloutEnd::Warned;
        match end {
            RolloutEnd::Promoted | RolloutEnd::Warned => {
                self.go_on_with(now, lane, (actor, if warned { Verdict::Warning } else { Verdict::Pass }), reason)
            }
            RolloutEnd::RolledBack => self.back(now, lane, Outcome::Failed, actor, reason),
            RolloutEnd::Aborted => self.back(now, lane, Outcome::Inconclusive, actor, reason),
        }
    }

    fn go_on_with(&mut self, now: Timestamp, lane: usize, (actor, verdict): (&str, Verdict), reason: String) -> Vec<Effect> {
        if let Some(run) = self.run_mut(lane) {
            run.verdict = Some(verdict);
        }
        let told = self.judged(lane, verdict, &reason);
        self.go_on(now, lane, actor, reason);
        told.into_iter().collect()
    }

    pub(super) fn judged(&self, lane: usize, verdict: Verdict, reason: &str) -> Option<Effect> {
        self.emit(lane, Announcement::EvaluationDone { verdict, reason: reason.to_owned() })
    }

    pub(super) fn retired(&mut self, answer: Ticket) -> Vec<Effect> {
        let mine = self.leaves.extract_if(.., |leave| (leave.deployment, leave.attempt) == (answer.run, answer.attempt));
        if mine.count() > 0 {
            self.forget(answer.run);
        }
        Vec::new()
    }

    /// Strikes a deployment off those that leave. It is written with the next change: taking it away twice does no harm.
    pub(super) fn forget(&mut self, deployment: u64) {
        for lane in &mut self.record.lanes {
            lane.leaving.retain(|leaving| leaving.id != deployment);
        }
    }
}
