//! Requests over HTTP/2: each is refused, or arrives as one clean HTTP/1.1 request (catalogue 2.6 and 2.7).

use std::time::Duration;

use crate::oracle::Bench;
use crate::support::client::Client;
use crate::support::frames::{self, DATA, END_STREAM, Event, block, frame, headers};
use crate::support::message::Message;
use crate::support::proxy;
use crate::support::upstream::{Seen, Upstream};

/// What must become of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Refused: 4xx or 501, RST_STREAM, GOAWAY or a close; nothing complete arrives.
    Refused,
    /// Arrives once and is answered.
    Taken,
    /// Either of the two.
    Either,
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

struct Case {
    id: &'static str,
    fields: Fields,
    want: Want,
    body: Option<Vec<u8>>,
    trailers: Option<Fields>,
}

fn owned(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
}

fn get() -> Fields {
    owned(&[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/t")])
}

fn post() -> Fields {
    owned(&[(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/t")])
}

fn more(mut base: Fields, fields: &[(&str, &str)]) -> Fields {
    base.extend(owned(fields));
    base
}

/// Replaces the value of a pseudo-header field of a GET.
fn put(name: &str, value: &str) -> Fields {
    let mut fields = get();
    fields.iter_mut().filter(|(n, _)| n == name.as_bytes()).for_each(|(_, v)| *v = value.as_bytes().to_vec());
    fields
}

fn case(id: &'static str, fields: Fields, want: Want, body: Option<&str>) -> Case {
    Case { id, fields, want, body: body.map(|b| b.as_bytes().to_vec()), trailers: None }
}

/// Lengths and connection-specific fields (D-01, D-02), with the good cases beside them.
fn framing() -> Vec<Case> {
    let length = |values: &[&str]| more(post(), &values.iter().map(|v| ("content-length", *v)).collect::<Vec<_>>());
    let smuggled = Some("GET /smug HTTP/1.1\r\nHost: x\r\n\r\n");
    let with = |name, value| more(get(), &[(name, value)]);
    vec![
        case("ok-get", get(), Want::Taken, None),
        case("ok-post", post(), Want::Taken, Some("hello")),
        case("cl-match", length(&["5"]), Want::Taken, Some("hello")),
        case("cl-short", length(&["3"]), Want::Refused, Some("hello")),
        case("cl-long", length(&["9"]), Want::Refused, Some("hello")),
        case("cl-0-body", length(&["0"]), Want::Refused, smuggled),
        case("cl-bad", length(&["+5"]), Want::Refused, Some("hello")),
        case("cl-dup-diff", length(&["5", "4"]), Want::Refused, Some("hello")),
        case("cl-list", length(&["5, 5"]), Want::Refused, Some("hello")),
        case("cl-empty", length(&[""]), Want::Refused, Some("hello")),
        case("te-chunked", more(post(), &[("transfer-encoding", "chunked")]), Want::Refused, Some("0\r\n\r\nGET /smug HTTP/1.1\r\n\r\n")),
        case("te-upper", more(post(), &[("Transfer-Encoding", "chunked")]), Want::Refused, Some("x")),
        case("connection", more(get(), &[("connection", "close, x-a"), ("x-a", "1")]), Want::Refused, None),
        case("upgrade", with("upgrade", "websocket"), Want::Refused, None),
        case("keep-alive", with("keep-alive", "1"), Want::Refused, None),
        case("proxy-conn", with("proxy-connection", "1"), Want::Refused, None),
        case("te-gzip", with("te", "gzip"), Want::Refused, None),
        case("te-trailers", with("te", "trailers"), Want::Taken, None),
        case("get-body", get(), Want::Taken, Some("hello")),
        case("expect", more(post(), &[("expect", "100-continue"), ("content-length", "5")]), Want::Taken, Some("hello")),
        case("post-empty", post(), Want::Taken, None),
    ]
}

/// Bytes in names and values (D-03), and how many there are (B-15).
fn names_and_values() -> Vec<Case> {
    let with = |name, value| case(name, more(get(), &[(name, value)]), Want::Refused, None);
    let numbered = |name: &str, count: usize| {
        let fields: Vec<(Vec<u8>, Vec<u8>)> = (0..count).map(|i| (format!("{name}{i}").into_bytes(), b"y".to_vec())).collect();
        [get(), fields].concat()
    };
    let crumbs = |count: usize| [get(), (0..count).map(|i| (b"cookie".to_vec(), format!("c{i}=1").into_bytes())).collect()].concat();
    let mut cases: Vec<Case> = ["1\r\nX-Smug: 2", "1\nX-Smug: 2", "1\rX-Smug: 2", "1\x002"].map(|value| with("x-a", value)).into();
    cases.extend(["x\r\nsmug", "x: smug", "x a", "", "X-A"].map(|name| with(name, "1")));
    cases.extend([
        case("val-lead-sp", more(get(), &[("x-a", " 1 ")]), Want::Either, None),
        case("cookie-crumbs", more(get(), &[("cookie", "a=1"), ("cookie", "b=2")]), Want::Taken, None),
        case("crumbs-120", crumbs(120), Want::Refused, None),
        case("hdr-90", numbered("x-", 90), Want::Taken, None),
        case("hdr-300", numbered("x-", 300), Want::Refused, None),
        case("hdr-64k", more(get(), &[("x", &"a".repeat(65_000))]), Want::Refused, None),
    ]);
    cases
}

/// Pseudo-header fields (D-04, D-06, G16).
fn pseudo() -> Vec<Case> {
    let bare = || owned(&[(":method", "GET"), (":scheme", "http"), (":path", "/t")]);
    let refused = |id, fields| case(id, fields, Want::Refused, None);
    let paths = ["/t HTTP/1.1\r\nX: y", "/t x", "/t\r\nX: y", "t", "", "http://b.test/t", "/t#f", "*"];
    let mut cases: Vec<Case> = paths.map(|path| refused(path, put(":path", path))).into();
    cases.extend(["a.test\r\nX: y", "a.test/x", "u@a.test"].map(|authority| refused(authority, put(":authority", authority))));
    cases.extend([
        case("auth-empty", put(":authority", ""), Want::Either, None),
        refused("auth-dup", [owned(&[(":authority", "b.test")]), get()].concat()),
        refused("auth-missing", bare()),
        case("auth-missing-host", more(bare(), &[("host", "a.test")]), Want::Taken, None),
        case("host-same", more(get(), &[("host", "A.test")]), Want::Taken, None),
        refused("host-mismatch", more(get(), &[("host", "b.test")])),
        refused("host-dup", more(get(), &[("host", "a.test"), ("host", "b.test")])),
        refused("method-sp", put(":method", "GET /x HTTP/1.1\r\nA: b\r\n\r\nGET")),
        case("method-lower", put(":method", "get"), Want::Either, None),
        refused("method-connect", owned(&[(":method", "CONNECT"), (":authority", "a.test:443")])),
        // To a WebSocket it is allowed; see websocket.rs.
        refused("ext-connect", more(put(":method", "CONNECT"), &[(":protocol", "connect-udp")])),
        refused("method-trace", put(":method", "TRACE")),
        refused("scheme-bad", put(":scheme", "http://x/")),
        refused("scheme-ftp", put(":scheme", "ftp")),
        case("scheme-https", put(":scheme", "https"), Want::Taken, None),
        refused("pseudo-unknown", [owned(&[(":foo", "x")]), get()].concat()),
        refused("pseudo-dup", [owned(&[(":path", "/u")]), get()].concat()),
        refused("pseudo-late", [&get()[..3], &owned(&[("x", "y")]), &get()[3..]].concat()),
    ]);
    cases
}

/// Trailers (D-10, C-12).
fn trailers() -> Vec<Case> {
    let with = |id, want, name, value| {
        let trailers = Some(owned(&[(name, value)]));
        Case { id, fields: post(), want, body: Some(b"hello".to_vec()), trailers }
    };
    vec![
        with("pseudo-trail", Want::Either, ":path", "/x"),
        with("trail-ok", Want::Taken, "x-t", "v"),
        with("trail-cl", Want::Either, "content-length", "99"),
        with("trail-te", Want::Refused, "transfer-encoding", "chunked"),
    ]
}

fn bytes(case: &Case) -> Vec<u8> {
    let mut bytes = headers(1, &block(&case.fields), case.body.is_none());
    if let Some(body) = &case.body {
        bytes.extend(frame(DATA, if case.trailers.is_some() { 0 } else { END_STREAM }, 1, body));
    }
    if let Some(trailers) = &case.trailers {
        bytes.extend(headers(1, &block(trailers), true));
    }
    bytes
}

/// What is particular to some requests that arrive.
fn particular(case: &Case, request: &Message) -> Result<(), String> {
    let ensure = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {request:?}")) };
    ensure(request.all("host").len() == 1 && request.one("host").eq_ignore_ascii_case("a.test"), "Host is the authority")?;
    ensure(request.body == case.body.clone().unwrap_or_default(), "the body arrives whole")?;
    match case.id {
        "ok-get" => ensure(request.all("content-length").is_empty() && request.all("transfer-encoding").is_empty(), "no framing for a GET"),
        "post-empty" => ensure(request.all("content-length") == ["0"], "a POST says that it has no body"),
        "cl-match" => ensure(request.all("content-length") == ["5"], "the length is passed on"),
        "cookie-crumbs" => ensure(request.all("cookie") == ["a=1; b=2"], "crumbs are joined"),
        "expect" => ensure(request.all("expect").is_empty(), "Expect ends here"),
        "scheme-https" | "te-trailers" => ensure(request.one("via").starts_with("2.0 "), "Via says how it came"),
        _ => Ok(()),
    }
}

fn judge(bench: &Bench, case: &Case) -> Result<(), String> {
    bench.upstream.forget();
    let mut client = frames::connect(bench.proxy.address);
    client.send(bytes(case));
    let over = |events: &[Event]| {
        events.iter().any(|e| matches!(e, Event::Data(1, _, true) | Event::Reset(1, _) | Event::GoAway(1..)))
            || events.iter().any(|e| matches!(e, Event::Status(1, 0 | 300..)))
    };
    let (end, events) = frames::read_until(&mut client, over);
    let status = events.iter().find_map(|e| if let Event::Status(1, status) = e { Some(*status) } else { None });
    let cut = events.iter().any(|e| matches!(e, Event::Reset(..) | Event::GoAway(1..)));
    let told = format!("{events:?}, {end:?}");
    drop(client);
    let refused = match status {
        Some(status) => (400..500).contains(&status) || status == 501,
        None => cut || end != crate::support::client::End::Open,
    };
    let next = Client::connect(bench.proxy.address).ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    if next.body != b"GET /next" {
        return Err(format!("the next request got {next:?}"));
    }
    let arrived: Vec<Message> = bench.upstream.requests().into_iter().filter(|r| r.target() != "/next").collect();
    if let Some(wrong) = arrived.iter().find(|r| !r.violations.is_empty()) {
        return Err(format!("the upstream got {:?}", wrong.violations));
    }
    let complete: Vec<&Message> = arrived.iter().filter(|r| r.complete).collect();
    match (case.want, refused) {
        (Want::Refused | Want::Either, true) if complete.is_empty() => Ok(()),
        (Want::Taken | Want::Either, false) if status == Some(200) && complete.len() == 1 => particular(case, complete[0]),
        _ => Err(format!("{told}; {} complete requests arrived", complete.len())),
    }
}

#[test]
fn every_request_is_refused_or_arrives_as_one_clean_request() {
    let bench = Bench::new();
    let cases: Vec<Case> = [framing(), names_and_values(), pseudo(), trailers()].into_iter().flatten().collect();
    assert_eq!(cases.len(), 69, "the 64 of the corpus and five more");
    let wrong: Vec<String> = cases.iter().filter_map(|case| judge(&bench, case).err().map(|why| format!("{}: {why}", case.id))).collect();
    assert!(wrong.is_empty(), "{} of {} deviate:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn many_requests_at_once_each_get_their_own_answer() {
    let bench = Bench::new();
    let mut client = frames::connect(bench.proxy.address);
    let streams: Vec<u32> = (0..50).map(|i| i * 2 + 1).collect();
    for stream in &streams {
        client.send(headers(*stream, &block(&put(":path", &format!("/{stream}"))), true));
    }
    let done = |events: &[Event]| streams.iter().all(|s| events.iter().any(|e| matches!(e, Event::Data(n, _, true) if n == s)));
    let (_, events) = frames::read_until(&mut client, done);
    assert!(done(&events), "{events:?}");
    let lengths =
        events.iter().filter_map(|e| if let Event::Data(s, length, _) = e { (*length > 0).then_some((*s, *length)) } else { None });
    for (stream, length) in lengths {
        assert_eq!(length, format!("GET /{stream}").len());
    }
}

#[test]
fn a_drain_lets_the_requests_in_flight_end_and_says_goodbye() {
    let (answer, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let upstream = Upstream::start(move |peer| {
        while peer.request().is_some() {
            let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(10));
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.drain = crate::support::PATIENCE).start();
    let mut client = frames::connect(proxy.address);
    client.send(headers(1, &block(&get()), true));
    upstream.wait("the request arrives", |seen| seen.iter().any(|s| !s.requests().is_empty()));
    proxy.drain();
    let (_, events) = frames::read_until(&mut client, |events| events.iter().any(|e| matches!(e, Event::GoAway(0))));
    assert!(events.contains(&Event::GoAway(0)), "{events:?}");
    answer.send(()).unwrap();
    let (_, events) = frames::read_until(&mut client, |events| events.contains(&Event::Data(1, 2, true)) || events.len() > 20);
    assert!(events.contains(&Event::Status(1, 200)), "{events:?}");
}

#[test]
fn r40_a_preface_that_goes_on_wrongly_is_told_goodbye_and_counted() {
    let bench = Bench::new();
    let mut client = Client::connect(bench.proxy.address);
    client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_ne!(client.read_to_end(crate::support::PATIENCE), crate::support::client::End::Open);
    assert!(frames::read(&client.received).contains(&Event::GoAway(1)), "{:?}", client.received);
    crate::support::eventually("it is counted", || (bench.proxy.refused() == 1).then_some(()));
}

#[test]
fn an_upload_that_its_client_resets_without_an_error_never_looks_complete() {
    for length in [None, Some("9")] {
        let bench = Bench::new();
        let mut client = frames::connect(bench.proxy.address);
        let fields = length.map_or_else(post, |length| more(post(), &[("content-length", length)]));
        client.send([headers(1, &block(&fields), false), frame(DATA, 0, 1, b"hello")].concat());
        let begun = |seen: &[Seen]| seen.iter().any(|s| s.bytes.ends_with(b"hello") || s.bytes.ends_with(b"hello\r\n"));
        bench.upstream.wait("some of it arrives", begun);
        client.send(frame(frames::RST_STREAM, 0, 1, [0, 0, 0, 0]));
        let seen = bench.upstream.wait("the version's connection is closed", |seen| seen.iter().all(|s| s.closed));
        assert!(seen.iter().flat_map(|s| s.requests()).all(|request| !request.complete), "{seen:?}");
        let window = bench.proxy.ended(1);
        assert_eq!((window.failed + window.aborted, window.answered), (1, 0));
    }
}

#[test]
fn an_answer_made_here_to_head_has_no_body() {
    let upstream = Upstream::good();
    let proxy = proxy::to([upstream.address]).for_hosts(&["b.test"]).start();
    let mut client = frames::connect(proxy.address);
    client.send(headers(1, &block(&put(":method", "HEAD")), true));
    client.send(headers(3, &block(&put(":authority", "b.test")), true));
    let over = |events: &[Event]| events.iter().any(|e| matches!(e, Event::Data(3, _, true)));
    let (_, events) = frames::read_until(&mut client, over);
    assert!(events.contains(&Event::Status(1, 404)) && over(&events), "{events:?}");
    assert!(events.iter().all(|e| !matches!(e, Event::Data(1, 1.., _))), "{events:?}");
}

#[test]
fn an_idle_connection_is_told_before_it_ends() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.keep_alive = Duration::from_millis(300)));
    let mut client = frames::connect(bench.proxy.address);
    client.send(headers(1, &block(&get()), true));
    let (end, events) = frames::read_until(&mut client, |_| false);
    assert!(events.contains(&Event::Status(1, 200)) && events.contains(&Event::GoAway(0)), "{events:?}");
    assert_ne!(end, crate::support::client::End::Open);
}

#[test]
fn a_worker_with_all_its_requests_in_flight_says_so_and_to_others_nothing_happens() {
    let hung = Upstream::start(|peer| while peer.request().is_some() {});
    let proxy = proxy::to([hung.address]).with(|s| s.connections = 3).start();
    let mut client = frames::connect(proxy.address);
    for stream in [1, 3, 5, 7] {
        client.send(headers(stream, &block(&get()), true));
    }
    let (_, events) = frames::read_until(&mut client, |events| events.iter().any(|e| matches!(e, Event::Data(_, _, true))));
    assert!(events.contains(&Event::Status(7, 503)), "{events:?}");
    assert_eq!(proxy.refused(), 1);
}
