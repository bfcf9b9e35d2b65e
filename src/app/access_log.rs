//! The access log of the process: begun when it is wanted, and finished at the end.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::error::AppError;
use crate::config;
use crate::seam::access::{self, AccessSender};
use crate::telemetry::access_log::{AccessLog, Destination};

/// How long the last lines of the access log may take at the end.
pub(super) const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Starts the writer of the access log, when there is to be one.
pub(super) fn start(wanted: &config::AccessLog, format: config::LogFormat) -> Result<(Option<AccessSender>, Option<AccessLog>), AppError> {
    let destination = match wanted {
        config::AccessLog::Off => return Ok((None, None)),
        config::AccessLog::Stdout => Destination::Stdout,
        config::AccessLog::File(path) => Destination::File(path.clone()),
    };
    let (sender, receiver) = access::channel();
    let path = match &destination {
        Destination::Stdout => PathBuf::from("stdout"),
        Destination::File(path) => path.clone(),
    };
    let log = AccessLog::start(receiver, &destination, format).map_err(|source| AppError::AccessLog { path, source })?;
    Ok((Some(sender), Some(log)))
}
