//! A version's body on its way to us, over whichever HTTP the endpoint speaks.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

use crate::domain::outcome::Failure;
use crate::proxy::upstream::tunnel::Tunnel;
use crate::proxy::upstream::{http1, http2};

/// A version's body. Dropping it before its end closes the connection, or resets the stream.
pub enum Download {
    /// Over a connection of its own.
    Http1(http1::download::Download),
    /// Over a stream of a shared one; larger.
    Http2(Box<http2::download::Download>),
}

impl Download {
    /// Says whether the body is over, and there are no trailers behind it.
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    /// Says how many bytes are to come.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }

    /// Returns the next piece of the body, `None` at its end.
    ///
    /// Fails when the body is cut or malformed, and when the client's own body is broken meanwhile.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match self {
            Self::Http1(body) => body.poll_data(cx),
            Self::Http2(body) => body.poll_data(cx),
        }
    }

    /// Returns what stands behind the body, cleaned, once its end was returned.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Self::Http1(body) => body.take_trailers(),
            Self::Http2(body) => body.take_trailers(),
        }
    }

    /// Goes on as a tunnel behind a 101; `None` when the request was not even written.
    #[must_use]
    pub fn into_tunnel(self) -> Option<Tunnel> {
        match self {
            Self::Http1(body) => body.into_tunnel(),
            Self::Http2(_) => None,
        }
    }

    /// Ends it: a connection of its own goes back to its pool if it can carry another request, and is closed otherwise.
    pub fn finish(self) {
        match self {
            Self::Http1(body) => body.finish(),
            // Its place on the shared connection becomes free.
            Self::Http2(_) => {}
        }
    }
}
