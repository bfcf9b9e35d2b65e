//! How a delivery goes forward: each change is applied to a copy, written, and takes effect when that is durable.

use std::time::Duration;

use crate::domain::delivery::course::{self, Situation};
use crate::domain::delivery::effect::{Announcement, Effect};
use crate::domain::delivery::event::Ticket;
use crate::domain::delivery::machine::{Change, Delivery, Forward, Leave, Writing, notice, ticket};
use crate::domain::delivery::queue::{self, Displaced};
use crate::domain::delivery::record::{Deployment, Entry, Finished, Live, Outcome, Phase, Record, Run, Waiting};
use crate::domain::delivery::shipyard::{Approval, Entrance, Gate, Mode, OnWarning, Shipyard, Stage};
use crate::domain::gate::Verdict;
use crate::domain::time::Timestamp;
use crate::domain::version::Name;

/// How long nothing is written after a write has failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Delivery {
    /// Asks for a change of a run; it takes effect when it is durable.
    pub(super) fn ask(&mut self, now: Timestamp, lane: usize, change: Change, actor: &str, reason: String) {
        let Some(run) = self.run(lane) else { return };
        let (run, basis) = (run.id, Some((run.phase, run.attempt)));
        self.todo.push(Forward { lane, run, basis, change, actor: actor.to_owned(), reason, asked: now });
    }

    /// Asks for what comes after the phase the run is in.
    pub(super) fn go_on(&mut self, now: Timestamp, lane: usize, actor: &str, reason: String) {
        let (Some(situation), Some(stage), Some(run)) = (self.situation(lane), self.stage(lane), self.run(lane)) else { return };
        let judged = run.verdict.is_some();
        match course::after(run.phase, judged, stage, situation) {
            Some(phase) => self.ask(now, lane, Change::Enter(phase), actor, reason),
            None => {
                let by_declaration = situation.mode == Mode::Strict && stage.gate == Gate::None;
                if let Some(run) = self.run_mut(lane).filter(|_| by_declaration && !judged) {
                    run.verdict = Some(Verdict::Pass);
                }
                self.ask(now, lane, Change::Finish, actor, reason);
            }
        }
    }

    pub(super) fn situation(&self, lane: usize) -> Option<Situation> {
        let found = self.record.lanes.get(lane)?;
        let last = self.shipyard.next(&found.stage).is_none();
        Some(Situation { mode: self.shipyard.mode(), first: found.live.is_none(), last })
    }

    /// Writes what is to be written, unless a write is under way.
    pub(super) fn write(&mut self, now: Timestamp) -> Option<Effect> {
        if self.writing.is_some() || now < self.pause {
            return None;
        }
        let record = &self.record;
        self.todo.retain(|forward| fits(forward, record));
        let forward = if self.todo.is_empty() { None } else { Some(self.todo.remove(0)) };
        if forward.is_none() && self.unsaved.is_empty() {
            return None;
        }
        let mut record = self.record.clone();
        let mut entries = std::mem::take(&mut self.unsaved);
        let kept = entries.len();
        if let Some(forward) = &forward {
            let displaced = apply(&mut record, &self.shipyard, forward);
            entries.extend(line(&record, forward));
            entries.extend(displaced.iter().map(|gone| gone.entry(&self.record)));
        }
        self.number += 1;
        let number = self.number;
        let leaving = record.lanes.iter().flat_map(|lane| lane.leaving.iter().map(|gone| gone.id)).collect();
        let until = now + self.deadlines.write / 4;
        self.writing = Some(Writing { number, forward, entries: entries.clone(), kept, leaving, until });
        Some(Effect::Persist { number, record: Box::new(record), entries })
    }

    pub(super) fn persisted(&mut self, now: Timestamp, number: u64) -> Vec<Effect> {
        let Some(writing) = self.writing.take_if(|writing| writing.number == number) else { return Vec::new() };
        let mut effects = Vec::new();
        if let Some(forward) = writing.forward.filter(|forward| fits(forward, &self.record)) {
            let promoted = self.promoted(&forward);
            let displaced = apply(&mut self.record, &self.shipyard, &forward);
            self.waits.retain(|wait| !displaced.iter().any(|gone| gone.run == wait.run));
            for gone in &displaced {
                effects.push(gone.told());
                let known = |entry: &Entry| entry.run == gone.run && entry.outcome == Some(Outcome::Superseded);
                if !writing.entries.iter().any(known) {
                    self.unsaved.push(gone.entry(&self.record));
                }
            }
            effects.extend(match forward.change {
                Change::Begin | Change::Enter(_) | Change::Again => self.enter(now, forward.lane),
                Change::Finish => self.finished(forward.lane, promoted),
            });
        }
        effects.extend(self.retire(now, &writing.leaving));
        effects
    }

    pub(super) fn persist_failed(&mut self, now: Timestamp, number: u64, why: &str) -> Vec<Effect> {
        let Some(writing) = self.writing.take_if(|writing| writing.number == number) else { return Vec::new() };
        let mut entries = writing.entries;
        entries.truncate(writing.kept);
        self.unsaved.splice(0..0, entries);
        if let Some(forward) = writing.forward {
            self.todo.insert(0, forward);
        }
        self.pause = now + PAUSE;
        vec![notice(format!("the delivery of {} could not be written ({why}): it is tried again", self.record.service), true)]
    }

    /// Says whether a change still concerns what it was decided on.
    pub(super) fn fits(&self, forward: &Forward) -> bool {
        fits(forward, &self.record)
    }

    /// Starts the effect of the phase a run is in.
    pub(super) fn enter(&mut self, now: Timestamp, lane: usize) -> Vec<Effect> {
        let (Some(found), Some(stage)) = (self.record.lanes.get(lane), self.stage(lane)) else { return Vec::new() };
        let Some(run) = &found.run else { return Vec::new() };
        let (ticket, name, deployment) = (ticket(run), found.stage.clone(), run.candidate.clone());
        let limits = self.deadlines;
        let (effect, limit, told) = match run.phase {
            Phase::Approval => {
                let (artifact, from, within) = (deployment.artifact, run.from, limits.approval);
                let asks = Effect::AwaitApproval { ticket, stage: name, artifact, from, within };
                (asks, within, Some(Announcement::ApprovalTriggered))
            }
            Phase::Deploying => {
                (Effect::Deploy { ticket, stage: name, deployment }, limits.deploy, Some(Announcement::ConfigurationChanged))
            }
            Phase::Checking => (Effect::CheckHealth { ticket, stage: name, deployment }, limits.check, None),
            Phase::Switching => (Effect::Switch { ticket, stage: name, to: Some(deployment) }, limits.switch, None),
            Phase::Testing => {
                let Some(strategy) = stage.test.clone() else { return Vec::new() };
                (Effect::Test { ticket, stage: name, deployment, strategy }, limits.test, None)
            }
            Phase::Evaluating => {
                (Effect::Evaluate { ticket, stage: name, deployment, strategy: stage.test.clone() }, limits.evaluate, None)
            }
            Phase::Shifting => (Effect::Rollout { ticket, stage: name, deployment, schedule: stage.schedule() }, limits.rollout, None),
            Phase::Returning => {
                let to = found.live.as_ref().map(|live| live.deployment.clone());
                (Effect::Switch { ticket, stage: name, to }, limits.switch, None)
            }
        };
        self.await_answer(ticket.run, now + limit);
        std::iter::once(effect).chain(told.and_then(|told| self.emit(lane, told))).collect()
    }

    /// Returns what a change would tell of its run once it is over, which it no longer has then.
    fn promoted(&self, forward: &Forward) -> Vec<Effect> {
        if forward.change != Change::Finish {
            return Vec::new();
        }
        let Some((run, lane)) = self.run(forward.lane).zip(self.record.lanes.get(forward.lane)) else { return Vec::new() };
        let version = run.candidate.artifact.version();
        let reason = forward.reason.clone();
        let done = self.emit(forward.lane, Announcement::Finished { outcome: Outcome::Passed, reason: reason.clone() });
        let sentence = format!("{version} owns {} of {}: {reason}", lane.stage, self.record.service);
        done.into_iter().chain([notice(sentence, false)]).collect()
    }

    fn finished(&mut self, lane: usize, told: Vec<Effect>) -> Vec<Effect> {
        let Some(found) = self.record.lanes.get(lane) else { return told };
        let run = found.last.as_ref().map(|last| last.run);
        self.waits.retain(|wait| Some(wait.run) != run);
        let next = self.shipyard.next(&found.stage).and_then(|next| self.record.lane(&next.name));
        let context = found.last.as_ref().map(|last| &last.context);
        let sent = next.and_then(|next| {
            let waiting = next.queue.iter().find(|waiting| Some(&waiting.context) == context)?;
            Some(Effect::Emit {
                run: waiting.id,
                context: waiting.context.clone(),
                stage: next.stage.clone(),
                artifact: waiting.artifact.clone(),
                announcement: Announcement::NewArtifact,
            })
        });
        told.into_iter().chain(sent).collect()
    }

    /// Takes the deployments away that leave by a durable record.
    pub(super) fn retire(&mut self, now: Timestamp, durable: &[u64]) -> Vec<Effect> {
        let mut effects = Vec::new();
        for lane in &self.record.lanes {
            for deployment in lane.leaving.iter().filter(|gone| durable.contains(&gone.id)) {
                if self.leaves.iter().any(|leave| leave.deployment == deployment.id) {
                    continue;
                }
                self.leaves.push(Leave { deployment: deployment.id, attempt: 1, until: now + self.deadlines.retire });
                effects.push(Effect::Retire {
                    ticket: Ticket { run: deployment.id, attempt: 1 },
                    stage: lane.stage.clone(),
                    deployment: deployment.clone(),
                });
            }
        }
        effects
    }
}

