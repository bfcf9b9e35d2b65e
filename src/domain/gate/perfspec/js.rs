//! A value as the original's language sees it, with the conversions and comparisons the original relies on.
//!
//! JSON knows neither `undefined` nor numbers that are not finite; the original meets both. Rules: ECMA-262, sections
//! 7.1 (type conversion) and 7.2 (testing and comparison).

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

/// A value of the original's language, as far as JSON text and arithmetic can make one.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Js {
    /// A key that is not there.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, perhaps NaN or infinite.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Js>),
    /// An object, its keys in the order of their first appearance.
    Object(Vec<(String, Js)>),
}

impl Js {
    /// Returns the property `key`: `undefined` where there is none.
    ///
    /// # Errors
    ///
    /// Returns the original's TypeError for `undefined` and `null`, which have no properties.
    pub fn get(&self, key: &str) -> Result<&Self, String> {
        const UNDEFINED: &Js = &Js::Undefined;
        match self {
            Self::Undefined | Self::Null => Err(format!("Cannot read property '{key}' of {}", self.to_text())),
            Self::Object(entries) => Ok(entries.iter().rev().find(|(name, _)| name == key).map_or(UNDEFINED, |(_, value)| value)),
            _ => Ok(UNDEFINED),
        }
    }

    /// Says whether the value counts as true in a condition.
    #[must_use]
    pub fn truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(b) => *b,
            Self::Number(n) => *n != 0.0 && !n.is_nan(),
            Self::Text(t) => !t.is_empty(),
            Self::List(_) | Self::Object(_) => true,
        }
    }

    /// Converts to a number, NaN where that is impossible.
    #[must_use]
    pub fn to_number(&self) -> f64 {
        match self {
            Self::Undefined => f64::NAN,
            Self::Null => 0.0,
            Self::Bool(b) => f64::from(u8::from(*b)),
            Self::Number(n) => *n,
            Self::Text(t) => number_from_text(t),
            Self::List(_) | Self::Object(_) => number_from_text(&self.to_text()),
        }
    }

    /// Converts to text.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Undefined => "undefined".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Bool(b) => b.to_string(),
            Self::Number(n) => number_to_text(*n),
            Self::Text(t) => t.clone(),
            Self::List(items) => {
                let texts: Vec<String> = items
                    .iter()
                    .map(|item| if matches!(item, Self::Undefined | Self::Null) { String::new() } else { item.to_text() })
                    .collect();
                texts.join(",")
            }
            Self::Object(_) => "[object Object]".to_owned(),
        }
    }

    /// Returns `self + other`: text when either side is one, a number otherwise.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let textual = |v: &Self| matches!(v, Self::Text(_) | Self::List(_) | Self::Object(_));
        if textual(self) || textual(other) {
            Self::Text(self.to_text() + &other.to_text())
        } else {
            Self::Number(self.to_number() + other.to_number())
        }
    }

    /// Returns `self / 2`.
    #[must_use]
    pub fn halved(&self) -> Self {
        Self::Number(self.to_number() / 2.0)
    }

    /// Compares as `<`, `<=` and `>=` do: two texts letter by letter (by UTF-16 units), anything else as numbers; `None`
    /// when either is not a number, so that every comparison is false.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let primitive = |v: &Self| match v {
            Self::List(_) | Self::Object(_) => Self::Text(v.to_text()),
            other => other.clone(),
        };
        match (primitive(self), primitive(other)) {
            (Self::Text(a), Self::Text(b)) => Some(a.encode_utf16().cmp(b.encode_utf16())),
            (a, b) => a.to_number().partial_cmp(&b.to_number()),
        }
    }

    /// Says whether `self <= other`.
    #[must_use]
    pub fn at_most(&self, other: &Self) -> bool {
        self.compare(other).is_some_and(Ordering::is_le)
    }

    /// Says whether `self >= other`.
    #[must_use]
    pub fn at_least(&self, other: &Self) -> bool {
        self.compare(other).is_some_and(Ordering::is_ge)
    }

    /// Says whether `self < other`.
    #[must_use]
    pub fn below(&self, other: &Self) -> bool {
        self.compare(other).is_some_and(Ordering::is_lt)
    }
}

