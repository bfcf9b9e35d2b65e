//! One HTTP/2 connection to an endpoint, and the task that drives it to its end.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Interval, interval, timeout};

use crate::domain::outcome::Failure;
use crate::proxy::settings::{MAX_HEAD, upstream_http2 as limits};
use crate::proxy::upstream::secure;
use crate::proxy::upstream::socket::Socket;

/// How often a connection's silence is looked at.
const PULSE: Duration = Duration::from_secs(1);

/// Stands for the number of requests at once before the endpoint has said it; with SETTINGS that do not name one it has no bound.
const UNSAID: usize = usize::MAX - 1;

/// One connection that carries many requests. Once the last request has left it and nobody keeps it for more, it says goodbye.
pub struct Lane {
    sender: SendRequest<Bytes>,
    vitals: Rc<Vitals>,
    encrypted: bool,
    /// For how many sweeps it has been without a request.
    idle: Cell<u32>,
    /// Dropping it tells the task.
    _released: oneshot::Sender<()>,
}

/// How many requests are under way over all HTTP/2 connections of a worker.
pub type Crowd = Rc<Cell<usize>>;

/// What the task, the socket and the requests of a connection know of it.
#[derive(Default)]
struct Vitals {
    crowd: Crowd,
    streams: Cell<usize>,
    /// For how many seconds there have been few of them.
    calm: Cell<u32>,
    /// How often something was read, ever.
    heard: Cell<u64>,
    /// For how many seconds nothing was heard while requests waited.
    silent: Cell<u32>,
    /// What was heard when a request gave up in a long silence; such a connection gets no further request until more is heard.
    doubted: Cell<Option<u64>>,
    ended: Cell<bool>,
    /// Whether its end has counted against the endpoint.
    blamed: Cell<bool>,
}

impl Lane {
    /// Begins HTTP/2 over a connection, waits until the endpoint has said how many requests it takes at once, and starts the task that
    /// drives the connection.
    ///
    /// # Errors
    ///
    /// Fails as the connection does, and when the endpoint does not speak HTTP/2.
    pub async fn begin(socket: Socket, crowd: &Crowd) -> Result<Rc<Self>, Failure> {
        let vitals = Rc::new(Vitals { crowd: Rc::clone(crowd), ..Vitals::default() });
        let encrypted = matches!(socket, Socket::Tls(_));
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(limits::NARROW_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_frame_size(limits::FRAME)
            .max_header_list_size(MAX_HEAD as u32)
            .max_send_buffer_size(limits::SEND_BUFFER)
            .initial_max_send_streams(UNSAID)
            .max_local_error_reset_streams(Some(limits::LOCAL_RESETS));
        let heard = Heard { socket, vitals: Rc::clone(&vitals) };
        let (sender, mut connection) = builder.handshake(heard).await.map_err(|error| failure_of(&error))?;
        let settings = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(Failure::ConnectionTerminated)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(failure_of(&error))),
            Poll::Pending if connection.max_concurrent_send_streams() != UNSAID => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        });
        settings.await?;
        let (released, lone) = oneshot::channel();
        tokio::task::spawn_local(drive(connection, lone, Rc::clone(&vitals)));
        Ok(Rc::new(Self { sender, vitals, encrypted, idle: Cell::new(0), _released: released }))
    }

    /// Takes a place for a request when the endpoint allows one more at once; `None` too when the connection takes no more at all.
    pub fn take(self: &Rc<Self>) -> Option<Berth> {
        let most = self.sender.current_max_send_streams().min(limits::STREAMS);
        if self.vitals.streams.get() < most { self.take_anyway() } else { None }
    }

    /// Takes a place even when the request has to wait for others to end; `None` when the connection takes no more at all.
    pub fn take_anyway(self: &Rc<Self>) -> Option<Berth> {
        let vitals = &self.vitals;
        let doubtful = vitals.doubted.get() == Some(vitals.heard.get());
        let mut sender = self.sender.clone();
        // Fails after GOAWAY and after any error of the connection.
        let open = matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
        if vitals.ended.get() || doubtful || !open {
            return None;
        }
        vitals.streams.set(vitals.streams.get() + 1);
        vitals.crowd.set(vitals.crowd.get() + 1);
        self.idle.set(0);
        Some(Berth { sender, heard: vitals.heard.get(), answered: false, lane: Rc::clone(self) })
    }

    /// Returns how many requests it carries.
    pub fn streams(&self) -> usize {
        self.vitals.streams.get()
    }

    /// Counts a sweep; says whether the connection is worth keeping.
    pub fn is_worth_keeping(&self) -> bool {
        if self.streams() > 0 {
            return !self.vitals.ended.get();
        }
        self.idle.set(self.idle.get() + 1);
        self.idle.get() <= limits::IDLE_SWEEPS && self.sender_is_open()
    }

    fn sender_is_open(&self) -> bool {
        let mut sender = self.sender.clone();
        !self.vitals.ended.get() && matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }
}

