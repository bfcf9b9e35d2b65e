//! One HTTP/1.1 exchange on a connection of its own, for the API and the info pages.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, ETAG, HOST};
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer read, in bytes.
const MOST: usize = 4 * 1024 * 1024;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: String,
    /// Which state of the resource it shows, where it says so.
    pub tag: Option<String>,
}

/// Why there was no complete answer.
#[derive(Debug, thiserror::Error)]
#[error("{method} {to}{path} got no answer: {reason}")]
pub struct Unanswered {
    method: Method,
    to: String,
    path: String,
    reason: String,
}

/// Sends a GET.
///
/// # Errors
///
/// There was no complete answer within 5 s.
pub async fn get(to: SocketAddr, path: &str) -> Result<Answer, Unanswered> {
    send(to, Method::GET, path, None).await
}

/// Sends a GET for a host that need not be the name of the address.
///
/// # Errors
///
/// There was no complete answer within 5 s.
pub async fn get_from(to: SocketAddr, host: &str, path: &str) -> Result<Answer, Unanswered> {
    sent(Target::Plain(to), Method::GET, (host, path), None, &[]).await
}

/// Sends a POST with a JSON body.
///
/// # Errors
///
/// There was no complete answer within 5 s.
pub async fn post(to: SocketAddr, path: &str, json: String) -> Result<Answer, Unanswered> {
    send(to, Method::POST, path, Some(Body { kind: JSON, bytes: json.into(), field: None })).await
}

/// The type of a JSON body.
pub const JSON: &str = "application/json";

/// What is sent with a request.
#[derive(Clone, Debug, Default)]
pub struct Body<'b> {
    /// Its type.
    pub kind: &'b str,
    /// Its bytes.
    pub bytes: Bytes,
    /// One more field of the head, name and value.
    pub field: Option<(&'b str, &'b str)>,
}

/// Sends a request, with a body where there is one.
///
/// # Errors
///
/// There was no complete answer within 5 s.
pub async fn send(to: SocketAddr, method: Method, path: &str, body: Option<Body<'_>>) -> Result<Answer, Unanswered> {
    sent(Target::Plain(to), method, (&to.to_string(), path), body, &[]).await
}

/// Where a request goes.
#[derive(Clone)]
pub enum Target {
    /// An address.
    Plain(SocketAddr),
    /// The path of a Unix socket.
    Socket(PathBuf),
    /// An address where TLS is spoken, with the name its certificate must be for.
    Encrypted(SocketAddr, ServerName<'static>, Arc<ClientConfig>),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(address) => write!(f, "http://{address}"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Encrypted(address, ..) => write!(f, "https://{address}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A connection of whatever kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Target {
    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let none = |problem: std::io::Error| format!("no connection: {problem}");
        Ok(match self {
            Self::Plain(address) => Box::new(TcpStream::connect(address).await.map_err(none)?),
            Self::Socket(path) => Box::new(UnixStream::connect(path).await.map_err(none)?),
            Self::Encrypted(address, name, config) => {
                let stream = TcpStream::connect(address).await.map_err(none)?;
                let encrypted = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
                Box::new(encrypted.map_err(|problem| format!("no TLS connection: {problem}"))?)
            }
        })
    }
}

/// Sends a request with further fields of the head, with a body where there is one.
///
/// # Errors
///
/// There was no complete answer within 5 s.
pub async fn sent(
    to: Target,
    method: Method,
    place: (&str, &str),
    body: Option<Body<'_>>,
    fields: &[(HeaderName, String)],
) -> Result<Answer, Unanswered> {
    let path = place.1;
    let sent = tokio::time::timeout(PATIENCE, exchange(&to, method.clone(), place, body, fields)).await;
    let late = || Err(format!("it took more than {} s", PATIENCE.as_secs()));
    sent.unwrap_or_else(|_| late()).map_err(|reason| Unanswered { method, to: to.to_string(), path: path.to_owned(), reason })
}

async fn exchange(
    to: &Target,
    method: Method,
    (host, path): (&str, &str),
    body: Option<Body<'_>>,
    fields: &[(HeaderName, String)],
) -> Result<Answer, String> {
    let stream = to.connect().await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|problem| problem.to_string())?;
    let mut request = Request::builder().method(method).uri(path).header(HOST, host).header(CONNECTION, "close");
    for (name, value) in fields {
        request = request.header(name, value);
    }
    if let Some(body) = &body {
        request = request.header(CONTENT_TYPE, body.kind);
        if let Some((name, value)) = body.field {
            request = request.header(name, value);
        }
    }
    let request = request.body(Full::new(body.map(|body| body.bytes).unwrap_or_default())).map_err(|problem| problem.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|problem| problem.to_string())?;
        let status = response.status();
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|problem| problem.to_string())?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned(), tag })
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection ends when the answer is complete or never will be; the answer knows which.
        _ = connection => answer.await,
    }
}

/// How long a stream of events may be silent; there is a snapshot each second.
const SILENCE: Duration = Duration::from_secs(10);

/// How following a stream of events ended.
#[derive(Debug)]
pub enum Followed<T> {
    /// Somebody had heard enough.
    Enough(T),
    /// The stream ended, or was silent for 10 s.
    Ended,
    /// It was answered with something else.
    Refused(Answer),
}

/// Gets server-sent events and gives their bytes to `take` as they come, until that has heard enough.
///
/// # Errors
///
/// There was no connection, or no head of an answer within 5 s.
pub async fn follow<T>(
    to: &Target,
    (host, path): (&str, &str),
    fields: &[(HeaderName, String)],
    mut take: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Followed<T>, Unanswered> {
    let unanswered = |reason: String| Unanswered { method: Method::GET, to: to.to_string(), path: path.to_owned(), reason };
    let begun = tokio::time::timeout(PATIENCE, async {
        let stream = to.connect().await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|problem| problem.to_string())?;
        let mut request = Request::get(path).header(HOST, host).header(ACCEPT, "text/event-stream");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        Ok((sender, connection, request.body(Empty::<Bytes>::new()).map_err(|problem| problem.to_string())?))
    });
    let late = || Err(format!("it took more than {} s", PATIENCE.as_secs()));
    let (mut sender, connection, request) = begun.await.unwrap_or_else(|_| late()).map_err(unanswered)?;
    let told = async {
        let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let response = response.map_err(|_| "it took more than 5 s".to_owned())?.map_err(|problem| problem.to_string())?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|problem| problem.to_string())?;
            return Ok(Followed::Refused(Answer { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned(), tag: None }));
        }
        let mut body = response.into_body();
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, body.frame()).await {
            if let Some(enough) = frame.data_ref().and_then(|bytes| take(bytes)) {
                return Ok(Followed::Enough(enough));
            }
        }
        Ok(Followed::Ended)
    };
    tokio::pin!(told);
    let told = tokio::select! {
        told = &mut told => told,
        // What has arrived is still read.
        _ = connection => told.await,
    };
    told.map_err(unanswered)
}
