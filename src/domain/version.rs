//! A deployable build of a service: its name and where it listens.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::endpoint::Endpoint;
use crate::domain::transport::Transport;
use crate::domain::upkeep::Upkeep;

/// The name of a version or service: 1 to 63 letters, digits, `.`, `-` or `_`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The reason why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: use 1 to 63 letters, digits, '.', '-' or '_', beginning with a letter or digit")]
pub struct InvalidName(String);

impl Name {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if first && text.len() <= 63 && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A deployable build of a service with its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// What people call it, for example `0.8.2`.
    pub name: Name,
    /// Where it listens; never empty for a version that may get traffic.
    pub endpoints: Vec<Endpoint>,
    /// How its endpoints are kept up.
    #[serde(default, skip_serializing_if = "Upkeep::is_default")]
    pub upkeep: Upkeep,
    /// How it is spoken to.
    #[serde(default, skip_serializing_if = "Transport::is_default")]
    pub transport: Transport,
}

impl Version {
    /// Makes a version that is reached in the usual way.
    #[must_use]
    pub fn new(name: Name, endpoints: Vec<Endpoint>) -> Self {
        Self { name, endpoints, upkeep: Upkeep::default(), transport: Transport::default() }
    }

    /// Makes a version that listens at these addresses.
    pub fn at(name: Name, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::new(name, addresses.into_iter().map(Endpoint::Address).collect())
    }

    /// Says whether something is to be done about its endpoints again and again: a name to be resolved, or all to be checked.
    #[must_use]
    pub fn needs_care(&self) -> bool {
        self.upkeep.health.is_some() || self.endpoints.iter().any(|endpoint| matches!(endpoint, Endpoint::Name { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for good in ["v1", "0.8.2", "carts_v2", "a", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "../x", "ü", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
