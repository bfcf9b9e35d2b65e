//! The answer's body on its way to the client; a version's body carries the sample to its last byte.

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
use crate::proxy::upload::BoxError;
use crate::proxy::upstream::Lease;

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
