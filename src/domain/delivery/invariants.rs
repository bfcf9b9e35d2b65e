//! Names the invariants of a delivery and checks them; debug builds, the walks and the property tests call the same functions.

use crate::domain::delivery::effect::Effect;
use crate::domain::delivery::event::{Event, Ticket};
use crate::domain::delivery::record::{Deployment, Lane, Phase, Record, Run, Waiting};
use crate::domain::delivery::shipyard::{Gate, Mode, Shipyard, StageName, Strategy};
use crate::domain::gate::Verdict;
use crate::domain::invariants::Broken;

/// A delivery as invariants see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The stages.
    pub shipyard: &'a Shipyard,
    /// What is so now, durable or not.
    pub record: &'a Record,
}

fn hold(name: &'static str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { name, what: what() }) }
}

/// Checks one step of the machine against every invariant. `awaited` says of a run whether something with a deadline is
/// awaited for it.
///
/// # Errors
///
/// Returns the first invariant that does not hold.
pub fn after_step(
    before: &View<'_>,
    event: &Event,
    effects: &[Effect],
    after: &View<'_>,
    awaited: &dyn Fn(u64) -> bool,
) -> Result<(), Broken> {
    let written = effects.iter().filter_map(|effect| match effect {
        Effect::Persist { record, .. } => Some(&**record),
        _ => None,
    });
    for record in written.chain([after.record]) {
        d1_promotion_needs_a_verdict(before.record, record, after.shipyard)?;
        d2_what_is_live_was_healthy(before.record, record, after.shipyard)?;
        d3_every_run_has_its_own_number(record)?;
        d6_what_failed_is_not_tried_again_unasked(before.record, record, after.shipyard)?;
    }
    d4_forward_is_durable_first(event, effects, after.record)?;
    d5_back_is_done_first(effects, after.record)?;
    d7_attempts_grow(before.record, effects, after.record)?;
    d8_every_wait_ends(after.record, awaited)?;
    d9_traffic_needs_health_and_a_verdict(effects, after)?;
    d10_only_what_nobody_needs_is_taken_away(effects, after.record)?;
    d11_changes_explain_themselves(effects)
}

fn waiting(record: &Record) -> impl Iterator<Item = (&StageName, &Waiting)> {
    record.lanes.iter().flat_map(|lane| lane.queue.iter().map(|waiting| (&lane.stage, waiting)))
}

fn run(record: &Record, id: u64) -> Option<(&Lane, &Run)> {
    record.lanes.iter().find_map(|lane| lane.run.as_ref().filter(|run| run.id == id).map(|run| (lane, run)))
}

/// D1: an artifact goes to the next stage only with a pass or a warning of the stage before, which it owns.
///
/// # Errors
///
/// Returns what broke it.
pub fn d1_promotion_needs_a_verdict(before: &Record, after: &Record, shipyard: &Shipyard) -> Result<(), Broken> {
    let known = |id: u64| waiting(before).any(|(_, waiting)| waiting.id == id);
    for (stage, new) in waiting(after).filter(|(_, waiting)| !known(waiting.id)) {
        let Some(verdict) = new.from else { continue };
        let good = matches!(verdict, Verdict::Pass | Verdict::Warning);
        hold("D1", good, || format!("{} came to {stage} with {verdict}", new.artifact))?;
        let from = shipyard.stages().iter().find(|from| shipyard.next(&from.name).is_some_and(|next| next.name == *stage));
        let live = from.and_then(|from| after.lane(&from.name)).and_then(|lane| lane.live.as_ref());
        let owns = live.is_some_and(|live| live.deployment.artifact == new.artifact && live.verdict == Some(verdict));
        hold("D1", owns, || format!("{} came to {stage} and does not own the stage before", new.artifact))?;
    }
    Ok(())
}

/// D2: in strict mode what becomes live was found healthy.
///
/// # Errors
///
/// Returns what broke it.
pub fn d2_what_is_live_was_healthy(before: &Record, after: &Record, shipyard: &Shipyard) -> Result<(), Broken> {
    for lane in &after.lanes {
        let Some(live) = &lane.live else { continue };
        let was = before.lane(&lane.stage).and_then(|lane| lane.live.as_ref());
        if was.is_some_and(|was| was.deployment.id == live.deployment.id) || shipyard.mode() == Mode::Keptn {
            continue;
        }
        let healthy = run(before, live.deployment.id).is_some_and(|(_, run)| run.healthy);
        hold("D2", healthy, || format!("{} is live in {} and was not found healthy", live.deployment.name, lane.stage))?;
    }
    Ok(())
}

