//! One client connection: the socket, hyper's server over it, and its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::proxy::body::Answer;
use crate::proxy::patrol::{Awaits, ConnectionGuard, Ticket};
use crate::proxy::sanitise::Peer;
use crate::proxy::scan::HeadScan;
use crate::proxy::serve::Serve;
use crate::proxy::settings::{MAX_FIELDS, MAX_HEAD};
use crate::proxy::upload::BoxError;
use crate::proxy::wire::{Line, Wire};
use crate::proxy::worker::{Counters, Worker};

/// A connection that was let in: counted, and under patrol from its first moment.
pub struct Admitted {
    socket: TcpStream,
    remote: SocketAddr,
    guard: Rc<ConnectionGuard>,
    _ticket: Ticket,
    _open: Open,
}

impl Admitted {
    /// Lets a connection in.
    #[must_use]
    pub fn new(socket: TcpStream, remote: SocketAddr, worker: &Worker) -> Self {
        let (guard, ticket) = worker.patrol.connection();
        Self { socket, remote, guard, _ticket: ticket, _open: Open::new(&worker.counters) }
    }
}

/// Serves one connection to its end.
pub async fn serve(admitted: Admitted, port: u16, worker: Rc<Worker>) {
    let Admitted { socket, remote, guard, _ticket, _open } = admitted;
    // Without it small answers may wait for an acknowledgement; failing to set it costs only that.
    let _ = socket.set_nodelay(true);
    let line = Rc::new(Line { gathered: worker.gathered.clone(), guard: Rc::clone(&guard), scan: HeadScan::default().into() });
    let peer = Rc::new(Peer::new(remote, port, &worker.settings.trusted));
    let serve = Serve::new(Rc::clone(&worker), peer, Some(Rc::clone(&line)));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let serve = serve.clone();
        let busy = Busy::new(&guard);
        async move {
            let response = serve.handle(request.map(Into::into)).await;
            Ok::<_, Infallible>(response.map(|answer| Held { answer, _busy: busy }))
        }
    });
    let mut builder = http1::Builder::new();
    // Time-outs of heads and idle connections are the patrol's; a client that closes its sending side is taken to have left.
    builder.header_read_timeout(None).max_headers(MAX_FIELDS).max_header_size(MAX_HEAD).half_close(false);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Wire::new(socket, line)), service));
    // Looking at a flag costs nothing, and this is polled with every request.
    let serving = poll_fn(|cx| if worker.is_draining() { Poll::Ready(None) } else { connection.as_mut().poll(cx).map(Some) });
    if let Some(ended) = serving.await {
        return log(ended, remote, &worker);
    }
    // What the client has sent by now is still read: hyper closes a connection on which it has not seen a request.
    tokio::select! {
        biased;
        ended = connection.as_mut() => return log(ended, remote, &worker),
        () = tokio::task::yield_now() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => log(ended, remote, &worker),
        // Dropping it ends its request, so that the books say how.
        () = worker.cut.notified() => {}
    }
}

fn log(ended: hyper::Result<()>, remote: SocketAddr, worker: &Worker) {
    if let Err(error) = ended {
        if error.is_parse() {
            // Not even a request: hyper has answered it.
            worker.refused();
        }
        tracing::debug!(%remote, %error, "a client connection ended");
    }
}

/// Tells the patrol that the connection waits for us while a request is answered.
struct Busy(Rc<ConnectionGuard>);

impl Busy {
    fn new(guard: &Rc<ConnectionGuard>) -> Self {
        guard.awaits(Awaits::Answer);
        Self(Rc::clone(guard))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.awaits(Awaits::Request);
    }
}

/// An answer that keeps its connection busy until its last byte.
struct Held {
    answer: Answer,
    _busy: Busy,
}

impl Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

/// Counts a connection for as long as it is open.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
