//! Drives a judge in virtual time, for its tests: requests of both arms, workers' reports, wires and ticks.
#![cfg(test)]

use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::criterion::{Ratio, Share, Slack, Timing};
use crate::domain::gate::{Criterion, Gate, Policy};
use crate::domain::judge::{Arm, Count, Judge, Judgement, WireCount};
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;

/// The stable version's requests of the only worker.
pub(super) const STABLE: Arm = Arm::Stable { worker: 0 };

pub(super) fn at(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn took(millis: u64) -> Fate {
    Fate::Measured { latency: ms(millis), duration: ms(millis), errors: ErrorKinds::NONE, unanswered: false }
}

pub(super) fn failed(millis: u64) -> Fate {
    Fate::Measured { latency: ms(millis), duration: ms(millis), errors: ErrorKinds::SERVER, unanswered: false }
}

pub(super) fn gates(texts: &[&str]) -> Vec<Gate> {
    texts.iter().map(|text| Gate::written(criterion(text))).collect()
}

/// Reads the lines of the tests that name a score or the stable version, and leaves the others to the language of gates.
fn criterion(text: &str) -> Criterion {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let millionths = |share: f64| Share::from_ppm((share * 1e6).round() as u32).unwrap();
    let ratio = |text: &str| Ratio::from_thousandths((number(text) * 1e3).round() as u32).unwrap();
    if let Some((satisfied, score)) = text.strip_prefix("apdex(").and_then(|rest| rest.split_once("ms) > ")) {
        return Criterion::Apdex { satisfied: ms(satisfied.parse().unwrap()), loss: millionths(1.0 - number(score)) };
    }
    if let Some(times) = text.strip_prefix("p95 <= stable * ") {
        return Criterion::RelativeLatency { share: Share::FIVE_PERCENT, ratio: ratio(times), timing: Timing::ResponseTime };
    }
    let slack = match (text.strip_prefix("errors <= stable * "), text.strip_prefix("errors <= stable + ")) {
        (Some(times), _) => Slack::Times(ratio(times)),
        (_, Some(plus)) => Slack::Plus(millionths(number(plus.strip_suffix("pp").unwrap()) / 100.0)),
        _ => return text.parse().unwrap_or_else(|error| panic!("{text}: {error}")),
    };
    Criterion::RelativeErrors { kinds: ErrorKinds::DEFAULT, slack }
}

pub(super) fn judge(texts: &[&str], policy: &Policy) -> Judge {
    let mut judge = Judge::new("v2".parse().unwrap(), &gates(texts), policy, 5);
    judge.epoch(1, Some("10%".parse().unwrap()));
    judge
}

/// A small generator of chance, so that a seed replays.
#[derive(Clone)]
pub(super) struct Dice(pub u64);

impl Dice {
    /// SplitMix64 (Steele, Lea and Flood 2014).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn throws(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }
}

/// One request as it will turn out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub arm: Arm,
    pub generation: u64,
    pub at: u64,
    /// When its end is reported, in ms after its start; `None` for never.
    pub after: Option<u64>,
    pub fate: Fate,
}

/// The start, or with a fate the end, of a request with its number.
type Due = (Arm, u64, Option<Fate>, Planned);

/// A judge, what is still to happen, and the counts of the wires.
pub(super) struct Drive {
    pub judge: Judge,
    gates: Vec<Gate>,
    /// What is to be reported: when, of what, and what.
    due: std::collections::BTreeMap<(u64, u64), Due>,
    /// Breaches of each wire: when they become known and their start numbers.
    breaches: Vec<std::collections::BTreeMap<u64, Vec<(u64, bool)>>>,
    pub counts: Vec<WireCount>,
    next: [u64; 2],
    order: u64,
}

