//! One criterion of an `slo.yaml`, such as `<=+10%` or `<600`: keptn's grammar, and ours, which refuses what misleads.

use std::fmt;

use serde::Serialize;

use crate::domain::gate::slo::release::Lighthouse;

/// How a value is compared with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

impl Operator {
    /// In the order in which they are tried.
    const SIGNS: [(&'static str, Self); 5] =
        [("<=", Self::AtMost), ("<", Self::Below), ("=", Self::Equal), (">=", Self::AtLeast), (">", Self::Above)];

    /// Returns the sign.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Above => ">",
        }
    }

    /// Finds an operator by its sign.
    #[must_use]
    pub fn from_sign(sign: &str) -> Option<Self> {
        Self::SIGNS.into_iter().find(|(found, _)| *found == sign).map(|(_, operator)| operator)
    }

    /// Compares two plain doubles; false when either is not a number.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "the original compares doubles for equality, and a count may well be equal")]
    pub fn holds(self, measured: f64, target: f64) -> bool {
        match self {
            Self::AtMost => measured <= target,
            Self::Below => measured < target,
            Self::Equal => measured == target,
            Self::AtLeast => measured >= target,
            Self::Above => measured > target,
        }
    }

    /// Splits the operator off a text without blanks.
    fn split(text: &str) -> Option<(Self, &str)> {
        Self::SIGNS.into_iter().find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
    }
}

/// One comparison of a value with a fixed target, or with a target relative to earlier values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Criterion {
    /// The comparison.
    pub operator: Operator,
    /// The number as written, without its sign.
    pub value: f64,
    /// It ends in a percent sign.
    pub percentage: bool,
    /// It is relative to earlier values.
    pub comparison: bool,
    /// The number is added to the earlier value; otherwise it is subtracted.
    pub increase: bool,
}

/// Why the original cannot read a criterion; the texts are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It does not begin with an operator.
    #[error("invalid criteria string")]
    Form,
    /// What stands behind the operator is no number.
    #[error("could not parse criteria target value")]
    Number,
}

/// Why a criterion is refused in strict mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// What is wrong, one sentence without a full stop.
    pub reason: String,
    /// How to mend it.
    pub hint: String,
}

/// How a criterion may look, for error messages.
pub const EXAMPLES: &str = "write for example \"<600\", \"<=+10%\" (relative to earlier values), \">=-80%\" or \"=0\"";

impl Criterion {
    /// Reads a criterion as lighthouse did.
    ///
    /// # Errors
    ///
    /// Returns which of its two errors the original gives.
    pub fn parse(text: &str, release: Lighthouse) -> Result<Self, Unreadable> {
        let packed = text.replace(' ', "");
        // The original matches ^[<|=>]{1,2} and then only optional parts: the first sign alone decides.
        if !packed.starts_with(['<', '|', '=', '>']) {
            return Err(Unreadable::Form);
        }
        let (operator, rest) = Operator::split(&packed).ok_or(Unreadable::Number)?;
        let (percentage, rest) = rest.strip_suffix('%').map_or((false, rest), |rest| (true, rest));
        let (sign, rest) = match (rest.strip_prefix('-'), rest.strip_prefix('+')) {
            (Some(rest), _) => (Some(false), rest),
            (_, Some(rest)) => (Some(true), rest),
            (None, None) => (None, rest),
        };
        let relative_percent = percentage && release.percent_is_relative();
        Ok(Self {
            operator,
            value: go_float(rest).ok_or(Unreadable::Number)?,
            percentage,
            comparison: relative_percent || sign.is_some(),
            increase: sign.unwrap_or(relative_percent),
        })
    }

    /// Reads a criterion and refuses what its author can hardly have meant: a percent without a sign, two signs, a
    /// number that is not finite.
    ///
    /// # Errors
    ///
    /// Returns what is wrong and how to mend it.
    pub fn parse_strictly(text: &str) -> Result<Self, Refused> {
        let refused = |reason: String, hint: String| Refused { reason, hint };
        let packed = text.replace(' ', "");
        let criterion = Self::parse(text, Lighthouse::V1).map_err(|error| {
            let reason = match error {
                Unreadable::Form => "it does not begin with <, <=, =, >= or >".to_owned(),
                Unreadable::Number => "what follows the operator is not a number".to_owned(),
            };
            refused(reason, unreadable_hint(&packed))
        })?;
        let sign = criterion.operator.sign();
        let number = packed.get(sign.len()..).unwrap_or_default().trim_end_matches('%');
        if !criterion.value.is_finite() {
            return Err(refused(format!("{number} is not a finite number"), EXAMPLES.to_owned()));
        }
        let unsigned = number.trim_start_matches(['+', '-']);
        if number.len() > unsigned.len() + 1 {
            return Err(refused("there are two signs before the number".to_owned(), format!("write one, such as \"{sign}-{unsigned}\"")));
        }
        if criterion.percentage && number.len() == unsigned.len() {
            let hint = format!(
                "write \"{sign}+{unsigned}%\" for {unsigned} % above earlier values, or \"{sign}{unsigned}\" for the number itself"
            );
            return Err(refused("a percent without a sign is relative, which few people mean".to_owned(), hint));
        }
        Ok(criterion)
    }

