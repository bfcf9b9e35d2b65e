//! A version's body on its way to us; sends the rest of the request meanwhile, and returns the connection when both are done.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::SizeHint;

use crate::domain::outcome::Failure;
use crate::proxy::chunks::{Chunks, Step};
use crate::proxy::sanitise;
use crate::proxy::settings::MAX_FIELDS;
use crate::proxy::upstream::http1::exchange::Exchange;
use crate::proxy::upstream::http1::head::Delimiter;
use crate::proxy::upstream::slot::Seat;
use crate::proxy::upstream::tunnel::Tunnel;

enum Decoder {
    Length(u64),
    Chunks(Chunks),
    Close,
    Closed,
}

/// A version's body. Dropping it before its end closes the connection.
pub struct Download {
    exchange: Box<Exchange>,
    decoder: Decoder,
    keep: Option<Duration>,
    /// The request's place at its endpoint, kept to the end.
    seat: Seat,
    /// The lines of trailers behind a chunked body.
    trailers: Vec<u8>,
}

impl Download {
    /// Begins after the head. `keep` says how long the connection may rest in the pool afterwards.
    pub fn new(mut exchange: Box<Exchange>, delimiter: Delimiter, keep: Option<Duration>, seat: Seat) -> Self {
        exchange.link.doubtful = delimiter == Delimiter::Nothing;
        let decoder = match delimiter {
            Delimiter::Nothing => Decoder::Length(0),
            Delimiter::Length(bytes) => Decoder::Length(bytes),
            Delimiter::Chunks => Decoder::Chunks(Chunks::new()),
            Delimiter::Close => Decoder::Close,
        };
        Self { exchange, decoder, keep, seat, trailers: Vec::new() }
    }

    /// Says whether the body is over.
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        match &self.decoder {
            Decoder::Length(left) => *left == 0,
            Decoder::Chunks(chunks) => chunks.is_over(),
            Decoder::Close => false,
            Decoder::Closed => true,
        }
    }

    /// Says how many bytes are to come.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        match &self.decoder {
            Decoder::Length(left) => SizeHint::with_exact(*left),
            Decoder::Closed => SizeHint::with_exact(0),
            Decoder::Chunks(_) | Decoder::Close => SizeHint::default(),
        }
    }

    /// Returns the trailers of a chunked body, cleaned, once its end was returned. What is no list of fields, or too long a one, is
    /// dropped as it was when no trailers were passed on at all.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        if self.trailers.is_empty() {
            return None;
        }
        self.trailers.extend_from_slice(b"\r\n");
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let lines = std::mem::take(&mut self.trailers);
        let Ok(httparse::Status::Complete((_, parsed))) = httparse::parse_headers(&lines, &mut fields) else { return None };
        let read = |field: &httparse::Header<'_>| {
            Some((HeaderName::from_bytes(field.name.as_bytes()).ok()?, HeaderValue::from_bytes(field.value).ok()?))
        };
        let mut trailers = HeaderMap::new();
        for (name, value) in parsed.iter().filter_map(read) {
            trailers.append(name, value);
        }
        sanitise::trailers(trailers).ok().filter(|trailers| !trailers.is_empty())
    }

    /// Returns the next piece of the body, `None` at its end.
    ///
    /// Fails when the body is cut or malformed, and when the client's own body is broken meanwhile.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Poll::Ready(Err(failure)) = self.exchange.poll_send(cx) {
            return Poll::Ready(Some(Err(failure)));
        }
        loop {
            let unread = &mut self.exchange.link.unread;
            match &mut self.decoder {
                Decoder::Closed | Decoder::Length(0) => return Poll::Ready(None),
                Decoder::Length(left) if !unread.is_empty() => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(unread.len());
                    *left -= length as u64;
                    return Poll::Ready(Some(Ok(unread.split_to(length))));
                }
                Decoder::Close if !unread.is_empty() => return Poll::Ready(Some(Ok(std::mem::take(unread)))),
                Decoder::Chunks(chunks) => match chunks.step(unread, &mut self.trailers) {
                    Ok(Step::Data(data)) => return Poll::Ready(Some(Ok(data))),
                    Ok(Step::End) => return Poll::Ready(None),
                    Ok(Step::More) => {}
                    Err(_) => return Poll::Ready(Some(Err(Failure::ResponseBodyCut))),
                },
                Decoder::Length(_) | Decoder::Close => {}
            }
            match self.exchange.link.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) if matches!(self.decoder, Decoder::Close) => self.decoder = Decoder::Closed,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(Err(Failure::ResponseBodyCut))),
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Goes on as a tunnel; `None` when the request was not written in full.
    pub fn into_tunnel(self) -> Option<Tunnel> {
        self.exchange.is_sent().then(|| Tunnel::new(self.exchange.link, self.seat))
    }

    /// Ends it: the connection goes back to its pool if it can carry another request, and is closed otherwise.
    ///
    /// Bytes behind the answer belong to no request of ours, so such a connection is never used again.
    pub fn finish(mut self) {
        let whole = self.is_end_stream() && !matches!(self.decoder, Decoder::Closed) && self.exchange.is_sent();
        if whole
            && let Some(rest) = self.keep
            && self.exchange.link.unread.is_empty()
        {
            self.exchange.link.forget();
            self.seat.slot().give_back(self.exchange.link, rest);
        }
    }
}
