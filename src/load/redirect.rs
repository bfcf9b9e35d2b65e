//! Where a redirect leads and what is sent there (RFC 9110 section 15.4, RFC 3986 section 5.2).

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HOST, LOCATION};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::load::plan::Request;
use crate::load::target::Origin;

/// The most redirects that are followed for one request.
pub(super) const MOST: u32 = 5;

/// What describes a body, and goes with it.
const OF_THE_BODY: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION];
/// What is for the first server alone.
const OF_THE_SERVER: [HeaderName; 3] = [AUTHORIZATION, COOKIE, HOST];

/// Returns the request that an answer redirects to, `None` when the answer is the last one.
///
/// # Errors
///
/// Says why the place it names cannot be gone to.
pub(super) fn next(
    request: &Request,
    origin: &Origin,
    status: StatusCode,
    answer: &HeaderMap,
) -> Result<Option<(Origin, Request)>, String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.get(LOCATION) else { return Ok(None) };
    let location = location.to_str().map_err(|_| format!("{status} leads to {location:?}, which is no URL"))?;
    let url = resolve(origin, request.path.path(), location);
    let refuse = |error: &dyn std::fmt::Display| format!("{status} leads to {location:?}: {error}");
    let url: crate::formats::jmeter_conf::TestUrl = url.parse().map_err(|error| refuse(&error))?;
    let to = Origin::of(&url).map_err(|error| refuse(&error))?;
    let path = url.path.parse().map_err(|error| refuse(&error))?;
    let mut sent = Request { path, ..request.clone() };
    let becomes_get = match status.as_u16() {
        301 | 302 => request.method == Method::POST,
        303 => request.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        sent.method = Method::GET;
        sent.body = bytes::Bytes::new();
        OF_THE_BODY.iter().for_each(|name| drop(sent.headers.remove(name)));
    }
    if to != *origin {
        OF_THE_SERVER.iter().for_each(|name| drop(sent.headers.remove(name)));
    }
    Ok(Some((to, sent)))
}

/// Writes the whole URL of a reference; its fragment is left out.
fn resolve(origin: &Origin, base: &str, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or_default();
    let (before, query) = reference.split_once('?').map_or((reference, None), |(before, query)| (before, Some(query)));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let scheme = origin.scheme().as_str();
    let colon = before.find(':').unwrap_or(usize::MAX);
    if colon < before.find('/').unwrap_or(usize::MAX) {
        return reference.to_owned();
    }
    if before.starts_with("//") {
        return format!("{scheme}:{reference}");
    }
    let path = match before {
        "" => base.to_owned(),
        whole if whole.starts_with('/') => without_dots(whole),
        part => {
            let folder = base.rfind('/').and_then(|last| base.get(..=last)).unwrap_or("/");
            without_dots(&format!("{folder}{part}"))
        }
    };
    format!("{scheme}://{}{path}{query}", origin.authority())
}

/// Takes the segments `.` and `..` out of a path.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
        if last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn origin() -> Origin {
        Origin::of(&"http://a.test:8080/".parse().unwrap()).unwrap()
    }

    fn request(method: Method) -> Request {
        let mut request = Request { method, body: "x".into(), ..Request::get("/shop/cart?id=1").unwrap() };
        for name in [CONTENT_TYPE, AUTHORIZATION, COOKIE] {
            request.headers.insert(name, HeaderValue::from_static("v"));
        }
        request
    }

    fn to(location: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))])
    }

    #[test]
    fn a_reference_is_resolved_against_the_request() {
        for (reference, url) in [
            ("https://b.test/x?y#z", "https://b.test/x?y"),
            ("//b.test:81/x", "http://b.test:81/x"),
            ("/x/../y/./z", "http://a.test:8080/y/z"),
            ("item?a=/b:c", "http://a.test:8080/shop/item?a=/b:c"),
            ("../../up/.", "http://a.test:8080/up/"),
            ("?page=2", "http://a.test:8080/shop/cart?page=2"),
            ("#top", "http://a.test:8080/shop/cart"),
        ] {
            assert_eq!(resolve(&origin(), "/shop/cart", reference), url, "{reference}");
        }
    }

    #[test]
    fn the_method_is_kept_or_becomes_get_by_the_status() {
        let method = |status: u16, method: Method| {
            let next = next(&request(method), &origin(), StatusCode::from_u16(status).unwrap(), &to("/x")).unwrap().unwrap().1;
            assert_eq!(next.body.is_empty(), next.headers.get(CONTENT_TYPE).is_none(), "{status}");
            assert!(next.headers.contains_key(AUTHORIZATION), "the server is the same");
            (next.method.to_string(), next.body.len())
        };
        for status in [301, 302] {
            assert_eq!(method(status, Method::POST), ("GET".to_owned(), 0));
            assert_eq!(method(status, Method::PUT), ("PUT".to_owned(), 1));
        }
        assert_eq!((method(303, Method::PUT).0, method(303, Method::HEAD).0), ("GET".to_owned(), "HEAD".to_owned()));
        assert_eq!((method(307, Method::POST), method(308, Method::POST)), (("POST".to_owned(), 1), ("POST".to_owned(), 1)));
    }

    #[test]
    fn what_is_for_one_server_is_not_sent_to_another() {
        let (to, next) = next(&request(Method::GET), &origin(), StatusCode::FOUND, &to("http://b.test/")).unwrap().unwrap();
        assert_eq!((to.to_string().as_str(), next.path.as_str()), ("http://b.test:80", "/"));
        assert!(!next.headers.contains_key(AUTHORIZATION) && !next.headers.contains_key(COOKIE) && next.headers.contains_key(CONTENT_TYPE));
    }

    #[test]
    fn other_answers_are_the_last_and_bad_places_are_named() {
        let next = |status, answer: &HeaderMap| next(&request(Method::GET), &origin(), status, answer);
        for (status, answer) in [(StatusCode::OK, to("/x")), (StatusCode::NOT_MODIFIED, to("/x")), (StatusCode::FOUND, HeaderMap::new())] {
            assert!(next(status, &answer).unwrap().is_none(), "{status}");
        }
        for location in ["ftp://a.test/", "http://", "http://u:p@a.test/", "mailto:x", "/a b"] {
            let error = next(StatusCode::FOUND, &to(location)).unwrap_err();
            assert!(error.contains("302") && error.contains(location), "{error}");
        }
    }
}
