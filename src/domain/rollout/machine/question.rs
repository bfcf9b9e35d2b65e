//! What a rollout asks of others, and on whose behalf.

use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;

/// What was asked of others for the present step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing yet.
    Nothing,
    /// This question, and it is not answered.
    Since(Timestamp),
    /// Everybody lets it go on.
    Cleared,
}

/// What an operator wants that gives the canary more, and that waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The share to hold it with; `None` to begin again with the first.
    pub(super) weight: Option<Weight>,
    /// Who wants it.
    pub(super) actor: String,
    /// Why.
    pub(super) reason: String,
}
