//! The data plane: accept, sanitise, pick, forward, measure; HTTP/1 and HTTP/2 from clients.
//!
//! One thread per core, each with its own runtime, listener, pools and books; nothing is shared in the path of a request but
//! the routing table and, for canary requests, the trial's counters. [`serve`] is the hot path, whole and in order.

pub mod body;
pub mod certificates;
mod choice;
pub mod chunks;
pub mod client;
pub mod connection;
mod counters;
pub mod deadline;
pub mod error;
pub mod grpc;
pub mod intercept;
pub mod listener;
pub mod listening;
mod mirror;
pub mod passage;
pub mod patrol;
pub mod plain;
pub mod pressure;
mod record;
pub mod repeat;
pub mod rescue;
pub mod respond;
pub mod rules;
pub mod sanitise;
pub mod scan;
pub mod serve;
pub mod settings;
pub mod spread;
pub mod tunnel;
mod upgrade;
pub mod upload;
pub mod upstream;
pub mod wire;
pub mod worker;
