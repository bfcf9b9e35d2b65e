//! I26: every change is in the journal, with its reason and with what it rests on.

use crate::domain::invariants::broken::{Broken, hold};
use crate::domain::rollout::event::{Effect, Event, UNSAVED, View};
use crate::domain::rollout::record::{ENDPOINTS, Phase};

/// I26: each journal entry says why, and one by which a gate takes the canary's share away carries its evidence or the gate
/// file's own words; one that follows from the canary's endpoints has none but its reason.
///
/// # Errors
///
/// Returns what broke it.
pub fn i26_changes_explain_themselves(effects: &[Effect]) -> Result<(), Broken> {
    for effect in effects {
        let Effect::Persist { entry, .. } = effect else { continue };
        hold("I26", !entry.reason.is_empty() && !entry.actor.is_empty(), || format!("{entry:?} says nothing"))?;
        let by_gate = entry.phase == Phase::Braked && entry.actor != ENDPOINTS;
        let explained = !by_gate || entry.evidence.as_ref().is_some_and(|e| !e.gate.is_empty());
        hold("I26", explained, || format!("{entry:?} has no evidence"))?;
    }
    Ok(())
}

/// I26: what was published and could not be written is not forgotten: every verdict tries to write all of it, each line in its turn.
///
/// # Errors
///
/// Returns what broke it.
pub fn i26_no_change_is_forgotten(before: &View<'_>, event: &Event, effects: &[Effect], after: &View<'_>) -> Result<(), Broken> {
    let unsaved: Vec<u64> = after.unsaved.iter().map(|line| line.entry.generation).collect();
    let mut kept = before.unsaved.iter().take(UNSAVED - 1).map(|line| line.entry.generation);
    let lost = kept.find(|generation| !unsaved.contains(generation)).filter(|_| !matches!(event, Event::Persisted));
    hold("I26", lost.is_none(), || format!("generation {lost:?} was not written and is forgotten"))?;
    let tried = effects.iter().find_map(|effect| match effect {
        Effect::Persist { entry, earlier, .. } => Some(earlier.iter().map(|line| line.entry.generation).chain([entry.generation])),
        _ => None,
    });
    let tried: Option<Vec<u64>> = tried.map(Iterator::collect);
    let due = !unsaved.is_empty() && (tried.is_some() || matches!(event, Event::Judged { .. }));
    hold("I26", !due || tried.as_ref() == Some(&unsaved), || format!("{tried:?} is tried, {unsaved:?} is not written"))
}
