//! Bytes of a version that answers over HTTP/1.1.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, response};
use http_body_util::Full;
use portcullis::proxy::chunks::{Chunks, Step};
use portcullis::proxy::sanitise;
use portcullis::proxy::settings::{MAX_HEAD, MAX_INFORMATIONAL};
use portcullis::proxy::upstream::head::{self, Delimiter, Framing};

use super::message::read_answers;
use super::{memory, pieces};

/// More than is ever kept of trailers: 16 KiB of names and values, each with at least one byte and three more around it.
const MOST_TRAILERS: usize = 4 * 16 * 1024 + 4;

/// An answer: what is accepted reaches the client as exactly one answer that reads strictly, with the same status and body, and
/// whether it is accepted does not depend on how the bytes arrive.
pub fn response(bytes: &[u8]) {
    for method in ["GET", "HEAD"] {
        let whole = understood(bytes, usize::MAX, method == "HEAD");
        for piece in pieces(bytes) {
            let in_pieces = understood(bytes, piece, method == "HEAD");
            assert_eq!(in_pieces.as_ref().map(Understood::told), whole.as_ref().map(Understood::told), "in pieces of {piece}");
        }
        if let Some(answer) = whole {
            claim(answer, method);
        }
    }
}

/// An answer as it was understood.
struct Understood {
    head: response::Parts,
    delimiter: Delimiter,
    body: Vec<u8>,
    trailers: Vec<u8>,
    /// How many bytes are behind it.
    left: usize,
}

impl Understood {
    /// What there is to compare.
    fn told(&self) -> (StatusCode, &HeaderMap, Delimiter, &[u8], &[u8], usize) {
        (self.head.status, &self.head.headers, self.delimiter, &self.body, &self.trailers, self.left)
    }
}

/// Bytes that arrive in pieces.
struct Arriving<'a> {
    later: &'a [u8],
    piece: usize,
    unread: Bytes,
}

impl Arriving<'_> {
    /// Reads one piece more; `None` at the end.
    fn more(&mut self) -> Option<()> {
        let (now, later) = self.later.split_at(self.piece.min(self.later.len()));
        self.later = later;
        self.unread = [&self.unread, now].concat().into();
        (!now.is_empty()).then_some(())
    }
}

/// Reads an answer as an exchange does; `None` for what is refused or cut.
fn understood(bytes: &[u8], piece: usize, bodyless: bool) -> Option<Understood> {
    let mut arriving = Arriving { later: bytes, piece, unread: Bytes::new() };
    let mut interim = 0;
    let mut head = loop {
        match head::read_response(&mut arriving.unread, &mut HeaderMap::new()).ok()? {
            None => {
                assert!(arriving.unread.len() < MAX_HEAD, "a head is waited for that is too long");
                arriving.more()?;
            }
            Some(head) if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS => break head,
            Some(_) if interim == MAX_INFORMATIONAL => return None,
            Some(_) => interim += 1,
        }
    };
    let delimiter = head::delimiter(&head, &Framing::of(&head), bodyless).ok()?;
    sanitise::response(&mut head, &HeaderValue::from_static("1.1 gate-1"), false).ok()?;
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    match delimiter {
        Delimiter::Nothing => {}
        Delimiter::Length(bytes) => {
            let bytes = usize::try_from(bytes).ok()?;
            while arriving.unread.len() < bytes {
                arriving.more()?;
            }
            body.extend_from_slice(&arriving.unread.split_to(bytes));
        }
        Delimiter::Close => {
            while arriving.more().is_some() {}
            body.extend_from_slice(&std::mem::take(&mut arriving.unread));
        }
        Delimiter::Chunks => {
            let mut chunks = Chunks::new();
            loop {
                match chunks.step(&mut arriving.unread, &mut trailers).ok()? {
                    Step::Data(data) => {
                        assert!(!data.is_empty(), "a piece of the body is never empty");
                        body.extend_from_slice(&data);
                    }
                    Step::More => arriving.more()?,
                    Step::End => break,
                }
                assert!(trailers.len() <= MOST_TRAILERS, "{} bytes of trailers are kept", trailers.len());
            }
        }
    }
    let left = arriving.unread.len() + arriving.later.len();
    Some(Understood { head, delimiter, body, trailers, left })
}

/// Claims of an accepted answer that a client reads one, and the same.
fn claim(answer: Understood, method: &str) {
    let Understood { head, body, .. } = answer;
    for gone in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authenticate"] {
        assert!(!head.headers.contains_key(gone), "{gone} is passed on");
    }
    assert!(head.headers.keys().all(|name| !name.as_str().starts_with("x-portcullis-")), "{:?}", head.headers);
    let status = head.status;
    let request = format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let sent = memory::serve(request.as_bytes(), usize::MAX, |_| {
        let mut answer = Response::new(Full::new(Bytes::copy_from_slice(&body)));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = head.headers.clone();
        answer
    });
    let read = read_answers(&sent, &[method], true);
    assert!(matches!(&read[..], [_]), "not one answer: {read:?}");
    let read = &read[0];
    assert!(read.violations.is_empty() && read.complete, "{:?} of {read:?}", read.violations);
    assert_eq!((read.status(), &read.body), (status.as_u16(), &body), "{read:?}");
}
