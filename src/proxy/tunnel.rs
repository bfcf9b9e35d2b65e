//! Copies both ways between a client and a version until both have ended; knows nothing of either.
//!
//! What one side sends is read only once the other has taken what came before, and an open tunnel through which nothing passes holds
//! no buffer.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use crate::proxy::scan::FrameWalk;

/// How long nothing may pass through a tunnel before it is closed.
pub const IDLE: Duration = Duration::from_secs(3600);
/// The same once one side has ended.
pub const HALF_OPEN: Duration = Duration::from_secs(300);
/// How long a tunnel that is cut waits for the end of a frame, and for its client to take what tells it.
const LAST_FRAME: Duration = Duration::from_millis(500);
/// How much is read at once at most, in bytes.
const PIECE: usize = 16 * 1024;
/// A Close frame of a server that restarts (RFC 6455 section 5.5.1; 1012 as registered with IANA).
const RESTARTS: [u8; 4] = [0x88, 2, 0x03, 0xf4];

/// What passes through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WebSocket frames.
    WebSocket,
    /// Anything.
    Tcp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::WebSocket, Self::Tcp];

    /// Returns its position in [`Kind::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the label used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Tcp => "tcp",
        }
    }
}

/// Why a tunnel ended in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both sides have ended.
    Both,
    /// Nothing has passed for too long.
    Idle,
    /// It was cut; the client of a WebSocket was told so.
    Cut,
}

/// How many bytes have passed through a tunnel; written by the one who carries, read at its end.
#[derive(Debug, Default)]
pub struct Passed {
    /// From the client.
    pub up: AtomicU64,
    /// To the client.
    pub down: AtomicU64,
}

/// How long a tunnel may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// While both sides may send.
    pub open: Duration,
    /// Once one has ended.
    pub half: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { open: IDLE, half: HALF_OPEN }
    }
}

/// Copies both ways until both sides have ended, nothing has passed for too long, or `cut` is ready, and counts in `passed`. `early` was
/// read from the client before.
///
/// Where one side ends sending the other is told and may go on. The client of a WebSocket that is cut gets a Close frame between two
/// frames of its version, if that comes to the end of one in time.
///
/// # Errors
///
/// Fails when either side does; what the other one has sent by then may be lost, as it is without a proxy in between.
pub async fn carry<C, V>(
    client: &mut C,
    early: Bytes,
    version: &mut V,
    kind: Kind,
    (patience, passed): (Patience, &Passed),
    cut: impl Future<Output = ()>,
) -> io::Result<Ended>
where
    C: AsyncRead + AsyncWrite + Unpin,
    V: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Way::new(early, &passed.up), Way::new(Bytes::new(), &passed.down));
    down.walk = (kind == Kind::WebSocket).then(FrameWalk::default);
    let mut cut = pin!(cut);
    let mut last = Instant::now();
    let mut silence = pin!(tokio::time::sleep(patience.open));
    let ended = poll_fn(|cx| {
        if cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::Result::Ok(Ended::Cut));
        }
        // What is written one way fails where what is read the other way comes from.
        let over = [up.poll(client, version, down.broken, cx)?, down.poll(version, client, up.broken, cx)?];
        if over.iter().all(Poll::is_ready) {
            return Poll::Ready(Ok(Ended::Both));
        }
        if std::mem::take(&mut up.moved) | std::mem::take(&mut down.moved) {
            last = Instant::now();
        }
        let limit = if over.iter().any(Poll::is_ready) { patience.half } else { patience.open };
        loop {
            if silence.deadline() > last + limit {
                silence.as_mut().reset(last + limit);
            }
            ready!(silence.as_mut().poll(cx));
            if last.elapsed() >= limit {
                return Poll::Ready(Ok(Ended::Idle));
            }
            // Something has passed since it was set.
            silence.as_mut().reset(last + limit);
        }
    });
    let ended: Ended = ended.await?;
    if ended == Ended::Cut {
        // Whatever becomes of it, the tunnel ends.
        let _ = tokio::time::timeout(LAST_FRAME, down.take_leave(version, client)).await;
    }
    Ok(ended)
}

/// One direction.
struct Way<'a> {
    /// What was read and not yet taken by the other side.
    held: Bytes,
    stage: Stage,
    /// Something has passed since this was last looked at.
    moved: bool,
    /// Why the receiver takes no more, where it is gone and has not just ended: what it has sent so far is not all.
    broken: Option<io::ErrorKind>,
    /// Where frames end, when that matters.
    walk: Option<FrameWalk>,
    passed: &'a AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The sender has ended, which the receiver is to learn.
    Ending,
    Ended,
}

