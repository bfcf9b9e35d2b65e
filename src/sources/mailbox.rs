//! A place that takes messages: one POST to a URL whose path may be a secret, bounded in time and size, no redirection followed.
//!
//! It stands beside the sources because it is spoken to as they are. Nothing it says of itself or of its troubles has more of the
//! URL than scheme, host and port.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;

use crate::sources::credential::Credential;
use crate::sources::endpoint::speak_tls;
use crate::sources::exchange::{self, Secure};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why a text is no mailbox; it never holds the text.
#[derive(Debug, thiserror::Error)]
#[error("this is no URL that takes messages: {0}")]
pub struct NoMailbox(String);

/// A place that takes messages.
#[derive(Clone)]
pub struct Mailbox {
    host: String,
    port: u16,
    authority: String,
    /// Path and query; a secret.
    target: String,
    origin: String,
    secure: Option<Secure>,
    credential: Option<Credential>,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Mailbox {
    /// Reads a URL with http or https. `ca` names the file with the authorities that may vouch for it; without it those count
    /// that the system trusts.
    ///
    /// # Errors
    ///
    /// Fails for any other text, a user in it among them, and when TLS cannot be spoken.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, NoMailbox> {
        let wrong = |why: &str| NoMailbox(why.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let encrypted = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(wrong("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user in it; a token is read from a file"));
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
        let secure = match encrypted {
            false => None,
            true => {
                let spoken = speak_tls(&host, ca).map_err(|problem| NoMailbox(problem.to_string()))?;
                Some(spoken.ok_or_else(|| wrong("no certificate can be for its host"))?)
            }
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let origin = format!("{}://{authority}", if encrypted { "https" } else { "http" });
        Ok(Self { host, port, authority: authority.to_string(), target, origin, secure, credential: None, fields: Vec::new() })
    }

    /// Shows this to be let in.
    #[must_use]
    pub fn with_credential(self, credential: Credential) -> Self {
        Self { credential: Some(credential), ..self }
    }

    /// Sends these fields along; what is shown to be let in goes before one of the same name.
    #[must_use]
    pub fn with_fields(self, fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { fields, ..self }
    }

    /// Says whether what is sent can be read by nobody else: it is encrypted, or stays on this machine.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        let own = self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.secure.is_some() || own
    }

    /// Sends a message and returns the status of the answer; a redirection is an answer and not followed.
    ///
    /// # Errors
    ///
    /// Says in one sentence why there was no answer in time.
    pub async fn post(&self, kind: &str, body: String, within: Duration) -> Result<StatusCode, String> {
        self.send(kind, body, within).await.map(|answer| answer.status())
    }

    /// Sends a message and returns the whole answer; a redirection is an answer and not followed.
    ///
    /// # Errors
    ///
    /// Says in one sentence why there was no answer in time.
    pub async fn send(&self, kind: &str, body: String, within: Duration) -> Result<Response<Bytes>, String> {
        let posted = async {
            let mut request = Request::post(&self.target).header(HOST, &self.authority).header(CONTENT_TYPE, kind);
            for (name, value) in self.fields.iter().filter(|(name, _)| self.credential.is_none() || name != AUTHORIZATION) {
                request = request.header(name, value);
            }
            if let Some(credential) = &self.credential {
                request = request.header(AUTHORIZATION, credential.header());
            }
            let request = request.body(Full::new(Bytes::from(body))).map_err(|_| "the message cannot be sent".to_owned())?;
            let socket = exchange::connect(&self.host, self.port).await?;
            match exchange::exchange(socket, self.secure.as_ref(), request, LONGEST_ANSWER).await {
                Ok(answer) => Ok(answer),
                Err(exchange::Broken::Long) => Err(format!("its answer is longer than {LONGEST_ANSWER} bytes")),
                Err(exchange::Broken::Connection(why)) => Err(why),
            }
        };
        tokio::time::timeout(within, posted).await.unwrap_or_else(|_| Err(format!("it gave no answer within {within:?}")))
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_origin_is_ever_shown() {
        let mailbox = Mailbox::new("http://127.0.0.1:1/services/T0/secret?token=secret", None).unwrap();
        for shown in [mailbox.to_string(), format!("{mailbox:?}")] {
            assert!(shown.contains("http://127.0.0.1:1") && !shown.contains("secret"), "{shown}");
        }
        assert!(mailbox.is_confidential() && !Mailbox::new("http://hooks.example.com/", None).unwrap().is_confidential());
        for bad in ["secret", "ftp://secret/", "http://user:secret@host/", "http://secret:0/", "http://secret:99999/", "/secret"] {
            let error = Mailbox::new(bad, None).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }
}
