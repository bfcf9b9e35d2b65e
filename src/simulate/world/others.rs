//! Those whom a rollout asks in a run: they let it go on, refuse it, answer late or never.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::domain::webhook::{Occasion, Webhook};
use crate::simulate::chance::{Chance, Stream};

/// How often there is no answer at all.
const SILENT: f64 = 0.1;
/// How often the answer is no.
const REFUSING: f64 = 0.1;
/// How often it is late: after any part of [`LATEST`], which is more than a rollout waits.
const LATE: f64 = 0.2;
const LATEST: Duration = Duration::from_secs(6);
/// Within which time it comes else.
const USUAL: Duration = Duration::from_millis(50);

/// An answer on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it arrives.
    pub at: Timestamp,
    /// The rollout and the number of the question.
    pub question: (u64, u64),
    /// Why it may not go on.
    pub refusal: Option<String>,
}

/// Those who are asked, and what they have not said yet.
#[derive(Debug)]
pub struct Others {
    chance: Chance,
    answers: Vec<Answer>,
}

impl Others {
    /// Makes people who answer by chance.
    pub fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed ^ 0x0a5c, Stream::Chaos), answers: Vec::new() }
    }

    /// Asks them something at `now`.
    pub fn ask(&mut self, question: (u64, u64), now: Timestamp) {
        if self.chance.happens(SILENT) {
            return;
        }
        let refusal = self.chance.happens(REFUSING).then(|| "not now".to_owned());
        let within = if self.chance.happens(LATE) { LATEST } else { USUAL };
        self.answers.push(Answer { at: now + within.mul_f64(self.chance.unit()), question, refusal });
    }

    /// Returns when the next answer arrives.
    pub fn next(&self) -> Timestamp {
        self.answers.iter().map(|answer| answer.at).min().unwrap_or(Timestamp::NEVER)
    }

    /// Takes the answer that arrives next.
    pub fn take(&mut self) -> Option<Answer> {
        let first = self.answers.iter().enumerate().min_by_key(|(_, answer)| answer.at)?.0;
        Some(self.answers.swap_remove(first))
    }

    /// Forgets what was asked: nobody listens to the answers any more.
    pub fn forget(&mut self) {
        self.answers.clear();
    }
}

/// Returns a webhook for every occasion, which has as little time as possible.
pub fn webhooks() -> Vec<Webhook> {
    let occasions = [Occasion::Start, Occasion::Raise, Occasion::Promotion, Occasion::End];
    let hook = |occasion| Webhook {
        name: "others".to_owned(),
        occasion,
        url: "http://127.0.0.1:9/".to_owned(),
        timeout: Duration::from_millis(1),
        retries: 0,
        metadata: BTreeMap::new(),
    };
    occasions.map(hook).into()
}