impl<'a> Way<'a> {
    const fn new(held: Bytes, passed: &'a AtomicU64) -> Self {
        Self { held, stage: Stage::Open, moved: false, broken: None, walk: None, passed }
    }

    /// Notes what the receiver took.
    fn passed(&mut self, bytes: &[u8]) {
        self.moved = true;
        self.passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Some(walk) = &mut self.walk {
            walk.pass(bytes);
        }
    }

    /// Passes on what there is; ready at the end. Fails when the sender does; a receiver that takes no more ends it, because it may
    /// still have something to say. Where the sender was found `gone` by the other direction, its end is a failure: the system tells of a
    /// reset once, and of an end from then on.
    fn poll<F, T>(&mut self, from: &mut F, to: &mut T, gone: Option<io::ErrorKind>, cx: &mut Context<'_>) -> io::Result<Poll<()>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        loop {
            while !self.held.is_empty() && self.stage != Stage::Ended {
                match Pin::new(&mut *to).poll_write(cx, &self.held) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(Ok(0)) => self.stage = Stage::Ended,
                    Poll::Ready(Err(error)) => self.fails(&error),
                    Poll::Ready(Ok(count)) => {
                        let taken = self.held.split_to(count.min(self.held.len()));
                        self.passed(&taken);
                    }
                }
            }
            match self.stage {
                Stage::Ended => return Ok(Poll::Ready(())),
                Stage::Ending => {
                    if Pin::new(&mut *to).poll_shutdown(cx).is_pending() {
                        return Ok(Poll::Pending);
                    }
                    self.stage = Stage::Ended;
                }
                Stage::Open => {
                    let mut room = [MaybeUninit::uninit(); PIECE];
                    let mut fresh = ReadBuf::uninit(&mut room);
                    match Pin::new(&mut *from).poll_read(cx, &mut fresh)? {
                        Poll::Ready(()) if fresh.filled().is_empty() => match gone {
                            Some(kind) => return Err(kind.into()),
                            None => self.stage = Stage::Ending,
                        },
                        Poll::Ready(()) => self.pass_on(fresh.filled(), to, cx),
                        Poll::Pending => {
                            if let Poll::Ready(Err(error)) = Pin::new(&mut *to).poll_flush(cx) {
                                self.fails(&error);
                                continue;
                            }
                            return Ok(Poll::Pending);
                        }
                    }
                }
            }
        }
    }

    /// Ends it, because the receiver takes no more. One that has ended sending before has said all it had to.
    fn fails(&mut self, error: &io::Error) {
        self.stage = Stage::Ended;
        self.broken = Some(error.kind()).filter(|kind| *kind != io::ErrorKind::BrokenPipe);
    }

    /// Passes on what was just read, and keeps what is not taken at once.
    fn pass_on(&mut self, fresh: &[u8], to: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) {
        let taken = match Pin::new(to).poll_write(cx, fresh) {
            Poll::Pending => 0,
            Poll::Ready(Ok(count @ 1..)) => count.min(fresh.len()),
            Poll::Ready(Ok(0)) => {
                self.stage = Stage::Ended;
                return;
            }
            Poll::Ready(Err(error)) => return self.fails(&error),
        };
        let (passed, rest) = fresh.split_at(taken);
        if taken > 0 {
            self.passed(passed);
        }
        self.held = Bytes::copy_from_slice(rest);
    }

    /// Passes on the rest of the frame that has begun, and then tells the receiver that the server restarts; nothing where no frames
    /// are known, or the receiver was told already that nothing more comes.
    async fn take_leave<F, T>(&mut self, from: &mut F, to: &mut T) -> io::Result<()>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        let Some(walk) = self.walk.as_mut().filter(|_| self.stage == Stage::Open) else { return Ok(()) };
        while !walk.is_between() {
            if self.held.is_empty() {
                let mut room = vec![0; PIECE];
                let count = from.read(&mut room).await?;
                if count == 0 {
                    return Ok(());
                }
                room.truncate(count);
                self.held = room.into();
            }
            let rest = walk.step(&self.held);
            to.write_all(self.held.get(..rest).unwrap_or_default()).await?;
            self.held.advance(rest);
        }
        if !walk.is_closed() {
            to.write_all(&RESTARTS).await?;
        }
        to.flush().await
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
