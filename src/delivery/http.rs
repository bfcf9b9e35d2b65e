//! One small request over HTTP/1.1 in clear text, with a time limit and a limit on the answer.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Sends a request and reads its answer to the end.
///
/// # Errors
///
/// Says in one sentence what went wrong.
pub(super) async fn ask(to: SocketAddr, request: Request<Full<Bytes>>, within: Duration) -> Result<Response<Bytes>, String> {
    let answered = async {
        let stream = TcpStream::connect(to).await.map_err(|error| format!("{to} cannot be connected to: {error}"))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| format!("{to}: {error}"))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| format!("{to} gave no answer: {error}"))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| format!("the answer of {to} broke: {error}"))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let mut exchange = pin!(exchange);
        // The connection is driven by whoever waits for the answer. Where it ends first, what it has brought is still the answer.
        tokio::select! {
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    };
    tokio::time::timeout(within, answered).await.unwrap_or_else(|_| Err(format!("{to} gave no answer within {within:?}")))
}

/// Asks for a path and returns the status of the answer.
///
/// # Errors
///
/// As [`ask`].
pub(super) async fn status(to: SocketAddr, path: &str, within: Duration) -> Result<u16, String> {
    let request = Request::get(path).header(http::header::HOST, to.to_string()).body(Full::default());
    let request = request.map_err(|error| format!("{path:?} cannot be asked for: {error}"))?;
    ask(to, request, within).await.map(|answer| answer.status().as_u16())
}