/// D3: no two runs, waiting or on trial, share a number.
///
/// # Errors
///
/// Returns what broke it.
pub fn d3_every_run_has_its_own_number(record: &Record) -> Result<(), Broken> {
    let runs = record.lanes.iter().filter_map(|lane| lane.run.as_ref().map(|run| run.id));
    let mut numbers: Vec<u64> = runs.chain(waiting(record).map(|(_, waiting)| waiting.id)).collect();
    let count = numbers.len();
    let next = numbers.iter().all(|number| *number < record.next);
    numbers.sort_unstable();
    numbers.dedup();
    hold("D3", numbers.len() == count && next, || format!("{numbers:?} of {count} runs, the next is {}", record.next))
}

/// Says to which deployment an effect gives something, and whether that is a step forward.
fn forward(effect: &Effect, record: &Record) -> Option<Ticket> {
    match effect {
        Effect::Deploy { ticket, .. }
        | Effect::CheckHealth { ticket, .. }
        | Effect::Test { ticket, .. }
        | Effect::Evaluate { ticket, .. }
        | Effect::Rollout { ticket, .. } => Some(*ticket),
        Effect::Switch { ticket, .. } => run(record, ticket.run).filter(|(_, run)| run.phase != Phase::Returning).map(|_| *ticket),
        _ => None,
    }
}

/// D4: what goes forward was made durable before it starts.
///
/// # Errors
///
/// Returns what broke it.
pub fn d4_forward_is_durable_first(event: &Event, effects: &[Effect], after: &Record) -> Result<(), Broken> {
    let ahead = effects.iter().find(|effect| forward(effect, after).is_some());
    hold("D4", ahead.is_none() || matches!(event, Event::Persisted(_)), || format!("{ahead:?} on {event:?}"))
}

/// D5: traffic goes back before that is written, and to what is live.
///
/// # Errors
///
/// Returns what broke it.
pub fn d5_back_is_done_first(effects: &[Effect], after: &Record) -> Result<(), Broken> {
    let write = effects.iter().position(|effect| matches!(effect, Effect::Persist { .. }));
    for (at, effect) in effects.iter().enumerate() {
        let Effect::Switch { ticket, stage, to } = effect else { continue };
        let Some((lane, run)) = run(after, ticket.run).filter(|(_, run)| run.phase == Phase::Returning) else { continue };
        hold("D5", write.is_none_or(|write| at < write), || format!("it was written before {stage} was back"))?;
        let live = lane.live.as_ref().map(|live| &live.deployment);
        hold("D5", to.as_ref() == live, || format!("run {} of {stage} goes back to {to:?}, and {live:?} is live", run.id))?;
    }
    Ok(())
}

/// D6: in strict mode nothing comes on trial that has failed in this stage or an earlier one.
///
/// # Errors
///
/// Returns what broke it.
pub fn d6_what_failed_is_not_tried_again_unasked(before: &Record, after: &Record, shipyard: &Shipyard) -> Result<(), Broken> {
    if shipyard.mode() == Mode::Keptn {
        return Ok(());
    }
    for (index, stage) in shipyard.stages().iter().enumerate() {
        let Some(begun) = after.lane(&stage.name).and_then(|lane| lane.run.as_ref()) else { continue };
        if run(before, begun.id).is_some() {
            continue;
        }
        let upto = shipyard.stages().iter().take(index + 1).filter_map(|stage| after.lane(&stage.name));
        let failed = upto.into_iter().find(|lane| lane.rejected.contains(&begun.candidate.artifact));
        hold("D6", failed.is_none(), || format!("{} is tried in {} and has failed before", begun.candidate.name, stage.name))?;
    }
    Ok(())
}

fn asked(effect: &Effect) -> Option<Ticket> {
    match effect {
        Effect::Deploy { ticket, .. }
        | Effect::CheckHealth { ticket, .. }
        | Effect::Switch { ticket, .. }
        | Effect::Test { ticket, .. }
        | Effect::Evaluate { ticket, .. }
        | Effect::Rollout { ticket, .. }
        | Effect::AwaitApproval { ticket, .. } => Some(*ticket),
        Effect::Persist { .. }
        | Effect::StopTest { .. }
        | Effect::AbortRollout { .. }
        | Effect::Retire { .. }
        | Effect::Emit { .. }
        | Effect::Notify { .. } => None,
    }
}

