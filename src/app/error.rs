//! Why the program could not start or had to stop.

use std::io;
use std::path::PathBuf;

use crate::domain::address::Address;
use crate::store::StoreError;

/// Why the program could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The access log cannot be written.
    #[error("cannot write the access log {path}: {source}", path = path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate cannot be used any more, although it could when the configuration was read.
    #[error("{0}")]
    Certificates(String),
    /// The delivery of artifacts cannot begin.
    #[error("the delivery cannot begin: {0}")]
    Delivery(String),
    /// Somebody cannot be told of what happens to rollouts.
    #[error("notifications: {0}")]
    Notifications(String),
    /// Traces cannot be sent.
    #[error("traces cannot be sent: {0}")]
    Traces(String),
    /// A thread or runtime could not be made, or a worker stopped.
    #[error("cannot run: {0}")]
    Run(#[from] io::Error),
}

impl AppError {
    /// Returns how to mend it, where the message does not say so itself.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bind { address: Address::Ip(address), source } => Some(match source.kind() {
                io::ErrorKind::AddrInUse => format!("another process listens on port {}; stop it or choose another port", address.port()),
                io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher port".to_owned(),
                io::ErrorKind::AddrNotAvailable => format!("this machine has no address {}; use one of its own, or 0.0.0.0", address.ip()),
                _ => "check the address".to_owned(),
            }),
            Self::Bind { address: Address::Socket(_), source } => Some(match source.kind() {
                io::ErrorKind::AddrInUse => "another process listens there; stop it or choose another path".to_owned(),
                io::ErrorKind::AlreadyExists => "nothing but a socket is replaced; remove it or choose another path".to_owned(),
                io::ErrorKind::PermissionDenied => "let this user write to the folder, or choose another path".to_owned(),
                io::ErrorKind::NotFound => "make the folder first, or choose another path".to_owned(),
                _ => "check the path".to_owned(),
            }),
            Self::AccessLog { .. } => Some("choose a writable file, 'stdout' or 'off'".to_owned()),
            Self::State(_) | Self::Certificates(_) | Self::Delivery(_) | Self::Notifications(_) | Self::Traces(_) | Self::Run(_) => None,
        }
    }
}
