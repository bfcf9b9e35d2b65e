//! Who the client is, what the operator allows, and what a refusal says.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;
use ipnet::IpNet;

use crate::proxy::sanitise::fields::is_token;

/// What the client's bytes showed that the parsed head no longer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireNotes {
    /// The request target had a fragment.
    pub fragment: bool,
    /// A line of the head ended in LF without CR.
    pub bare_lf: bool,
    /// The head had both Content-Length and Transfer-Encoding.
    pub two_framings: bool,
    /// The chunked body behind the head is malformed, as far as it came along.
    pub malformed: bool,
}

/// The client of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Its address as a field value.
    pub text: HeaderValue,
    /// The local port it connected to, as a field value.
    pub port: HeaderValue,
    /// Whether its forwarding fields are believed.
    pub trusted: bool,
    /// What a request of an untrusted client says of it, as lines of a head; the same for all requests of a connection.
    pub lines: Box<str>,
}

impl Peer {
    /// Describes a client by its address, ours, and the networks that are trusted.
    #[must_use]
    pub fn new(remote: SocketAddr, local_port: u16, trusted: &[IpNet]) -> Self {
        let address = remote.ip().to_canonical();
        let text = HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let lines = format!("x-forwarded-for: {address}\r\nx-forwarded-proto: http\r\nx-forwarded-port: {local_port}\r\n");
        let trusted = trusted.iter().any(|net| net.contains(&address));
        Self { address, text, port: HeaderValue::from(local_port), trusted, lines: lines.into() }
    }
}

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether bare LF, and Content-Length together with Transfer-Encoding, are refused.
    pub strict: bool,
    /// Our name, without version.
    pub pseudonym: String,
    /// Our entry in `Via`, such as `1.1 portcullis-1f2e`.
    pub via: HeaderValue,
}

impl Policy {
    /// Makes a policy. A pseudonym that is no token is replaced by `portcullis`.
    #[must_use]
    pub fn new(strict: bool, pseudonym: &str) -> Self {
        let pseudonym = if is_token(pseudonym) { pseudonym } else { "portcullis" };
        let via = HeaderValue::try_from(format!("1.1 {pseudonym}")).unwrap_or_else(|_| HeaderValue::from_static("1.1 portcullis"));
        Self { strict, pseudonym: pseudonym.to_owned(), via }
    }
}

/// A request that is answered here and not passed on. Unless the status is 200, the client is to blame; no version is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// Why, for the answer and the log.
    pub reason: &'static str,
}

pub(super) const fn refuse<T>(status: u16, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, reason })
}
