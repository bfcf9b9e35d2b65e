//! An HTTP server that takes JSON messages, answers as a script says, and passes on what it was told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

/// What somebody was told: the path and the body.
pub type Told = (String, Value);

/// Starts a server; a script that gives no status leaves the other side without an answer until that ends.
pub fn listen(script: impl Fn(&str, &Value) -> Option<&'static str> + Send + Sync + 'static) -> (SocketAddr, Receiver<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((sender, receiver), script) = (channel(), Arc::new(script));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender, script) = (stream.unwrap(), sender.clone(), Arc::clone(&script));
            std::thread::spawn(move || {
                let mut text = String::new();
                let body = loop {
                    let mut part = [0; 4096];
                    let count = stream.read(&mut part).unwrap();
                    assert!(count > 0, "the request broke off");
                    text.push_str(std::str::from_utf8(&part[..count]).unwrap());
                    let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
                    if let Ok(body) = serde_json::from_str(body) {
                        break body;
                    }
                };
                let path = text.split(' ').nth(1).unwrap().to_owned();
                let status = script(&path, &body);
                // The test may have seen enough.
                let _ = sender.send((path, body));
                match status {
                    Some(status) => {
                        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    }
                    None => drop(stream.read(&mut [0])),
                }
            });
        }
    });
    (address, receiver)
}
