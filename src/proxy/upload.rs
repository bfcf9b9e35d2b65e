//! The body of a request on its way to its version.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Version, header, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::domain::outcome::Failure;
use crate::proxy::patrol::{RequestGuard, Transfer};
use crate::proxy::sanitise::{self, Framing};
use crate::proxy::settings::MAX_KEPT;
use crate::proxy::wire::Line;

/// What any body error becomes.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a request's body comes from.
pub enum Source {
    /// A client's connection.
    Client(Incoming),
    /// Bytes at hand, for callers without a connection.
    Whole(Full<Bytes>),
}

impl From<Incoming> for Source {
    fn from(body: Incoming) -> Self {
        Self::Client(body)
    }
}

impl Source {
    /// Says whether there is nothing to send.
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
        }
    }
}

/// What copies a body that passes by.
pub trait Copying {
    /// Keeps a piece; says whether there is still room for it.
    fn hold(&mut self, data: &Bytes) -> bool;
    /// Sends the copy of a body that has passed in full.
    fn send(self: Box<Self>);
}

/// What one worker keeps of requests' bodies, so that they can be sent again.
#[derive(Debug, Default)]
pub struct Larder {
    /// How much of it is taken, in bytes.
    taken: Cell<usize>,
}

impl Larder {
    /// Takes room for so many bytes; `None` where there is not as much left of [`MAX_KEPT`].
    #[must_use]
    pub fn take(self: &Rc<Self>, bytes: usize) -> Option<Room> {
        let taken = self.taken.get().checked_add(bytes).filter(|taken| *taken <= MAX_KEPT)?;
        self.taken.set(taken);
        Some(Room { larder: Rc::clone(self), bytes })
    }
}

/// Room that was taken in a larder, until it is dropped.
#[derive(Debug)]
pub struct Room {
    larder: Rc<Larder>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.larder.taken.set(self.larder.taken.get().saturating_sub(self.bytes));
    }
}

/// A body that is here in full.
struct Kept {
    bytes: Bytes,
    _room: Room,
}

/// The body of a request on its way to the version; what the client does wrong is remembered in the guard.
pub struct Upload {
    source: Source,
    guard: Rc<RequestGuard>,
    line: Option<Rc<Line>>,
    done: bool,
    /// Comes over HTTP/2.
    multiplexed: bool,
    /// How many bytes of an announced length are still to come.
    left: Option<u64>,
    /// What is copied on the way.
    copy: Option<Box<dyn Copying>>,
    /// All of it, where it may be sent more than once.
    kept: Option<Box<Kept>>,
    /// Why there is nothing to send: it could not be read in full before.
    broken: Option<Failure>,
    /// What stood behind the body, cleaned.
    trailers: Option<Box<HeaderMap>>,
}

impl Upload {
    /// Wraps a request's body. `line` is the client's connection, told when the body is over.
    #[must_use]
    pub fn new(source: Source, guard: Rc<RequestGuard>, line: Option<Rc<Line>>) -> Self {
        let mut upload = Self {
            done: source.is_end_stream(),
            source,
            guard,
            line,
            multiplexed: false,
            left: None,
            copy: None,
            kept: None,
            broken: None,
            trailers: None,
        };
        if upload.done {
            upload.finish();
        } else {
            upload.guard.upload(Transfer::Held);
        }
        upload
    }

    /// Copies what passes by, if anything is to be copied, and sends the copy once it is whole.
    pub fn copy_to(&mut self, copy: Option<Box<impl Copying + 'static>>) {
        match copy {
            Some(copy) if self.done => copy.send(),
            Some(copy) => self.copy = Some(copy),
            None => {}
        }
    }

