//! How connections begin, the form of frames, and the states of streams (RFC 9113 sections 3.4 to 5.5).

use super::case::{Awaited, Case, case, section};
use super::ends::{CANCEL, COMPRESSION, Ends, FRAME_SIZE, PROTOCOL, REFUSED, STREAM_CLOSED};
use super::peer::{self, INITIAL_WINDOW, Peer, continuation, data, priority, priority_of, reset, settings, window};
use crate::support::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, WITH_PRIORITY, frame, headers};

const BROKEN: Ends = Ends::ConnectionError(&[PROTOCOL]);
const CLOSED: Ends = Ends::StreamError(&[STREAM_CLOSED]);
const MALFORMED: Ends = Ends::StreamError(&[PROTOCOL]);
const PONG: Ends = Ends::Pong([0; 8]);

/// A kind of frame that nobody has defined.
const UNKNOWN: u8 = 0x16;

/// All of them.
pub fn cases(peer: &Peer) -> Vec<Case> {
    let preface = [PREFACE, &settings(&[(INITIAL_WINDOW, 65_535)])].concat();
    [
        section(
            "http2/3.5",
            [
                case("the server's preface begins with SETTINGS", Ends::Settings, preface).bare(),
                case("a preface that is none", Ends::Close, "SOMETHING ELSE ENTIRELY\r\n\r\n").bare(),
            ],
        ),
        section("http2/4.1", form()),
        section("http2/4.2", sizes(peer)),
        section("http2/4.3", blocks(peer)),
        section("http2/5.1", [idle(peer), half_closed(peer), reset_by_client(peer), closed(peer)].concat()),
        section("http2/5.1.1", identifiers(peer)),
        section("http2/5.1.2", concurrency(peer)),
        section("http2/5.3.1", dependencies(peer)),
        section("http2/5.4.1", errors()),
        section("http2/5.5", extensions(peer)),
    ]
    .concat()
}

fn unknown() -> Vec<u8> {
    frame(UNKNOWN, 0, 0, [0; 8])
}

fn form() -> [Case; 3] {
    [
        case("a frame of an unknown kind", PONG, [unknown(), peer::ping([0; 8])].concat()),
        case("a frame with unknown flags", PONG, frame(PING, 0x16, 0, [0; 8])),
        case("a frame with the reserved bit", PONG, frame(PING, 0, 1 << 31, [0; 8])),
    ]
}

fn sizes(peer: &Peer) -> [Case; 3] {
    let body = |length| [peer.post(), data(vec![b'x'; length], true)].concat();
    let head = [peer.block("GET"), peer::long(5)].concat();
    assert!(head.len() > peer.frame_size, "the head is too long for a frame");
    [
        case("DATA as long as allowed", Ends::Answered, body(peer.frame_size)),
        case("DATA longer than allowed", Ends::StreamError(&[FRAME_SIZE]), body(peer.frame_size + 1)),
        case("HEADERS longer than allowed", Ends::ConnectionError(&[FRAME_SIZE]), frame(HEADERS, END_STREAM | END_HEADERS, 1, head)),
    ]
}

fn blocks(peer: &Peer) -> [Case; 3] {
    let begun = peer.begun("GET", false);
    [
        case("a block that breaks off in a field", Ends::ConnectionError(&[COMPRESSION]), headers(1, &[0x40], true)),
        case("PRIORITY in a block", BROKEN, [&begun[..], &priority(1, 0, false, 255), &continuation(1, true)].concat()),
        case("HEADERS of another stream in a block", BROKEN, [&begun[..], &peer.get(3), &continuation(1, true)].concat()),
    ]
}

fn idle(peer: &Peer) -> Vec<Case> {
    vec![
        case("idle: DATA", BROKEN, data("test", true)),
        case("idle: RST_STREAM", BROKEN, reset(1, CANCEL)),
        case("idle: WINDOW_UPDATE", BROKEN, window(1, 100)),
        case("idle: CONTINUATION", BROKEN, frame(CONTINUATION, END_HEADERS, 1, peer.block("GET"))),
    ]
}

fn half_closed(peer: &Peer) -> Vec<Case> {
    let get = peer.get(1);
    let more = frame(CONTINUATION, END_HEADERS, 1, peer.block("GET"));
    vec![
        case("half closed: DATA", CLOSED, [get.clone(), data("test", true)].concat()),
        case("half closed: HEADERS", CLOSED, [get.clone(), get.clone()].concat()),
        case("half closed: CONTINUATION", Ends::StreamError(&[STREAM_CLOSED, PROTOCOL]), [get, more].concat()),
    ]
}

fn reset_by_client(peer: &Peer) -> Vec<Case> {
    let after = |title, ends, bytes: Vec<u8>| case(title, ends, [peer.open(), reset(1, CANCEL), bytes].concat());
    vec![
        after("closed by RST_STREAM: DATA", CLOSED, data("test", true)),
        after("closed by RST_STREAM: HEADERS", CLOSED, peer.get(1)),
        after("closed by RST_STREAM: CONTINUATION", Ends::StreamError(&[STREAM_CLOSED, PROTOCOL]), continuation(1, true)),
    ]
}

fn closed(peer: &Peer) -> Vec<Case> {
    let after = |title, ends, bytes: Vec<u8>| case(title, ends, peer.get(1)).then(Awaited::AnswerEnds, bytes);
    vec![
        // Section 6.1 wants an error of the stream, section 5.1 one of the connection.
        after("closed: DATA", CLOSED, data("test", true)),
        after("closed: HEADERS", Ends::ConnectionError(&[STREAM_CLOSED]), peer.get(1)),
        after("closed: CONTINUATION", Ends::ConnectionError(&[STREAM_CLOSED, PROTOCOL]), continuation(1, true)),
    ]
}

fn identifiers(peer: &Peer) -> [Case; 2] {
    [
        case("a stream with an even number", BROKEN, peer.get(2)),
        case("a stream with a lower number than one before", BROKEN, [peer.get(5), peer.get(3)].concat()),
    ]
}

fn concurrency(peer: &Peer) -> Option<Case> {
    let streams = peer.streams?;
    let gets: Vec<u8> = (0..=streams).flat_map(|index| peer.get(index * 2 + 1)).collect();
    // Without a window no answer ends.
    let bytes = [settings(&[(INITIAL_WINDOW, 0)]), gets].concat();
    Some(case("one stream more than allowed", Ends::StreamError(&[PROTOCOL, REFUSED]), bytes))
}

fn dependencies(peer: &Peer) -> [Case; 2] {
    let head = [priority_of(1, false, 255), peer.block("GET")].concat();
    [
        case("HEADERS of a stream below itself", MALFORMED, frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, head)),
        case("PRIORITY of a stream below itself", MALFORMED, priority(1, 1, false, 255)),
    ]
}

fn errors() -> [Case; 2] {
    let misplaced = frame(PING, 0, 3, [0; 8]);
    [
        case("a misplaced PING closes the connection", Ends::Close, misplaced.clone()),
        case("before it closes, GOAWAY comes", Ends::GoAway(PROTOCOL), misplaced).strict(),
    ]
}

fn extensions(peer: &Peer) -> [Case; 2] {
    [
        case("an extension's frame", PONG, [unknown(), peer::ping([0; 8])].concat()),
        case("an extension's frame in a block", BROKEN, [peer.begun("GET", true), unknown()].concat()),
    ]
}
