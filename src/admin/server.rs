//! The admin listener's thread: its runtime, its connections and their limits.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use webpki::EndEntityCert;

use crate::admin::access::{Peer, Way, way_of};
use crate::admin::beat;
use crate::admin::events::Endless;
use crate::admin::guard::Arrived;
use crate::admin::reserve::{KEPT, Reserve, is_exhaustion};
use crate::admin::router::router;
use crate::admin::seats::{Arriving, Seat, Seats};
use crate::admin::state::AdminState;
use crate::proxy::certificates::TlsSlot;
use crate::proxy::listening::{Accepting, Bound};
use crate::proxy::plain::Plain;

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
/// How long it waits before it tries again what the system refused.
const BREATH: Duration = Duration::from_millis(50);
/// The largest head of a request, in bytes.
pub const HEAD: usize = 32 * 1024;

/// A running admin listener. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts answering on a thread of its own. What waits for the disk or the controller has threads beside it; of those that
    /// read the journal `Reading` bounds how many there are, so that one is always left for a command.
    ///
    /// # Errors
    ///
    /// Fails when the listener, the runtime or the thread cannot be set up.
    pub fn start(doors: Vec<Door>, state: AdminState) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(CONNECTIONS).build()?;
        let doors = {
            let _inside = runtime.enter();
            doors.into_iter().map(Open::new).collect::<io::Result<Vec<Open>>>()?
        };
        let (stop, stopping) = watch::channel(false);
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.spawn(beat::run(state.clone()));
            runtime.block_on(accept(doors, router(state), stopping));
            // A command that waits for the controller must not keep the process.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread: Some(thread) })
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

/// A socket that the admin API listens on.
#[derive(Debug)]
pub struct Door {
    /// The socket.
    pub socket: Bound,
    /// What its connections are encrypted with; `None` where they are not.
    pub tls: Option<TlsSlot>,
}

impl From<TcpListener> for Door {
    /// Encrypts nothing.
    fn from(socket: TcpListener) -> Self {
        Self { socket: Bound::Tcp(socket), tls: None }
    }
}

/// A door within the runtime.
struct Open {
    accepting: Accepting,
    /// What is particular to its connections.
    entry: Arc<Entry>,
}

struct Entry {
    /// The address it is bound to; `None` of a Unix socket.
    bound: Option<IpAddr>,
    tls: Option<TlsSlot>,
}

impl Open {
    fn new(door: Door) -> io::Result<Self> {
        let bound = door.socket.address()?.ip().map(|address| address.ip());
        Ok(Self { accepting: door.socket.accepting()?, entry: Arc::new(Entry { bound, tls: door.tls }) })
    }
}

/// Accepts the next connection of any door; those after `last` are asked first, so that none keeps the others waiting.
async fn next(doors: &[Open], last: usize) -> (usize, io::Result<Plain>) {
    std::future::poll_fn(|cx| {
        for (index, door) in doors.iter().enumerate().cycle().skip(last + 1).take(doors.len()) {
            let accepted = match &door.accepting {
                Accepting::Tcp(socket) => socket.poll_accept(cx).map(|accepted| accepted.map(|(stream, _)| Plain::Tcp(stream))),
                Accepting::Unix(socket) => socket.poll_accept(cx).map(|accepted| accepted.map(|(stream, _)| Plain::Unix(stream))),
            };
            if let Poll::Ready(accepted) = accepted {
                return Poll::Ready((index, accepted));
            }
        }
        Poll::Pending
    })
    .await
}

async fn accept(doors: Vec<Open>, router: Router, mut stopping: watch::Receiver<bool>) {
    let for_connections = stopping.clone();
    let (mut connections, mut seats) = (JoinSet::new(), Seats::new(CONNECTIONS));
    let freed = seats.freed();
    let (mut reserve, mut refill) = (Reserve::new(KEPT), tokio::time::interval(BREATH));
    refill.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = 0;
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(ended) = connections.join_next_with_id() => {
                seats.leave(ended.map_or_else(|error| error.id(), |(id, ())| id));
                // At once, before anybody else has it.
                reserve.refill();
            }
            _ = refill.tick(), if !reserve.is_whole() => reserve.refill(),
            () = freed.notified() => {}
            (door, accepted) = next(&doors, last), if seats.has_room() => match (accepted, doors.get(door)) {
                (Ok(stream), Some(open)) => {
                    last = door;
                    let seat = seats.prepare();
                    let entry = Arc::clone(&open.entry);
                    let task = connections.spawn(welcome(stream, entry, router.clone(), Arc::clone(&seat), for_connections.clone()));
                    seats.take(task, seat);
                }
                (Ok(_), None) => {}
                // With one of the reserve, or with that of whoever keeps us waiting longest, it can be accepted after all.
                (Err(error), _) if is_exhaustion(&error) && (reserve.give_up_one() || seats.send_one_away()) => {
                    // Whoever was sent away closes its connection meanwhile.
                    tokio::task::yield_now().await;
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "the admin listener could not accept a connection");
                    // Trying again at once would only spin.
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
    drop(doors);
    let quiet = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut when the set is dropped.
    let _ = tokio::time::timeout(FAREWELL, quiet).await;
}

/// Sees over what a connection comes, encrypts it where it has to be, and answers its requests.
async fn welcome(stream: Plain, entry: Arc<Entry>, router: Router, seat: Arc<Seat>, stopping: watch::Receiver<bool>) {
    let (peer, arrived) = match &stream {
        Plain::Tcp(stream) => {
            // Without it small answers are a little later, no more.
            let _ = stream.set_nodelay(true);
            let own = stream.local_addr().ok().map(|address| Arrived(address.ip()));
            let source = stream.peer_addr().ok().map(|address| address.ip());
            (Peer { way: entry.bound.map_or(Way::Network, way_of), source, ..Peer::default() }, own)
        }
        Plain::Unix(stream) => {
            let way = Way::Socket(stream.peer_cred().ok().map(|user| user.uid()));
            (Peer { way, ..Peer::default() }, None)
        }
    };
    let Some(tls) = &entry.tls else {
        return serve(stream, (peer, arrived), router, seat, stopping).await;
    };
    let mut config = rustls::ServerConfig::clone(&tls.load());
    // The files are those of any listener, but here is no HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let hands = tokio::time::timeout(HEADER, TlsAcceptor::from(Arc::new(config)).accept(stream)).await;
    // Who is no TLS client, or shows no good certificate, has been told so by TLS itself.
    let Ok(Ok(stream)) = hands else { return };
    let names = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(names).unwrap_or_default();
    let peer = Peer { encrypted: true, names: names.into(), ..peer };
    serve(stream, (peer, arrived), router, seat, stopping).await;
}

/// Returns the names that a client certificate is for: its URIs and host names (RFC 5280 section 4.2.1.6).
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    certificate.valid_uri_names().chain(certificate.valid_dns_names()).map(str::to_owned).collect()
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    (peer, arrived): (Peer, Option<Arrived>),
    router: Router,
    seat: Arc<Seat>,
    mut stopping: watch::Receiver<bool>,
) {
    let kept = Arc::clone(&seat);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(arrived) = arrived {
            request.extensions_mut().insert(arrived);
        }
        request.extensions_mut().insert(peer.clone());
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
