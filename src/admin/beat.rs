//! Looks at the board again and again, and tells followers what happened since.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

use crate::admin::journal::Line;
use crate::admin::live::{Desk, event};
use crate::admin::state::AdminState;
use crate::control::status::{ServiceStatus, Snapshot};
use crate::delivery::Ask;
use crate::domain::judge::GateStatus;
use crate::domain::rollout::Phase;
use crate::domain::version::Name;
use crate::seam::clock::{unix_millis, wall};
use crate::store::Limits;

/// How often the board is looked at.
const BEAT: Duration = Duration::from_millis(250);
/// Every which beat is told as a snapshot: one a second.
const SNAPSHOT: u32 = 4;
/// The most transitions that are told at once.
const TRANSITIONS: Limits = Limits { entries: 200, bytes: 1 << 20, after: 0 };

/// Takes in a follower; `None` when there are too many already. It is told where things stand, then what happens.
#[must_use]
pub fn follow(state: &AdminState) -> Option<Receiver<Bytes>> {
    let snapshot = state.board.snapshot();
    state.live.follow(|desk| {
        let retry = Bytes::from_static(b"retry: 1000\n\n");
        vec![retry, notices(&snapshot), desk.projects.clone(), stand(desk, state, &snapshot)]
    })
}

/// Writes the entries of the journal that came after another one, oldest first. Reads the disk.
///
/// # Errors
///
/// Returns why the journal cannot be read.
pub fn transitions(state: &AdminState, after: u64) -> Result<Vec<(u64, Bytes)>, String> {
    let excerpt = state.store.excerpt(Limits { after, ..TRANSITIONS }, |_| true).map_err(|error| error.to_string())?;
    Ok(excerpt.entries.into_iter().map(|entry| (entry.0, event("transition", Some(entry.0), &Line::from(entry)))).collect())
}

/// What changes when the journal grows.
type Mark = Vec<(Name, Option<(u64, u64, Phase, bool)>)>;

/// Looks at the board for as long as the listener answers.
pub async fn run(state: AdminState) {
    tokio::spawn(projects(state.clone()));
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut count, mut before, mut stale): (u32, Mark, bool) = (0, Mark::new(), true);
    loop {
        beats.tick().await;
        let snapshot = state.board.snapshot();
        let mark: Mark = snapshot
            .services
            .iter()
            .map(|service| (service.name.clone(), service.rollout.as_ref().map(|r| (r.id, r.generation, r.phase, r.durable))))
            .collect();
        let changed = mark != before;
        if changed || (stale && count == 0) {
            // An entry may be durable a little after the board shows it: the next second looks once more.
            stale = changed;
            before = mark;
            tell_transitions(&state).await;
        }
        let mut desk = state.live.desk();
        let told = notices(&snapshot);
        if told != desk.notices {
            desk.tell(&told);
            desk.notices = told;
        }
        if count == 0 {
            desk.history.sample(unix_millis(), &snapshot.services, &state.board);
        }
        if (changed || count == 0) && desk.count() > 0 {
            let event = stand(&desk, &state, &snapshot);
            desk.tell(&event);
        }
        count = (count + 1) % SNAPSHOT;
    }
}

async fn tell_transitions(state: &AdminState) {
    let (reader, told) = (state.clone(), state.live.desk().told);
    // The disk may be slow; this thread has other questions to answer.
    match tokio::task::spawn_blocking(move || transitions(&reader, told)).await {
        Ok(Ok(entries)) => {
            let mut desk = state.live.desk();
            for (sequence, event) in entries {
                desk.told = sequence;
                desk.tell(&event);
            }
        }
        Ok(Err(why)) => tracing::warn!("followers are not told what was decided: {why}"),
        // The runtime ends.
        Err(_) => {}
    }
}

/// Asks the delivery once a second, one question at a time, while somebody follows.
async fn projects(state: AdminState) {
    let Some(delivery) = &state.delivery else { return };
    loop {
        if let Ok(shown) = delivery.ask(Ask::Projects).await {
            let told = event("projects", None, &shown);
            let mut desk = state.live.desk();
            if told != desk.projects {
                desk.tell(&told);
                desk.projects = told;
            }
        }
        tokio::time::sleep(BEAT * SNAPSHOT).await;
        while state.live.desk().count() == 0 {
            tokio::time::sleep(BEAT).await;
        }
    }
}

/// Writes where everything stands.
fn stand(desk: &Desk, state: &AdminState, snapshot: &Snapshot) -> Bytes {
    let mut services: Vec<ServiceStatus> = snapshot.services.iter().map(|service| (**service).clone()).collect();
    for service in &mut services {
        let Some(rollout) = &mut service.rollout else { continue };
        // What the evidence is computed from is for those who compute it again, and can be large.
        rollout.gates = rollout.gates.iter().map(|gate| GateStatus { basis: None, ..gate.clone() }).collect();
        rollout.evidence.iter_mut().for_each(|evidence| evidence.basis = None);
    }
    let names = || snapshot.services.iter().map(|service| &service.name);
    let figures: serde_json::Map<String, Value> =
        names().filter_map(|name| Some((name.to_string(), serde_json::to_value(desk.history.newest(name)?).ok()?))).collect();
    let spectra: serde_json::Map<String, Value> =
        names().filter_map(|name| Some((name.to_string(), serde_json::to_value(desk.history.spectra(name)?).ok()?))).collect();
    let judged = state.clock.now().as_nanos().saturating_sub(snapshot.judged_ns) / 1_000_000;
    let data = json!({
        "at": wall(), "at_ms": unix_millis(), "version": env!("CARGO_PKG_VERSION"), "changes": state.access.takes_commands(),
        "draining": *state.drain.borrow(), "judged_ms": judged, "rollouts": services, "figures": figures, "spectra": spectra,
    });
    event("snapshot", None, &data)
}

fn notices(snapshot: &Snapshot) -> Bytes {
    event("notices", None, &json!({"notices": snapshot.notices}))
}
