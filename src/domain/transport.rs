//! How a version is spoken to: which HTTP, and whether it is encrypted and with what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a version is spoken to; by default HTTP/1.1 in clear text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transport {
    /// Which HTTP.
    #[serde(default, skip_serializing_if = "Protocol::is_auto")]
    pub protocol: Protocol,
    /// With what it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Transport {
    /// Says whether it is the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Says whether it is HTTP/1.1 in clear text.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.protocol != Protocol::Http2
    }

    /// Says whether a connection may carry many requests at once.
    #[must_use]
    pub const fn may_multiplex(&self) -> bool {
        match self.protocol {
            Protocol::Auto => self.tls.is_some(),
            Protocol::Http1 => false,
            Protocol::Http2 => true,
        }
    }
}

/// Which HTTP a version speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 in clear text; over TLS what it chooses of HTTP/2 and HTTP/1.1 (ALPN, RFC 7301).
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text with prior knowledge (RFC 9113 section 3.3).
    Http2,
}

impl Protocol {
    /// Every protocol by its name in a configuration.
    pub const NAMED: [(&'static str, Self); 3] = [("auto", Self::Auto), ("http1", Self::Http1), ("http2", Self::Http2)];

    const fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }
}

/// What a version's connections are encrypted with. There is no way to leave its certificate unverified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tls {
    /// The file with the authorities that may vouch for the version (PEM); `None` for those the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name its certificate must be for, and that is asked for; `None` for the address connected to. It never comes from a
    /// request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What we show of ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Files with the lists of certificates that the authorities have revoked (PEM); without one nothing is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl: Vec<PathBuf>,
}

/// A certificate of ours and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The file with the certificate, and after it those that lead to an authority (PEM).
    pub chain: PathBuf,
    /// The file with the private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_default_is_nothing() {
        assert_eq!(serde_json::to_string(&Transport::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Transport>("{}").unwrap(), Transport::default());
        let certificate = Certificate { chain: "c".into(), key: "k".into() };
        let tls =
            Tls { ca: Some("ca.pem".into()), name: Some("a.test".to_owned()), certificate: Some(certificate), crl: vec!["crl.pem".into()] };
        for protocol in Protocol::NAMED.map(|(_, protocol)| protocol) {
            let transport = Transport { protocol, tls: Some(tls.clone()) };
            assert_eq!(serde_json::from_str::<Transport>(&serde_json::to_string(&transport).unwrap()).unwrap(), transport);
        }
    }

    #[test]
    fn many_requests_at_once_need_http2() {
        let may = |protocol, tls| Transport { protocol, tls }.may_multiplex();
        assert!(!may(Protocol::Auto, None) && may(Protocol::Auto, Some(Tls::default())));
        assert!(!may(Protocol::Http1, Some(Tls::default())) && may(Protocol::Http2, None));
    }
}
