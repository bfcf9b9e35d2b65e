//! H-01 to H-11: hop-by-hop fields and fields that say who somebody is.

use crate::oracle::{BAD, Bench, Expect, ONE, case, get, telling};
use crate::support::client::{Client, End};
use crate::support::message::Message;
use crate::support::proxy;
use crate::support::upstream::Upstream;

fn forwarded(bench: &Bench, fields: &str) -> Message {
    bench.judge(&[case(fields, get(fields), ONE)]);
    bench.upstream.requests().remove(0)
}

/// What a client gets of an answer with these fields.
fn answered(fields: &str) -> Message {
    let upstream = Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{fields}\r\ngood"));
    let proxy = proxy::to([upstream.address]).start();
    Client::connect(proxy.address).ask(get(""))
}

#[test]
fn h01_h03_what_connection_names_goes_in_both_directions() {
    let fields = "Connection: close, X-Secret\r\nX-Secret: 1\r\nX-Keep: 2\r\nConnection: x-other\r\nX-Other: 3\r\n";
    let request = forwarded(&Bench::new(), fields);
    assert_eq!((request.all("x-secret").len(), request.all("x-other").len(), request.one("x-keep")), (0, 0, "2"));
    let answer = answered("Connection: X-Secret, x-other\r\nX-Secret: 1\r\nX-Other: 3\r\nX-Keep: 2\r\n");
    assert_eq!((answer.all("x-secret").len(), answer.all("x-other").len(), answer.one("x-keep")), (0, 0, "2"));
}

#[test]
fn h02_hop_by_hop_fields_are_removed_in_both_directions() {
    let fields = "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nTrailer: X-T\r\n\
                  Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nProxy-Authorization: Basic x\r\n\
                  Proxy-Authenticate: Basic\r\n";
    // The reader flags every hop-by-hop field it sees.
    let request = forwarded(&Bench::new(), fields);
    assert_eq!(request.one("te"), "trailers");
    let answer = answered(&fields.replace("TE: trailers, deflate\r\n", ""));
    for name in ["keep-alive", "proxy-connection", "trailer", "upgrade", "http2-settings", "proxy-authenticate", "proxy-authorization"] {
        assert!(answer.all(name).is_empty(), "{name}");
    }
}

