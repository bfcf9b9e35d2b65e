//! Brings the head of an HTTP/2 request into the form of HTTP/1, whose rules then hold for it (RFC 9113 sections 8.2 and 8.3).

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};

use crate::proxy::sanitise::policy::{Refusal, refuse};
use crate::proxy::settings::MAX_FIELDS;

/// Makes `:authority` the Host and a path the target, and joins the crumbs of Cookie.
///
/// # Errors
///
/// Refuses more than 100 fields, each crumb counted; a Host beside `:authority` that differs from it; values with blanks around
/// them; schemes other than http and https. Either scheme is taken on either port, because who ends TLS before us sends `https`.
pub fn to_http1(head: &mut Parts) -> Result<(), Refusal> {
    if head.headers.len() > MAX_FIELDS {
        return refuse(431, "there are more than 100 fields");
    }
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return refuse(400, "the scheme is neither http nor https");
    }
    if head.headers.values().any(|value| has_blanks(value.as_bytes())) {
        return refuse(400, "a field's value begins or ends with a blank");
    }
    if let Some(authority) = head.uri.authority() {
        let named = HeaderValue::from_str(authority.as_str());
        let named = named.map_err(|_| Refusal { status: 400, reason: "the authority is not a host with an optional port" })?;
        let differs = |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(named.as_bytes());
        if head.headers.get_all(header::HOST).iter().any(differs) {
            return refuse(400, "Host and the authority differ");
        }
        head.headers.insert(header::HOST, named);
        head.uri = Uri::from(head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    join_cookies(&mut head.headers);
    Ok(())
}

fn has_blanks(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.first()) || blank(value.last())
}

/// Makes one Cookie of several (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::*;

    fn head(uri: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::get(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refused(uri: &str, fields: &[(&'static str, &str)]) -> u16 {
        to_http1(&mut head(uri, fields)).map_or_else(|refusal| refusal.status, |()| 0)
    }

    #[test]
    fn the_authority_becomes_the_host_and_crumbs_one_cookie() {
        let mut parts = head("http://A.test:81/p?q", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("host", "a.test:81")]);
        to_http1(&mut parts).unwrap();
        assert_eq!((parts.uri.to_string(), &parts.headers["host"]), ("/p?q".to_owned(), &HeaderValue::from_static("A.test:81")));
        assert_eq!(parts.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn a_host_alone_is_left_to_the_rules_of_http1() {
        let mut parts = head("/p", &[("host", "a.test")]);
        to_http1(&mut parts).unwrap();
        assert_eq!((parts.uri.to_string(), &parts.headers["host"]), ("/p".to_owned(), &HeaderValue::from_static("a.test")));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        assert_eq!(refused("http://a.test/", &[("host", "b.test")]), 400);
        assert_eq!(refused("http://a.test/", &[("host", "a.test"), ("host", "b.test")]), 400);
        assert_eq!(refused("ftp://a.test/", &[]), 400);
        assert_eq!(refused("http://a.test/", &[("x", " y")]), 400);
        assert_eq!(refused("http://a.test/", &[("x", "y\t")]), 400);
        assert_eq!(refused("http://a.test/", &[("cookie", "a=1"); 100]), 0);
        assert_eq!(refused("http://a.test/", &[("cookie", "a=1"); 101]), 431);
    }
}
