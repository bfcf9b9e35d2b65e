//! What every server must take: each kind of frame, requests and each way to write a field (RFC 9113, RFC 7541).

use super::case::{Awaited, Case, case, section};
use super::ends::{CANCEL, Ends};
use super::hpack::{Text, literal};
use super::peer::{
    CONCURRENT_STREAMS, ENABLE_PUSH, FRAME_SIZE, HEADER_LIST, INITIAL_WINDOW, Peer, TABLE_SIZE, data, ping, priority, priority_of, reset,
    settings, window,
};
use crate::support::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PREFACE, WITH_PRIORITY, block, frame, headers,
};

const PONG: Ends = Ends::Pong(*b"portcull");
const PONG_OR_CLOSE: Ends = Ends::PongOrClose(*b"portcull");

fn asked() -> Vec<u8> {
    ping(*b"portcull")
}

/// All of them.
pub fn cases(peer: &Peer) -> Vec<Case> {
    let preface = [PREFACE, &settings(&[(INITIAL_WINDOW, 65_535)])].concat();
    [
        section("generic/1", [case("the first frame of the server is SETTINGS", Ends::Settings, preface).bare()]),
        section("generic/2", states(peer)),
        section("generic/3.1", bodies(peer)),
        section("generic/3.2", heads(peer)),
        section("generic/3.3", priorities(peer)),
        section("generic/3.4", [case("RST_STREAM", PONG_OR_CLOSE, [peer.open(), reset(1, CANCEL), asked()].concat())]),
        section("generic/3.5", [case("SETTINGS with every known setting", Ends::Acknowledged, every_setting())]),
        section("generic/3.7", [case("PING", PONG, asked())]),
        section("generic/3.8", [case("GOAWAY", Ends::Close, frame(GOAWAY, 0, 0, [&[0; 8][..], b"bye"].concat()))]),
        section("generic/3.9", windows(peer)),
        section("generic/3.10", continuations(peer)),
        section("generic/4", requests(peer)),
        section("generic/5", fields(peer)),
    ]
    .concat()
}

fn states(peer: &Peer) -> [Case; 5] {
    let (get, held) = (peer.get(1), settings(&[(INITIAL_WINDOW, 0)]));
    [
        case("PRIORITY on an idle stream", PONG, [priority(1, 0, false, 255), asked()].concat()),
        case("WINDOW_UPDATE on a stream half closed by the client", Ends::Data(None), [&held[..], &get, &window(1, 1)].concat()),
        case(
            "PRIORITY on a stream half closed by the client",
            Ends::Data(None),
            [&held[..], &get, &priority(1, 0, false, 255), &window(1, 1)].concat(),
        ),
        case("RST_STREAM on a stream half closed by the client", PONG_OR_CLOSE, [&get[..], &reset(1, CANCEL), &asked()].concat()),
        case("PRIORITY on a closed stream", PONG, get).then(Awaited::AnswerEnds, [priority(1, 0, false, 255), asked()].concat()),
    ]
}

fn bodies(peer: &Peer) -> [Case; 3] {
    let padded = frame(DATA, END_STREAM | PADDED, 1, [&[6][..], b"test", &[0; 6]].concat());
    [
        case("one DATA", Ends::Answered, [peer.post(), data("test", true)].concat()),
        case("two DATA", Ends::Answered, [peer.post(), data("test", false), data("test", true)].concat()),
        case("DATA with padding", Ends::Answered, [peer.post(), padded].concat()),
    ]
}

fn heads(peer: &Peer) -> [Case; 3] {
    let whole = END_STREAM | END_HEADERS;
    let padded = [&[8][..], &peer.block("GET"), &[0; 8]].concat();
    let weighed = [priority_of(0, false, 255), peer.block("GET")].concat();
    [
        case("HEADERS", Ends::Answered, peer.get(1)),
        case("HEADERS with padding", Ends::Answered, frame(HEADERS, whole | PADDED, 1, padded)),
        case("HEADERS with a priority", Ends::Answered, frame(HEADERS, whole | WITH_PRIORITY, 1, weighed)),
    ]
}

