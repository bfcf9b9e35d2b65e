//! How a version's endpoints are kept up, as written and compiled: `health`, `limits` and `dns_refresh`.

use std::time::Duration;

use crate::domain::upkeep::{Health, Limits, Upkeep};
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::quantities;
use crate::formats::yaml::tree::Node;

/// The keys of a version about its endpoints.
#[derive(Debug, Default)]
pub(super) struct UpkeepSpec {
    health: Option<HealthSpec>,
    limits: Option<LimitsSpec>,
    dns_refresh: Option<At<String>>,
}

#[derive(Debug)]
struct HealthSpec {
    path: Option<At<String>>,
    interval: Option<At<String>>,
    timeout: Option<At<String>>,
    healthy: Option<At<String>>,
    unhealthy: Option<At<String>>,
}

#[derive(Debug)]
struct LimitsSpec {
    requests: Option<At<String>>,
    pending: Option<At<String>>,
}

impl UpkeepSpec {
    /// Reads the keys out of a version.
    pub(super) fn read(fields: &mut Fields<'_>, report: &Report<'_>) -> Self {
        Self {
            health: fields.get("health").and_then(|(node, path)| HealthSpec::read(node, path, report)),
            limits: fields.get("limits").and_then(|(node, path)| LimitsSpec::read(node, path, report)),
            dns_refresh: fields.text("dns_refresh"),
        }
    }

    /// Compiles them; what is wrong is reported and has its default.
    pub(super) fn compile(&self, report: &Report<'_>) -> Upkeep {
        let refresh = Duration::from_secs(1)..=Duration::from_secs(300);
        Upkeep {
            health: self.health.as_ref().map(|health| health.compile(report)),
            limits: self.limits.as_ref().map_or_else(Limits::default, |limits| limits.compile(report)),
            dns_refresh: self.dns_refresh.as_ref().and_then(|text| quantities::duration(text, refresh, report)),
        }
    }
}

impl HealthSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            path: fields.text("path"),
            interval: fields.text("interval"),
            timeout: fields.text("timeout"),
            healthy: fields.text("healthy"),
            unhealthy: fields.text("unhealthy"),
        };
        fields.close();
        Some(spec)
    }

    fn compile(&self, report: &Report<'_>) -> Health {
        let default = Health::default();
        let time = |text: &Option<At<String>>, default| {
            let range = Duration::from_millis(100)..=Duration::from_secs(300);
            text.as_ref().and_then(|text| quantities::duration(text, range, report)).unwrap_or(default)
        };
        let count = |text: &Option<At<String>>, default| {
            text.as_ref().and_then(|text| quantities::whole(text, 1..=100, report)).map_or(default, u32::from)
        };
        let (interval, timeout) = (time(&self.interval, default.interval), time(&self.timeout, default.timeout));
        if let Some(text) = self.timeout.as_ref().filter(|_| timeout > interval) {
            let message = format!("a check may take {:?}, which is longer than the time between two", text.value);
            report.error(&text.place, message, "write a 'timeout' of at most the 'interval'");
        }
        let path = self.path.as_ref().filter(|text| {
            let good = text.value.starts_with('/') && text.value.bytes().all(|b| b.is_ascii_graphic()) && text.value.len() <= 1024;
            if !good {
                let hint = "write a path such as /health, or leave 'path' out where a connection is enough";
                report.error(&text.place, format!("{:?} is no path to ask for", text.value), hint);
            }
            good
        });
        Health {
            path: path.map(|text| text.value.clone()),
            interval,
            timeout,
            healthy: count(&self.healthy, default.healthy),
            unhealthy: count(&self.unhealthy, default.unhealthy),
        }
    }
}

impl LimitsSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { requests: fields.text("requests"), pending: fields.text("pending") };
        fields.close();
        Some(spec)
    }

    fn compile(&self, report: &Report<'_>) -> Limits {
        let count = |text: &Option<At<String>>| text.as_ref().and_then(|text| quantities::whole(text, 1..=u16::MAX, report)).map(u32::from);
        Limits { requests: count(&self.requests), pending: count(&self.pending) }
    }
}
