//! Where a version listens, as it is configured: an address, a host name that is resolved again and again, a Unix socket, or the
//! endpoints of a Service in Kubernetes, which are watched.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::slices::{InvalidSlices, Slices};

/// What a Unix socket's path is written behind.
const UNIX: &str = "unix:";

/// Where a version listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Endpoint {
    /// An IP address and a port above 0.
    Address(SocketAddr),
    /// A host name, each of whose addresses is an endpoint, and a port above 0.
    Name {
        /// The name, in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Socket(PathBuf),
    /// The endpoints of a Service in Kubernetes.
    Slices(Slices),
}

/// Why a text is not an [`Endpoint`]; says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEndpoint(pub String);

impl Endpoint {
    /// Returns the address, where it is one.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name { .. } | Self::Socket(_) | Self::Slices(_) => None,
        }
    }

    /// Says whether it stands for addresses that others tell, and that change while it is in use.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        matches!(self, Self::Name { .. } | Self::Slices(_))
    }

    fn socket(path: &str) -> Result<Self, InvalidEndpoint> {
        // An address of a Unix socket has room for 108 bytes, the last of which is 0 (unix(7)).
        if path.is_empty() || path.len() > 107 || path.contains('\0') {
            return Err(InvalidEndpoint("write the path of the socket in at most 107 bytes, such as unix:/run/carts.sock".to_owned()));
        }
        Ok(Self::Socket(PathBuf::from(path)))
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let wrong = |hint: String| Err(InvalidEndpoint(hint));
        if let Some(path) = text.strip_prefix(UNIX) {
            return Self::socket(path);
        }
        if Slices::is_meant(text) {
            return text.parse().map(Self::Slices).map_err(|InvalidSlices(hint)| InvalidEndpoint(hint));
        }
        if let Some((_, rest)) = text.split_once("://") {
            return wrong(format!("leave out the scheme and the path: {}", rest.split('/').next().unwrap_or(rest)));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => {
                return wrong("port 0 cannot be connected to; write the port the version listens on".to_owned());
            }
            Ok(address) => return Ok(Self::Address(address)),
            Err(_) => {}
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.contains(':')) else {
            return wrong(match text.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
                Ok(ip) => format!("add the port, such as {}", SocketAddr::new(ip, 8080)),
                Err(_) if text.contains(':') => "write an IPv6 address in brackets, such as [::1]:8080".to_owned(),
                Err(_) => format!("add the port, such as {text}:8080"),
            });
        };
        let Some(port) = port.parse::<u16>().ok().filter(|number| *number > 0 && !port.starts_with('+')) else {
            return wrong(format!("{port:?} is not a port; write a number from 1 to 65535"));
        };
        if !is_host(host) {
            return wrong("write host:port, such as 127.0.0.1:8081 or carts.internal:8080".to_owned());
        }
        Ok(Self::Name { host: host.to_ascii_lowercase(), port })
    }
}

/// Says whether a text is a host name: labels of letters, digits, `-` and `_`, 63 bytes each and 253 in all.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;
    fn try_from(text: String) -> Result<Self, InvalidEndpoint> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl From<([u8; 4], u16)> for Endpoint {
    fn from(address: ([u8; 4], u16)) -> Self {
        Self::Address(address.into())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Slices(slices) => slices.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_the_same() {
        for text in [
            "127.0.0.1:8081",
            "[::1]:8081",
            "carts.internal:80",
            "unix:/run/carts.sock",
            "kubernetes:shop/carts:http?version=v2",
            "kubernetes:443",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(serde_json::from_str::<Endpoint>(&serde_json::to_string(&endpoint).unwrap()).unwrap(), endpoint);
        }
        assert_eq!("CARTS:80".parse::<Endpoint>().unwrap().to_string(), "carts:80");
    }

    #[test]
    fn what_is_none_says_how_to_mend_it() {
        let long = format!("unix:/{}", "x".repeat(107));
        for (text, hint) in [
            ("127.0.0.1", "127.0.0.1:8080"),
            ("::1", "[::1]:8080"),
            ("127.0.0.1:0", "port 0"),
            ("carts:http", "1 to 65535"),
            ("carts:0", "1 to 65535"),
            ("carts:+80", "1 to 65535"),
            ("a b:80", "host:port"),
            ("http://carts:80/x", "carts:80"),
            ("kubernetes:shop/carts:x y", "1 to 65535"),
            ("unix:", "107 bytes"),
            (long.as_str(), "107 bytes"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