/// D7: the attempts of a run grow, and what is asked carries the last one.
///
/// # Errors
///
/// Returns what broke it.
pub fn d7_attempts_grow(before: &Record, effects: &[Effect], after: &Record) -> Result<(), Broken> {
    for (_, now) in after.lanes.iter().filter_map(|lane| run(after, lane.run.as_ref()?.id)) {
        let was = run(before, now.id).map_or(0, |(_, run)| run.attempt);
        hold("D7", now.attempt >= was, || format!("attempt {} of run {} after {was}", now.attempt, now.id))?;
        for ticket in effects.iter().filter_map(asked).filter(|ticket| ticket.run == now.id) {
            let fresh = ticket.attempt == now.attempt && ticket.attempt > was;
            hold("D7", fresh, || format!("{ticket:?} was asked with attempt {} after {was}", now.attempt))?;
        }
    }
    Ok(())
}

/// D8: for every run on trial an answer with a deadline is awaited, or a change waits to be written.
///
/// # Errors
///
/// Returns what broke it.
pub fn d8_every_wait_ends(after: &Record, awaited: &dyn Fn(u64) -> bool) -> Result<(), Broken> {
    let runs = after.lanes.iter().filter_map(|lane| lane.run.as_ref());
    let stuck = runs.into_iter().find(|run| !awaited(run.id));
    hold("D8", stuck.is_none(), || format!("nothing is awaited for {stuck:?}"))
}

/// D9: in strict mode only what is healthy gets ordinary traffic, and where something is live only what a direct stage tries,
/// what a verdict allows, or what a rollout judges.
///
/// # Errors
///
/// Returns what broke it.
pub fn d9_traffic_needs_health_and_a_verdict(effects: &[Effect], after: &View<'_>) -> Result<(), Broken> {
    if after.shipyard.mode() == Mode::Keptn {
        return Ok(());
    }
    for effect in effects {
        let (ticket, name) = match effect {
            Effect::Switch { ticket, stage, .. } | Effect::Rollout { ticket, stage, .. } => (ticket, stage),
            _ => continue,
        };
        let Some((lane, run)) = run(after.record, ticket.run).filter(|(_, run)| run.phase != Phase::Returning) else { continue };
        let Some(stage) = after.shipyard.stage(name) else { continue };
        hold("D9", run.healthy, || format!("{} gets traffic of {name} and was not found healthy", run.candidate.name))?;
        let passed = matches!(run.verdict, Some(Verdict::Pass | Verdict::Warning));
        let judged_on_the_way = matches!(effect, Effect::Rollout { .. }) && stage.test.is_none();
        let undeclared = stage.gate == Gate::None && stage.test.is_none();
        let free = lane.live.is_none() || stage.strategy == Strategy::Direct;
        let allowed = passed || judged_on_the_way || undeclared || free;
        hold("D9", allowed, || format!("{} gets traffic of {name} with {:?}", run.candidate.name, run.verdict))?;
    }
    Ok(())
}

/// D10: nothing is taken away that is live or on trial.
///
/// # Errors
///
/// Returns what broke it.
pub fn d10_only_what_nobody_needs_is_taken_away(effects: &[Effect], after: &Record) -> Result<(), Broken> {
    for effect in effects {
        let Effect::Retire { stage, deployment: Deployment { id, name, .. }, .. } = effect else { continue };
        let Some(lane) = after.lane(stage) else { continue };
        let live = lane.live.as_ref().is_some_and(|live| live.deployment.id == *id);
        let tried = lane.run.as_ref().is_some_and(|run| run.candidate.id == *id);
        hold("D10", !live && !tried, || format!("{name} is taken away from {stage}, where it is needed"))?;
    }
    Ok(())
}

/// D11: each journal entry says who and why.
///
/// # Errors
///
/// Returns what broke it.
pub fn d11_changes_explain_themselves(effects: &[Effect]) -> Result<(), Broken> {
    let entries = effects.iter().filter_map(|effect| match effect {
        Effect::Persist { entries, .. } => Some(entries),
        _ => None,
    });
    let silent = entries.flatten().find(|entry| entry.actor.is_empty() || entry.reason.is_empty());
    hold("D11", silent.is_none(), || format!("{silent:?} says nothing"))
}
