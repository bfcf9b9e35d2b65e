//! Compiles a configuration as written into [`Settings`], reporting every problem on the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::admin;
use crate::config::admin_spec::AdminSpec;
use crate::config::check;
use crate::config::kubernetes::Kubernetes;
use crate::config::metrics;
use crate::config::routes::{self, Claim};
use crate::config::service;
use crate::config::settings::{AccessLog, Listen, LogFormat, Settings};
use crate::config::spec::{Spec, TimeoutsSpec};
use crate::config::surroundings::Surroundings;
use crate::config::traces;
use crate::config::values;
use crate::config::webhooks;
use crate::domain::address::Address;
use crate::domain::timeouts::Timeouts;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::quantities;

/// The most workers.
const MOST_WORKERS: u16 = 1024;

/// Compiles a configuration; `None` where something could not be compiled, which was reported. `base` is the folder
/// of the file, to which paths in it are relative.
pub(super) fn compile(spec: &Spec, base: &Path, around: &Surroundings<'_>, report: &Report<'_>) -> Option<Settings> {
    let written = spec.listen.as_ref().map_or(&[][..], |list| &list.value);
    if let Some(list) = &spec.listen
        && list.value.is_empty()
    {
        report.error(&list.place, "there is no address to listen on", "write an address with a port, such as 127.0.0.1:8080");
    }
    let listeners: Vec<_> = written.iter().filter_map(|one| Some((one, one.address(report)?))).collect();
    let listen: Vec<(Address, &Place)> = listeners.iter().map(|(_, address)| address.clone()).collect();
    let own = spec.admin.as_ref().map(|admin| (admin, admin.addresses(report)));
    check::listeners(&listen, own.as_ref().map(|(_, addresses)| &addresses[..]), report);
    let workers = match &spec.workers {
        Some(text) => quantities::whole(text, 1..=MOST_WORKERS, report).map(usize::from),
        None => Some(around.cores.clamp(1, usize::from(MOST_WORKERS))),
    };
    let access_log = spec.access_log.as_ref().map_or(Some(AccessLog::Off), |text| access_log(text, base, report));
    let (trusted_sockets, trusted_proxies) = values::peers(&spec.trusted_proxies, report);
    let timeouts = timeouts(&spec.timeouts, report);
    let limits = spec.limits.compile(report);
    let metrics = spec.metrics.compile(report);
    let access_log_format = spec.access_log_format.as_ref().map_or(Some(LogFormat::Json), |text| metrics::log_format(text, report));
    let claims: Vec<Vec<Claim>> = spec
        .services
        .iter()
        .map(|service| routes::compile(&service.place, service.hosts.as_ref(), service.routes.as_ref(), report))
        .collect();
    check::unique(spec, &claims, report);
    check::interception(spec, &claims, report);
    if let Some(hosts) = &spec.webhook_hosts {
        let hooks = spec.services.iter().map(|service| &service.webhooks);
        webhooks::check_hosts(&hosts.value, hooks, report);
    }
    let mut services = Vec::new();
    for (written, claims) in spec.services.iter().zip(claims) {
        let rules = claims.into_iter().map(|claim| claim.rule).collect();
        let compiled = service::compile(written, rules, base, &timeouts.unwrap_or_default(), around, report);
        check::service(written, compiled.as_ref(), &listen, report);
        services.extend(compiled);
    }
    let listen: Vec<Listen> = listeners.iter().map(|(one, (address, _))| one.compile(address, &spec.services, base, report)).collect();
    let state = state(spec, base, &listen.first()?.address, around, report);
    let notifications = spec.notifications.as_ref().map(|notifications| notifications.compile(base, report));
    let admin = match own {
        Some((spec, addresses)) => AdminSpec::compile(spec, &addresses, base, report),
        None => state.as_deref().map(|state| admin::usual(state, around)),
    };
    let traces = traces::compile(spec.traces.as_ref(), base, around, report);
    let kubernetes = spec.kubernetes.as_ref().map_or_else(|| Some(Kubernetes::default()), |spec| spec.compile(base, around, report));
    let delivery = spec.delivery.as_ref().map(|delivery| delivery.compile(base, report));
    Some(Settings {
        listen,
        admin: admin?,
        state: state?,
        workers: workers?,
        access_log: access_log?,
        trusted_proxies,
        trusted_sockets,
        strict_http: spec.strict_http.as_ref().is_some_and(|flag| flag.value),
        timeouts: timeouts?,
        limits: limits?,
        notifications: notifications.map_or(Some(None), |notifications| notifications.map(Some))?,
        access_log_format: access_log_format?,
        answers: spec.answers.compile(),
        metrics: metrics?,
        traces: traces?,
        kubernetes: kubernetes?,
        delivery: delivery.map_or(Some(None), |delivery| delivery.map(Some))?,
        services,
    })
}

