//! A condition on the values of a metric, and what it says of them.
//!
//! It knows numbers and truths only, which is what Prometheus and its like answer.

use crate::domain::gate::slo::criterion::Operator;

/// A part of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Truth(bool),
    /// The only value, `result`.
    Result,
    /// One of the values, `result[0]`, counted from 0.
    At(usize),
    /// The value that a quantifier looks at, `#`.
    Each,
    /// How many values there are, `len(result)`.
    Count,
    /// The whole number towards 0, `asInt(…)`.
    Whole(Box<Self>),
    /// Whether the value is no number, `isNaN(…)`.
    IsNaN(Box<Self>),
    /// Whether the value is infinite, `isInf(…)`.
    IsInfinite(Box<Self>),
    /// Whether there is no value, `isNil(…)`; never so of what can be looked at.
    IsNil(Box<Self>),
    /// `-x`.
    Minus(Box<Self>),
    /// `!x`.
    Not(Box<Self>),
    /// Two numbers that become one.
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    /// Two numbers that are compared.
    Compare(Operator, Box<Self>, Box<Self>),
    /// `a && b`; the second is looked at only if the first holds.
    And(Box<Self>, Box<Self>),
    /// `a || b`; the second is looked at only if the first does not hold.
    Or(Box<Self>, Box<Self>),
    /// `all(result, …)`, `any(result, …)` and `none(result, …)`.
    Quantified(Quantifier, Box<Self>),
}

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// Of how many values a condition must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// Of all.
    All,
    /// Of at least one.
    Any,
    /// Of none.
    None,
}

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
    Number(f64),
    Truth(bool),
}

impl Expression {
    /// Says whether the expression gives true or false rather than a number.
    #[must_use]
    pub const fn is_truth(&self) -> bool {
        match self {
            Self::Number(_) | Self::Result | Self::At(_) | Self::Each | Self::Count => false,
            Self::Whole(_) | Self::Minus(_) | Self::Arithmetic(..) => false,
            Self::Truth(_) | Self::IsNaN(_) | Self::IsInfinite(_) | Self::IsNil(_) | Self::Not(_) => true,
            Self::Compare(..) | Self::And(..) | Self::Or(..) | Self::Quantified(..) => true,
        }
    }

    /// Says whether the condition holds of the values.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be said, one sentence without a full stop: a value that is not there, or a number where a
    /// truth is wanted.
    pub fn holds(&self, values: &[f64]) -> Result<bool, String> {
        self.truth(values, None)
    }

    fn truth(&self, values: &[f64], each: Option<f64>) -> Result<bool, String> {
        match self.find(values, each)? {
            Found::Truth(truth) => Ok(truth),
            Found::Number(number) => Err(format!("the condition gives the number {number}, neither true nor false")),
        }
    }

    fn number(&self, values: &[f64], each: Option<f64>) -> Result<f64, String> {
        match self.find(values, each)? {
            Found::Number(number) => Ok(number),
            Found::Truth(truth) => Err(format!("{truth} stands where a number is wanted")),
        }
    }

    fn find(&self, values: &[f64], each: Option<f64>) -> Result<Found, String> {
        let number = |part: &Self| part.number(values, each);
        let truth = |part: &Self| part.truth(values, each);
        Ok(match self {
            Self::Number(number) => Found::Number(*number),
            Self::Truth(truth) => Found::Truth(*truth),
            Self::Result => match values {
                [only] => Found::Number(*only),
                _ => return Err(format!("'result' is {} values, not one", values.len())),
            },
            Self::At(index) => match values.get(*index) {
                Some(value) => Found::Number(*value),
                None => return Err(format!("there is no result[{index}] among {} values", values.len())),
            },
            Self::Each => Found::Number(each.ok_or("'#' stands outside of all, any and none")?),
            #[expect(clippy::cast_precision_loss, reason = "a count above 2^53 cannot occur")]
            Self::Count => Found::Number(values.len() as f64),
            Self::Whole(part) => Found::Number(number(part)?.trunc()),
            Self::IsNaN(part) => Found::Truth(number(part)?.is_nan()),
            Self::IsInfinite(part) => Found::Truth(number(part)?.is_infinite()),
            Self::IsNil(part) => {
                number(part)?;
                Found::Truth(false)
            }
            Self::Minus(part) => Found::Number(-number(part)?),
            Self::Not(part) => Found::Truth(!truth(part)?),
            Self::Arithmetic(how, one, other) => Found::Number(how.of(number(one)?, number(other)?)),
            Self::Compare(operator, one, other) => Found::Truth(operator.holds(number(one)?, number(other)?)),
            Self::And(one, other) => Found::Truth(truth(one)? && truth(other)?),
            Self::Or(one, other) => Found::Truth(truth(one)? || truth(other)?),
            Self::Quantified(quantifier, part) => {
                let each: Vec<bool> = values.iter().map(|value| part.truth(values, Some(*value))).collect::<Result<_, _>>()?;
                let any = each.contains(&true);
                Found::Truth(match quantifier {
                    Quantifier::All => !each.contains(&false),
                    Quantifier::Any => any,
                    Quantifier::None => !any,
                })
            }
        })
    }
}

impl Arithmetic {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Add => one + other,
            Self::Subtract => one - other,
            Self::Multiply => one * other,
            Self::Divide => one / other,
        }
    }
}
