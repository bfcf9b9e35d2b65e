//! Properties of every request and response that is passed on, whatever came in.
#![cfg(test)]

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use proptest::prelude::*;

use super::fields::is_hop_by_hop;
use super::tests::as_read;
use super::{Framing, Peer, Policy, WireNotes, request as clean_request, response as clean_response};

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// Names and values that proxies have stumbled over.
fn hostile() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let names = prop::sample::select(vec![
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "http2-settings",
        "expect",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x_forwarded_for",
        "x-portcullis-version",
        "cookie",
        "x-a",
        "x-b",
        "max-forwards",
    ]);
    let words = prop::sample::select(vec![
        "chunked",
        "gzip",
        "identity",
        "close",
        "keep-alive",
        "trailers",
        "100-continue",
        "0",
        "5",
        "005",
        "+5",
        "a.test",
        "a.test:80",
        "[::1]",
        "u@h",
        "x-a",
        "x-b",
        "host",
        "via",
        "x-forwarded-for",
        "content-length",
        "transfer-encoding",
        "cookie",
        "1.1 gate-1",
        "1.0 fred",
        "websocket",
        "h2c",
        "",
        " ",
        "\t",
        ";q=1",
        "\"",
        "\u{e9}",
        "127.0.0.1",
    ]);
    let value = prop::collection::vec((words, prop::sample::select(vec!["", ",", ", ", " ", ";"])), 0..4);
    (names, value)
        .prop_map(|(name, words)| (name, words.iter().flat_map(|(word, between)| [*word, *between]).collect::<String>().into_bytes()))
}

fn fill(headers: &mut HeaderMap, fields: &[(&'static str, Vec<u8>)]) {
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn whatever_comes_an_accepted_request_is_framed_and_identified_by_us_alone(
        fields in prop::collection::vec(hostile(), 0..8),
        method in prop::sample::select(vec!["GET", "POST", "OPTIONS", "HEAD", "FOO"]),
        target in prop::sample::select(vec!["/", "/t?q", "*", "http://b.test/p", "http://b.test", "b.test:80", "https://b.test/"]),
        with_host in prop::bool::weighted(0.9),
        trusted: bool,
        strict: bool,
    ) {
        let mut parts = Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
        if with_host {
            parts.headers.insert(header::HOST, HeaderValue::from_static("a.test"));
        }
        fill(&mut parts.headers, &fields);
        let named: Vec<String> = all(&parts.headers, "connection").iter()
            .flat_map(|v| String::from_utf8_lossy(v).split(',').map(|e| e.trim().to_ascii_lowercase()).collect::<Vec<_>>()).collect();
        let readable = parts.headers.get_all(header::CONNECTION).iter().all(|v| v.to_str().is_ok());
        let trust = if trusted { vec!["192.0.2.0/24".parse().unwrap()] } else { Vec::new() };
        let (peer, policy) = (Peer::new(([192, 0, 2, 7], 4711).into(), 8080, &trust), Policy::new(strict, "gate-1"));
        let Ok(clean) = clean_request(&mut parts, WireNotes::default(), &peer, &policy) else { return Ok(()) };
        let headers = &as_read(&parts, clean.framing, &peer, &policy);
        for name in headers.keys() {
            let ours = *name == header::TRANSFER_ENCODING || *name == header::TE;
            prop_assert!(ours || !is_hop_by_hop(name), "{name} is hop-by-hop");
            prop_assert!(!name.as_str().contains('_') && !name.as_str().starts_with("x-portcullis-") && *name != header::EXPECT);
        }
        prop_assert!(all(headers, "te").iter().all(|te| *te == b"trailers"));
        prop_assert!(!readable || ["x-a", "x-b"].iter().all(|name| !named.iter().any(|n| n == name) || headers.get(*name).is_none()));
        let (lengths, codings) = (all(headers, "content-length"), all(headers, "transfer-encoding"));
        match clean.framing {
            Framing::None => prop_assert!(lengths.is_empty() && codings.is_empty()),
            Framing::Length(bytes) => prop_assert!(codings.is_empty() && lengths == [bytes.to_string().as_bytes()]),
            Framing::Chunked => prop_assert!(lengths.is_empty() && codings == [b"chunked"]),
        }
        prop_assert_eq!(all(headers, "host").len(), 1);
        prop_assert_eq!(all(headers, "x-forwarded-for").len(), 1);
        let chain = all(headers, "x-forwarded-for")[0];
        let honest = if trusted { chain.ends_with(b"192.0.2.7") } else { chain == b"192.0.2.7" };
        prop_assert!(honest, "{:?}", chain);
        if !trusted {
            let host = all(headers, "host");
            prop_assert_eq!(all(headers, "x-forwarded-host"), host);
            prop_assert!(headers.get("forwarded").is_none() && headers.get("x-real-ip").is_none());
        }
        prop_assert_eq!(all(headers, "via").last().copied(), Some(&b"1.1 gate-1"[..]));
        prop_assert!(parts.uri.scheme().is_none() && parts.uri.authority().is_none());
        prop_assert!(parts.uri.path().starts_with('/') || (parts.uri.path() == "*" && method == "OPTIONS"));
    }

    #[test]
    fn whatever_comes_a_passed_answer_has_one_framing_and_nothing_hop_by_hop(
        fields in prop::collection::vec(hostile(), 0..8),
        status in 100_u16..1000,
        old: bool,
    ) {
        let mut parts = Response::builder().status(status).body(()).unwrap().into_parts().0;
        parts.version = if old { Version::HTTP_10 } else { Version::HTTP_11 };
        fill(&mut parts.headers, &fields);
        if clean_response(&mut parts, &Policy::new(false, "gate-1").via, false).is_err() {
            return Ok(());
        }
        prop_assert!((200..600).contains(&status));
        prop_assert!(parts.headers.keys().all(|name| !is_hop_by_hop(name)));
        let lengths = all(&parts.headers, "content-length");
        prop_assert!(lengths.len() <= 1 && lengths.iter().all(|l| std::str::from_utf8(l).unwrap().parse::<u64>().unwrap().to_string().as_bytes() == *l));
        prop_assert_eq!(all(&parts.headers, "via").last().copied(), Some(&b"1.1 gate-1"[..]));
    }
}
