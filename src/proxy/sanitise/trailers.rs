//! The fields behind a body: no framing, nothing of one hop, nothing that must be known before the body.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::proxy::sanitise::fields;
use crate::proxy::settings::MAX_FIELDS;

/// There are more than 100 trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTrailers;

/// Cleans trailers in either direction (RFC 9110 section 6.5.1): what concerns framing, routing, authentication or the body's
/// form comes too late behind it, and what only this proxy may set is not taken from anybody.
///
/// # Errors
///
/// Fails when there are more than 100.
pub fn trailers(mut trailers: HeaderMap) -> Result<HeaderMap, TooManyTrailers> {
    if trailers.len() > MAX_FIELDS {
        return Err(TooManyTrailers);
    }
    let gone: Vec<HeaderName> = trailers.keys().filter(|name| is_late(name)).cloned().collect();
    for name in gone {
        trailers.remove(name);
    }
    Ok(trailers)
}

/// Returns what of an announcement of trailers (RFC 9110 section 6.6.2) will be kept of them, `None` where that is nothing.
pub fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let names = fields::elements(headers, &header::TRAILER).filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let kept: Vec<HeaderName> = names.filter(|name| !is_late(name)).take(MAX_FIELDS).collect();
    let text = kept.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).ok().filter(|text| !text.is_empty())
}

/// Says whether a field would come too late behind a body.
fn is_late(name: &HeaderName) -> bool {
    fields::is_hop_by_hop(name) || fields::is_protected(name) || name.as_str().starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_late_behind_a_body_is_dropped_and_the_rest_kept() {
        let mut map = HeaderMap::new();
        for name in [
            "grpc-status",
            "x-checksum",
            "x-twice",
            "host",
            "content-length",
            "transfer-encoding",
            "authorization",
            "connection",
            "te",
            "trailer",
            "set-cookie",
            "x-portcullis-version",
            "x-forwarded-for",
            "content-type",
            "proxy-authenticate",
            "cache-control",
        ] {
            map.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        map.append("x-twice", HeaderValue::from_static("2"));
        let kept = trailers(map).unwrap();
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status", "x-checksum", "x-twice"]);
        assert_eq!(kept.get_all("x-twice").iter().count(), 2);
        let many = (0..=MAX_FIELDS).map(|n| (HeaderName::try_from(format!("x-{n}")).unwrap(), HeaderValue::from_static("1"))).collect();
        assert_eq!(trailers(many), Err(TooManyTrailers));
    }
}
