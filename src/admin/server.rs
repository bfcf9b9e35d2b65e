//! The admin listener's thread: its runtime, its connections and their limits.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::admin::beat;
use crate::admin::events::Endless;
use crate::admin::guard::Arrived;
use crate::admin::router::router;
use crate::admin::seats::{Arriving, Seat, Seats};
use crate::admin::state::AdminState;

/// The most connections at a time. When all are taken, the one that waits longest for its client gives way to a new one;
/// while all of them are being answered, new ones wait in the listener's queue.
pub const CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may lie idle.
pub const HEADER: Duration = Duration::from_secs(10);
/// How old a connection gets before it is closed after the request at hand, unless it follows events.
pub const LIFETIME: Duration = Duration::from_secs(30);
/// How long the request at hand may then take; longer than the controller's patience.
pub const LAST_REQUEST: Duration = Duration::from_secs(15);
/// How long requests at hand may take once the listener stops.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// The largest head of a request, in bytes.
pub const HEAD: usize = 32 * 1024;

/// A running admin listener. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts answering on a thread of its own.
    ///
    /// # Errors
    ///
    /// Fails when the listener, the runtime or the thread cannot be set up.
    pub fn start(listener: TcpListener, state: AdminState) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(CONNECTIONS).build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopping) = watch::channel(false);
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.spawn(beat::run(state.clone()));
            runtime.block_on(accept(listener, router(state), stopping));
            // A command that waits for the controller must not keep the process.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Returns the address it listens at.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, gives requests at hand a second, and waits for the thread to end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic there was told by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn accept(listener: tokio::net::TcpListener, router: Router, mut stopping: watch::Receiver<bool>) {
    let for_connections = stopping.clone();
    let (mut connections, mut seats) = (JoinSet::new(), Seats::new(CONNECTIONS));
    let freed = seats.freed();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(ended) = connections.join_next_with_id() => seats.leave(ended.map_or_else(|error| error.id(), |(id, ())| id)),
            () = freed.notified() => {}
            accepted = listener.accept(), if seats.has_room() => match accepted {
                Ok((stream, _)) => {
                    let seat = seats.prepare();
                    let task = connections.spawn(serve(stream, router.clone(), Arc::clone(&seat), for_connections.clone()));
                    seats.take(task, seat);
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not accept a connection");
                    // Out of descriptors: trying again at once would only spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(listener);
    let quiet = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut when the set is dropped.
    let _ = tokio::time::timeout(FAREWELL, quiet).await;
}

async fn serve(stream: TcpStream, router: Router, seat: Arc<Seat>, mut stopping: watch::Receiver<bool>) {
    // Without it small answers are a little later, no more.
    let _ = stream.set_nodelay(true);
    let kept = Arc::clone(&seat);
    let arrived = stream.local_addr().ok().map(|address| Arrived(address.ip()));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(arrived) = arrived {
            request.extensions_mut().insert(arrived);
        }
        let seat = Arc::clone(&seat);
        let answer = router.clone().oneshot(request.map(|body| Arriving::new(body, Arc::clone(&seat))));
        async move {
            let answer = answer.await.unwrap_or_else(|never| match never {});
            if answer.extensions().get::<Endless>().is_some() {
                seat.follows();
            }
            // The client reads it now, and may have another request.
            seat.waits();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER).max_header_size(HEAD);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A connection that broke needs no answer.
        _ = connection.as_mut() => return,
        () = aged(&kept) => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_REQUEST, connection).await;
}

/// Ends when the connection is old; one that carries an answer without an end may stay for as long as its place is not needed.
async fn aged(seat: &Seat) {
    tokio::time::sleep(LIFETIME).await;
    if seat.is_following() {
        std::future::pending::<()>().await;
    }
}
