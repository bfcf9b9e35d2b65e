//! The metrics of this process in Prometheus' text format 0.0.4, made at the moment they are asked for.
//!
//! Nothing here is touched by a request: the data plane counts in its own books, and the figures are taken from the
//! controller's [`Board`] and the workers' [`Counters`] at exposition only. The number of series is bounded twice: labels
//! come from configuration and commands only, and the sheet has room for [`MOST_SERIES`]; versions of the current rollouts
//! come first, and what finds no room is counted. Totals of a service's last 20 versions are kept since the start, so
//! one of them that found no room goes on where it was when it is shown again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use crate::control::status::{Board, RolloutStatus, ServiceStatus, Snapshot, Totals, TotalsKey};
use crate::domain::gate::Verdict;
use crate::domain::gate::criterion::Unit;
use crate::domain::judge::GateStatus;
use crate::domain::outcome::{Class, Role};
use crate::domain::rollout::Phase;
use crate::proxy::certificates::Expiry;
use crate::proxy::pressure::Pressure;
use crate::proxy::scan::Flood;
use crate::proxy::tunnel::Kind;
use crate::proxy::worker::Counters;
use crate::seam::clock::Clock;
use crate::telemetry::metrics as m;
use crate::telemetry::reach;
use crate::telemetry::reloads::Reloads;
use crate::telemetry::sheet::{BOUNDS, HISTOGRAM_SERIES, Latency, Sheet};

/// The most series of an exposition, besides those of the process.
pub const MOST_SERIES: usize = 10_000;

/// The series of a version in one role.
const VERSION_SERIES: usize = Class::ALL.len() + 1 + 2 * HISTOGRAM_SERIES;

/// Where the figures are read from.
#[derive(Clone)]
pub struct Figures {
    /// What the controller shows.
    pub board: Board,
    /// What the workers count.
    pub counters: Arc<Counters>,
    /// Lines of the access log that were dropped; absent without an access log.
    pub access_log_dropped: Option<Arc<AtomicU64>>,
    /// The load on the process.
    pub pressure: Arc<Pressure>,
    /// How reading the configuration again went.
    pub reloads: Arc<Reloads>,
    /// When certificates of the listeners expire.
    pub certificates: Vec<Expiry>,
    /// The process's clock.
    pub clock: Clock,
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
        let describe = |d: &&m::Definition| {
            let labels = d.labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(d.name.to_owned(), d.help.to_owned(), labels, std::collections::HashMap::new())
        };
        let descriptions = m::ALL.iter().map(describe).collect::<prometheus::Result<_>>()?;
        registry.register(Box::new(Source { figures, descriptions }))?;
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
        // The totals are held while they are copied, not while they are written.
        let versions = versions(&mut sheet, &snapshot, &self.figures.board.totals());
        for version in versions {
            version.write(&mut sheet);
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
        let values = [
            (&m::OPEN, read(&counters.open)),
            (&m::ACCEPTED, read(&counters.accepted)),
            (&m::REJECTED, read(&counters.rejected)),
            (&m::REFUSED, read(&counters.refused)),
            (&m::STICKY_FORGED, read(&counters.choices.sticky_forged)),
            (&m::TUNNELS_OPEN, read(&counters.tunnels.open)),
            (&m::HANDSHAKES_FAILED, read(&counters.handshakes_failed)),
            (&m::DROPPED, dropped.map_or(0.0, read)),
            (&m::DECISION_AGE, age as f64 / 1e9),
            (&m::PRESSURE, f64::from(self.figures.pressure.level() as u8)),
            (&m::SHED, shed as f64),
            (&m::OVER_SOURCE, over_source as f64),
            (&m::RELOAD_GOOD, good as f64),
            (&m::RELOAD_TIME, last as f64),
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
        if sheet.reserve(Flood::ALL.len()) {
            for (flood, count) in Flood::ALL.iter().zip(&counters.floods) {
                sheet.value(&m::FLOODS, &[flood.as_str()], read(count));
            }
        }
    }
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
    for gate in service.rollout.iter().flat_map(|rollout: &RolloutStatus| &rollout.gates) {
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

/// The figures of one version in one role, copied while the totals were held.
struct VersionFigures {
    key: TotalsKey,
    classes: [u64; Class::ALL.len()],
    in_flight: u64,
    response_time: Latency,
    duration: Latency,
}

impl VersionFigures {
    fn of(key: TotalsKey, totals: &Totals) -> Self {
        let window = totals.windows.get(&key);
        Self {
            classes: window.map_or_else(Default::default, |w| w.classes),
            in_flight: totals.in_flight.get(&key).map_or(0, |flights| flights.values().sum()),
            response_time: window.map_or_else(Latency::default, |w| latency(&w.response_time, w.response_time_sum_ns)),
            duration: window.map_or_else(Latency::default, |w| latency(&w.duration, w.duration_sum_ns)),
            key,
        }
    }

    fn write(&self, sheet: &mut Sheet) {
        let (service, version, role) = (self.key.0.as_str(), self.key.1.as_str(), self.key.2.as_str());
        for (class, count) in Class::ALL.iter().zip(self.classes) {
            sheet.value(&m::REQUESTS, &[service, version, role, class.as_str()], count as f64);
        }
        let labels = [service, version, role];
        sheet.value(&m::IN_FLIGHT, &labels, self.in_flight as f64);
        sheet.histogram(&m::RESPONSE_TIME, &labels, &self.response_time);
        sheet.histogram(&m::DURATION, &labels, &self.duration);
    }
}

/// Picks the versions for which there is room: those of the current rollouts first, then earlier ones by name.
fn versions(sheet: &mut Sheet, snapshot: &Snapshot, totals: &Totals) -> Vec<VersionFigures> {
    let mut current = BTreeSet::new();
    for service in &snapshot.services {
        let mut add = |version: &crate::domain::version::Version, role| {
            current.insert((service.name.to_string(), version.name.to_string(), role));
        };
        add(&service.owner, Role::Stable);
        if let Some(rollout) = &service.rollout {
            add(&rollout.stable, Role::Stable);
            add(&rollout.canary, Role::Canary);
        }
    }
    let earlier: Vec<TotalsKey> = totals.windows.keys().filter(|key| !current.contains(*key)).cloned().collect();
    let with_room = current.into_iter().chain(earlier).filter(|_| sheet.reserve(VERSION_SERIES));
    with_room.map(|key| VersionFigures::of(key, totals)).collect()
}

/// Sums a histogram's cells into buckets. The cell that holds a bound (at most 0.1 % wide) counts as within it; count and sum
/// are exact.
fn latency(histogram: &hdrhistogram::Histogram<u64>, sum_ns: u128) -> Latency {
    let mut latency = Latency { count: histogram.len(), sum: sum_ns as f64 / 1e9, buckets: [0; BOUNDS.len()] };
    let mut buckets = latency.buckets.iter_mut().zip(BOUNDS).peekable();
    let mut within = 0;
    // Cells come in ascending order, so each bound is passed once.
    for cell in histogram.iter_recorded() {
        let from = histogram.lowest_equivalent(cell.value_iterated_to()) as f64 / 1e6;
        while let Some((bucket, _)) = buckets.next_if(|(_, bound)| from > *bound) {
            *bucket = within;
        }
        within += cell.count_at_value();
    }
    buckets.for_each(|(bucket, _)| *bucket = within);
    latency
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
