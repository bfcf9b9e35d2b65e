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

/// The longest last piece that is given to an HTTP/2 connection whole, in bytes.
///
/// What a connection was given of an answer that is complete is out of reach: no client that takes none of it can be made to. So the
/// last byte of a longer piece is kept until there is room for it, which is when the client has let all that stands before it go.
const OUT_OF_REACH: usize = 1024;

/// An answer that keeps its connection busy until its last byte.
pub struct Held {
    answer: Answer,
    /// The last byte, kept until there is room for it.
    last: Option<Bytes>,
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
        Self { answer, last: None, stream, _busy: busy }
    }
}

impl Held {
    /// Keeps the last byte of a long last piece where the answer shares its connection.
    fn held_back(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if self.stream.is_none() || !self.answer.is_end_stream() {
            return frame;
        }
        match frame.into_data() {
            Ok(mut data) if data.len() > OUT_OF_REACH => {
                self.last = Some(data.split_off(data.len() - 1));
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match self.last.take() {
            Some(last) => Poll::Ready(Some(Ok(Frame::data(last)))),
            None => Pin::new(&mut self.answer).poll_frame(cx).map(|frame| frame.map(|frame| frame.map(|frame| self.held_back(frame)))),
        };
        if let Some(stream) = &self.stream {
            stream.holds(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.last {
            Some(last) => SizeHint::with_exact(last.len() as u64),
            None => self.answer.size_hint(),
        }
    }
}
