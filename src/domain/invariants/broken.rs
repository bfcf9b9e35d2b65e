//! What is told of an invariant that does not hold.

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {name} is broken: {what}")]
pub struct Broken {
    /// The invariant's name.
    pub name: &'static str,
    /// What was found.
    pub what: String,
}

pub(super) fn hold(name: &'static str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { name, what: what() }) }
}
