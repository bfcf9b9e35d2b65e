//! Serves HTTP/2 over one connection.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::{Builder, Connection};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;

use crate::proxy::connection::bootstrap;
use crate::proxy::connection::drive::{Driven, Pace, Turn, drive};
use crate::proxy::connection::held::{Busy, Held};
use crate::proxy::patrol::{ConnectionGuard, StreamGuard, Ticket};
use crate::proxy::serve::Serve;
use crate::proxy::settings::http2;
use crate::proxy::wire::{Cork, Corked, Wire};
use crate::proxy::worker::Worker;

/// Serves requests to the connection's end.
pub async fn serve(wire: Wire, serve: Serve, guard: Rc<ConnectionGuard>, worker: &Rc<Worker>) -> hyper::Result<()> {
    let streams = Streams::default();
    let (rules, tunnels) = (serve.rules(), Rc::new(()));
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        let serve = serve.clone();
        let busy = Busy::new(&guard);
        let watched = Rc::clone(&guard);
        let kept = || (Busy::answered(&guard), Rc::clone(&tunnels));
        let websocket = bootstrap::begin(&mut request).map(|stream| (stream, kept(), Rc::clone(worker)));
        let (stream, ticket) = worker.patrol.stream();
        *streams.next.borrow_mut() = Some((Rc::clone(&stream), ticket));
        async move {
            let response = serve.handle(request.map(Into::into)).await;
            let response = match websocket {
                Some((stream, kept, worker)) => bootstrap::answer(response, stream, kept, &worker),
                None => response,
            };
            // Of what goes elsewhere the client takes the next piece when it likes to.
            let stream = (!watched.is_patient()).then_some(stream);
            Ok::<_, Infallible>(response.map(|answer| Held::new(answer, stream, busy)))
        }
    });
    let mut builder = Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(http2::STREAMS)
        .initial_stream_window_size(http2::STREAM_WINDOW)
        .initial_connection_window_size(http2::CONNECTION_WINDOW)
        .max_frame_size(http2::FRAME)
        .max_header_list_size(http2::HEADER_LIST)
        .header_table_size(http2::TABLE)
        .max_send_buf_size(http2::SEND_BUFFER)
        .max_pending_accept_reset_streams(http2::PENDING_RESETS)
        .max_local_error_reset_streams(http2::LOCAL_RESETS)
        .keep_alive_interval(http2::PING_INTERVAL)
        .keep_alive_timeout(http2::PING_TIMEOUT);
    let cork = Cork::new(wire, worker.spare.clone());
    let connection = pin!(Released { connection: builder.serve_connection(TokioIo::new(Corked(Rc::clone(&cork))), service), cork });
    let pace = Pace { guard: &guard, rules: &rules, ages: true, tunnels: Some(&tunnels), line: None };
    match drive(connection, pace, worker).await {
        Turn::Ended(ended) => ended,
        // Never without a line.
        Turn::Rests => Ok(()),
    }
}

/// Runs each stream as a task of its own, under patrol.
///
/// hyper calls the service and hands over the stream's task in one step, so that what the service left here belongs to it.
#[derive(Clone, Default)]
struct Streams {
    next: Rc<RefCell<Option<Watch>>>,
}

type Watch = (Rc<StreamGuard>, Ticket);

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(Patrolled { stream, watch: self.next.borrow_mut().take() });
    }
}

pin_project! {
    /// A stream that ends when its client takes nothing for too long: dropping it resets it.
    ///
    /// An async block that pins what it was given has room for it twice, and a stream is the most of what a request takes.
    struct Patrolled<F> {
        #[pin]
        stream: F,
        watch: Option<Watch>,
    }
}

impl<F: Future<Output = ()>> Future for Patrolled<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match this.watch {
            Some((guard, _)) if guard.poll_stalled(cx) => Poll::Ready(()),
            _ => this.stream.poll(cx),
        }
    }
}

pin_project! {
    /// A connection whose writes leave together at the end of each turn.
    struct Released<C> {
        #[pin]
        connection: C,
        cork: Rc<Cork<Wire>>,
    }
}

impl<C: Future> Future for Released<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.project();
        let polled = this.connection.poll(cx);
        this.cork.release(cx);
        polled
    }
}

impl<C: Driven> Driven for Released<C> {
    fn begin_farewell(self: Pin<&mut Self>) {
        self.project().connection.begin_farewell();
    }
}

impl<S> Driven for Connection<TokioIo<Corked<Wire>>, S, Streams>
where
    S: hyper::service::HttpService<Incoming, ResBody = Held>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: 'static,
{
    fn begin_farewell(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
