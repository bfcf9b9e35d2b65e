//! One line of the access log on its way from a worker to the writer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::domain::outcome::{Failure, Role};
use crate::domain::trace::TraceId;
use crate::domain::version::Name;

/// What one line of the access log says.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The client's address; `None` where it came over a Unix socket.
    pub client: Option<IpAddr>,
    /// The method; empty for a connection without HTTP.
    pub method: String,
    /// The path without query.
    pub path: String,
    /// The version of HTTP in which the client spoke.
    pub protocol: http::Version,
    /// The host asked for.
    pub host: String,
    /// The service, when one was found.
    pub service: Option<Name>,
    /// The version that was decided.
    pub version: Option<Name>,
    /// The part it played.
    pub role: Option<Role>,
    /// The generation of the epoch that decided.
    pub generation: u64,
    /// The rollout it belongs to, 0 when there is none.
    pub rollout: u64,
    /// The status of the answer.
    pub status: u16,
    /// From head read to response head, or to a version's connection.
    pub response_time: Option<Duration>,
    /// From head read to the end.
    pub duration: Duration,
    /// Body bytes sent to the client; of a connection without HTTP all of them.
    pub bytes: u64,
    /// Bytes from the client, where its connection is without HTTP.
    pub uploaded: u64,
    /// Why the request failed.
    pub failure: Option<Failure>,
    /// Why the canary failed the request before stable took it over.
    pub rescued: Option<Failure>,
    /// Why the request was refused.
    pub refusal: Option<&'static str>,
    /// Its trace, where it is recorded.
    pub trace: Option<TraceId>,
}

/// A worker's end of the log.
#[derive(Clone, Debug)]
pub struct AccessSender {
    lines: SyncSender<Box<Line>>,
    /// Lines that did not fit; written by every worker, read by the writer.
    dropped: Arc<AtomicU64>,
}

/// The writer's end of the log.
#[derive(Debug)]
pub struct AccessReceiver {
    /// The lines.
    pub lines: Receiver<Box<Line>>,
    /// Lines that did not fit since the start.
    pub dropped: Arc<AtomicU64>,
}

/// How many lines may wait before further ones are dropped and counted.
const CAPACITY: usize = 16_384;

/// Makes the channel from the workers to the writer.
#[must_use]
pub fn channel() -> (AccessSender, AccessReceiver) {
    let (sender, receiver) = sync_channel(CAPACITY);
    let dropped = Arc::new(AtomicU64::new(0));
    (AccessSender { lines: sender, dropped: Arc::clone(&dropped) }, AccessReceiver { lines: receiver, dropped })
}

impl AccessSender {
    /// Sends a line; never waits. A line that does not fit is dropped and counted.
    pub fn send(&self, line: Box<Line>) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
