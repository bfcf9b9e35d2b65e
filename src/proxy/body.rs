//! The answer's body on its way to the client; a version's body carries the sample to its last byte.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::domain::outcome::Failure;
use crate::proxy::passage::Passage;
use crate::proxy::patrol::{RequestGuard, Ticket, Transfer};
use crate::proxy::upload::BoxError;
use crate::proxy::upstream::{Download, Tunnel};

/// The answer's body on its way to the client.
pub enum Answer {
    /// Passed on from the version.
    Measured(Box<Measured>),
    /// Made here.
    Local(Full<Bytes>),
    /// None: the connection goes on as a tunnel.
    Tunnel(Box<Crossing>),
}

impl Answer {
    /// Leaves the tunnel, where it is one, in `slot` and an empty body in its place.
    #[must_use]
    pub fn leaving(self, slot: &Cell<Option<Box<Crossing>>>) -> Self {
        let Self::Tunnel(crossing) = self else { return self };
        slot.set(Some(crossing));
        Self::Local(Full::default())
    }
}

/// A tunnel that waits for its client's connection; a request in flight to the patrol for as long as it is open.
pub struct Crossing {
    /// The version's end.
    pub far: Tunnel,
    /// What keeps it under patrol.
    pub ticket: Ticket,
}

/// A version's body; carries the request's measurement to the last byte, an error, or a drop.
pub struct Measured {
    /// Absent once it has ended.
    body: Option<Download>,
    passage: Passage,
    guard: Rc<RequestGuard>,
    /// The answer has ended early; told to the client's connection once what came before has been sent.
    cut: bool,
    _ticket: Ticket,
}

impl Measured {
    /// Wraps a version's body.
    #[must_use]
    pub fn new(body: Download, passage: Passage, guard: Rc<RequestGuard>, ticket: Ticket) -> Self {
        let mut measured = Self { body: Some(body), passage, guard, cut: false, _ticket: ticket };
        if measured.is_end_stream() {
            measured.complete();
        }
        measured
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.body.as_ref().is_none_or(Download::is_end_stream)
    }

    fn complete(&mut self) {
        self.passage.complete();
        if let Some(body) = self.body.take() {
            body.finish();
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.body = None;
        self.passage.fail(failure);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.cut {
            return Poll::Ready(Some(Err("the answer ended early".into())));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match body.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => {
                self.guard.download(Transfer::Held);
                self.passage.pass(data.len());
                if self.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(None) => {
                let trailers = body.take_trailers();
                if let Some(trailers) = &trailers {
                    self.passage.trailers(trailers);
                }
                self.complete();
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Poll::Ready(Some(Err(failure))) => {
                self.fail(failure);
                self.cut = true;
                // One turn for the connection to send what it holds; an error now would drop it.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => {
                self.guard.download(Transfer::Waiting);
                let Some(failure) = self.guard.poll_expired(cx) else { return Poll::Pending };
                self.fail(failure);
                self.cut = true;
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
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Measured(measured) => measured.is_end_stream(),
            Self::Local(body) => body.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Measured(measured) => measured.body.as_ref().map_or_else(SizeHint::default, Download::size_hint),
            Self::Local(body) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
