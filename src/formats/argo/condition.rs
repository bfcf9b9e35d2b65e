//! Reads the conditions of a metric: comparisons of its result with numbers, such as `result[0] >= 0.95`.
//!
//! It knows the part of Argo's expression language that says which values are good; anything else is refused.

use crate::domain::gate::slo::criterion::Operator;

/// How a condition may look, for error messages.
pub const EXAMPLES: &str = "write comparisons of the result with numbers, such as 'result[0] >= 0.95' or 'result[0] < 0.5'";

/// What stands for the result.
const RESULTS: [&str; 6] = ["result", "result[0]", "asFloat(result)", "asFloat(result[0])", "asInt(result)", "asInt(result[0])"];

/// The comparisons that a good result keeps to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Good {
    /// All of them must hold.
    pub comparisons: Vec<(Operator, f64)>,
    /// The condition also says what holds when there is no value; that is left out.
    pub without_value: bool,
}

/// Reads a `successCondition`: good is what fulfils it.
///
/// # Errors
///
/// Returns what cannot be understood, one sentence without a full stop.
pub fn success(text: &str) -> Result<Good, String> {
    let mut good = Good::default();
    let mut found: Option<Vec<(Operator, f64)>> = None;
    for alternative in parts(text, "||")? {
        let mut comparisons = Vec::new();
        for term in parts(alternative, "&&")? {
            match comparison(term)? {
                Some(comparison) => comparisons.push(comparison),
                None => good.without_value = true,
            }
        }
        if comparisons.is_empty() {
            continue;
        }
        if found.replace(comparisons).is_some() {
            return Err("it offers a choice of limits, which no gate has".to_owned());
        }
    }
    good.comparisons = found.unwrap_or_default();
    checked(good)
}

/// Reads a `failureCondition`: good is what does not fulfil it.
///
/// # Errors
///
/// Returns what cannot be understood, one sentence without a full stop.
pub fn failure(text: &str) -> Result<Good, String> {
    let mut good = Good::default();
    for alternative in parts(text, "||")? {
        let mut comparisons = Vec::new();
        for term in parts(alternative, "&&")? {
            match comparison(term)? {
                Some((operator, value)) => comparisons.push((negated(operator)?, value)),
                None => good.without_value = true,
            }
        }
        if comparisons.len() > 1 {
            return Err("it fails only where several comparisons hold together, which no gate does".to_owned());
        }
        good.comparisons.extend(comparisons);
    }
    checked(good)
}

fn checked(good: Good) -> Result<Good, String> {
    if good.comparisons.is_empty() {
        return Err("it compares no value with a number".to_owned());
    }
    let least = good.comparisons.iter().filter(|(operator, _)| matches!(operator, Operator::AtLeast | Operator::Above));
    let least = least.map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let most = good.comparisons.iter().filter(|(operator, _)| matches!(operator, Operator::AtMost | Operator::Below));
    let most = most.map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    if least > most {
        return Err(format!("it contradicts itself: no value is above {least} and below {most}"));
    }
    Ok(good)
}

/// Splits at an operator outside brackets and removes brackets around each part.
fn parts<'t>(text: &'t str, separator: &str) -> Result<Vec<&'t str>, String> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_i64, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ if depth == 0 && at >= from && text.get(at..).is_some_and(|rest| rest.starts_with(separator)) => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + separator.len();
            }
            _ => {}
        }
        if depth < 0 {
            return Err("a bracket is closed that was not opened".to_owned());
        }
    }
    if depth != 0 {
        return Err("a bracket is not closed".to_owned());
    }
    parts.push(text.get(from..).unwrap_or_default());
    Ok(parts.into_iter().map(unbracketed).collect())
}

/// Removes blanks and brackets around the whole of a text.
fn unbracketed(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let mut depth = 0_i64;
        let balanced = inner.chars().all(|c| {
            depth += i64::from(c == '(') - i64::from(c == ')');
            depth >= 0
        });
        if !balanced || depth != 0 {
            break;
        }
        text = inner.trim();
    }
    text
}

