//! Where requests go: the server under test, its address, and how it is spoken to.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{Authority, InvalidUri};
use rustls::ClientConfig;

use crate::domain::transport::Protocol;
use crate::formats::jmeter_conf::{Scheme, TestUrl};

/// A server as a URL names it: scheme, host and port.
#[derive(Clone, Debug)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
    /// Host and port as a request names them, the port left out where it is the scheme's.
    authority: Authority,
    header: HeaderValue,
}

impl Origin {
    /// Returns the server of a URL.
    ///
    /// # Errors
    ///
    /// The host cannot stand in a URL.
    pub fn of(url: &TestUrl) -> Result<Self, InvalidUri> {
        Self::new(url.scheme, &url.host, url.port)
    }

    fn new(scheme: Scheme, host: &str, port: u16) -> Result<Self, InvalidUri> {
        let host = host.to_ascii_lowercase();
        let text = if port == scheme.port() { host.clone() } else { format!("{host}:{port}") };
        let authority: Authority = text.parse()?;
        let header = HeaderValue::try_from(authority.as_str()).expect("a host and a port are written in visible ASCII characters");
        Ok(Self { scheme, host, port, authority, header })
    }

    /// Returns how it is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the name or address, an IPv6 address without its brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what a request names as its `:authority`.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns what a request names as its `Host`.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        (self.scheme, self.port, &self.host) == (other.scheme, other.port, &other.host)
    }
}

impl Eq for Origin {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

/// The server under test, and how users speak to it and to those it redirects to.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) origin: Arc<Origin>,
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) elsewhere: bool,
}

impl Target {
    /// Makes a target that is reached at an address, whatever its name resolves to, and spoken to by HTTP/1.1.
    #[must_use]
    pub fn new(origin: Origin, address: SocketAddr) -> Self {
        Self { origin: Arc::new(origin), address, protocol: Protocol::Http1, tls: None, elsewhere: false }
    }

    /// Chooses the HTTP that is spoken; [`Protocol::Auto`] is HTTP/1.1 in clear, and what the server chooses over TLS.
    #[must_use]
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// Sets what TLS is begun with; its ALPN must fit the protocol, as [`super::tls::client`] makes it. Without it every request
    /// over TLS fails.
    #[must_use]
    pub fn with_tls(self, tls: Arc<ClientConfig>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Lets requests and redirects lead to other servers too, whose names are resolved; without this they fail unsent.
    #[must_use]
    pub fn and_elsewhere(self) -> Self {
        Self { elsewhere: true, ..self }
    }

    /// Returns the server under test.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl From<SocketAddr> for Target {
    /// Makes a target that is spoken to by HTTP/1.1 in clear.
    fn from(address: SocketAddr) -> Self {
        let ip = address.ip();
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let origin = Origin::new(Scheme::Http, &host, address.port()).expect("an address and a port are an authority");
        Self::new(origin, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_request_names_the_port_only_where_it_is_not_the_schemes() {
        let named = |url| origin(url).header().to_str().unwrap().to_owned();
        assert_eq!(named("http://Carts.test:80/a"), "carts.test");
        assert_eq!(named("https://carts.test:80/"), "carts.test:80");
        assert_eq!(named("https://[::1]/"), "[::1]");
        assert_eq!((origin("http://[::1]:8080/").name(), origin("http://[::1]:8080/").port()), ("::1", 8080));
    }

    #[test]
    fn origins_are_the_same_by_scheme_host_and_port() {
        assert_eq!(origin("http://a.test/x"), origin("http://A.test:80/y"));
        assert_ne!(origin("http://a.test/"), origin("https://a.test/"));
        assert_ne!(origin("http://a.test/"), origin("http://a.test:81/"));
        assert_eq!(origin("https://a.test/").to_string(), "https://a.test:443");
    }

    #[test]
    fn an_address_is_a_target() {
        let target = Target::from("[::1]:8080".parse::<SocketAddr>().unwrap());
        assert_eq!(target.origin().header(), "[::1]:8080");
        assert_eq!(Target::from("127.0.0.1:9".parse::<SocketAddr>().unwrap()).origin().to_string(), "http://127.0.0.1:9");
    }
}
