//! The TLS handshake of a client's connection.

use std::io;

use tokio_rustls::TlsAcceptor;

use crate::proxy::certificates::TlsSlot;
use crate::proxy::plain::Plain;
use crate::proxy::wire::{Protocol, Socket};
use crate::proxy::worker::Worker;

/// Shakes hands, with what is current for the listener; returns what the client said it speaks, if it did.
///
/// # Errors
///
/// Fails when the client does not speak TLS as it should, shows no good certificate where one is asked for, takes longer than
/// for a head, or when the worker's drain time ends.
pub async fn shake_hands(socket: Plain, slot: &TlsSlot, worker: &Worker) -> io::Result<(Socket, Protocol)> {
    // How many go on at once is bounded by the connections alone: a place in a queue could be held by whoever says nothing.
    let shaking = TlsAcceptor::from(slot.load_full()).accept(socket);
    let limit = worker.rules().settings.timeouts.header;
    let stream = tokio::select! {
        shaken = tokio::time::timeout(limit, shaking) => shaken??,
        () = worker.cut.notified() => return Err(io::ErrorKind::Interrupted.into()),
    };
    let protocol = stream.get_ref().1.alpn_protocol().map(|name| if name == b"h2" { Protocol::Http2 } else { Protocol::Http1 });
    // Without ALPN HTTP/2 is not spoken over TLS (RFC 9113 section 3.2).
    Ok((Socket::Tls(Box::new(stream)), protocol.unwrap_or(Protocol::Http1)))
}
