//! The demo's end of the admin API: asks where the rollout stands and starts one, as any other client would.

use std::net::SocketAddr;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::cli::http::{self as exchange, Unanswered};
use crate::domain::gate::Verdict;
use crate::domain::judge::GateStatus;
use crate::domain::rollout::Phase;
use crate::domain::version::Version;
use crate::domain::weight::Weight;

/// The service of the story.
pub const SERVICE: &str = "carts";

/// What the API shows of the service, as far as the story needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The version that owns the traffic.
    pub owner: Version,
    /// The current or last rollout.
    pub rollout: Option<Rollout>,
}

/// One rollout.
#[derive(Clone, Debug, Deserialize)]
pub struct Rollout {
    /// The version on trial.
    pub canary: Version,
    /// Where it stands.
    pub phase: Phase,
    /// The canary's share now.
    pub weight: Weight,
    /// The generation of the last change.
    pub generation: u64,
    /// Why it stands there.
    pub reason: String,
    /// What the last decision rests on.
    pub evidence: Option<Evidence>,
    /// Every gate.
    pub gates: Vec<GateStatus>,
    /// The gate file's own grade.
    pub file: Option<FileGrade>,
    /// Canary requests that began.
    pub canary_requests: u64,
    /// The trip, when there was one.
    pub trip: Option<Trip>,
    /// Whether the last decision is durable.
    pub durable: bool,
}

/// What a decision rests on.
#[derive(Clone, Debug, Deserialize)]
pub struct Evidence {
    /// One plain sentence.
    pub sentence: String,
    /// How many of the breaches were still unanswered when they counted.
    pub unanswered: u64,
}

/// What the gate file says by its own arithmetic.
#[derive(Clone, Debug, Deserialize)]
pub struct FileGrade {
    /// Its verdict.
    pub verdict: Verdict,
}

/// A trip; times are nanoseconds of the proxy's clock.
#[derive(Clone, Debug, Deserialize)]
pub struct Trip {
    /// When the deciding breach was evident.
    pub evident_ns: u64,
    /// When the flag was set.
    pub tripped_ns: u64,
    /// When the first breaching request had been sent.
    pub first_breach_started_ns: Option<u64>,
    /// When the last canary request began.
    pub last_canary_started_ns: Option<u64>,
    /// The deciding breach was this many breaches.
    pub breaches: u64,
    /// The deciding breach was this request.
    pub requests: u64,
    /// Canary requests that began after the flag was set.
    pub started_after_trip: u64,
}

/// Why the API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It did not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// It answered with another status than expected.
    #[error("the admin API answered {asked} with {status}: {body}")]
    Refused {
        /// What was asked.
        asked: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
    /// Its answer was not understood.
    #[error("the admin API's answer to {asked} cannot be read: {problem}")]
    Unreadable {
        /// What was asked.
        asked: String,
        /// Why not.
        problem: serde_json::Error,
    },
}

/// The admin API of the running proxy.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    address: SocketAddr,
}

impl Admin {
    /// Knows the API at an address.
    pub const fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Asks whether the proxy may get traffic; an error that it does not answer counts as no.
    pub async fn is_ready(&self) -> bool {
        exchange::get(self.address, "/readyz").await.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    /// Asks where the service stands.
    ///
    /// # Errors
    ///
    /// The API does not answer, or not as it should.
    pub async fn status(&self) -> Result<Status, AdminError> {
        let path = format!("/v1/rollouts/{SERVICE}");
        let body = self.get(&path).await?;
        serde_json::from_str(&body).map_err(|problem| AdminError::Unreadable { asked: format!("GET {path}"), problem })
    }

    /// Asks for the metrics.
    ///
    /// # Errors
    ///
    /// The API does not answer, or not as it should.
    pub async fn metrics(&self) -> Result<String, AdminError> {
        self.get("/metrics").await
    }

    /// Starts a rollout of `version`, which listens at `endpoint`.
    ///
    /// # Errors
    ///
    /// The API does not answer, or refuses.
    pub async fn start(&self, version: &str, endpoint: SocketAddr) -> Result<(), AdminError> {
        let body = json!({"service": SERVICE, "canary": {"name": version, "endpoints": [endpoint]}, "actor": "demo"});
        let answer = exchange::post(self.address, "/v1/rollouts", body.to_string()).await?;
        expect("POST /v1/rollouts", StatusCode::ACCEPTED, answer).map(|_| ())
    }

    async fn get(&self, path: &str) -> Result<String, AdminError> {
        expect(&format!("GET {path}"), StatusCode::OK, exchange::get(self.address, path).await?)
    }
}

fn expect(asked: &str, status: StatusCode, answer: exchange::Answer) -> Result<String, AdminError> {
    if answer.status == status {
        return Ok(answer.body);
    }
    let body = answer.body.trim().chars().take(300).collect();
    Err(AdminError::Refused { asked: asked.to_owned(), status: answer.status, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::{RolloutStatus, ServiceStatus, TripStatus};

    #[test]
    fn what_the_controller_shows_is_understood() {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec!["127.0.0.1:1".parse().unwrap()]);
        let trip = TripStatus { evident_ns: 5, tripped_ns: 7, breaches: 3, requests: 4, ..TripStatus::default() };
        let rollout = RolloutStatus {
            id: 1,
            stable: version("0.8.1"),
            canary: version("0.8.2"),
            phase: Phase::RolledBack,
            step: 0,
            steps: 4,
            weight: Weight::ZERO,
            generation: 3,
            actor: None,
            warned: false,
            reason: "why".to_owned(),
            evidence: None,
            gates: [].into(),
            file: None,
            needs: None,
            needs_seconds: None,
            held_seconds: None,
            warm_up_seconds: None,
            plan: None,
            policy: None,
            rate: 0.0,
            brakes: 0,
            canary_requests: 9,
            trip: Some(trip),
            durable: true,
        };
        let shown = ServiceStatus {
            name: SERVICE.parse().unwrap(),
            owner: version("0.8.1"),
            rollout: Some(rollout),
            waits: None,
            rejected: Vec::new(),
            endpoints: Vec::new(),
            way_back: None,
        };
        let status: Status = serde_json::from_str(&serde_json::to_string(&shown).unwrap()).unwrap();
        let rollout = status.rollout.unwrap();
        assert_eq!((rollout.phase, rollout.canary.name.as_str(), rollout.canary_requests), (Phase::RolledBack, "0.8.2", 9));
        let trip = rollout.trip.unwrap();
        assert_eq!((trip.tripped_ns - trip.evident_ns, trip.breaches, trip.requests, trip.started_after_trip), (2, 3, 4, 0));
    }
}
