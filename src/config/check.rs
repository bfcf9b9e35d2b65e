//! Rules that concern several values at once: what contradicts, repeats or endangers.

use std::collections::HashMap;

use crate::config::admin::USUAL;
use crate::config::listen::ListenSpec;
use crate::config::routes::{Claim, Claimed};
use crate::config::service_spec::{ServiceSpec, VersionSpec};
use crate::config::settings::Service;
use crate::config::spec::Spec;
use crate::domain::address::Address;
use crate::domain::destination;
use crate::domain::endpoint::Endpoint;
use crate::domain::route::{HostPattern, PathPattern, Rule};
use crate::formats::yaml::place::{Place, Report};

/// Reports listeners that collide; `admin` is `None` for the default.
pub(super) fn listeners(listen: &[(Address, &Place)], admin: Option<&[(Address, &Place)]>, report: &Report<'_>) {
    let usual = Address::Ip(USUAL);
    let own: Vec<(&Address, Option<&Place>)> = match admin {
        Some(written) => written.iter().map(|(address, place)| (address, Some(*place))).collect(),
        None => vec![(&usual, None)],
    };
    for (index, (address, place)) in own.iter().enumerate() {
        if let Some(place) = place
            && own.iter().take(index).any(|(earlier, _)| collide(earlier, address))
        {
            report.error(place, format!("the admin API listens on {address} twice"), "keep one of the two");
        }
    }
    for (index, (address, place)) in listen.iter().enumerate() {
        if listen.iter().take(index).any(|(earlier, _)| collide(earlier, address)) {
            report.error(place, format!("the address {address} is listened on twice"), "keep one of the two");
        }
        if let Some((admin, written)) = own.iter().find(|(admin, _)| collide(address, admin)) {
            let message = format!("the admin listener {admin} collides with the traffic listener {address}");
            report.error(written.unwrap_or(place), message, "give the admin listener a port of its own");
        }
    }
}

/// Says whether two listeners cannot both be had. Port 0 never collides; an unspecified address takes every address.
fn collide(one: &Address, other: &Address) -> bool {
    let (Some(one), Some(other)) = (one.ip(), other.ip()) else { return one == other };
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_ip
}

/// The most rules of one host and path; a request tries them one by one.
const MOST_ALIKE: usize = 100;

/// Reports services that occur twice, and requests that belong to two of them.
pub(super) fn unique(spec: &Spec, claims: &[Vec<Claim>], report: &Report<'_>) {
    let mut names: HashMap<&str, ()> = HashMap::new();
    let mut claimed: HashMap<&Rule, &str> = HashMap::new();
    let mut alike: HashMap<(&HostPattern, &PathPattern), usize> = HashMap::new();
    for (service, claims) in spec.services.iter().zip(claims) {
        let name = service.name.as_ref();
        let shown = name.map_or("", |name| name.value.as_str());
        if let Some(name) = name
            && names.insert(&name.value, ()).is_some()
        {
            report.error(&name.place, format!("the service {shown:?} occurs twice"), "give each service a name of its own");
        }
        for Claim { rule, place, kind } in claims {
            if let Some(other) = claimed.insert(rule, shown) {
                let (message, hint) = match kind {
                    Claimed::Host(host) => {
                        (format!("the host {host:?} already belongs to the service {other:?}"), "let each host belong to one service")
                    }
                    Claimed::Everything => (
                        format!("both {other:?} and {shown:?} answer to every host, so no request would reach the second"),
                        "write 'hosts' for all services but one",
                    ),
                    Claimed::Route => (
                        format!("this route asks for the same as one of the service {other:?}, so no request would reach it"),
                        "let it ask for something else, or leave it out",
                    ),
                };
                report.error(place, message, hint);
            }
            let count = alike.entry((&rule.host, &rule.path)).or_default();
            *count += 1;
            if *count == MOST_ALIKE + 1 {
                let message =
                    format!("more than {MOST_ALIKE} routes are for {} and {}, and a request tries them one by one", rule.host, rule.path);
                report.error(place, message, "tell them apart by host or path");
            }
        }
    }
}

/// Reports what redirected connections do not bear: their hosts are those of everybody the application speaks with, and all of them come
/// from that one client.
pub(super) fn interception(spec: &Spec, claims: &[Vec<Claim>], report: &Report<'_>) {
    let listen = spec.listen.as_ref().map_or(&[][..], |list| &list.value);
    if !listen.iter().any(ListenSpec::is_intercepting) {
        return;
    }
    let alone = listen.iter().all(ListenSpec::is_intercepting) && spec.trusted_proxies.is_empty();
    for (service, claims) in spec.services.iter().zip(claims) {
        if let Some(claim) = claims.iter().find(|claim| claim.rule.host == HostPattern::Any) {
            let path = if claim.rule.path == PathPattern::everything() { String::new() } else { format!(" for {}", claim.rule.path) };
            let message = format!("no host is named, so that each redirected HTTP request{path} comes here, whoever it was for");
            report.note(&claim.place, message, "write 'hosts' in a file, with the names that the application asks for");
        }
        if let Some(text) =
            service.policy.min_clients.as_ref().filter(|text| alone && text.value.trim().parse::<u16>().is_ok_and(|least| least > 1))
        {
            let message = "all redirected connections come from one client, so that no breach is of several and nothing ever trips";
            report.note(&text.place, message, "leave 'min_clients' out, or listen for other clients too");
        }
    }
}

