//! Rules that concern several values at once: what contradicts, repeats or endangers.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::config::service_spec::ServiceSpec;
use crate::config::settings::Service;
use crate::config::spec::Spec;
use crate::domain::destination;
use crate::formats::yaml::place::{At, Place, Report};

/// Reports listeners that collide, and an admin listener that others can reach; `admin_place` is `None` for the default.
pub(super) fn listeners(listen: &[(SocketAddr, &Place)], admin: SocketAddr, admin_place: Option<&Place>, report: &Report<'_>) {
    for (index, (address, place)) in listen.iter().enumerate() {
        if listen.iter().take(index).any(|(earlier, _)| collide(*earlier, *address)) {
            report.error(place, format!("the address {address} is listened on twice"), "keep one of the two");
        }
        if collide(*address, admin) {
            let message = format!("the admin listener {admin} collides with the traffic listener {address}");
            report.error(admin_place.unwrap_or(place), message, "give the admin listener a port of its own");
        }
    }
    if let Some(place) = admin_place
        && !admin.ip().is_loopback()
    {
        let message = format!("the admin listener {admin} can be reached from other machines, so commands are refused there");
        let hint = "reading stays possible; listen on 127.0.0.1 to abort and promote through it";
        report.note(place, message, hint);
    }
}

/// Says whether two listeners cannot both be had. Port 0 never collides; an unspecified address takes every address.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_ip
}

/// Reports services and hosts that occur twice.
pub(super) fn unique(spec: &Spec, report: &Report<'_>) {
    let mut names: HashMap<&str, ()> = HashMap::new();
    let mut hosts: HashMap<String, &str> = HashMap::new();
    let mut catch_all: Option<&str> = None;
    for service in &spec.services {
        let name = service.name.as_ref();
        let shown = name.map_or("", |name| name.value.as_str());
        if let Some(name) = name
            && names.insert(&name.value, ()).is_some()
        {
            report.error(&name.place, format!("the service {shown:?} occurs twice"), "give each service a name of its own");
        }
        let written = service.hosts.as_ref().map_or(&[][..], |list| &list.value);
        for host in written {
            if let Some(other) = hosts.insert(host.value.to_ascii_lowercase(), shown) {
                let hint = "let each host belong to one service";
                report.error(&host.place, format!("the host {:?} already belongs to the service {other:?}", host.value), hint);
            }
        }
        if written.is_empty() {
            if let Some(other) = catch_all {
                let message = format!("both {other:?} and {shown:?} answer to every host, so no request would reach the second");
                report.error(&service.place, message, "write 'hosts' for all services but one");
            }
            catch_all = Some(shown);
        }
    }
}

/// Reports a service that could not be judged, or whose versions cannot be told apart.
pub(super) fn service(spec: &ServiceSpec, compiled: Option<&Service>, listen: &[(SocketAddr, &Place)], report: &Report<'_>) {
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
    let version = |version: &Option<At<String>>| version.as_ref().map(|text| text.value.trim().to_owned());
    if let (Some(stable), Some(text)) = (spec.stable.as_ref().and_then(|stable| version(&stable.version)), &canary.version)
        && stable == text.value.trim()
    {
        let hint = "give the new version the name of its build";
        report.error(&text.place, format!("the canary has the same version as stable, {stable:?}"), hint);
    }
    if let Some(Service { stable, canary: Some(other), .. }) = compiled
        && let Some(shared) = stable.endpoints.iter().find(|endpoint| other.endpoints.contains(endpoint))
    {
        let message = format!("stable and canary share the endpoint {shared}, so one build is compared with itself there");
        report.note(&canary.place, message, "give each version endpoints of its own");
    }
    loops(spec, compiled, listen, report);
}

/// Reports endpoints that are this proxy's own listeners.
fn loops(spec: &ServiceSpec, compiled: Option<&Service>, listen: &[(SocketAddr, &Place)], report: &Report<'_>) {
    let Some(service) = compiled else { return };
    let versions = [(spec.stable.as_ref(), Some(&service.stable)), (spec.canary.as_ref(), service.canary.as_ref())];
    for (written, version) in versions.into_iter().filter_map(|(written, version)| Some((written?, version?))) {
        let led = |endpoint| service.names.iter().filter(move |(name, _)| name == endpoint).flat_map(|(_, led)| led.iter().copied());
        for endpoint in version.endpoints.iter().flat_map(|endpoint| endpoint.address().into_iter().chain(led(endpoint))) {
            if listen.iter().any(|(address, _)| destination::is_own(*address, endpoint)) {
                let place = written.endpoints.as_ref().map_or(&written.place, |list| &list.place);
                let message = format!("the endpoint {endpoint} is this proxy itself, so requests would go in a circle");
                report.error(place, message, "write where the version listens");
            }
        }
    }
}
