//! Requests and responses as they must be refused or cleaned; each test names the lines of the catalogue it holds.
#![cfg(test)]

use super::{Clean, Framing, Outgoing, Peer, Policy, Refusal, WireNotes, request as clean_request, response as clean_response};
use crate::domain::outcome::Failure;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request, response};

/// A head of `GET /t` with these fields; `Host: a.test` comes first unless a Host is among them.
fn head(fields: &[(&str, &str)]) -> request::Parts {
    let mut parts = Request::get("/t").body(()).unwrap().into_parts().0;
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        parts.headers.insert(header::HOST, HeaderValue::from_static("a.test"));
    }
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        parts.headers.append(HeaderName::try_from(*name).unwrap(), value);
    }
    parts
}

fn to(method: &str, target: &str) -> request::Parts {
    let mut parts = head(&[]);
    (parts.method, parts.uri) = (method.parse().unwrap(), target.parse().unwrap());
    parts
}

fn peer(trusted: bool) -> Peer {
    let net = if trusted { vec!["192.0.2.0/24".parse().unwrap()] } else { Vec::new() };
    Peer::new(([192, 0, 2, 7], 4711).into(), 8080, &net)
}

fn policy(strict: bool) -> Policy {
    Policy::new(strict, "gate-1")
}

/// The fields of a cleaned request as its version reads them.
pub(super) fn as_read(parts: &request::Parts, framing: Framing, peer: &Peer, policy: &Policy) -> HeaderMap {
    let bytes = Outgoing::new(parts.clone(), framing, peer, policy).take_bytes();
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Request::new(&mut fields);
    assert_eq!(head.parse(&bytes), Ok(httparse::Status::Complete(bytes.len())), "{}", String::from_utf8_lossy(&bytes));
    let field = |field: &httparse::Header<'_>| (HeaderName::try_from(field.name).unwrap(), HeaderValue::from_bytes(field.value).unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

/// Cleans a request; the fields are those that its version reads.
fn clean_for(mut parts: request::Parts, peer: &Peer) -> Result<(request::Parts, Clean), Refusal> {
    let clean = clean_request(&mut parts, WireNotes::default(), peer, &policy(false))?;
    parts.headers = as_read(&parts, clean.framing, peer, &policy(false));
    Ok((parts, clean))
}

fn clean(parts: request::Parts) -> Result<(request::Parts, Clean), Refusal> {
    clean_for(parts, &peer(false))
}

#[track_caller]
fn accepted(parts: request::Parts) -> (request::Parts, Clean) {
    clean(parts).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
}

#[track_caller]
fn status(parts: request::Parts) -> u16 {
    clean(parts).map_or_else(|refusal| refusal.status, |(parts, _)| panic!("accepted: {parts:?}"))
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

fn noted(notes: WireNotes, strict: bool) -> Option<u16> {
    let mut parts = head(&[("transfer-encoding", "chunked")]);
    clean_request(&mut parts, notes, &peer(false), &policy(strict)).err().map(|refusal| refusal.status)
}

#[test]
fn g01_r01_two_framings_are_refused_when_strict_and_one_is_written_otherwise() {
    let notes = WireNotes { two_framings: true, ..WireNotes::default() };
    assert_eq!((noted(notes, false), noted(notes, true)), (None, Some(400)));
    let (parts, clean) = accepted(head(&[("content-length", "6"), ("transfer-encoding", "chunked")]));
    assert_eq!(clean.framing, Framing::Chunked);
    assert_eq!((all(&parts.headers, "content-length").len(), all(&parts.headers, "transfer-encoding")), (0, vec![&b"chunked"[..]]));
}

#[test]
fn g02_transfer_encoding_is_exactly_one_chunked() {
    for good in ["chunked", "CHUNKED", " chunked\t"] {
        let (parts, clean) = accepted(head(&[("transfer-encoding", good)]));
        assert_eq!((clean.framing, all(&parts.headers, "transfer-encoding")), (Framing::Chunked, vec![&b"chunked"[..]]), "{good}");
    }
    for unknown in ["gzip, chunked", "gzip,chunked", "a, b, chunked"] {
        assert_eq!(status(head(&[("transfer-encoding", unknown)])), 501, "{unknown}");
    }
    for bad in [
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "chunked, gzip",
        "chunked, identity",
        "xchunked",
        "gzip",
        "identity",
        "\"chunked\"",
        "chunked;q=1",
        "chun ked",
        "",
        ",",
        "gzip, chunked, chunked",
        "chunked\u{e9}",
        "gzip\u{e9}, chunked",
    ] {
        let got = status(head(&[("transfer-encoding", bad)]));
        assert!(matches!(got, 400 | 501), "{bad}: {got}");
    }
    for (first, second) in [("chunked", "chunked"), ("identity", "chunked"), ("chunked", "identity"), ("", "chunked")] {
        let got = status(head(&[("transfer-encoding", first), ("transfer-encoding", second)]));
        assert!(matches!(got, 400 | 501), "{first} {second}: {got}");
    }
}

#[test]
fn r03_to_r10_content_length_is_one_number_and_written_anew() {
    for (given, bytes) in [("0", 0), ("5", 5), ("005", 5), ("18446744073709551615", u64::MAX)] {
        let (parts, clean) = accepted(head(&[("content-length", given), ("content-length", given)]));
        assert_eq!(clean.framing, Framing::Length(bytes));
        assert_eq!(all(&parts.headers, "content-length"), [bytes.to_string().as_bytes()]);
    }
    for bad in
        ["+5", "-1", "0x5", "1_0", "", "5 0", "5.0", "5e0", ",5", "5,", "5, 5", "abc", "18446744073709551616", "99999999999999999999999"]
    {
        assert_eq!(status(head(&[("content-length", bad)])), 400, "{bad}");
    }
    assert_eq!(status(head(&[("content-length", "5"), ("content-length", "0")])), 400);
    assert_eq!(accepted(head(&[])).1.framing, Framing::None);
}

#[test]
fn g03_u01_to_u10_host_is_exactly_one_and_valid() {
    for bad in ["", "a.test, b.test", "a test", "a.test/x", "u@a.test", "a.test:99999", "a.test:8x", "[::1", ".", "a\u{e9}"] {
        assert_eq!(status(head(&[("host", bad)])), 400, "{bad}");
    }
    assert_eq!(status(head(&[("host", "a.test"), ("host", "a.test")])), 400);
    let mut none = head(&[]);
    none.headers.remove(header::HOST);
    assert_eq!(status(none), 400);
    let (parts, clean) = accepted(head(&[("host", "A.Test.:81")]));
    assert_eq!((clean.host.as_str(), all(&parts.headers, "host")), ("a.test", vec![&b"A.Test.:81"[..]]));
}

#[test]
fn g04_u11_the_targets_authority_replaces_host() {
    let (parts, clean) = accepted(to("GET", "http://b.test:81/p?q"));
    assert_eq!(
        (clean.host.as_str(), all(&parts.headers, "host"), parts.uri.to_string()),
        ("b.test", vec![&b"b.test:81"[..]], "/p?q".into())
    );
    assert_eq!(all(&parts.headers, "x-forwarded-host"), [b"b.test:81"]);
    for (target, code) in [("http://u@b.test/", 400), ("https://b.test/", 421), ("ftp://b.test/", 400)] {
        assert_eq!(status(to("GET", target)), code, "{target}");
    }
}

#[test]
fn g05_g06_g07_targets_and_methods_that_do_not_belong_here_are_refused() {
    for (method, target, code) in [
        ("GET", "a.test:80", 400),
        ("GET", "t", 400),
        ("GET", "*", 400),
        ("CONNECT", "a.test:443", 405),
        ("TRACE", "/", 405),
        ("TRACK", "/", 405),
        (&"A".repeat(33), "/", 400),
    ] {
        assert_eq!(status(to(method, target)), code, "{method} {target}");
    }
    let long = format!("/{}", "a".repeat(8 * 1024));
    assert_eq!(status(to("GET", &long)), 414);
    assert_eq!(noted(WireNotes { fragment: true, ..WireNotes::default() }, false), Some(400));
    assert_eq!(noted(WireNotes { malformed: true, ..WireNotes::default() }, false), Some(400));
    let mut other = head(&[]);
    other.version = Version::HTTP_3;
    assert_eq!(status(other), 505);
}

#[test]
fn g08_u15_u17_options_asterisk_passes_and_max_forwards_counts_down() {
    assert_eq!(accepted(to("OPTIONS", "*")).0.uri, "*");
    let hops = |method: &str, value: &'static str| {
        let mut parts = to(method, "/");
        parts.headers.insert(header::MAX_FORWARDS, HeaderValue::from_static(value));
        parts
    };
    assert_eq!(all(&accepted(hops("OPTIONS", "1")).0.headers, "max-forwards"), [b"0"]);
    assert_eq!(status(hops("OPTIONS", "0")), 200);
    assert_eq!(all(&accepted(hops("OPTIONS", "x")).0.headers, "max-forwards"), [b"x"]);
    assert_eq!(all(&accepted(hops("GET", "0")).0.headers, "max-forwards"), [b"0"], "of other methods it says nothing");
}

#[test]
fn g09_h01_to_h04_hop_by_hop_fields_go_and_protected_ones_stay() {
    let fields = [
        ("connection", "close, X-Secret, cookie, Host, X-Forwarded-For, content-length"),
        ("connection", "x-other"),
        ("x-secret", "1"),
        ("x-other", "1"),
        ("x-keep", "1"),
        ("cookie", "a=b"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("te", "trailers, deflate"),
        ("trailer", "X-T"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAA"),
        ("proxy-authorization", "Basic x"),
        ("content-length", "5"),
    ];
    let (parts, _) = accepted(head(&fields));
    let mut names: Vec<&str> = parts.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "content-length",
        "cookie",
        "host",
        "te",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-keep",
    ];
    assert_eq!(names, expected);
    assert_eq!(all(&parts.headers, "te"), [b"trailers"]);
}

#[test]
fn g10_e02_only_100_continue_is_expected_and_it_stays_here() {
    assert!(all(&accepted(head(&[("expect", "100-Continue")])).0.headers, "expect").is_empty());
    for bad in ["200-ok", "y 100-continue", "100-continue, x", ""] {
        assert_eq!(status(head(&[("expect", bad)])), 417, "{bad}");
    }
    assert_eq!(status(head(&[("expect", "100-continue"), ("expect", "x")])), 417);
}

#[test]
fn g14_bare_line_feeds_are_refused_when_strict() {
    let notes = WireNotes { bare_lf: true, ..WireNotes::default() };
    assert_eq!((noted(notes, false), noted(notes, true)), (None, Some(400)));
}

#[test]
fn r20_h08_names_with_underscores_and_ours_are_dropped() {
    let (parts, clean) = accepted(head(&[("transfer_encoding", "chunked"), ("x_real_ip", "9"), ("x-portcullis-version", "v2")]));
    assert_eq!(clean.framing, Framing::None);
    assert!(parts.headers.keys().all(|name| !name.as_str().contains('_') && !name.as_str().starts_with("x-portcullis-")));
}

#[test]
fn r37_h11_values_above_16_kib_are_431() {
    assert_eq!(status(head(&[("cookie", &"x".repeat(16 * 1024 + 1))])), 431);
    accepted(head(&[("cookie", &"x".repeat(16 * 1024))]));
}

#[test]
fn h05_forwarding_fields_are_believed_of_trusted_peers_only() {
    let claims = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https"), ("forwarded", "for=9"), ("x-real-ip", "9.9.9.9")];
    let (parts, _) = accepted(head(&claims));
    let ours = [("for", "192.0.2.7"), ("proto", "http"), ("host", "a.test"), ("port", "8080")];
    for (name, value) in ours {
        assert_eq!(all(&parts.headers, &format!("x-forwarded-{name}")), [value.as_bytes()]);
    }
    assert!(parts.headers.get("forwarded").is_none() && parts.headers.get("x-real-ip").is_none());
    let (parts, _) = clean_for(head(&claims), &peer(true)).unwrap();
    assert_eq!(all(&parts.headers, "x-forwarded-for"), [b"9.9.9.9, 192.0.2.7"]);
    assert_eq!((all(&parts.headers, "x-forwarded-proto"), all(&parts.headers, "x-real-ip")), (vec![&b"https"[..]], vec![&b"9.9.9.9"[..]]));
}

#[test]
fn h10_via_is_ours_at_the_end_and_a_loop_is_508() {
    assert_eq!(all(&accepted(head(&[("via", "1.0 fred")])).0.headers, "via"), [&b"1.0 fred"[..], b"1.1 gate-1"]);
    for looped in ["1.1 gate-1", "1.0 x, HTTP/1.1 gate-1 (c)", "1.0 x,1.1\tgate-1"] {
        assert_eq!(status(head(&[("via", looped)])), 508, "{looped}");
    }
}

fn answer(status: u16, fields: &[(&str, &str)]) -> Result<response::Parts, Failure> {
    let mut parts = Response::builder().status(status).body(()).unwrap().into_parts().0;
    for (name, value) in fields {
        parts.headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    clean_response(&mut parts, &policy(false).via, false).map(|()| parts)
}

#[test]
fn g20_f14_to_f17_an_answer_has_one_framing_or_is_invalid() {
    let both = answer(200, &[("content-length", "3"), ("transfer-encoding", "chunked")]).unwrap();
    assert!(all(&both.headers, "content-length").is_empty());
    assert_eq!(all(&answer(200, &[("content-length", "005")]).unwrap().headers, "content-length"), [b"5"]);
    for bad in ["gzip", "gzip, chunked", "chunked, chunked", ""] {
        assert_eq!(answer(200, &[("transfer-encoding", bad)]).unwrap_err(), Failure::ResponseInvalid, "{bad}");
    }
    for bad in ["abc", "5, 5", "", "99999999999999999999"] {
        assert_eq!(answer(200, &[("content-length", bad)]).unwrap_err(), Failure::ResponseInvalid, "{bad}");
    }
    let none = answer(204, &[("content-length", "5")]).unwrap();
    assert!(all(&none.headers, "content-length").is_empty());
}

#[test]
fn f15_differing_lengths_of_an_answer_are_invalid() {
    assert_eq!(answer(200, &[("content-length", "5"), ("content-length", "3")]).unwrap_err(), Failure::ResponseInvalid);
    assert_eq!(answer(200, &[("content-length", "+5")]).unwrap_err(), Failure::ResponseInvalid);
}

#[test]
fn g21_g24_101_and_statuses_outside_200_to_599_are_not_passed_on() {
    assert_eq!(answer(101, &[]).unwrap_err(), Failure::ResponseInformational);
    for bad in [100, 103, 199, 600, 999] {
        assert_eq!(answer(bad, &[]).unwrap_err(), Failure::ResponseInvalid, "{bad}");
    }
    for good in [200, 304, 404, 599] {
        assert_eq!(answer(good, &[]).unwrap().status, StatusCode::from_u16(good).unwrap());
    }
}

#[test]
fn h01_h02_h08_answers_lose_hop_by_hop_nominated_and_our_fields() {
    let fields = [
        ("connection", "x-int, set-cookie"),
        ("x-int", "1"),
        ("set-cookie", "a=b"),
        ("keep-alive", "5"),
        ("proxy-authenticate", "x"),
        ("upgrade", "h2c"),
        ("trailer", "x"),
        ("x-portcullis-version", "v2"),
        ("x-keep", "1"),
    ];
    let parts = answer(200, &fields).unwrap();
    let mut names: Vec<&str> = parts.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["set-cookie", "via", "x-keep"]);
}
