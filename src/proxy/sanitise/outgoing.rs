//! A cleaned request as it goes to its version: written once, straight from what came and what is added to it.

use http::request::Parts;
use http::{HeaderMap, Method, Version, header};

use crate::proxy::sanitise::policy::{Peer, Policy};
use crate::proxy::sanitise::request::Framing;
use crate::proxy::settings::http2;

/// The largest map of fields that is used again: an idle connection keeps it.
const MOST_SPARE: usize = 24;

/// A request's head in bytes, and what is still to be known of it.
///
/// The head it was made from is gone: what was parsed shares the client's read buffer, which is used again once nobody does.
pub struct Outgoing {
    /// The head, to its empty line.
    pub bytes: Vec<u8>,
    /// The method.
    pub method: Method,
    /// How the body is delimited.
    pub framing: Framing,
    /// How many bytes of its answer are read at once at most; less where many answers share a client's connection.
    pub piece: usize,
    /// The emptied map of the request's fields, for those of the answer.
    pub spare: HeaderMap,
}

impl Outgoing {
    /// Writes a cleaned head: its fields, who the client is, our entry in `Via` behind those already there, and the framing.
    #[must_use]
    pub fn new(head: Parts, framing: Framing, peer: &Peer, policy: &Policy) -> Self {
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
        if !peer.trusted {
            put(&[peer.lines.as_bytes(), b"x-forwarded-host: ", host, b"\r\n"]);
        }
        put(&[b"via: ", policy.via_of(head.version).as_bytes(), b"\r\n"]);
        match framing {
            Framing::None => put(&[b"\r\n"]),
            Framing::Length(length) => put(&[b"content-length: ", length.to_string().as_bytes(), b"\r\n\r\n"]),
            Framing::Chunked => put(&[b"transfer-encoding: chunked\r\n\r\n"]),
        }
        let piece = if head.version == Version::HTTP_2 { http2::PIECE } else { usize::MAX };
        let mut spare = head.headers;
        spare.clear();
        if spare.capacity() > MOST_SPARE {
            spare = HeaderMap::new();
        }
        Self { bytes, method: head.method, framing, piece, spare }
    }
}
