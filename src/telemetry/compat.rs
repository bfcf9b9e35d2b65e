//! Families under the names and labels of others, so that what asks those for a canary's figures can ask us.
//!
//! Flagger's built-in metrics and the examples of Argo Rollouts ask a Prometheus for the families of Istio or Linkerd. With these they
//! read what the proxy itself measured, without a change: the canary is the workload that carries the service's name, the stable
//! version is `{service}-primary`, as Flagger names them. A class stands for its codes (200 for 2xx), and a request without a complete
//! answer is a 503, as Envoy has it; what the client called off is nobody's failure and is not counted. Times are those that gates
//! judge: until the head of the response.
//! Sources: istio.io, "Istio Standard Metrics"; linkerd.io, "Proxy Metrics"; Flagger's `pkg/metrics/observers`.

use std::sync::Arc;

use prometheus::core::Desc;
use prometheus::proto::MetricType;

use crate::config::{Compatible, Metrics};
use crate::domain::outcome::{Class, Role};
use crate::telemetry::figures::VersionFigures;
use crate::telemetry::metrics::{Definition, define};
use crate::telemetry::sheet::Sheet;

const ISTIO: &[&str] = &[
    "reporter",
    "destination_workload",
    "destination_workload_namespace",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_version",
    "response_code",
];
const LINKERD: &[&str] = &["direction", "namespace", "deployment", "version", "classification", "status_code"];

const ISTIO_REQUESTS: Definition = define(MetricType::COUNTER, "istio_requests_total", ISTIO, "Requests, as Istio names them.");
const ISTIO_DURATION: Definition = define(
    MetricType::HISTOGRAM,
    "istio_request_duration_milliseconds",
    &[
        "reporter",
        "destination_workload",
        "destination_workload_namespace",
        "destination_service",
        "destination_service_name",
        "destination_service_namespace",
        "destination_canonical_service",
        "destination_canonical_revision",
        "destination_version",
    ],
    "Response times, as Istio names them.",
);
const LINKERD_RESPONSES: Definition = define(MetricType::COUNTER, "response_total", LINKERD, "Responses, as Linkerd names them.");
const LINKERD_LATENCY: Definition = define(
    MetricType::HISTOGRAM,
    "response_latency_ms",
    &["direction", "namespace", "deployment", "version"],
    "Response times, as Linkerd names them.",
);

/// The width of a bucket: with 2 % a quantile that Prometheus interpolates lies within 1 % of the middle of its bucket.
const WIDTH: f64 = 1.02;
/// The codes that stand for the classes that count.
const CODES: [(Class, &str); 6] = [
    (Class::Informational, "100"),
    (Class::Success, "200"),
    (Class::Redirection, "300"),
    (Class::ClientError, "400"),
    (Class::ServerError, "500"),
    (Class::Error, "503"),
];

/// Which families are shown, and how.
#[derive(Clone, Debug, Default)]
pub struct Compat {
    metrics: Metrics,
    /// The bounds of the buckets in milliseconds; none where no family is shown.
    bounds: Arc<[f64]>,
}

impl From<&Metrics> for Compat {
    fn from(metrics: &Metrics) -> Self {
        let bounds = if metrics.compat.is_empty() { Vec::new() } else { bounds() };
        Self { metrics: metrics.clone(), bounds: bounds.into() }
    }
}

/// Returns bounds from 0.1 ms on, each 2 % above the one before, to 10 s, then 30 s and a minute.
fn bounds() -> Vec<f64> {
    let steps = std::iter::successors(Some(0.5_f64), |bound| Some(bound * WIDTH)).take_while(|bound| *bound < 10_000.0);
    let round = |bound: f64| (bound * 1e4).round() / 1e4;
    [0.1, 0.25].into_iter().chain(steps.map(round)).chain([10_000.0, 30_000.0, 60_000.0]).collect()
}

impl Compat {
    /// Returns the bounds of the buckets in milliseconds.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Returns how many series a version has in one role.
    pub fn series(&self) -> usize {
        let histogram = self.bounds.len() + 3;
        let of = |family: &Compatible| match family {
            Compatible::Istio => 2 * CODES.len() + histogram,
            Compatible::Linkerd => CODES.len() + histogram,
        };
        self.metrics.compat.iter().map(of).sum()
    }

    /// Describes the families to the registry.
    ///
    /// # Errors
    ///
    /// Fails when a name is not allowed, which would be a mistake in this program.
    pub fn descriptions(&self) -> prometheus::Result<Vec<Desc>> {
        let families = |family: &Compatible| match family {
            Compatible::Istio => [&ISTIO_REQUESTS, &ISTIO_DURATION],
            Compatible::Linkerd => [&LINKERD_RESPONSES, &LINKERD_LATENCY],
        };
        self.metrics.compat.iter().flat_map(families).map(Definition::description).collect()
    }

    /// Writes the series of one version, for which room was reserved.
    pub fn write(&self, sheet: &mut Sheet, figures: &VersionFigures) {
        // Nobody asks others for what was forced or mirrored.
        if figures.key.2 == Role::Beside {
            return;
        }
        for family in &self.metrics.compat {
            match family {
                Compatible::Istio => self.istio(sheet, figures),
                Compatible::Linkerd => self.linkerd(sheet, figures),
            }
        }
    }

    fn istio(&self, sheet: &mut Sheet, figures: &VersionFigures) {
        let (service, version, role) = &figures.key;
        let (workload, name) =
            (workload(service, *role), format!("{service}-{}", if *role == Role::Canary { "canary" } else { "primary" }));
        let namespace = self.metrics.namespace.as_str();
        let host = format!("{name}.{namespace}.svc.cluster.local");
        let of = [workload.as_str(), namespace, &host, &name, namespace, service, version, version];
        for reporter in ["source", "destination"] {
            for (code, count) in codes(figures) {
                let labels: Vec<&str> = std::iter::once(reporter).chain(of).chain([code]).collect();
                sheet.value(&ISTIO_REQUESTS, &labels, count as f64);
            }
        }
        let labels: Vec<&str> = std::iter::once("destination").chain(of).collect();
        self.times(sheet, &ISTIO_DURATION, &labels, figures);
    }

    fn linkerd(&self, sheet: &mut Sheet, figures: &VersionFigures) {
        let (service, version, role) = &figures.key;
        let workload = workload(service, *role);
        let of = ["inbound", self.metrics.namespace.as_str(), &workload, version];
        for (code, count) in codes(figures) {
            let class = if code.starts_with('5') { "failure" } else { "success" };
            let labels: Vec<&str> = of.into_iter().chain([class, code]).collect();
            sheet.value(&LINKERD_RESPONSES, &labels, count as f64);
        }
        self.times(sheet, &LINKERD_LATENCY, &of, figures);
    }

    fn times(&self, sheet: &mut Sheet, definition: &'static Definition, labels: &[&str], figures: &VersionFigures) {
        let (count, seconds) = figures.response_times();
        let buckets = self.bounds.iter().copied().zip(figures.fine.iter().copied());
        sheet.buckets(definition, labels, (count, seconds * 1e3), buckets);
    }
}

/// Returns the workload as Flagger names it: the target itself is the canary.
fn workload(service: &str, role: Role) -> String {
    if role == Role::Canary { service.to_owned() } else { format!("{service}-primary") }
}

fn codes(figures: &VersionFigures) -> impl Iterator<Item = (&'static str, u64)> {
    CODES.into_iter().map(|(class, code)| (code, figures.classes.get(class.index()).copied().unwrap_or(0)))
}
