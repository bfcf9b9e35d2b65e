//! Names the invariants of a rollout and checks them; debug builds, the simulation and the property tests call the same functions.

use std::time::Duration;

use crate::domain::gate::{Policy, Verdict};
use crate::domain::outcome::Role;
use crate::domain::rollout::event::{Arming, Effect, Event, View};
use crate::domain::rollout::record::{Phase, Record};
use crate::domain::standing::Standing;
use crate::domain::time::Timestamp;
use crate::domain::webhook::Occasion;
use crate::domain::weight::Weight;

mod broken;
mod receding;
mod telling;

pub use broken::Broken;
use broken::hold;
pub use receding::{i7_a_receding_share_only_falls, i8_a_breach_ends_what_recedes, only_what_is_not_known_to_be_bad_recedes};
pub use telling::{i26_changes_explain_themselves, i26_no_change_is_forgotten};

/// Checks one step of the machine against every invariant that concerns it.
///
/// # Errors
///
/// Returns the first invariant that does not hold.
pub fn after_step(before: &View<'_>, now: Timestamp, event: &Event, effects: &[Effect], after: &View<'_>) -> Result<(), Broken> {
    i1_weights_are_valid(after.record)?;
    i2_nothing_is_published_for_the_canary_after_its_end(before.record, effects, after.record)?;
    i4_generations_strictly_increase(before.record, effects, after.record)?;
    i5_a_raise_needs_evidence(before, now, event, effects)?;
    i6_promotion_needs_the_whole_last_step(before, now, event, effects)?;
    i7_the_weight_is_monotone_until_it_is_zero(before.record, event, after.record)?;
    i7_a_receding_share_only_falls(before, now, event, effects, after)?;
    only_what_is_not_known_to_be_bad_recedes(before, event, after)?;
    i8_a_breach_latches(before, event, after.record)?;
    i8_a_breach_ends_what_recedes(before.record, event, after.record)?;
    i9_abort_dominates(before.record, event, after.record)?;
    i5_an_approval_is_somebodys_word(before, event, effects, after)?;
    i5_a_waiver_ends_with_a_brake(after)?;
    i24_every_wait_ends(before, now, event, after)?;
    i26_changes_explain_themselves(effects)?;
    i26_no_change_is_forgotten(before, event, effects, after)?;
    safe_order_of_effects(before.record, effects)
}

/// I1: weights are basis points that sum to 10 000, and a canary that is braked, rolled back or aborted has none.
///
/// # Errors
///
/// Returns what broke it.
pub fn i1_weights_are_valid(record: &Record) -> Result<(), Broken> {
    let sum = u32::from(record.weight.basis_points()) + u32::from(record.weight.complement().basis_points());
    hold("I1", sum == 10_000, || format!("the weights sum to {sum}"))?;
    let none_left = !matches!(record.phase, Phase::Braked | Phase::RolledBack | Phase::Aborted) || record.weight == Weight::ZERO;
    hold("I1", none_left, || format!("{} with {}", record.phase.as_str(), record.weight))
}

/// I2: once the canary's share is taken back, nothing published later gives it any; while braked it gets probes at most, drawn
/// with no larger share than it had.
///
/// # Errors
///
/// Returns what broke it.
pub fn i2_nothing_is_published_for_the_canary_after_its_end(before: &Record, effects: &[Effect], after: &Record) -> Result<(), Broken> {
    for effect in effects {
        let Effect::Publish { owner, weight, arming, .. } = effect else { continue };
        let share = *owner == Role::Canary || *weight > Weight::ZERO;
        let taken = matches!(after.phase, Phase::Braked | Phase::RolledBack | Phase::Aborted);
        hold("I2", !(taken && share), || format!("a share was published although the rollout is {}", after.phase.as_str()))?;
        let probed = match arming {
            Arming::Probes(drawn) => after.phase == Phase::Braked && *drawn <= before.weight,
            Arming::Nothing => !share || *owner == Role::Canary,
            Arming::WarmUp | Arming::Fresh { .. } | Arming::NextStep | Arming::Held | Arming::Watch => share,
        };
        hold("I2", probed, || format!("{arming:?} at {weight} while {}", after.phase.as_str()))?;
    }
    Ok(())
}

