//! One request and the head of its answer over one connection; both directions are driven by whoever polls.

use std::io::{IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, response};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::domain::outcome::Failure;
use crate::domain::trace::SpanId;
use crate::proxy::sanitise::{self, Framing, Outgoing};
use crate::proxy::settings::MAX_INFORMATIONAL;
use crate::proxy::upload::Upload;
use crate::proxy::upstream::connect::Link;
use crate::proxy::upstream::http1::head;
use crate::proxy::upstream::secure;

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

/// The end of a chunked body, alone and behind a chunk.
const END: &[u8] = b"0\r\n\r\n";
const LAST_END: &[u8] = b"\r\n0\r\n\r\n";

/// What is being written: the head or a chunk's size, a piece of the body as it came, and what ends it.
struct Outbox {
    front: Vec<u8>,
    /// How much of the front was written.
    passed: usize,
    data: Bytes,
    back: &'static [u8],
}

impl Outbox {
    /// Begins a request with its head; all of it when it has no body.
    const fn new(head: Vec<u8>, bodyless: bool, chunked: bool) -> Self {
        Self { front: head, passed: 0, data: Bytes::new(), back: if bodyless && chunked { END } else { b"" } }
    }

    /// Returns what is left of the front.
    fn front(&self) -> &[u8] {
        self.front.get(self.passed..).unwrap_or_default()
    }

    /// Puts a chunk's size behind the front, over what was written of it.
    fn put_size(&mut self, size: usize) {
        if self.passed == self.front.len() {
            self.front.clear();
            self.passed = 0;
        }
        // Writing to memory does not fail.
        let _ = write!(self.front, "{size:x}\r\n");
    }

    fn is_empty(&self) -> bool {
        self.front().is_empty() && !self.is_closed()
    }

    /// Says whether nothing can be put behind the front any more.
    const fn is_closed(&self) -> bool {
        !self.data.is_empty() || !self.back.is_empty()
    }

    fn advance(&mut self, mut count: usize) {
        let step = count.min(self.front().len());
        self.passed += step;
        count -= step;
        if count >= self.data.len() {
            count -= self.data.len();
            // Even an empty piece keeps the buffer alive that it was read into.
            self.data = Bytes::new();
        } else {
            self.data.advance(count);
            count = 0;
        }
        self.back = self.back.get(count..).unwrap_or_default();
    }
}

/// An exchange whose answer has no head yet, or whose request is still on its way.
pub struct Exchange {
    pub(super) link: Link,
    outbox: Outbox,
    upload: Upload,
    chunked: bool,
    sending: Sending,
    /// The endpoint takes no more; its answer may be there all the same.
    stopped: bool,
    bodyless: bool,
    written: bool,
    informational: u32,
    /// An empty map for the fields of the answer.
    spare: HeaderMap,
    /// The request, where it may have to be told to an endpoint that speaks HTTP/2.
    kept: Option<Box<Outgoing>>,
}

impl Exchange {
    /// Prepares a request for a connection; nothing is sent before it is polled.
    pub fn new(mut link: Link, mut request: Outgoing, upload: Upload) -> Self {
        link.most = request.piece;
        let chunked = request.framing == Framing::Chunked;
        let bodyless = upload.is_end_stream();
        let spare = std::mem::take(&mut request.spare);
        Self {
            link,
            outbox: Outbox::new(request.take_bytes(), bodyless, chunked),
            spare,
            upload,
            chunked,
            sending: if bodyless { Sending::Last } else { Sending::Body },
            stopped: false,
            bodyless,
            written: false,
            informational: 0,
            kept: request.is_for_either().then(|| Box::new(request)),
        }
    }

    /// Says whether nothing of the body was taken, and the request is kept for another HTTP.
    pub const fn is_whole(&self) -> bool {
        let begun = !matches!(self.sending, Sending::Body) || self.written || self.outbox.is_closed();
        self.kept.is_some() && (self.bodyless || self.upload.is_kept() || !begun)
    }

    /// Takes the request back to send it over another HTTP; only where [`Exchange::may_move`] allows it. `None` when it was written for
    /// this one, or some of its body was taken.
    pub fn into_request(mut self) -> Option<(Outgoing, Upload)> {
        let whole = self.is_whole();
        self.upload.rewind();
        self.kept.filter(|_| whole).map(|request| (*request, self.upload))
    }

    /// Says whether the request may be sent again: no answer has begun, and nothing was written or repeating it does no harm.
    pub fn may_move(&self, idempotent: bool) -> bool {
        !self.is_answered() && (!self.written || (idempotent && (self.bodyless || self.upload.is_kept())))
    }

    /// Names another span as the caller, before the request begins again.
    pub fn call_from(&mut self, span: SpanId) {
        sanitise::call_from(&mut self.outbox.front, span);
        if let Some(kept) = &mut self.kept {
            kept.call_from(span);
        }
    }

