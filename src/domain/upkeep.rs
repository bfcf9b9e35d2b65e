//! How a version's endpoints are kept up: health checks, how often its names are resolved, and how much it may hold at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a version's endpoints are kept up. It is kept on disk with the version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upkeep {
    /// How its endpoints are asked whether they are ready; `None` for not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How much it may hold at once.
    pub limits: Limits,
    /// How often its names are resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_refresh: Option<Duration>,
}

/// The time between two look-ups of a name where nothing else is configured.
pub const DNS_REFRESH: Duration = Duration::from_secs(5);

impl Upkeep {
    /// Says whether nothing was configured.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the time between two look-ups of a name, 1 s to 300 s.
    #[must_use]
    pub fn dns_refresh(&self) -> Duration {
        self.dns_refresh.unwrap_or(DNS_REFRESH).clamp(Duration::from_secs(1), Duration::from_secs(300))
    }
}

/// How endpoints are asked whether they are ready.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The path that is asked for with GET, where 2xx and 3xx are good; `None` where a connection is enough.
    pub path: Option<String>,
    /// The time between two checks of an endpoint.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// So many good checks in a row make an endpoint ready again.
    pub healthy: u32,
    /// So many bad checks in a row make it unready.
    pub unhealthy: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { path: None, interval: Duration::from_secs(5), timeout: Duration::from_secs(1), healthy: 2, unhealthy: 3 }
    }
}

/// How much a version may hold at once over all workers; `None` for the default of the data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Connections being opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
}

/// What the versions of a service may do for each other, and what is expected of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Stable answers what the canary fails, where that may be repeated.
    pub rescue: bool,
    /// The canary answers for a stable version without a usable endpoint.
    pub failover: bool,
    /// A good answer with fewer bytes of a body than this is [small](crate::domain::error_kinds::ErrorKinds::SMALL); 0 where none is.
    pub min_body: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { rescue: true, failover: false, min_body: 0 }
    }
}

/// The results of one endpoint's checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkup {
    /// Whether it is ready; before the first check it is not.
    pub ready: bool,
    asked: bool,
    /// How many results in a row say otherwise.
    against: u32,
}

impl Checkup {
    /// Takes in a result; the first one decides alone.
    pub const fn result(&mut self, good: bool, health: &Health) {
        let first = !self.asked;
        self.asked = true;
        if good == self.ready {
            self.against = 0;
            return;
        }
        self.against += 1;
        let enough = if good { health.healthy } else { health.unhealthy };
        if first || self.against >= enough {
            self.ready = good;
            self.against = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_results_in_a_row_to_change_what_an_endpoint_is() {
        let health = Health::default();
        let mut checkup = Checkup::default();
        let mut seen = Vec::new();
        for good in [true, false, false, true, false, false, false, true, false, true, true] {
            checkup.result(good, &health);
            seen.push(checkup.ready);
        }
        assert_eq!(seen, [true, true, true, true, true, true, false, false, false, false, true]);
        let mut sick = Checkup::default();
        sick.result(false, &health);
        sick.result(true, &health);
        assert!(!sick.ready, "only the first result decides alone");
    }

    #[test]
    fn what_is_not_configured_is_not_written() {
        assert_eq!(serde_json::to_string(&Upkeep::default()).unwrap(), r#"{"limits":{}}"#);
        let some = Upkeep { health: Some(Health { path: Some("/health".to_owned()), ..Health::default() }), ..Upkeep::default() };
        assert_eq!(serde_json::from_str::<Upkeep>(&serde_json::to_string(&some).unwrap()).unwrap(), some);
        assert!(serde_json::from_str::<Upkeep>("{}").unwrap().is_default());
    }
}