impl Drive {
    pub fn new(texts: &[&str], policy: &Policy) -> Self {
        let gates: Vec<Gate> = gates(texts);
        let wired = gates.iter().filter(|gate| gate.criterion.is_wired()).count();
        Self {
            judge: judge(texts, policy),
            gates,
            due: std::collections::BTreeMap::new(),
            breaches: vec![std::collections::BTreeMap::new(); wired],
            counts: vec![WireCount::default(); wired],
            next: [1, 1],
            order: 0,
        }
    }

    /// Plans a request; those of one arm in the order of their starts.
    pub fn plan(&mut self, planned: Planned) {
        let [canary, stable] = &mut self.next;
        let next = if planned.arm == Arm::Canary { canary } else { stable };
        let seq = *next;
        *next += 1;
        self.order += 2;
        self.due.insert((planned.at, self.order), (planned.arm, seq, None, planned));
        if let Some(after) = planned.after {
            self.due.insert((planned.at + after, self.order + 1), (planned.arm, seq, Some(planned.fate), planned));
        }
        if planned.arm == Arm::Canary {
            self.wire(seq, &planned);
        }
    }

    fn wire(&mut self, seq: u64, planned: &Planned) {
        let wired = self.gates.iter().filter(|gate| gate.criterion.is_wired());
        for (gate, breaches) in wired.zip(&mut self.breaches) {
            let known = match (gate.criterion, planned.after, planned.fate) {
                (Criterion::Latency { limit, .. }, Some(after), _) if u128::from(after) > limit.as_millis() => {
                    Some((limit.as_millis() as u64, true))
                }
                (Criterion::Latency { limit, .. }, None, _) => Some((limit.as_millis() as u64, true)),
                (Criterion::Errors { kinds, .. }, Some(after), Fate::Measured { errors, .. }) if kinds.meets(errors) => {
                    Some((after, false))
                }
                _ => None,
            };
            if let Some((after, unanswered)) = known {
                breaches.entry(planned.at + after).or_default().push((seq, unanswered));
            }
        }
    }

    /// Plans an ordinary request.
    pub fn request(&mut self, arm: Arm, at: u64, millis: u64) {
        self.plan(Planned { arm, generation: 1, at, after: Some(millis), fate: took(millis) });
    }

    /// Plans a request that never ends.
    pub fn hangs(&mut self, arm: Arm, at: u64) {
        self.plan(Planned { arm, generation: 1, at, after: None, fate: took(0) });
    }

    /// Lets everything happen that happens up to a moment.
    pub fn pass_until(&mut self, now: u64) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let (arm, seq, fate, planned) = entry.remove();
            match fate {
                None => self.judge.started(arm, planned.generation, seq, at(planned.at)),
                Some(fate) => self.judge.ended(arm, seq, fate),
            }
        }
        for (breaches, counts) in self.breaches.iter_mut().zip(&mut self.counts) {
            while let Some(entry) = breaches.first_entry().filter(|entry| *entry.key() <= now) {
                for (seq, unanswered) in entry.remove() {
                    for count in [&mut counts.cumulative, &mut counts.step] {
                        count.requests = count.requests.max(seq);
                        count.breaches += 1;
                        count.unanswered += u64::from(unanswered);
                    }
                }
            }
        }
    }

    /// Lets everything happen up to a moment and judges then.
    pub fn tick(&mut self, now: u64) -> Judgement {
        self.pass_until(now);
        let counts = self.counts.clone();
        self.judge.tick(at(now), &counts)
    }

    /// Judges every `every` ms up to a moment; returns the first tick at which something was found, and the last judgement.
    pub fn run(&mut self, until: u64, every: u64, mut found: impl FnMut(&Judgement) -> bool) -> (Option<u64>, Judgement) {
        let mut now = every;
        loop {
            let judgement = self.tick(now);
            if found(&judgement) {
                return (Some(now), judgement);
            }
            if now >= until {
                return (None, judgement);
            }
            now += every;
        }
    }
}

/// Returns a count that is nothing.
pub(super) const fn nothing() -> WireCount {
    let none = Count { requests: 0, breaches: 0, unanswered: 0 };
    WireCount { cumulative: none, step: none }
}