/// Writes what `JSON.stringify` writes: numbers that are not finite become `null`, `undefined` becomes `null` in a list
/// and vanishes from an object, keys that are array indices come first, whole numbers have no fraction.
impl Serialize for Js {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Undefined | Self::Null => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Number(n) => serialize_number(*n, serializer),
            Self::Text(t) => serializer.serialize_str(t),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(entries) => {
                let mut kept: Vec<_> = entries.iter().filter(|(_, value)| *value != Self::Undefined).collect();
                kept.sort_by_key(|(name, _)| array_index(name).map_or(u64::MAX, u64::from));
                serializer.collect_map(kept.into_iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

fn serialize_number<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    if !number.is_finite() {
        serializer.serialize_unit()
    } else if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53, so the conversion is exact")]
        serializer.serialize_i64(number as i64)
    } else {
        serializer.serialize_f64(number)
    }
}

/// Returns the array index a property name stands for: such names come first in the original's maps, in numeric order.
#[must_use]
pub fn array_index(name: &str) -> Option<u32> {
    let index: u32 = name.parse().ok().filter(|index| *index < u32::MAX)?;
    (index.to_string() == name).then_some(index)
}

/// Number::toString of ECMA-262, section 6.1.6.1.20.
fn number_to_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let size = number.abs();
    if (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if size < 1.0 { text } else { text.replacen('e', "e+", 1) }
}

/// StringToNumber of ECMA-262, section 7.1.4.1.1.
fn number_from_text(text: &str) -> f64 {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        return 0.0;
    }
    for (prefixes, radix) in [(["0x", "0X"], 16), (["0o", "0O"], 8), (["0b", "0B"], 2)] {
        if let Some(digits) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            return digits_in_radix(digits, radix);
        }
    }
    match text {
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

fn digits_in_radix(digits: &str, radix: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    digits
        .chars()
        .map(|c| c.to_digit(radix))
        .try_fold(0.0, |sum, digit| Some(sum * f64::from(radix) + f64::from(digit?)))
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> Js {
        Js::Text(t.to_owned())
    }

    #[test]
    fn text_becomes_a_number_by_the_languages_rules() {
        for (input, number) in [
            ("", 0.0),
            (" \n", 0.0),
            (" 1.50 ", 1.5),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x1F", 31.0),
            ("0b101", 5.0),
            ("0o17", 15.0),
            ("+Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(text(input).to_number(), number, "{input:?}");
        }
        for input in ["NaN", "inf", "infinity", "+Inf", "1 2", "1_000", "0x", "-0x1", "e5", ".", "١"] {
            assert!(text(input).to_number().is_nan(), "{input:?}");
        }
    }

    #[test]
    fn numbers_become_text_as_in_the_language() {
        for (number, expected) in [
            (100.0, "100"),
            (0.8, "0.8"),
            (-0.0, "0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(Js::Number(number).to_text(), expected);
        }
    }

    #[test]
    fn comparison_is_by_letters_for_two_texts_and_by_value_otherwise() {
        assert!(!text("10").at_least(&text("9")));
        assert!(text("10").at_least(&Js::Number(9.0)));
        assert!(Js::Null.at_most(&Js::Number(0.0)));
        assert!(!Js::Undefined.at_most(&Js::Number(0.0)));
        assert!(!text("NaN").at_least(&Js::Number(0.0)) && !text("NaN").at_most(&Js::Number(0.0)));
        assert!(Js::List(vec![Js::Number(7.0)]).at_least(&Js::Number(7.0)));
        assert!(Js::Bool(true).at_least(&Js::Number(1.0)));
    }

    #[test]
    fn plus_concatenates_as_soon_as_one_side_is_text() {
        assert_eq!(Js::Number(0.0).plus(&text("100")), text("0100"));
        assert!(matches!(Js::Number(0.0).plus(&Js::Undefined), Js::Number(n) if n.is_nan()));
        assert_eq!(Js::Number(1.0).plus(&Js::Null), Js::Number(1.0));
    }

    #[test]
    fn json_is_written_as_the_language_writes_it() {
        let object = Js::Object(vec![
            ("b".into(), Js::Number(f64::NAN)),
            ("a".into(), Js::Undefined),
            ("10".into(), Js::Number(1_000_000.0)),
            ("9".into(), Js::List(vec![Js::Undefined, Js::Number(7.5)])),
        ]);
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"9":[null,7.5],"10":1000000,"b":null}"#);
    }

    #[test]
    fn only_canonical_integers_are_array_indices() {
        assert_eq!(array_index("0"), Some(0));
        assert_eq!(array_index("4294967294"), Some(u32::MAX - 1));
        for name in ["4294967295", "01", "+1", "-1", "1.0", "", " 1"] {
            assert_eq!(array_index(name), None, "{name:?}");
        }
    }
}
