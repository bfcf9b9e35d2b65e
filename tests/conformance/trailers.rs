//! E-24: what stands behind a chunked answer, on its way to clients that understand it.

use crate::oracle::{get, post};
use crate::support::PATIENCE;
use crate::support::client::{Client, End};
use crate::support::proxy;
use crate::support::upstream::Upstream;

/// A version whose chunked answers have trailers, announced as `Trailer` says, of which some must not be passed on.
fn with_trailers(announced: &'static str) -> Upstream {
    Upstream::start(move |peer| {
        while peer.request().is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{announced}\r\n");
            let behind = "X-Sum: 1\r\nX-Sum: 2\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nX-Portcullis-Version: v\r\nX-Other: 3\r\n";
            peer.send(format!("{head}5\r\nhello\r\n0\r\n{behind}\r\n").as_bytes());
        }
    })
}

#[test]
fn e24_trailers_reach_a_client_that_understands_them_cleaned() {
    let announced = "Trailer: X-Sum, Content-Length\r\nTrailer: Set-Cookie, x-portcullis-version, X-Never\r\n";
    let upstream = with_trailers(announced);
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    for te in ["TE: trailers\r\nConnection: TE\r\n", "TE: deflate, Trailers\r\n"] {
        let answer = client.ask(get(te));
        assert_eq!((answer.body.as_slice(), answer.violations.as_slice()), (&b"hello"[..], &[][..]));
        assert_eq!(answer.all("trailer"), ["x-sum, x-never"]);
        let sums = ["1", "2"].map(|sum| ("x-sum".to_owned(), sum.to_owned()));
        assert_eq!(answer.trailers, sums, "what was not announced cannot be sent over HTTP/1.1");
    }
    for te in ["", "TE: deflate\r\n"] {
        let answer = client.ask(get(te));
        assert_eq!((answer.body.as_slice(), answer.all("trailer").len(), answer.trailers.len()), (&b"hello"[..], 0, 0), "{te}");
    }
    let answer = client.ask(post("TE: trailers\r\nContent-Length: 2\r\n", "ab"));
    assert_eq!(answer.trailers.len(), 2);
    let window = proxy.ended(5);
    assert_eq!((window.answered, upstream.seen().len()), (5, 1), "every answer was whole, and its connection used again");
}

#[test]
fn e24_trailers_without_end_are_the_versions_fault() {
    let upstream = Upstream::start(|peer| {
        while peer.request().is_some() {
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\n");
            while peer.send(&[&b"X: "[..], &[b'x'; 1024], b"\r\n"].concat()) {}
        }
    });
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    client.send(get("TE: trailers\r\n"));
    assert_ne!(client.read_to_end(PATIENCE), End::Open);
    assert!(!client.received.ends_with(b"0\r\n\r\n"), "a cut answer does not look whole");
    assert_eq!(proxy.ended(1).failed, 1);
}
