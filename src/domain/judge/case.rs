//! The case of one gate: its tests, what they have taken in, and where they stand.

use crate::domain::gate::basis::{Basis, Losses};
use crate::domain::gate::evidence::{Estimate, Evidence, Rule, Test, Tipping};
use crate::domain::gate::{Criterion, Gate, Origin, Policy, Verdict};
use crate::domain::judge::arms::Request;
use crate::domain::judge::baseline::{self, Baseline};
use crate::domain::judge::blocks::{Key, Tally, View};
use crate::domain::judge::bounds;
use crate::domain::judge::brake::{Brake, Mean};
use crate::domain::judge::budget::Budget;
use crate::domain::judge::confirm::Confirm;
use crate::domain::judge::order::Order;
use crate::domain::judge::pass::Pass;
use crate::domain::judge::terms;
use crate::domain::judge::words::{self, Sum};
use crate::domain::start_order::Stage;
use crate::domain::stats::exceedance::{log_e_breach, pass_n_min};
use crate::domain::time::{Timestamp, nanos};
use crate::domain::version::Name;
use std::time::Duration;

/// How many of the requests that tipped a verdict are named.
const NAMED: usize = 10;

/// How long worked-out bounds are shown at most while there is room in the ticks. Those of gates with other counts are shown for up to
/// [`SPREAD`] less, so that not all come due in one tick.
const SHOWN_FOR: Duration = Duration::from_secs(1);
const SPREAD: Duration = Duration::from_millis(400);

/// What holds for all gates of a rollout.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub canary: Name,
    pub policy: Policy,
    pub budget: Budget,
    /// The burst tolerance in blocks.
    pub gap: u32,
    /// Whether the version warms up.
    pub is_warm: bool,
    /// Whether it is watched at 100 %.
    pub is_watched: bool,
    /// Whether the canary gets all of the traffic.
    pub is_alone: bool,
    /// Whether something brakes already, so that no further evidence of that is put together.
    pub is_braked: bool,
    /// Whether something is confirmed already.
    pub is_confirmed: bool,
}

impl Setting {
    /// Returns the evidence at which a brake test of level `alpha` is to be explained.
    fn brake_threshold(&self, alpha: f64) -> f64 {
        if self.is_braked { f64::INFINITY } else { -alpha.ln() }
    }
}

/// What was counted in blocks.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    canary: Tally,
    stable: Tally,
    /// The sum of the canary's latencies in nanoseconds, what is in flight having taken until now.
    sum: f64,
    /// For a mean, what its bets have won.
    means: Mean,
}

impl Seen {
    fn add(&mut self, view: &View<'_>, known_until: Timestamp, criterion: &Criterion) {
        let (canary, stable) = (&view.cell.canary, &view.cell.stable);
        if matches!(criterion, Criterion::Mean { .. }) {
            self.means.take(view, terms::mean_limit(criterion), known_until);
        }
        self.sum += canary.average(view.start, known_until) * canary.requests as f64;
        (self.canary, self.stable) = (self.canary.and(canary), self.stable.and(stable));
    }

    fn sum(&self, criterion: &Criterion) -> Sum {
        let is_mean = matches!(criterion, Criterion::Mean { .. });
        // The losses of a mean are nanoseconds and those of a comparison no classes.
        let is_apdex = matches!(criterion, Criterion::Apdex { .. });
        let classes = |classes: fn(&Tally) -> Losses| if is_apdex { classes(&self.canary) } else { Losses::default() };
        let bad = |tally: &Tally| if is_mean { 0 } else { tally.bad() + tally.halves };
        Sum {
            requests: self.canary.requests,
            breaches: bad(&self.canary),
            unanswered: self.canary.unanswered,
            stable_requests: self.stable.requests,
            stable_breaches: bad(&self.stable),
            mean: if is_mean { self.sum / self.canary.requests.max(1) as f64 } else { self.canary.losses().share() },
            means: self.means,
            losses: classes(Tally::classes),
            losses_at_most: classes(Tally::classes_at_most),
        }
    }
}

/// One gate's case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub gate: Gate,
    /// The gate as shown to people, in every tick.
    pub name: String,
    pub baseline: Option<Baseline>,
    pub confirm: Option<Confirm>,
    pub brake: Brake,
    pub late: Option<Brake>,
    /// Failures in start order: since the trial began, and since the step began.
    pub orders: Option<[Order; 2]>,
    pub pass: Pass,
    /// The first slice of time that was not taken in.
    pub next: u64,
    /// Blocks up to this one were taken in by earlier brake tests.
    after: Option<Key>,
    tipped: Vec<(Tipping, u64)>,
    seen: Seen,
    /// As `seen`, since the brake tests began.
    seen_since: Seen,
    /// The largest evidence of the wire, and the threshold it is held against.
    pub wire: (f64, f64),
    pub shown: Shown,
}

