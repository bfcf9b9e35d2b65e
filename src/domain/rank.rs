//! The roles of those who talk to the admin API: each may do all that the ones before it may.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The role of somebody who talks to the admin API. Roles of versions (stable, canary) are something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// May look.
    Viewer,
    /// May command rollouts and artifacts besides.
    Operator,
    /// May change projects besides: their shipyards, services, files and sources.
    Admin,
}

/// Why a text is no [`Rank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write viewer, operator or admin")]
pub struct InvalidRank;

impl Rank {
    /// Returns its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Rank {
    type Err = InvalidRank;

    fn from_str(text: &str) -> Result<Self, InvalidRank> {
        [Self::Viewer, Self::Operator, Self::Admin].into_iter().find(|rank| rank.as_str() == text).ok_or(InvalidRank)
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_do_what_the_ones_before_it_may() {
        assert!(Rank::Viewer < Rank::Operator && Rank::Operator < Rank::Admin);
        for rank in [Rank::Viewer, Rank::Operator, Rank::Admin] {
            assert_eq!(rank.to_string().parse(), Ok(rank));
        }
        assert_eq!("Admin".parse::<Rank>(), Err(InvalidRank));
    }
}
