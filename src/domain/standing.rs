//! Whether a version can be reached, as far as its endpoints tell; says nothing of how good its answers are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a version has an endpoint that may get requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has one at least.
    #[default]
    Usable,
    /// It has no address: scaled to nothing, or its name is not resolved.
    Absent,
    /// It has addresses, but no endpoint has passed its health check.
    Unready,
    /// Every endpoint that is ready failed again and again.
    Failed,
}

impl Standing {
    /// Every standing, in the order of its index.
    pub const ALL: [Self; 4] = [Self::Usable, Self::Absent, Self::Unready, Self::Failed];

    /// Says whether the version has a usable endpoint.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Usable)
    }

    /// Returns the position in [`Standing::ALL`].
    #[must_use]
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// Returns the standing at a position of [`Standing::ALL`]; [`Standing::Usable`] beyond its end.
    #[must_use]
    pub fn at(index: u8) -> Self {
        Self::ALL.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// Returns the label used in metrics and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Absent => "absent",
            Self::Unready => "unready",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Standing {
    /// Says it as the end of a sentence that begins with the version's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usable => "has a usable endpoint",
            Self::Absent => "has no endpoint",
            Self::Unready => "has no endpoint that passes its health check",
            Self::Failed => "has no endpoint left that answers",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings_keep_their_index() {
        for standing in Standing::ALL {
            assert_eq!(Standing::at(standing.index()), standing);
        }
        assert_eq!(Standing::at(9), Standing::Usable);
    }
}