/// What is worked out for people, which takes longer than judging and so is done once a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    counts: Option<(u64, u64)>,
    at: Timestamp,
    pub bounds: Option<Estimate>,
    /// For how many bad requests how many are needed in all.
    needed: Option<(u64, u64)>,
}

impl Case {
    pub fn new(gate: &Gate, setting: &Setting) -> Self {
        let compared = match gate.criterion {
            Criterion::RelativeLatency { share, .. } => Some(Baseline::new(Some(share.ratio()))),
            Criterion::RelativeErrors { .. } => Some(Baseline::new(None)),
            _ => None,
        };
        // What was derived from a file's limit is stricter than the file, so it only brakes; the file's own gates and grade confirm.
        let is_final = setting.policy.confirms() && !matches!(gate.origin, Origin::Derived { .. });
        let confirm = if is_final { Confirm::new(&gate.criterion, setting.gap) } else { None };
        let mut case = Self {
            gate: gate.clone(),
            name: gate.name(),
            baseline: compared,
            confirm,
            brake: Brake::new(&gate.criterion, None),
            late: None,
            orders: None,
            pass: Pass::new(gate),
            next: 0,
            after: None,
            tipped: Vec::new(),
            seen: Seen::default(),
            seen_since: Seen::default(),
            wire: (0.0, -setting.budget.cumulative.ln()),
            shown: Shown::default(),
        };
        case.order(1, setting.is_warm);
        case
    }

    fn order(&mut self, first: u64, is_warm: bool) {
        if let Criterion::Errors { share, .. } = self.gate.criterion {
            let looser = if is_warm { share.ratio().max(Policy::WARM_UP_SHARE) } else { share.ratio() };
            self.orders = Some([Order::new(looser, first), Order::new(looser, first)]);
        }
    }

    /// Begins the brake tests and the counts of the trial again, after a block.
    pub fn restart(&mut self, first: u64, after: Option<Key>, setting: &Setting) {
        self.after = after;
        self.brake = Brake::new(&self.gate.criterion, self.after);
        self.late = self.late.take().and_then(|_| Brake::late(&self.gate.criterion, self.after));
        self.order(first, setting.is_warm);
        self.pass.restart(first);
        self.tipped.clear();
        self.seen_since = Seen::default();
        self.wire = (0.0, -setting.budget.cumulative.ln());
    }

    /// Begins the trial with request `first`, the warm-up being over. What was seen of blocks stays: they have their own nulls.
    pub fn cool(&mut self, first: u64, setting: &Setting) {
        self.order(first, false);
        self.pass.restart(first);
        self.pass.begin(&self.gate, first, self.after, false);
        self.wire = (0.0, -setting.budget.cumulative.ln());
    }

    /// Begins the watch with request `first`, after a block.
    pub fn watch(&mut self, first: u64, after: Option<Key>) {
        self.late = Brake::late(&self.gate.criterion, after);
        if let (Some([_, step]), Criterion::Errors { share, .. }) = (&mut self.orders, self.gate.criterion) {
            *step = Order::new(share.ratio(), first);
        }
    }

    /// Begins a step.
    pub fn begin_step(&mut self, first: u64, after: Option<Key>, setting: &Setting) {
        let carried = self.passes(setting, self.pass.log_e(&self.gate));
        self.pass.begin(&self.gate, first, after, carried);
        self.shown.counts = None;
        if let (Some([_, step]), Criterion::Errors { share, .. }) = (&mut self.orders, self.gate.criterion) {
            let share = share.ratio();
            *step = Order::new(if setting.is_warm { share.max(Policy::WARM_UP_SHARE) } else { share }, first);
        }
    }

    /// Notes a bad request of the canary.
    pub fn tip(&mut self, seq: u64, request: &Request, known_until: Timestamp) {
        let out =
            if request.course.stage == Stage::InFlight { nanos(known_until.since(request.course.at)) } else { request.course.latency };
        let tipping = Tipping { seq, started_ns: request.course.at.as_nanos(), latency_ns: out, errors: request.course.errors };
        let place = self.tipped.partition_point(|(tipping, _)| tipping.seq < seq);
        self.tipped.insert(place, (tipping, request.generation));
        if self.tipped.len() > NAMED {
            self.tipped.remove(0);
        }
        if let Some(orders) = &mut self.orders {
            orders.iter_mut().for_each(|order| order.breach(seq));
        }
    }

