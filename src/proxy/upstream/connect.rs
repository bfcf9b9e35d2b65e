//! Opens one HTTP/1.1 connection to an endpoint.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::domain::outcome::Failure;
use crate::proxy::settings::{MAX_FIELDS, MAX_HEAD};
use crate::proxy::upload::Upload;

/// One connection to an endpoint and the task that drives it. Dropping it closes the connection at once, whatever is still
/// on its way: an upload whose answer came early must not go on for nobody.
pub struct Link {
    /// Takes the next request.
    pub sender: SendRequest<Upload>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects and hands the connection to a task of this worker.
///
/// # Errors
///
/// Returns who failed and how: the upstream when it refuses or stays silent, the proxy when it has no descriptor or port left.
pub async fn connect(endpoint: SocketAddr, limit: Duration) -> Result<Link, Failure> {
    let socket = match tokio::time::timeout(limit, TcpStream::connect(endpoint)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Err(failure_of(&error)),
        Err(_) => return Err(Failure::ConnectionTimeout),
    };
    // Without it small answers may wait for an acknowledgement; failing to set it costs only that.
    let _ = socket.set_nodelay(true);
    let (sender, connection) = Builder::new()
        .max_headers(MAX_FIELDS)
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(|_| Failure::ConnectionTerminated)?;
    let task = tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%endpoint, %error, "an upstream connection ended");
        }
    });
    Ok(Link { sender, task })
}

fn failure_of(error: &Error) -> Failure {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory, _) | (_, Some(EMFILE | ENFILE | ENOBUFS)) => Failure::ProxyExhausted,
        (ErrorKind::TimedOut, _) => Failure::ConnectionTimeout,
        (ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted, _) => Failure::ConnectionTerminated,
        _ => Failure::ConnectionRefused,
    }
}
