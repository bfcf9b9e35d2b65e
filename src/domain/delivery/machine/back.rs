//! How a run ends without owning its stage: what tests or moves it is stopped, the traffic goes back, then it is written.

use std::time::Duration;

use crate::domain::delivery::artifact::Artifact;
use crate::domain::delivery::effect::{Announcement, Effect};
use crate::domain::delivery::event::Ticket;
use crate::domain::delivery::machine::{Delivery, notice, ticket};
use crate::domain::delivery::record::{Deployment, Entry, Finished, Lane, Live, Outcome, Phase, Run};
use crate::domain::delivery::shipyard::{Mode, Strategy};
use crate::domain::gate::Verdict;
use crate::domain::time::Timestamp;

/// How often the traffic is sent back before people must.
const MOST_RETURNS: u32 = 5;
/// How long is waited before it is sent back again.
const AGAIN: Duration = Duration::from_secs(1);
/// The most rejected artifacts that are kept of a stage.
const MOST_REJECTED: usize = 100;

impl Delivery {
    /// Ends a run badly: its candidate loses what traffic it has, unless it is to stay.
    pub(super) fn back(&mut self, now: Timestamp, lane: usize, outcome: Outcome, actor: &str, reason: String) -> Vec<Effect> {
        let stays = self.stays(lane, outcome);
        let Some(found) = self.record.lanes.get_mut(lane) else { return Vec::new() };
        let (stage, live) = (found.stage.clone(), found.live.as_ref().map(|live| live.deployment.clone()));
        let Some(run) = found.run.as_mut().filter(|run| run.phase != Phase::Returning) else { return Vec::new() };
        let mut effects = Vec::new();
        match run.phase {
            Phase::Testing => effects.push(Effect::StopTest { ticket: ticket(run), stage: stage.clone() }),
            Phase::Shifting => {
                effects.push(Effect::AbortRollout { ticket: ticket(run), stage: stage.clone(), reason: reason.clone() });
            }
            _ => {}
        }
        let verdict = match outcome {
            Outcome::Failed => Some(Verdict::Fail),
            Outcome::Inconclusive => Some(Verdict::Inconclusive),
            _ => None,
        };
        run.verdict = verdict.or(run.verdict);
        run.reason.clone_from(&reason);
        let id = run.id;
        // Where something went wrong the original just stopped, without an event.
        let silent = self.shipyard.mode() == Mode::Keptn && outcome == Outcome::Inconclusive;
        effects.extend(verdict.filter(|_| !silent).and_then(|verdict| self.judged(lane, verdict, &reason)));
        let Some(found) = self.record.lanes.get_mut(lane) else { return effects };
        let Some(run) = &mut found.run else { return effects };
        self.waits.retain(|wait| wait.run != id);
        let alarm = matches!(outcome, Outcome::Failed | Outcome::Inconclusive);
        if stays || !run.shifted {
            effects.extend(self.end(lane, outcome, actor, &reason, stays));
            effects.push(notice(reason, alarm));
            return effects;
        }
        (run.phase, run.attempt, run.ends) = (Phase::Returning, run.attempt + 1, Some(outcome));
        let ticket = ticket(run);
        let nothing = live.is_none();
        effects.push(Effect::Switch { ticket, stage: stage.clone(), to: live });
        self.await_answer(id, now + self.deadlines.switch);
        self.unsaved.extend(self.entry(lane, actor, &reason));
        effects.push(notice(reason, alarm));
        if nothing {
            effects.push(notice(format!("nothing serves {} in {stage} any more: it had no earlier version", self.record.service), true));
        }
        effects
    }

    /// Says whether a candidate that is not good enough keeps the traffic it has.
    fn stays(&self, lane: usize, outcome: Outcome) -> bool {
        let (Some(found), Some(stage)) = (self.record.lanes.get(lane), self.stage(lane)) else { return false };
        let Some(run) = found.run.as_ref().filter(|run| run.shifted) else { return false };
        let stopped = outcome == Outcome::Aborted;
        match self.shipyard.mode() {
            // A swap between two colours that hold the same first version changes nothing.
            Mode::Keptn if found.live.is_none() => true,
            // Where no event came the original just stopped.
            Mode::Keptn => !stopped && (stage.strategy == Strategy::Direct || outcome == Outcome::Inconclusive),
            Mode::Strict => {
                let on_trial = matches!(run.phase, Phase::Testing | Phase::Evaluating);
                !stopped && !stage.rollback && run.healthy && on_trial
            }
        }
    }