    /// Takes in the blocks that became final and judges; returns what brakes and what is confirmed.
    pub fn look(&mut self, setting: &Setting, views: &[View<'_>], known_until: Timestamp) -> (Option<Evidence>, Option<Evidence>) {
        let same = |one: &View<'_>, other: &View<'_>| one.key.0 == other.key.0;
        let last = views.chunk_by(same).take_while(|slice| slice.iter().all(|view| view.last)).map(<[View<'_>]>::len).sum();
        let (last, open) = views.split_at(last);
        if let Some(view) = last.last() {
            self.next = view.key.0 + 1;
        }
        for view in last.iter().filter(|view| !view.cell.frozen.out) {
            self.seen.add(view, known_until, &self.gate.criterion);
            if Some(view.key) > self.after {
                self.seen_since.add(view, known_until, &self.gate.criterion);
            }
        }
        self.pass.fold(last);
        let confirmed = self.confirmed(setting, (last, open), known_until);
        let brake = self.brakes(setting, (last, open), known_until);
        (brake, confirmed)
    }

    fn confirmed(&mut self, setting: &Setting, views: (&[View<'_>], &[View<'_>]), known_until: Timestamp) -> Option<Evidence> {
        let alpha = setting.budget.confirm;
        let limit = (terms::mean_limit(&self.gate.criterion), setting.gap);
        let threshold = if setting.is_confirmed { f64::INFINITY } else { -alpha.ln() };
        let confirmed = self.confirm.as_mut()?.evaluate(views, limit, known_until, threshold)?;
        let sum = sum(self.seen, views.1, None, known_until, &self.gate.criterion);
        let evidence = self.evidence(Rule::Chained, &sum, alpha, confirmed.basis);
        let log_e = evidence.log_e.unwrap_or_default();
        let sentence = words::confirmed(&self.gate, &setting.canary, &setting.policy, &sum, confirmed.moments, log_e);
        Some(Evidence { sentence, ..evidence })
    }

    fn brakes(&mut self, setting: &Setting, views: (&[View<'_>], &[View<'_>]), known_until: Timestamp) -> Option<Evidence> {
        let criterion = self.gate.criterion;
        let alpha = setting.budget.brake;
        let found = self.brake.evaluate(&criterion, views, known_until, setting.brake_threshold(alpha)).map(|found| (found, alpha));
        let alpha = setting.budget.change_point;
        let late = self.late.as_mut().and_then(|late| late.evaluate(&criterion, views, known_until, setting.brake_threshold(alpha)));
        let (found, alpha) = found.or(late.map(|found| (found, alpha)))?;
        let sum = sum(self.seen_since, views.1, self.after, known_until, &criterion);
        Some(self.braked(setting, found.rule, &sum, alpha, found.basis))
    }

    /// Judges by failures in start order.
    pub fn by_order(&mut self, setting: &Setting) -> Option<Evidence> {
        let resolved = self.pass.resolved;
        let step = if setting.is_watched { setting.budget.watch } else { setting.budget.step };
        let alphas = if setting.is_warm { [0.0, step] } else { [setting.budget.cumulative, step] };
        let found = self.orders.as_mut()?.iter_mut().zip([Test::Cumulative, Test::Step]).zip(alphas);
        let mut found = found.map(|((order, test), alpha)| (order.evaluate(resolved), order.p0(), test, alpha));
        let (best, p0, test, alpha) = found.find(|(best, _, _, alpha)| best.log_e >= setting.brake_threshold(*alpha))?;
        let basis = Basis::Exceedance { p0, requests: best.requests, breaches: best.breaches };
        let sum = Sum { requests: best.requests, breaches: best.breaches, ..Sum::default() };
        Some(self.braked(setting, Rule::StartOrder { test }, &sum, alpha, basis))
    }

    /// Explains a trip of the gate's wire.
    pub fn of_wire(&self, setting: &Setting, test: Test, (requests, breaches, unanswered): (u64, u64, u64)) -> Option<Evidence> {
        // In the warm-up the whole trial has no test, so what tripped is the trial that follows it.
        let cooled = Setting { is_warm: setting.is_warm && test == Test::Step, ..setting.clone() };
        let (p0, alpha) = self.wire_test(&cooled, test)?;
        let sum = Sum { requests, breaches, unanswered, ..Sum::default() };
        Some(self.braked(setting, Rule::Tripwire { test }, &sum, alpha, Basis::Exceedance { p0, requests, breaches }))
    }

    /// Evaluates the counts of a wire by the formula and says whether they suffice.
    pub fn wire_trips(&mut self, setting: &Setting, test: Test, requests: u64, breaches: u64) -> bool {
        let Some((p0, alpha)) = self.wire_test(setting, test) else { return false };
        let found = (log_e_breach(requests, breaches, p0), -alpha.ln());
        if found.0 - found.1 > self.wire.0 - self.wire.1 {
            self.wire = found;
        }
        breaches > 0 && found.0 >= found.1
    }

    /// Returns the share and the α of one count of the wire; `None` for a count that has no test now.
    fn wire_test(&self, setting: &Setting, test: Test) -> Option<(f64, f64)> {
        let share = terms::share(&self.gate.criterion).filter(|_| self.gate.criterion.is_wired())?;
        match (test, setting.is_warm) {
            (Test::Cumulative, true) => None,
            (Test::Cumulative, false) => Some((share, setting.budget.cumulative)),
            (Test::Step, true) => Some((share.max(Policy::WARM_UP_SHARE), setting.budget.step)),
            (Test::Step, false) => Some((share, if setting.is_watched { setting.budget.watch } else { setting.budget.step })),
        }
    }

    fn braked(&self, setting: &Setting, rule: Rule, sum: &Sum, alpha: f64, basis: Basis) -> Evidence {
        let evidence = self.evidence(rule, sum, alpha, basis);
        let sentence = words::braked(&self.gate, &setting.canary, &setting.policy, sum, evidence.log_e.unwrap_or_default());
        Evidence { sentence, ..evidence }
    }

    fn evidence(&self, rule: Rule, sum: &Sum, alpha: f64, basis: Basis) -> Evidence {
        let log_e = basis.log_e().unwrap_or_default();
        let estimate = bounds::of_breach(&self.gate, sum, &basis, alpha);
        Evidence {
            requests: sum.requests,
            breaches: sum.breaches,
            unanswered: sum.unanswered,
            stable_requests: sum.stable_requests,
            stable_breaches: sum.stable_breaches,
            estimate,
            tipped_by: self.tipped.iter().map(|(tipping, _)| *tipping).collect(),
            generation: self.tipped.last().map(|(_, generation)| *generation),
            ..Evidence::new(&self.gate, Verdict::Fail, rule).reaching(log_e, alpha, basis)
        }
    }

    /// Returns the requests of the step and those of them that lost anything.
    pub fn counted(&self) -> (u64, u64) {
        let losses = self.pass.losses;
        let breaches = if matches!(self.gate.criterion, Criterion::Mean { .. }) { 0 } else { losses.whole + losses.half };
        (losses.requests(), breaches)
    }

    /// Works out the bounds on the step's share again, about once a second, as long as there is `room` in this tick for what can wait.
    pub fn show(&mut self, beta: f64, known_until: Timestamp, room: &mut usize) {
        let counts = self.counted();
        let is_of_another_step = self.shown.counts.is_none_or(|shown| shown.0 > counts.0);
        let spread = self.shown.counts.map_or(Duration::ZERO, |(requests, _)| SPREAD * (requests % 8) as u32 / 8);
        let is_due = is_of_another_step || *room > 0 && known_until.since(self.shown.at) >= SHOWN_FOR - spread;
        if self.shown.counts != Some(counts) && is_due {
            *room = room.saturating_sub(1);
            let bounds = bounds::of_step(&self.gate, &self.pass, counts, beta);
            (self.shown.counts, self.shown.at, self.shown.bounds) = (Some(counts), known_until, bounds);
        }
    }

    /// Returns how many more requests the gate needs to pass; `None` when they never suffice.
    pub fn needs(&mut self, threshold: f64) -> Option<u64> {
        if !self.gate.criterion.is_wired() {
            return self.pass.needs(threshold);
        }
        let (requests, breaches) = self.counted();
        let needed = match self.shown.needed {
            Some((known, needed)) if known == breaches => needed,
            _ => pass_n_min(breaches, terms::passing_share(&self.gate)?, threshold),
        };
        self.shown.needed = Some((breaches, needed));
        (needed < u64::MAX).then(|| needed.saturating_sub(requests))
    }

    /// Returns how many more requests of the stable version may have to be seen before it can be said what the gate `needs`: until
    /// the comparison has begun, and until the stable version has shown a bad request or so many good ones that more are in vain.
    pub fn awaits_stable(&self, setting: &Setting, needs: Option<u64>) -> Option<u64> {
        let baseline = self.baseline.as_ref().filter(|_| needs.is_none() && !setting.is_alone)?;
        let stable = self.pass.stable;
        let enough = baseline::telling(terms::guess(&self.gate.criterion));
        let is_known = self.pass.has_begun() && (stable.breaches > 0 || stable.requests >= enough);
        (!is_known).then(|| baseline.awaits() + enough.saturating_sub(stable.requests))
    }

    /// Says whether the gate has its pass evidence, which is `log_e` in this step.
    pub fn passes(&self, setting: &Setting, log_e: f64) -> bool {
        let threshold = -setting.policy.beta.ln();
        !setting.is_warm && self.pass.passes(log_e, threshold, setting.is_alone)
    }
}

fn sum(mut seen: Seen, open: &[View<'_>], after: Option<Key>, known_until: Timestamp, criterion: &Criterion) -> Sum {
    open.iter().filter(|view| Some(view.key) > after && !view.cell.frozen.out).for_each(|view| seen.add(view, known_until, criterion));
    seen.sum(criterion)
}
