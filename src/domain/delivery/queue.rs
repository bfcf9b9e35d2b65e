//! Who waits for a stage, and whom a newer artifact takes the place of.

use crate::domain::delivery::artifact::Artifact;
use crate::domain::delivery::effect::{Announcement, Effect};
use crate::domain::delivery::record::{Entry, Finished, Lane, Outcome, Phase, Record, Waiting};
use crate::domain::delivery::shipyard::{Concurrency, StageName};

/// An artifact that waited and no longer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Displaced {
    pub(super) run: u64,
    pub(super) stage: StageName,
    pub(super) context: String,
    pub(super) artifact: Artifact,
    pub(super) outcome: Outcome,
    pub(super) actor: String,
    pub(super) reason: String,
}

impl Displaced {
    /// Makes it of something that waits.
    pub(super) fn new(waiting: Waiting, stage: &StageName, outcome: Outcome, actor: &str, reason: String) -> Self {
        let Waiting { id, context, artifact, .. } = waiting;
        Self { run: id, stage: stage.clone(), context, artifact, outcome, actor: actor.to_owned(), reason }
    }

    /// Returns what the journal says of it.
    pub(super) fn entry(&self, record: &Record) -> Entry {
        Entry {
            project: record.project.clone(),
            service: record.service.clone(),
            stage: self.stage.clone(),
            context: self.context.clone(),
            run: self.run,
            at: None,
            artifact: self.artifact.clone(),
            actor: self.actor.clone(),
            phase: None,
            outcome: Some(self.outcome),
            verdict: None,
            reason: self.reason.clone(),
        }
    }

    /// Returns what other systems are told of it.
    pub(super) fn told(&self) -> Effect {
        Effect::Emit {
            run: self.run,
            context: self.context.clone(),
            stage: self.stage.clone(),
            artifact: self.artifact.clone(),
            announcement: Announcement::Finished { outcome: self.outcome, reason: self.reason.clone() },
        }
    }
}

/// Lets an artifact wait for a stage; returns whom it takes the place of, or itself where a newer one is there.
pub(super) fn push(record: &mut Record, stage: &StageName, waiting: Waiting, concurrency: Concurrency) -> Vec<Displaced> {
    let Some(lane) = record.lanes.iter_mut().find(|lane| lane.stage == *stage) else { return Vec::new() };
    if concurrency == Concurrency::Queue {
        lane.queue.push(waiting);
        return Vec::new();
    }
    let newer = |delivery: u64, version: &Artifact| {
        let reason = format!("{} is newer and takes its place", version.version());
        (delivery > waiting.delivery).then_some(reason)
    };
    let on_approval = lane.run.as_ref().filter(|run| run.phase == Phase::Approval);
    let beaten = lane.queue.iter().find_map(|other| newer(other.delivery, &other.artifact));
    let beaten = beaten.or_else(|| on_approval.and_then(|run| newer(run.delivery, &run.candidate.artifact)));
    if let Some(reason) = beaten {
        return vec![Displaced::new(waiting, stage, Outcome::Superseded, "delivery", reason)];
    }
    let reason = format!("{} is newer and takes its place", waiting.artifact.version());
    let mut displaced: Vec<Displaced> = std::mem::take(&mut lane.queue)
        .into_iter()
        .map(|older| Displaced::new(older, stage, Outcome::Superseded, "delivery", reason.clone()))
        .collect();
    displaced.splice(0..0, withdrawn(lane, &reason));
    lane.queue.push(waiting);
    displaced
}

/// Takes a run away that nobody has let in yet.
fn withdrawn(lane: &mut Lane, reason: &str) -> Option<Displaced> {
    let run = lane.run.take_if(|run| run.phase == Phase::Approval)?;
    let artifact = run.candidate.artifact;
    lane.last = Some(Finished {
        run: run.id,
        context: run.context.clone(),
        artifact: artifact.clone(),
        outcome: Outcome::Superseded,
        verdict: None,
        reason: reason.to_owned(),
    });
    Some(Displaced {
        run: run.id,
        stage: lane.stage.clone(),
        context: run.context,
        artifact,
        outcome: Outcome::Superseded,
        actor: "delivery".to_owned(),
        reason: reason.to_owned(),
    })
}
