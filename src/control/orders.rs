//! What an operator's command comes to: a rollout that begins, an entry of the journal, or why there is nothing to do.

use crate::control::command::{Accepted, CommandError};
use crate::control::service::Service;
use crate::control::shell::Shell;
use crate::domain::gate::Verdict;
use crate::domain::rollout::{Event, Phase, Rollout};
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

/// Begins a rollout, where nothing stands in its way.
pub(super) fn begin(
    service: &mut Service,
    canary: Version,
    retry: bool,
    actor: &str,
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    // Whoever asks names a version and where it listens; it is spoken to as the configured one is.
    let canary = Version { transport: service.setup().stable.transport.clone(), ..canary };
    if let Some(why) = service.refusal(&canary, retry) {
        return Err(CommandError::Conflict(why));
    }
    shell.notify(&name, format!("{actor} starts a rollout of {}", canary.name), false);
    let version = canary.name.clone();
    service.begin(canary, Some(actor.to_owned()), now, shell);
    if let Some(record) = service.accepted() {
        // It waits for somebody or something: that it was started, and by whom, is known from now on all the same.
        let what = format!("{actor} starts a rollout of {version}");
        let entry = service.remark(&record, actor, what.clone());
        if let Err(why) = shell.persist(&name, service.state(), &[entry.into()]) {
            shell.notify(&name, format!("that {what} could not be written ({why})"), true);
        }
    }
    Ok(Accepted::Done(format!("the rollout of {version} begins")))
}

/// What an operator says to a service.
pub(super) struct Word<'a> {
    pub(super) service: &'a mut Service,
    pub(super) actor: String,
    pub(super) reason: String,
    pub(super) now: Timestamp,
    pub(super) shell: &'a mut dyn Shell,
}

type Answer = Result<Accepted, CommandError>;

