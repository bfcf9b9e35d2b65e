//! The delivery of the artifacts of one service through the stages of its project: events in, effects out.
//!
//! Going forward: a change is durable before its effect starts. Going back: the traffic first, then the record. Writes go out
//! one at a time; what waits for its turn is looked at again when it comes.

use crate::domain::delivery::effect::{Announcement, Effect};
use crate::domain::delivery::event::{Deadlines, Event, Ticket};
use crate::domain::delivery::invariants::{self, View};
use crate::domain::delivery::record::{Entry, Lane, Phase, Record, Run};
use crate::domain::delivery::shipyard::{Shipyard, Stage, StageName};
use crate::domain::invariants::Broken;
use crate::domain::time::Timestamp;
use crate::domain::version::Name;

mod answers;
mod back;
mod changes;
mod clock;
mod intake;

/// A change that goes forward, and waits to become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The first of a queue comes on trial.
    Begin,
    /// The run goes on.
    Enter(Phase),
    /// The run begins again after a restart.
    Again,
    /// The run ends well: its candidate owns the stage and may go to the next.
    Finish,
}

/// A change with what it was decided on.
#[derive(Clone, Debug, PartialEq)]
struct Forward {
    lane: usize,
    run: u64,
    /// Phase and attempt of the run when it was decided; a run that has moved on since is not changed.
    basis: Option<(Phase, u32)>,
    change: Change,
    actor: String,
    reason: String,
    asked: Timestamp,
}

/// A write whose answer is awaited.
#[derive(Clone, Debug)]
struct Writing {
    number: u64,
    forward: Option<Forward>,
    entries: Vec<Entry>,
    /// How many of the entries are not of the change; those that are come again with it.
    kept: usize,
    /// The deployments that leave by the record that is written.
    leaving: Vec<u64>,
    until: Timestamp,
}

/// An effect whose answer is awaited.
#[derive(Clone, Copy, Debug)]
struct Wait {
    run: u64,
    until: Timestamp,
    /// How often the traffic was sent back in vain.
    tries: u32,
}

/// A retirement whose answer is awaited.
#[derive(Clone, Copy, Debug)]
struct Leave {
    deployment: u64,
    attempt: u32,
    until: Timestamp,
}

/// The delivery of one service.
#[derive(Clone, Debug)]
pub struct Delivery {
    shipyard: Shipyard,
    deadlines: Deadlines,
    record: Record,
    waits: Vec<Wait>,
    leaves: Vec<Leave>,
    writing: Option<Writing>,
    todo: Vec<Forward>,
    unsaved: Vec<Entry>,
    /// Until when no write is tried, because the last one failed.
    pause: Timestamp,
    number: u64,
}

impl Delivery {
    /// Makes the delivery of a service that nothing was delivered of.
    #[must_use]
    pub fn new(project: Name, service: Name, shipyard: Shipyard, deadlines: Deadlines) -> Self {
        Self::restore(Record { project, service, next: 1, lanes: Vec::new() }, shipyard, deadlines)
    }

    /// Makes the delivery of a service from what was kept of it. Stages that are new are added; what is live in a stage that
    /// the shipyard no longer has stays live. [`Event::Restored`] then takes up what is open.
    #[must_use]
    pub fn restore(mut record: Record, shipyard: Shipyard, deadlines: Deadlines) -> Self {
        for stage in shipyard.stages() {
            if record.lane(&stage.name).is_none() {
                record.lanes.push(Lane::new(stage.name.clone()));
            }
        }
        Self {
            shipyard,
            deadlines,
            record,
            waits: Vec::new(),
            leaves: Vec::new(),
            writing: None,
            todo: Vec::new(),
            unsaved: Vec::new(),
            pause: Timestamp::ZERO,
            number: 0,
        }
    }

    /// Returns how things stand, durable or not.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the stages.
    #[must_use]
    pub const fn shipyard(&self) -> &Shipyard {
        &self.shipyard
    }

