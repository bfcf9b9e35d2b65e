//! Who the client is, for the upstream, when a trusted peer has spoken for it.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::proxy::sanitise::policy::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Appends a trusted peer's own address to the chain it sent, and adds the scheme, host and port where it left them out.
///
/// Of an untrusted peer nothing is believed: [`strip`](super::request) has removed what it sent, and
/// [`Outgoing`](super::Outgoing) writes who it is.
pub fn complete(headers: &mut HeaderMap, peer: &Peer, host: &HeaderValue) {
    // A peer without an address adds nothing to the chain: who it speaks for is the last one there.
    if let Some(text) = &peer.text {
        let chain = match headers.get(&X_FORWARDED_FOR) {
            None => text.clone(),
            Some(_) => chained(headers, text),
        };
        headers.insert(X_FORWARDED_FOR, chain);
    }
    for (name, value) in [(X_FORWARDED_PROTO, &HeaderValue::from_static(peer.scheme)), (X_FORWARDED_HOST, host)] {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if let Some(port) = &peer.port {
        headers.entry(X_FORWARDED_PORT).or_insert_with(|| port.clone());
    }
}

/// Joins the entries of all fields there are, and this address behind them.
fn chained(headers: &HeaderMap, text: &HeaderValue) -> HeaderValue {
    let entries = headers.get_all(&X_FORWARDED_FOR).into_iter().chain([text]);
    let chain = entries.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    HeaderValue::from_bytes(&chain).unwrap_or_else(|_| text.clone())
}
