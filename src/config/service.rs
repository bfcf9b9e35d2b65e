//! Compiles one service: its versions, its gates, its policy and its plan.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::service_spec::{ServiceSpec, VersionSpec};
use crate::config::settings::Service;
use crate::config::surroundings::Surroundings;
use crate::config::{choice, gate_files, gates, policy, traffic, values};
use crate::domain::endpoint::Endpoint;
use crate::domain::gate::overlap::MOST;
use crate::domain::route::Rule;
use crate::domain::timeouts::Timeouts;
use crate::domain::upkeep::Rules;
use crate::domain::version::Version;
use crate::domain::way_back::WayBack;
use crate::formats::plan::{self, PlanSpec};
use crate::formats::yaml::place::Report;
use crate::seam::choice::Choice;

/// The largest `min_body`, in bytes.
const LARGEST_LEAST: usize = 1 << 30;

/// Compiles a service; `None` after reporting why there is none. `base` is the folder of the file.
pub(super) fn compile(
    spec: &ServiceSpec,
    rules: Vec<Rule>,
    base: &Path,
    timeouts: &Timeouts,
    around: &Surroundings<'_>,
    report: &Report<'_>,
) -> Option<Service> {
    let name = spec.name.as_ref().and_then(|text| values::parsed(text, "write for example carts", report));
    let mut names = Vec::new();
    let stable = spec.stable.as_ref().map(|version| compile_version(version, base, around, &mut names, report));
    let canary = spec.canary.as_ref().map(|version| compile_version(version, base, around, &mut names, report));
    let others: Vec<_> = spec.others.iter().filter_map(|version| compile_version(version, base, around, &mut names, report)).collect();
    let choice = choice::compile(&spec.choice, &others, base, report);
    if let (Some(Choice { force: None, mirror: None, .. }), Some(first)) = (&choice, spec.others.first()) {
        let hint = "write 'force' or 'mirror', or leave the version out";
        report.note(&first.place, "nothing can reach this version: no token forces it and nothing is mirrored", hint);
    }
    let policy = policy::compile(&spec.policy, report);
    let mut placed = gates::written(&spec.gates, report);
    let files = gate_files::read(&spec.files, base, report);
    placed.extend(files.gates);
    gates::check(spec, &placed, policy.as_ref(), timeouts, report);
    let mutual = mutual(spec, report);
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
    let way_back = spec.way_back.as_ref().map_or(Some(WayBack::AtOnce), |written| written.compile(report));
    let http_route = spec.http_route.as_ref().map(|written| written.compile(around, report));
    let (webhooks, webhook_failure) = spec.webhooks.compile(report)?;
    Some(Service {
        name: name?,
        rules,
        choice: choice.map(Arc::new),
        stable: stable??,
        canary: canary.flatten(),
        gates: placed.into_iter().map(|placed| placed.gate).collect(),
        perfspec: files.perfspec,
        graded: files.graded,
        policy: policy?,
        schedule: schedule?,
        expected_traffic: expected_traffic.flatten(),
        mutual,
        way_back: way_back?,
        http_route: http_route.map_or(Some(None), |route| route.map(Some))?,
        webhooks,
        webhook_failure,
        names,
    })
}

/// Compiles what the versions may do for each other and what is expected of both.
fn mutual(spec: &ServiceSpec, report: &Report<'_>) -> Rules {
    let default = Rules::default();
    let failover = spec.failover.as_ref().map_or(default.failover, |text| match text.value.as_str() {
        "allow" => true,
        "deny" => false,
        other => {
            let hint = "write deny, or allow to let the canary answer for a stable version that cannot be reached";
            report.error(&text.place, format!("{other:?} is no rule for a failover"), hint);
            default.failover
        }
    });
    let min_body = spec.min_body.as_ref().and_then(|text| values::bytes(text, LARGEST_LEAST, report));
    let min_body = min_body.map_or(default.min_body, |bytes| bytes as u64);
    Rules { rescue: spec.rescue.as_ref().map_or(default.rescue, |flag| flag.value), failover, min_body }
}

/// Compiles a version; where its names lead is added to `names`.
fn compile_version(
    spec: &VersionSpec,
    base: &Path,
    around: &Surroundings<'_>,
    names: &mut Vec<(Endpoint, Vec<SocketAddr>)>,
    report: &Report<'_>,
) -> Option<Version> {
    let name = spec.version.as_ref().and_then(|text| values::parsed(text, "write for example 0.8.1", report));
    let list = spec.endpoints.as_ref()?;
    if list.value.is_empty() {
        let hint = "write where the version listens, such as 127.0.0.1:8081";
        report.error(&list.place, "there is no endpoint, so the version could answer nothing", hint);
    }
    let mut endpoints = Vec::new();
    for text in &list.value {
        let Some((endpoint, led)) = values::endpoint(text, around, report) else { continue };
        if endpoints.contains(&endpoint) {
            report.error(&text.place, format!("the endpoint {endpoint} occurs twice"), "keep one of the two");
        }
        if !led.is_empty() {
            names.push((endpoint.clone(), led));
        }
        endpoints.push(endpoint);
    }
    let (upkeep, transport) = (spec.upkeep.compile(report), spec.transport.compile(&list.value, base, report));
    if transport.as_ref().is_some_and(|transport| !transport.is_plain())
        && upkeep.health.as_ref().is_some_and(|health| health.path.is_some())
    {
        let hint = "leave the path out: then an endpoint is healthy that accepts connections";
        report.error(&spec.place, "a path can be asked for only in HTTP/1.1 and clear text, and this version speaks otherwise", hint);
    }
    Some(Version { upkeep, transport: transport?, ..Version::new(name?, endpoints) })
}
