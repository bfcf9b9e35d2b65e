//! The judge itself: takes in the events of requests and answers on each tick.
//!
//! An event updates counters, once per request and gate. A tick looks at deadlines that have passed and at blocks that are open.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::gate::evidence::{Evidence, Test};
use crate::domain::gate::{Criterion, Gate, Policy};
use crate::domain::judge::arms::{Arm, Lane};
use crate::domain::judge::blocks::{Blocks, Cell, Key};
use crate::domain::judge::budget::Budget;
use crate::domain::judge::case::{Case, Setting};
use crate::domain::judge::rate::Rate;
use crate::domain::judge::score::OVERDUE;
use crate::domain::judge::settle::{Counting, MOST_GATES, first_due};
use crate::domain::judge::status::{Count, Judgement, WireCount};
use crate::domain::judge::{standing, terms};
use crate::domain::start_order::{Course, Fate};
use crate::domain::stats::counts::Counts;
use crate::domain::time::Timestamp;
use crate::domain::tripwire::TABLE_LENGTH;
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// The length of a block where no burst is tolerated and nothing is confirmed.
const BLOCK: Duration = Duration::from_millis(200);

/// For how many gates a tick works out bounds again; each takes some 40 µs, and there may be 64 of them, whose turn comes in 3 s then.
const MOST_SHOWN: usize = 2;

/// How many epochs are remembered.
const EPOCHS: usize = 64;

/// The judge of one rollout.
///
/// Requests are judged by what is known up to a moment: see [`Judge::tick`]. At most 64 gates can pass; a rollout with more never does.
#[derive(Clone, Debug)]
pub struct Judge {
    setting: Setting,
    steps: usize,
    cases: Vec<Case>,
    /// The gate whose bounds are looked at first in the next tick; less than there are, or 0.
    first_shown: usize,
    excess_gates: Vec<Gate>,
    patience: Duration,
    blocks: Blocks,
    canary: Lane,
    stable: BTreeMap<usize, Lane>,
    epochs: BTreeMap<u64, Option<Weight>>,
    warm_until: Timestamp,
    known_until: Timestamp,
    rate: Rate,
    harm: Option<f64>,
    brake: Option<Evidence>,
    confirmed: Option<Evidence>,
}

impl Judge {
    /// Begins to judge a rollout of `steps` steps.
    #[must_use]
    pub fn new(canary: Name, gates: &[Gate], policy: &Policy, steps: usize) -> Self {
        let confirms = policy.confirms();
        let budget = Budget::of(policy, gates.len(), steps, 0);
        let gap = if confirms { Policy::BLOCKS_PER_TOLERANCE } else { 0 };
        let setting = Setting {
            canary,
            policy: *policy,
            budget,
            gap,
            is_warm: false,
            is_watched: false,
            is_alone: false,
            is_braked: false,
            is_confirmed: false,
        };
        let (judged, excess) = gates.split_at(gates.len().min(MOST_GATES));
        let lane = || Lane::new(judged.iter().map(|gate| first_due(&gate.criterion)).collect());
        Self {
            steps,
            cases: judged.iter().map(|gate| Case::new(gate, &setting)).collect(),
            first_shown: 0,
            excess_gates: excess.to_vec(),
            patience: judged.iter().fold(OVERDUE, |patience, gate| terms::patience(&gate.criterion, patience)),
            blocks: Blocks::new(if confirms { policy.block() } else { BLOCK }),
            canary: lane(),
            stable: BTreeMap::new(),
            epochs: BTreeMap::new(),
            warm_until: Timestamp::ZERO,
            known_until: Timestamp::ZERO,
            rate: Rate::default(),
            harm: None,
            brake: None,
            confirmed: None,
            setting,
        }
    }

    /// Sets how many bad requests may be expected in flight while the share grows; `None` without such a rule.
    pub const fn allow_harm(&mut self, harm: Option<f64>) {
        self.harm = harm;
    }

    /// Notes that a request began in an epoch.
    pub fn started(&mut self, arm: Arm, generation: u64, seq: u64, at: Timestamp) {
        self.took_course(arm, generation, seq, &Course::begun(at));
    }

