//! What time does to a delivery: answers that do not come, writes that hang, and what a restart takes up again.

use crate::domain::delivery::effect::{Announcement, Effect};
use crate::domain::delivery::event::Ticket;
use crate::domain::delivery::machine::{Change, Delivery, Forward, Leave, Wait, notice, ticket};
use crate::domain::delivery::queue::Displaced;
use crate::domain::delivery::record::{Outcome, Phase};
use crate::domain::time::{self, Timestamp};

/// How often a run is begun again after a restart before it is given up.
pub const MOST_RESTARTS: u32 = 3;
/// How often a deployment is asked to leave before people must see to it.
const MOST_RETIREMENTS: u32 = 3;

impl Delivery {
    pub(super) fn ticked(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for wait in self.waits.clone().into_iter().filter(|wait| now >= wait.until) {
            effects.extend(self.unanswered(now, wait));
        }
        for leave in self.leaves.clone().into_iter().filter(|leave| now >= leave.until) {
            effects.extend(self.lingers(now, leave));
        }
        let write = self.deadlines.write;
        let lost = |forward: &Forward| forward.change != Change::Begin && now.since(forward.asked) >= write;
        let waiting = self.todo.extract_if(.., |forward| lost(forward)).collect::<Vec<_>>();
        let writing = self.writing.as_ref().and_then(|writing| writing.forward.clone()).filter(lost);
        for forward in waiting.into_iter().chain(writing) {
            let basis = self.run(forward.lane).map(|run| (run.id, Some((run.phase, run.attempt))));
            if basis == Some((forward.run, forward.basis)) {
                let reason = self.words(forward.lane, |version, stage| {
                    format!("{version} is given up in {stage}: the next step could not be written within {}", time::human(write))
                });
                effects.extend(self.back(now, forward.lane, Outcome::Inconclusive, "deadline", reason));
            }
        }
        if let Some(number) = self.writing.as_ref().filter(|writing| now >= writing.until).map(|writing| writing.number) {
            effects.extend(self.persist_failed(now, number, "no answer"));
        }
        effects
    }

    fn unanswered(&mut self, now: Timestamp, wait: Wait) -> Vec<Effect> {
        let mine = |lane: usize| self.run(lane).is_some_and(|run| run.id == wait.run);
        let Some(lane) = (0..self.record.lanes.len()).find(|lane| mine(*lane)) else { return Vec::new() };
        let Some(run) = self.run(lane) else { return Vec::new() };
        let limits = self.deadlines;
        let failed = run.tests.as_ref().is_some_and(|tests| !tests.passed);
        let (what, limit) = match run.phase {
            Phase::Returning => return self.return_again(now, lane, wait.tries),
            Phase::Approval => {
                let reason =
                    self.words(lane, |version, stage| format!("nobody let {version} into {stage} within {}", time::human(limits.approval)));
                return self.not_let_in(lane, "deadline", &reason);
            }
            Phase::Deploying => ("its deployment", limits.deploy),
            Phase::Checking => ("its health check", limits.check),
            Phase::Switching => ("the switch of the traffic to it", limits.switch),
            Phase::Testing => ("its tests", limits.test),
            Phase::Evaluating => ("its evaluation", limits.evaluate),
            Phase::Shifting => ("its rollout", limits.rollout),
        };
        let outcome = if failed { Outcome::Failed } else { Outcome::Inconclusive };
        let reason = self
            .words(lane, |version, stage| format!("{version} is given up in {stage}: {what} did not end within {}", time::human(limit)));
        self.back(now, lane, outcome, "deadline", reason)
    }

    /// Ends a run that nobody has let in.
    pub(super) fn not_let_in(&mut self, lane: usize, actor: &str, reason: &str) -> Vec<Effect> {
        let told = self.emit(lane, Announcement::ApprovalFinished { approved: false, actor: actor.to_owned() });
        let ended = self.end(lane, Outcome::Denied, actor, reason, false);
        told.into_iter().chain(ended).chain([notice(reason.to_owned(), false)]).collect()
    }

    fn lingers(&mut self, now: Timestamp, leave: Leave) -> Vec<Effect> {
        let found = self.record.lanes.iter().find_map(|lane| {
            let deployment = lane.leaving.iter().find(|deployment| deployment.id == leave.deployment)?;
            Some((lane.stage.clone(), deployment.clone()))
        });
        self.leaves.retain(|other| other.deployment != leave.deployment);
        let Some((stage, deployment)) = found else { return Vec::new() };
        if leave.attempt >= MOST_RETIREMENTS {
            self.forget(leave.deployment);
            let service = &self.record.service;
            let sentence = format!("{} of {service} in {stage} could not be taken away: look after it by hand", deployment.name);
            return vec![notice(sentence, true)];
        }
        let attempt = leave.attempt + 1;
        self.leaves.push(Leave { deployment: leave.deployment, attempt, until: now + self.deadlines.retire });
        vec![Effect::Retire { ticket: Ticket { run: deployment.id, attempt }, stage, deployment }]
    }

    /// Takes up what was open when the process ended: what goes back goes on going back, what was on trial begins again, and
    /// what was begun again too often is given up.
    pub(super) fn restored(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for lane in 0..self.record.lanes.len() {
            let known = self.stage(lane).is_some();
            if let Some(found) = self.record.lanes.get_mut(lane).filter(|_| !known) {
                let stage = found.stage.clone();
                for waiting in std::mem::take(&mut found.queue) {
                    let why = format!("the shipyard no longer has {stage}");
                    effects.extend(self.drop_waiting(Displaced::new(waiting, &stage, Outcome::Aborted, "restart", why)));
                }
            }
            let Some(run) = self.run_mut(lane) else { continue };
            match run.phase {
                Phase::Returning => {
                    run.attempt += 1;
                    effects.extend(self.return_now(now, lane));
                }
                _ if !known => {
                    let reason = self
                        .words(lane, |version, stage| format!("{version} is given up in {stage}: the shipyard no longer has that stage"));
                    effects.extend(self.back(now, lane, Outcome::Aborted, "restart", reason));
                }
                Phase::Approval => {
                    run.attempt += 1;
                    effects.extend(self.enter(now, lane));
                }
                _ if run.restarts >= MOST_RESTARTS => {
                    let reason = self.words(lane, |version, stage| {
                        format!("{version} is given up in {stage}: the process ended {} times while it was on trial", MOST_RESTARTS + 1)
                    });
                    effects.extend(self.back(now, lane, Outcome::Inconclusive, "restart", reason));
                }
                _ => {
                    let reason = self.words(lane, |version, stage| format!("{version} begins again in {stage} after a restart"));
                    self.ask(now, lane, Change::Again, "restart", reason);
                }
            }
        }
        let leaving: Vec<u64> = self.record.lanes.iter().flat_map(|lane| lane.leaving.iter().map(|gone| gone.id)).collect();
        effects.extend(self.retire(now, &leaving));
        effects
    }

    fn return_now(&mut self, now: Timestamp, lane: usize) -> Vec<Effect> {
        let Some(found) = self.record.lanes.get(lane) else { return Vec::new() };
        let Some(run) = &found.run else { return Vec::new() };
        let to = found.live.as_ref().map(|live| live.deployment.clone());
        let switch = Effect::Switch { ticket: ticket(run), stage: found.stage.clone(), to };
        self.await_answer(run.id, now + self.deadlines.switch);
        vec![switch]
    }
}
