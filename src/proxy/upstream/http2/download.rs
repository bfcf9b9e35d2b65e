//! A version's body on a stream of a shared connection; sends the rest of the request meanwhile.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, header, response};
use http_body::SizeHint;

use crate::domain::outcome::Failure;
use crate::proxy::sanitise;
use crate::proxy::upstream::http2::exchange::Exchange;
use crate::proxy::upstream::slot::Seat;

/// A version's body. Dropping it before its end resets the stream with CANCEL.
pub struct Download {
    exchange: Exchange,
    received: Option<RecvStream>,
    /// How much was given out that the client may not have taken yet: the version gets no window for it before it has.
    held: usize,
    /// How many bytes are to come, where that was announced.
    left: Option<u64>,
    trailers: Option<HeaderMap>,
    /// The request's place at its endpoint, kept to the end.
    _seat: Seat,
}

impl Download {
    /// Begins after the head.
    pub fn new(mut exchange: Exchange, head: &response::Parts, bodyless: bool, seat: Seat) -> Self {
        let received = exchange.received.take();
        let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let left = if bodyless || received.as_ref().is_none_or(RecvStream::is_end_stream) { Some(0) } else { announced };
        Self { exchange, received, held: 0, left, trailers: None, _seat: seat }
    }

    /// Says whether the body is over.
    pub fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.received.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    /// Says how many bytes are to come.
    pub fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// Returns the trailers, once the end of the body was returned.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Returns the next piece of the body, `None` at its end.
    ///
    /// Fails when the body is cut or of another length than announced, and when the client's own body is broken meanwhile.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Poll::Ready(Err(failure)) = self.exchange.poll_send(cx) {
            return Poll::Ready(Some(Err(failure)));
        }
        let Some(received) = &mut self.received else { return Poll::Ready(None) };
        // Whoever asks for the next piece has passed the last one on. It fails for a stream that is over, whose window is of no use.
        let _ = received.flow_control().release_capacity(std::mem::take(&mut self.held));
        loop {
            match ready!(received.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() && !received.is_end_stream() => {}
                Some(Ok(data)) => {
                    self.held = data.len();
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(data)));
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Failure::ResponseBodyCut))),
                None => break,
            }
        }
        let trailers = match ready!(received.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(sanitise::trailers).transpose(),
            Err(_) => return Poll::Ready(Some(Err(Failure::ResponseBodyCut))),
        };
        self.received = None;
        self.trailers = match trailers {
            Ok(trailers) => trailers.filter(|trailers| !trailers.is_empty()),
            Err(sanitise::TooManyTrailers) => return Poll::Ready(Some(Err(Failure::ResponseInvalid))),
        };
        Poll::Ready(None)
    }
}