    /// Notes that a request began in an epoch, and what became of it since: the same as `started`, `answered` and `ended` one after
    /// another, for less.
    pub fn took_course(&mut self, arm: Arm, generation: u64, seq: u64, course: &Course) {
        let place = self.blocks.place(course.at, generation);
        if self.blocks.contains(place.0) == Some(false) {
            self.open(place.0);
        }
        let (lane, mut counting) = self.parts(arm);
        match lane.take(seq, generation, course) {
            Some((request, true)) => {
                counting.begin(seq, request, place);
                self.rate.started(course.at);
            }
            Some((request, false)) => counting.tell(seq, request),
            None => {}
        }
    }

    /// Notes that a request's response head was sent on after `latency`; its end may be long in coming.
    pub fn answered(&mut self, arm: Arm, seq: u64, latency: Duration) {
        let known_until = self.known_until;
        let (lane, mut counting) = self.parts(arm);
        if let Some(request) = lane.answer(seq, latency, known_until) {
            counting.tell(seq, request);
        }
    }

    /// Notes how a request ended; the first report stands. A request without a response head that is out for longer than the
    /// outcome deadline must be reported as one that ended with a time-out.
    pub fn ended(&mut self, arm: Arm, seq: u64, fate: Fate) {
        let known_until = self.known_until;
        let (lane, mut counting) = self.parts(arm);
        if let Some(request) = lane.end(seq, fate, known_until) {
            counting.tell(seq, request);
        }
    }

    /// Notes that the epoch `generation` gives the canary `weight`; `None` where it gets nothing but probes, which are left out
    /// where the arms are compared arrival by arrival. To be told before the epoch's first request.
    pub fn epoch(&mut self, generation: u64, weight: Option<Weight>) {
        self.epochs.insert(generation, weight);
        while self.epochs.len() > EPOCHS {
            self.epochs.pop_first();
        }
        self.setting.is_alone = weight == Some(Weight::FULL);
    }

    /// Begins a step: pass evidence and fresh step tests count from canary request number `first` on.
    pub fn begin_step(&mut self, first: u64) {
        let after = self.blocks.newest();
        for case in &mut self.cases {
            case.begin_step(first, after, &self.setting);
        }
    }

    /// Sets until when the version warms up: blocks that begin before have the looser null, nothing passes, and the wires are
    /// those of the warm-up. To be told before the first request.
    pub fn warm_until(&mut self, until: Timestamp) {
        self.warm_until = until;
        self.setting.is_warm = until > self.known_until;
        let after = self.blocks.newest();
        for case in &mut self.cases {
            case.restart(1, after, &self.setting);
        }
    }

    /// Begins the trial with request `first`, the warm-up being over: from now on the wires are those of a fresh trial. A tick
    /// whose `known_until` reaches the end of the warm-up does the same with the next request.
    pub fn begin_trial(&mut self, first: u64) {
        self.setting.is_warm = false;
        for case in &mut self.cases {
            case.cool(first, &self.setting);
        }
    }

    /// Begins the brake tests again after canary request `first - 1`, with 2^−`halvings` of their α.
    pub fn resume(&mut self, first: u64, halvings: u32) {
        let gates = self.cases.len() + self.excess_gates.len();
        self.setting.budget = Budget::of(&self.setting.policy, gates, self.steps, halvings);
        (self.brake, self.setting.is_watched) = (None, false);
        let after = self.blocks.newest();
        for case in &mut self.cases {
            case.late = None;
            case.restart(first, after, &self.setting);
        }
    }

    /// Begins the watch with canary request `first`: the change-point test brakes too.
    pub fn watch(&mut self, first: u64) {
        self.setting.is_watched = true;
        let after = self.blocks.newest();
        for case in &mut self.cases {
            case.watch(first, after);
        }
    }

    /// Ends the watch before its time: from now on the wires are those of a step.
    pub fn end_watch(&mut self) {
        self.setting.is_watched = false;
    }

