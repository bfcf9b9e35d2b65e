//! Where a source is, how it is let in, and one question to it: bounded in time and size, no redirection followed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::domain::transport::{Protocol, Tls};
use crate::formats::problem::Problem;
use crate::formats::tls;
use crate::sources::credential::Credential;
use crate::sources::exchange::{self, Secure};
use crate::sources::trouble::Trouble;

/// The bounds on one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it may take with all its attempts.
    pub within: Duration,
    /// The longest answer, in bytes.
    pub most: usize,
    /// How often it is asked when there is no connection, or an answer of 429, 502, 503 or 504; at least 1.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles with each.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { within: Duration::from_secs(10), most: 1 << 20, attempts: 3, pause: Duration::from_millis(200) }
    }
}

/// Why a text is no place of a source.
#[derive(Debug, thiserror::Error)]
pub enum NoEndpoint {
    /// It is no URL that can be asked.
    #[error("{url:?} is no URL of a source: {why}\n  hint: write it as http://host:9090 or https://host")]
    Url {
        /// The text.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// What it is let in with would be sent for everybody to read.
    #[error("{0} is in clear text, and the token would be sent for everybody to read\n  hint: write https://")]
    ClearText(String),
    /// TLS cannot be spoken.
    #[error("{0}")]
    Tls(Box<Problem>),
}

/// Where a source is, and how it is let in.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    authority: String,
    /// What stands before every path, without a slash at its end.
    base: String,
    shown: String,
    secure: Option<Secure>,
    credential: Option<Credential>,
    limits: Limits,
}

/// One question.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: String,
    /// What follows the question mark, encoded; may be empty.
    pub(super) query: String,
    pub(super) body: Option<String>,
    /// The kinds of answers that are taken; JSON where none is named.
    pub(super) accept: Option<&'static str>,
    /// What lets us in, in place of the endpoint's own.
    pub(super) bearer: Option<HeaderValue>,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// How the source wants to be shown who asks.
    pub(super) challenge: Option<String>,
}

impl Endpoint {
    /// Reads a URL: http or https, a host, perhaps a port and a path before every path of the source. `ca` names the file
    /// with the authorities that may vouch for it; without it those count that the system trusts.
    ///
    /// # Errors
    ///
    /// Fails for any other text, a user or a query in it among them, and when TLS cannot be spoken.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, NoEndpoint> {
        let wrong = |why| NoEndpoint::Url { url: url.chars().take(200).collect(), why };
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let encrypted = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(wrong("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            // Not even this error may show a password.
            return Err(NoEndpoint::Url { url: "…@…".to_owned(), why: "it has a user in it; credentials are read from a file" });
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(wrong("it has a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let behind = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match behind.strip_prefix(':') {
            None => Some(if encrypted { 443 } else { 80 }),
            Some(digits) => digits.parse().ok().filter(|port| *port != 0),
        };
        let Some(port) = port.filter(|_| !host.is_empty()) else {
            return Err(wrong("it has no host, or no port that can be connected to"));
        };
        let secure = if encrypted {
            Some(speak_tls(&host, ca).map_err(NoEndpoint::Tls)?.ok_or_else(|| wrong("no certificate can be for its host"))?)
        } else {
            None
        };
        let base = uri.path().trim_end_matches('/').to_owned();
        let shown = format!("{}://{authority}{base}", if encrypted { "https" } else { "http" });
        Ok(Self { host, port, authority: authority.to_string(), base, shown, secure, credential: None, limits: Limits::default() })
    }

    /// Shows this to be let in.
    #[must_use]
    pub fn with_credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// Bounds every question by these.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses to send the credential in clear text to anybody but this machine.
    pub(super) fn confidential(self) -> Result<Self, NoEndpoint> {
        let own = self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if self.secure.is_none() && self.credential.is_some() && !own { Err(NoEndpoint::ClearText(self.shown)) } else { Ok(self) }
    }

    /// Asks, and again where the trouble may pass, within the limit.
    pub(super) async fn ask(&self, question: &Question) -> Result<Reply, Trouble> {
        let within = self.limits.within;
        let asked = tokio::time::timeout(within, self.insist(question)).await;
        asked.unwrap_or_else(|_| Err(Trouble::Late { place: self.place(&question.path), within }))
    }

    async fn insist(&self, question: &Question) -> Result<Reply, Trouble> {
        let (mut left, mut pause) = (self.limits.attempts, self.limits.pause);
        loop {
            let outcome = self.once(question).await;
            left = left.saturating_sub(1);
            match outcome {
                Err(trouble) if left > 0 && trouble.is_passing() => {
                    tracing::debug!(%trouble, left, "a source is asked again");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                outcome => return outcome,
            }
        }
    }

    async fn once(&self, question: &Question) -> Result<Reply, Trouble> {
        let place = || self.place(&question.path);
        let unreached = |why: String| Trouble::Unreached { place: place(), why };
        let request = self.request(question).map_err(|error| unreached(error.to_string()))?;
        let socket = exchange::connect(&self.host, self.port).await.map_err(unreached)?;
        let reply = exchange::exchange(socket, self.secure.as_ref(), request, self.limits.most).await;
        let (head, body) = reply.map(Response::into_parts).map_err(|broken| match broken {
            exchange::Broken::Long => Trouble::Long { place: place(), most: self.limits.most },
            exchange::Broken::Connection(why) => unreached(why),
        })?;
        let status = head.status;
        if status.is_redirection() {
            return Err(Trouble::Elsewhere { place: place(), status: status.as_u16() });
        }
        if [429, 502, 503, 504].contains(&status.as_u16()) {
            return Err(Trouble::Refused { place: place(), status: status.as_u16(), said: None });
        }
        let challenge = head.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Reply { status, body, challenge })
    }

    fn request(&self, question: &Question) -> Result<Request<Full<Bytes>>, http::Error> {
        let mark = if question.query.is_empty() { "" } else { "?" };
        let target = format!("{}{}{mark}{}", self.base, question.path, question.query);
        let mut request = Request::builder().method(question.method.clone()).uri(target).header(HOST, &self.authority);
        request = request.header(ACCEPT, question.accept.unwrap_or("application/json"));
        if let Some(value) = question.bearer.as_ref().or(self.credential.as_ref().map(Credential::header)) {
            request = request.header(AUTHORIZATION, value);
        }
        if question.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(Bytes::from(question.body.clone().unwrap_or_default())))
    }

    /// Names a path of the source in a message; the query may hold names that are nobody's business.
    pub(super) fn place(&self, path: &str) -> String {
        format!("{}{path}", self.shown)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.shown).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Makes ready to speak TLS; `None` where no certificate can be for the host.
pub(super) fn speak_tls(host: &str, ca: Option<&Path>) -> Result<Option<Secure>, Box<Problem>> {
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return Ok(None) };
    let config = tls::client(&Tls { ca: ca.map(Path::to_owned), ..Tls::default() }, Protocol::Http1)?;
    Ok(Some(Secure { connector: TlsConnector::from(Arc::new(config)), name }))
}

/// Encodes text for a query or one segment of a path: all but the unreserved characters (RFC 3986, section 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
