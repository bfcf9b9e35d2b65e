//! The quantities of a scenario file, each checked where it is read, so that an error names its line.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The longest time a scenario may name: about three years of virtual time.
const LONGEST: Duration = Duration::from_secs(100_000_000);

/// A time from 0 on, written like `250ms`, `1.5s` or `30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Span(pub Duration);

impl Span {
    /// Returns the time in seconds.
    #[must_use]
    pub fn secs(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a time; write a number with a unit, such as \"250ms\", \"1.5s\" or \"30m\"");
        let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        match Duration::try_from(parsed) {
            Ok(time) if time <= LONGEST => Ok(Self(time)),
            Ok(_) => Err(format!("'{text}' is longer than the longest time of a scenario, 100,000,000 s")),
            Err(_) => Err(format!("'{text}' is below 0; write a time from 0s on")),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|Text(span)| span)
    }
}

/// A value that is written as a text with a grammar of its own, such as a gate or a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Text<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Reader<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// A share from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

/// A finite number above 0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Above(pub f64);

/// A whole number from 1 to a billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub usize);

fn number<'de, D: Deserializer<'de>>(deserializer: D, good: fn(f64) -> bool, wanted: &'static str) -> Result<f64, D::Error> {
    struct Reader(fn(f64) -> bool, &'static str);
    impl Visitor<'_> for Reader {
        type Value = f64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.1)
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            if (self.0)(value) { Ok(value) } else { Err(E::custom(format!("{value} is not {}", self.1))) }
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
            self.visit_f64(value as f64)
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
            self.visit_f64(value as f64)
        }
    }
    deserializer.deserialize_any(Reader(good, wanted))
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, |x| (0.0..=1.0).contains(&x), "a share from 0 to 1").map(Self)
    }
}

impl<'de> Deserialize<'de> for Above {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, |x| x > 0.0 && x <= 1e9, "a number above 0 and at most a billion").map(Self)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = number(deserializer, |x| x.fract() == 0.0 && (1.0..=1e9).contains(&x), "a whole number from 1 to a billion")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and between 1 and a billion")]
        let whole = value as usize;
        Ok(Self(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_nothing_else() {
        assert_eq!("1.5s".parse(), Ok(Span(Duration::from_millis(1_500))));
        for (text, part) in [("5", "unit"), ("-1s", "below 0"), ("", "unit"), ("9999999h", "longest"), ("soon", "unit")] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