    /// Reads the body in full, so that it can be sent more than once; what stands behind it is left out (RFC 9110 section 6.5.1). One that
    /// its client does not bring to its end is not sent at all.
    pub async fn keep(&mut self, room: Room) {
        let mut bytes = BytesMut::with_capacity(room.bytes);
        let read = poll_fn(|cx| {
            while !self.is_end_stream() {
                match Pin::new(&mut *self).poll_frame(cx) {
                    Poll::Pending => return self.guard.poll_expired(cx).map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Failure::RequestBodyInvalid)),
                    Poll::Ready(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                    Poll::Ready(None) => break,
                }
            }
            Poll::Ready(Ok(()))
        });
        if let Err(failure) = read.await {
            self.broken = Some(failure);
            return;
        }
        self.trailers = None;
        self.kept = Some(Box::new(Kept { bytes: bytes.freeze(), _room: room }));
        self.rewind();
    }

    /// Says why it is not to be sent.
    #[must_use]
    pub const fn broken(&self) -> Option<Failure> {
        self.broken
    }

    /// Says whether it can be sent more than once, and may be.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Begins it again where it was kept.
    pub fn rewind(&mut self) {
        if let Some(kept) = &self.kept {
            self.done = kept.bytes.is_empty();
            self.left = Some(kept.bytes.len() as u64);
            self.source = Source::Whole(Full::new(kept.bytes.clone()));
        }
    }

    /// Says how the body is delimited on its way, given its cleaned head and what that announced.
    ///
    /// A body over HTTP/1 is always announced; one over HTTP/2 or at hand may not be, whatever its method. One of gRPC messages
    /// need not keep a rate from here on.
    #[must_use]
    pub fn framing(&mut self, head: &request::Parts, announced: Framing) -> Framing {
        self.multiplexed = head.version == Version::HTTP_2;
        if !self.done && head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            self.guard.streams();
        }
        let framing = match (announced, self.size_hint().exact()) {
            (Framing::None, None) => Framing::Chunked,
            (Framing::None, Some(bytes)) if bytes > 0 => Framing::Length(bytes),
            // A method that is for bodies says that it has none (RFC 9110 section 8.6); HTTP/1 clients do so by themselves.
            (Framing::None, Some(_)) if head.version == Version::HTTP_2 && is_for_bodies(&head.method) => Framing::Length(0),
            _ => announced,
        };
        self.left = if let Framing::Length(bytes) = framing { Some(bytes) } else { None };
        framing
    }

    /// Says whether a body that has ended was cut: an HTTP/2 client that resets a stream without an error looks like one that has
    /// sent all of it, and hyper does the same to every stream of a client that answers no PING.
    fn is_cut(&self, data: Option<&Bytes>) -> bool {
        match (data, self.left) {
            (Some(data), Some(left)) => data.len() as u64 > left || (self.source.is_end_stream() && (data.len() as u64) < left),
            (None, Some(left)) if left > 0 => true,
            (None, _) => self.multiplexed && !self.source.is_end_stream(),
            (Some(_), None) => false,
        }
    }

    /// Returns what stood behind the body, once its end was returned.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().map(|trailers| *trailers)
    }

    /// Notes that the version took some of what was read from here.
    pub fn passed_on(&self) {
        self.guard.passed_on();
    }

    fn finish(&mut self) {
        self.done = true;
        self.guard.upload(Transfer::Idle);
        if let Some(line) = self.line.take() {
            line.body_ends();
        }
        if let Some(copy) = self.copy.take() {
            copy.send();
        }
    }
}

const fn is_for_bodies(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.source {
            Source::Client(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
            Source::Whole(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
        };
        let polled = match polled {
            Poll::Ready(None) if self.is_cut(None) => Poll::Ready(Some(Err("the body is cut".into()))),
            Poll::Ready(Some(Ok(frame))) if self.is_cut(frame.data_ref()) => Poll::Ready(Some(Err("the body has another length".into()))),
            other => other,
        };
        // Nothing comes after trailers.
        let polled = match polled {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => match frame.into_trailers().map(sanitise::trailers) {
                Ok(Ok(trailers)) => {
                    self.trailers = (!trailers.is_empty()).then(|| Box::new(trailers));
                    Poll::Ready(None)
                }
                Ok(Err(sanitise::TooManyTrailers)) => Poll::Ready(Some(Err("there are too many trailers".into()))),
                Err(_) => Poll::Ready(None),
            },
            other => other,
        };
        match &polled {
            Poll::Pending => self.guard.upload(Transfer::Waiting),
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
                self.guard.uploaded(bytes);
                self.guard.upload(Transfer::Held);
                if let (Some(copy), Some(data)) = (&mut self.copy, frame.data_ref())
                    && !copy.hold(data)
                {
                    self.copy = None;
                }
                if self.source.is_end_stream() {
                    self.finish();
                }
            }
            Poll::Ready(Some(Err(_))) => self.guard.break_upload(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Client(body) => body.size_hint(),
            Source::Whole(body) => body.size_hint(),
        }
    }
}
