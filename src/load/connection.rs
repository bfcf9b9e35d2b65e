//! One keep-alive HTTP/1.1 connection of a user.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection and the task that drives it; dropping it closes the socket at once.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// Why an exchange did not end with a complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// The connection was closed before any byte of the request was written, so it may be sent on another one.
    Unsent,
    /// The connection broke, or its bytes were not HTTP, after the request was begun.
    Broken,
}

impl Connection {
    /// Connects; `None` when that fails.
    pub(super) async fn open(target: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(target).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        let driver = tokio::spawn(async move {
            if let Err(problem) = connection.await {
                // Whoever waits for the answer gets an error too and counts it.
                tracing::trace!(%problem, "a connection of the load generator ended");
            }
        });
        Some(Self { sender, driver })
    }

    /// Sends a request and reads the answer to its last byte.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, HeaderMap), Interrupted> {
        self.sender.ready().await.map_err(|_| Interrupted::Unsent)?;
        let response = self.sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(_) => Interrupted::Unsent,
            None => Interrupted::Broken,
        })?;
        let (head, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            frame.map_err(|_| Interrupted::Broken)?;
        }
        Ok((head.status, head.headers))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
