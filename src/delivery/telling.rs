//! What is told together with what is written: put aside before the write, so that a kill loses nothing that came about and tells
//! nothing that did not.

use crate::delivery::digest;
use crate::delivery::engine::{Engine, store_key};
use crate::delivery::letters::{self, Subject};
use crate::delivery::spot::{Key, Spot};
use crate::domain::delivery::{Effect, Event, Record};
use crate::domain::time::Timestamp;
use crate::store::Letter;

/// Who holds letters, and what they wait for.
pub(super) struct Hold {
    holder: String,
    until: String,
}

impl Engine {
    /// Puts aside what a write tells: what is announced along with it, and what its being durable will announce. The machine is pure,
    /// so a copy of it knows that already.
    pub(super) fn hold(&self, key: &Key, now: Timestamp, effects: &[Effect]) -> Option<Hold> {
        let write = effects.iter().find_map(|effect| match effect {
            Effect::Persist { number, record, .. } => Some((*number, record)),
            _ => None,
        });
        let (number, record) = write.filter(|_| !self.sinks.is_empty())?;
        let mut after = self.lines.get(key)?.machine.clone();
        let follows = after.handle(now, Event::Persisted(number));
        let hold = Hold { holder: store_key(&key.0, &key.1).ok()?.to_string(), until: until(record)? };
        let text = format!("{} {}", hold.holder, hold.until);
        let all = effects.iter().chain(&follows).flat_map(|effect| self.letters(key, effect));
        let letters: Vec<Letter> = all.map(|letter| Letter { hold: Some(text.clone()), ..letter }).collect();
        if letters.is_empty() {
            return None;
        }
        self.sinks.tell(&letters);
        Some(hold)
    }

    /// Tells what was put aside where the write is durable, and forgets it where it is not.
    pub(super) fn release(&self, hold: &Hold, is_durable: bool) {
        self.sinks.settle(&hold.holder, if is_durable { &hold.until } else { "" });
    }

    /// Decides about what an earlier process has put aside for a write: it is durable, or it never was.
    pub(super) fn settle(&self, key: &Key, record: Option<&Record>) {
        if let Ok(holder) = store_key(&key.0, &key.1) {
            self.sinks.settle(holder.as_str(), &record.and_then(until).unwrap_or_default());
        }
    }

    /// Makes the events of an announcement.
    pub(super) fn letters(&self, key: &Key, effect: &Effect) -> Vec<Letter> {
        let Effect::Emit { run, context, stage, artifact, announcement } = effect else { return Vec::new() };
        let spot = Spot { project: key.0.clone(), service: key.1.clone(), stage: stage.clone() };
        let written = self.lines.get(key).and_then(|line| line.machine.shipyard().stage(stage));
        let host = format!("{}:{}", spot.host(&self.settings.domain), self.yard.ground.entry.port());
        let subject = Subject { spot: &spot, run: *run, context, written, artifact, host: &host };
        letters::letters(self.settings.events, &subject, announcement)
    }
}

/// Returns what stands for a record that is written.
fn until(record: &Record) -> Option<String> {
    serde_json::to_vec(record).ok().map(|bytes| digest::sha256(&bytes))
}
