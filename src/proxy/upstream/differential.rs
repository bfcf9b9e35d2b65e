//! Compares what is understood of damaged answers with what hyper's client understands: whatever is passed on here must be an
//! answer there too, and the same one. That more is refused here is meant.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http1::head::{self, Delimiter};
use crate::domain::outcome::Failure;
use crate::proxy::chunks::{Chunks, Step};
use crate::proxy::sanitise;

/// A final answer as it was understood: status, fields, body.
type Understood = (StatusCode, HeaderMap, Vec<u8>);

const ANSWERS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\n",
    b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nbad",
];

const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"0",
    b"5",
    b"f",
    b"+",
    b"-",
    b";",
    b":",
    b",",
    b"\0",
    b"\x0b",
    b"\xff",
    b"0\r\n\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"chunked",
    b"\r\n ",
];

/// One damage: what, where, and with what.
fn damage() -> impl Strategy<Value = (u8, prop::sample::Index, prop::sample::Index)> {
    (0_u8..4, any::<prop::sample::Index>(), any::<prop::sample::Index>())
}

fn damaged(answer: &[u8], damages: &[(u8, prop::sample::Index, prop::sample::Index)]) -> Vec<u8> {
    let mut bytes = answer.to_vec();
    for (kind, place, with) in damages {
        let at = place.index(bytes.len() + 1);
        let token = TOKENS[with.index(TOKENS.len())];
        let end = match kind {
            0 => at,
            1 => (at + token.len()).min(bytes.len()),
            2 => (at + 1 + with.index(8)).min(bytes.len()),
            _ => {
                // A line anywhere is a field in the right place more often than bytes anywhere are.
                let line = bytes[at..].windows(2).position(|w| w == b"\r\n").map_or(bytes.len(), |p| at + p + 2);
                bytes.splice(line..line, token.iter().copied());
                continue;
            }
        };
        bytes.splice(at..end, if *kind == 2 { &b""[..] } else { token }.iter().copied());
    }
    bytes
}

/// What is understood here, and `None` for what is refused or cut.
fn ours(bytes: &[u8], bodyless: bool) -> Option<Understood> {
    let mut unread = Bytes::copy_from_slice(bytes);
    let mut head = loop {
        let head = head::read_response(&mut unread, &mut HeaderMap::new()).ok()??;
        if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
            break head;
        }
    };
    let delimiter = head::delimiter(&head, &head::Framing::of(&head), bodyless).ok()?;
    let headers = head.headers.clone();
    sanitise::response(&mut head, &HeaderValue::from_static("1.1 x"), false).ok()?;
    let body = match delimiter {
        Delimiter::Nothing => Vec::new(),
        Delimiter::Length(bytes) => unread.get(..usize::try_from(bytes).ok()?)?.to_vec(),
        Delimiter::Close => unread.to_vec(),
        Delimiter::Chunks => {
            let (mut chunks, mut body) = (Chunks::new(), Vec::new());
            loop {
                match chunks.step(&mut unread, &mut Vec::new()).ok()? {
                    Step::Data(data) => body.extend_from_slice(&data),
                    Step::More => return None,
                    Step::End => break body,
                }
            }
        }
    };
    Some((head.status, headers, body))
}

/// What hyper's client understands.
async fn theirs(bytes: &[u8], method: &str) -> Result<Understood, hyper::Error> {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    let answering = async {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            far.read_buf(&mut seen).await.unwrap();
        }
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
    };
    let asking = async {
        let request = Request::builder().method(method).uri("/").body(Empty::<Bytes>::new()).unwrap();
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok((head.status, head.headers, body.collect().await?.to_bytes().to_vec()))
    };
    let (understood, (), _) = tokio::join!(asking, answering, connection);
    understood
}

proptest! {
    #[test]
    fn what_is_passed_on_is_what_hyper_understands(
        answer in prop::sample::select(ANSWERS),
        damages in prop::collection::vec(damage(), 0..4),
        bodyless in prop::bool::weighted(0.1),
    ) {
        let bytes = damaged(answer, &damages);
        if let Some(understood) = ours(&bytes, bodyless) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let theirs = runtime.block_on(theirs(&bytes, if bodyless { "HEAD" } else { "GET" }));
            let theirs = theirs.map_err(|error| format!("{error:?}"));
            prop_assert_eq!(theirs, Ok(understood), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn the_undamaged_answers_are_understood() {
    for answer in ANSWERS {
        assert!(ours(answer, false).is_some(), "{}", String::from_utf8_lossy(answer));
    }
    assert_eq!(head::read_response(&mut Bytes::from_static(b"\xff"), &mut HeaderMap::new()).err(), Some(Failure::ResponseInvalid));
}
