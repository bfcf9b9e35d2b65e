//! What a caller is told of each complete answer.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, StatusCode};

/// Called with each complete answer, on the runtime of the run; it must not block.
pub type Hook = Arc<dyn Fn(&ResponseHead) + Send + Sync>;

/// The head of a complete answer and when it came.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Which user asked, counted from 0.
    pub user: usize,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// When the request was to be sent.
    pub intended: Instant,
    /// When the request was sent, before any connecting.
    pub started: Instant,
    /// When the last byte of the answer had come.
    pub finished: Instant,
}
