//! The pure core: words, statistics, gates, the rollout machine and the delivery machine; no I/O, no clock, no chance, no async.

pub mod address;
pub mod delivery;
pub mod destination;
pub mod endpoint;
pub mod error_kinds;
pub mod gate;
pub mod invariants;
pub mod judge;
pub mod observation;
pub mod outcome;
pub mod outlier;
pub mod rank;
pub mod retry_budget;
pub mod rollout;
pub mod route;
pub mod split;
pub mod standing;
pub mod start_order;
pub mod stats;
pub mod time;
pub mod timeouts;
pub mod transport;
pub mod tripwire;
pub mod upkeep;
pub mod version;
pub mod weight;
