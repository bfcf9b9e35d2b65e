//! Which admin listener a command asks, and how it makes itself known there.

use std::path::PathBuf;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::http::{Body, JSON};
use crate::cli::remote::{Credentials, Remote, RemoteError};

/// Which admin listener is asked, and what is shown of ourselves there.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Admin {
    /// The admin listener of the proxy: http://HOST:PORT, https://HOST:PORT or unix:PATH; absent: $PORTCULLIS_ADMIN, the usual
    /// socket where there is one, or http://127.0.0.1:9090.
    #[arg(long, value_name = "URL")]
    pub admin: Option<Remote>,
    /// The authority that vouches for the admin listener's certificate (PEM); absent: those the system trusts.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The certificate shown to the admin listener (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The private key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// The file with the token that the admin listener knows us by; absent: $PORTCULLIS_ADMIN_TOKEN_FILE.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

impl Admin {
    /// Returns the listener, with what is shown of ourselves there.
    ///
    /// # Errors
    ///
    /// Says which file cannot be used, or that the environment names no listener.
    pub fn remote(&self) -> Result<Remote, RemoteError> {
        let named = || std::env::var("PORTCULLIS_ADMIN").ok().filter(|text| !text.is_empty());
        let remote = match (&self.admin, named()) {
            (Some(remote), _) => remote.clone(),
            (None, Some(text)) => text.parse().map_err(|error| RemoteError::Unusable(format!("PORTCULLIS_ADMIN is {text:?}: {error}")))?,
            (None, None) => Remote::usual(),
        };
        let token_file = self.admin_token_file.clone().or_else(|| std::env::var_os("PORTCULLIS_ADMIN_TOKEN_FILE").map(PathBuf::from));
        let token = token_file.map(|file| {
            let failed = |error| RemoteError::Unusable(format!("the token {} cannot be read: {error}", file.display()));
            std::fs::read_to_string(&file).map(|text| text.trim().to_owned()).map_err(failed)
        });
        let credentials = Credentials { ca: self.ca.clone(), pair: self.cert.clone().zip(self.key.clone()), token: token.transpose()? };
        Ok(remote.with(credentials))
    }

    /// Gets a path and reads its JSON.
    ///
    /// # Errors
    ///
    /// Says why there is no such answer.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.remote()?.get(path)
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
        self.remote()?.send_with(method, path, body)
    }

    /// Posts JSON and reads that of the answer.
    ///
    /// # Errors
    ///
    /// Says why it was not done.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, RemoteError> {
        self.send(Method::POST, path, JSON, body.to_string().into())
    }
}