    /// Explains a trip of the `wire`-th gate that has one, with what the trip found.
    #[must_use]
    pub fn trip(&self, wire: usize, test: Test, count: Count) -> Option<Evidence> {
        let case = self.cases.iter().filter(|case| case.gate.criterion.is_wired()).nth(wire)?;
        case.of_wire(&self.setting, test, (count.requests, count.breaches, count.unanswered))
    }

    /// Judges by what is known. `wires` are the counts of the tripwires, in the order of the gates that have one.
    ///
    /// `known_until` is the moment up to which every start, answer and end has been noted: the earliest of the workers' last
    /// reports, not the time of the tick. A request in flight is known to have been out until then and no longer; with a later
    /// time an answer whose report is still on its way would look like one that has not come, which raises false alarms.
    pub fn tick(&mut self, known_until: Timestamp, wires: &[WireCount]) -> Judgement {
        self.known_until = self.known_until.max(known_until);
        let known_until = self.known_until;
        let has_warmed_up = self.setting.is_warm && known_until >= self.warm_until;
        if has_warmed_up {
            self.begin_trial(self.canary.next());
        }
        (self.setting.is_braked, self.setting.is_confirmed) = (self.brake.is_some(), self.confirmed.is_some());
        self.expire(known_until);
        // The wires are still those of the warm-up in the tick that ends it, and say nothing about the normal limits.
        let by_wire = if has_warmed_up { None } else { self.wires(wires) };
        let mut brake = by_wire;
        for index in 0..self.cases.len() {
            let found = self.look(index, known_until);
            brake = brake.or(found);
        }
        // With nothing to confirm it, what brakes stays found; a test that fell back below its threshold had reached it.
        self.brake = self.brake.take().or(brake);
        self.forget();
        self.show(known_until);
        let found = [self.brake.as_ref(), self.confirmed.as_ref()];
        let mut gates: Vec<_> = self.cases.iter_mut().map(|case| standing::status(case, &self.setting, found)).collect();
        gates.extend(self.excess_gates.iter().map(|gate| standing::excess(gate, &self.setting)));
        let rate = self.rate.per_second(known_until);
        Judgement { brake: self.brake.clone(), confirmed: self.confirmed.clone(), gates: gates.into(), harm_cap: self.harm_cap(rate), rate }
    }

    /// Works out some gates' bounds again; each tick begins with other gates, so that all have their turn.
    fn show(&mut self, known_until: Timestamp) {
        let (mut room, beta) = (MOST_SHOWN, self.setting.policy.beta);
        let (before, after) = self.cases.split_at_mut(self.first_shown);
        after.iter_mut().chain(before).for_each(|case| case.show(beta, known_until, &mut room));
        self.first_shown = (self.first_shown + MOST_SHOWN).checked_rem(self.cases.len()).unwrap_or_default();
    }

    fn parts(&mut self, arm: Arm) -> (&mut Lane, Counting<'_>) {
        let cases = self.cases.as_mut_slice();
        let lane = match arm {
            Arm::Canary => &mut self.canary,
            Arm::Stable { worker } => {
                self.stable.entry(worker).or_insert_with(|| Lane::new(cases.iter().map(|case| first_due(&case.gate.criterion)).collect()))
            }
        };
        (lane, Counting { arm, cases, blocks: &mut self.blocks, patience: self.patience })
    }

    fn open(&mut self, key: Key) {
        let is_warm = self.blocks.start(key) < self.warm_until;
        let weight = self.epochs.get(&key.1).copied().flatten().map(Weight::ratio).filter(|weight| *weight > 0.0 && *weight < 1.0);
        let sibling = self.blocks.sibling(key);
        let frozen = self.cases.iter().enumerate().map(|(gate, case)| {
            let sibling = sibling.and_then(|cells| cells.get(gate)).map(|cell| &cell.frozen);
            Cell::new(terms::freeze(&case.gate, case.baseline.as_ref(), is_warm, weight, sibling))
        });
        let cells = frozen.collect();
        self.blocks.insert(key, cells);
    }

