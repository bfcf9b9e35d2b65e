//! What holds of every request that is passed on, whatever it was made of.

use bytes::Bytes;
use http::request::Parts;
use portcullis::proxy::sanitise::{Framing, Outgoing, Peer, Policy};

use super::message::{Message, read_request};

/// Who sends a request, and what the operator allows.
pub struct World {
    pub peer: Peer,
    pub policy: Policy,
}

/// Those that are told apart: nothing is believed and much is taken, or the opposite.
pub fn worlds() -> [World; 2] {
    let remote = ([192, 0, 2, 7], 4711).into();
    let trusted = ["192.0.2.0/24".parse().unwrap()];
    [
        World { peer: Peer::new(remote, 8080, &[]), policy: Policy::new(false, "gate-1") },
        World { peer: Peer::new(remote, 8080, &trusted), policy: Policy::new(true, "gate-1") },
    ]
}

/// One character for each byte, as the strict reader gives them.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Returns the path and the query of a head.
pub fn path_and_query(head: &Parts) -> String {
    head.uri.query().map_or_else(|| text(head.uri.path().as_bytes()), |query| text(format!("{}?{query}", head.uri.path()).as_bytes()))
}

/// Claims of a cleaned head that it goes on as exactly one clean request, with its whole body if that is there, in either form.
/// `came` is the head as it came.
pub fn claim(came: &Parts, cleaned: &Parts, framing: Framing, body: Option<&Bytes>, world: &World) -> Message {
    let World { peer, policy } = world;
    let mut either = Outgoing::for_either(cleaned.clone(), framing, peer, policy);
    let kept = claim_bytes(came, &either.take_bytes(), framing, body, world);
    let written = claim_bytes(came, &Outgoing::new(cleaned.clone(), framing, peer, policy).take_bytes(), framing, body, world);
    let sorted = |message: &Message| {
        let mut fields = message.fields.clone();
        fields.sort();
        fields
    };
    assert_eq!(sorted(&written), sorted(&kept), "the two forms differ");
    if let Ok(request) = either.to_http2(false) {
        assert_eq!(request.method(), came.method);
        assert_eq!(request.uri().authority().map(|authority| authority.as_str()), Some(written.one("host")));
        assert_eq!(request.uri().path_and_query().map(|path| text(path.as_str().as_bytes())), Some(path_and_query(came)));
        for gone in ["host", "connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"] {
            assert!(!request.headers().contains_key(gone), "{gone} over HTTP/2");
        }
    }
    written
}

fn claim_bytes(came: &Parts, head: &[u8], framing: Framing, body: Option<&Bytes>, world: &World) -> Message {
    let ends: Vec<usize> = (0..head.len()).filter(|at| head[*at..].starts_with(b"\r\n\r\n")).collect();
    assert_eq!(ends, [head.len() - 4], "a head has one end: {}", text(head));
    let mut whole = head.to_vec();
    match (body, framing) {
        (Some(body), Framing::Chunked) if body.is_empty() => whole.extend_from_slice(b"0\r\n\r\n"),
        (Some(body), Framing::Chunked) => {
            whole.extend_from_slice(&[format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat());
        }
        (Some(body), _) => whole.extend_from_slice(body),
        (None, _) => {}
    }
    let (message, rest) = read_request(&whole);
    assert!(message.violations.is_empty(), "{:?} of {message:?}", message.violations);
    assert!(rest.is_empty(), "{rest:?} is behind the request");
    if let Some(body) = body {
        assert!(message.complete, "cut: {message:?}");
        assert_eq!(message.body, body[..], "the body");
    }
    assert_eq!(message.line, [came.method.as_str(), path_and_query(came).as_str(), "HTTP/1.1"]);
    let (lengths, codings) = (message.all("content-length"), message.all("transfer-encoding"));
    match framing {
        Framing::None => assert!(lengths.is_empty() && codings.is_empty(), "{message:?}"),
        Framing::Length(bytes) => assert!(lengths == [bytes.to_string()] && codings.is_empty(), "{message:?}"),
        Framing::Chunked => assert!(lengths.is_empty() && codings == ["chunked"], "{message:?}"),
    }
    let is_ours = |name: &str| name.starts_with("x-portcullis-") || name.contains('_');
    assert!(!message.fields.iter().any(|(name, _)| is_ours(name)), "{message:?}");
    claim_identity(&message, world);
    message
}

/// Claims that what is said of the client is true.
fn claim_identity(message: &Message, world: &World) {
    let (chains, via) = (message.all("x-forwarded-for"), message.all("via"));
    assert!(via.last().is_some_and(|entry| entry.ends_with(" gate-1")), "{message:?}");
    if world.peer.trusted {
        assert!(matches!(chains[..], [chain] if chain.ends_with("192.0.2.7")), "{message:?}");
    } else {
        assert_eq!(chains, ["192.0.2.7"]);
        let of = |name: &str| message.all(&format!("x-forwarded-{name}"));
        assert_eq!((of("proto"), of("port"), of("host")), (vec!["http"], vec!["8080"], message.all("host")));
        assert!(message.all("forwarded").is_empty() && message.all("x-real-ip").is_empty(), "{message:?}");
    }
}
