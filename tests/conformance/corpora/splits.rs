//! how the bytes of a request are split never changes what becomes of it.
//!
//! The program has read each part before the next is sent (see [`Lane::fence`]), and behind each input follows a request that
//! closes the connection, so that every exchange has an end.

use std::collections::BTreeSet;

use super::data::{self, Request};
use super::lane::{BODY_IDLE, Lane, in_lanes};
use crate::support::client::{Client, End};
use crate::support::message::{Message, read_answers};
use crate::support::{PATIENCE, eventually};

/// What follows each input on its connection.
const AFTER: &[u8] = b"GET /after HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
/// The most ways to split one head that are tried.
const MOST_SPLITS: usize = 64;
/// Where the splits of long heads are drawn from.
const SEED: u64 = 38;
/// The longest input that is sent in single bytes.
const SHORT: usize = 400;

/// What a client got: the final answers, good ones with their bodies, and whether the connection ended.
///
/// The words of a refusal may tell how far the request had come.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    answers: Vec<(u16, Vec<u8>)>,
    ended: bool,
}

fn got(mut client: Client) -> Got {
    let end = client.read_to_end(PATIENCE);
    let answers = read_answers(&client.received, &[], end == End::Closed);
    let finals = answers
        .into_iter()
        .filter(|a| a.status() >= 200)
        .map(|a| (a.status(), if a.status() < 300 { a.body } else { Vec::new() }))
        .collect();
    Got { answers: finals, ended: end != End::Open }
}

/// What reached the upstream complete, in a form that can be compared.
fn arrived(lane: &Lane) -> Vec<String> {
    let shown = |m: Message| format!("{:?} {:?} {:?} {:?}", m.line, m.fields, m.body, m.violations);
    let mut all: Vec<String> = lane.seen().into_iter().filter(|m| m.complete).map(shown).collect();
    all.sort();
    all
}

/// The bytes that are sent for an input.
fn stream(case: &Request) -> Vec<u8> {
    [&case.bytes.0, AFTER].concat()
}

/// Where a head is split: behind every byte, or where a long one is split at random.
fn boundaries(case: &Request) -> Vec<usize> {
    let bytes = &case.bytes.0;
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    if head <= 2 * MOST_SPLITS {
        return (1..head).collect();
    }
    // A long head's beginning and end, and what lies between them drawn from a fixed seed (splitmix64).
    let mut state = SEED;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % head as u64).unwrap().max(1)
    };
    let mut chosen: BTreeSet<usize> = (head - 5..head).collect();
    while chosen.len() < MOST_SPLITS {
        chosen.insert(draw());
    }
    chosen.into_iter().collect()
}

/// Sends the bytes on as many connections as there are splits, each in two parts; returns what came of each.
fn split(lane: &Lane, bytes: &[u8], splits: &[usize]) -> Vec<Got> {
    let mut clients: Vec<Client> = splits.iter().map(|_| Client::connect(lane.address)).collect();
    lane.fence();
    for (client, at) in clients.iter_mut().zip(splits) {
        client.send(&bytes[..*at]);
    }
    lane.fence();
    for (client, at) in clients.iter_mut().zip(splits) {
        client.send(&bytes[*at..]);
    }
    clients.into_iter().map(got).collect()
}

/// Sends an input whole and split at every boundary; `Err` says what differs.
fn same_however_split(lane: &Lane, case: &Request) -> Result<usize, String> {
    let bytes = stream(case);
    lane.upstream.forget();
    let whole = split(lane, &bytes, &[0]).remove(0);
    let once = arrived(lane);
    if !whole.ended {
        return Err(format!("the whole has no end: {whole:?}"));
    }
    let splits = boundaries(case);
    for some in splits.chunks(MOST_SPLITS) {
        lane.upstream.forget();
        for (got, at) in split(lane, &bytes, some).into_iter().zip(some) {
            if got != whole {
                return Err(format!("split behind byte {at} it becomes {got:?}, whole {whole:?}"));
            }
        }
        lane.fence();
        let mut wanted: Vec<String> = some.iter().flat_map(|_| once.iter().cloned()).collect();
        wanted.sort();
        let seen = arrived(lane);
        if seen != wanted {
            return Err(format!("split behind bytes {some:?} {} requests arrive, {} are wanted: {seen:?}", seen.len(), wanted.len()));
        }
    }
    Ok(splits.len())
}

