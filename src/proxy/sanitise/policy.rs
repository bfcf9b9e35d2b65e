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
    /// Its address; `None` where it has none, because it came over a Unix socket.
    pub address: Option<IpAddr>,
    /// Its address as a field value, where it has one.
    pub text: Option<HeaderValue>,
    /// `https` where its connection is encrypted up to here, otherwise `http`.
    pub scheme: &'static str,
    /// The local port it connected to, as a field value, where there is one.
    pub port: Option<HeaderValue>,
    /// Whether its forwarding fields are believed.
    pub trusted: bool,
    /// The only host its requests may be for (RFC 9110 section 7.4); `None` where they may be for any.
    pub asked_for: Option<Box<str>>,
    /// What a request of an untrusted client says of it, as lines of a head; the same for all requests of a connection.
    pub lines: Box<str>,
}

impl Peer {
    /// Describes a client by its address, the port it connected to, and the networks that are trusted; not encrypted.
    #[must_use]
    pub fn new(remote: SocketAddr, local_port: u16, trusted: &[IpNet]) -> Self {
        Self::with_scheme("http", remote, local_port, trusted)
    }

    /// Describes a client whose connection is encrypted up to here.
    #[must_use]
    pub fn over_tls(remote: SocketAddr, local_port: u16, trusted: &[IpNet]) -> Self {
        Self::with_scheme("https", remote, local_port, trusted)
    }

    fn with_scheme(scheme: &'static str, remote: SocketAddr, local_port: u16, trusted: &[IpNet]) -> Self {
        let address = remote.ip().to_canonical();
        // Put together by hand: this is done for each connection, and formatting takes several times as long.
        let (text, port) = (address.to_string(), HeaderValue::from(local_port));
        let digits = port.to_str().unwrap_or_default();
        let lines = ["x-forwarded-for: ", &text, "\r\nx-forwarded-proto: ", scheme, "\r\nx-forwarded-port: ", digits, "\r\n"].concat();
        let text = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let trusted = trusted.iter().any(|net| net.contains(&address));
        Self { address: Some(address), text: Some(text), scheme, port: Some(port), trusted, asked_for: None, lines: lines.into() }
    }

    /// Describes a client that came over a Unix socket: it has no address, so that nothing is said of one.
    #[must_use]
    pub fn over_socket(encrypted: bool, trusted: bool) -> Self {
        let scheme = if encrypted { "https" } else { "http" };
        let lines = format!("x-forwarded-proto: {scheme}\r\n").into();
        Self { address: None, text: None, scheme, port: None, trusted, asked_for: None, lines }
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
    /// Our entry in `Via` for what came by HTTP/2.
    pub via2: HeaderValue,
}

impl Policy {
    /// Makes a policy. A pseudonym that is no token is replaced by `portcullis`.
    #[must_use]
    pub fn new(strict: bool, pseudonym: &str) -> Self {
        let pseudonym = if is_token(pseudonym) { pseudonym } else { "portcullis" };
        let entry = |version: &str| {
            HeaderValue::try_from(format!("{version} {pseudonym}")).unwrap_or_else(|_| HeaderValue::from_static("1.1 portcullis"))
        };
        Self { strict, pseudonym: pseudonym.to_owned(), via: entry("1.1"), via2: entry("2.0") }
    }

    /// Returns our entry in `Via` for a message of this version.
    #[must_use]
    pub fn via_of(&self, version: http::Version) -> &HeaderValue {
        if version == http::Version::HTTP_2 { &self.via2 } else { &self.via }
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
