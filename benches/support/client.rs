//! A blocking HTTP/1.1 client on one kept connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What an ordinary client sends.
pub const REQUEST: &[u8] = b"GET /carts/1/items HTTP/1.1\r\nHost: carts.sockshop.localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// One connection.
pub struct Client {
    address: SocketAddr,
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { address, socket: open(address)?, buffer: Vec::with_capacity(4096) })
    }

    /// Sends one request, waits for its whole answer and returns its status.
    pub fn get(&mut self) -> io::Result<u16> {
        self.socket.write_all(REQUEST)?;
        self.buffer.clear();
        let mut chunk = [0; 4096];
        loop {
            let read = self.socket.read(&mut chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if let Some(status) = complete(&self.buffer) {
                return Ok(status);
            }
        }
    }

    /// Connects anew after an error.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.socket = open(self.address)?;
        Ok(())
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(socket)
}

/// Returns the status once head and body are there; the body's length must be given.
fn complete(bytes: &[u8]) -> Option<u16> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?.to_ascii_lowercase();
    let length: usize = head.split("content-length:").nth(1)?.split("\r\n").next()?.trim().parse().ok()?;
    if bytes.len() < end + length {
        return None;
    }
    head.get(9..12)?.parse().ok()
}
