//! The compiled configuration: plain domain types, every value checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::admin::Admin;
use crate::config::delivery::Delivery;
use crate::config::http_route::HttpRoute;
use crate::config::kubernetes::Kubernetes;
use crate::config::notifications::Notifications;
use crate::config::traces::Traces;
use crate::domain::address::Address;
use crate::domain::endpoint::Endpoint;
use crate::domain::gate::graded::Graded;
use crate::domain::gate::perfspec::spec::Spec;
use crate::domain::gate::{Gate, Inconclusive, Policy};
use crate::domain::rollout::Schedule;
use crate::domain::route::Rule;
use crate::domain::timeouts::Timeouts;
use crate::domain::upkeep::Rules;
use crate::domain::version::{Name, Version};
use crate::domain::way_back::WayBack;
use crate::domain::webhook::Webhook;
use crate::formats::tls::TlsFiles;
use crate::seam::choice::Choice;

/// Everything a proxy needs to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where traffic comes in; at least one, port 0 stands for any free port.
    pub listen: Vec<Listen>,
    /// Where the API and the metrics are, and who may do what there.
    pub admin: Admin,
    /// The folder of the state and the journal.
    pub state: PathBuf,
    /// How many workers, 1 to 1024.
    pub workers: usize,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// Whose `X-Forwarded-*` is believed; empty for nobody.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether that of whoever comes over a Unix socket is.
    pub trusted_sockets: bool,
    /// Whether requests are refused that have a bare LF, or `Content-Length` together with `Transfer-Encoding`.
    pub strict_http: bool,
    /// The time-outs of the data plane.
    pub timeouts: Timeouts,
    /// What the process and a source of connections may use.
    pub limits: Limits,
    /// Who is told of each change of a rollout.
    pub notifications: Option<Notifications>,
    /// How the access log is written.
    pub access_log_format: LogFormat,
    /// What every answer tells of the version that gave it.
    pub answers: Answers,
    /// What the metrics show besides the program's own families.
    pub metrics: Metrics,
    /// Where traces go; `None` where there are none.
    pub traces: Option<Traces>,
    /// How a cluster is asked where versions are.
    pub kubernetes: Kubernetes,
    /// How artifacts are delivered through stages.
    pub delivery: Option<Delivery>,
    /// What is proxied, names and hosts are unique; at least one unless artifacts are delivered.
    pub services: Vec<Service>,
}

/// How the access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object for each request.
    #[default]
    Json,
    /// The Common Log Format, with the service, the version, its role and its generation behind it.
    Common,
}

/// What every answer tells its client of the version that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Its name.
    pub version: bool,
    /// How long it took.
    pub server_timing: bool,
}

/// What the metrics show besides the program's own families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Whose families are shown too.
    pub compat: Vec<Compatible>,
    /// The namespace that stands in them.
    pub namespace: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { compat: Vec::new(), namespace: "default".to_owned() }
    }
}

/// Families under the names of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatible {
    /// `istio_requests_total` and `istio_request_duration_milliseconds`.
    Istio,
    /// `response_total` and `response_latency_ms`.
    Linkerd,
}

/// What the process and a source of connections may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How much memory the process may have before it sheds load.
    pub memory: Memory,
    /// How many connections a source may have, an IPv4 address or an IPv6 network of 64 bits; `None` for as many as it likes.
    /// Trusted proxies are no sources.
    pub per_source: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: Memory::Group, per_source: Some(1000) }
    }
}

/// A limit of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// What the control group may have, if that is limited.
    Group,
    /// So many bytes.
    Bytes(u64),
    /// None.
    Unlimited,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Its address.
    pub address: Address,
    /// The mode of a Unix socket's file, at most 0o777.
    pub mode: u32,
    /// Its certificates; `None` where it speaks without encryption.
    pub tls: Option<TlsFiles>,
    /// The networks whose connections begin with a PROXY header, which is believed.
    pub proxies: Vec<IpNet>,
    /// Whether connections over a Unix socket do.
    pub proxied_socket: bool,
    /// The service that gets every connection as it is; `None` where HTTP is spoken.
    pub service: Option<Name>,
    /// Whether requests for another host than the one a TLS connection was made for are refused.
    pub one_host: bool,
    /// Whether redirected connections come to it, whose original destinations the kernel knows.
    pub intercepted: bool,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To the standard output.
    Stdout,
    /// To a file.
    File(PathBuf),
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// What people call it.
    pub name: Name,
    /// Which requests it answers; without a rule all of them.
    pub rules: Vec<Rule>,
    /// What of its requests goes otherwise than by the draw; `None` where all is left to it.
    pub choice: Option<Arc<Choice>>,
    /// The version that owns the traffic.
    pub stable: Version,
    /// The version on trial; its name differs from that of `stable`.
    pub canary: Option<Version>,
    /// What the canary must keep to: the gates as written, then those of gate files. Not empty with a canary.
    pub gates: Vec<Gate>,
    /// The perfspec the canary is graded by.
    pub perfspec: Option<Perfspec>,
    /// The `slo.yaml` and the Analysis definition the canary is graded by, with a perfspec where there is one.
    pub graded: Vec<Graded>,
    /// How a canary is judged.
    pub policy: Policy,
    /// How the canary's share grows.
    pub schedule: Schedule,
    /// How many requests per second are expected over both versions, above 0; `None` where nothing is said.
    pub expected_traffic: Option<f64>,
    /// What its versions may do for each other.
    pub mutual: Rules,
    /// What is done for a stable version that gets everything back.
    pub way_back: WayBack,
    /// The route of a cluster that follows its shares.
    pub http_route: Option<HttpRoute>,
    /// Who is asked before its rollouts go on.
    pub webhooks: Vec<Webhook>,
    /// What happens after a refusal.
    pub webhook_failure: Inconclusive,
    /// Where the names among its endpoints led when it was read.
    pub names: Vec<(Endpoint, Vec<SocketAddr>)>,
}

/// A perfspec file of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Perfspec {
    /// The file, as it can be opened from the working directory.
    pub path: PathBuf,
    /// Whether exceedance tripwires are derived from its severe limits.
    pub derive_tripwire: bool,
    /// Its content, every indicator of which the proxy's own measurements can answer.
    pub spec: Spec,
}
