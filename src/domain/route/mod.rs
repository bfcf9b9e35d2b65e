//! Which service a request belongs to: rules over host, path, method, headers and query, and an index over all of them.
//!
//! Of the rules that a request meets the most special one decides: an exact host before a wildcard before every host; then an
//! exact path before a template before the longest prefix, and among templates the one with more fixed segments, then the longer
//! one, then the one without a rest, then the one that is fixed further to the left; then the one with more conditions; then the
//! one that comes first in the configuration.

mod condition;
mod forms;
mod index;
mod path;
mod rule;

pub use condition::Conditions;
pub use index::{Asked, Disagreement, Index};
pub use path::{InvalidPath, PathPattern};
pub use rule::{HostPattern, Rule};

#[cfg(test)]
mod properties;
