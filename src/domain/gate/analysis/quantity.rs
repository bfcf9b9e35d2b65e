//! Kubernetes quantities, the way limits are written: `600`, `0.5`, `3m`, `2k`, `1Ki`, `1e3`.

use std::fmt;

use serde::Serialize;

/// A number with the suffix of a Kubernetes quantity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantity {
    text: String,
    exact: f64,
    approximate: f64,
}

impl Default for Quantity {
    /// Returns 0.
    fn default() -> Self {
        Self { text: "0".to_owned(), exact: 0.0, approximate: 0.0 }
    }
}

/// The reason why a text is no [`Quantity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity: {reason}")]
pub struct InvalidQuantity {
    text: String,
    /// What is wrong, one sentence without a full stop.
    pub reason: String,
}

/// How a quantity may look, for error messages.
pub const EXAMPLES: &str =
    "write a number such as 600, 0.5 or 1e3, if need be with one of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei";

/// Suffixes with their power of ten.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18), ("", 0)];
/// Suffixes with their power of two.
const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Reads a quantity: sign, digits with at most one point, and a suffix or a decimal exponent.
    ///
    /// # Errors
    ///
    /// Says what is wrong. Numbers beyond a double are refused.
    pub fn parse(text: &str) -> Result<Self, InvalidQuantity> {
        let wrong = |reason: &str| InvalidQuantity { text: text.chars().take(80).collect(), reason: reason.to_owned() };
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (digits, suffix) = unsigned.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(wrong(if digits.is_empty() { "there is no number" } else { "the number has more than one point" }));
        }
        let sign = if text.starts_with('-') { "-" } else { "" };
        let (power, factor) = match suffix_of(suffix) {
            Some(found) => found,
            None => return Err(wrong(&format!("{suffix:?} is no suffix of a quantity"))),
        };
        let number = |text: String| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let exact = number(format!("{sign}{whole}.{fraction}0e{power}")).map(|number| number * factor);
        // The original holds whole digits and a power of ten, and multiplies the two as doubles.
        let scale = i32::try_from(fraction.trim_end_matches('0').len()).unwrap_or(i32::MAX);
        let unscaled = number(format!("{sign}{whole}{}", fraction.trim_end_matches('0')));
        let exponent = power.saturating_sub(scale);
        let approximate = match (unscaled, exponent, factor > 1.0) {
            (_, _, true) => exact,
            (Some(unscaled), 0, _) => Some(unscaled),
            (Some(unscaled), exponent, _) => number(format!("1e{exponent}")).map(|power| unscaled * power),
            (None, ..) => None,
        };
        match (exact, approximate) {
            (Some(exact), Some(approximate)) if exact.is_finite() && approximate.is_finite() => {
                Ok(Self { text: text.to_owned(), exact, approximate })
            }
            _ => Err(wrong("it is too large a number")),
        }
    }

    /// Returns the double nearest to the number that is written.
    #[must_use]
    pub fn exact(&self) -> f64 {
        self.exact
    }

    /// Returns the double the original compares with: the digits times a power of ten, which for 0.7 is a trifle more
    /// than 0.7.
    #[must_use]
    pub fn approximate(&self) -> f64 {
        self.approximate
    }
}

/// Returns the power of ten and the binary factor of a suffix.
fn suffix_of(suffix: &str) -> Option<(i32, f64)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((*power, 1.0));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((0, libm::exp2(f64::from(*power))));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse().ok().filter(|power: &i32| power.abs() <= 400).map(|power| (power, 1.0))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_and_exponents_are_read() {
        for (text, number) in [
            ("600", 600.0),
            ("3m", 0.003),
            ("-2k", -2000.0),
            ("1Ki", 1024.0),
            ("1.5Gi", 1_610_612_736.0),
            ("1e3", 1000.0),
            ("1E-2", 0.01),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("2E", 2e18),
        ] {
            assert_eq!(Quantity::parse(text).map(|quantity| quantity.exact()), Ok(number), "{text}");
        }
        for text in ["", "m", "abc", "1.2.3", "1ms", "1e", "1e999999", "NaN", "Inf", "1 k", "--1", "1e350"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_original_multiplies_doubles() {
        let limit = Quantity::parse("0.7").unwrap();
        assert_eq!((limit.exact(), limit.approximate()), (0.7, 7.0 * 0.1));
        assert_ne!(limit.exact().to_bits(), limit.approximate().to_bits());
        assert_eq!(Quantity::parse("3m").unwrap().approximate(), 3.0 * 0.001);
        assert_eq!(Quantity::parse("15.00").unwrap().approximate(), 15.0);
    }
}
