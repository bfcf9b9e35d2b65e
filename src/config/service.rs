//! Compiles one service: its versions, its gates, its bounds and its plan.

use std::path::{Path, PathBuf};

use crate::config::file::read_text;
use crate::config::plan;
use crate::config::settings::{Perfspec, Service};
use crate::config::spec::{ServiceSpec, VersionSpec};
use crate::config::surroundings::Surroundings;
use crate::config::values;
use crate::domain::gate::{Criterion, Gate, Policy, live};
use crate::domain::version::Version;
use crate::formats::perfspec;
use crate::formats::yaml::place::{At, Report};

/// The bound on a false rollback where none is written.
const DEFAULT_ALPHA: f64 = 0.001;
/// The bound on a false promotion where none is written.
const DEFAULT_BETA: f64 = 0.05;

/// Compiles a service; `None` after reporting why there is none. `base` is the folder of the file.
pub(super) fn compile(spec: &ServiceSpec, base: &Path, around: &Surroundings<'_>, report: &Report<'_>) -> Option<Service> {
    let name = spec.name.as_ref().and_then(|text| values::parsed(text, "write for example carts", report));
    let hosts = spec.hosts.as_ref().map(|list| list.value.iter().map(|text| values::host(text, report)).collect::<Vec<_>>());
    let stable = spec.stable.as_ref().map(|version| compile_version(version, around, report));
    let canary = spec.canary.as_ref().map(|version| compile_version(version, around, report));
    let derive_tripwire = spec.derive_tripwire.as_ref().is_none_or(|flag| flag.value);
    let perfspec = spec.perfspec.as_ref().and_then(|text| read_perfspec(text, base, derive_tripwire, report));
    let mut gates = written_gates(&spec.gates, report);
    gates.extend(perfspec.as_ref().map_or_else(Vec::new, gates_of));
    let bound = |text: &Option<At<String>>, default| text.as_ref().map_or(Some(default), |text| values::chance(text, report));
    let (alpha, beta) = (bound(&spec.alpha, DEFAULT_ALPHA), bound(&spec.beta, DEFAULT_BETA));
    let plan = plan::compile(&spec.plan, report);
    Some(Service {
        name: name?,
        hosts: hosts.map_or_else(Vec::new, |hosts| hosts.into_iter().flatten().collect()),
        stable: stable??,
        canary: canary.flatten(),
        gates,
        perfspec,
        policy: Policy { alpha: alpha?, alpha_brake: alpha?, beta: beta?, ..Policy::default() },
        schedule: plan?,
    })
}

/// Returns a path of the file relative to its folder, and a path of a flag relative to the working directory.
pub(super) fn located(text: &At<String>, base: &Path) -> PathBuf {
    if text.place.spot.is_some() { base.join(&text.value) } else { PathBuf::from(&text.value) }
}

fn compile_version(spec: &VersionSpec, around: &Surroundings<'_>, report: &Report<'_>) -> Option<Version> {
    let name = spec.version.as_ref().and_then(|text| values::parsed(text, "write for example 0.8.1", report));
    let list = spec.endpoints.as_ref()?;
    if list.value.is_empty() {
        let hint = "write where the version listens, such as 127.0.0.1:8081";
        report.error(&list.place, "there is no endpoint, so the version could answer nothing", hint);
    }
    let mut endpoints = Vec::new();
    for text in &list.value {
        for endpoint in values::endpoints(text, around, report) {
            if endpoints.contains(&endpoint) {
                report.error(&text.place, format!("the endpoint {endpoint} occurs twice"), "keep one of the two");
            }
            endpoints.push(endpoint);
        }
    }
    Some(Version { name: name?, endpoints })
}

fn written_gates(texts: &[At<String>], report: &Report<'_>) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    for text in texts {
        let criterion = match text.value.parse::<Criterion>() {
            Ok(criterion) => criterion,
            Err(error) => {
                report.error(&text.place, error.message(), error.hint());
                continue;
            }
        };
        let gate = Gate::written(criterion);
        if gates.contains(&gate) {
            report.error(&text.place, format!("the gate '{criterion}' occurs twice"), "keep one of the two");
        } else {
            gates.push(gate);
        }
    }
    gates
}

/// Reads a perfspec for a live rollout and hands on everything that is wrong with it or worth knowing.
fn read_perfspec(text: &At<String>, base: &Path, derive_tripwire: bool, report: &Report<'_>) -> Option<Perfspec> {
    let path = located(text, base);
    let name = path.display().to_string();
    let content = match read_text(&path) {
        Ok(content) => content,
        Err(problem) => {
            report.error(&text.place, format!("the perfspec {name} is of no use: {}", problem.message), problem.hint.unwrap_or_default());
            return None;
        }
    };
    match perfspec::load_live(&name, &content) {
        Ok(loaded) => {
            report.extend(loaded.notes);
            Some(Perfspec { path, derive_tripwire, spec: loaded.spec })
        }
        Err(problems) => {
            report.extend(problems);
            None
        }
    }
}

/// Returns the gates of a perfspec: a compiled one per indicator that can be judged live, and the derived tripwires.
fn gates_of(perfspec: &Perfspec) -> Vec<Gate> {
    // What cannot be judged live was refused when the file was read.
    live::compile(&perfspec.spec, perfspec.derive_tripwire).unwrap_or_default()
}