/// I2 and I12 at the pick: a canary pick needs an epoch that has not tripped and has not expired.
///
/// # Errors
///
/// Returns what broke it.
pub fn i2_i12_a_canary_pick_is_allowed(tripped: bool, valid_until: Timestamp, now: Timestamp, picked: Role) -> Result<(), Broken> {
    hold("I2", !(picked == Role::Canary && tripped), || "the canary was picked after the trip".to_owned())?;
    hold("I12", !(picked == Role::Canary && now > valid_until), || format!("the canary was picked at {now}, valid until {valid_until}"))
}

/// I3: one request, one decision: the version that answers is the one that was decided, in the generation that was decided.
///
/// # Errors
///
/// Returns what broke it.
pub fn i3_one_request_one_decision(decided: (u64, Role), served: (u64, Role)) -> Result<(), Broken> {
    hold("I3", decided == served, || format!("decided {decided:?}, served {served:?}"))
}

/// I4: generations strictly increase with every publication.
///
/// # Errors
///
/// Returns what broke it.
pub fn i4_generations_strictly_increase(before: &Record, effects: &[Effect], after: &Record) -> Result<(), Broken> {
    let mut last = before.generation;
    for effect in effects {
        if let Effect::Publish { generation, .. } = effect {
            hold("I4", *generation > last, || format!("{generation} was published after {last}"))?;
            last = *generation;
        }
    }
    hold("I4", after.generation >= last, || format!("the record says {} after {last} was published", after.generation))
}

