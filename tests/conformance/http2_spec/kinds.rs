//! What each kind of frame may be (RFC 9113 section 6).

use super::case::{Awaited, Case, case, section};
use super::ends::{CANCEL, Ends, FLOW_CONTROL, FRAME_SIZE as TOO_LONG, PROTOCOL, STREAM_CLOSED};
use super::peer::{self, ENABLE_PUSH, FRAME_SIZE, INITIAL_WINDOW, Peer, continuation, data, ping, priority, reset, settings, window};
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
    headers,
};

const BROKEN: Ends = Ends::ConnectionError(&[PROTOCOL]);
const MISSIZED: Ends = Ends::ConnectionError(&[TOO_LONG]);
const OVERFLOWN: Ends = Ends::ConnectionError(&[FLOW_CONTROL]);

/// The largest window.
const MOST: u32 = (1 << 31) - 1;

/// All of them.
pub fn cases(peer: &Peer) -> Vec<Case> {
    [
        section("http2/6.1", bodies(peer)),
        section("http2/6.2", heads(peer)),
        section("http2/6.3", priorities(peer)),
        section("http2/6.4", resets(peer)),
        section("http2/6.5", forms_of_settings()),
        section("http2/6.5.2", values_of_settings()),
        section("http2/6.5.3", order_of_settings(peer)),
        section("http2/6.7", pings()),
        section("http2/6.8", [case("GOAWAY on a stream", BROKEN, frame(GOAWAY, 0, 1, [0; 8]))]),
        section("http2/6.9", windows(peer)),
        section("http2/6.9.1", limits_of_windows(peer)),
        section("http2/6.9.2", initial_windows(peer)),
        section("http2/6.10", continuations(peer)),
    ]
    .concat()
}

fn bodies(peer: &Peer) -> [Case; 3] {
    let whole = headers(1, &peer.block("POST"), true);
    let sized = headers(1, &peer.block_with("POST", &[("content-length", "4")]), false);
    // Five bytes of payload cannot hold six of padding.
    let padded = frame(DATA, END_STREAM | PADDED, 1, b"\x06test");
    [
        case("DATA on no stream", BROKEN, frame(DATA, END_STREAM, 0, "test")),
        case("DATA on a stream that is not open", Ends::StreamError(&[STREAM_CLOSED]), [whole, data("test", true)].concat()),
        case("DATA with more padding than payload", BROKEN, [sized, padded].concat()),
    ]
}

fn heads(peer: &Peer) -> [Case; 4] {
    let (begun, block) = (peer.begun("GET", false), peer.block("GET"));
    let whole = END_STREAM | END_HEADERS;
    let padding = u8::try_from(block.len() + 2).unwrap();
    let padded = frame(HEADERS, whole | PADDED, 1, [&[padding][..], &block].concat());
    [
        case("HEADERS without end and then PRIORITY", BROKEN, [&begun[..], &priority(1, 0, false, 255), &continuation(1, true)].concat()),
        case("HEADERS without end and then HEADERS of another stream", BROKEN, [begun, peer.get(3), continuation(1, true)].concat()),
        case("HEADERS on no stream", BROKEN, peer.get(0)),
        case("HEADERS with more padding than payload", Ends::StreamError(&[PROTOCOL]), padded),
    ]
}

fn priorities(peer: &Peer) -> [Case; 2] {
    let short = frame(PRIORITY, 0, 1, [0x80, 0, 0, 1]);
    [
        case("PRIORITY on no stream", BROKEN, priority(0, 0, false, 255)),
        case("PRIORITY of 4 bytes", Ends::StreamError(&[TOO_LONG]), [peer.get(1), short].concat()),
    ]
}

fn resets(peer: &Peer) -> [Case; 3] {
    let short = frame(RST_STREAM, 0, 1, [0; 3]);
    [
        case("RST_STREAM on no stream", BROKEN, reset(0, CANCEL)),
        case("RST_STREAM on an idle stream", BROKEN, reset(1, CANCEL)),
        case("RST_STREAM of 3 bytes", Ends::StreamError(&[TOO_LONG]), [peer.get(1), short].concat()),
    ]
}

fn forms_of_settings() -> [Case; 3] {
    [
        case("SETTINGS that acknowledge and set", MISSIZED, frame(SETTINGS, ACK, 0, [0])),
        case("SETTINGS on a stream", BROKEN, frame(SETTINGS, 0, 1, [0, 3, 0, 0, 0, 100])),
        case("SETTINGS of 8 bytes", Ends::StreamError(&[PROTOCOL, TOO_LONG]), frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100, 0, 2])),
    ]
}

