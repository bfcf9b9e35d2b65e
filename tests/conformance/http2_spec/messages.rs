//! Codes of errors, and requests that are malformed (RFC 9113 sections 7 and 8).

use super::case::{Case, case, section};
use super::ends::{Ends, PROTOCOL};
use super::peer::{Peer, data, ping, reset};
use crate::support::frames::{END_HEADERS, GOAWAY, PUSH_PROMISE, block, frame, headers};

const MALFORMED: Ends = Ends::StreamError(&[PROTOCOL]);

/// All of them.
pub fn cases(peer: &Peer) -> Vec<Case> {
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 3][..], &peer.block("GET")].concat());
    let unfinished = [peer.post(), data("test", false), headers(1, &block(&[("x-test", "ok")]), false)].concat();
    [
        section("http2/7", codes(peer)),
        section("http2/8.1", [case("trailers that do not end the request", MALFORMED, unfinished)]),
        section("http2/8.1.2", [case("a name in capitals", MALFORMED, peer.get_with(&[("X-TEST", "ok")]))]),
        section("http2/8.1.2.1", pseudo(peer)),
        section(
            "http2/8.1.2.2",
            [
                case("Connection", MALFORMED, peer.get_with(&[("connection", "keep-alive")])),
                case("TE with more than trailers", MALFORMED, peer.get_with(&[("te", "trailers, deflate")])),
            ],
        ),
        section("http2/8.1.2.3", pseudo_of_requests(peer)),
        section("http2/8.1.2.6", lengths(peer)),
        section("http2/8.2", [case("PUSH_PROMISE", Ends::ConnectionError(&[PROTOCOL]), promise)]),
    ]
    .concat()
}

fn codes(peer: &Peer) -> [Case; 2] {
    [
        case("GOAWAY with an unknown code", Ends::Close, frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0xff])),
        case("RST_STREAM with an unknown code", Ends::Pong([0; 8]), [peer.post(), reset(1, 0xff), ping([0; 8])].concat()),
    ]
}

fn pseudo(peer: &Peer) -> [Case; 4] {
    let trailers = headers(1, &block(&[(":method", "POST")]), true);
    let late = [vec![("x-test", "ok")], peer.pseudo("GET")].concat();
    [
        case("an unknown pseudo-header field", MALFORMED, peer.get_with(&[(":test", "ok")])),
        case("a pseudo-header field of answers", MALFORMED, peer.get_with(&[(":status", "200")])),
        case("a pseudo-header field in trailers", MALFORMED, [peer.post(), data("test", false), trailers].concat()),
        case("a pseudo-header field after another field", MALFORMED, headers(1, &block(&late), true)),
    ]
}

fn pseudo_of_requests(peer: &Peer) -> [Case; 7] {
    let get = peer.pseudo("GET");
    let malformed = |title: &str, fields: &[(&str, &str)]| case(title, MALFORMED, headers(1, &block(fields), true));
    let empty: Vec<_> = get.iter().map(|(name, value)| (*name, if *name == ":path" { "" } else { value })).collect();
    let without = |gone: &str| get.iter().filter(|(name, _)| *name != gone).copied().collect::<Vec<_>>();
    let twice = |again: &str| [get.clone(), get.iter().filter(|(name, _)| *name == again).copied().collect()].concat();
    [
        malformed("an empty path", &empty),
        malformed("no method", &without(":method")),
        malformed("no scheme", &without(":scheme")),
        malformed("no path", &without(":path")),
        malformed("two methods", &twice(":method")),
        malformed("two schemes", &twice(":scheme")),
        malformed("two paths", &twice(":path")),
    ]
}

fn lengths(peer: &Peer) -> [Case; 2] {
    let head = headers(1, &peer.block_with("POST", &[("content-length", "1")]), false);
    [
        case("a Content-Length other than that of one DATA", MALFORMED, [head.clone(), data("test", true)].concat()),
        case("a Content-Length other than that of two DATA", MALFORMED, [head, data("test", false), data("test", true)].concat()),
    ]
}