/// I5: the canary's share goes up only with pass evidence of every gate since the step began (or, where the plan says so, the
/// bound on the harm to be expected), no breach, and the hold over (or waived by the operator); after a brake only when it was
/// not confirmed in time, a few times, from the first share on; after a pause only by the operator, who may also choose a
/// step of the plan and hold it there, from nothing only the first. What is published was persisted before.
///
/// # Errors
///
/// Returns what broke it.
pub fn i5_a_raise_needs_evidence(before: &View<'_>, now: Timestamp, event: &Event, effects: &[Effect]) -> Result<(), Broken> {
    for effect in effects {
        match effect {
            Effect::Persist { record, .. } if record.weight > before.record.weight => {
                hold("I5", is_earned(before, now, event, record), || format!("{} asked for on {event:?}", record.weight))?;
            }
            Effect::Publish { weight, owner: Role::Stable, .. } if *weight > before.record.weight => {
                let durable = matches!(event, Event::Persisted) && before.pending;
                hold("I5", durable, || format!("{weight} published before it was durable"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// I5 of an approval: nothing but somebody's word lets a rollout go on that waits for one, and that is durable first.
///
/// # Errors
///
/// Returns what broke it.
pub fn i5_an_approval_is_somebodys_word(before: &View<'_>, event: &Event, effects: &[Effect], after: &View<'_>) -> Result<(), Broken> {
    let waited = before.record.phase == Phase::AwaitingApproval;
    for effect in effects {
        let Effect::Persist { record, .. } = effect else { continue };
        let goes_on = matches!(record.phase, Phase::Progressing | Phase::Watching | Phase::Promoted);
        let said = matches!(event, Event::Approve { .. } | Event::Ruled { verdict: Verdict::Pass | Verdict::Warning, approves: true, .. });
        hold("I5", !(waited && goes_on) || said, || format!("{} on {event:?} without an approval", record.phase.as_str()))?;
    }
    let durable = waited && before.pending && matches!(event, Event::Persisted);
    hold("I5", !after.approved || before.approved || durable, || format!("approved on {event:?}"))
}

/// I5 of a waiver: the holds that were waived are in force again once the canary is braked.
///
/// # Errors
///
/// Returns what broke it.
pub fn i5_a_waiver_ends_with_a_brake(after: &View<'_>) -> Result<(), Broken> {
    hold("I5", !(after.waived && after.record.phase == Phase::Braked), || "the holds are waived of a braked canary".to_owned())
}

/// Says whether no webhook need be asked on an occasion, or all of them let the rollout go on.
fn is_cleared(rollout: &View<'_>, occasion: Occasion) -> bool {
    (rollout.cleared && rollout.wanted.is_none()) || rollout.consulting.is_none_or(|consulting| !consulting.asks(occasion))
}

/// Says whether nobody need be asked before the rollout goes on from its step, or somebody was.
fn is_approved(rollout: &View<'_>) -> bool {
    rollout.owed.is_none()
}

fn is_earned(before: &View<'_>, now: Timestamp, event: &Event, record: &Record) -> bool {
    let from_the_start = before.record.weight == Weight::ZERO && record.step == 0;
    match (before.record.phase, event) {
        (Phase::Progressing | Phase::Paused, Event::Consulted { refusal: None, .. }) if before.asking => is_wanted(before, record),
        (Phase::Progressing | Phase::Paused, Event::Judged { .. }) if before.cleared && before.wanted.is_some() => {
            is_wanted(before, record)
        }
        (Phase::Progressing, Event::Begin) => from_the_start && is_cleared(before, Occasion::Start),
        (Phase::Progressing, Event::Judged { judgement, .. }) => {
            let harmless = before.plan.harm().is_some() && judgement.harm_cap.is_some_and(|cap| cap >= record.weight);
            let breached = judgement.brake.is_some() || judgement.confirmed.is_some();
            let enough = judgement.passes() || (harmless && before_last_step(before));
            let reachable = before.canary.is_usable() && before.stable.is_usable();
            (from_the_start && is_cleared(before, Occasion::Start))
                || (is_approved(before)
                    && is_cleared(before, Occasion::Raise)
                    && enough
                    && reachable
                    && !breached
                    && !before.warming
                    && (hold_is_over(before, now) || (before.waived && before_last_step(before))))
        }
        (Phase::Braked, Event::Judged { judgement, .. }) => {
            let in_time = now.since(before.since) < before.policy.confirm_within();
            from_the_start && judgement.confirmed.is_none() && !in_time && before.record.brakes <= Policy::RESUMES
        }
        (Phase::Paused, Event::Resume { .. }) => from_the_start && asks_nobody(before),
        (Phase::Progressing | Phase::Paused, Event::SetWeight { weight, .. }) => {
            record.weight == *weight && may_be_held_with_more(before, record) && asks_nobody(before)
        }
        _ => false,
    }
}

/// Says whether an operator may raise the share without asking anybody.
fn asks_nobody(rollout: &View<'_>) -> bool {
    let occasion = if rollout.record.weight == Weight::ZERO { Occasion::Start } else { Occasion::Raise };
    rollout.consulting.is_none_or(|consulting| !consulting.asks(occasion))
}

/// Says whether this is what an operator wants, and was asked for.
fn is_wanted(before: &View<'_>, record: &Record) -> bool {
    let again = before.record.phase == Phase::Paused && before.record.weight == Weight::ZERO && record.step == 0;
    let resumed = again && record.phase == Phase::Progressing;
    before.wanted == Some(record.weight) && (resumed || may_be_held_with_more(before, record))
}

/// Says whether an operator may hold the canary with a higher share.
fn may_be_held_with_more(before: &View<'_>, record: &Record) -> bool {
    let planned = before.plan.step(record.step).is_some_and(|step| step.weight == record.weight);
    let reachable = before.canary.is_usable() && before.stable.is_usable();
    let orderly = before.record.weight > Weight::ZERO || record.step == 0;
    record.phase == Phase::Paused && planned && orderly && reachable && !before.warming
}

fn hold_is_over(rollout: &View<'_>, now: Timestamp) -> bool {
    rollout.served || rollout.plan.step(rollout.record.step).is_some_and(|step| now.since(rollout.since) >= step.hold)
}

/// Only holds before the last step may be waived.
fn before_last_step(rollout: &View<'_>) -> bool {
    rollout.record.step < rollout.plan.last_index()
}

/// I6: promotion needs the evidence of the last step for its whole hold, and then the whole watch without a breach.
///
/// # Errors
///
/// Returns what broke it.
pub fn i6_promotion_needs_the_whole_last_step(before: &View<'_>, now: Timestamp, event: &Event, effects: &[Effect]) -> Result<(), Broken> {
    let asked = effects.iter().find_map(|e| match e {
        Effect::Persist { record, .. } if matches!(record.phase, Phase::Promoted | Phase::Watching) => Some(record.phase),
        _ => None,
    });
    if let Some(phase) = asked
        && (before.record.phase != phase)
    {
        let last = before.record.step == before.plan.last_index() && before.record.weight == Weight::FULL;
        let passed = before.record.phase == Phase::Progressing
            && matches!(event, Event::Judged { judgement, .. } if judgement.passes())
            && hold_is_over(before, now);
        let watched = before.record.phase == Phase::Watching
            && matches!(event, Event::Judged { judgement, .. } if judgement.brake.is_none() && judgement.confirmed.is_none())
            && now.since(before.since) >= before.policy.watch;
        let passed = passed && is_approved(before) && before.canary.is_usable() && before.stable.is_usable();
        let watched = watched && before.canary.is_usable();
        let cleared = phase != Phase::Promoted || is_cleared(before, Occasion::Promotion);
        let earned = if phase == Phase::Promoted { watched || (passed && before.policy.watch.is_zero()) } else { passed };
        let earned = earned && cleared;
        hold("I6", earned && last, || {
            format!("{} on {event:?} at step {} with {}", phase.as_str(), before.record.step, before.record.weight)
        })?;
    }
    let gives = effects.iter().any(|e| matches!(e, Effect::Publish { owner: Role::Canary, .. }));
    hold("I6", !gives || (matches!(event, Event::Persisted) && before.pending), || "promotion published before it was durable".to_owned())
}

/// I7: the canary's share never falls except to zero, where an operator says to, or while it recedes, and stays there.
///
/// # Errors
///
/// Returns what broke it.
pub fn i7_the_weight_is_monotone_until_it_is_zero(before: &Record, event: &Event, after: &Record) -> Result<(), Broken> {
    let (was, is) = (before.weight, after.weight);
    let said = matches!(event, Event::SetWeight { weight, .. } if *weight == is);
    let recedes = after.phase == Phase::Receding;
    hold("I7", is >= was || is == Weight::ZERO || said || recedes, || format!("from {was} to {is}"))?;
    hold("I7", !(before.phase.is_terminal() && is > was), || format!("from {was} to {is} after the end"))
}

/// I8: a final breach is never undone, and a breach takes the share at once, whatever waits for the disk: finally, or until it is
/// confirmed or not.
///
/// # Errors
///
/// Returns what broke it.
pub fn i8_a_breach_latches(before: &View<'_>, event: &Event, after: &Record) -> Result<(), Broken> {
    hold("I8", before.record.phase != Phase::RolledBack || after.phase == Phase::RolledBack, || {
        format!("rolled back became {}", after.phase.as_str())
    })?;
    let lost = matches!(event, Event::Endpoints { canary: Standing::Failed, .. }) && before.canary != Standing::Failed;
    let lost = lost && before.record.weight > Weight::ZERO;
    // What it is braked for, or was too often, is known.
    let known = before.record.phase == Phase::Braked || (before.record.is_held_for_brakes() && after.is_held_for_brakes());
    let judged = matches!(event, Event::Judged { judgement, .. } if judgement.confirmed.is_some() || (judgement.brake.is_some() && !known));
    let tripped = (matches!(event, Event::Tripped(_)) || judged || lost) && !before.record.phase.is_terminal();
    let taken = after.phase == Phase::RolledBack || (after.phase == Phase::Braked && before.policy.confirms());
    hold("I8", !tripped || (taken && after.weight == Weight::ZERO), || format!("a trip led to {}", after.phase.as_str()))
}

/// I9: an abort accepted before `promoted` is durable ends with nothing for the canary.
///
/// # Errors
///
/// Returns what broke it.
pub fn i9_abort_dominates(before: &Record, event: &Event, after: &Record) -> Result<(), Broken> {
    hold("I9", before.phase != Phase::Aborted || after.phase == Phase::Aborted, || format!("aborted became {}", after.phase.as_str()))?;
    let accepted = matches!(event, Event::Abort { .. }) && before.phase != Phase::Promoted;
    hold("I9", !accepted || after.weight == Weight::ZERO, || format!("an abort left {}", after.weight))
}

/// I24: every brake, pause and step without a verdict ends: what has lasted too long when it is judged does not go on.
///
/// # Errors
///
/// Returns what broke it.
pub fn i24_every_wait_ends(before: &View<'_>, now: Timestamp, event: &Event, after: &View<'_>) -> Result<(), Broken> {
    let longest = match before.record.phase {
        Phase::Braked => before.policy.confirm_within(),
        Phase::Paused => Policy::HOLD_LIMIT,
        Phase::AwaitingApproval => before.owed.map_or(Duration::ZERO, |approval| approval.deadline),
        Phase::Progressing => before.plan.step(before.record.step).map_or(Duration::MAX, |s| s.hold.saturating_add(before.policy.max_bake)),
        Phase::Watching => before.policy.watch,
        Phase::Receding => before.recession.map_or(Duration::ZERO, |recession| recession.within),
        Phase::Promoted | Phase::RolledBack | Phase::Aborted => return Ok(()),
    };
    let waited = now.since(before.since);
    let judged = matches!(event, Event::Judged { .. });
    let waits = before.record.weight == Weight::ZERO && before.record.phase == Phase::Progressing;
    // What an operator wants and others have let be is carried out or dropped now, and the next time it is judged again.
    let asked = after.asking || before.wanted.is_some();
    // What waits to be raised waits for the disk, too.
    let blocked = !before.unsaved.is_empty() && !matches!(before.record.phase, Phase::Paused | Phase::AwaitingApproval | Phase::Receding);
    let excused = !judged || before.pending || before.warming || blocked || asked || waits || waited <= longest;
    hold("I24", excused || after.pending || after.record.phase != before.record.phase, || {
        format!("{} for {} seconds", before.record.phase.as_str(), waited.as_secs())
    })
}

/// I11: after a restart the canary has at most what was last durable, and nothing when that is unknown.
///
/// # Errors
///
/// Returns what broke it.
pub fn i11_unknown_is_safe(durable: Option<&Record>, effective: Weight) -> Result<(), Broken> {
    let most = durable.filter(|r| !r.phase.is_terminal()).map_or(Weight::ZERO, |r| r.weight);
    hold("I11", effective <= most, || format!("{effective} after a restart, at most {most} was durable"))
}

/// I14: every decided request was answered, failed or aborted, or is in flight.
///
/// # Errors
///
/// Returns what broke it.
pub fn i14_requests_are_conserved(decided: u64, answered: u64, failed: u64, aborted: u64, in_flight: u64) -> Result<(), Broken> {
    hold("I14", decided == answered + failed + aborted + in_flight, || {
        format!("{decided} decided, but {answered} answered, {failed} failed, {aborted} aborted and {in_flight} in flight")
    })
}

/// Going forward: persist before publish. Going back: publish before persist.
fn safe_order_of_effects(before: &Record, effects: &[Effect]) -> Result<(), Broken> {
    let position = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
    let publish = position(|e| matches!(e, Effect::Publish { .. }));
    let persist = position(|e| matches!(e, Effect::Persist { .. }));
    let notify = position(|e| matches!(e, Effect::Notify { .. }));
    if let (Some(publish), Some(persist)) = (publish, persist) {
        hold("safe order", publish < persist, || format!("persisted before taking back {}", before.weight))?;
    }
    if let (Some(notify), Some(first)) = (notify, publish.or(persist)) {
        hold("safe order", first < notify, || "people were told before it was so".to_owned())?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "invariants_tests.rs"]
mod tests;