fn values_of_settings() -> [Case; 5] {
    let unknown = [settings(&[(0xff, 1)]), ping([0; 8])].concat();
    [
        case("ENABLE_PUSH is 2", BROKEN, settings(&[(ENABLE_PUSH, 2)])),
        case("INITIAL_WINDOW_SIZE is above the largest window", OVERFLOWN, settings(&[(INITIAL_WINDOW, MOST + 1)])),
        case("MAX_FRAME_SIZE is below the least", BROKEN, settings(&[(FRAME_SIZE, (1 << 14) - 1)])),
        case("MAX_FRAME_SIZE is above the most", BROKEN, settings(&[(FRAME_SIZE, 1 << 24)])),
        case("an unknown setting", Ends::Pong([0; 8]), unknown),
    ]
}

fn order_of_settings(peer: &Peer) -> [Case; 2] {
    let twice = settings(&[(INITIAL_WINDOW, 100), (INITIAL_WINDOW, 1)]);
    [
        case("the last of two values holds", Ends::Data(Some(1)), twice).then(Awaited::Acknowledged, peer.get(1)),
        case("SETTINGS are acknowledged", Ends::Acknowledged, settings(&[(ENABLE_PUSH, 0)])),
    ]
}

fn pings() -> [Case; 4] {
    let answered = frame(PING, ACK, 0, *b"unasked!");
    [
        case("PING is answered with its bytes", Ends::Pong(*b"portcull"), ping(*b"portcull")),
        case("PING that is an answer is not answered", Ends::Pong(*b"portcull"), [answered, ping(*b"portcull")].concat()),
        case("PING on a stream", BROKEN, frame(PING, 0, 1, [0; 8])),
        case("PING of 6 bytes", MISSIZED, frame(PING, 0, 0, [0; 6])),
    ]
}

fn windows(peer: &Peer) -> [Case; 3] {
    [
        case("WINDOW_UPDATE of 0 for the connection", BROKEN, window(0, 0)),
        case("WINDOW_UPDATE of 0 for a stream", Ends::StreamError(&[PROTOCOL]), [peer.open(), window(1, 0)].concat()),
        case("WINDOW_UPDATE of 3 bytes", MISSIZED, frame(WINDOW_UPDATE, 0, 0, [0, 0, 1])),
    ]
}

fn limits_of_windows(peer: &Peer) -> [Case; 3] {
    let twice = |stream| [window(stream, MOST), window(stream, MOST)].concat();
    [
        case("no more DATA than the window holds", Ends::Data(Some(1)), settings(&[(INITIAL_WINDOW, 1)]))
            .then(Awaited::Acknowledged, peer.get(1)),
        case("the connection's window grows above the largest", Ends::GoAway(FLOW_CONTROL), twice(0)),
        case("a stream's window grows above the largest", Ends::Reset(FLOW_CONTROL), [peer.open(), twice(1)].concat()),
    ]
}

fn initial_windows(peer: &Peer) -> [Case; 3] {
    let initial = |size| settings(&[(INITIAL_WINDOW, size)]);
    [
        case("a changed initial window moves those of streams", Ends::Data(Some(1)), initial(0))
            .then(Awaited::Acknowledged, [peer.get(1), initial(1)].concat()),
        case("a window below zero is kept in mind", Ends::Data(Some(1)), initial(3))
            .then(Awaited::Acknowledged, peer.get(1))
            .then(Awaited::Data, initial(2))
            .then(Awaited::Acknowledged, window(1, 2)),
        case("an initial window above the largest", OVERFLOWN, initial(MOST + 1)),
    ]
}

fn continuations(peer: &Peer) -> [Case; 6] {
    let (begun, whole) = (peer.begun("GET", true), peer.get(1));
    let (open, last) = (continuation(1, false), continuation(1, true));
    let nowhere = frame(CONTINUATION, END_HEADERS, 0, peer::long(1));
    let uploads = peer.begun("POST", false);
    let body = data("test", true);
    [
        case("two CONTINUATION", Ends::Answered, [&begun[..], &open, &last].concat()),
        case("CONTINUATION without end and then DATA", BROKEN, [&uploads[..], &open, &body].concat()),
        case("CONTINUATION on no stream", BROKEN, [&begun[..], &nowhere].concat()),
        case("CONTINUATION of a head that has ended", BROKEN, [&whole[..], &last].concat()),
        case("CONTINUATION after the last one", BROKEN, [&begun[..], &last, &last].concat()),
        case("CONTINUATION after DATA", BROKEN, [&uploads[..], &body, &open, &nowhere].concat()),
    ]
}
