//! One request and the head of its answer, over whichever HTTP the endpoint speaks.

use std::task::{Context, Poll};

use http::response;

use crate::domain::outcome::Failure;
use crate::domain::trace::SpanId;
use crate::proxy::sanitise::Outgoing;
use crate::proxy::upload::Upload;
use crate::proxy::upstream::dial::Conduit;
use crate::proxy::upstream::download::Download;
use crate::proxy::upstream::http1::head;
use crate::proxy::upstream::slot::Seat;
use crate::proxy::upstream::{http1, http2};

/// An exchange whose answer has no head yet, or whose request is still on its way.
///
/// In a box from its beginning to the end of the answer's body: moved by value it would be copied a dozen times, which costs more.
pub enum Exchange {
    /// Over a connection of its own.
    Http1(Box<http1::exchange::Exchange>),
    /// Over a stream of a shared one.
    Http2(Box<http2::exchange::Exchange>),
}

impl Exchange {
    /// Prepares a request for a connection; nothing is sent before it is polled.
    pub fn new(conduit: Conduit, request: Outgoing, upload: Upload) -> Self {
        match conduit {
            Conduit::Http1(link) => Self::Http1(Box::new(http1::exchange::Exchange::new(link, request, upload))),
            Conduit::Http2(berth) => Self::Http2(Box::new(http2::exchange::Exchange::new(berth, request, upload))),
        }
    }

    /// Says whether the request may be sent again: no answer has begun, and nothing was written or repeating it does no harm.
    pub fn may_move(&self, idempotent: bool) -> bool {
        match self {
            Self::Http1(exchange) => exchange.may_move(idempotent),
            Self::Http2(exchange) => exchange.may_move(idempotent),
        }
    }

    /// Says whether the endpoint has said that it did nothing with the request, so that it may be sent again whatever it is.
    pub const fn is_refused(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(exchange) => exchange.is_unsent(),
        }
    }

    /// Says whether a failure says something of the endpoint that no other request over the same connection has said.
    pub fn blames_anew(&self, failure: Failure) -> bool {
        match self {
            Self::Http2(exchange) if failure == Failure::ConnectionTerminated => exchange.blames_anew(),
            Self::Http1(_) | Self::Http2(_) => true,
        }
    }

    /// Says whether the request can be told anew over this connection.
    pub const fn fits(&self, conduit: &Conduit) -> bool {
        match (self, conduit) {
            (Self::Http1(exchange), Conduit::Http2(_)) => exchange.is_whole(),
            _ => true,
        }
    }

    /// Names another span as the caller, before the request begins again.
    pub fn call_from(&mut self, span: SpanId) {
        match self {
            Self::Http1(exchange) => exchange.call_from(span),
            Self::Http2(exchange) => exchange.call_from(span),
        }
    }

    /// Begins the same request again over another connection; only where [`Exchange::may_move`] allows it.
    ///
    /// # Errors
    ///
    /// Fails when the other connection speaks another HTTP than the first one, and the request cannot be told anew.
    pub fn move_to(self, conduit: Conduit) -> Result<Self, Failure> {
        match (self, conduit) {
            (Self::Http1(mut exchange), Conduit::Http1(link)) => {
                exchange.move_to(link);
                Ok(Self::Http1(exchange))
            }
            (Self::Http2(exchange), conduit) => {
                let (request, upload) = exchange.into_request();
                Ok(Self::new(conduit, request, upload))
            }
            (Self::Http1(exchange), conduit @ Conduit::Http2(_)) => {
                let (request, upload) = exchange.into_request().ok_or(Failure::ConnectionTerminated)?;
                Ok(Self::new(conduit, request, upload))
            }
        }
    }

    /// Sends, and reads until the final head is there.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Failure>> {
        match self {
            Self::Http1(exchange) => exchange.poll_head(cx),
            Self::Http2(exchange) => exchange.poll_head(cx),
        }
    }

    /// Goes on to the body behind this head; `bodyless` says that it answers HEAD. A connection of its own goes back to the pool after
    /// it, as one of the seat's endpoint.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::ResponseInvalid`] when the body is delimited in no way, or in two.
    pub fn into_download(self, head: &response::Parts, bodyless: bool, seat: Seat) -> Result<Download, Failure> {
        match self {
            Self::Http1(exchange) => {
                let framing = head::Framing::of(head);
                let (delimiter, keep) = (head::delimiter(head, &framing, bodyless)?, head::rest(head, &framing));
                let body = http1::download::Download::new(exchange, delimiter, keep, seat);
                Ok(Download::Http1(body))
            }
            Self::Http2(exchange) => Ok(Download::Http2(Box::new(http2::download::Download::new(*exchange, head, bodyless, seat)))),
        }
    }
}
