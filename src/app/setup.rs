//! What the controller and the data plane need of a configuration.

use std::sync::Arc;

use crate::app::memory::memory_of_group;
use crate::config::{self, Memory, Settings};
use crate::control::setup::{Grader, Origin, ServiceSetup};
use crate::domain::gate::Verdict;
use crate::domain::gate::graded::joined;
use crate::domain::gate::live::{self, Measured};
use crate::domain::gate::perfspec::{Answer, Answers, strict};
use crate::proxy::settings as data_plane;
use crate::sources::builtin;

/// Makes what the controller needs of a configured service.
pub(super) fn service(service: &config::Service) -> ServiceSetup {
    ServiceSetup {
        origin: Origin::default(),
        name: service.name.clone(),
        rules: service.rules.clone(),
        choice: service.choice.clone(),
        stable: service.stable.clone(),
        canary: service.canary.clone(),
        schedule: service.schedule.clone(),
        gates: service.gates.clone(),
        policy: service.policy,
        grader: grader(service),
        mutual: service.mutual,
        way_back: service.way_back,
        webhooks: service.webhooks.clone().into(),
        webhook_failure: service.webhook_failure,
    }
}

/// Makes the grader of the gate files: their own arithmetic over the proxy's own measurements; `None` where no file grades.
pub(super) fn grader(service: &config::Service) -> Option<Grader> {
    let perfspec = service.perfspec.as_ref().map(|file| (file.spec.clone(), live::indicators(&file.spec).unwrap_or_default()));
    let graded = service.graded.clone();
    if perfspec.is_none() && graded.is_empty() {
        return None;
    }
    Some(Arc::new(move |canary: &Measured<'_>, stable: Option<&Measured<'_>>| {
        let by_perfspec = perfspec.as_ref().map(|(spec, indicators)| {
            let answer = |indicator| Answer::Values(builtin::values(indicator, canary));
            let answers: Answers = indicators.iter().map(|i| (i.id.clone(), answer(i))).collect();
            let report = strict::evaluate(spec, &answers);
            (report.verdict, report.reasons.join("; "))
        });
        let grades = by_perfspec.into_iter().chain(graded.iter().map(|file| file.grade(canary, stable))).collect();
        joined(grades).unwrap_or_else(|| (Verdict::Inconclusive, "no file grades".to_owned()))
    }))
}

/// Makes what the data plane needs; `pseudonym` stays the same for as long as the process lives.
pub(super) fn data_plane(settings: &Settings, pseudonym: &str) -> data_plane::Settings {
    data_plane::Settings {
        workers: settings.workers,
        timeouts: settings.timeouts,
        trusted: settings.trusted_proxies.clone(),
        trusts_sockets: settings.trusted_sockets,
        strict: settings.strict_http,
        connections: connections_per_worker(settings.workers),
        per_source: settings.limits.per_source.unwrap_or(u32::MAX),
        memory: match settings.limits.memory {
            Memory::Group => memory_of_group(),
            Memory::Bytes(bytes) => Some(bytes),
            Memory::Unlimited => None,
        },
        tells: data_plane::Tells { version: settings.answers.version, timing: settings.answers.server_timing },
        pseudonym: pseudonym.to_owned(),
    }
}

/// Makes up the name of this instance.
pub(super) fn pseudonym() -> String {
    format!("portcullis-{:06x}", rand::random::<u32>() & 0x00ff_ffff)
}

/// Two descriptors per request of four fifths of what the process may open, shared by the workers.
fn connections_per_worker(workers: usize) -> usize {
    let open = usize::try_from(most_descriptors()).unwrap_or(usize::MAX);
    (open / 5 * 2 / workers.max(1)).max(16)
}

/// Returns how many descriptors the process may have open.
pub(super) fn most_descriptors() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find(|l| l.starts_with("Max open files")).and_then(|l| l.split_whitespace().nth(3)?.parse().ok());
    soft.unwrap_or(1024)
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
