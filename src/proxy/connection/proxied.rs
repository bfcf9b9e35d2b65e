//! The PROXY protocol, versions 1 and 2 (HAProxy's specification of 2020/03/05): who the client is, from a peer that is trusted
//! to say so.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its CRLF included.
const LONGEST_LINE: usize = 107;
/// The most bytes of addresses and extensions behind a header of version 2.
const MOST_BEHIND: u16 = 4096;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The connection was made for this client, to that address.
    For {
        /// The client.
        client: SocketAddr,
        /// Where it connected to.
        local: SocketAddr,
    },
    /// The connection is the peer's own, or made for a client without an IP address.
    Own,
}

/// Reads a header and not one byte more.
///
/// # Errors
///
/// Fails with [`io::ErrorKind::InvalidData`] for anything that is no header, and when the connection does.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Proxied> {
    let mut start = [0; 12];
    from.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_binary(from).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(invalid("there is no PROXY header"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_LINE || line.contains(&b'\n') {
            return Err(invalid("the PROXY line does not end"));
        }
        line.push(from.read_u8().await?);
    }
    line_of(&line).ok_or_else(|| invalid("the PROXY line is malformed"))
}

fn line_of(line: &[u8]) -> Option<Proxied> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("PROXY ")?.strip_suffix("\r\n")?;
    let mut words = text.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Proxied::Own);
    }
    let mut address = || words.next()?.parse::<IpAddr>().ok().filter(|ip| ip.is_ipv4() == (family == "TCP4"));
    let (client, local) = (address()?, address()?);
    let mut port = || {
        let digits = words.next()?;
        let plain = digits == "0" || (digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0'));
        digits.parse::<u16>().ok().filter(|_| plain)
    };
    let (client, local) = (SocketAddr::new(client, port()?), SocketAddr::new(local, port()?));
    (matches!(family, "TCP4" | "TCP6") && words.next().is_none()).then_some(Proxied::For { client, local })
}

async fn read_binary(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Proxied> {
    let (command, family, length) = (from.read_u8().await?, from.read_u8().await?, from.read_u16().await?);
    if length > MOST_BEHIND {
        return Err(invalid("the PROXY header is longer than 4 KiB"));
    }
    let mut behind = vec![0; usize::from(length)];
    from.read_exact(&mut behind).await?;
    match (command, family) {
        (0x20, _) => Ok(Proxied::Own),
        (0x21, 0x11) => addresses::<4>(&behind),
        (0x21, 0x21) => addresses::<16>(&behind),
        // Of other families and of datagrams no use is made.
        (0x21, _) => Ok(Proxied::Own),
        _ => Err(invalid("the PROXY header is of an unknown version or command")),
    }
}

fn addresses<const N: usize>(behind: &[u8]) -> io::Result<Proxied>
where
    IpAddr: From<[u8; N]>,
{
    let read = || {
        let (client, rest) = behind.split_first_chunk::<N>()?;
        let (local, rest) = rest.split_first_chunk::<N>()?;
        let (client_port, rest) = rest.split_first_chunk::<2>()?;
        let (local_port, _) = rest.split_first_chunk::<2>()?;
        let of = |ip: &[u8; N], port: &[u8; 2]| SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port));
        Some(Proxied::For { client: of(client, client_port), local: of(local, local_port) })
    };
    read().ok_or_else(|| invalid("the PROXY header is too short for its addresses"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    /// Reads from bytes at hand; returns what was left of them.
    fn read_all(bytes: &[u8]) -> (io::Result<Proxied>, usize) {
        let mut rest = bytes;
        let read = {
            let mut reading = pin!(read(&mut rest));
            match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(read) => read,
                Poll::Pending => panic!("bytes at hand are never waited for"),
            }
        };
        (read, rest.len())
    }

    fn of(client: &str, local: &str) -> Proxied {
        Proxied::For { client: client.parse().unwrap(), local: local.parse().unwrap() }
    }

    fn binary(command: u8, family: u8, behind: &[u8]) -> Vec<u8> {
        [&SIGNATURE, &[command, family][..], &u16::try_from(behind.len()).unwrap().to_be_bytes(), behind].concat()
    }

    #[test]
    fn headers_of_both_versions_are_read_to_their_last_byte() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0x20, 1, 0xd, 0xb8], &[0; 11], &[2], &[0, 1, 0, 2]].concat();
        for (bytes, expected) in [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(), of("192.0.2.7:4711", "198.51.100.1:443")),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(), of("[2001:db8::1]:1", "[2001:db8::2]:2")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Proxied::Own),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Proxied::Own),
            (binary(0x21, 0x11, &four), of("192.0.2.7:4711", "198.51.100.1:443")),
            (binary(0x21, 0x11, &[&four[..], b"\x03\0\x04abcd"].concat()), of("192.0.2.7:4711", "198.51.100.1:443")),
            (binary(0x21, 0x21, &six), of("[2001:db8::1]:1", "[2001:db8::2]:2")),
            (binary(0x20, 0x00, b""), Proxied::Own),
            (binary(0x21, 0x31, &[0; 216]), Proxied::Own),
        ] {
            let (read, left) = read_all(&[&bytes[..], b"GET /"].concat());
            assert_eq!((read.ok(), left), (Some(expected), 5), "{}", String::from_utf8_lossy(&bytes));
            for end in 0..bytes.len() {
                assert!(read_all(&bytes[..end]).0.is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 100], b"\r\n"].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 x\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
            b"PROXY TCP4 192.0.2.7  198.51.100.1 1 443\r\n",
            b"PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 443\n\r\n",
            &long,
            &binary(0x11, 0x11, &[0; 12]),
            &binary(0x22, 0x11, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x21, &[0; 12]),
            &binary(0x20, 0x00, &[0; 4097]),
        ] {
            assert_eq!(read_all(bytes).0.unwrap_err().kind(), io::ErrorKind::InvalidData, "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), signed in any::<bool>()) {
            let bytes = if signed { [&SIGNATURE[..], &bytes].concat() } else { bytes };
            let (read, left) = read_all(&bytes);
            prop_assert!(left <= bytes.len());
            prop_assert!(read.is_err() || left < bytes.len());
        }
    }
}
