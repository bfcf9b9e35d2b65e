//! The webhook's connections: TLS, HTTP/1.1 and HTTP/2, and their limits.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::kube::webhook::routes::Hook;
use crate::proxy::certificates::TlsSlot;

/// The most connections at a time; those beyond wait in the listener's queue. An API server needs one or few.
pub const CONNECTIONS: usize = 256;
/// How long TLS may take to begin.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the head of a request may take over HTTP/1.1, and how long a connection may lie idle.
pub const IDLE: Duration = Duration::from_secs(30);
/// How old a connection gets, so that API servers come to new pods too.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// How long requests at hand may take once a connection or the process is to end.
pub const FAREWELL: Duration = Duration::from_secs(10);
/// How long it waits before it tries again what the system refused.
const BREATH: Duration = Duration::from_millis(50);
/// The largest head of a request, in bytes.
const HEAD: usize = 32 << 10;
/// The most requests of one HTTP/2 connection at a time.
const STREAMS: u32 = 100;
/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(10));

/// Serves until `stopping` holds true; then requests at hand have [`FAREWELL`].
///
/// # Errors
///
/// Fails when the runtime cannot have the socket.
pub async fn serve(socket: std::net::TcpListener, tls: TlsSlot, hook: Arc<Hook>, mut stopping: watch::Receiver<bool>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from_std(socket)?;
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let for_connections = stopping.clone();
    loop {
        tokio::select! {
            () = asked_to_stop(&mut stopping) => break,
            // A task that ended has nothing to say; a panic was told by the panic hook.
            Some(_) = connections.join_next() => {}
            taken = next(&socket, &seats) => match taken {
                Ok((stream, seat)) => {
                    connections.spawn(welcome(stream, Arc::clone(&tls), Arc::clone(&hook), for_connections.clone(), seat));
                }
                Err(error) => {
                    tracing::warn!(%error, "the webhook could not accept a connection");
                    // Trying again at once would only spin.
                    sleep(BREATH).await;
                }
            }
        }
    }
    drop(socket);
    let quiet = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut when the set is dropped.
    let _ = timeout(FAREWELL, quiet).await;
    Ok(())
}

/// Takes the next connection once there is a seat for it.
async fn next(socket: &TcpListener, seats: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, seat))
}

async fn welcome(stream: TcpStream, tls: TlsSlot, hook: Arc<Hook>, stopping: watch::Receiver<bool>, seat: OwnedSemaphorePermit) {
    // Without it small answers are a little later, no more.
    let _ = stream.set_nodelay(true);
    let hands = timeout(HANDSHAKE, TlsAcceptor::from(tls.load_full()).accept(stream)).await;
    // Who is no TLS client, or does not trust us, has been told so by TLS itself.
    let stream = match hands {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a client did not come through TLS"),
        Err(_) => return,
    };
    let over_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let pace = Arc::new(Pace::new(Instant::now()));
    let flying = Arc::clone(&pace);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (hook, flight) = (Arc::clone(&hook), Flight::begin(&flying));
        async move {
            let answer = hook.answer(request).await;
            drop(flight);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(stream);
    if over_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_header_list_size(HEAD as u32);
        builder.keep_alive_interval(PING.0).keep_alive_timeout(PING.1);
        let connection = pin!(builder.serve_connection(io, service));
        drive(connection, http2::Connection::graceful_shutdown, &pace, stopping).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_header_size(HEAD);
        let connection = pin!(builder.serve_connection(io, service));
        drive(connection, http1::Connection::graceful_shutdown, &pace, stopping).await;
    }
    drop(seat);
}

/// Lets a connection go on until its client ends it, it lies idle, it is old, or the process is to end.
async fn drive<C: Future>(mut connection: Pin<&mut C>, end: impl Fn(Pin<&mut C>), pace: &Pace, mut stopping: watch::Receiver<bool>) {
    loop {
        let due = pace.due();
        tokio::select! {
            // A connection that broke needs no answer.
            _ = connection.as_mut() => return,
            () = sleep_until(due) => if pace.due() <= Instant::now() { break },
            () = asked_to_stop(&mut stopping) => break,
        }
    }
    end(connection.as_mut());
    let _ = timeout(FAREWELL, connection).await;
}

/// Waits until the process is to end; also where nobody can say so any more.
async fn asked_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// When something last happened on a connection.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    /// Requests at hand. Written by the connection's tasks alone.
    flying: AtomicUsize,
    /// When the last one ended. Written by the connection's tasks alone.
    last: ArcSwap<Instant>,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { begun: now, flying: AtomicUsize::new(0), last: ArcSwap::from_pointee(now) }
    }

    /// Returns when it has to be looked at again, or, where that is past, that it is to end.
    fn due(&self) -> Instant {
        let last = if self.flying.load(Ordering::Relaxed) > 0 { Instant::now() } else { **self.last.load() };
        (last + IDLE).min(self.begun + LIFETIME)
    }
}

/// A request at hand.
struct Flight(Arc<Pace>);

impl Flight {
    fn begin(pace: &Arc<Pace>) -> Self {
        pace.flying.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pace))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.last.store(Arc::new(Instant::now()));
        self.0.flying.fetch_sub(1, Ordering::Relaxed);
    }
}
