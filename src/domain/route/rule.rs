//! One rule: the requests of some hosts, below a path, that meet conditions.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::domain::endpoint::is_host;
use crate::domain::route::condition::Conditions;
use crate::domain::route::path::PathPattern;

/// Which hosts a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host.
    #[default]
    Any,
    /// This host, in lower case and without a port.
    Exact(String),
    /// The hosts with exactly one label before this name.
    Below(String),
}

/// The reason why a text is neither a host nor a wildcard such as `*.example.com`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host name")]
pub struct InvalidHost;

impl FromStr for HostPattern {
    type Err = InvalidHost;

    /// Reads a host name, an IPv6 address in brackets, or `*.` and a name.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let address = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        if let Some(address) = address {
            return Ok(Self::Exact(format!("[{address}]")));
        }
        match lower.strip_prefix("*.") {
            Some(parent) if is_host(parent) => Ok(Self::Below(parent.to_owned())),
            None if is_host(&lower) => Ok(Self::Exact(lower)),
            _ => Err(InvalidHost),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("every host"),
            Self::Exact(host) => f.write_str(host),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// One rule; without anything said it is for every request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The hosts.
    pub host: HostPattern,
    /// The paths.
    pub path: PathPattern,
    /// What else is asked.
    pub conditions: Conditions,
}

impl Rule {
    /// Makes the rule for every request to these hosts.
    #[must_use]
    pub fn for_host(host: HostPattern) -> Self {
        Self { host, path: PathPattern::everything(), conditions: Conditions::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_the_form_that_requests_are_brought_into() {
        for (text, shown) in [
            ("Carts.Example.COM", "carts.example.com"),
            ("a.test.", "a.test"),
            ("*.A.test", "*.a.test"),
            ("[0:0::1]", "[::1]"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), shown);
        }
        for text in ["", "*", "*.", "*.*.a", "a*.b", "a:80", "[::1", "::1", "a/b", "."] {
            assert_eq!(text.parse::<HostPattern>(), Err(InvalidHost), "{text}");
        }
    }
}