    fn expire(&mut self, known_until: Timestamp) {
        let (cases, blocks, patience) = (self.cases.as_mut_slice(), &mut self.blocks, self.patience);
        Counting { arm: Arm::Canary, cases, blocks, patience }.expire(&mut self.canary, known_until);
        for (worker, lane) in &mut self.stable {
            let arm = Arm::Stable { worker: *worker };
            Counting { arm, cases, blocks, patience }.expire(lane, known_until);
        }
    }

    fn wires(&mut self, wires: &[WireCount]) -> Option<Evidence> {
        // Where breaches must come from several clients only the wire knows whether they did, up to the end of its table.
        let least = if self.setting.policy.min_clients > 1 { TABLE_LENGTH } else { 0 };
        let wired = self.cases.iter_mut().filter(|case| case.gate.criterion.is_wired());
        let mut brake = None;
        for (case, wire) in wired.zip(wires) {
            for (test, count) in [(Test::Cumulative, wire.cumulative), (Test::Step, wire.step)] {
                if case.wire_trips(&self.setting, test, count.requests, count.breaches)
                    && count.breaches > least
                    && brake.is_none()
                    && !self.setting.is_braked
                {
                    brake = case.of_wire(&self.setting, test, (count.requests, count.breaches, count.unanswered));
                }
            }
        }
        brake
    }

    fn look(&mut self, index: usize, known_until: Timestamp) -> Option<Evidence> {
        let case = self.cases.get_mut(index)?;
        if let Some(baseline) = &mut case.baseline {
            let over = self.blocks.over(index, known_until).map(|(_, cell)| cell);
            let mut is_fresh = false;
            for cell in over.filter(|cell| !cell.absorbed && cell.awaited == 0 && cell.stable.is_settled()) {
                let counts = Counts::new(cell.stable.requests, cell.stable.bad());
                baseline.absorb(counts, &std::mem::take(&mut cell.latencies), known_until);
                (cell.absorbed, is_fresh) = (true, true);
            }
            if is_fresh {
                baseline.refresh();
            }
        }
        let views = self.blocks.views(index, case.next, known_until);
        let (brake, confirmed) = case.look(&self.setting, &views, known_until);
        case.pass.walk(&case.gate.criterion, &self.canary, known_until);
        // Where breaches must come from several clients, marks do not say from how many they came.
        let brake = brake.or(if self.setting.policy.min_clients > 1 { None } else { case.by_order(&self.setting) });
        self.confirmed = self.confirmed.take().or(confirmed);
        brake
    }

    fn forget(&mut self) {
        let resolved = self.cases.iter().map(|case| case.pass.resolved).min().unwrap_or(u64::MAX);
        self.canary.forget_before(resolved);
        self.stable.values_mut().for_each(|lane| lane.forget_before(u64::MAX));
        let mut taken = self.cases.iter().map(|case| case.next).min().unwrap_or(u64::MAX);
        for (index, _) in self.cases.iter().enumerate().filter(|(_, case)| case.baseline.is_some()) {
            let waiting = self.blocks.over(index, self.known_until).find(|(_, cell)| !cell.absorbed);
            taken = taken.min(waiting.map_or(u64::MAX, |(key, _)| key.0));
        }
        if taken < u64::MAX {
            self.blocks.forget_before(taken);
        }
    }

    fn harm_cap(&self, rate: f64) -> Option<Weight> {
        let harm = self.harm?;
        let (beta, deadline) = (self.setting.policy.beta, self.setting.policy.outcome_deadline);
        let caps = self.cases.iter().filter_map(|case| {
            let reveal = match case.gate.criterion {
                Criterion::Latency { limit, .. } => limit,
                Criterion::Errors { .. } => deadline,
                _ => return None,
            };
            Some(standing::harm_cap(harm, rate, reveal, case.pass.total, beta))
        });
        caps.min()
    }

    /// Returns how many requests and blocks are remembered.
    #[cfg(test)]
    fn remembered(&self) -> (usize, usize) {
        (self.canary.len() + self.stable.values().map(Lane::len).sum::<usize>(), self.blocks.len())
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
