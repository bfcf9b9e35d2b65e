//! U-01 to U-21: target forms and Host.

use crate::oracle::{BAD, Bench, Case, Expect, ONE, case, head};
use crate::support::client::Client;
use crate::support::message::Message;

fn host(line: &str) -> Vec<u8> {
    format!("GET /t HTTP/1.1\r\n{line}\r\n").into_bytes()
}

fn target(method: &str, target: impl AsRef<[u8]>) -> Vec<u8> {
    head(&[method.as_bytes(), b" ", target.as_ref(), b" HTTP/1.1"].concat(), b"")
}

fn forwarded(bench: &Bench, bytes: Vec<u8>, what: &str) -> Message {
    bench.judge(&[case(what, bytes, ONE)]);
    bench.upstream.requests().remove(0)
}

#[test]
fn u01_to_u10_there_is_exactly_one_valid_host() {
    let cases: Vec<Case> = [
        ("U-01", ""),
        ("U-02", "Host: a.test\r\nHost: a.test\r\n"),
        ("U-03", "Host: a.test\r\nHost: b.test\r\n"),
        ("U-04", "Host: a.test, b.test\r\n"),
        ("U-05", "Host: a test\r\n"),
        ("U-06", "Host: a.test/x\r\n"),
        ("U-07", "Host: u@a.test\r\n"),
        ("U-08", "Host: a.test:99999\r\n"),
        ("U-09", "Host: a.test:8x\r\n"),
        ("U-10", "Host: \r\n"),
        ("U-10 dot", "Host: .\r\n"),
        ("U-10 port", "Host: :80\r\n"),
        ("U-21 zone", "Host: [fe80::1%25eth0]\r\n"),
        ("U-21 open", "Host: [::1\r\n"),
    ]
    .into_iter()
    .map(|(id, line)| case(id, host(line), BAD))
    .chain([case("U-01 1.0", b"GET /t HTTP/1.0\r\n\r\n".as_slice(), BAD)])
    .collect();
    Bench::new().judge(&cases);
}

