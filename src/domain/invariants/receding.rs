//! What holds while a share goes back in steps: it only falls, in time, and nothing known to be bad takes that way.

use crate::domain::invariants::broken::{Broken, hold};
use crate::domain::rollout::event::{Effect, Event, View};
use crate::domain::rollout::record::{Phase, Record};
use crate::domain::standing::Standing;
use crate::domain::time::Timestamp;
use crate::domain::way_back::Recession;
use crate::domain::weight::Weight;

/// I7 of a share that recedes: it never grows, in no publication either, goes on as it began, is no more than half after a third of its
/// time and no more than a quarter after two thirds when it is judged, and leads to nothing but an end. That the whole of its time is
/// the end of it is I24.
///
/// # Errors
///
/// Returns what broke it.
pub fn i7_a_receding_share_only_falls(
    before: &View<'_>,
    now: Timestamp,
    event: &Event,
    effects: &[Effect],
    after: &View<'_>,
) -> Result<(), Broken> {
    if after.record.phase == Phase::Receding {
        let (share, from) = (after.record.weight, after.recession.map_or(Weight::ZERO, |recession| recession.from));
        hold("I7", share > Weight::ZERO && share <= from, || format!("{share} recedes from {from}"))?;
    }
    if before.record.phase != Phase::Receding {
        return Ok(());
    }
    let (was, is, phase) = (before.record.weight, after.record.weight, after.record.phase);
    hold("I7", is <= was, || format!("from {was} to {is} while it recedes"))?;
    for effect in effects {
        let Effect::Publish { weight, .. } = effect else { continue };
        hold("I7", *weight <= was, || format!("{weight} was published while {was} recedes"))?;
    }
    hold("I7", matches!(phase, Phase::Receding | Phase::RolledBack | Phase::Aborted), || format!("receding became {}", phase.as_str()))?;
    if phase != Phase::Receding {
        return Ok(());
    }
    let Some(recession) = before.recession.filter(|recession| after.recession == Some(*recession)) else {
        return hold("I7", false, || "it recedes otherwise than it began".to_owned());
    };
    let (gone, basis_points) = (now.since(recession.began), recession.from.basis_points());
    let most = if gone * 3 >= recession.within * 2 {
        basis_points / 4
    } else if gone * 3 >= recession.within {
        basis_points / 2
    } else {
        basis_points
    };
    let judged = matches!(event, Event::Judged { .. });
    hold("I7", !judged || is.basis_points() <= most, || format!("{is} is left of {} after {} ms", recession.from, gone.as_millis()))
}

/// A share recedes only where that is configured, for no longer than may be, and where people or clocks end a rollout whose canary can
/// be reached and has breached nothing.
///
/// # Errors
///
/// Returns what broke it.
pub fn only_what_is_not_known_to_be_bad_recedes(before: &View<'_>, event: &Event, after: &View<'_>) -> Result<(), Broken> {
    if before.record.phase == Phase::Receding || after.record.phase != Phase::Receding {
        return Ok(());
    }
    let [_, longest] = Recession::BOUNDS;
    let within = after.recession.map(|recession| recession.within);
    hold("recession", within.is_some() && within == before.prospect.within && within <= Some(longest), || format!("within {within:?}"))?;
    let ended = match event {
        Event::Recede { .. } | Event::Consulted { refusal: Some(_), .. } => true,
        Event::Deny { .. } => before.record.phase == Phase::AwaitingApproval,
        Event::Judged { judgement, .. } => judgement.brake.is_none() && judgement.confirmed.is_none(),
        _ => false,
    };
    let well = before.canary.is_usable() && !before.warming && !matches!(before.record.phase, Phase::Braked);
    hold("recession", ended && well, || format!("{} recedes on {event:?}", before.record.phase.as_str()))
}

/// I8 of a share that recedes: a breach takes what is left of it at once and for good, and waits for no confirmation.
///
/// # Errors
///
/// Returns what broke it.
pub fn i8_a_breach_ends_what_recedes(before: &Record, event: &Event, after: &Record) -> Result<(), Broken> {
    let breached = match event {
        Event::Tripped(_) | Event::Endpoints { canary: Standing::Failed, .. } => true,
        Event::Judged { judgement, .. } => judgement.brake.is_some() || judgement.confirmed.is_some(),
        _ => false,
    };
    let taken = after.phase == Phase::RolledBack && after.weight == Weight::ZERO;
    hold("I8", !(before.phase == Phase::Receding && breached) || taken, || format!("a breach led to {}", after.phase.as_str()))
}