impl Word<'_> {
    fn name(&self) -> Name {
        self.service.setup().name.clone()
    }

    /// Returns the rollout; without one there is nothing to do so to.
    fn rollout(&self, what: &str) -> Result<&Rollout, CommandError> {
        let nothing = || CommandError::Conflict(format!("no rollout of {} is progressing, so there is nothing to {what}", self.name()));
        self.service.rollout().ok_or_else(nothing)
    }

    /// Has the rollout take in what was said.
    fn say(self, event: impl FnOnce(String, String) -> Event) {
        self.service.drive(event(self.actor, self.reason), self.now, self.shell);
    }

    /// Gives everything to stable, whatever else is going on.
    pub(super) fn abort(self) -> Answer {
        let name = self.name();
        if self.service.abort_waiting(&self.actor, &self.reason, self.shell) {
            return done(format!("the rollout of {name} does not begin"));
        }
        if self.service.progressing().is_none() {
            return Ok(Accepted::Nothing(format!("no rollout of {name} is progressing")));
        }
        self.say(|actor, reason| Event::Abort { actor, reason });
        done(format!("the rollout of {name} is aborted; the canary gets nothing"))
    }

    /// Gives everything to stable, in steps where the service is configured so and nothing speaks against it; else at once.
    pub(super) fn recede(self) -> Answer {
        let name = self.name();
        let Some(rollout) = self.service.rollout() else { return self.abort() };
        if rollout.record().phase == Phase::Receding {
            return Ok(Accepted::Nothing(format!("the share of {name}'s canary goes back in steps already; abort it to end that at once")));
        }
        if self.service.setup().way_back.recedes_within().is_none() {
            return self.abort().map(|_| Accepted::Done(at_once(&name, "its way_back is not ramp")));
        }
        if let Some(why) = rollout.cannot_recede() {
            return self.abort().map(|_| Accepted::Done(at_once(&name, &why)));
        }
        let Word { service, actor, reason, now, shell } = self;
        service.drive(Event::Recede { actor, reason }, now, shell);
        match service.progressing() {
            Some(record) => {
                done(format!("the rollout of {name} is aborted; the canary has {} now and goes down to nothing", record.weight))
            }
            None => done(format!("the rollout of {name} is aborted; the canary gets nothing")),
        }
    }

    /// Lets a rollout go on that is held.
    pub(super) fn resume(mut self) -> Answer {
        let name = self.name();
        if let Some(rollout) = self.service.rollout().filter(|rollout| rollout.record().phase == Phase::Receding) {
            return possible(rollout.cannot_pause()).map(|()| Accepted::Nothing(String::new()));
        }
        if self.service.progressing().is_none_or(|record| record.phase != Phase::Paused) {
            return conflict(format!("no rollout of {name} is paused, so there is nothing to resume"));
        }
        if self.service.is_unsaved() {
            return conflict("what was decided last is not durable yet; see that the disk works and try again".to_owned());
        }
        match self.asks(|actor, reason| Event::Resume { actor, reason }) {
            Some(weight) => done(format!("others are asked first; {name} begins again with {weight} once they let it")),
            // What could not be written does not go on, and a trip may have come in between.
            None if self.service.progressing().is_some_and(|record| record.phase == Phase::Progressing) => {
                done(format!("the rollout of {name} goes on with fresh evidence"))
            }
            None => conflict(format!("the rollout of {name} was not resumed; GET /v1/notices tells why")),
        }
    }

    /// Approves that a rollout goes on.
    pub(super) fn approve(mut self) -> Answer {
        let name = self.name();
        possible(self.rollout("approve")?.cannot_approve())?;
        self.asks(|actor, reason| Event::Approve { actor, reason });
        // What could not be written is not approved, and a trip may have come in between.
        match self.service.progressing() {
            Some(record) if record.phase == Phase::Progressing => {
                done(format!("the rollout of {name} is approved and goes on as soon as its gates pass"))
            }
            _ => conflict(format!("the rollout of {name} was not approved; GET /v1/notices tells why")),
        }
    }

    /// Denies that a rollout goes on.
    pub(super) fn deny(self) -> Answer {
        let (name, rollout) = (self.name(), self.rollout("deny")?);
        if rollout.record().phase != Phase::AwaitingApproval {
            let why = rollout.cannot_approve().unwrap_or_default();
            return conflict(format!("{why}; abort it instead"));
        }
        let Word { service, actor, reason, now, shell } = self;
        service.drive(Event::Deny { actor, reason }, now, shell);
        match service.progressing() {
            Some(record) => done(format!("the rollout of {name} is denied; the canary has {} now and goes down to nothing", record.weight)),
            None => done(format!("the rollout of {name} is denied; the canary gets nothing")),
        }
    }

    /// Takes in what those say who are asked beside the gates; says no where nothing came of it.
    pub(super) fn rule(self, number: u64, (verdict, approves): (Verdict, bool)) -> Answer {
        let (name, rollout) = (self.name(), self.rollout("judge")?);
        if rollout.record().id != number {
            return conflict(format!("rollout {number} of {name} is over"));
        }
        let before = rollout.record().generation;
        let Word { service, actor, reason, now, shell } = self;
        service.drive(Event::Ruled { verdict, approves, actor, reason }, now, shell);
        let after = service.rollout().map(|rollout| rollout.record().generation);
        if after == Some(before) && (approves || matches!(verdict, Verdict::Fail | Verdict::Inconclusive)) {
            return conflict(format!("the rollout of {name} does not wait for that, or it could not be written"));
        }
        done(format!("{verdict} for the rollout of {name}"))
    }

    /// Holds a rollout where it is.
    pub(super) fn pause(self) -> Answer {
        let (name, rollout) = (self.name(), self.rollout("hold")?);
        if rollout.record().phase == Phase::Paused {
            return Ok(Accepted::Nothing(format!("the rollout of {name} is held already")));
        }
        possible(rollout.cannot_pause())?;
        self.say(|actor, reason| Event::Pause { actor, reason });
        done(format!("the rollout of {name} is held; its gates stay armed"))
    }

    /// Holds the canary with another share.
    pub(super) fn set_weight(mut self, weight: Weight) -> Answer {
        let name = self.name();
        possible(self.rollout("give a share to")?.cannot_set(weight))?;
        if self.asks(|actor, reason| Event::SetWeight { weight, actor, reason }).is_some() {
            return done(format!("others are asked first; the canary of {name} is held with {weight} once they let it"));
        }
        // A raise that could not be written was not made, and a trip may have come in between.
        match self.service.progressing() {
            Some(record) if record.phase == Phase::Paused && record.weight == weight => {
                done(format!("the canary of {name} is held with {weight}; its gates stay armed"))
            }
            _ => conflict(format!("the canary of {name} was not given {weight}; GET /v1/notices tells why")),
        }
    }

    /// Waives the holds that remain before the last step.
    pub(super) fn promote(self) -> Answer {
        let name = self.name();
        let rollout = self.rollout("promote")?;
        possible(rollout.cannot_promote())?;
        if rollout.is_waived() {
            return Ok(Accepted::Nothing(format!("the remaining holds of {name} before the last step are waived already")));
        }
        let waives = format!("{} waives the remaining holds: {}", self.actor, self.reason);
        let entry = self.service.remark(rollout.record(), &self.actor, waives);
        let written = self.shell.persist(&name, self.service.state(), &[entry.into()]);
        written.map_err(|why| CommandError::Conflict(format!("nothing was waived: {why}")))?;
        self.say(|actor, reason| Event::Promote { actor, reason });
        done(format!("the remaining holds of {name} before the last step are waived; every step still needs its evidence"))
    }

    /// Has the rollout take in what was said; returns the share that others are asked for because of it.
    fn asks(&mut self, event: impl FnOnce(String, String) -> Event) -> Option<Weight> {
        let (actor, reason) = (std::mem::take(&mut self.actor), std::mem::take(&mut self.reason));
        self.service.drive(event(actor, reason), self.now, self.shell);
        self.service.note_wish(self.shell);
        self.service.rollout().and_then(Rollout::wanted)
    }
}

/// Says that an abort that was to go in steps has not.
fn at_once(name: &Name, why: &str) -> String {
    format!("the rollout of {name} is aborted; the canary gets nothing, at once: {why}")
}

fn done(sentence: String) -> Answer {
    Ok(Accepted::Done(sentence))
}

fn conflict(why: String) -> Answer {
    Err(CommandError::Conflict(why))
}

/// Passes on why something is not possible.
fn possible(obstacle: Option<String>) -> Result<(), CommandError> {
    obstacle.map_or(Ok(()), |why| Err(CommandError::Conflict(why)))
}
