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

/// What the task, the socket and the requests of a connection know of it.
#[derive(Default)]
struct Vitals {
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
    pub async fn begin(socket: Socket) -> Result<Rc<Self>, Failure> {
        let vitals = Rc::new(Vitals::default());
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

/// Lets each answer bring less unasked while many share the connection. Those that are begun with it then obey too: SETTINGS go out
/// before their requests.
fn suit(connection: &mut Connection<Heard, Bytes>, window: &mut u32, vitals: &Vitals) {
    if vitals.streams.get() > limits::FEW {
        vitals.calm.set(0);
    }
    let wide = match *window {
        limits::STREAM_WINDOW => vitals.streams.get() <= limits::FEW,
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
mod tests {
    use std::io::{Read, Write};

    use http::Request;
    use tokio::time::Instant;

    use super::*;
    use crate::domain::endpoint::Endpoint;
    use crate::proxy::upstream::connect::connect;

    /// A connection to a peer in the hands of the test.
    async fn begun() -> (Rc<Lane>, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let socket = connect(&Endpoint::Address(listener.local_addr().unwrap())).await.unwrap();
        let mut peer = listener.accept().unwrap().0;
        // Empty SETTINGS.
        peer.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
        (Lane::begin(Socket::Plain(socket)).await.unwrap(), peer)
    }

    fn block_on<T>(paused: bool, test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test)
    }

    #[test]
    fn a_connection_that_answers_no_ping_fails_its_requests_and_takes_no_more() {
        block_on(true, async {
            let (lane, mut peer) = begun().await;
            let mut berth = lane.take().unwrap();
            let (response, _) = berth.sender.send_request(Request::get("http://a.test/").body(()).unwrap(), true).unwrap();
            let since = Instant::now();
            assert!(response.await.unwrap_err().is_io());
            let (silence, took) = (limits::PING_AFTER + limits::PING_TIMEOUT, since.elapsed().as_secs());
            assert!((u64::from(silence)..=u64::from(silence) + 2).contains(&took), "{took} s");
            drop(berth);
            assert!(lane.take().is_none() && lane.take_anyway().is_none());
            let mut seen = Vec::new();
            peer.read_to_end(&mut seen).unwrap();
            assert!(seen.windows(5).any(|frame| frame == [0, 0, 8, 6, 0]), "a PING was sent: {seen:?}");
        });
    }

    /// Reads until the peer has been told this initial window, and confirms it.
    async fn told(peer: &mut std::net::TcpStream, window: u32) {
        let (mut seen, wanted) = (Vec::new(), [&[0, 4][..], &window.to_be_bytes()].concat());
        peer.set_nonblocking(true).unwrap();
        while !seen.windows(6).any(|setting| setting == wanted) {
            let mut bytes = [0; 256];
            match peer.read(&mut bytes) {
                Ok(count) => seen.extend_from_slice(&bytes[..count]),
                // Time passes by itself while everybody waits.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        peer.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).unwrap();
    }

    #[test]
    fn many_answers_may_bring_little_unasked_and_few_bring_more_once_there_were_few_for_a_while() {
        block_on(true, async {
            let (lane, mut peer) = begun().await;
            told(&mut peer, limits::NARROW_WINDOW).await;
            let mut berths = vec![lane.take().unwrap()];
            told(&mut peer, limits::STREAM_WINDOW).await;
            berths.extend((0..limits::FEW).map(|_| lane.take().unwrap()));
            told(&mut peer, limits::NARROW_WINDOW).await;
            berths.truncate(1);
            let since = Instant::now();
            told(&mut peer, limits::STREAM_WINDOW).await;
            assert!(since.elapsed() >= PULSE * (limits::CALM - 1), "{:?}", since.elapsed());
        });
    }

    #[test]
    fn a_request_that_gives_up_in_silence_casts_doubt_on_its_connection_and_one_that_just_leaves_does_not() {
        block_on(true, async {
            let (lane, _peer) = begun().await;
            drop(lane.take().unwrap());
            let berth = lane.take().unwrap();
            tokio::time::sleep(PULSE * (limits::DOUBT_AFTER + 2)).await;
            drop(berth);
            assert!(lane.take().is_none());
        });
    }

    #[test]
    fn an_idle_connection_is_not_worth_keeping_for_ever_and_says_goodbye() {
        block_on(false, async {
            let (lane, mut peer) = begun().await;
            let berth = lane.take().unwrap();
            assert!((0..=limits::IDLE_SWEEPS).all(|_| lane.is_worth_keeping()), "it is in use");
            drop(berth);
            let kept = (0..limits::IDLE_SWEEPS * 2).take_while(|_| lane.is_worth_keeping()).count();
            assert_eq!(kept, limits::IDLE_SWEEPS as usize);
            drop(lane);
            let read = tokio::task::spawn_blocking(move || {
                let mut seen = Vec::new();
                peer.read_to_end(&mut seen).map(|_| seen)
            });
            let seen = read.await.unwrap().unwrap();
            assert!(seen.windows(5).any(|frame| frame == [0, 0, 8, 7, 0]), "GOAWAY was sent: {seen:?}");
        });
    }
}
