//! Tells followers what happens, as it happens: one beat looks at the board, and everybody gets the same bytes.
//!
//! Nobody waits for a follower: whoever takes nothing for long is let go, and is told what it missed when it comes again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::MissedTickBehavior;

use crate::admin::journal::Line;
use crate::admin::state::AdminState;
use crate::control::status::{Notice, Snapshot};
use crate::delivery::Ask;
use crate::domain::rollout::Phase;
use crate::domain::version::Name;
use crate::seam::clock::{unix_millis, wall};
use crate::store::Limits;
use crate::telemetry::history::{Chart, History};

/// The most followers at a time; the places of the listener are for operators too.
pub const FOLLOWERS: usize = 16;
/// How many events may wait for a follower that takes none, about a minute's.
const WAITING: usize = 64;
/// How often the board is looked at.
const BEAT: Duration = Duration::from_millis(250);
/// Every which beat is told as a snapshot: one a second.
const SNAPSHOT: u32 = 4;
/// The most transitions that are told at once.
const TRANSITIONS: Limits = Limits { entries: 200, bytes: 1 << 20 };

/// Who follows what happens, and the history of every service. Copies share everything.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Guards the followers and the history; written by the beat and when somebody comes. Never held across I/O.
    desk: Arc<Mutex<Desk>>,
}

#[derive(Debug, Default)]
struct Desk {
    followers: Vec<Sender<Bytes>>,
    history: History,
    /// The number of the newest entry of the journal that was told.
    told: u64,
    notices: Bytes,
    projects: Bytes,
}

impl Live {
    /// Returns everything that is kept of a service.
    #[must_use]
    pub fn chart(&self, service: &Name) -> Chart {
        self.desk().history.chart(service)
    }

    /// Takes in a follower; `None` when there are too many already. It is told where things stand, then what happens.
    #[must_use]
    pub fn follow(&self, state: &AdminState) -> Option<Receiver<Bytes>> {
        let snapshot = state.board.snapshot();
        let mut desk = self.desk();
        desk.followers.retain(|follower| !follower.is_closed());
        if desk.followers.len() >= FOLLOWERS {
            return None;
        }
        let (follower, events) = channel(WAITING);
        desk.notices = notices(&snapshot);
        let now = [Bytes::from_static(b"retry: 1000\n\n"), desk.notices.clone(), desk.projects.clone(), desk.snapshot(state, &snapshot)];
        for event in now.into_iter().filter(|event| !event.is_empty()) {
            // There is room for far more.
            let _ = follower.try_send(event);
        }
        desk.followers.push(follower);
        Some(events)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_followed(&self) -> bool {
        let mut desk = self.desk();
        desk.followers.retain(|follower| !follower.is_closed());
        !desk.followers.is_empty()
    }
}

impl Desk {
    /// Sends an event to everybody; whoever has no room for it is let go.
    fn tell(&mut self, event: &Bytes) {
        self.followers.retain(|follower| follower.try_send(event.clone()).is_ok());
    }

    fn snapshot(&self, state: &AdminState, snapshot: &Snapshot) -> Bytes {
        let mut services = snapshot.services.clone();
        for service in &mut services {
            let Some(rollout) = &mut service.rollout else { continue };
            // What the evidence is computed from is for those who compute it again, and can be large.
            rollout.gates.iter_mut().for_each(|gate| gate.basis = None);
            rollout.evidence.iter_mut().for_each(|evidence| evidence.basis = None);
        }
        let names = || snapshot.services.iter().map(|service| &service.name);
        let figures: serde_json::Map<String, Value> =
            names().filter_map(|name| Some((name.to_string(), serde_json::to_value(self.history.newest(name)?).ok()?))).collect();
        let spectra: serde_json::Map<String, Value> =
            names().filter_map(|name| Some((name.to_string(), serde_json::to_value(self.history.spectra(name)?).ok()?))).collect();
        let judged = state.clock.now().as_nanos().saturating_sub(snapshot.judged_ns) / 1_000_000;
        let data = json!({
            "at": wall(), "at_ms": unix_millis(), "version": env!("CARGO_PKG_VERSION"), "changes": state.mutations,
            "draining": *state.drain.borrow(), "judged_ms": judged, "rollouts": services, "figures": figures, "spectra": spectra,
        });
        event("snapshot", None, &data)
    }
}

/// Writes one event (HTML standard, 9.2.5): JSON has no line breaks of its own.
fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    // Nothing that is shown has keys that are no texts.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    Bytes::from(format!("event: {name}\n{id}data: {data}\n\n"))
}

fn notices(snapshot: &Snapshot) -> Bytes {
    let notices: &std::collections::VecDeque<Notice> = &snapshot.notices;
    event("notices", None, &json!({"notices": notices}))
}

/// Writes the entries of the journal that came after another one, oldest first. Reads the disk.
///
/// # Errors
///
/// Returns why the journal cannot be read.
pub fn transitions(state: &AdminState, after: u64) -> Result<Vec<(u64, Bytes)>, String> {
    let excerpt = state.store.excerpt(TRANSITIONS, |_| true).map_err(|error| error.to_string())?;
    let newer = excerpt.entries.into_iter().filter(|(sequence, _)| *sequence > after);
    Ok(newer.map(|entry| (entry.0, event("transition", Some(entry.0), &Line::from(entry)))).collect())
}

/// What changes when the journal grows.
type Mark = Vec<(Name, Option<(u64, u64, Phase, bool)>)>;

/// Looks at the board for as long as the listener answers.
pub async fn beat(state: AdminState) {
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
        if (changed || count == 0) && !desk.followers.is_empty() {
            let event = desk.snapshot(&state, &snapshot);
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
        while !state.live.is_followed() {
            tokio::time::sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_follower_that_takes_nothing_is_let_go_and_the_others_are_not() {
        let mut desk = Desk::default();
        let ((slow, _kept), (quick, mut events)) = (channel(WAITING), channel(WAITING));
        desk.followers = vec![slow, quick];
        for number in 0..1_000_u32 {
            desk.tell(&event("snapshot", None, &number));
            assert_eq!(events.recv().await.unwrap(), format!("event: snapshot\ndata: {number}\n\n"));
            assert_eq!(desk.followers.len(), if number < WAITING as u32 { 2 } else { 1 }, "{number}");
        }
    }
}
