//! What a gate would have done with the requests of a log.

use serde::Serialize;

/// What one gate would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    /// The gate.
    pub gate: String,
    /// The first time it would have fired.
    pub fired: Option<Fired>,
    /// After how many canary requests it would first have passed, had nothing fired.
    pub passed_at: Option<u64>,
    /// Canary requests of the log.
    pub requests: u64,
    /// Canary requests of the whole log that are bad for this gate: over its limit, lost in whole or in part, or failed.
    pub breaches: u64,
}

/// A gate that fires.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fired {
    /// How long after the first canary request of the log began, in seconds.
    pub after_seconds: f64,
    /// The request whose breach decided, by its start number in the log; `None` where a test over blocks of requests decided.
    pub request: Option<u64>,
    /// Canary requests looked at by then.
    pub requests: u64,
    /// Breaches among them; 0 for a mean.
    pub breaches: u64,
    /// Bad requests that had begun by then and could not be spared.
    pub harmed: u64,
    /// Bad requests that began later and would have been spared.
    pub spared: u64,
    /// One plain sentence.
    pub sentence: String,
}
