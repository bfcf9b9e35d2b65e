//! Bodies in both directions: the upload on its way to the version, and the answer that carries the sample to its last byte.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::domain::outcome::Failure;
use crate::proxy::passage::Passage;
use crate::proxy::patrol::{RequestGuard, Ticket, Transfer};
use crate::proxy::upstream::Lease;
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

/// The body of a request on its way to the version; what the client does wrong is remembered in the guard.
pub struct Upload {
    source: Source,
    guard: Rc<RequestGuard>,
    line: Option<Rc<Line>>,
    done: bool,
}

impl Upload {
    /// Wraps a request's body. `line` is the client's connection, told when the body is over.
    #[must_use]
    pub fn new(source: Source, guard: Rc<RequestGuard>, line: Option<Rc<Line>>) -> Self {
        let mut upload = Self { done: source.is_end_stream(), source, guard, line };
        if upload.done {
            upload.finish();
        } else {
            upload.guard.upload(Transfer::Held);
        }
        upload
    }

    fn finish(&mut self) {
        self.done = true;
        self.guard.upload(Transfer::Idle);
        if let Some(line) = self.line.take() {
            line.scan.borrow_mut().body_ends();
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.source {
            Source::Client(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
            Source::Whole(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
        };
        // Trailers are not passed on; nothing comes after them.
        let polled = polled.map(|frame| frame.filter(|frame| frame.as_ref().map_or(true, Frame::is_data)));
        match &polled {
            Poll::Pending => self.guard.upload(Transfer::Waiting),
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Ok(_))) if self.source.is_end_stream() => self.finish(),
            Poll::Ready(Some(Ok(_))) => self.guard.upload(Transfer::Held),
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

/// The answer's body on its way to the client.
pub enum Answer {
    /// Passed on from the version.
    Measured(Box<Measured>),
    /// Made here.
    Local(Full<Bytes>),
}

/// A version's body; carries the request's measurement to the last byte, an error, or a drop.
pub struct Measured {
    body: Incoming,
    passage: Passage,
    lease: Option<Lease>,
    guard: Rc<RequestGuard>,
    _ticket: Ticket,
}

impl Measured {
    /// Wraps a version's body.
    #[must_use]
    pub fn new(body: Incoming, passage: Passage, lease: Lease, guard: Rc<RequestGuard>, ticket: Ticket) -> Self {
        let mut measured = Self { body, passage, lease: Some(lease), guard, _ticket: ticket };
        if measured.body.is_end_stream() {
            measured.complete();
        }
        measured
    }

    fn complete(&mut self) {
        self.passage.complete();
        if let Some(lease) = self.lease.take()
            && self.guard.is_upload_done()
        {
            lease.give_back();
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.lease = None;
        self.passage.fail(failure);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                self.guard.download(Transfer::Held);
                self.passage.pass(frame.data_ref().map_or(0, Bytes::len));
                if self.body.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // Trailers are not passed on; nothing comes after them.
            Poll::Ready(None | Some(Ok(_))) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                // A broken upload ends the upstream connection too; the client is to blame for that.
                self.fail(if self.guard.is_upload_broken() { Failure::RequestBodyInvalid } else { Failure::ResponseBodyCut });
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => {
                self.guard.download(Transfer::Waiting);
                let Some(failure) = self.guard.poll_expired(cx) else { return Poll::Pending };
                self.fail(failure);
                Poll::Ready(Some(Err("a body stalled".into())))
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Measured(measured) => measured.poll(cx),
            Self::Local(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Measured(measured) => measured.body.is_end_stream(),
            Self::Local(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Measured(measured) => measured.body.size_hint(),
            Self::Local(body) => body.size_hint(),
        }
    }
}
