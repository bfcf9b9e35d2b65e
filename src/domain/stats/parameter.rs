//! The refusals of the statistics: which parameter is out of range, what it was and what it must be.
//!
//! Constructors check with these once, so that the tests themselves cannot fail while traffic runs.

/// Why a test could not be made, or a block not be taken in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A probability or share at which no test exists.
    #[error("{name} is {value}, but must lie strictly between 0 and 1")]
    Share {
        /// The parameter, as in the formulas.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// A quantity that must be a positive, finite number.
    #[error("{name} is {value}, but must be a finite number above 0")]
    Positive {
        /// The parameter, as in the formulas.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// A number outside the range its formula allows.
    #[error("{name} is {value}, but must be {range}")]
    Range {
        /// The parameter, as in the formulas.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// Nothing was given where at least one value is needed.
    #[error("{name} is empty, but at least one is needed")]
    Empty {
        /// What is missing.
        name: &'static str,
    },
    /// There are not as many weights as gates.
    #[error("{weights} weights were given for {gates} gates; give one each, or none for equal weights")]
    WeightCount {
        /// The weights given.
        weights: usize,
        /// The gates given.
        gates: usize,
    },
    /// A block came again, or after a later one.
    #[error("block {index} came after block {last}; blocks must be given in growing order, each once")]
    Order {
        /// The block given.
        index: u64,
        /// The newest block so far.
        last: u64,
    },
}

/// Returns a share that lies strictly between 0 and 1.
pub(super) fn share(name: &'static str, value: f64) -> Result<f64, ParameterError> {
    // A NaN lies nowhere.
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err(ParameterError::Share { name, value }) }
}

/// Returns a finite number above 0.
pub(super) fn positive(name: &'static str, value: f64) -> Result<f64, ParameterError> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(ParameterError::Positive { name, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_parameter_its_value_and_what_is_allowed() {
        let error = share("p0", 1.0).unwrap_err();
        assert_eq!(error.to_string(), "p0 is 1, but must lie strictly between 0 and 1");
        for value in [f64::NAN, 0.0, -0.1, f64::INFINITY] {
            assert!(share("p0", value).is_err() && positive("cap", value).is_err(), "{value}");
        }
        assert_eq!(share("p0", 0.05), Ok(0.05));
        assert_eq!(positive("cap", 3.0), Ok(3.0));
    }
}
