//! Where the proxy listens: an address with a port, or the path of a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a Unix socket's path is written behind.
const SOCKET: &str = "unix:";
/// The longest path of a Unix socket, in bytes: its address has room for 108, the last of which is 0 (unix(7)).
pub const LONGEST_PATH: usize = 107;

/// Where the proxy listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port; 0 stands for any free one.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket, at most [`LONGEST_PATH`] bytes.
    Socket(PathBuf),
}

/// Why a text is not an [`Address`]; says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAddress(pub String);

impl Address {
    /// Returns the IP address and port, where it has them.
    #[must_use]
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Socket(_) => None,
        }
    }

    /// Returns the path, where it is a Unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Ip(_) => None,
            Self::Socket(path) => Some(path),
        }
    }

    /// Says whether a text is meant to be the path of a Unix socket.
    #[must_use]
    pub fn is_path(text: &str) -> bool {
        text.starts_with(SOCKET)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let Some(path) = text.strip_prefix(SOCKET) else {
            let wrong = |_| InvalidAddress("write an IP address with a port from 0 to 65535, such as 127.0.0.1:8080".to_owned());
            return text.parse().map(Self::Ip).map_err(wrong);
        };
        if path.len() > LONGEST_PATH {
            return Err(InvalidAddress(format!(
                "the path has {} bytes and an address has room for {LONGEST_PATH}; choose a shorter one, such as unix:/run/portcullis.sock",
                path.len()
            )));
        }
        // Whoever connects, and a successor, may have another working directory.
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            return Err(InvalidAddress("write the absolute path of the socket, such as unix:/run/portcullis.sock".to_owned()));
        }
        Ok(Self::Socket(PathBuf::from(path)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Socket(path) => write!(f, "{SOCKET}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_the_same() {
        let longest = format!("unix:/{}", "x".repeat(LONGEST_PATH - 1));
        for text in ["127.0.0.1:0", "[::]:8080", "unix:/run/x.sock", &longest] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_none_says_how_to_mend_it() {
        let long = format!("unix:/{}", "x".repeat(LONGEST_PATH));
        for (text, hint) in [
            ("8080", "127.0.0.1:8080"),
            ("unix:", "absolute path"),
            ("unix:run/x.sock", "absolute path"),
            ("unix:@abstract", "absolute path"),
            ("unix:/run/", "absolute path"),
            (long.as_str(), "108 bytes and an address has room for 107"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
