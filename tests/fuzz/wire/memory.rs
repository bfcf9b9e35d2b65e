//! hyper's server on bytes in memory, set up and looked at as the proxy does it.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use portcullis::proxy::sanitise::WireNotes;
use portcullis::proxy::scan::HeadScan;
use portcullis::proxy::settings::{MAX_FIELDS, MAX_HEAD};

/// A request as hyper reads it, and what its bytes showed.
pub struct Received {
    pub head: request::Parts,
    pub notes: WireNotes,
    /// The whole body; `None` when it is cut or malformed.
    pub body: Option<Bytes>,
}

/// A client that sends bytes in pieces and then waits until it closes.
struct Memory<'a> {
    left: &'a [u8],
    piece: usize,
    scan: Rc<RefCell<HeadScan>>,
    malformed: bool,
    closed: Rc<Cell<bool>>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Read for Memory<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let (now, rest) = self.left.split_at(self.piece.min(self.left.len()).min(into.remaining()));
        if self.left.is_empty() && !self.closed.get() {
            return Poll::Pending;
        }
        if !self.malformed {
            let fed = self.scan.borrow_mut().feed(now);
            // What comes before a chunked body that is none has its turn first.
            into.put_slice(&now[..fed.err().unwrap_or(now.len())]);
            (self.left, self.malformed) = (rest, fed.is_err());
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Serves a client that sends these bytes; returns what is written to it.
pub fn serve(bytes: &[u8], piece: usize, answer: impl Fn(Received) -> Response<Full<Bytes>>) -> Vec<u8> {
    let scan = Rc::new(RefCell::new(HeadScan::default()));
    let (written, closed) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let memory =
        Memory { left: bytes, piece, scan: Rc::clone(&scan), malformed: false, closed: Rc::clone(&closed), written: Rc::clone(&written) };
    let (scan, answer) = (&scan, &answer);
    let service = service_fn(move |request: Request<Incoming>| async move {
        let notes = scan.borrow_mut().take();
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok().map(|body| body.to_bytes());
        scan.borrow_mut().body_ends();
        Ok::<_, Infallible>(answer(Received { head, notes, body }))
    });
    let mut builder = Builder::new();
    builder.header_read_timeout(None).max_headers(MAX_FIELDS).max_header_size(MAX_HEAD).half_close(false);
    let mut connection = pin!(builder.serve_connection(memory, service));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let ended = (0..1000 + bytes.len()).any(|_| {
        let ended = connection.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        // Where hyper only gives way there is more to do; otherwise it waits for the client.
        let waits = !woken.0.swap(false, Ordering::Relaxed);
        closed.set(closed.get() || waits);
        ended
    });
    assert!(ended, "the connection never ends");
    written.take()
}

/// Whether there is more to do.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
