//! The eras of keptn's events: which types and payloads a receiver understands.

use std::str::FromStr;

use crate::formats::cloudevent::event::SpecVersion;

/// An era of keptn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// keptn 0.2 to 0.4, the reference scenario.
    V0_4,
    /// keptn 0.5 to 0.7; the payloads are those of 0.6, approvals those of 0.7.
    V0_6,
    /// keptn 0.8 to 1.x.
    V1,
}

impl Era {
    /// Returns the version of CloudEvents that the era speaks.
    #[must_use]
    pub const fn spec_version(self) -> SpecVersion {
        match self {
            Self::V0_4 | Self::V0_6 => SpecVersion::V0_2,
            Self::V1 => SpecVersion::V1_0,
        }
    }
}

/// An era is written as `0.4`, `0.6` or `1.x`.
impl FromStr for Era {
    type Err = UnknownEra;

    fn from_str(text: &str) -> Result<Self, UnknownEra> {
        match text {
            "0.4" => Ok(Self::V0_4),
            "0.6" => Ok(Self::V0_6),
            "1.x" => Ok(Self::V1),
            _ => Err(UnknownEra),
        }
    }
}

/// A text names no era.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no era of keptn's events; write 0.4, 0.6 or 1.x")]
pub struct UnknownEra;
