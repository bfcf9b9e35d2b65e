//! How artifacts come in, wait their turn, are let in by people, or are stopped by them.

use crate::domain::delivery::artifact::Artifact;
use crate::domain::delivery::effect::{Announcement, Effect};
use crate::domain::delivery::machine::{Change, Delivery, Forward, notice};
use crate::domain::delivery::queue::{self, Displaced};
use crate::domain::delivery::record::{Entry, Lane, Outcome, Phase, Waiting};
use crate::domain::delivery::shipyard::{Mode, StageName};
use crate::domain::time::Timestamp;

/// The most artifacts of a service that may wait for one stage.
pub const MOST_WAITING: usize = 100;

impl Delivery {
    pub(super) fn arrived(
        &mut self,
        (context, artifact): (String, Artifact),
        stage: Option<StageName>,
        retry: bool,
        actor: &str,
    ) -> Vec<Effect> {
        let stage = stage.or_else(|| self.shipyard.stages().first().map(|stage| stage.name.clone()));
        let Some(stage) = stage.filter(|stage| self.shipyard.stage(stage).is_some()) else {
            let sentence = format!("{artifact} was sent to a stage that the shipyard does not have; nothing was changed");
            return vec![notice(sentence, true)];
        };
        let Some(lane) = self.lane_of(&stage) else { return Vec::new() };
        let Some(found) = self.record.lanes.get(lane) else { return Vec::new() };
        if is_known(found, &context, &artifact, retry) {
            return Vec::new();
        }
        let full = found.queue.len() >= MOST_WAITING;
        let forgiven = if retry { self.forgive(&artifact, &stage) } else { Vec::new() };
        let id = self.record.next;
        self.record.next += 1;
        let waiting = Waiting { id, delivery: id, context, artifact, from: None, held: false };
        let refused = self.rejection(&waiting.artifact, lane);
        let refused = refused.or_else(|| full.then(|| format!("{MOST_WAITING} artifacts already wait for {stage}")));
        if let Some(why) = refused {
            return self.drop_waiting(Displaced::new(waiting, &stage, Outcome::Refused, actor, why));
        }
        let mut reason = format!("{} was sent to {stage}", waiting.artifact.version());
        if !forgiven.is_empty() {
            reason.push_str(&format!(", to be tried again where it has failed: in {}", forgiven.join(", ")));
        }
        let arrival = Displaced::new(waiting.clone(), &stage, Outcome::Refused, actor, reason).entry(&self.record);
        self.unsaved.push(Entry { outcome: None, ..arrival });
        let displaced = queue::push(&mut self.record, &stage, waiting, self.shipyard.concurrency());
        displaced.into_iter().flat_map(|gone| self.drop_waiting(gone)).collect()
    }

    /// Forgets that an artifact has failed in a stage or in one after it, because somebody says that it is to be tried again on this
    /// way; returns the stages. What has failed in an earlier stage has to begin there.
    fn forgive(&mut self, artifact: &Artifact, from: &StageName) -> Vec<String> {
        let names = self.shipyard.stages().iter().map(|stage| stage.name.clone());
        let way: Vec<StageName> = names.skip_while(|name| name != from).collect();
        let mut forgiven = Vec::new();
        for name in &way {
            let Some(lane) = self.record.lanes.iter_mut().find(|lane| lane.stage == *name) else { continue };
            if lane.rejected.contains(artifact) {
                lane.rejected.retain(|rejected| rejected != artifact);
                forgiven.push(name.to_string());
            }
        }
        forgiven
    }

    /// Journals and tells that something no longer waits.
    pub(super) fn drop_waiting(&mut self, gone: Displaced) -> Vec<Effect> {
        self.waits.retain(|wait| wait.run != gone.run);
        self.unsaved.push(gone.entry(&self.record));
        let sentence = format!("{} is {} in {}: {}", gone.artifact.version(), gone.outcome.as_str(), gone.stage, gone.reason);
        vec![gone.told(), notice(sentence, gone.outcome == Outcome::Refused)]
    }

