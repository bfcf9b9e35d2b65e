//! Sends one request to a version and waits for the head of its answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;

use crate::domain::outcome::Failure;
use crate::proxy::patrol::RequestGuard;
use crate::proxy::settings::MAX_INFORMATIONAL;
use crate::proxy::upload::Upload;
use crate::proxy::upstream::connect::{Link, connect};
use crate::proxy::upstream::pool::{Lease, Pool};

/// A version's answer: its head, and the connection its body comes over.
pub struct Reply {
    /// The head, with the body still to come.
    pub response: Response<Incoming>,
    /// The connection, to be given back when everything went through.
    pub lease: Lease,
}

/// Sends a request to the version of this pool.
///
/// An endpoint that cannot be connected to is passed over for the version's next one, because nothing was sent; and so is a
/// pooled connection that turns out to be closed before the request was written to it.
///
/// # Errors
///
/// Returns the failure, with blame.
pub async fn send(
    pool: &Rc<Pool>,
    mut request: Request<Upload>,
    guard: &Rc<RequestGuard>,
    connect_limit: Duration,
) -> Result<Reply, Failure> {
    let informational = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&informational);
    hyper::ext::on_informational(&mut request, move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let mut last = Failure::NoEndpoint;
    for endpoint in pool.turn() {
        let Some(address) = pool.address(endpoint) else { continue };
        loop {
            let (mut link, pooled) = match open(pool, endpoint, address, guard, connect_limit).await {
                Ok(opened) => opened,
                Err(failure) => {
                    last = failure;
                    break;
                }
            };
            let outcome = exchange(&mut link.sender, request, guard, &informational).await;
            match outcome {
                Ok(response) => return Ok(Reply { response, lease: Lease { pool: Rc::clone(pool), endpoint, link } }),
                Err((failure, unsent)) => match unsent {
                    // Nothing of it was written: safe to send again, whatever its method.
                    Some(unsent) if pooled => request = *unsent,
                    _ => return Err(failure),
                },
            }
        }
        if matches!(last, Failure::ProxyExhausted | Failure::RequestBodyTimeout) {
            break;
        }
    }
    Err(last)
}

/// Takes a pooled connection or opens one; says which.
async fn open(pool: &Pool, endpoint: usize, address: SocketAddr, guard: &RequestGuard, limit: Duration) -> Result<(Link, bool), Failure> {
    if let Some(link) = pool.checkout(endpoint) {
        return Ok((link, true));
    }
    let mut connecting = pin!(connect(address, limit));
    let link = poll_fn(|cx| match guard.poll_expired(cx) {
        Some(failure) => Poll::Ready(Err(failure)),
        None => connecting.as_mut().poll(cx),
    });
    link.await.map(|link| (link, false))
}

type Unsent = Option<Box<Request<Upload>>>;

/// Sends the request over one connection and waits for the final head.
async fn exchange(
    sender: &mut SendRequest<Upload>,
    request: Request<Upload>,
    guard: &RequestGuard,
    informational: &AtomicU32,
) -> Result<Response<Incoming>, (Failure, Unsent)> {
    let mut sent = pin!(sender.try_send_request(request));
    poll_fn(|cx| {
        let polled = sent.as_mut().poll(cx);
        // First of all: all of them may have come in one piece, together with the final head.
        if informational.load(Ordering::Relaxed) > MAX_INFORMATIONAL {
            return Poll::Ready(Err((Failure::ResponseInformational, None)));
        }
        if let Poll::Ready(result) = polled {
            return Poll::Ready(result.map_err(|mut error| {
                let unsent = error.take_message().map(Box::new);
                (failure_of(error.error(), guard), unsent)
            }));
        }
        guard.poll_expired(cx).map_or(Poll::Pending, |failure| Poll::Ready(Err((failure, None))))
    })
    .await
}

fn failure_of(error: &hyper::Error, guard: &RequestGuard) -> Failure {
    if guard.is_upload_broken() || error.is_user() {
        Failure::RequestBodyInvalid
    } else if error.is_parse() {
        Failure::ResponseInvalid
    } else {
        Failure::ConnectionTerminated
    }
}
