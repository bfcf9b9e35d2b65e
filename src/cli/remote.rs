//! Asks the admin listener of a running proxy, for commands that end with its answer.

use std::net::ToSocketAddrs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, IF_MATCH};
use http::{HeaderName, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::http::{self as exchange, Answer, Body, Followed, Target, Unanswered};
use crate::config::admin::usual_sockets;
use crate::domain::address::Address;
use crate::domain::transport::{Certificate, Protocol, Tls};
use crate::formats::tls;

/// Where the admin listener is unless the proxy is told otherwise.
pub const USUAL: &str = "http://127.0.0.1:9090";

/// The admin listener of a running proxy, as the operator named it, and what is shown of ourselves there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    place: Place,
    credentials: Credentials,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A host with a port.
    Plain(String),
    /// A host with a port where TLS is spoken.
    Encrypted(String),
    /// The path of a Unix socket.
    Socket(PathBuf),
}

/// What is shown of ourselves, and whom we believe.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The file with the authorities that vouch for the listener.
    pub ca: Option<PathBuf>,
    /// The files with our certificate and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// Our token.
    pub token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ca", &self.ca).field("pair", &self.pair).finish_non_exhaustive()
    }
}

/// Why a text names no admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the address of an admin listener, such as {USUAL}, https://HOST:PORT or unix:/run/portcullis/admin.sock")]
pub struct InvalidRemote;

impl FromStr for Remote {
    type Err = InvalidRemote;
    fn from_str(text: &str) -> Result<Self, InvalidRemote> {
        Ok(Self { place: Place::read(text).ok_or(InvalidRemote)?, credentials: Credentials::default() })
    }
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty() && !path.contains('\0')).then(|| Self::Socket(path.into()));
        }
        let (encrypted, bare) =
            text.strip_prefix("https://").map_or_else(|| (false, text.strip_prefix("http://").unwrap_or(text)), |bare| (true, bare));
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let (host, port) = bare.rsplit_once(':')?;
        let good = !host.is_empty() && !bare.contains(['/', '@', '?', '#']) && port.parse::<u16>().is_ok_and(|port| port != 0);
        good.then(|| if encrypted { Self::Encrypted(bare.to_owned()) } else { Self::Plain(bare.to_owned()) })
    }
}

