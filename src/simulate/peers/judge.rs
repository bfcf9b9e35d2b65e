//! What a controller that looks once per interval is asked, and what it sees.

/// What one look at the metrics says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// There are values and they are good.
    Good,
    /// There are values and they are not.
    Bad,
    /// Nothing completed.
    NoValues,
}

/// A controller that looks once per interval.
pub trait Judge {
    /// Takes one look; says whether it rolls back now.
    fn tick(&mut self, check: Check) -> bool;
}
