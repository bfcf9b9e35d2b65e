//! One connection of a user: HTTP/1.1 or HTTP/2, in clear or over TLS.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::rt::{Executor, Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::domain::transport::Protocol;
use crate::formats::jmeter_conf::Scheme;
use crate::formats::tls::server_name;
use crate::load::counters::Failure;
use crate::load::target::{Origin, Target};

/// A connection and the tasks that drive it; dropping it ends them and so closes the socket.
#[derive(Debug)]
pub(super) struct Connection {
    sender: Sender,
    tasks: Tasks,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Why a request has no complete answer, and the words for it.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) why: String,
}

impl Failed {
    fn new(failure: Failure, what: &str, error: &dyn Error) -> Self {
        let mut why = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(next) = cause {
            let text = next.to_string();
            if !why.ends_with(&text) {
                why.push_str(&format!(": {text}"));
            }
            cause = next.source();
        }
        Self { failure, why }
    }
}

/// Why an exchange did not end with a complete answer.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// The connection was closed before any byte of the request was written, so it may be sent on another one.
    Unsent(Failed),
    /// The connection broke, or its bytes were not HTTP, after the request was begun.
    Broken(Failed),
}

impl Interrupted {
    /// Takes it for a failure, whether or not the request was begun.
    pub(super) fn into_failed(self) -> Failed {
        match self {
            Self::Unsent(failed) | Self::Broken(failed) => failed,
        }
    }
}

impl Connection {
    /// Connects to a server, and agrees on TLS and HTTP where the target says so.
    pub(super) async fn open(target: &Target, origin: &Origin) -> Result<Self, Failed> {
        let stream = dial(target, origin).await?;
        match origin.scheme() {
            Scheme::Http => Self::speak(TokioIo::new(stream), target.protocol == Protocol::Http2).await,
            Scheme::Https => {
                let missing = || Failed { failure: Failure::Tls, why: format!("{origin} wants TLS, and none was set up for this test") };
                let connector = TlsConnector::from(Arc::clone(target.tls.as_ref().ok_or_else(missing)?));
                let nameless = || Failed { failure: Failure::Tls, why: format!("no certificate can be for the name of {origin}") };
                let name = server_name(origin.name()).ok_or_else(nameless)?;
                let stream = connector.connect(name, stream).await;
                let stream = stream.map_err(|error| Failed::new(Failure::Tls, &format!("no TLS with {origin}"), &error))?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                if target.protocol == Protocol::Http2 && !http2 {
                    let why = format!("{origin} does not offer HTTP/2 over TLS (ALPN)");
                    return Err(Failed { failure: Failure::Tls, why });
                }
                Self::speak(TokioIo::new(stream), http2).await
            }
        }
    }

    async fn speak(io: impl Read + Write + Unpin + Send + 'static, http2: bool) -> Result<Self, Failed> {
        let tasks = Tasks::default();
        let broken = |error: hyper::Error| Failed::new(Failure::Broken, "no HTTP", &error);
        let sender = if http2 {
            let (sender, connection) = http2::handshake(tasks.clone(), io).await.map_err(broken)?;
            tasks.execute(driven(connection));
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(broken)?;
            tasks.execute(driven(connection));
            Sender::Http1(sender)
        };
        Ok(Self { sender, tasks })
    }

    /// Says whether HTTP/2 is spoken.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends a request and reads the answer to its last byte.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, HeaderMap), Interrupted> {
        let unsent = |error| Interrupted::Unsent(broken(&error));
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(unsent)?;
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(unsent)?;
                sender.try_send_request(request).await
            }
        };
        let response = response.map_err(|mut error| match error.take_message() {
            Some(_) => Interrupted::Unsent(broken(error.error())),
            None => Interrupted::Broken(broken(error.error())),
        })?;
        let (head, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| Interrupted::Broken(broken(&error)))?;
        }
        Ok((head.status, head.headers))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.lock().abort_all();
    }
}

fn broken(error: &hyper::Error) -> Failed {
    Failed::new(Failure::Broken, "the connection broke", error)
}

async fn driven(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(problem) = connection.await {
        // Whoever waits for the answer gets an error too and counts it.
        tracing::trace!(%problem, "a connection of the load generator ended");
    }
}

async fn dial(target: &Target, origin: &Origin) -> Result<TcpStream, Failed> {
    let refused = |error: std::io::Error| Failed::new(Failure::Connect, &format!("no connection to {origin}"), &error);
    let stream = if *origin == *target.origin {
        TcpStream::connect(target.address).await.map_err(refused)?
    } else if target.elsewhere {
        TcpStream::connect((origin.name(), origin.port())).await.map_err(refused)?
    } else {
        let why = format!("{origin} is not the server under test, {}", target.origin);
        return Err(Failed { failure: Failure::Connect, why });
    };
    stream.set_nodelay(true).map_err(refused)?;
    Ok(stream)
}

/// The tasks of a connection; HTTP/2 has one for the connection and one for each body that does not fit at once.
///
/// The lock is held to add a task, to take away those that have ended, and to end all.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn lock(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        let mut tasks = self.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move { drop(future.await) });
    }
}
