//! Serves HTTP/1.0 and HTTP/1.1 over one connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;

use crate::proxy::body::{Answer, Crossing};
use crate::proxy::connection::answering::Answering;
use crate::proxy::connection::drive::{Driven, Pace, Turn, drive};
use crate::proxy::connection::held::{Busy, Held};
use crate::proxy::connection::tunnelled;
use crate::proxy::rules::Rules;
use crate::proxy::serve::Serve;
use crate::proxy::settings::{MAX_FIELDS, MAX_HEAD};
use crate::proxy::tunnel::{Kind, Passed};
use crate::proxy::wire::{Line, Wire};
use crate::proxy::worker::{Counters, Worker};

/// Serves requests to the connection's end. A client that ends sending is taken to have left unless it `may_end` and wait for its answer.
///
/// While it is idle it holds no parser: hyper keeps 16 KiB of buffers and the room of a request for each connection, more than all else
/// that belongs to it.
pub async fn serve(mut wire: Wire, serve: Serve, may_end: bool, line: &Rc<Line>, worker: &Worker) -> hyper::Result<()> {
    loop {
        match Box::pin(talk(wire, &serve, may_end, line, worker)).await {
            Talk::Ended(ended) => return ended,
            Talk::Rests(rested) => wire = rested,
            Talk::Tunnel(wire, early, crossing) => {
                Box::pin(carry(wire, early, *crossing, worker)).await;
                return Ok(());
            }
        }
        let resting = Resting::new(&worker.counters);
        if !rest(&mut wire, &serve.rules(), worker).await {
            return Ok(());
        }
        drop(resting);
    }
}

/// Counts a connection for as long as it rests.
struct Resting<'a>(&'a Counters);

impl<'a> Resting<'a> {
    fn new(counters: &'a Counters) -> Self {
        counters.resting.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.resting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What comes of a while of requests and answers.
enum Talk {
    Ended(hyper::Result<()>),
    /// The connection is idle, and nothing of it is held but the socket.
    Rests(Wire),
    /// It goes on as a tunnel, of which the client has sent these bytes already.
    Tunnel(Wire, Bytes, Box<Crossing>),
}

/// Serves requests until the connection is idle, ends, or becomes a tunnel.
async fn talk(wire: Wire, serve: &Serve, may_end: bool, line: &Rc<Line>, worker: &Worker) -> Talk {
    let (rules, guard, crossing) = (serve.rules(), line.guard(), Cell::new(None));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (busy, crossing) = (Busy::new(guard), &crossing);
        Answering::new(serve.handle(request.map(Into::into)), move |answer: Answer| Held::new(answer.leaving(crossing), None, busy))
    });
    let mut builder = Builder::new();
    // Time-outs of heads and idle connections are the patrol's.
    builder.header_read_timeout(None).max_headers(MAX_FIELDS).max_header_size(MAX_HEAD).half_close(may_end);
    let mut connection = builder.serve_connection(TokioIo::new(wire), service);
    let pace = Pace { guard, rules: &rules, ages: false, tunnels: None, line: Some(line) };
    match drive(Pin::new(&mut connection), pace, worker).await {
        Turn::Ended(Ok(())) => match crossing.take() {
            Some(tunnel) => {
                // The answer that leaves a tunnel is the last one: hyper has sent it and closes nothing.
                let parts = connection.into_parts();
                Talk::Tunnel(parts.io.into_inner(), parts.read_buf, tunnel)
            }
            None => Talk::Ended(Ok(())),
        },
        Turn::Ended(failed) => Talk::Ended(failed),
        Turn::Rests => {
            guard.rested();
            // No message is open and nothing is left to be sent. Behind the last one hyper may hold empty lines, which mean nothing.
            let parts = connection.into_parts();
            if !parts.read_buf.iter().all(|byte| b"\r\n".contains(byte)) {
                // Of a message that nobody reads: what follows it could be taken for a request.
                debug_assert!(false, "a connection rests in the middle of a message");
                return Talk::Ended(Ok(()));
            }
            Talk::Rests(parts.io.into_inner())
        }
    }
}

/// Waits for the next request; says whether there is one.
async fn rest(wire: &mut Wire, rules: &Rc<Rules>, worker: &Worker) -> bool {
    let next = tokio::select! {
        biased;
        next = poll_fn(|cx| wire.poll_begins(cx)) => next,
        () = worker.ends(rules) => Ok(false),
    };
    match next {
        Ok(true) => return true,
        Ok(false) => {}
        Err(error) => tracing::debug!(%error, "an idle client connection ended"),
    }
    // TLS has a last word to say; whatever becomes of it, the connection ends.
    let _ = poll_fn(|cx| Pin::new(&mut *wire).poll_shutdown(cx)).await;
    false
}

async fn carry(wire: Wire, early: Bytes, crossing: Crossing, worker: &Worker) {
    let Crossing { far, ticket } = crossing;
    tunnelled::carry(wire, early, far, (Kind::WebSocket, &Passed::default()), worker).await;
    drop(ticket);
}

impl<S> Driven for Connection<TokioIo<Wire>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Held>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn begin_farewell(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