fn fits(forward: &Forward, record: &Record) -> bool {
    let Some(lane) = record.lanes.get(forward.lane) else { return false };
    match (&lane.run, forward.basis) {
        (None, None) => lane.queue.first().is_some_and(|waiting| waiting.id == forward.run),
        (Some(run), Some(basis)) => run.id == forward.run && (run.phase, run.attempt) == basis,
        _ => false,
    }
}

/// Makes the change; returns what it takes the place of.
fn apply(record: &mut Record, shipyard: &Shipyard, forward: &Forward) -> Vec<Displaced> {
    let Some(lane) = record.lanes.get_mut(forward.lane) else { return Vec::new() };
    match forward.change {
        Change::Begin => {
            let Some(stage) = shipyard.stage(&lane.stage) else { return Vec::new() };
            let waiting = lane.queue.remove(0);
            let taken = |name: &Name| {
                let live = lane.live.iter().map(|live| &live.deployment);
                live.chain(&lane.leaving).chain(&lane.stranded).any(|deployment| deployment.name == *name)
            };
            let run = begin(waiting, stage, taken, forward.reason.clone());
            lane.run = Some(run);
        }
        Change::Enter(phase) => {
            if let Some(run) = &mut lane.run {
                (run.phase, run.attempt) = (phase, run.attempt + 1);
                run.shifted |= matches!(phase, Phase::Switching | Phase::Shifting);
                run.reason.clone_from(&forward.reason);
            }
        }
        Change::Again => {
            if let Some(run) = &mut lane.run {
                (run.phase, run.attempt, run.restarts) = (Phase::Deploying, run.attempt + 1, run.restarts + 1);
                run.healthy = false;
                run.reason.clone_from(&forward.reason);
            }
        }
        Change::Finish => return finish(record, shipyard, forward),
    }
    Vec::new()
}