    /// Says whether nothing is on trial, waits, leaves or is still to be written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let quiet = |lane: &Lane| lane.run.is_none() && lane.queue.is_empty() && lane.leaving.is_empty();
        self.writing.is_none() && self.todo.is_empty() && self.unsaved.is_empty() && self.record.lanes.iter().all(quiet)
    }

    /// Returns what invariants look at.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View { shipyard: &self.shipyard, record: &self.record }
    }

    /// Says whether a run is looked after: an answer with a deadline is awaited, or a change waits to become durable.
    #[must_use]
    pub fn is_awaited(&self, run: u64) -> bool {
        let fits = |forward: &Forward| forward.run == run && self.fits(forward);
        let writing = self.writing.as_ref().and_then(|writing| writing.forward.as_ref()).is_some_and(fits);
        writing || self.todo.iter().any(fits) || self.waits.iter().any(|wait| wait.run == run)
    }

    /// Takes in one event and returns what must be done, in order.
    #[must_use]
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        if !cfg!(debug_assertions) {
            return self.react(now, event);
        }
        let (effects, held) = self.handle_checked(now, event.clone());
        debug_assert_eq!(held, Ok(()), "{event:?} gave {effects:?}");
        effects
    }

    /// Does the same and says whether every invariant of the step holds, in release builds too.
    pub fn handle_checked(&mut self, now: Timestamp, event: Event) -> (Vec<Effect>, Result<(), Broken>) {
        let before = self.clone();
        let effects = self.react(now, event.clone());
        let awaited = |run: u64| self.is_awaited(run);
        let held = invariants::after_step(&before.view(), &event, &effects, &self.view(), &awaited);
        (effects, held)
    }

    fn react(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let mut effects = match event {
            Event::Artifact { context, artifact, stage, retry, actor } => self.arrived((context, artifact), stage, retry, &actor),
            Event::Persisted(number) => self.persisted(now, number),
            Event::PersistFailed(number, why) => self.persist_failed(now, number, &why),
            Event::Approved { run, actor } => self.approved(now, run, &actor),
            Event::Denied { run, actor, reason } => self.denied(run, &actor, &reason),
            Event::Abort { stage, actor, reason } => self.aborted(now, stage.as_ref(), &actor, &reason),
            Event::Tick => self.ticked(now),
            Event::Restored => self.restored(now),
            Event::Retired(ticket) => self.retired(ticket),
            answer => self.answered(now, answer),
        };
        effects.extend(self.advance(now));
        // People and systems are told after what they are told of.
        let (mut effects, told): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| !matches!(effect, Effect::Emit { .. } | Effect::Notify { .. }));
        effects.extend(self.write(now));
        effects.extend(told);
        effects
    }

    fn stage(&self, lane: usize) -> Option<&Stage> {
        self.shipyard.stage(&self.record.lanes.get(lane)?.stage)
    }

    fn lane_of(&self, stage: &StageName) -> Option<usize> {
        self.record.lanes.iter().position(|lane| lane.stage == *stage)
    }

    fn run(&self, lane: usize) -> Option<&Run> {
        self.record.lanes.get(lane)?.run.as_ref()
    }

    fn run_mut(&mut self, lane: usize) -> Option<&mut Run> {
        self.record.lanes.get_mut(lane)?.run.as_mut()
    }

    fn await_answer(&mut self, run: u64, until: Timestamp) {
        self.waits.retain(|wait| wait.run != run);
        self.waits.push(Wait { run, until, tries: 0 });
    }

    fn emit(&self, lane: usize, announcement: Announcement) -> Option<Effect> {
        let lane = self.record.lanes.get(lane)?;
        let run = lane.run.as_ref()?;
        Some(Effect::Emit {
            run: run.id,
            context: run.context.clone(),
            stage: lane.stage.clone(),
            artifact: run.candidate.artifact.clone(),
            announcement,
        })
    }

    /// Makes the journal's line of a run as it stands.
    fn entry(&self, lane: usize, actor: &str, reason: &str) -> Option<Entry> {
        let lane = self.record.lanes.get(lane)?;
        let run = lane.run.as_ref()?;
        Some(Entry {
            project: self.record.project.clone(),
            service: self.record.service.clone(),
            stage: lane.stage.clone(),
            context: run.context.clone(),
            run: run.id,
            at: None,
            artifact: run.candidate.artifact.clone(),
            actor: actor.to_owned(),
            phase: Some(run.phase),
            outcome: None,
            verdict: run.verdict,
            reason: reason.to_owned(),
        })
    }
}

const fn ticket(run: &Run) -> Ticket {
    Ticket { run: run.id, attempt: run.attempt }
}

fn notice(sentence: String, alarm: bool) -> Effect {
    Effect::Notify { sentence, alarm }
}