    /// Returns the value that is compared with, given the aggregate of the earlier values.
    ///
    /// The order of the operations is the original's: `+v%` is base · (100 + v) / 100.
    #[must_use]
    pub fn target(&self, base: f64) -> f64 {
        match (self.comparison, self.percentage, self.increase) {
            (false, ..) => self.value,
            (true, true, true) => (base * (100.0 + self.value)) / 100.0,
            (true, true, false) => (base * (100.0 - self.value)) / 100.0,
            (true, false, true) => base + self.value,
            (true, false, false) => base - self.value,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (self.comparison, self.increase) {
            (false, _) => "",
            (true, true) => "+",
            (true, false) => "-",
        };
        write!(f, "{}{sign}{}{}", self.operator.sign(), self.value, if self.percentage { "%" } else { "" })
    }
}

/// Says what was probably meant by a criterion that cannot be read: a unit, a doubled operator or nothing at all.
fn unreadable_hint(packed: &str) -> String {
    let number = packed.trim_start_matches(['<', '=', '>', '|', '!', '~']);
    let end = number.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(number.len());
    let (figure, unit) = number.split_at(end);
    let figure_is_number = figure.trim_start_matches(['+', '-']).parse::<f64>().is_ok();
    let operator = Operator::split(packed).map_or("<", |(operator, _)| operator.sign());
    if figure_is_number && unit.chars().next().is_some_and(char::is_alphabetic) {
        return format!("a criterion has no unit: write \"{operator}{figure}\" in the unit of the SLI");
    }
    if figure_is_number {
        let percent = if unit.starts_with('%') { "%" } else { "" };
        return format!("write one operator and one number, such as \"{operator}{figure}{percent}\"");
    }
    EXAMPLES.to_owned()
}

/// Reads a number as Go's `strconv.ParseFloat` does; `None` where that gives an error.
///
/// Hexadecimal floats are the one form that is left out.
#[must_use]
pub fn go_float(text: &str) -> Option<f64> {
    let number = text.parse::<f64>().ok()?;
    let spelled = text.trim_start_matches(['+', '-']);
    let signed = spelled.len() < text.len();
    let word = spelled.starts_with(|c: char| c.is_ascii_alphabetic());
    // Go knows no sign before nan, and calls a number that overflows an error.
    let refused = (number.is_nan() && signed) || (number.is_infinite() && !word);
    (!refused).then_some(number)
}

/// Writes a number as Go's `%v` does: the shortest digits, with an exponent from 1e21 on and below 1e-4.
#[must_use]
pub fn go_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_without_a_sign_is_absolute_in_0_6_0_only() {
        let old = Criterion::parse("<=10%", Lighthouse::V0_6_0).unwrap();
        assert!(old.percentage && !old.comparison && old.target(1000.0) == 10.0);
        let signed = Criterion::parse("<=+10%", Lighthouse::V0_6_0).unwrap();
        assert_eq!(signed.target(1000.0), 1100.0);
        assert_eq!(Criterion::parse("<=10%", Lighthouse::V0_6_1).unwrap().target(1000.0), 1100.0);
    }

    #[test]
    fn strictly_what_misleads_is_refused_with_what_to_write() {
        for (text, part) in [
            ("<=1%", "<=+1%"),
            ("<=+-10%", "two signs"),
            ("<--10", "\"<-10\""),
            ("<Inf", "finite"),
            ("<NaN", "finite"),
            ("<-inf", "finite"),
            ("<1e999", "not a number"),
            ("<10ms", "write \"<10\""),
            ("<=800ms", "write \"<=800\""),
            ("==10", "such as \"=10\""),
            ("<10%%", "such as \"<10%\""),
            ("10", "does not begin"),
            ("", "does not begin"),
        ] {
            let error = Criterion::parse_strictly(text).unwrap_err();
            assert!(format!("{error} ({})", error.hint).contains(part), "{text}: {error:?}");
        }
        for text in ["<1e3", "<.5", "=0", "> 5000", ">=-80%", "<=+10"] {
            assert_eq!(Criterion::parse_strictly(text), Ok(Criterion::parse(text, Lighthouse::V1).unwrap()));
        }
    }

    #[test]
    fn numbers_are_read_and_written_as_go_does() {
        for (text, number) in
            [("1e3", Some(1000.0)), ("5.", Some(5.0)), ("Infinity", Some(f64::INFINITY)), ("-inf", Some(f64::NEG_INFINITY))]
        {
            assert_eq!(go_float(text), number);
        }
        for text in ["", ".", "1e999", "+nan", "1_0", "10ms", " 1"] {
            assert_eq!(go_float(text), None, "{text}");
        }
        for (number, text) in [(75.3, "75.3"), (0.0, "0"), (1e21, "1e+21"), (1.5e-7, "1.5e-07"), (100.0 / 3.0, "33.333333333333336")] {
            assert_eq!(go_text(number), text);
        }
    }
}