fn access_log(text: &At<String>, base: &Path, report: &Report<'_>) -> Option<AccessLog> {
    match text.value.as_str() {
        "off" => Some(AccessLog::Off),
        "stdout" => Some(AccessLog::Stdout),
        path if path.contains('/') => Some(AccessLog::File(values::located(text, base))),
        other => {
            let hint = format!("write off, stdout, or a path with a '/', such as ./{other}");
            report.error(&text.place, format!("{other:?} is no place for the access log"), hint);
            None
        }
    }
}

fn timeouts(spec: &TimeoutsSpec, report: &Report<'_>) -> Option<Timeouts> {
    let default = Timeouts::default();
    let some = Duration::from_millis(1)..=values::LONGEST;
    let read =
        |text: &Option<At<String>>, default| text.as_ref().map_or(Some(default), |text| quantities::duration(text, some.clone(), report));
    let connect = read(&spec.connect, default.connect);
    let response = read(&spec.response, default.response);
    let body_idle = read(&spec.body_idle, default.body_idle);
    let header = read(&spec.header, default.header);
    let detect = read(&spec.detect, default.detect);
    let keep_alive = read(&spec.keep_alive, default.keep_alive);
    let write_stall = read(&spec.write_stall, default.write_stall);
    let connection_age = read(&spec.connection_age, default.connection_age);
    let drain = match &spec.drain {
        Some(text) => quantities::duration(text, Duration::ZERO..=values::LONGEST, report),
        None => Some(default.drain),
    };
    Some(Timeouts {
        connect: connect?,
        response: response?,
        body_idle: body_idle?,
        header: header?,
        detect: detect?,
        keep_alive: keep_alive?,
        write_stall: write_stall?,
        connection_age: connection_age?,
        drain: drain?,
    })
}

/// Finds the state folder: as written, else what systemd provides, else one per listener below the user's own state.
fn state(spec: &Spec, base: &Path, listen: &Address, around: &Surroundings<'_>, report: &Report<'_>) -> Option<PathBuf> {
    if let Some(text) = &spec.state {
        if text.value.trim().is_empty() {
            report.error(&text.place, "the state folder is empty", "name a folder, such as /var/lib/portcullis");
            return None;
        }
        return Some(values::located(text, base));
    }
    let variable = |name: &str| (around.variable)(name).filter(|value| !value.is_empty());
    if let Some(folders) = variable("STATE_DIRECTORY") {
        // Several folders of a unit are separated by colons; the first is the one of its name.
        return std::env::split_paths(&folders).next();
    }
    // The base directory specification ignores a path that is not absolute.
    let own = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let own = own.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state")));
    let Some(own) = own else {
        let hint = "write 'state' in the file, give --state, or set HOME";
        report.error(&Place::flag("--state"), "there is no folder for the state: HOME and XDG_STATE_HOME are not set", hint);
        return None;
    };
    Some(own.join("portcullis").join(listen.to_string().replace([':', '/'], "-")))
}
