//! Who the client is, for the upstream: `X-Forwarded-*`, overwritten unless the peer is trusted.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::proxy::sanitise::fields::Present;
use crate::proxy::sanitise::policy::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Writes the client's address, the scheme, and the host and port it asked for.
///
/// Of an untrusted peer nothing is believed: what it sent is replaced or removed. To what a trusted peer sent its own
/// address is appended, and what it left out is added.
pub fn identify(headers: &mut HeaderMap, present: Present, peer: &Peer, host: &HeaderValue) {
    if peer.trusted {
        let known: Vec<&[u8]> = headers.get_all(&X_FORWARDED_FOR).into_iter().map(HeaderValue::as_bytes).collect();
        let chain = [known.join(&b", "[..]).as_slice(), peer.text.as_bytes()].join(if known.is_empty() { &b""[..] } else { &b", "[..] });
        let chain = HeaderValue::from_bytes(&chain).unwrap_or_else(|_| peer.text.clone());
        headers.insert(X_FORWARDED_FOR, chain);
        for (name, value) in
            [(X_FORWARDED_PROTO, &HeaderValue::from_static("http")), (X_FORWARDED_HOST, host), (X_FORWARDED_PORT, &peer.port)]
        {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        return;
    }
    if present.claim {
        headers.remove(header::FORWARDED);
        headers.remove(X_REAL_IP);
    }
    headers.insert(X_FORWARDED_FOR, peer.text.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(X_FORWARDED_PORT, peer.port.clone());
}
