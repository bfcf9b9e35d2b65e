//! File formats as pure functions from text to domain values.

pub mod access_log;
pub mod analysis;
pub mod argo;
pub mod cloudevent;
pub mod evaluation_window;
pub mod flagger;
pub mod hlog;
pub mod jmeter_conf;
pub mod jmx;
pub mod json;
pub mod kind;
pub mod manifest;
pub mod metric_values;
pub mod perfspec;
pub mod plan;
pub mod problem;
pub mod revocation;
pub mod rigour;
pub mod shipyard;
pub mod slo;
pub mod tls;
pub mod unique;
pub mod validity;
pub mod yaml;