    /// Says why an artifact may not come on trial in a stage: it has failed there or in an earlier one.
    fn rejection(&self, artifact: &Artifact, lane: usize) -> Option<String> {
        if self.shipyard.mode() == Mode::Keptn {
            return None;
        }
        let here = &self.record.lanes.get(lane)?.stage;
        let upto = self.shipyard.stages().iter().position(|stage| stage.name == *here)?;
        let failed = |lane: &&Lane| lane.rejected.contains(artifact);
        let stages = self.shipyard.stages().iter().take(upto + 1);
        let failed = stages.filter_map(|stage| self.record.lane(&stage.name)).find(failed)?;
        Some(format!("{} has failed in {}; send it with retry to try it again there", artifact.version(), failed.stage))
    }

    /// Lets the first of each queue in whose stage is free.
    pub(super) fn advance(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for lane in 0..self.record.lanes.len() {
            let writing = self.writing.as_ref().and_then(|writing| writing.forward.as_ref());
            let asked = |forward: &Forward| forward.change == Change::Begin && forward.lane == lane;
            let busy = writing.is_some_and(asked) || self.todo.iter().any(asked) || self.run(lane).is_some();
            if busy || self.stage(lane).is_none() {
                continue;
            }
            while let Some(first) = self.record.lanes.get(lane).and_then(|found| found.queue.first()) {
                let Some(why) = self.rejection(&first.artifact, lane) else {
                    let (run, version) = (first.id, first.artifact.version().clone());
                    let reason = self.words(lane, |_, stage| format!("{version} comes on trial in {stage}"));
                    let forward =
                        Forward { lane, run, basis: None, change: Change::Begin, actor: "delivery".to_owned(), reason, asked: now };
                    self.todo.push(forward);
                    break;
                };
                let Some(found) = self.record.lanes.get_mut(lane) else { break };
                let stage = found.stage.clone();
                let gone = Displaced::new(found.queue.remove(0), &stage, Outcome::Refused, "delivery", why);
                effects.extend(self.drop_waiting(gone));
            }
        }
        effects
    }

    fn awaiting_approval(&self, run: u64) -> Option<usize> {
        let open = self.waits.iter().any(|wait| wait.run == run);
        let mine = |lane: usize| self.run(lane).is_some_and(|found| found.id == run && found.phase == Phase::Approval);
        (0..self.record.lanes.len()).find(|lane| open && mine(*lane))
    }

    pub(super) fn approved(&mut self, now: Timestamp, run: u64, actor: &str) -> Vec<Effect> {
        let Some(lane) = self.awaiting_approval(run) else { return Vec::new() };
        self.waits.retain(|wait| wait.run != run);
        let reason = self.words(lane, |version, stage| format!("{actor} lets {version} into {stage}"));
        self.ask(now, lane, Change::Enter(Phase::Deploying), actor, reason);
        self.emit(lane, Announcement::ApprovalFinished { approved: true, actor: actor.to_owned() }).into_iter().collect()
    }

    pub(super) fn denied(&mut self, run: u64, actor: &str, reason: &str) -> Vec<Effect> {
        let Some(lane) = self.awaiting_approval(run) else { return Vec::new() };
        let reason = self.words(lane, |version, stage| format!("{actor} does not let {version} into {stage}: {reason}"));
        self.not_let_in(lane, actor, &reason)
    }

    pub(super) fn aborted(&mut self, now: Timestamp, stage: Option<&StageName>, actor: &str, reason: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for lane in 0..self.record.lanes.len() {
            let Some(found) = self.record.lanes.get_mut(lane) else { continue };
            if stage.is_some_and(|stage| *stage != found.stage) {
                continue;
            }
            let name = found.stage.clone();
            for waiting in std::mem::take(&mut found.queue) {
                effects.extend(self.drop_waiting(Displaced::new(waiting, &name, Outcome::Aborted, actor, reason.to_owned())));
            }
            if self.run(lane).is_some() {
                let reason = self.words(lane, |version, stage| format!("{actor} stops {version} in {stage}: {reason}"));
                effects.extend(self.back(now, lane, Outcome::Aborted, actor, reason));
            }
        }
        effects
    }
}

/// Says whether this very delivery is there already, or was: the same event may come twice.
fn is_known(lane: &Lane, context: &str, artifact: &Artifact, retry: bool) -> bool {
    let run = lane.run.as_ref().is_some_and(|run| run.context == context && run.candidate.artifact == *artifact);
    let waits = lane.queue.iter().any(|waiting| waiting.context == context && waiting.artifact == *artifact);
    let was = lane.last.as_ref().is_some_and(|last| last.context == context && last.artifact == *artifact);
    run || waits || (was && !retry)
}