/// Why the proxy did not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Its name is not known.
    #[error("{0} has no address")]
    NoAddress(String),
    /// It did not answer.
    #[error("{0}; is the proxy running, and is this its admin listener (--admin)?")]
    Unanswered(#[from] Unanswered),
    /// It answered that there is a problem.
    #[error("{0}")]
    Refused(String),
    /// Its answer was not understood.
    #[error("the answer to {path} cannot be read: {problem}; is it an admin listener of this release?")]
    Unreadable {
        /// What was asked.
        path: String,
        /// Why not.
        problem: serde_json::Error,
    },
    /// What we would show of ourselves cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The question could not be sent.
    #[error("cannot ask: {0}")]
    Stuck(#[from] std::io::Error),
}

/// What of a problem (RFC 9457) is told.
#[derive(serde::Deserialize)]
struct Detail {
    detail: String,
}

impl Remote {
    /// Returns where a proxy is whose configuration says nothing of it: its socket where there is one, else its address.
    #[must_use]
    pub fn usual() -> Self {
        let sockets = usual_sockets(&|name| std::env::var_os(name));
        let there = sockets.into_iter().find(|path| std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket()));
        let place = there.map_or_else(|| Place::Plain(USUAL.trim_start_matches("http://").to_owned()), Place::Socket);
        Self { place, credentials: Credentials::default() }
    }

    /// Returns the listener of an address in a configuration.
    #[must_use]
    pub fn of(address: &Address, encrypted: bool) -> Self {
        let place = match address {
            Address::Socket(path) => Place::Socket(path.clone()),
            Address::Ip(address) if encrypted => Place::Encrypted(address.to_string()),
            Address::Ip(address) => Place::Plain(address.to_string()),
        };
        Self { place, credentials: Credentials::default() }
    }

    /// Shows this of ourselves.
    #[must_use]
    pub fn with(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }

    /// Gets a path and reads its JSON.
    ///
    /// # Errors
    ///
    /// Says why there is no such answer.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.see(path).map(|(shown, _)| shown)
    }

    /// Gets a path whose answer is plain text.
    ///
    /// # Errors
    ///
    /// Says why there is no such answer.
    pub fn text(&self, path: &str) -> Result<String, RemoteError> {
        self.ask(Method::GET, path, None, Vec::new()).map(|answer| answer.body)
    }

    /// Sends a body and reads the JSON of the answer.
    ///
    /// # Errors
    ///
    /// Says why it was not done.
    pub fn send(&self, method: Method, path: &str, kind: &str, bytes: Bytes) -> Result<Value, RemoteError> {
        self.send_with(method, path, Body { kind, bytes, field: None })
    }

    /// Sends a body with one more field of the head and reads the JSON of the answer.
    ///
    /// # Errors
    ///
    /// Says why it was not done.
    pub fn send_with(&self, method: Method, path: &str, body: Body<'_>) -> Result<Value, RemoteError> {
        self.send_if(method, path, None, body)
    }

    /// Gets a path and reads its JSON, and the tag of what it shows where it has one.
    ///
    /// # Errors
    ///
    /// Says why there is no such answer.
    pub fn see<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>), RemoteError> {
        let answer = self.ask(Method::GET, path, None, Vec::new())?;
        let shown = serde_json::from_str(&answer.body).map_err(|problem| RemoteError::Unreadable { path: path.to_owned(), problem })?;
        Ok((shown, answer.tag))
    }

    /// Sends a body on condition that what was seen still has this tag, and reads the JSON of the answer.
    ///
    /// # Errors
    ///
    /// Says why it was not done.
    pub fn send_if(&self, method: Method, path: &str, tag: Option<String>, body: Body<'_>) -> Result<Value, RemoteError> {
        let fields = tag.map(|tag| (IF_MATCH, tag)).into_iter().collect();
        let answer = self.ask(method, path, Some(body), fields)?;
        serde_json::from_str(&answer.body).map_err(|problem| RemoteError::Unreadable { path: path.to_owned(), problem })
    }

    /// Posts JSON and reads that of the answer.
    ///
    /// # Errors
    ///
    /// Says why it was not done.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, RemoteError> {
        self.send(Method::POST, path, exchange::JSON, body.to_string().into())
    }

    /// Follows what happens: gives the bytes of `GET /v1/events` to `take` until that has heard enough; `None` when the stream ends before.
    ///
    /// # Errors
    ///
    /// Says why nothing is told.
    pub async fn follow<T>(&self, path: &str, take: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<T>, RemoteError> {
        let (to, host) = self.target()?;
        let fields: Vec<_> = self.authorization().into_iter().collect();
        match exchange::follow(&to, (&host, path), &fields, take).await? {
            Followed::Enough(enough) => Ok(Some(enough)),
            Followed::Ended => Ok(None),
            Followed::Refused(answer) => Err(refused(&Method::GET, &to, path, &answer)),
        }
    }

    fn authorization(&self) -> Option<(HeaderName, String)> {
        self.credentials.token.as_ref().map(|token| (AUTHORIZATION, format!("Bearer {token}")))
    }

    /// Asks, and tells a refusal in the words of its problem.
    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Body<'_>>,
        mut fields: Vec<(HeaderName, String)>,
    ) -> Result<Answer, RemoteError> {
        let (to, host) = self.target()?;
        fields.extend(self.authorization());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(exchange::sent(to.clone(), method.clone(), (&host, path), body, &fields))?;
        if !answer.status.is_success() {
            return Err(refused(&method, &to, path, &answer));
        }
        Ok(answer)
    }

    /// Returns where to connect to, and what to call it.
    fn target(&self) -> Result<(Target, String), RemoteError> {
        let (named, encrypted) = match &self.place {
            Place::Socket(path) => return Ok((Target::Socket(path.clone()), "localhost".to_owned())),
            Place::Plain(named) => (named, false),
            Place::Encrypted(named) => (named, true),
        };
        let found = named.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let address = found.ok_or_else(|| RemoteError::NoAddress(named.clone()))?;
        if !encrypted {
            return Ok((Target::Plain(address), address.to_string()));
        }
        let host = named.rsplit_once(':').map_or(named.as_str(), |(host, _)| host).trim_matches(['[', ']']);
        let name = tls::server_name(host).ok_or_else(|| RemoteError::NoAddress(named.clone()))?;
        let Credentials { ca, pair, .. } = &self.credentials;
        let certificate = pair.clone().map(|(chain, key)| Certificate { chain, key });
        let files = Tls { ca: ca.clone(), certificate, ..Tls::default() };
        let config = tls::client(&files, Protocol::Http1).map_err(|problem| RemoteError::Unusable(problem.to_string()))?;
        Ok((Target::Encrypted(address, name, Arc::new(config)), named.clone()))
    }
}

/// Tells what the proxy says of its refusal (RFC 9457), or what it was asked and how it answered.
fn refused(method: &Method, to: &Target, path: &str, answer: &Answer) -> RemoteError {
    let told = serde_json::from_str::<Detail>(&answer.body).map(|problem| problem.detail);
    RemoteError::Refused(told.unwrap_or_else(|_| {
        format!("{method} {to}{path} was answered with {}; is that the admin listener of this release (--admin)?", answer.status)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_named_by_url_address_or_path() {
        let (plain, encrypted) = (|text: &str| Place::Plain(text.to_owned()), |text: &str| Place::Encrypted(text.to_owned()));
        for (text, place) in [
            (USUAL, plain("127.0.0.1:9090")),
            ("http://localhost:1/", plain("localhost:1")),
            ("[::1]:9", plain("[::1]:9")),
            ("gate.example:9090", plain("gate.example:9090")),
            ("https://gate.example:9443/", encrypted("gate.example:9443")),
            ("unix:/run/x.sock", Place::Socket("/run/x.sock".into())),
        ] {
            assert_eq!(text.parse::<Remote>().map(|remote| remote.place), Ok(place), "{text}");
        }
        for text in ["", "9090", "https://a", "http://a:1/v1", "a:b", "a:0", "a:65536", ":9", "u@a:1", "http://", "unix:", "ftp://a:1"] {
            assert_eq!(text.parse::<Remote>(), Err(InvalidRemote), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let credentials = Credentials { token: Some("s3cret".to_owned()), ..Credentials::default() };
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }
}
