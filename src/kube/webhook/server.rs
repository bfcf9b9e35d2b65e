//! The webhook's connections: TLS, HTTP/1.1 and HTTP/2, and how long they last.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::kube::webhook::pace::{Flight, IDLE};
use crate::kube::webhook::routes::Hook;
use crate::kube::webhook::seats::{Seat, Seats};
use crate::proxy::certificates::TlsSlot;

/// The most connections at a time; for one more another has to go. An API server needs one or few.
pub const CONNECTIONS: usize = 256;
/// How long TLS may take to begin.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long requests at hand may take once a connection or the process is to end.
pub const FAREWELL: Duration = Duration::from_secs(10);
/// How long they may take where somebody else needs the seat.
const SHORT_FAREWELL: Duration = Duration::from_secs(1);
/// How long it waits before it tries again what the system refused.
const BREATH: Duration = Duration::from_millis(50);
/// The largest head of a request, in bytes.
const HEAD: usize = 32 << 10;
/// The most requests of one HTTP/2 connection at a time.
const STREAMS: u32 = 16;
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
    let seats = Seats::new(CONNECTIONS);
    let mut connections = JoinSet::new();
    let for_connections = stopping.clone();
    loop {
        let taken = tokio::select! {
            () = asked_to_stop(&mut stopping) => break,
            taken = next(&socket, &seats) => taken,
        };
        // A task that ended has nothing to say; a panic was told by the panic hook.
        while connections.try_join_next().is_some() {}
        match taken {
            Ok((stream, seat)) => {
                // Without it small answers are a little later, no more.
                let _ = stream.set_nodelay(true);
                connections.spawn(converse(stream, tls.load_full(), Arc::clone(&hook), for_connections.clone(), seat));
            }
            Err(error) => {
                tracing::warn!(%error, "the webhook could not accept a connection");
                // Trying again at once would only spin.
                sleep(BREATH).await;
            }
        }
    }
    drop(socket);
    let quiet = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut when the set is dropped.
    let _ = timeout(FAREWELL, quiet).await;
    Ok(())
}

/// Takes the next connection, and a seat for it.
async fn next(socket: &TcpListener, seats: &Arc<Seats>) -> io::Result<(TcpStream, Seat)> {
    let (stream, from) = socket.accept().await?;
    let from: IpAddr = from.ip().to_canonical();
    Ok((stream, seats.take(from).await))
}

/// Answers what comes over a connection, from the handshake to the end.
pub(super) async fn converse<S>(stream: S, tls: Arc<ServerConfig>, hook: Arc<Hook>, stopping: watch::Receiver<bool>, seat: Seat)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let hands = tokio::select! {
        hands = timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)) => hands,
        () = seat.asked_to_leave() => return hook.missed("its seat was needed before TLS began"),
    };
    // Who is no TLS client, or does not trust us, has been told so by TLS itself.
    let stream = match hands {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return hook.missed(&error.to_string()),
        Err(_) => return hook.missed(&format!("TLS did not begin within {} s", HANDSHAKE.as_secs())),
    };
    let over_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let pace = seat.pace();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (hook, flight) = (Arc::clone(&hook), Flight::begin(&pace));
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
        drive(connection, http2::Connection::graceful_shutdown, &seat, stopping).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_header_size(HEAD);
        let connection = pin!(builder.serve_connection(io, service));
        drive(connection, http1::Connection::graceful_shutdown, &seat, stopping).await;
    }
}

/// Lets a connection go on until its client ends it, it lies idle, it is old, somebody else needs its seat, or the process is to end.
async fn drive<C: Future>(mut connection: Pin<&mut C>, end: impl Fn(Pin<&mut C>), seat: &Seat, mut stopping: watch::Receiver<bool>) {
    let pace = seat.pace();
    let farewell = loop {
        let due = pace.due(Instant::now());
        tokio::select! {
            // A connection that broke needs no answer.
            _ = connection.as_mut() => return,
            () = sleep_until(due) => {
                let now = Instant::now();
                if pace.due(now) <= now {
                    break FAREWELL;
                }
            }
            () = asked_to_stop(&mut stopping) => break FAREWELL,
            () = seat.asked_to_leave() => break SHORT_FAREWELL,
        }
    };
    end(connection.as_mut());
    let _ = timeout(farewell, connection).await;
}

/// Waits until the process is to end; also where nobody can say so any more.
async fn asked_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
