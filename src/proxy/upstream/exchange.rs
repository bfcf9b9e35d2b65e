//! One request and the head of its answer over one connection; both directions are driven by whoever polls.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{request, response};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::domain::outcome::Failure;
use crate::proxy::settings::MAX_INFORMATIONAL;
use crate::proxy::upload::Upload;
use crate::proxy::upstream::connect::Link;
use crate::proxy::upstream::head;

/// Where sending the request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// There is more to come.
    Body,
    /// The last piece is in the outbox.
    Last,
    /// Everything was written.
    Done,
}

type Outbox = Chain<Chain<Bytes, Bytes>, Bytes>;

/// An exchange whose answer has no head yet, or whose request is still on its way.
pub struct Exchange {
    pub(super) link: Link,
    head: Bytes,
    outbox: Outbox,
    upload: Upload,
    chunked: bool,
    sending: Sending,
    /// The endpoint takes no more; its answer may be there all the same.
    stopped: bool,
    bodyless: bool,
    written: bool,
    informational: u32,
}

fn outbox(first: Bytes, second: Bytes, third: Bytes) -> Outbox {
    first.chain(second).chain(third)
}

impl Exchange {
    /// Prepares a request for a connection; nothing is sent before it is polled.
    pub fn new(link: Link, request: &request::Parts, upload: Upload) -> Self {
        let mut out = BytesMut::new();
        head::write_request(request, &mut out);
        let chunked = request.headers.contains_key(http::header::TRANSFER_ENCODING);
        let bodyless = upload.is_end_stream();
        let head = out.freeze();
        let last = if bodyless && chunked { Bytes::from_static(b"0\r\n\r\n") } else { Bytes::new() };
        let sending = if bodyless { Sending::Last } else { Sending::Body };
        Self {
            link,
            outbox: outbox(head.clone(), Bytes::new(), last),
            head,
            upload,
            chunked,
            sending,
            stopped: false,
            bodyless,
            written: false,
            informational: 0,
        }
    }

    /// Says whether the request may be sent again: no answer has begun, and nothing was written or repeating it does no harm.
    pub fn may_move(&self, idempotent: bool) -> bool {
        !self.is_answered() && (!self.written || (idempotent && self.bodyless))
    }

    /// Begins again over another connection; only where [`Exchange::may_move`] allows it.
    pub fn move_to(&mut self, link: Link) {
        self.link = link;
        if self.written {
            // Without a body, so all of it is known.
            let last = if self.chunked { Bytes::from_static(b"0\r\n\r\n") } else { Bytes::new() };
            self.outbox = outbox(self.head.clone(), Bytes::new(), last);
            self.sending = Sending::Last;
        }
        (self.stopped, self.written, self.informational) = (false, false, 0);
    }

    /// Says whether the request was written in full.
    pub fn is_sent(&self) -> bool {
        self.sending == Sending::Done
    }

    /// Sends what can be sent. Fails only when the client's body is broken.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.stopped || self.sending == Sending::Done {
                return Poll::Ready(Ok(()));
            }
            // A small body goes out with its head in one write.
            let stuck = self.sending == Sending::Body && self.outbox.remaining() <= self.head.len() && self.poll_body(cx)?.is_pending();
            if !self.outbox.has_remaining() {
                match self.sending {
                    Sending::Last => self.sending = Sending::Done,
                    _ if stuck => return Poll::Pending,
                    _ => {}
                }
                continue;
            }
            match self.poll_write(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => self.stopped = true,
                Poll::Ready(Ok(_)) => {
                    self.written = true;
                    self.upload.passed_on();
                }
            }
        }
    }

    /// Puts the next piece of the body behind what is in the outbox: at most a head is there.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        let Poll::Ready(frame) = Pin::new(&mut self.upload).poll_frame(cx) else { return Ok(Poll::Pending) };
        let before = self.outbox.copy_to_bytes(self.outbox.remaining());
        match frame {
            None => {
                self.sending = Sending::Last;
                let last = if self.chunked { Bytes::from_static(b"0\r\n\r\n") } else { Bytes::new() };
                self.outbox = outbox(before, Bytes::new(), last);
            }
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                let ended = self.upload.is_end_stream();
                if ended {
                    self.sending = Sending::Last;
                }
                self.outbox = match (self.chunked, data.is_empty()) {
                    (false, _) => outbox(before, data, Bytes::new()),
                    (true, true) => outbox(before, Bytes::new(), Bytes::from_static(if ended { b"0\r\n\r\n" } else { b"" })),
                    (true, false) => {
                        let mut size = BytesMut::with_capacity(before.len() + 20);
                        size.put_slice(&before);
                        size.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
                        outbox(size.freeze(), data, Bytes::from_static(if ended { b"\r\n0\r\n\r\n" } else { b"\r\n" }))
                    }
                };
            }
            // The guard remembers that the client is to blame.
            Some(Err(_)) => return Err(Failure::RequestBodyInvalid),
        }
        Ok(Poll::Ready(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = self.outbox.chunks_vectored(&mut slices);
        let socket = Pin::new(&mut self.link.socket);
        let written = match slices.get(..count) {
            Some([one]) => ready!(socket.poll_write(cx, one)),
            Some(several) => ready!(socket.poll_write_vectored(cx, several)),
            None => return Poll::Pending,
        };
        if let Ok(count) = &written {
            self.outbox.advance(*count);
        }
        Poll::Ready(written)
    }

    /// Sends, and reads until the final head is there.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Failure>> {
        if let Poll::Ready(Err(failure)) = self.poll_send(cx) {
            return Poll::Ready(Err(failure));
        }
        loop {
            if !self.link.unread.is_empty()
                && let Some(head) = head::read_response(&mut self.link.unread)?
            {
                if !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                self.informational += 1;
                if self.informational > MAX_INFORMATIONAL {
                    return Poll::Ready(Err(Failure::ResponseInformational));
                }
                continue;
            }
            match ready!(self.link.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Failure::ConnectionTerminated)),
                Ok(_) => {}
            }
        }
    }

    /// Says whether anything of an answer was read.
    fn is_answered(&self) -> bool {
        self.informational > 0 || !self.link.unread.is_empty()
    }
}
