//! What the sidecar of one pod is to be, once its annotations and the settings are put together.

use crate::domain::version::Name;
use crate::kube::inject::settings::{Families, Mode};
use crate::kube::intercept::Networks;

/// Where the proxy's admin API is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// A Unix socket that only the proxy's container has.
    Socket,
    /// Where the configuration says.
    Config,
}

/// Who reaches the proxy's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Everybody who reaches the pod: it listens on all addresses.
    Pod,
    /// The pod's own containers alone.
    Loopback,
}

/// The port of the application that the proxy stands in front of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its number.
    Number(u16),
    /// By the name that a container gives it.
    Name(String),
}

/// What the sidecar of one pod is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// How traffic comes to the proxy.
    pub mode: Mode,
    /// The ConfigMap with the configuration under `config.yaml`.
    pub config_map: Option<String>,
    /// The application's port, where there is no ConfigMap.
    pub target: Option<Target>,
    /// The port the proxy listens on.
    pub listen_port: u16,
    /// Who reaches that port.
    pub listen_on: Listen,
    /// The name of the service, where there is no ConfigMap.
    pub service: Option<Name>,
    /// The name of the version, where there is no ConfigMap.
    pub version: Option<Name>,
    /// The ports whose outgoing traffic is redirected to the proxy.
    pub intercept_ports: Vec<u16>,
    /// The networks whose traffic is not redirected all the same.
    pub skip_networks: Option<Networks>,
    /// The families of the pod's addresses.
    pub families: Families,
    /// Where the admin API is.
    pub admin: Admin,
    /// Whether the sidecar is an init container that restarts.
    pub native: bool,
    /// Seconds from the pod's end to the proxy's SIGTERM, at least.
    pub pre_stop: u16,
    /// The level of the proxy's own log.
    pub log_level: Option<String>,
    /// `resources` of the container: requests and limits of cpu and memory.
    pub resources: Resources,
}

/// What a container asks for and may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Cores it is given at least.
    pub cpu_request: String,
    /// Cores it gets at most.
    pub cpu_limit: Option<String>,
    /// Bytes it is given at least.
    pub memory_request: String,
    /// Bytes at which it is ended; the proxy turns requests away before.
    pub memory_limit: String,
}
