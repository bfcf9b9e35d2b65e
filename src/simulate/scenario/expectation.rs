//! What a scenario says must come of it, so that a published figure is checked whenever the scenario runs.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::simulate::scenario::values::{Ratio, Span};

/// How many of the runs must end in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Exactly so many; the text "all" means every run.
    pub exactly: Option<Exactly>,
    /// At most so many.
    pub at_most: Option<u64>,
    /// At least so many.
    pub at_least: Option<u64>,
    /// No more than a true share of this leaves open: at most the 99.9 % point of the binomial distribution.
    pub share_at_most: Option<f64>,
}

/// An exact number of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactly {
    /// Every run.
    All,
    /// So many.
    Runs(u64),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TallyTable {
    at_most: Option<u64>,
    at_least: Option<u64>,
    share_at_most: Option<Ratio>,
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Tally;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of runs, \"all\", or a table with at_most, at_least or share_at_most")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tally, E> {
                let runs = u64::try_from(value).map_err(|_| E::custom(format!("{value} is no number of runs")))?;
                Ok(Tally { exactly: Some(Exactly::Runs(runs)), ..Tally::default() })
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tally, E> {
                Ok(Tally { exactly: Some(Exactly::Runs(value)), ..Tally::default() })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tally, E> {
                match text {
                    "all" => Ok(Tally { exactly: Some(Exactly::All), ..Tally::default() }),
                    _ => Err(E::custom(format!("'{text}' is no number of runs; write a number or \"all\""))),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Tally, A::Error> {
                let table = TallyTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let share_at_most = table.share_at_most.map(|Ratio(share)| share);
                Ok(Tally { exactly: None, at_most: table.at_most, at_least: table.at_least, share_at_most })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A number of seconds or of requests, written as a time or a number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Quantity(pub f64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a time such as \"7.9s\"")
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Quantity, E> {
                if value.is_finite() && value >= 0.0 { Ok(Quantity(value)) } else { Err(E::custom(format!("{value} is not from 0 on"))) }
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
                self.visit_f64(value as f64)
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantity, E> {
                self.visit_f64(value as f64)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse::<Span>().map(|span| Quantity(span.secs())).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What a figure must be over the runs that have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The median must be this, give or take `within`.
    pub median: Option<Quantity>,
    /// The mean must be this, give or take `within`.
    pub mean: Option<Quantity>,
    /// The share by which the median or mean may be off, 0.1 without it.
    pub within: Option<Ratio>,
    /// The median must be at most this.
    pub median_at_most: Option<Quantity>,
    /// Every run must have exactly this.
    pub every: Option<Quantity>,
    /// No run may have more.
    pub at_most: Option<Quantity>,
}

/// What must come of a scenario, or of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Runs that end rolled back.
    pub rolled_back: Option<Tally>,
    /// Runs in which the share was taken back, for good or for a while.
    pub braked: Option<Tally>,
    /// Runs that end promoted.
    pub promoted: Option<Tally>,
    /// Runs that end aborted.
    pub aborted: Option<Tally>,
    /// Runs that wait for an operator.
    pub paused: Option<Tally>,
    /// Runs that wait for somebody to approve.
    pub awaiting_approval: Option<Tally>,
    /// Runs whose share goes back in steps.
    pub receding: Option<Tally>,
    /// Runs that go on.
    pub progressing: Option<Tally>,
    /// From the moment the canary went bad until its share was taken back.
    pub delay: Option<Figure>,
    /// From the moment the canary went bad until it was rolled back for good.
    pub confirmed: Option<Figure>,
    /// Bad requests the canary got until its share was taken back, those in flight included.
    pub harmed: Option<Figure>,
    /// Canary requests from when it went bad until its share was taken back.
    pub requests: Option<Figure>,
    /// Breaches counted when the share was taken back.
    pub breaches: Option<Figure>,
    /// Requests of the stable version that came late or failed since the share first went down.
    pub late: Option<Figure>,
    /// Requests that were refused because the stable version held as much as it could take.
    pub shed: Option<Figure>,
    /// From the beginning until the canary first got everything.
    pub full: Option<Figure>,
    /// From the beginning to the promotion.
    pub promotion: Option<Figure>,
}