fn priorities(peer: &Peer) -> [Case; 5] {
    let before = |title, priority: Vec<u8>| case(title, Ends::Answered, [priority, peer.get(1)].concat());
    [
        before("PRIORITY of 1", priority(1, 0, false, 0)),
        before("PRIORITY of 256", priority(1, 0, false, 255)),
        before("PRIORITY below another stream", priority(3, 1, false, 0)),
        before("PRIORITY that is exclusive", priority(1, 0, true, 0)),
        before("PRIORITY of an idle stream opens none: one with a lower number is opened after it", priority(3, 0, false, 255)),
    ]
}

fn every_setting() -> Vec<u8> {
    let values = [
        (TABLE_SIZE, 4096),
        (ENABLE_PUSH, 1),
        (CONCURRENT_STREAMS, 100),
        (INITIAL_WINDOW, 65_535),
        (FRAME_SIZE, 16_384),
        (HEADER_LIST, 100),
    ];
    settings(&values)
}

fn windows(peer: &Peer) -> [Case; 2] {
    [
        case("WINDOW_UPDATE of the connection", PONG, [window(0, 1), asked()].concat()),
        case("WINDOW_UPDATE of a stream", Ends::Answered, [peer.get(1), window(1, 1)].concat()),
    ]
}

fn continuations(peer: &Peer) -> [Case; 2] {
    let block = peer.block("GET");
    let [first, second, third] = [&block[..5], &block[5..10], &block[10..]];
    let piece = |flags, bytes: &[u8]| frame(CONTINUATION, flags, 1, bytes);
    let begun = frame(HEADERS, END_STREAM, 1, first);
    [
        case("one CONTINUATION", Ends::Answered, [begun.clone(), piece(END_HEADERS, &block[5..])].concat()),
        case("two CONTINUATION", Ends::Answered, [begun, piece(0, second), piece(END_HEADERS, third)].concat()),
    ]
}

fn requests(peer: &Peer) -> [Case; 4] {
    let announced = headers(1, &peer.block_with("POST", &[("trailer", "x-test")]), false);
    let trailers = headers(1, &block(&[("x-test", "ok")]), true);
    [
        case("GET", Ends::Answered, peer.get(1)),
        case("HEAD", Ends::Answered, headers(1, &peer.block("HEAD"), true)),
        case("POST", Ends::Answered, [peer.post(), data("test", true)].concat()),
        case("POST with trailers", Ends::Answered, [announced, data("test", false), trailers].concat()),
    ]
}

fn fields(peer: &Peer) -> Vec<Case> {
    const USER_AGENT: usize = 58;
    let after = |title: String, field: Vec<u8>| case(title, Ends::Answered, headers(1, &[peer.block("GET"), field].concat(), true));
    let before = |title: &str, update: &[u8]| case(title, Ends::Answered, headers(1, &[update, &peer.block("GET")].concat(), true));
    let mut cases = vec![after("a field by its index".to_owned(), frames::integer(0x80, 7, USER_AGENT))];
    for (way, first, bits) in [("added to the table", 0x40, 6), ("not added to the table", 0, 4), ("never added to a table", 0x10, 4)] {
        for (name, index) in [("name by its index", USER_AGENT), ("new name", 0)] {
            for (coding, text) in [("plain", Text::PLAIN), ("Huffman-coded", Text::CODED)] {
                let names = (index == 0).then_some(text.name);
                cases.push(after(format!("a literal {way}, {name}, {coding}"), literal(first, bits, index, names, text.value)));
            }
        }
    }
    cases.push(before("the table is emptied", &frames::integer(0x20, 5, 0)));
    cases.push(before("the table is emptied and grown again", &[frames::integer(0x20, 5, 0), frames::integer(0x20, 5, 4096)].concat()));
    cases
}
