//! What the controller is given for each service.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::gate::live::Measured;
use crate::domain::gate::{Gate, Inconclusive, Policy, Verdict};
use crate::domain::rollout::Schedule;
use crate::domain::route::Rule;
use crate::domain::upkeep::Rules;
use crate::domain::version::{Name, Version};
use crate::domain::way_back::WayBack;
use crate::domain::webhook::Webhook;
use crate::seam::choice::Choice;

/// How long an epoch with a canary is valid unless the controller renews it: twenty of its ticks.
pub const VALIDITY: Duration = Duration::from_secs(2);

/// The time between two ticks.
pub const TICK: Duration = Duration::from_millis(100);

/// Grades a step by the own arithmetic of the gate files and says why in one sentence: what was measured of the canary, and of
/// the stable version of the same time where that had requests.
pub type Grader = Arc<dyn Fn(&Measured<'_>, Option<&Measured<'_>>) -> (Verdict, String) + Send + Sync>;

/// Who wants a service: each replaces its own services and leaves those of the others alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The configuration.
    #[default]
    Configuration,
    /// The delivery of artifacts through stages.
    Delivery,
}

/// One service as configured.
#[derive(Clone)]
pub struct ServiceSetup {
    /// Who wants it.
    pub origin: Origin,
    /// The service.
    pub name: Name,
    /// Which requests it answers; without a rule all of them.
    pub rules: Vec<Rule>,
    /// What of its requests goes otherwise than by the draw.
    pub choice: Option<Arc<Choice>>,
    /// The version that owns the traffic, unless another was promoted since.
    pub stable: Version,
    /// The version to try.
    pub canary: Option<Version>,
    /// How the canary's share grows.
    pub schedule: Schedule,
    /// What a canary must keep to.
    pub gates: Vec<Gate>,
    /// How the canary is judged.
    pub policy: Policy,
    /// Grades a step by the service's gate files.
    pub grader: Option<Grader>,
    /// What its versions may do for each other.
    pub mutual: Rules,
    /// What is done for a stable version that gets everything back.
    pub way_back: WayBack,
    /// Who is asked before its rollouts go on.
    pub webhooks: Arc<[Webhook]>,
    /// What happens after a refusal.
    pub webhook_failure: Inconclusive,
}