#[test]
fn u11_the_authority_of_an_absolute_target_replaces_host_and_decides_the_route() {
    let bench = Bench::with(|setup| setup.for_hosts(&["b.test"]));
    for form in ["http://b.test/t", "HTTP://B.test:80/t"] {
        let request = forwarded_for(&bench, target("GET", form));
        assert_eq!((request.target(), request.one("host").to_ascii_lowercase().trim_end_matches(":80")), ("/t", "b.test"), "{form}");
        assert_eq!(request.one("x-forwarded-host"), request.one("host"));
    }
    let request = forwarded_for(&bench, target("GET", "http://b.test"));
    assert_eq!(request.target(), "/");
    let request = forwarded_for(&bench, target("GET", "http://b.test?q=1"));
    assert_eq!(request.target(), "/?q=1");
    let answer = Client::connect(bench.proxy.address).ask(target("GET", "http://a.test/t"));
    assert_eq!(answer.status(), 404, "the route of Host b.test is not reached by a target for a.test");
    let stolen = Client::connect(bench.proxy.address).ask("GET http://a.test/t HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert_eq!(stolen.status(), 404);
}

fn forwarded_for(bench: &Bench, bytes: Vec<u8>) -> Message {
    bench.upstream.forget();
    let answer = Client::connect(bench.proxy.address).ask(bytes);
    assert_eq!(answer.status(), 200);
    bench.upstream.requests().remove(0)
}

#[test]
fn u12_to_u16_other_target_forms_and_connect_are_refused() {
    Bench::new().judge(&[
        case("U-11 userinfo", target("GET", "http://u:p@a.test/t"), BAD),
        case("U-11 port", target("GET", "http://a.test:99999/t"), BAD),
        case("U-12", target("GET", "https://a.test/t"), Expect::Refused(&[421])),
        case("U-13", target("GET", "ftp://a.test/t"), BAD),
        case("U-14 authority", target("GET", "a.test:80"), BAD),
        case("U-14 asterisk", target("GET", "*"), BAD),
        case("U-14 slash", target("GET", "t"), BAD),
        case("U-14 empty", target("GET", ""), BAD),
        case("U-14 query", target("GET", "?q"), BAD),
        case("U-16", target("CONNECT", "a.test:443"), Expect::Refused(&[400, 405])),
        case("U-16 path", target("CONNECT", "/t"), Expect::Refused(&[400, 405])),
        case("U-17 trace", target("TRACE", "/t"), Expect::Refused(&[405])),
        case("U-17 track", target("TRACK", "/t"), Expect::Refused(&[405])),
    ]);
}

#[test]
fn u15_options_asterisk_is_forwarded_as_it_is() {
    let request = forwarded(&Bench::new(), target("OPTIONS", "*"), "U-15");
    assert_eq!((request.line[0].as_str(), request.target()), ("OPTIONS", "*"));
}

#[test]
fn u17_options_is_forwarded_as_often_as_max_forwards_allows() {
    let bench = Bench::new();
    let ask = |hops: &str| head(b"OPTIONS /t HTTP/1.1", format!("Max-Forwards: {hops}\r\nCookie: secret\r\n").as_bytes());
    assert_eq!(forwarded(&bench, ask("5"), "U-17").one("max-forwards"), "4");
    bench.upstream.forget();
    let answer = Client::connect(bench.proxy.address).ask(ask("0"));
    assert_eq!((answer.status(), answer.one("allow").is_empty()), (200, false));
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    assert!(bench.upstream.requests().is_empty(), "a request that may not be forwarded was");
    assert_eq!(bench.proxy.refused(), 1);
}

#[test]
fn u18_u19_paths_pass_byte_for_byte_or_are_refused_never_repaired() {
    let bench = Bench::new();
    for path in ["/a/../t", "/a/%2e%2e/t", "//t", "/a%2ft", "/t%zz", "/t?a=b&c=%00", "/t;x=1", "/t/./", "/%E2%82%AC"] {
        assert_eq!(forwarded(&bench, target("GET", path), path).target(), path);
    }
    // http::Uri takes these although RFC 3986 does not know them; they pass unchanged.
    for path in [&b"/t\"x"[..], b"/t{x}", b"/t\\..\\x", b"/t|x", b"/t\xe9x"] {
        bench.upstream.forget();
        let mut client = Client::connect(bench.proxy.address);
        client.send(target("GET", path));
        let answer = client.answers(1, &[]).remove(0);
        let expected: String = path.iter().map(|b| char::from(*b)).collect();
        match answer.status() {
            400 => assert!(bench.upstream.requests().is_empty()),
            200 => assert_eq!(bench.upstream.requests()[0].target(), expected),
            other => panic!("{expected} was answered {other}"),
        }
    }
    let mut bad: Vec<Case> = [&b"/t x"[..], b"/t\tx", b"/t\0x", b"/t\x01x", b"/t\x7fx"]
        .iter()
        .map(|path| case(format!("U-19 {path:?}"), target("GET", path), BAD))
        .collect();
    bad.push(case("U-19 fragment", target("GET", "/t#frag"), BAD));
    bad.push(case("U-19 absolute fragment", target("GET", "http://a.test/t#frag"), BAD));
    bench.judge(&bad);
}

#[test]
fn u21_hosts_are_canonical_for_routing_and_unchanged_upstream() {
    let bench = Bench::with(|setup| setup.for_hosts(&["a.test", "[::1]", "xn--bcher-kva.test"]));
    for name in ["A.TEST", "a.test.", "a.test:8080", "[::1]:80", "[0:0:0:0:0:0:0:1]", "XN--bcher-kva.test"] {
        let request = forwarded_for(&bench, host(&format!("Host: {name}\r\n")));
        assert_eq!(request.one("host"), name);
    }
}
