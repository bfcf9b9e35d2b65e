//! Asks the admin listener of a running proxy, for commands that end with its answer.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::http::{self as exchange, Answer, Body, Followed, Unanswered};

/// Where the admin listener is unless the proxy is told otherwise.
pub const USUAL: &str = "http://127.0.0.1:9090";

/// The admin listener of a running proxy, as the operator named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote(String);

/// Why a text names no admin listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the address of an admin listener, such as {USUAL}")]
pub struct InvalidRemote;

impl FromStr for Remote {
    type Err = InvalidRemote;
    fn from_str(text: &str) -> Result<Self, InvalidRemote> {
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let (host, port) = bare.rsplit_once(':').ok_or(InvalidRemote)?;
        let good = !host.is_empty() && !bare.contains(['/', '@', '?', '#']) && port.parse::<u16>().is_ok_and(|port| port != 0);
        if good { Ok(Self(bare.to_owned())) } else { Err(InvalidRemote) }
    }
}

/// Why the proxy did not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Its name is not known.
    #[error("{0} has no address; is the name right, and can it be resolved here (--admin)?")]
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
    /// Gets a path and reads its JSON.
    ///
    /// # Errors
    ///
    /// Says why there is no such answer.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        let to = self.address()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(exchange::get(to, path))?;
        if answer.status != StatusCode::OK {
            return Err(refused(&Method::GET, to, path, &answer));
        }
        serde_json::from_str(&answer.body).map_err(|problem| RemoteError::Unreadable { path: path.to_owned(), problem })
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
        let to = self.address()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(exchange::send(to, method.clone(), path, Some(body)))?;
        if !answer.status.is_success() {
            return Err(refused(&method, to, path, &answer));
        }
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
        let to = self.address()?;
        match exchange::follow(to, path, take).await? {
            Followed::Enough(enough) => Ok(Some(enough)),
            Followed::Ended => Ok(None),
            Followed::Refused(answer) => Err(refused(&Method::GET, to, path, &answer)),
        }
    }

    fn address(&self) -> Result<SocketAddr, RemoteError> {
        let found = self.0.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        found.ok_or_else(|| RemoteError::NoAddress(self.0.clone()))
    }
}

/// Tells what the proxy says of its refusal (RFC 9457), or what it was asked and how it answered.
fn refused(method: &Method, to: SocketAddr, path: &str, answer: &Answer) -> RemoteError {
    let told = serde_json::from_str::<Detail>(&answer.body).map(|problem| problem.detail);
    RemoteError::Refused(told.unwrap_or_else(|_| {
        format!("{method} http://{to}{path} was answered with {}; is that the admin listener of this release (--admin)?", answer.status)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_named_by_url_or_address() {
        for (text, bare) in [
            (USUAL, "127.0.0.1:9090"),
            ("http://localhost:1/", "localhost:1"),
            ("[::1]:9", "[::1]:9"),
            ("gate.example:9090", "gate.example:9090"),
        ] {
            assert_eq!(text.parse(), Ok(Remote(bare.to_owned())), "{text}");
        }
        for text in ["", "9090", "https://a:1", "http://a:1/v1", "a:b", "a:0", "a:65536", ":9", "u@a:1", "http://"] {
            assert_eq!(text.parse::<Remote>(), Err(InvalidRemote), "{text}");
        }
    }
}
