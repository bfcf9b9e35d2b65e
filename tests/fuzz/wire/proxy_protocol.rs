//! The header in which a trusted peer says who the client is.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use portcullis::proxy::connection::proxied::{self, Proxied};
use tokio::io::{AsyncRead, ReadBuf};

/// What every header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of the PROXY protocol: it is understood as a simple reader of both versions does, to its last byte and not one
/// further, however the bytes arrive; what is refused says why.
pub fn proxy_protocol(bytes: &[u8]) {
    let expected = if bytes.starts_with(SIGNATURE) { binary(bytes) } else { line(bytes) };
    for piece in [usize::MAX, 7, 1] {
        let mut arriving = Arriving { left: bytes, piece, late: false };
        let read = read(&mut arriving, bytes.len());
        match (&read, expected) {
            (Ok(read), Some((what, length))) => {
                assert_eq!((*read, bytes.len() - arriving.left.len()), (what, length), "in pieces of {piece}");
            }
            (Err(why), None) => {
                assert!(matches!(why.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof), "{why:?}");
                assert!(!why.to_string().is_empty());
            }
            _ => assert_eq!(read.ok(), expected.map(|(what, _)| what), "in pieces of {piece}"),
        }
    }
}

/// A connection on which bytes arrive in pieces, with a wait before each.
struct Arriving<'a> {
    left: &'a [u8],
    piece: usize,
    late: bool,
}

impl AsyncRead for Arriving<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.late = !self.late;
        if self.late {
            return Poll::Pending;
        }
        let (now, rest) = self.left.split_at(self.piece.min(self.left.len()).min(into.remaining()));
        into.put_slice(now);
        self.left = rest;
        Poll::Ready(Ok(()))
    }
}

fn read(from: &mut Arriving<'_>, bytes: usize) -> io::Result<Proxied> {
    let mut reading = pin!(proxied::read(from));
    let mut polls = (0..2 * bytes + 8).map(|_| reading.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    let read = polls.find_map(|polled| if let Poll::Ready(read) = polled { Some(read) } else { None });
    assert!(read.is_some(), "it is still waiting at the end");
    read.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
}

/// Reads version 1: what it says, and how long it is.
fn line(bytes: &[u8]) -> Option<(Proxied, usize)> {
    let end = bytes.iter().take(107).position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?.strip_suffix('\r')?;
    let words: Vec<&str> = text.split(' ').collect();
    let port = |word: &str| word.parse().ok().filter(|port: &u16| port.to_string() == word);
    let pair = |client: IpAddr, local: IpAddr, ports: [&str; 2]| {
        let [client_port, local_port] = ports;
        Some(Proxied::For { client: SocketAddr::new(client, port(client_port)?), local: SocketAddr::new(local, port(local_port)?) })
    };
    let what = match words[..] {
        ["PROXY", "UNKNOWN", ..] => Proxied::Own,
        ["PROXY", "TCP4", client, local, a, b] => {
            pair(client.parse::<Ipv4Addr>().ok()?.into(), local.parse::<Ipv4Addr>().ok()?.into(), [a, b])?
        }
        ["PROXY", "TCP6", client, local, a, b] => {
            pair(client.parse::<Ipv6Addr>().ok()?.into(), local.parse::<Ipv6Addr>().ok()?.into(), [a, b])?
        }
        _ => return None,
    };
    Some((what, end + 1))
}

/// Reads version 2 in the same way.
fn binary(bytes: &[u8]) -> Option<(Proxied, usize)> {
    let [command, family, high, low] = *bytes.get(12..16)?.first_chunk()?;
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    let behind = bytes.get(16..length).filter(|behind| behind.len() <= 4096)?;
    let address = |at: usize, long: usize, port: usize| {
        let ip: IpAddr = match long {
            4 => <[u8; 4]>::try_from(behind.get(at..at + 4)?).ok()?.into(),
            _ => <[u8; 16]>::try_from(behind.get(at..at + 16)?).ok()?.into(),
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(*behind.get(port..port + 2)?.first_chunk()?)))
    };
    let what = match (command, family) {
        (0x21, 0x11) => Proxied::For { client: address(0, 4, 8)?, local: address(4, 4, 10)? },
        (0x21, 0x21) => Proxied::For { client: address(0, 16, 32)?, local: address(16, 16, 34)? },
        (0x20 | 0x21, _) => Proxied::Own,
        _ => return None,
    };
    Some((what, length))
}
