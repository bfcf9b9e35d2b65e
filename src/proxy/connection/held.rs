//! An answer that keeps its connection busy until its last byte.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::body::Answer;
use crate::proxy::patrol::{ConnectionGuard, StreamGuard};
use crate::proxy::upload::BoxError;

/// Tells the patrol that the connection waits for us while a request is answered.
pub struct Busy {
    guard: Rc<ConnectionGuard>,
    /// In which of the patrol's rounds it began.
    began: u32,
    answered: bool,
}

impl Busy {
    pub fn new(guard: &Rc<ConnectionGuard>) -> Self {
        Self { began: guard.begin_request(), guard: Rc::clone(guard), answered: false }
    }

    /// Begins what has no head of its own, such as the tunnel behind one.
    pub fn answered(guard: &Rc<ConnectionGuard>) -> Self {
        let mut busy = Self::new(guard);
        busy.answered = true;
        guard.heads();
        busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.guard.end_request(self.began, self.answered);
    }
}

/// An answer that keeps its connection busy until its last byte.
pub struct Held {
    answer: Answer,
    /// Where the answer shares its connection with others.
    stream: Option<Rc<StreamGuard>>,
    _busy: Busy,
}

impl Held {
    pub fn new(answer: Answer, stream: Option<Rc<StreamGuard>>, mut busy: Busy) -> Self {
        busy.answered = true;
        busy.guard.heads();
        if let Some(stream) = &stream {
            // The first piece is asked for when there is room for it.
            stream.holds(!answer.is_end_stream());
        }
        Self { answer, stream, _busy: busy }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.answer).poll_frame(cx);
        if let Some(stream) = &self.stream {
            stream.holds(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
