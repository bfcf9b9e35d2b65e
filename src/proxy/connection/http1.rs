//! Serves HTTP/1.0 and HTTP/1.1 over one connection.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::proxy::body::{Answer, Crossing};
use crate::proxy::connection::answering::Answering;
use crate::proxy::connection::drive::{Driven, Pace, drive};
use crate::proxy::connection::held::{Busy, Held};
use crate::proxy::connection::tunnelled;
use crate::proxy::patrol::ConnectionGuard;
use crate::proxy::serve::Serve;
use crate::proxy::settings::{MAX_FIELDS, MAX_HEAD};
use crate::proxy::tunnel::{Kind, Passed};
use crate::proxy::wire::Wire;
use crate::proxy::worker::Worker;

/// Serves requests to the connection's end.
pub async fn serve(wire: Wire, serve: Serve, guard: Rc<ConnectionGuard>, worker: &Worker) -> hyper::Result<()> {
    let (rules, crossing) = (serve.rules(), Cell::new(None));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (busy, crossing) = (Busy::new(&guard), &crossing);
        Answering::new(serve.handle(request.map(Into::into)), move |answer: Answer| Held::new(answer.leaving(crossing), None, busy))
    });
    let mut builder = Builder::new();
    // Time-outs of heads and idle connections are the patrol's; a client that closes its sending side is taken to have left.
    builder.header_read_timeout(None).max_headers(MAX_FIELDS).max_header_size(MAX_HEAD).half_close(false);
    let mut connection = builder.serve_connection(TokioIo::new(wire), service);
    let ended = drive(Pin::new(&mut connection), Pace { guard: &guard, rules: &rules, ages: false, tunnels: None }, worker).await;
    if ended.is_ok()
        && let Some(tunnel) = crossing.take()
    {
        // The answer that leaves a tunnel is the last one: hyper has sent it and closes nothing.
        let parts = connection.into_parts();
        Box::pin(carry(parts.io.into_inner(), parts.read_buf, *tunnel, worker)).await;
    }
    ended
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
