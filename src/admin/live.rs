//! Who follows what happens: everybody gets the same bytes, and nobody waits for a follower.
//!
//! Whoever takes nothing for long is let go, and is told what it missed when it comes again. What is told is made elsewhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::domain::version::Name;
use crate::telemetry::history::{Chart, History};

/// The most followers at a time; the places of the listener are for operators too.
pub const FOLLOWERS: usize = 16;
/// How many events may wait for a follower that takes none, about a minute's.
const WAITING: usize = 64;

/// Who follows what happens, and the history of every service. Copies share everything.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Guards the followers and the history; written by the beat and when somebody comes. Never held across I/O.
    desk: Arc<Mutex<Desk>>,
}

/// The followers, and what they were told.
#[derive(Debug, Default)]
pub(super) struct Desk {
    followers: Vec<Sender<Bytes>>,
    /// The history of every service.
    pub(super) history: History,
    /// The number of the newest entry of the journal that was told.
    pub(super) told: u64,
    /// The notices as they were told last.
    pub(super) notices: Bytes,
    /// The projects as they were told last; empty where nothing is delivered.
    pub(super) projects: Bytes,
}

impl Live {
    /// Returns everything that is kept of a service.
    #[must_use]
    pub fn chart(&self, service: &Name) -> Chart {
        self.desk().history.chart(service)
    }

    /// Takes in a follower, which is told at once what `now` says; `None` when there are too many already.
    pub(super) fn follow(&self, now: impl FnOnce(&Desk) -> Vec<Bytes>) -> Option<Receiver<Bytes>> {
        let mut desk = self.desk();
        if desk.count() >= FOLLOWERS {
            return None;
        }
        let (follower, events) = channel(WAITING);
        for event in now(&desk).into_iter().filter(|event| !event.is_empty()) {
            // There is room for far more.
            let _ = follower.try_send(event);
        }
        desk.followers.push(follower);
        Some(events)
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Returns how many follow.
    pub(super) fn count(&mut self) -> usize {
        self.followers.retain(|follower| !follower.is_closed());
        self.followers.len()
    }

    /// Sends an event to everybody; whoever has no room for it is let go.
    pub(super) fn tell(&mut self, event: &Bytes) {
        self.followers.retain(|follower| follower.try_send(event.clone()).is_ok());
    }
}

/// Writes one event (HTML standard, 9.2.5): JSON has no line breaks of its own.
pub(super) fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    // Nothing that is shown has keys that are no texts.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    Bytes::from(format!("event: {name}\n{id}data: {data}\n\n"))
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
