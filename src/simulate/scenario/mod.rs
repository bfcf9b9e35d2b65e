//! Scenario files: what traffic meets what versions under what gates, how often, and what must come of it.
//!
//! A scenario is TOML. Every key is known or an error; each error says line, column and how to mend it. `[[vary]]` tables
//! overlay the rest of the file, so that one file holds a whole row of a published table.

pub mod behaviour;
pub mod expectation;
pub mod load;
pub mod policy;
pub mod spec;
pub mod values;

pub use behaviour::{Breaks, ColdStart, Drift, Latency, Pauses, Rescale, Restart, Scale, VersionSpec};
pub use expectation::{Expect, Figure, Tally};
pub use load::load;
pub use policy::{Overrides, Ramping, Return};
pub use spec::{Arrivals, Change, Chaos, Harm, Peer, Scenario, Traffic};
pub use values::{Above, Count, Ratio, Span, Text};
