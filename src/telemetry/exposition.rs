//! The metrics of this process in Prometheus' text format 0.0.4, made at the moment they are asked for.
//!
//! Nothing here is touched by a request: the data plane counts in its own books, and the figures are taken from the
//! controller's [`Board`] and the workers' [`Counters`] at exposition only. The number of series is bounded twice: labels
//! come from configuration and commands only, and the sheet has room for [`MOST_SERIES`]. Versions of the current rollouts come
//! first; those beyond [`versions::MOST`](crate::telemetry::versions::MOST) are shown together as `other`, and what finds no room at
//! all is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use crate::control::status::{Board, RolloutStatus, ServiceStatus, Snapshot};
use crate::domain::gate::Verdict;
use crate::domain::gate::criterion::Unit;
use crate::domain::judge::GateStatus;
use crate::domain::outcome::Role;
use crate::domain::rollout::Phase;
use crate::proxy::certificates::Expiry;
use crate::proxy::intercept::{Refused, Spoken};
use crate::proxy::pressure::Pressure;
use crate::proxy::scan::Flood;
use crate::proxy::tunnel::Kind;
use crate::proxy::worker::Counters;
use crate::seam::clock::Clock;
use crate::seam::trace::SpanCounts;
use crate::telemetry::compat::Compat;
use crate::telemetry::lockouts::Lockouts;
use crate::telemetry::metrics as m;
use crate::telemetry::reach;
use crate::telemetry::reloads::Reloads;
use crate::telemetry::sheet::Sheet;
use crate::telemetry::versions::{OTHER, Versions};

/// The most series of an exposition, besides those of the process.
pub const MOST_SERIES: usize = 10_000;

/// Where the figures are read from.
#[derive(Clone)]
pub struct Figures {
    /// What the controller shows.
    pub board: Board,
    /// What the workers count.
    pub counters: Arc<Counters>,
    /// Lines of the access log that were dropped; absent without an access log.
    pub access_log_dropped: Option<Arc<AtomicU64>>,
    /// What became of spans; absent without traces.
    pub spans: Option<Arc<SpanCounts>>,
    /// The load on the process.
    pub pressure: Arc<Pressure>,
    /// How reading the configuration again went.
    pub reloads: Arc<Reloads>,
    /// Wrong tokens of the admin listener.
    pub lockouts: Arc<Lockouts>,
    /// When certificates of the listeners expire.
    pub certificates: Vec<Expiry>,
    /// The process's clock.
    pub clock: Clock,
    /// The families under others' names that are shown besides.
    pub compat: Compat,
}

/// The metrics of this process; copies share everything.
#[derive(Clone, Debug)]
pub struct Exposition {
    registry: Registry,
}

impl Exposition {
    /// The media type of [`Exposition::text`].
    pub const MEDIA_TYPE: &str = TEXT_FORMAT;

    /// Makes the metrics.
    ///
    /// # Errors
    ///
    /// Fails when two metrics have one name or a name is not allowed, which would be a mistake in this program.
    pub fn new(figures: Figures) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let descriptions = m::ALL.iter().map(|definition| definition.description()).collect::<prometheus::Result<Vec<_>>>()?;
        let compat = figures.compat.descriptions()?;
        let descriptions = [descriptions, compat].concat();
        registry.register(Box::new(Source { figures, descriptions, versions: Mutex::default() }))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { registry })
    }

    /// Writes every metric as it is now. Reads files of `/proc`, and holds the totals while it sums their cells.
    ///
    /// # Errors
    ///
    /// Fails when a family cannot be encoded.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// The figures as the registry sees them.
struct Source {
    figures: Figures,
    descriptions: Vec<Desc>,
    /// Guards which versions are shown by themselves; taken by one exposition at a time.
    versions: Mutex<Versions>,
}

impl Collector for Source {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.figures.board.snapshot();
        let mut sheet = Sheet::new(MOST_SERIES);
        self.process(&mut sheet, &snapshot);
        let rollbacks = self.figures.board.totals().rollbacks.clone();
        for service in &snapshot.services {
            let name = service.name.as_str();
            if sheet.reserve(1) {
                sheet.value(&m::ROLLBACKS, &[name], rollbacks.get(name).copied().unwrap_or(0) as f64);
            }
            weights(&mut sheet, service);
            phase(&mut sheet, service);
            gates(&mut sheet, service);
            reach::write(&mut sheet, service);
        }
        // The totals are held while they are copied, not while they are written. A panic in between would leave sums.
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let compat = &self.figures.compat;
        let copied = versions.copy(&mut sheet, &snapshot, &self.figures.board.totals(), compat);
        for version in &copied {
            version.write(&mut sheet);
            if version.key.1 != OTHER {
                compat.write(&mut sheet, version);
            }
        }
        if sheet.reserve(1) {
            sheet.value(&m::OVER_LIMIT, &["version"], versions.over_limit() as f64);
        }
        sheet.finish()
    }
}

