//! A configuration made of flags instead of a file, or a file with some of its values replaced by flags.

use crate::config::listen::ListenSpec;
use crate::config::service_spec::{GateFilesSpec, GateSpec, ServiceSpec, VersionSpec};
use crate::config::spec::Spec;
use crate::config::transport::TransportSpec;
use crate::config::upkeep::UpkeepSpec;
use crate::formats::plan::{PlanSpec, RampSpec};
use crate::formats::yaml::place::{At, Place, Report};

/// The flags of `run` as they were typed; a flag that was not given is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen ADDR`, repeatable.
    pub listen: Vec<String>,
    /// `--intercepted ADDR`, repeatable.
    pub intercepted: Vec<String>,
    /// `--admin ADDR`.
    pub admin: Option<String>,
    /// `--state DIR`.
    pub state: Option<String>,
    /// `--workers N`.
    pub workers: Option<String>,
    /// `--access-log off|stdout|PATH`.
    pub access_log: Option<String>,
    /// `--service NAME`.
    pub service: Option<String>,
    /// `--stable NAME=ADDR[,ADDR…]`.
    pub stable: Option<String>,
    /// `--canary NAME=ADDR[,ADDR…]`.
    pub canary: Option<String>,
    /// `--weight 10%`, the first step of the ramp.
    pub weight: Option<String>,
    /// `--hold 10s`, how long each step lasts at least.
    pub hold: Option<String>,
    /// `--gate 'p95 < 1s'`, repeatable.
    pub gates: Vec<String>,
    /// `--perfspec FILE`.
    pub perfspec: Option<String>,
    /// `--no-derived-tripwire`.
    pub no_derived_tripwire: bool,
}

/// The name of the service where `--service` is not given.
const DEFAULT_SERVICE: &str = "default";

impl Flags {
    /// Makes a configuration of flags alone.
    pub(super) fn spec(&self, report: &Report<'_>) -> Spec {
        if self.listen.is_empty() && self.intercepted.is_empty() {
            let hint = "give the address to listen on, such as --listen 127.0.0.1:8080, or a configuration file";
            report.error(&Place::flag("--listen"), "--listen is missing", hint);
        }
        if self.stable.is_none() {
            let hint = "name the version that owns the traffic, such as --stable v1=127.0.0.1:8081, or give a configuration file";
            report.error(&Place::flag("--stable"), "--stable is missing", hint);
        }
        let mut spec = Spec { services: vec![self.service(report)], ..Spec::default() };
        self.replace(&mut spec);
        spec
    }

    /// Replaces values of a file by those of flags, and reports flags that a file leaves no room for.
    pub(super) fn override_file(&self, spec: &mut Spec, report: &Report<'_>) {
        let of_services = [
            ("--service", self.service.is_some()),
            ("--stable", self.stable.is_some()),
            ("--canary", self.canary.is_some()),
            ("--weight", self.weight.is_some()),
            ("--hold", self.hold.is_some()),
            ("--gate", !self.gates.is_empty()),
            ("--perfspec", self.perfspec.is_some()),
            ("--no-derived-tripwire", self.no_derived_tripwire),
        ];
        for (flag, _) in of_services.into_iter().filter(|(_, given)| *given) {
            let message = format!("{flag} cannot be combined with a configuration file, which describes the services itself");
            report.error(&Place::flag(flag), message, "write it in the file, or leave the file out");
        }
        self.replace(spec);
    }

    fn replace(&self, spec: &mut Spec) {
        let plain = self.listen.iter().filter_map(|text| flag("--listen", Some(text))).map(ListenSpec::plain);
        let intercepted = self.intercepted.iter().filter_map(|text| flag("--intercepted", Some(text))).map(ListenSpec::intercepting);
        let listen: Vec<_> = plain.chain(intercepted).collect();
        if !listen.is_empty() {
            spec.listen = Some(At::new(listen, Place::flag("--listen")));
        }
        if let Some(text) = flag("--admin", self.admin.as_ref()) {
            spec.admin = Some(spec.admin.take().unwrap_or_default().at(text));
        }
        for (name, given, value) in [
            ("--state", &self.state, &mut spec.state),
            ("--workers", &self.workers, &mut spec.workers),
            ("--access-log", &self.access_log, &mut spec.access_log),
        ] {
            if given.is_some() {
                *value = flag(name, given.as_ref());
            }
        }
    }

    fn service(&self, report: &Report<'_>) -> ServiceSpec {
        let name = self.service.as_deref().unwrap_or(DEFAULT_SERVICE);
        let version = |name: &str, text: &Option<String>| text.as_deref().and_then(|text| version(name, text, report));
        let gates = self.gates.iter().filter_map(|text| flag("--gate", Some(text))).map(GateSpec::plain).collect();
        let ramp =
            RampSpec { start: flag("--weight", self.weight.as_ref()), hold: flag("--hold", self.hold.as_ref()), ..RampSpec::default() };
        ServiceSpec {
            name: Some(At::new(name.to_owned(), Place::flag("--service"))),
            stable: version("--stable", &self.stable),
            canary: version("--canary", &self.canary),
            has_gates: !self.gates.is_empty(),
            gates: At::new(gates, Place::flag("--gate")),
            files: GateFilesSpec {
                perfspec: flag("--perfspec", self.perfspec.as_ref()),
                derive_tripwire: Some(At::new(!self.no_derived_tripwire, Place::flag("--no-derived-tripwire"))),
                ..GateFilesSpec::default()
            },
            plan: PlanSpec::Ramp(Box::new(ramp)),
            ..ServiceSpec::unwritten(Place::flag("--service"))
        }
    }
}

fn flag(name: &str, text: Option<&String>) -> Option<At<String>> {
    text.map(|text| At::new(text.clone(), Place::flag(name)))
}

/// Takes `NAME=ADDR[,ADDR…]` apart.
fn version(flag: &str, text: &str, report: &Report<'_>) -> Option<VersionSpec> {
    let place = Place::flag(flag);
    let Some((name, endpoints)) = text.split_once('=') else {
        let message = format!("{text:?} does not name a version and its endpoints");
        report.error(&place, message, format!("write NAME=ADDRESS[,ADDRESS…], such as {flag} v1=127.0.0.1:8081"));
        return None;
    };
    let endpoints = endpoints.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty());
    let endpoints = endpoints.map(|endpoint| At::new(endpoint.to_owned(), place.clone())).collect();
    Some(VersionSpec {
        version: Some(At::new(name.trim().to_owned(), place.clone())),
        endpoints: Some(At::new(endpoints, place.clone())),
        upkeep: UpkeepSpec::default(),
        transport: TransportSpec::default(),
        place,
    })
}
