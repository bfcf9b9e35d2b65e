//! Compiles one service: its versions, its gates, its policy and its plan.

use std::path::Path;

use crate::config::service_spec::{PlanSpec, ServiceSpec, VersionSpec};
use crate::config::settings::Service;
use crate::config::surroundings::Surroundings;
use crate::config::{gate_files, gates, plan, policy, traffic, values};
use crate::domain::gate::overlap::MOST;
use crate::domain::timeouts::Timeouts;
use crate::domain::version::Version;
use crate::formats::yaml::place::Report;

/// Compiles a service; `None` after reporting why there is none. `base` is the folder of the file.
pub(super) fn compile(
    spec: &ServiceSpec,
    base: &Path,
    timeouts: &Timeouts,
    around: &Surroundings<'_>,
    report: &Report<'_>,
) -> Option<Service> {
    let name = spec.name.as_ref().and_then(|text| values::parsed(text, "write for example carts", report));
    let hosts = spec.hosts.as_ref().map(|list| list.value.iter().map(|text| values::host(text, report)).collect::<Vec<_>>());
    let stable = spec.stable.as_ref().map(|version| compile_version(version, base, around, report));
    let canary = spec.canary.as_ref().map(|version| compile_version(version, base, around, report));
    let policy = policy::compile(&spec.policy, report);
    let mut placed = gates::written(&spec.gates, report);
    let files = gate_files::read(&spec.files, base, report);
    placed.extend(files.gates);
    gates::check(spec, &placed, policy.as_ref(), timeouts, report);
    let schedule = match (&spec.plan, files.schedule) {
        (PlanSpec::Unwritten, Some(schedule)) => Some(schedule),
        _ => plan::compile(&spec.plan, report),
    };
    let expected_traffic = spec.expected_traffic.as_ref().map(|text| traffic::rate(text, report));
    if let (Some(policy), Some(schedule), Some(Some(rate))) = (&policy, &schedule, expected_traffic)
        && placed.len() <= MOST
    {
        traffic::check(&placed, policy, schedule, rate, report);
    }
    Some(Service {
        name: name?,
        hosts: hosts.map_or_else(Vec::new, |hosts| hosts.into_iter().flatten().collect()),
        stable: stable??,
        canary: canary.flatten(),
        gates: placed.into_iter().map(|placed| placed.gate).collect(),
        perfspec: files.perfspec,
        graded: files.graded,
        policy: policy?,
        schedule: schedule?,
        expected_traffic: expected_traffic.flatten(),
    })
}

fn compile_version(spec: &VersionSpec, base: &Path, around: &Surroundings<'_>, report: &Report<'_>) -> Option<Version> {
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
    let transport = spec.transport.compile(&list.value, base, report);
    Some(Version { transport: transport?, ..Version::new(name?, endpoints) })
}
