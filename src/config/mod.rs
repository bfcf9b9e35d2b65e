//! The configuration: read as written, checked completely, then compiled into plain domain types.
//!
//! A YAML file or a handful of flags becomes a spec whose every value knows its place; compiling and
//! checking it reports every problem at once, and only a configuration without errors becomes [`Settings`].

pub mod admin;
mod admin_spec;
mod check;
mod choice;
mod choice_spec;
mod compile;
pub mod delivery;
mod file;
mod flags;
mod gate_files;
mod gates;
pub mod http_route;
pub mod kubernetes;
mod limits;
mod listen;
mod load;
mod metrics;
mod named;
mod notifications;
mod otel;
mod policy;
mod routes;
mod service;
mod service_spec;
mod settings;
mod slo_files;
mod spec;
mod surroundings;
#[cfg(test)]
mod tests;
mod traces;
mod traffic;
mod transport;
mod upkeep;
mod values;
mod way_back;
mod webhooks;

pub use file::read_text;
pub use flags::Flags;
pub use load::{Loaded, load, load_text};
pub use notifications::{NotificationKind, Notifications, Receiver, Url};
pub use settings::{AccessLog, Answers, Compatible, Limits, Listen, LogFormat, Memory, Metrics, Perfspec, Service, Settings};
pub use surroundings::{Hurried, Surroundings};
pub use traces::Traces;
