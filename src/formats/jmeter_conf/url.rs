//! The URL under test: which of an event's two counts, and its parts. It dials nothing.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// Returns `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the port where none is written.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestUrl {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// The name or address, an IPv6 address in brackets.
    pub host: String,
    /// The port as written, or the one of the scheme.
    pub port: u16,
    /// Whether the port is written.
    written_port: bool,
    /// The path with its query, `/` where there is none.
    pub path: String,
}

impl TestUrl {
    /// Says whether the port is written, rather than that of the scheme.
    #[must_use]
    pub const fn names_port(&self) -> bool {
        self.written_port
    }
}

impl FromStr for TestUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let refuse = |why: &'static str| UrlError { url: text.chars().take(200).collect(), why };
        let uri: Uri = text.parse().map_err(|_| refuse("it is no URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) => return Err(refuse("its scheme is neither http nor https")),
            None => return Err(refuse("it has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it has a user before the host"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(refuse("it has no host"));
        }
        let behind = authority.as_str().strip_prefix(host).unwrap_or_default();
        let port = match behind.strip_prefix(':') {
            None => None,
            Some(port) => {
                Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| refuse("its port is no number from 1 to 65535"))?)
            }
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, host: host.to_owned(), port: port.unwrap_or(scheme.port()), written_port: port.is_some(), path })
    }
}

impl fmt::Display for TestUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.written_port {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

/// Why a text is no URL that can be tested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} cannot be tested: {why}; write http://host[:port]/path or https://…")]
pub struct UrlError {
    /// The text.
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Returns the URL under test of a deployment: the local one, else the public one.
///
/// # Errors
///
/// Fails when there is neither, or the one that counts is no URL of HTTP.
pub fn service_url(local: Option<&str>, public: Option<&str>) -> Result<TestUrl, UrlError> {
    let given = |url: &&str| !url.is_empty();
    match local.filter(given).or(public.filter(given)) {
        Some(url) => url.parse(),
        None => Err(UrlError { url: String::new(), why: "the deployment has neither a local nor a public URL" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_of_http_is_refused_with_the_reason() {
        for (url, why) in [
            ("", "no URL"),
            ("carts.test", "no scheme"),
            ("ftp://carts.test/", "neither http nor https"),
            ("http://", "no URL"),
            ("http://u:p@carts.test/", "user"),
            ("http://carts.test:0/", "port"),
            ("http://carts.test:70000/", "port"),
            ("http://carts.test:/", "port"),
            ("http://a b/", "no URL"),
        ] {
            let error = url.parse::<TestUrl>().unwrap_err();
            assert!(error.to_string().contains(why), "{url:?}: {error}");
        }
        assert!(service_url(None, Some("")).unwrap_err().to_string().contains("neither a local nor a public"));
    }

    #[test]
    fn a_url_is_written_as_it_was_read() {
        for url in ["http://[::1]:8080/a?b=c", "https://carts.test/", "http://1.2.3.4:80/x"] {
            assert_eq!(url.parse::<TestUrl>().unwrap().to_string(), url);
            assert_eq!(url.parse::<TestUrl>().unwrap().names_port(), url != "https://carts.test/");
        }
        assert_eq!("http://h?a=1".parse::<TestUrl>().unwrap().path, "/?a=1");
    }
}