/// A request's place on a connection.
pub struct Berth {
    pub(super) sender: SendRequest<Bytes>,
    /// What had been heard when it was taken.
    heard: u64,
    pub(super) answered: bool,
    lane: Rc<Lane>,
}

impl Berth {
    /// Says whether the connection's end has not counted against the endpoint yet; it does from now on.
    pub fn blames_anew(&self) -> bool {
        !self.lane.vitals.blamed.replace(true)
    }

    /// Says whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.lane.encrypted
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        let vitals = &self.lane.vitals;
        vitals.streams.set(vitals.streams.get().saturating_sub(1));
        vitals.crowd.set(vitals.crowd.get().saturating_sub(1));
        if !self.answered && vitals.heard.get() == self.heard && vitals.silent.get() >= limits::DOUBT_AFTER {
            vitals.doubted.set(Some(self.heard));
        }
    }
}

/// Says what an error of HTTP/2 means before the head of an answer.
pub fn failure_of(error: &h2::Error) -> Failure {
    match error.get_io() {
        Some(error) => secure::tls_failure(error).unwrap_or(Failure::ConnectionTerminated),
        // What our side of the protocol objects to is not HTTP/2 as it must be.
        None if error.is_library() => Failure::ResponseInvalid,
        None => Failure::ConnectionTerminated,
    }
}

/// Drives a connection until it ends, is silent for too long, or nobody needs it any more.
async fn drive(mut connection: Connection<Heard, Bytes>, mut lone: oneshot::Receiver<()>, vitals: Rc<Vitals>) {
    let mut window = limits::NARROW_WINDOW;
    // There have not been many yet.
    vitals.calm.set(limits::CALM);
    let silence = Silence { pings: connection.ping_pong(), pulse: interval(PULSE), vitals: Rc::clone(&vitals) };
    let ended = tokio::select! {
        ended = poll_fn(|cx| {
            suit(&mut connection, &mut window, &vitals);
            Pin::new(&mut connection).poll(cx)
        }) => ended,
        () = silence.grows_too_long() => Ok(()),
        _ = &mut lone => timeout(limits::FAREWELL, &mut connection).await.unwrap_or(Ok(())),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection to a version ended");
    }
    vitals.ended.set(true);
}

/// Lets each answer bring less unasked while many share the connection, or the worker has many over all of them. Those that are begun with it then obey too: SETTINGS go out
/// before their requests.
fn suit(connection: &mut Connection<Heard, Bytes>, window: &mut u32, vitals: &Vitals) {
    let few = vitals.streams.get() <= limits::FEW && vitals.crowd.get() <= limits::FEW_IN_ALL;
    if !few {
        vitals.calm.set(0);
    }
    let wide = match *window {
        limits::STREAM_WINDOW => few,
        _ => vitals.streams.get() > 0 && vitals.calm.get() >= limits::CALM,
    };
    let wanted = if wide { limits::STREAM_WINDOW } else { limits::NARROW_WINDOW };
    // It fails while the endpoint has not confirmed the last change, and is tried again.
    if *window != wanted && connection.set_initial_window_size(wanted).is_ok() {
        *window = wanted;
    }
}

/// Watches a connection's silence while requests wait for it.
///
/// A silent endpoint is asked with a PING, but not again for a while: servers of gRPC take more than a few of them without data in
/// between for an attack.
struct Silence {
    pings: Option<PingPong>,
    pulse: Interval,
    vitals: Rc<Vitals>,
}

impl Silence {
    async fn grows_too_long(mut self) {
        let Some(mut pings) = self.pings.take() else { return std::future::pending().await };
        let (mut heard, mut pause) = (0, limits::PING_PAUSE);
        let mut asked = None;
        loop {
            self.pulse.tick().await;
            self.vitals.calm.set(self.vitals.calm.get().saturating_add(1));
            // Takes in the answer, without which no further PING is sent; anything else that is heard will do as well.
            let _ = poll_fn(|cx| Poll::Ready(pings.poll_pong(cx).is_ready())).await;
            pause = pause.saturating_add(1);
            let now = self.vitals.heard.get();
            if now != heard || self.vitals.streams.get() == 0 {
                (heard, asked) = (now, None);
                self.vitals.silent.set(0);
                continue;
            }
            let silent = self.vitals.silent.get() + 1;
            self.vitals.silent.set(silent);
            match asked {
                Some(since) if silent - since >= limits::PING_TIMEOUT => return,
                None if silent >= limits::PING_AFTER && pause >= limits::PING_PAUSE && pings.send_ping(Ping::opaque()).is_ok() => {
                    (asked, pause) = (Some(silent), 0);
                }
                _ => {}
            }
        }
    }
}

/// The socket, which tells when something is read.
struct Heard {
    socket: Socket,
    vitals: Rc<Vitals>,
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.vitals.heard.set(self.vitals.heard.get() + 1);
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