    /// The traffic is back where it was.
    pub(super) fn returned(&mut self, lane: usize) -> Vec<Effect> {
        let Some(run) = self.run(lane) else { return Vec::new() };
        let (outcome, reason) = (run.ends.unwrap_or(Outcome::Inconclusive), run.reason.clone());
        let told = self.emit(lane, Announcement::RolledBack { reason: reason.clone() });
        let ended = self.end(lane, outcome, "delivery", &reason, false);
        told.into_iter().chain(ended).collect()
    }

    /// Waits a little before the traffic is sent back again; says whether this answer was about that.
    pub(super) fn retries_return(&mut self, now: Timestamp, answer: Ticket) -> bool {
        let mine = |run: &Run| ticket(run) == answer && run.phase == Phase::Returning;
        if !self.record.lanes.iter().any(|lane| lane.run.as_ref().is_some_and(mine)) {
            return false;
        }
        for wait in self.waits.iter_mut().filter(|wait| wait.run == answer.run) {
            wait.until = wait.until.min(now + AGAIN);
        }
        true
    }

    /// Sends the traffic back once more, or leaves it to people.
    pub(super) fn return_again(&mut self, now: Timestamp, lane: usize, tries: u32) -> Vec<Effect> {
        let service = self.record.service.clone();
        let Some(found) = self.record.lanes.get_mut(lane) else { return Vec::new() };
        let (stage, live) = (found.stage.clone(), found.live.as_ref().map(|live| live.deployment.clone()));
        let Some(run) = &mut found.run else { return Vec::new() };
        let tries = tries + 1;
        if tries >= MOST_RETURNS {
            let (outcome, reason) = (run.ends.unwrap_or(Outcome::Inconclusive), run.reason.clone());
            let candidate = run.candidate.clone();
            let version = candidate.artifact.version().clone();
            found.stranded.push(candidate);
            let sentence =
                format!("the traffic of {service} in {stage} could not be taken from {version} in {tries} attempts: look after it by hand");
            let ended = self.end(lane, outcome, "deadline", &format!("{reason}; {sentence}"), false);
            return ended.into_iter().chain([notice(sentence, true)]).collect();
        }
        run.attempt += 1;
        let (ticket, id) = (ticket(run), run.id);
        self.await_answer(id, now + self.deadlines.switch);
        for wait in self.waits.iter_mut().filter(|wait| wait.run == id) {
            wait.tries = tries;
        }
        let sentence = format!("the traffic of {service} in {stage} is not back yet; it is sent back again");
        vec![Effect::Switch { ticket, stage, to: live }, notice(sentence, true)]
    }

    /// Takes a run off its stage. Its candidate leaves, or stays as what is live there.
    pub(super) fn end(&mut self, lane: usize, outcome: Outcome, actor: &str, reason: &str, stays: bool) -> Vec<Effect> {
        let told = self.emit(lane, Announcement::Finished { outcome, reason: reason.to_owned() });
        let entry = self.entry(lane, actor, reason);
        let strict = self.shipyard.mode() == Mode::Strict;
        let Some(found) = self.record.lanes.get_mut(lane) else { return Vec::new() };
        let Some(run) = found.run.take() else { return Vec::new() };
        self.waits.retain(|wait| wait.run != run.id);
        let artifact = run.candidate.artifact.clone();
        if strict && outcome == Outcome::Failed {
            reject(found, &artifact);
        }
        found.last = Some(Finished {
            run: run.id,
            context: run.context.clone(),
            artifact,
            outcome,
            verdict: run.verdict,
            reason: reason.to_owned(),
        });
        let stranded = found.stranded.iter().any(|deployment| deployment.id == run.candidate.id);
        if stays {
            let live = Live { deployment: run.candidate, context: run.context, verdict: run.verdict };
            let before = found.live.replace(live).map(|live| live.deployment);
            found.leaving.extend(before);
        } else if run.phase != Phase::Approval && !stranded {
            leave(&mut found.leaving, run.candidate);
        }
        self.unsaved.extend(entry.map(|entry| Entry { phase: None, outcome: Some(outcome), ..entry }));
        told.into_iter().collect()
    }
}

fn reject(lane: &mut Lane, artifact: &Artifact) {
    lane.rejected.retain(|rejected| rejected != artifact);
    lane.rejected.push(artifact.clone());
    let excess = lane.rejected.len().saturating_sub(MOST_REJECTED);
    lane.rejected.drain(..excess);
}

fn leave(leaving: &mut Vec<Deployment>, deployment: Deployment) {
    if !leaving.iter().any(|other| other.id == deployment.id) {
        leaving.push(deployment);
    }
}