#[test]
fn h04_naming_a_protected_field_in_connection_does_not_remove_it() {
    let protected = [
        ("Host", None),
        ("Content-Type", Some("a/b")),
        ("Authorization", Some("Basic x")),
        ("Cookie", Some("a=b")),
        ("X-Forwarded-For", None),
        ("X-Forwarded-Host", None),
        ("X-Forwarded-Proto", None),
        ("X-Forwarded-Port", None),
        ("Via", None),
        ("Cache-Control", Some("no-store")),
        ("Traceparent", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ("Tracestate", Some("a=b")),
        ("b3", Some("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1")),
        ("X-B3-TraceId", Some("0af7651916cd43dd8448eb211c80319c")),
        ("X-B3-Sampled", Some("1")),
    ];
    let bench = Bench::new();
    for (name, value) in protected {
        let field = value.map_or_else(String::new, |value| format!("{name}: {value}\r\n"));
        let request = forwarded(&bench, &format!("Connection: close, {name}\r\n{field}"));
        let kept = request.one(&name.to_ascii_lowercase());
        assert!(value.is_none_or(|value| value == kept), "{name}: {kept}");
    }
}

#[test]
fn h05_an_untrusted_peer_cannot_say_who_it_is() {
    let claims = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
                  X-Forwarded-Port: 1\r\nX-Real-IP: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX-Forwarded-Prefix: /evil\r\n\
                  X-Forwarded-Ssl: on\r\nX-Forwarded-Server: evil\r\n";
    let bench = Bench::new();
    let request = forwarded(&bench, claims);
    let port = bench.proxy.address.port().to_string();
    let expected = [("for", "127.0.0.1"), ("host", "a.test"), ("port", &port), ("proto", "http")];
    let mut identity: Vec<(&str, &str)> =
        request.fields.iter().filter_map(|(n, v)| Some((n.strip_prefix("x-forwarded-")?, v.as_str()))).collect();
    identity.sort_unstable();
    assert_eq!(identity, expected);
    assert!(request.all("x-real-ip").is_empty() && request.all("forwarded").is_empty());
}

#[test]
fn h05_a_trusted_hop_is_believed_and_its_address_appended() {
    let claims = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nForwarded: for=9.9.9.9\r\n";
    let request = forwarded(&Bench::with(|setup| setup.trusting()), claims);
    assert_eq!(request.one("x-forwarded-for"), "9.9.9.9, 8.8.8.8, 127.0.0.1");
    assert_eq!((request.one("x-forwarded-proto"), request.one("forwarded")), ("https", "for=9.9.9.9"));
}

#[test]
fn h08_our_own_fields_are_removed_from_requests_and_answers() {
    let request = forwarded(&Bench::new(), "X-Portcullis-Version: v2\r\nX-Portcullis-Generation: 1\r\n");
    assert!(request.fields.iter().all(|(name, _)| !name.starts_with("x-portcullis-")), "{request:?}");
    let answer = answered("X-Portcullis-Version: v2\r\n");
    assert!(answer.all("x-portcullis-version").is_empty());
}

#[test]
fn h09_overrides_of_method_and_url_are_not_ours_to_obey() {
    let fields = "X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n";
    let request = forwarded(&Bench::new(), fields);
    assert_eq!((request.line[0].as_str(), request.target()), ("GET", "/t"));
}

#[test]
fn h10_via_is_appended_last_and_a_loop_is_refused() {
    let bench = Bench::new();
    let request = forwarded(&bench, "Via: 1.0 fred, 1.1 p.example\r\n");
    assert_eq!(request.all("via"), ["1.0 fred, 1.1 p.example", "1.1 gate-1"]);
    let looped = Expect::Refused(&[508]);
    bench.judge(&[
        case("H-10", get("Via: 1.1 gate-1\r\n"), looped),
        case("H-10 among others", get("Via: 1.0 fred\r\nVia: 1.1 other, HTTP/1.1 gate-1 (x)\r\n"), looped),
        case("H-10 alike", get("Via: 1.1 gate-12, 1.1 xgate-1, 1.1 x (gate-1)\r\n"), ONE),
    ]);
    assert_eq!(answered("Via: 1.1 inner\r\n").all("via"), ["1.1 inner", "1.1 gate-1"]);
}

#[test]
fn h11_limits_hold_for_chains_and_cookies_too() {
    let chain = format!("X-Forwarded-For: {}\r\n", ["10.0.0.1"; 100].join(", "));
    let bench = Bench::with(|setup| setup.trusting());
    let request = forwarded(&bench, &chain);
    assert_eq!(request.one("x-forwarded-for").split(", ").count(), 101);
    bench.judge(&[
        case("H-11", get(format!("Cookie: a={}\r\n", "x".repeat(65_536))), Expect::Refused(&[431])),
        case("H-11 name", get(format!("{}: a\r\n", "x".repeat(70_000))), Expect::Refused(&[431, 400])),
        case("bad", get(": a\r\n"), BAD),
    ]);
}

#[test]
fn the_client_is_who_the_proxy_header_of_a_trusted_peer_says() {
    let upstream = telling();
    let proxy = proxy::to([upstream.address]).proxied().start();
    let request = b"GET /t HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
    let mut client = Client::connect(proxy.address);
    client.send([&b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\r\n"[..], request].concat());
    assert_eq!(client.answers(1, &[])[0].status(), 200);
    let seen = upstream.requests();
    assert_eq!((seen[0].one("x-forwarded-for"), seen[0].one("x-forwarded-port")), ("192.0.2.7", "8443"));
    let mut other = Client::connect(proxy.address);
    other.send(request);
    assert_ne!(other.read_to_end(crate::support::PATIENCE), End::Open);
    assert_eq!((upstream.requests().len(), proxy.refused()), (1, 1), "without the header nothing is passed on");
}

#[test]
fn a_proxy_header_from_anybody_else_is_no_request() {
    let upstream = telling();
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\r\nGET /t HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_ne!(client.read_to_end(crate::support::PATIENCE), End::Open);
    assert!(upstream.requests().is_empty());
}