    /// Begins the same request again over another connection; only where [`Exchange::may_move`] allows it.
    pub fn move_to(&mut self, mut link: Link) {
        link.most = self.link.most;
        self.link = link;
        if self.written {
            // Without a body, or with one of an announced length, the front is the head still, whatever was written of it.
            self.outbox = Outbox::new(std::mem::take(&mut self.outbox.front), self.bodyless, self.chunked);
            self.upload.rewind();
            self.sending = if self.bodyless { Sending::Last } else { Sending::Body };
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
            let stuck = self.sending == Sending::Body && !self.outbox.is_closed() && self.poll_body(cx)?.is_pending();
            if self.outbox.is_empty() {
                ready!(self.poll_flush(cx));
                match self.sending {
                    _ if self.stopped => {}
                    Sending::Last => self.sending = Sending::Done,
                    _ if stuck => return Poll::Pending,
                    _ => {}
                }
                continue;
            }
            match self.poll_write(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.stopped = true;
                    // TLS may have written whole records before the one that failed.
                    self.written |= self.link.socket.is_encrypted();
                }
                Poll::Ready(Ok(count)) => {
                    self.outbox.advance(count);
                    self.written = true;
                    if !self.bodyless {
                        // A request without a body may be sent twice, but within the time of one.
                        self.upload.passed_on();
                    }
                    if stuck && self.outbox.is_empty() {
                        ready!(self.poll_flush(cx));
                        if !self.stopped {
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }

    /// Sends what TLS has encrypted and holds still; other sockets hold nothing back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stopped |= ready!(Pin::new(&mut self.link.socket).poll_flush(cx)).is_err();
        Poll::Ready(())
    }

    /// Puts the next piece of the body behind the outbox's front.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        let Poll::Ready(frame) = Pin::new(&mut self.upload).poll_frame(cx) else { return Ok(Poll::Pending) };
        let data = match frame {
            None => Bytes::new(),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            // The guard remembers that the client is to blame.
            Some(Err(_)) => return Err(Failure::RequestBodyInvalid),
        };
        let ended = self.upload.is_end_stream();
        if ended {
            self.sending = Sending::Last;
        }
        if self.chunked {
            self.outbox.back = match (data.is_empty(), ended) {
                (true, true) => END,
                (true, false) => b"",
                (false, true) => LAST_END,
                (false, false) => b"\r\n",
            };
            if !data.is_empty() {
                self.outbox.put_size(data.len());
            }
        }
        self.outbox.data = data;
        Ok(Poll::Ready(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let outbox = &self.outbox;
        let socket = Pin::new(&mut self.link.socket);
        if outbox.is_closed() {
            socket.poll_write_vectored(cx, &[outbox.front(), &outbox.data, outbox.back].map(IoSlice::new))
        } else {
            socket.poll_write(cx, outbox.front())
        }
    }

    /// Sends, and reads until the final head is there.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Failure>> {
        if let Poll::Ready(Err(failure)) = self.poll_send(cx) {
            return Poll::Ready(Err(failure));
        }
        loop {
            if !self.link.unread.is_empty()
                && let Some(head) = head::read_response(&mut self.link.unread, &mut self.spare)?
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
                Ok(0) => return Poll::Ready(Err(Failure::ConnectionTerminated)),
                // A version that does not accept our certificate says so only now.
                Err(error) => return Poll::Ready(Err(secure::tls_failure(&error).unwrap_or(Failure::ConnectionTerminated))),
                Ok(_) => {}
            }
        }
    }

    /// Says whether anything of an answer was read.
    fn is_answered(&self) -> bool {
        self.informational > 0 || !self.link.unread.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use http_body_util::Full;

    use super::*;
    use crate::domain::endpoint::Endpoint;
    use crate::domain::timeouts::Timeouts;
    use crate::proxy::patrol::{Limits, Patrol};
    use crate::proxy::sanitise::{Peer, Policy};
    use crate::proxy::upload::Source;
    use crate::proxy::upstream::connect::{Scratch, connect};
    use crate::proxy::upstream::socket::Socket;

    #[tokio::test(flavor = "current_thread")]
    async fn a_request_that_could_not_even_begin_moves_with_its_body() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let dial = async || Link::new(Socket::Plain(connect(&Endpoint::Address(address)).await.unwrap()), &Scratch::default());
        let link = dial().await;
        let peer = listener.accept().unwrap().0;
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let (guard, _ticket) = Patrol::new(Limits::new(&Timeouts::default())).request();
        let upload = Upload::new(Source::Whole(Full::new(Bytes::from_static(b"hello"))), guard, None);
        let request = http::Request::post("/t").body(()).unwrap().into_parts().0;
        let peer = Peer::new(([192, 0, 2, 7], 4711).into(), 8080, &["192.0.2.0/24".parse().unwrap()]);
        let request = Outgoing::new(request, Framing::Length(5), &peer, &Policy::new(false, "x"));
        let mut exchange = Exchange::new(link, request, upload);
        let ended = poll_fn(|cx| exchange.poll_head(cx)).await;
        assert_eq!((ended.err(), exchange.may_move(false)), (Some(Failure::ConnectionTerminated), true));
        exchange.move_to(dial().await);
        let mut peer = listener.accept().unwrap().0;
        let answering = std::thread::spawn(move || {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 1024]);
            while !bytes.ends_with(b"hello") {
                let count = peer.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "{}", String::from_utf8_lossy(&bytes));
                bytes.extend_from_slice(&buffer[..count]);
            }
            peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            bytes
        });
        let head = tokio::time::timeout(Duration::from_secs(5), poll_fn(|cx| exchange.poll_head(cx))).await.expect("an answer").unwrap();
        assert_eq!((head.status.as_u16(), exchange.is_sent()), (204, true));
        assert_eq!(answering.join().unwrap(), b"POST /t HTTP/1.1\r\nvia: 1.1 x\r\ncontent-length: 5\r\n\r\nhello");
    }
}
