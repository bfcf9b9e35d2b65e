//! A cleaned request as it goes to its version: written once, straight from what came and what is added to it, or kept as fields for
//! HTTP/2.

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};

use crate::domain::outcome::Failure;
use crate::domain::trace::SpanId;
use crate::proxy::sanitise::fields;
use crate::proxy::sanitise::forward;
use crate::proxy::sanitise::policy::{Peer, Policy};
use crate::proxy::sanitise::request::Framing;
use crate::proxy::settings::http2;

/// The largest map of fields that is used again: an idle connection keeps it.
const MOST_SPARE: usize = 24;

/// A request's head, and what is still to be known of it.
///
/// The head it was made from is gone where it goes over HTTP/1.1 for sure: what was parsed shares the client's read buffer, which is
/// used again once nobody does.
pub struct Outgoing {
    form: Form,
    /// The method.
    pub method: Method,
    /// How the body is delimited.
    pub framing: Framing,
    /// How many bytes of its answer are read at once at most; less where many answers share a client's connection.
    pub piece: usize,
    /// The emptied map of the request's fields, for those of the answer.
    pub spare: HeaderMap,
    /// It asks to switch protocols, and so needs an HTTP/1.1 connection to itself.
    pub upgrade: bool,
}

/// What the head is kept as.
enum Form {
    /// The bytes of HTTP/1.1, to the empty line.
    Written(Vec<u8>),
    /// The head with everything in it but its framing.
    Fields(Box<Parts>),
}

impl Outgoing {
    /// Completes a cleaned head, for `either` HTTP or straight for HTTP/1.1.
    #[must_use]
    pub fn complete(head: Parts, either: bool, framing: Framing, peer: &Peer, policy: &Policy) -> Self {
        if either { Self::for_either(head, framing, peer, policy) } else { Self::new(head, framing, peer, policy) }
    }

    /// Completes a cleaned head in the same way, and says nothing of the client: nobody who gets it has asked for that.
    #[must_use]
    pub fn unnamed(head: Parts, either: bool, framing: Framing, policy: &Policy) -> Self {
        if either { Self::kept(head, framing, None, policy) } else { Self::written(head, framing, None, policy) }
    }

    /// Writes a cleaned head: its fields, who the client is, our entry in `Via` behind those already there, and the framing.
    #[must_use]
    pub fn new(head: Parts, framing: Framing, peer: &Peer, policy: &Policy) -> Self {
        // Of a trusted peer it stands there already.
        Self::written(head, framing, Some(peer).filter(|peer| !peer.trusted), policy)
    }

    fn written(head: Parts, framing: Framing, of: Option<&Peer>, policy: &Policy) -> Self {
        let (mut bytes, host) = begin(&head);
        let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        if let Some(peer) = of {
            put(&[peer.lines.as_bytes(), b"x-forwarded-host: ", host, b"\r\n"]);
        }
        put(&[b"via: ", policy.via_of(head.version).as_bytes(), b"\r\n"]);
        end(&mut bytes, framing);
        let piece = piece(head.version);
        let mut spare = head.headers;
        spare.clear();
        if spare.capacity() > MOST_SPARE {
            spare = HeaderMap::new();
        }
        Self { form: Form::Written(bytes), method: head.method, framing, piece, spare, upgrade: false }
    }

    /// Completes a cleaned head in the same way, for a version that may turn out to speak HTTP/2.
    #[must_use]
    pub fn for_either(head: Parts, framing: Framing, peer: &Peer, policy: &Policy) -> Self {
        Self::kept(head, framing, Some(peer).filter(|peer| !peer.trusted), policy)
    }

    fn kept(mut head: Parts, framing: Framing, of: Option<&Peer>, policy: &Policy) -> Self {
        if let Some(peer) = of {
            let host = head.headers.get(header::HOST).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
            forward::complete(&mut head.headers, peer, &host);
        }
        fields::append_via(&mut head.headers, policy.via_of(head.version));
        let (method, piece) = (head.method.clone(), piece(head.version));
        Self { form: Form::Fields(Box::new(head)), method, framing, piece, spare: HeaderMap::new(), upgrade: false }
    }