impl Source {
    fn process(&self, sheet: &mut Sheet, snapshot: &Snapshot) {
        let counters = &self.figures.counters;
        let dropped = self.figures.access_log_dropped.as_deref();
        let age = self.figures.clock.now().as_nanos().saturating_sub(snapshot.judged_ns);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let [succeeded, failed, last, good] = self.figures.reloads.figures();
        let [shed, over_source] = self.figures.pressure.turned_away();
        let [wrong_tokens, lockouts, locked_out] = self.figures.lockouts.figures().map(|count| count as f64);
        let [workers, busy, parks, tasks] = runtimes(counters);
        let values = [
            (&m::OPEN, read(&counters.open)),
            (&m::RESTING, read(&counters.resting)),
            (&m::ACCEPTED, read(&counters.accepted)),
            (&m::HANDED, read(&counters.handed)),
            (&m::REJECTED, read(&counters.rejected)),
            (&m::REFUSED, read(&counters.refused)),
            (&m::STICKY_FORGED, read(&counters.choices.sticky_forged)),
            (&m::TUNNELS_OPEN, read(&counters.tunnels.open)),
            (&m::INTERCEPTED_PASSED, read(&counters.intercepted.passed)),
            (&m::HANDSHAKES_FAILED, read(&counters.handshakes_failed)),
            (&m::DROPPED, dropped.map_or(0.0, read)),
            (&m::DECISION_AGE, age as f64 / 1e9),
            (&m::PRESSURE, f64::from(self.figures.pressure.level() as u8)),
            (&m::SHED, shed as f64),
            (&m::OVER_SOURCE, over_source as f64),
            (&m::WRONG_TOKENS, wrong_tokens),
            (&m::LOCKOUTS, lockouts),
            (&m::LOCKED_OUT, locked_out),
            (&m::RELOAD_GOOD, good as f64),
            (&m::RELOAD_TIME, last as f64),
            (&m::RUNTIME_WORKERS, workers),
            (&m::RUNTIME_BUSY, busy),
            (&m::RUNTIME_PARKS, parks),
            (&m::RUNTIME_TASKS, tasks),
        ];
        if sheet.reserve(values.len() + 1) {
            sheet.value(&m::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
            for (definition, value) in values {
                sheet.value(definition, &[], value);
            }
        }
        if sheet.reserve(2) {
            sheet.value(&m::RELOADS, &["success"], succeeded as f64);
            sheet.value(&m::RELOADS, &["failure"], failed as f64);
        }
        let expiries = self.figures.certificates.iter().map(|expiry| expiry.load(Ordering::Relaxed));
        if let Some(first) = expiries.min().filter(|first| *first != u64::MAX)
            && sheet.reserve(1)
        {
            sheet.value(&m::CERTIFICATE_EXPIRY, &[], first as f64);
        }
        if let Some(spans) = self.figures.spans.as_deref()
            && sheet.reserve(4)
        {
            sheet.value(&m::SPANS_SENT, &[], read(&spans.sent));
            for (reason, count) in [("full", &spans.full), ("refused", &spans.refused), ("undelivered", &spans.undelivered)] {
                sheet.value(&m::SPANS_DROPPED, &[reason], read(count));
            }
        }
        let choices = &counters.choices;
        let kinds = [
            (&m::FORCED, "forced", &choices.forced),
            (&m::FORCED, "refused", &choices.force_refused),
            (&m::MIRRORED, "sent", &choices.mirrored),
            (&m::MIRRORED, "failed", &choices.mirror_failed),
            (&m::MIRRORED, "dropped", &choices.mirror_dropped),
        ];
        if sheet.reserve(kinds.len()) {
            for (definition, kind, count) in kinds {
                sheet.value(definition, &[kind], read(count));
            }
        }
        if sheet.reserve(Kind::ALL.len()) {
            for (kind, count) in Kind::ALL.iter().zip(&counters.tunnels.begun) {
                sheet.value(&m::TUNNELS, &[kind.as_str()], read(count));
            }
        }
        if sheet.reserve(Spoken::ALL.len() + Refused::ALL.len()) {
            for (spoken, count) in Spoken::ALL.iter().zip(&counters.intercepted.begun) {
                sheet.value(&m::INTERCEPTED, &[spoken.as_str()], read(count));
            }
            for (refused, count) in Refused::ALL.iter().zip(&counters.intercepted.refused) {
                sheet.value(&m::INTERCEPTED_REFUSED, &[refused.as_str()], read(count));
            }
        }
        if sheet.reserve(Flood::ALL.len()) {
            for (flood, count) in Flood::ALL.iter().zip(&counters.floods) {
                sheet.value(&m::FLOODS, &[flood.as_str()], read(count));
            }
        }
    }
}

/// Sums up the runtimes of the workers: how many there are, their busy seconds, how often they parked, and their tasks.
fn runtimes(counters: &Counters) -> [f64; 4] {
    let runtimes = counters.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
    let mut sums = [runtimes.len() as f64, 0.0, 0.0, 0.0];
    for runtime in runtimes.iter() {
        // Each is the runtime of one thread.
        let [_, busy, parks, tasks] = &mut sums;
        *busy += runtime.worker_total_busy_duration(0).as_secs_f64();
        *parks += runtime.worker_park_count(0) as f64;
        *tasks += runtime.num_alive_tasks() as f64;
    }
    sums
}

/// Writes who gets which share; the shares of a service sum to 1.
fn weights(sheet: &mut Sheet, service: &ServiceStatus) {
    let mut shares = BTreeMap::new();
    if let Some(rollout) = &service.rollout {
        let progressing = !rollout.phase.is_terminal();
        let canary = if progressing { rollout.weight.ratio() } else { 0.0 };
        let stable = if progressing { rollout.weight.complement().ratio() } else { 0.0 };
        shares.insert((rollout.stable.name.as_str(), Role::Stable), stable);
        shares.insert((rollout.canary.name.as_str(), Role::Canary), canary);
    }
    if service.rollout.as_ref().is_none_or(|rollout| rollout.phase.is_terminal()) {
        shares.insert((service.owner.name.as_str(), Role::Stable), 1.0);
    }
    if sheet.reserve(shares.len()) {
        for ((version, role), share) in shares {
            sheet.value(&m::WEIGHT, &[service.name.as_str(), version, role.as_str()], share);
        }
    }
}

fn phase(sheet: &mut Sheet, service: &ServiceStatus) {
    if !sheet.reserve(Phase::ALL.len()) {
        return;
    }
    let current = service.rollout.as_ref().map(|rollout| rollout.phase);
    for phase in Phase::ALL {
        let value = if current == Some(phase) { 1.0 } else { 0.0 };
        sheet.value(&m::PHASE, &[service.name.as_str(), phase.as_str()], value);
    }
}

fn gates(sheet: &mut Sheet, service: &ServiceStatus) {
    // Gates that do not differ have one name; a name that occurs twice would spoil the whole exposition.
    let mut seen = BTreeSet::new();
    for gate in service.rollout.iter().flat_map(|rollout: &RolloutStatus| rollout.gates.iter()) {
        if seen.insert(gate.gate.as_str()) {
            write_gate(sheet, service.name.as_str(), gate);
        }
    }
}

/// Writes one gate, whole or not at all; what is unknown has no series.
fn write_gate(sheet: &mut Sheet, service: &str, gate: &GateStatus) {
    let labels = [service, gate.gate.as_str()];
    // Prometheus counts time in seconds.
    let scale = if gate.unit == Unit::Nanoseconds { 1e9 } else { 1.0 };
    let figures = [
        (&m::GATE_REQUESTS, Some(gate.requests as f64)),
        (&m::GATE_BREACHES, Some(gate.breaches as f64)),
        (&m::GATE_VALUE, gate.value.map(|value| value / scale)),
        (&m::GATE_LIMIT, gate.limit.map(|limit| limit / scale)),
    ];
    let tests = [
        ("pass", gate.log_e, Some(gate.log_threshold)),
        ("brake", gate.brake_log_e, Some(gate.brake_log_threshold)),
        ("confirm", gate.confirm_log_e, gate.confirm_log_threshold),
    ];
    let known = |(definition, value): &(&'static m::Definition, Option<f64>)| value.map(|value| (*definition, value));
    let figures: Vec<_> = figures.iter().filter_map(known).collect();
    let tests: Vec<_> = tests.iter().filter_map(|(test, log_e, threshold)| threshold.map(|threshold| (*test, *log_e, threshold))).collect();
    if !sheet.reserve(figures.len() + 2 * tests.len() + Verdict::ALL.len()) {
        return;
    }
    for (definition, value) in figures {
        sheet.value(definition, &labels, value);
    }
    for (test, log_e, threshold) in tests {
        let labels = [service, gate.gate.as_str(), test];
        sheet.value(&m::GATE_EVIDENCE, &labels, log_e);
        sheet.value(&m::GATE_THRESHOLD, &labels, threshold);
    }
    for verdict in Verdict::ALL {
        let value = if gate.verdict == verdict { 1.0 } else { 0.0 };
        sheet.value(&m::GATE_VERDICT, &[service, gate.gate.as_str(), verdict.as_str()], value);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
