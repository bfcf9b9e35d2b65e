//! The answer's body on its way to the client; a version's body carries the sample to its last byte.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::domain::outcome::Failure;
use crate::proxy::patrol::{RequestGuard, Ticket, Transfer};
use crate::proxy::upload::BoxError;
use crate::proxy::upstream::Lease;
use crate::seam::access::Access;
use crate::seam::sample::Sample;

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
    sample: Option<Sample>,
    lease: Option<Lease>,
    guard: Rc<RequestGuard>,
    access: Option<Box<Access>>,
    sent: u64,
    _ticket: Ticket,
}

impl Measured {
    /// Wraps a version's body.
    #[must_use]
    pub fn new(body: Incoming, sample: Sample, lease: Lease, guard: Rc<RequestGuard>, ticket: Ticket, access: Option<Box<Access>>) -> Self {
        let mut measured = Self { body, sample: Some(sample), lease: Some(lease), guard, access, sent: 0, _ticket: ticket };
        if measured.body.is_end_stream() {
            measured.complete();
        }
        measured
    }

    fn complete(&mut self) {
        if let Some(sample) = self.sample.take() {
            let duration = sample.complete();
            if let Some(access) = self.access.take() {
                access.finish(self.sent, duration, None);
            }
        }
        if let Some(lease) = self.lease.take()
            && self.guard.is_upload_done()
        {
            lease.give_back();
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.lease = None;
        if let Some(sample) = self.sample.take() {
            let duration = sample.fail(failure);
            if let Some(access) = self.access.take() {
                access.finish(self.sent, duration, Some(failure));
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.guard.download(Transfer::Held);
                self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.body.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
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
                Poll::Ready(Some(Err("the version's body stalled".into())))
            }
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.sample.is_some() {
            self.fail(Failure::ClientGone);
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