    /// Returns the bytes of HTTP/1.1, which can be had once where they were written already.
    #[must_use]
    pub fn take_bytes(&mut self) -> Vec<u8> {
        match &mut self.form {
            Form::Written(bytes) => std::mem::take(bytes),
            Form::Fields(head) => {
                let mut bytes = begin(head).0;
                end(&mut bytes, self.framing);
                bytes
            }
        }
    }

    /// Names another span as the caller in the `traceparent` that was written here.
    pub fn call_from(&mut self, span: SpanId) {
        match &mut self.form {
            Form::Written(bytes) => call_from(bytes, span),
            Form::Fields(head) => {
                let Some(value) = head.headers.get_mut("traceparent") else { return };
                let mut text = value.as_bytes().to_vec();
                put_span(&mut text, span);
                if let Ok(renewed) = HeaderValue::try_from(text) {
                    *value = renewed;
                }
            }
        }
    }

    /// Says whether it can be told in either HTTP, as often as is needed.
    #[must_use]
    pub const fn is_for_either(&self) -> bool {
        matches!(self.form, Form::Fields(_))
    }

    /// Returns the form of HTTP/2 (RFC 9113 section 8.3.1): Host is the authority, and the scheme is that of the connection to the
    /// version.
    ///
    /// # Errors
    ///
    /// Fails when it was written for HTTP/1.1, which nobody asks of a version that speaks HTTP/2, and as the client's fault when its Host
    /// is no authority.
    pub fn to_http2(&self, encrypted: bool) -> Result<Request<()>, Failure> {
        let Form::Fields(head) = &self.form else { return Err(Failure::NoEndpoint) };
        let mut headers = head.headers.clone();
        let host = headers.remove(header::HOST).and_then(|host| Authority::from_maybe_shared(host).ok());
        let authority = host.ok_or(Failure::RequestBodyInvalid)?;
        if let Framing::Length(bytes) = self.framing {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        let mut target = http::uri::Parts::default();
        target.scheme = Some(if encrypted { Scheme::HTTPS } else { Scheme::HTTP });
        target.authority = Some(authority);
        let mut path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path.as_str().starts_with('?') {
            // A path is never empty (RFC 9113 section 8.3.1), but a target such as `http://a.test?q` has none.
            path = format!("/{}", path.as_str()).try_into().map_err(|_| Failure::RequestBodyInvalid)?;
        }
        target.path_and_query = Some(path);
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = Uri::from_parts(target).map_err(|_| Failure::RequestBodyInvalid)?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// What stands before the value of a `traceparent` in a head that was written here.
const TRACEPARENT: &[u8] = b"\r\ntraceparent: ";

/// Names another span as the caller in a head of HTTP/1.1 that was written here; a head without `traceparent` stays as it is.
pub fn call_from(head: &mut [u8], span: SpanId) {
    let found = memchr::memmem::find(head, TRACEPARENT).map(|at| at + TRACEPARENT.len());
    if let Some(value) = found.and_then(|at| head.get_mut(at..)) {
        put_span(value, span);
    }
}

/// Overwrites the span in a `traceparent`: 16 digits behind the version and the trace.
fn put_span(value: &mut [u8], span: SpanId) {
    if let Some(place) = value.get_mut(36..52) {
        place.copy_from_slice(span.to_string().as_bytes());
    }
}

/// Returns how many bytes of an answer are read at once for a client of this version.
fn piece(version: Version) -> usize {
    if version == Version::HTTP_2 { http2::PIECE } else { usize::MAX }
}

/// Writes the request line and the fields; returns Host too.
fn begin(head: &Parts) -> (Vec<u8>, &[u8]) {
    // An empty path is written as '/', and what stands behind it kept.
    let (path, query) = (head.uri.path(), head.uri.query());
    let mut bytes = Vec::with_capacity(320 + path.len() + query.map_or(0, str::len) + head.headers.len() * 64);
    let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    put(&[head.method.as_str().as_bytes(), b" ", path.as_bytes()]);
    if let Some(query) = query {
        put(&[b"?", query.as_bytes()]);
    }
    put(&[b" HTTP/1.1\r\n"]);
    let mut host: &[u8] = b"";
    for (name, value) in &head.headers {
        put(&[name.as_ref(), b": ", value.as_bytes(), b"\r\n"]);
        if *name == header::HOST {
            host = value.as_bytes();
        }
    }
    (bytes, host)
}

/// Writes the framing and the empty line.
fn end(bytes: &mut Vec<u8>, framing: Framing) {
    let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    match framing {
        Framing::None => put(&[b"\r\n"]),
        Framing::Length(length) => put(&[b"content-length: ", length.to_string().as_bytes(), b"\r\n\r\n"]),
        Framing::Chunked => put(&[b"transfer-encoding: chunked\r\n\r\n"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str) -> Parts {
        let fields = [("host", "a.test:81"), ("cookie", "a=1; b=2"), ("te", "trailers"), ("via", "1.1 before")];
        let request =
            fields.into_iter().fold(Request::builder().method(method).uri(target), |request, (name, value)| request.header(name, value));
        request.body(()).unwrap().into_parts().0
    }

    fn peers() -> [Peer; 2] {
        let remote = ([192, 0, 2, 7], 4711).into();
        [Peer::over_tls(remote, 8443, &[]), Peer::new(remote, 8080, &["192.0.2.0/24".parse().unwrap()])]
    }

    /// The lines of a written head, sorted: fields of different names may stand in any order.
    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines: Vec<String> = String::from_utf8(bytes.to_vec()).unwrap().split("\r\n").map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn both_forms_say_the_same_over_http1() {
        let policy = Policy::new(false, "x");
        for peer in peers() {
            for (framing, target) in [(Framing::None, "/p?q"), (Framing::Length(5), "/"), (Framing::Chunked, "*")] {
                let method = if target == "*" { "OPTIONS" } else { "POST" };
                let written = Outgoing::new(head(method, target), framing, &peer, &policy).take_bytes();
                let kept = Outgoing::for_either(head(method, target), framing, &peer, &policy).take_bytes();
                assert_eq!(lines(&written), lines(&kept));
            }
        }
    }

    #[test]
    fn over_http2_host_is_the_authority_and_all_else_is_the_same() {
        let policy = Policy::new(false, "x");
        let [peer, _] = peers();
        let outgoing = Outgoing::for_either(head("POST", "/p?q"), Framing::Length(5), &peer, &policy);
        let request = outgoing.to_http2(true).unwrap();
        assert_eq!((request.uri().to_string(), request.version()), ("https://a.test:81/p?q".to_owned(), Version::HTTP_2));
        assert_eq!(outgoing.to_http2(false).unwrap().uri().scheme_str(), Some("http"));
        let named = |name: &str| request.headers().get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        for (name, values) in [
            ("host", vec![]),
            ("cookie", vec!["a=1; b=2"]),
            ("te", vec!["trailers"]),
            ("via", vec!["1.1 before", "1.1 x"]),
            ("x-forwarded-for", vec!["192.0.2.7"]),
            ("x-forwarded-proto", vec!["https"]),
            ("x-forwarded-host", vec!["a.test:81"]),
            ("x-forwarded-port", vec!["8443"]),
            ("content-length", vec!["5"]),
        ] {
            assert_eq!(named(name), values, "{name}");
        }
        let mut pathless = head("GET", "/");
        pathless.uri = Uri::from(PathAndQuery::from_static("?q"));
        let pathless = Outgoing::for_either(pathless, Framing::None, &peer, &policy).to_http2(false).unwrap();
        assert_eq!(pathless.uri().path_and_query().unwrap(), "/?q");
        let chunked = Outgoing::for_either(head("OPTIONS", "*"), Framing::Chunked, &peer, &policy).to_http2(false).unwrap();
        assert_eq!((chunked.uri().path(), chunked.headers().contains_key("transfer-encoding")), ("*", false));
        assert_eq!(Outgoing::new(head("GET", "/"), Framing::None, &peer, &policy).to_http2(false).err(), Some(Failure::NoEndpoint));
    }
}
