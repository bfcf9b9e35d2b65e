//! What an operator's command comes to: a rollout that begins, an entry of the journal, or why there is nothing to do.

use crate::control::command::{Accepted, CommandError};
use crate::control::service::Service;
use crate::control::shell::Shell;
use crate::domain::rollout::{Event, Phase};
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

/// Says that there is nothing to ask something of.
fn nothing_progresses(name: &Name, what: &str) -> CommandError {
    CommandError::Conflict(format!("no rollout of {name} is progressing, so there is nothing to {what}"))
}

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

/// Ends a rollout, begun or about to.
pub(super) fn abort(service: &mut Service, (actor, reason): (String, String), now: Timestamp, shell: &mut dyn Shell) -> Accepted {
    let name = service.setup().name.clone();
    if service.abort_waiting(&actor, &reason, shell) {
        return Accepted::Done(format!("the rollout of {name} does not begin"));
    }
    if service.progressing().is_none() {
        return Accepted::Nothing(format!("no rollout of {name} is progressing"));
    }
    service.drive(Event::Abort { actor, reason }, now, shell);
    Accepted::Done(format!("the rollout of {name} is aborted; the canary gets nothing"))
}

/// Lets a held rollout go on.
pub(super) fn resume(
    service: &mut Service,
    (actor, reason): (String, String),
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    if service.progressing().is_none_or(|record| record.phase != Phase::Paused) {
        return Err(CommandError::Conflict(format!("no rollout of {name} is paused, so there is nothing to resume")));
    }
    if service.is_unsaved() {
        let why = "what was decided last is not durable yet; see that the disk works and try again";
        return Err(CommandError::Conflict(why.to_owned()));
    }
    service.drive(Event::Resume { actor, reason }, now, shell);
    // What could not be written does not go on, and a trip may have come in between.
    match service.progressing() {
        Some(record) if record.phase == Phase::Progressing => {
            Ok(Accepted::Done(format!("the rollout of {name} goes on with fresh evidence")))
        }
        _ => Err(CommandError::Conflict(format!("the rollout of {name} was not resumed; GET /v1/notices tells why"))),
    }
}

/// Waives the holds that remain before the last step.
pub(super) fn promote(
    service: &mut Service,
    (actor, reason): (String, String),
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    let Some(rollout) = service.rollout() else { return Err(nothing_progresses(&name, "promote")) };
    rollout.cannot_promote().map_or(Ok(()), |why| Err(CommandError::Conflict(why)))?;
    if rollout.is_waived() {
        return Ok(Accepted::Nothing(format!("the remaining holds of {name} before the last step are waived already")));
    }
    let entry = service.remark(rollout.record(), &actor, format!("{actor} waives the remaining holds: {reason}"));
    shell.persist(&name, service.state(), &[entry.into()]).map_err(|why| CommandError::Conflict(format!("nothing was waived: {why}")))?;
    service.drive(Event::Promote { actor, reason }, now, shell);
    Ok(Accepted::Done(format!("the remaining holds of {name} before the last step are waived; every step still needs its evidence")))
}

/// Approves that a rollout goes on.
pub(super) fn approve(
    service: &mut Service,
    (actor, reason): (String, String),
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    let Some(rollout) = service.rollout() else { return Err(nothing_progresses(&name, "approve")) };
    rollout.cannot_approve().map_or(Ok(()), |why| Err(CommandError::Conflict(why)))?;
    service.drive(Event::Approve { actor, reason }, now, shell);
    // What could not be written is not approved, and a trip may have come in between.
    match service.progressing() {
        Some(record) if record.phase == Phase::Progressing => {
            Ok(Accepted::Done(format!("the rollout of {name} is approved and goes on as soon as its gates pass")))
        }
        _ => Err(CommandError::Conflict(format!("the rollout of {name} was not approved; GET /v1/notices tells why"))),
    }
}

/// Denies that a rollout goes on.
pub(super) fn deny(
    service: &mut Service,
    (actor, reason): (String, String),
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    let Some(rollout) = service.rollout() else { return Err(nothing_progresses(&name, "deny")) };
    if rollout.record().phase != Phase::AwaitingApproval {
        let why = rollout.cannot_approve().unwrap_or_default();
        return Err(CommandError::Conflict(format!("{why}; abort it instead")));
    }
    service.drive(Event::Deny { actor, reason }, now, shell);
    Ok(Accepted::Done(format!("the rollout of {name} is denied; the canary gets nothing")))
}

/// Holds a rollout where it is.
pub(super) fn pause(
    service: &mut Service,
    (actor, reason): (String, String),
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    let Some(rollout) = service.rollout() else { return Err(nothing_progresses(&name, "hold")) };
    if rollout.record().phase == Phase::Paused {
        return Ok(Accepted::Nothing(format!("the rollout of {name} is held already")));
    }
    rollout.cannot_pause().map_or(Ok(()), |why| Err(CommandError::Conflict(why)))?;
    service.drive(Event::Pause { actor, reason }, now, shell);
    Ok(Accepted::Done(format!("the rollout of {name} is held; its gates stay armed")))
}

/// Holds the canary with another share.
pub(super) fn set_weight(
    service: &mut Service,
    weight: Weight,
    (actor, reason): (String, String),
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    let Some(rollout) = service.rollout() else { return Err(nothing_progresses(&name, "give a share to")) };
    rollout.cannot_set(weight).map_or(Ok(()), |why| Err(CommandError::Conflict(why)))?;
    service.drive(Event::SetWeight { weight, actor, reason }, now, shell);
    // A raise that could not be written was not made, and a trip may have come in between.
    match service.progressing() {
        Some(record) if record.phase == Phase::Paused && record.weight == weight => {
            Ok(Accepted::Done(format!("the canary of {name} is held with {weight}; its gates stay armed")))
        }
        _ => Err(CommandError::Conflict(format!("the canary of {name} was not given {weight}; GET /v1/notices tells why"))),
    }
}