fn begin(waiting: Waiting, stage: &Stage, taken: impl Fn(&Name) -> bool, reason: String) -> Run {
    let version = waiting.artifact.version();
    let other = || format!("{}-{}", version.as_str().chars().take(40).collect::<String>(), waiting.id).parse();
    let name = if taken(version) { other().unwrap_or_else(|_| version.clone()) } else { version.clone() };
    let phase = if entrance(&waiting, stage.approval) == Entrance::Manual { Phase::Approval } else { Phase::Deploying };
    Run {
        id: waiting.id,
        delivery: waiting.delivery,
        context: waiting.context,
        from: waiting.from,
        candidate: Deployment { id: waiting.id, artifact: waiting.artifact, name },
        phase,
        attempt: 1,
        restarts: 0,
        shifted: false,
        healthy: false,
        tests: None,
        verdict: None,
        ends: None,
        reason,
    }
}

fn entrance(waiting: &Waiting, approval: Option<Approval>) -> Entrance {
    match (approval, waiting.from) {
        (Some(approval), Some(Verdict::Warning)) => approval.warning,
        (Some(approval), _) => approval.pass,
        (None, _) if waiting.held => Entrance::Manual,
        (None, _) => Entrance::Automatic,
    }
}

/// Makes the candidate live, lets what was live go, and sends the artifact to the next stage where it has earned that.
fn finish(record: &mut Record, shipyard: &Shipyard, forward: &Forward) -> Vec<Displaced> {
    let Some(lane) = record.lanes.get_mut(forward.lane) else { return Vec::new() };
    let Some(run) = lane.run.take() else { return Vec::new() };
    let artifact = run.candidate.artifact.clone();
    let live = Live { deployment: run.candidate, context: run.context.clone(), verdict: run.verdict };
    lane.leaving.extend(lane.live.replace(live).map(|live| live.deployment));
    lane.leaving.append(&mut lane.stranded);
    lane.rejected.retain(|rejected| *rejected != artifact);
    lane.last = Some(Finished {
        run: run.id,
        context: run.context.clone(),
        artifact: artifact.clone(),
        outcome: Outcome::Passed,
        verdict: run.verdict,
        reason: forward.reason.clone(),
    });
    let stage = lane.stage.clone();
    let earned = matches!(run.verdict, Some(Verdict::Pass | Verdict::Warning));
    let Some(next) = shipyard.next(&stage).filter(|_| earned) else { return Vec::new() };
    let holds = shipyard.mode() == Mode::Strict && shipyard.stage(&stage).is_some_and(|stage| stage.on_warning == OnWarning::Hold);
    let waiting = Waiting {
        id: record.next,
        delivery: run.delivery,
        context: run.context,
        artifact,
        from: run.verdict,
        held: holds && run.verdict == Some(Verdict::Warning),
    };
    record.next += 1;
    queue::push(record, &next.name, waiting, shipyard.concurrency())
}

/// Makes the journal's line of a change from the record after it.
fn line(after: &Record, forward: &Forward) -> Option<Entry> {
    let lane = after.lanes.get(forward.lane)?;
    let (context, artifact, phase, outcome, verdict) = match (&lane.run, &lane.last) {
        (Some(run), _) => (&run.context, &run.candidate.artifact, Some(run.phase), None, run.verdict),
        (None, Some(last)) => (&last.context, &last.artifact, None, Some(last.outcome), last.verdict),
        (None, None) => return None,
    };
    Some(Entry {
        project: after.project.clone(),
        service: after.service.clone(),
        stage: lane.stage.clone(),
        context: context.clone(),
        run: forward.run,
        at: None,
        artifact: artifact.clone(),
        actor: forward.actor.clone(),
        phase,
        outcome,
        verdict,
        reason: forward.reason.clone(),
    })
}
