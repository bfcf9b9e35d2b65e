//! One request and the head of its answer over a stream of a shared connection; both directions are driven by whoever polls.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{StatusCode, response};
use http_body::Body;

use crate::domain::outcome::Failure;
use crate::domain::trace::SpanId;
use crate::proxy::sanitise::Outgoing;
use crate::proxy::settings::{MAX_FIELDS, MAX_INFORMATIONAL};
use crate::proxy::upload::Upload;
use crate::proxy::upstream::http2::lane::{Berth, failure_of};

/// Where sending the request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// Nothing was sent.
    Head,
    /// There is more of the body to come, or its end.
    Body,
    /// The last piece of the body is waiting for the stream's window.
    Last,
    /// Everything was handed to the connection.
    Done,
    /// The endpoint takes no more; its answer may be there all the same.
    Stopped,
}

/// An exchange whose answer has no head yet, or whose request is still on its way. Dropping it resets the stream with CANCEL, unless
/// both sides are done.
pub struct Exchange {
    berth: Berth,
    request: Outgoing,
    upload: Upload,
    sending: Sending,
    /// A piece of the body that has not been sent.
    piece: Bytes,
    /// Some of the body was taken from the client.
    taken: bool,
    stream: Option<SendStream<Bytes>>,
    response: Option<ResponseFuture>,
    /// The body of the answer, once its head is there.
    pub(super) received: Option<RecvStream>,
    /// Why the stream could not begin.
    broken: Option<Failure>,
    /// The endpoint has said that it did nothing with the request.
    refused: bool,
    informational: u32,
}

impl Exchange {
    /// Prepares a request for a stream; nothing is sent before it is polled.
    pub const fn new(berth: Berth, request: Outgoing, upload: Upload) -> Self {
        Self {
            berth,
            request,
            upload,
            sending: Sending::Head,
            piece: Bytes::new(),
            taken: false,
            stream: None,
            response: None,
            received: None,
            broken: None,
            refused: false,
            informational: 0,
        }
    }

    /// Says whether the connection's end has not counted against the endpoint yet; it does from now on.
    pub fn blames_anew(&self) -> bool {
        self.berth.blames_anew()
    }

    /// Says whether the request may be sent again: no answer has begun, its body is whole, and either the endpoint has said that it
    /// did nothing (RFC 9113 sections 6.8 and 8.7) or repeating it does no harm.
    pub const fn may_move(&self, idempotent: bool) -> bool {
        self.informational == 0 && self.received.is_none() && (!self.taken || self.upload.is_kept()) && (idempotent || self.is_unsent())
    }

    /// Names another span as the caller, before the request begins again.
    pub fn call_from(&mut self, span: SpanId) {
        self.request.call_from(span);
    }

    /// Says whether the endpoint did nothing with the request, be it that it never got it.
    pub const fn is_unsent(&self) -> bool {
        self.refused || matches!(self.sending, Sending::Head)
    }

    /// Takes the request back to send it over another connection; only where [`Exchange::may_move`] allows it.
    pub fn into_request(mut self) -> (Outgoing, Upload) {
        self.upload.rewind();
        (self.request, self.upload)
    }

    /// Says whether the request was handed over in full.
    pub fn is_sent(&self) -> bool {
        self.sending == Sending::Done
    }

    /// Sends what can be sent. Fails only when the client's body is broken.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            match self.sending {
                Sending::Done | Sending::Stopped => return Poll::Ready(Ok(())),
                Sending::Head => {
                    if let Err(failure) = ready!(self.poll_begin(cx)) {
                        self.broken = Some(failure);
                        return Poll::Ready(Ok(()));
                    }
                }
                Sending::Body if self.piece.is_empty() => ready!(self.poll_piece(cx))?,
                Sending::Body | Sending::Last => ready!(self.poll_pass(cx)),
            }
        }
    }

    /// Sends the head.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(failure) = self.broken {
            return Poll::Ready(Err(failure));
        }
        let begun = match ready!(self.berth.sender.poll_ready(cx)) {
            Ok(()) => {
                let head = self.request.to_http2(self.berth.is_encrypted())?;
                let bodyless = self.upload.is_end_stream();
                let begun = self.berth.sender.send_request(head, bodyless);
                begun.map(|begun| (begun, bodyless))
            }
            Err(error) => Err(error),
        };
        match begun {
            Ok(((response, stream), bodyless)) => {
                (self.response, self.stream) = (Some(response), Some(stream));
                self.sending = if bodyless { Sending::Done } else { Sending::Body };
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(failure_of(&error))),
        }
    }

    /// Takes the next piece of the body from the client, or sends its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match ready!(Pin::new(&mut self.upload).poll_frame(cx)) {
            // The guard remembers that the client is to blame.
            Some(Err(_)) => return Poll::Ready(Err(Failure::RequestBodyInvalid)),
            Some(Ok(frame)) => {
                self.piece = frame.into_data().unwrap_or_default();
                self.taken = true;
                if self.upload.is_end_stream() {
                    self.sending = Sending::Last;
                }
            }
            None => {
                let sent = match (&mut self.stream, self.upload.take_trailers()) {
                    (Some(stream), Some(trailers)) => stream.send_trailers(trailers),
                    (Some(stream), None) => stream.send_data(Bytes::new(), true),
                    (None, _) => Ok(()),
                };
                self.sending = if sent.is_ok() { Sending::Done } else { Sending::Stopped };
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on as much of the piece as the windows allow.
    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else {
            self.sending = Sending::Stopped;
            return Poll::Ready(());
        };
        if !self.piece.is_empty() {
            stream.reserve_capacity(self.piece.len());
        }
        // What was granted before is not told again.
        while !self.piece.is_empty() && stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.sending = Sending::Stopped;
                    return Poll::Ready(());
                }
            }
        }
        let piece = self.piece.split_to(stream.capacity().min(self.piece.len()));
        let ends = self.piece.is_empty() && self.sending == Sending::Last;
        if stream.send_data(piece, ends).is_err() {
            self.sending = Sending::Stopped;
            return Poll::Ready(());
        }
        if self.piece.is_empty() {
            // Even an empty piece keeps the buffer alive that it was read into.
            self.piece = Bytes::new();
        }
        if ends {
            self.sending = Sending::Done;
        }
        self.upload.passed_on();
        Poll::Ready(())
    }

    /// Sends, and reads until the final head is there.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Failure>> {
        if let Poll::Ready(Err(failure)) = self.poll_send(cx) {
            return Poll::Ready(Err(failure));
        }
        if let Some(failure) = self.broken {
            return Poll::Ready(Err(failure));
        }
        let Some(response) = &mut self.response else { return Poll::Pending };
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            self.informational += 1;
            if self.informational > MAX_INFORMATIONAL || interim.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(Failure::ResponseInformational));
            }
        }
        match ready!(Pin::new(response).poll(cx)) {
            Ok(answer) => {
                self.berth.answered = true;
                self.response = None;
                let (head, received) = answer.into_parts();
                self.received = Some(received);
                if head.headers.len() > MAX_FIELDS { Poll::Ready(Err(Failure::ResponseInvalid)) } else { Poll::Ready(Ok(head)) }
            }
            Err(error) => {
                // An endpoint that asks for calm would not be calmed by the same request again.
                let unprocessed = error.is_remote()
                    && ((error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM))
                        || (error.is_go_away() && error.reason() != Some(Reason::ENHANCE_YOUR_CALM)));
                self.refused = unprocessed;
                Poll::Ready(Err(failure_of(&error)))
            }
        }
    }
}
