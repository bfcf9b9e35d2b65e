//! Sends one request to a version and waits for the head of its answer.

use std::future::poll_fn;
use std::iter;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, response};
use http_body::Body;

use crate::domain::outcome::Failure;
use crate::proxy::patrol::RequestGuard;
use crate::proxy::sanitise::{Framing, Outgoing};
use crate::proxy::upload::Upload;
use crate::proxy::upstream::dial::Conduit;
use crate::proxy::upstream::download::Download;
use crate::proxy::upstream::exchange::Exchange;
use crate::proxy::upstream::pool::Pool;

/// A version's answer: its head, and its body still to come.
pub struct Reply {
    /// The head.
    pub head: response::Parts,
    /// The body, with the connection it comes over.
    pub body: Download,
}

/// Sends a request to the version of this pool.
///
/// An endpoint that cannot be connected to is passed over for the version's next one, because nothing was sent. A pooled
/// connection that turns out to be dead is replaced by a fresh one, first of all to the same endpoint, when nothing was written
/// to it, or when the request has no body and may be repeated (RFC 9110 section 9.2.2): the endpoint may have closed it in that
/// moment. A version that has said over HTTP/2 that it did nothing with the request gets it once more whatever it is (RFC 9113
/// section 8.7), unless some of the body is gone.
///
/// # Errors
///
/// Returns the failure, with blame.
pub async fn send(pool: &Rc<Pool>, request: Outgoing, upload: Upload, guard: &Rc<RequestGuard>, limit: Duration) -> Result<Reply, Failure> {
    // A body at hand may be of another length than was announced. Sent so, its end or its rest would be taken for a request.
    if matches!(request.framing, Framing::Length(announced) if upload.size_hint().exact() != Some(announced)) {
        return Err(Failure::RequestBodyInvalid);
    }
    let (idempotent, bodyless) = (is_idempotent(&request.method), request.method == Method::HEAD);
    let reuse = if idempotent && upload.is_end_stream() { Reuse::Lightly } else { Reuse::Carefully };
    let mut turn = pool.turn();
    let Place { mut endpoint, conduit, pooled } = place(pool, &mut turn, reuse, guard, limit).await?;
    let mut exchange = Exchange::new(conduit, request, upload);
    let mut got = answer(&mut exchange, guard).await;
    if matches!(got, Err(Failure::ConnectionTerminated)) && (pooled || exchange.is_refused()) && exchange.may_move(idempotent) {
        let fresh = place(pool, &mut iter::once(endpoint).chain(turn), Reuse::Never, guard, limit).await?;
        endpoint = fresh.endpoint;
        exchange = exchange.move_to(fresh.conduit)?;
        got = answer(&mut exchange, guard).await;
    }
    let head = got?;
    let body = exchange.into_download(&head, bodyless, pool, endpoint)?;
    Ok(Reply { head, body })
}

/// A connection for a request, and whether it carried another one before.
struct Place {
    endpoint: usize,
    conduit: Conduit,
    pooled: bool,
}

/// Which pooled connections a request may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reuse {
    /// None.
    Never,
    /// One that seems open: the request may be repeated.
    Lightly,
    /// One that the kernel says is open.
    Carefully,
}

/// Finds a connection to the first of these endpoints that has one.
async fn place(
    pool: &Pool,
    endpoints: &mut impl Iterator<Item = usize>,
    reuse: Reuse,
    guard: &RequestGuard,
    limit: Duration,
) -> Result<Place, Failure> {
    let mut last = Failure::NoEndpoint;
    for endpoint in endpoints {
        if reuse != Reuse::Never
            && let Some(conduit) = pool.checkout(endpoint, reuse == Reuse::Lightly)
        {
            return Ok(Place { endpoint, conduit, pooled: true });
        }
        match open(pool, endpoint, guard, limit).await {
            Ok(conduit) => return Ok(Place { endpoint, conduit, pooled: false }),
            // Another endpoint would change nothing: ours is the fault, or the request's time is over.
            Err(failure @ (Failure::ProxyExhausted | Failure::RequestBodyTimeout | Failure::ResponseTimeout)) => return Err(failure),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

const fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

async fn open(pool: &Pool, endpoint: usize, guard: &RequestGuard, limit: Duration) -> Result<Conduit, Failure> {
    let mut connecting = pin!(pool.open(endpoint, limit));
    poll_fn(|cx| match guard.poll_expired(cx) {
        Some(failure) => Poll::Ready(Err(failure)),
        None => connecting.as_mut().poll(cx),
    })
    .await
}

async fn answer(exchange: &mut Exchange, guard: &RequestGuard) -> Result<response::Parts, Failure> {
    poll_fn(|cx| match exchange.poll_head(cx) {
        Poll::Pending => guard.poll_expired(cx).map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
        ready => ready,
    })
    .await
}
