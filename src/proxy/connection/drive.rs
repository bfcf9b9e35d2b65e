//! Drives hyper's connections to their ends.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::proxy::patrol::ConnectionGuard;
use crate::proxy::worker::Worker;

/// A connection that hyper drives.
pub trait Driven: Future<Output = hyper::Result<()>> {
    /// Takes no further request and ends after those it is at.
    fn begin_farewell(self: Pin<&mut Self>);
}

/// Drives a connection to its end, which comes after the requests it is at once the worker drains or the connection is old.
pub async fn drive(connection: impl Driven, age: Option<&ConnectionGuard>, worker: &Worker) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    let is_over = || worker.is_draining() || age.is_some_and(ConnectionGuard::is_retired);
    // Looking at a flag costs nothing, and this is polled with every request.
    let serving = poll_fn(|cx| if is_over() { Poll::Ready(None) } else { connection.as_mut().poll(cx).map(Some) });
    if let Some(ended) = serving.await {
        return ended;
    }
    // What the client has sent by now is still read: hyper closes a connection on which it has not seen a request.
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = tokio::task::yield_now() => {}
    }
    connection.as_mut().begin_farewell();
    tokio::select! {
        ended = connection => ended,
        // Dropping it ends its requests, so that the books say how.
        () = worker.cut.notified() => Ok(()),
    }
}
