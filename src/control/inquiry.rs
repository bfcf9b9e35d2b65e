//! What others are asked of a rollout before it goes on.

use std::sync::Arc;

use crate::domain::rollout::Record;
use crate::domain::version::Name;
use crate::domain::webhook::{Occasion, Webhook};

/// A question; its answer comes back as a command, or never.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The service.
    pub service: Name,
    /// The number of the question within its rollout.
    pub number: u64,
    /// What is about to happen.
    pub occasion: Occasion,
    /// Where the rollout stands.
    pub record: Record,
    /// The webhooks of the service, those of other occasions too.
    pub webhooks: Arc<[Webhook]>,
}
