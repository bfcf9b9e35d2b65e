//! A share of new requests in basis points, valid by construction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A share of new requests in basis points: 0 is nothing, 10 000 is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

/// The reason why a text or number is not a [`Weight`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a share: write a percentage from 0% to 100% with at most two decimals, such as 10% or 2.5%")]
pub struct InvalidWeight(String);

impl Weight {
    /// No request at all.
    pub const ZERO: Self = Self(0);
    /// Every request.
    pub const FULL: Self = Self(10_000);

    /// Makes a weight from basis points.
    ///
    /// # Errors
    ///
    /// Fails above 10 000.
    pub fn from_basis_points(value: u16) -> Result<Self, InvalidWeight> {
        if value > 10_000 { Err(InvalidWeight(format!("{value} bp"))) } else { Ok(Self(value)) }
    }

    /// Returns the share in basis points, 0 to 10 000.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Returns the share as a fraction from 0 to 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Returns what is left for the other version.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(10_000_u16.saturating_sub(self.0))
    }

    /// Returns half of the share, rounded down.
    #[must_use]
    pub const fn halved(self) -> Self {
        Self(self.0 / 2)
    }

    /// Multiplies the share, saturating at everything.
    #[must_use]
    pub fn times(self, factor: u16) -> Self {
        Self(self.0.saturating_mul(factor).min(10_000))
    }
}

impl TryFrom<u16> for Weight {
    type Error = InvalidWeight;
    fn try_from(value: u16) -> Result<Self, InvalidWeight> {
        Self::from_basis_points(value)
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl FromStr for Weight {
    type Err = InvalidWeight;

    fn from_str(text: &str) -> Result<Self, InvalidWeight> {
        let wrong = || InvalidWeight(text.to_owned());
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 2 || number.ends_with('.') {
            return Err(wrong());
        }
        let whole: u16 = whole.parse().map_err(|_| wrong())?;
        let fraction: u16 = format!("{fraction:0<2}").parse().map_err(|_| wrong())?;
        let points = whole.checked_mul(100).and_then(|w| w.checked_add(fraction)).ok_or_else(wrong)?;
        Self::from_basis_points(points).map_err(|_| wrong())
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        if rest == 0 { write!(f, "{whole}%") } else { write!(f, "{}%", format!("{whole}.{rest:02}").trim_end_matches('0')) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_percentages() {
        for (text, points) in [("0%", 0), ("10%", 1_000), ("2.5%", 250), ("0.01%", 1), ("100%", 10_000), ("33.33 %", 3_333)] {
            let weight: Weight = text.parse().unwrap();
            assert_eq!(weight.basis_points(), points, "{text}");
            assert_eq!(weight.to_string().parse::<Weight>().unwrap(), weight);
        }
    }

    #[test]
    fn refuses_what_is_not_a_share() {
        for text in ["", "%", "10", "-1%", "101%", "100.01%", "33.333%", "1e2%", "NaN%", "10.%", ".5%", "99999999%"] {
            assert!(text.parse::<Weight>().is_err(), "{text}");
        }
        assert!(Weight::from_basis_points(10_001).is_err());
    }

    #[test]
    fn what_is_computed_from_shares_is_a_share() {
        let points = |weight: Weight| weight.basis_points();
        let third: Weight = "33.33%".parse().unwrap();
        assert_eq!([0, 1, 3, 4, u16::MAX].map(|factor| points(third.times(factor))), [0, 3_333, 9_999, 10_000, 10_000]);
        assert_eq!([Weight::ZERO, third, Weight::FULL].map(|weight| points(weight.complement())), [10_000, 6_667, 0]);
    }
}