/// Reads one comparison; `None` for one that only asks whether there is a value.
fn comparison(term: &str) -> Result<Option<(Operator, f64)>, String> {
    let packed: String = term.chars().filter(|c| !c.is_whitespace()).collect();
    let bare = packed.trim_start_matches(['!', '(']);
    if ["isNaN(", "isInf(", "isNil(", "len("].iter().any(|function| bare.starts_with(function)) {
        return Ok(None);
    }
    let shown: String = term.chars().take(60).collect();
    let start = packed.find(['<', '>', '=', '!']).ok_or_else(|| format!("'{shown}' is no comparison"))?;
    let (left, rest) = packed.split_at(start);
    let end = rest.find(|c| !"<>=!".contains(c)).unwrap_or(rest.len());
    let (sign, right) = rest.split_at(end);
    let operator = match sign {
        "==" => Operator::Equal,
        "=" | "!=" => return Err(format!("'{sign}' says nothing about the limits of a value")),
        _ => Operator::from_sign(sign).ok_or_else(|| format!("'{sign}' is no comparison"))?,
    };
    let is_result = |text: &str| RESULTS.contains(&default_of(text));
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (is_result(left), is_result(right)) {
        (true, false) => number(right).map(|value| Some((operator, value))).ok_or_else(|| format!("'{right}' is not a finite number")),
        (false, true) => {
            let value = number(left).ok_or_else(|| format!("'{left}' is not a finite number"))?;
            Ok(Some((mirrored(operator), value)))
        }
        _ => Err(format!("'{shown}' does not compare the result with a number")),
    }
}

/// Returns what `default(result, 0)` stands for.
fn default_of(text: &str) -> &str {
    let inner = text.strip_prefix("default(").and_then(|rest| rest.strip_suffix(')'));
    inner.and_then(|inner| inner.rsplit_once(',')).map_or(text, |(result, _)| result)
}

const fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::AtMost => Operator::AtLeast,
        Operator::Below => Operator::Above,
        Operator::Equal => Operator::Equal,
        Operator::AtLeast => Operator::AtMost,
        Operator::Above => Operator::Below,
    }
}

fn negated(operator: Operator) -> Result<Operator, String> {
    match operator {
        Operator::AtMost => Ok(Operator::Above),
        Operator::Below => Ok(Operator::AtLeast),
        Operator::AtLeast => Ok(Operator::Below),
        Operator::Above => Ok(Operator::AtMost),
        Operator::Equal => Err("to fail at exactly one value sets no limit".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_of_the_result_are_read() {
        for (text, wanted) in [
            ("result[0] >= 0.95", vec![(Operator::AtLeast, 0.95)]),
            ("result < 0.5", vec![(Operator::Below, 0.5)]),
            ("0.95 <= asFloat(result[0])", vec![(Operator::AtLeast, 0.95)]),
            ("(result[0] > 0.9) && (result[0] <= 1)", vec![(Operator::Above, 0.9), (Operator::AtMost, 1.0)]),
            ("len(result) == 0 || result[0] >= 0.95", vec![(Operator::AtLeast, 0.95)]),
            ("isNaN(result[0]) || result[0] >= 0.95", vec![(Operator::AtLeast, 0.95)]),
            ("!isNaN(result) && default(result, 0) < 5", vec![(Operator::Below, 5.0)]),
            ("result == 0", vec![(Operator::Equal, 0.0)]),
        ] {
            assert_eq!(success(text).unwrap().comparisons, wanted, "{text}");
        }
        assert!(success("len(result) == 0 || result[0] >= 0.95").unwrap().without_value);
        for (text, wanted) in [
            ("result[0] < 0.95", vec![(Operator::AtLeast, 0.95)]),
            ("result[0] >= 0.5 || result[0] < 0", vec![(Operator::Below, 0.5), (Operator::AtLeast, 0.0)]),
            ("isNaN(result[0]) || result[0] > 1", vec![(Operator::AtMost, 1.0)]),
        ] {
            assert_eq!(failure(text).unwrap().comparisons, wanted, "{text}");
        }
    }

    #[test]
    fn what_says_no_limit_is_refused() {
        for (text, part) in [
            ("", "no comparison"),
            ("true", "no comparison"),
            ("result", "no comparison"),
            ("result[0] >= NaN", "not a finite number"),
            ("result[0] >= 1e999", "not a finite number"),
            ("result[0] >= args.limit", "not a finite number"),
            ("result[1] >= 0.9", "does not compare the result"),
            ("all(result, # < 0.5)", "does not compare the result"),
            ("result[0] != 0", "says nothing"),
            ("result[0] => 0", "no comparison"),
            ("result[0] < 1 || result[0] > 5", "choice"),
            ("result[0] > 5 && result[0] < 1", "contradicts itself"),
            ("len(result) > 0", "compares no value"),
            ("(result[0] > 5", "not closed"),
            ("result[0]) > 5", "not opened"),
        ] {
            let error = success(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(failure("result[0] > 5 && result[0] < 9").unwrap_err().contains("together"));
        assert!(failure("result[0] == 5").unwrap_err().contains("sets no limit"));
    }
}