/// Reports a service that could not be judged, or whose versions cannot be told apart.
pub(super) fn service(spec: &ServiceSpec, compiled: Option<&Service>, listen: &[(Address, &Place)], report: &Report<'_>) {
    names(spec, report);
    let Some(canary) = &spec.canary else { return loops(spec, compiled, listen, report) };
    if !spec.has_gates && spec.files.first().is_none() {
        let hint = "write gates (--gate) such as 'p95 < 1s' and 'errors < 1%', or name a perfspec (--perfspec)";
        report.error(&canary.place, "there is a canary but no gate, so nothing could judge it", hint);
    }
    if let (Some(Service { gates, .. }), Some(place)) = (compiled, spec.files.first())
        && gates.is_empty()
        && !spec.has_gates
        && !report.has_errors()
    {
        let hint = "write gates such as 'p95 < 1s', or give the file a response time or a share of errors with an upper limit";
        report.error(place, "the gate file has no indicator that can be judged while the canary runs", hint);
    }
    if let Some(Service { stable, canary: Some(other), .. }) = compiled
        && let Some(shared) = stable.endpoints.iter().find(|endpoint| other.endpoints.contains(endpoint))
    {
        let message = format!("stable and canary share the endpoint {shared}, so one build is compared with itself there");
        report.note(&canary.place, message, "give each version endpoints of its own");
    }
    loops(spec, compiled, listen, report);
}

/// Reports versions of a service that have one name.
fn names(spec: &ServiceSpec, report: &Report<'_>) {
    let written = |version: &VersionSpec| version.version.as_ref().map(|text| text.value.trim().to_owned());
    let stable = spec.stable.as_ref().and_then(written);
    let canary = spec.canary.as_ref().and_then(written);
    if let (Some(VersionSpec { version: Some(text), .. }), Some(name)) = (&spec.canary, &stable)
        && canary == stable
    {
        report.error(
            &text.place,
            format!("the canary has the same version as stable, {name:?}"),
            "give the new version the name of its build",
        );
    }
    let mut known: Vec<String> = stable.into_iter().chain(canary).collect();
    for other in &spec.others {
        let (Some(text), Some(name)) = (&other.version, written(other)) else { continue };
        if known.contains(&name) {
            let message = format!("the service has another version {name:?}, so a token could not tell them apart");
            report.error(&text.place, message, "give each version the name of its build");
        }
        known.push(name);
    }
}

/// Reports endpoints that are this proxy's own listeners.
fn loops(spec: &ServiceSpec, compiled: Option<&Service>, listen: &[(Address, &Place)], report: &Report<'_>) {
    let Some(service) = compiled else { return };
    let versions = [(spec.stable.as_ref(), Some(&service.stable)), (spec.canary.as_ref(), service.canary.as_ref())];
    let compiled = service.choice.iter().flat_map(|choice| choice.others.all().map(|other| Some(&**other)));
    let others = spec.others.iter().map(Some).zip(compiled);
    for (written, version) in versions.into_iter().chain(others).filter_map(|(written, version)| Some((written?, version?))) {
        let led = |endpoint| service.names.iter().filter(move |(name, _)| name == endpoint).flat_map(|(_, led)| led.iter().copied());
        for endpoint in version.endpoints.iter().flat_map(|endpoint| endpoint.address().into_iter().chain(led(endpoint))) {
            if listen.iter().filter_map(|(address, _)| address.ip()).any(|address| destination::is_own(address, endpoint)) {
                circle(written, &endpoint, report);
            }
        }
        for endpoint in &version.endpoints {
            if let Endpoint::Socket(path) = endpoint
                && listen.iter().any(|(address, _)| address.path() == Some(path))
            {
                circle(written, endpoint, report);
            }
        }
    }
}

/// Reports an endpoint that is this proxy's own listener.
fn circle(written: &VersionSpec, endpoint: &dyn std::fmt::Display, report: &Report<'_>) {
    let place = written.endpoints.as_ref().map_or(&written.place, |list| &list.place);
    let message = format!("the endpoint {endpoint} is this proxy itself, so requests would go in a circle");
    report.error(place, message, "write where the version listens");
}
