//! How the versions of each service answered lately: a bounded history for charts, taken from the totals once a second.
//!
//! It only reads: the totals are held while one histogram is copied, and nobody waits for it. What it keeps is for people; gates
//! count for themselves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::control::status::{Board, ServiceStatus, TotalsKey};
use crate::domain::distribution::Distribution;
use crate::domain::observation::Window;
use crate::domain::outcome::{Class, Role};
use crate::domain::version::Name;
use crate::domain::weight::Weight;
use crate::telemetry::reading::Reading;
use crate::telemetry::stretch::{Figures, Spectrum, Stretch};

/// The most services with a history; each takes at most about a megabyte, and another one for each eight gates.
pub const SERVICES: usize = 32;
/// How many points are kept a second apart.
pub const FINE: usize = 600;
/// How many points are kept further apart, and how many seconds.
pub const COARSE: usize = 960;
/// How many seconds lie between those.
pub const EVERY: u64 = 15;

/// How both versions answered at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The wall clock in milliseconds since 1970.
    pub at_ms: u64,
    /// The canary's share.
    pub weight: Weight,
    /// The version that owns the traffic; absent without an ended request in the window.
    pub stable: Option<Figures>,
    /// The version on trial.
    pub canary: Option<Figures>,
    /// How far the evidence of each gate has come; none while nothing is judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Reading>,
}

/// All latencies of both versions since the rollout began, or since the process began where there was none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spectra {
    /// The version that owns the traffic.
    pub stable: Spectrum,
    /// The version on trial.
    pub canary: Spectrum,
}

/// The history of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// Over how many seconds each point is taken.
    pub window_seconds: usize,
    /// The points, oldest first: at first 15 seconds apart, the last ten minutes one second.
    pub points: Vec<Point>,
    /// The percentile spectrum.
    pub spectra: Spectra,
}

/// The history of every service.
#[derive(Debug, Default)]
pub struct History {
    tracks: BTreeMap<Name, Track>,
    ticks: u64,
}

#[derive(Debug, Default)]
struct Track {
    rollout: Option<u64>,
    stable: Arm,
    canary: Arm,
    fine: VecDeque<Point>,
    coarse: VecDeque<Point>,
}

/// One version in one role: what was counted up to now, and its last seconds.
#[derive(Debug, Default)]
struct Arm {
    key: Option<TotalsKey>,
    counted: Distribution,
    ended: [u64; Class::ALL.len()],
    stretch: Stretch,
    since: Distribution,
}

impl History {
    /// Takes one point of every service; to be called once a second. `at_ms` is the wall clock in milliseconds since 1970.
    pub fn sample(&mut self, at_ms: u64, services: &[Arc<ServiceStatus>], board: &Board) {
        self.ticks += 1;
        let coarse = self.ticks.is_multiple_of(EVERY);
        self.tracks.retain(|name, _| services.iter().any(|service| service.name == *name));
        for service in services.iter().take(SERVICES) {
            let track = self.tracks.entry(service.name.clone()).or_default();
            let point = track.sample(at_ms, service, board);
            if coarse {
                push(&mut track.coarse, point.clone(), COARSE);
            }
            push(&mut track.fine, point, FINE);
        }
    }

    /// Returns the newest point of a service.
    #[must_use]
    pub fn newest(&self, service: &Name) -> Option<&Point> {
        self.tracks.get(service)?.fine.back()
    }

    /// Returns the percentile spectrum of a service.
    #[must_use]
    pub fn spectra(&self, service: &Name) -> Option<Spectra> {
        let track = self.tracks.get(service)?;
        Some(Spectra { stable: Spectrum::of(&track.stable.since), canary: Spectrum::of(&track.canary.since) })
    }

    /// Returns everything that is kept of a service; without points where nothing is.
    #[must_use]
    pub fn chart(&self, service: &Name) -> Chart {
        let track = self.tracks.get(service);
        let from = track.and_then(|track| track.fine.front()).map_or(u64::MAX, |point| point.at_ms);
        let coarse = track.iter().flat_map(|track| track.coarse.iter().filter(move |point| point.at_ms < from));
        let points = coarse.chain(track.iter().flat_map(|track| &track.fine)).cloned().collect();
        Chart { window_seconds: Stretch::SECONDS, points, spectra: self.spectra(service).unwrap_or_default() }
    }
}

fn push(points: &mut VecDeque<Point>, point: Point, most: usize) {
    if points.len() >= most {
        points.pop_front();
    }
    points.push_back(point);
}

impl Track {
    fn sample(&mut self, at_ms: u64, service: &ServiceStatus, board: &Board) -> Point {
        let rollout = service.rollout.as_ref();
        let id = rollout.map(|rollout| rollout.id);
        if id != self.rollout {
            self.rollout = id;
            // A new rollout compares its own requests.
            self.stable.since = Distribution::default();
            self.canary = Arm::default();
        }
        let key = |version: &Name, role| (service.name.to_string(), version.to_string(), role);
        // Once the canary owns the traffic, the spectrum still shows the version it was compared with.
        let compared = rollout.is_none_or(|rollout| rollout.stable.name == service.owner.name);
        self.stable.sample(key(&service.owner.name, Role::Stable), 0, compared, board);
        if let Some(rollout) = rollout {
            self.canary.sample(key(&rollout.canary.name, Role::Canary), rollout.canary_requests, true, board);
        }
        let weight = rollout.filter(|rollout| !rollout.phase.is_terminal()).map_or(Weight::ZERO, |rollout| rollout.weight);
        let gates = rollout.map_or_else(Vec::new, Reading::all);
        Point { at_ms, weight, stable: self.stable.stretch.figures(), canary: self.canary.stretch.figures(), gates }
    }
}

impl Arm {
    /// Takes in what was added to the totals since the last second. `own` is how many requests the current rollout has sent to the
    /// version: when the totals hold no others, all of them are news. `compared` says whether they belong to the spectrum.
    fn sample(&mut self, key: TotalsKey, own: u64, compared: bool, board: &Board) {
        let copied = {
            let totals = board.totals();
            let flights = totals.in_flight.get(&key).map_or(0, |flights| flights.values().sum::<u64>());
            totals.windows.get(&key).map(|window: &Window| (window.response_time.clone(), window.classes, window.decided, flights))
        };
        let Some((now, classes, decided, in_flight)) = copied else { return self.stretch.push(Vec::new(), 0, 0, 0) };
        if self.key.as_ref() != Some(&key) {
            let since = std::mem::take(&mut self.since);
            *self = Self { key: Some(key), since, ..Self::default() };
            if decided > own {
                (self.counted, self.ended) = (now.clone(), classes);
            }
        }
        let mut cells = Vec::new();
        for cell in now.cells() {
            let value = cell.to;
            let added = cell.count.saturating_sub(self.counted.count_at(value));
            if added > 0 {
                self.counted.record(value, added);
                if compared {
                    self.since.record(value, added);
                }
                cells.push((value, added));
            }
        }
        let added = |class: &Class| {
            let index = class.index();
            let count = |classes: &[u64; Class::ALL.len()]| classes.get(index).copied().unwrap_or(0);
            count(&classes).saturating_sub(count(&self.ended))
        };
        let ended = Class::ALL.iter().filter(|class| **class != Class::Aborted).map(added).sum();
        let errors = [Class::ServerError, Class::Error].iter().map(added).sum();
        self.ended = classes;
        self.stretch.push(cells, ended, errors, in_flight);
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