/// Splits the heads of all these; returns in how many ways.
fn heads_split_anywhere(cases: &[Request], strict: bool) -> usize {
    let results = in_lanes(cases.len(), || Lane::start(strict, BODY_IDLE), |lane, number| same_however_split(lane, &cases[number]));
    let wrong: Vec<String> =
        results.iter().zip(cases).filter_map(|(r, case)| r.as_ref().err().map(|why| format!("{}: {why}", case.id))).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} requests change with how they arrive (seed {SEED}):\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    results.into_iter().flatten().sum()
}

#[test]
fn r38_a_head_split_behind_any_byte_becomes_what_it_is_whole() {
    let splits = heads_split_anywhere(&data::requests(), true);
    assert!(splits > 10_000, "{splits} splits were tried");
}

#[test]
fn r38_what_is_repaired_by_default_is_repaired_however_its_head_is_split() {
    // The others become by default what they become in strict mode.
    let repaired: Vec<Request> = data::requests().into_iter().filter(|case| case.default.is_some()).collect();
    let splits = heads_split_anywhere(&repaired, false);
    assert!(splits > 300, "{splits} splits were tried");
}

#[test]
fn r38_a_request_in_single_bytes_becomes_what_it_is_whole() {
    // Between two bytes of one lie those of all others, which may take long; so nothing here may wait for the body's timer.
    let lane = Lane::start(true, "60s");
    let fit = |case: &&Request| case.bytes.0.len() <= SHORT && !case.may_wait;
    let streams: Vec<Vec<u8>> = data::requests().iter().filter(fit).map(stream).collect();
    assert!(streams.len() > 200, "{} requests are short", streams.len());
    let mut once = Vec::new();
    let mut wholes = Vec::new();
    for bytes in &streams {
        lane.upstream.forget();
        wholes.push(split(&lane, bytes, &[0]).remove(0));
        once.extend(arrived(&lane));
    }
    once.sort();
    lane.upstream.forget();
    let mut clients: Vec<Client> = streams.iter().map(|_| Client::connect(lane.address)).collect();
    for at in 0..streams.iter().map(Vec::len).max().unwrap() {
        lane.fence();
        for (client, bytes) in clients.iter_mut().zip(&streams) {
            client.send(bytes.get(at..=at).unwrap_or(&[]));
        }
    }
    for ((client, whole), bytes) in clients.into_iter().zip(&wholes).zip(&streams) {
        assert_eq!(got(client), *whole, "{:?}", String::from_utf8_lossy(bytes));
    }
    let seen = eventually("all requests arrive", || Some(arrived(&lane)).filter(|seen| seen.len() >= once.len()));
    assert!(seen == once, "{} requests arrived, {} are wanted", seen.len(), once.len());
}

#[test]
fn the_fence_returns_when_all_that_was_sent_before_has_been_read() {
    let lane = Lane::start(false, BODY_IDLE);
    let mut clients: Vec<Client> = (0..MOST_SPLITS).map(|_| Client::connect(lane.address)).collect();
    lane.fence();
    for client in &mut clients {
        client.send("GET / HT");
    }
    lane.fence();
    // Column 1 and 2 are the socket's own address and its peer's, column 4 holds what was not read behind the colon.
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", lane.address.port());
    let unread: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|columns| columns.len() > 4 && columns[1].ends_with(&port) && columns[3] == "01")
        .map(|columns| columns[4].split(':').nth(1).unwrap().to_owned())
        .collect();
    assert!(unread.len() > MOST_SPLITS, "{} connections", unread.len());
    assert!(unread.iter().all(|unread| unread == "00000000"), "bytes wait to be read: {unread:?}");
}
