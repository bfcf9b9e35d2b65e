//! A server for tests that answers as it is told and remembers what it was asked.
#![cfg(test)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::sources::endpoint::{Endpoint, Limits};

/// How the server meets a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// It answers with a status and a body.
    Answer(u16, String),
    /// It answers these bytes, whatever they are.
    Bytes(Vec<u8>),
    /// It keeps the connection open and says nothing.
    Hang,
    /// It closes the connection.
    Close,
}

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Method and target.
    pub line: String,
    /// The head, with names in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

/// The server; it ends with its runtime.
pub struct Fake {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// Bounds that a test can wait for.
pub const SHORT: Limits = Limits { within: Duration::from_secs(2), most: 1 << 14, attempts: 3, pause: Duration::from_millis(1) };

impl Fake {
    /// Starts a server that acts once for each request in this order, and as the last one says from then on.
    pub async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (mut acts, notes): (VecDeque<Act>, _) = (acts.into_iter().collect(), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
                tokio::spawn(serve(stream, act.unwrap_or(Act::Close), Arc::clone(&notes)));
            }
        });
        Self { address, heard }
    }

    /// Starts a server that gives one answer of status 200 to everything.
    pub async fn saying(body: &str) -> Self {
        Self::start([Act::Answer(200, body.to_owned())]).await
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its place, with [`SHORT`] bounds.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.url(), None).unwrap().with_limits(SHORT)
    }

    /// Returns what it was asked so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, act: Act, notes: Arc<Mutex<Vec<Heard>>>) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut chunk).await else { return };
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_owned();
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head, body.to_owned());
        }
    };
    let (line, head) = head.split_once("\r\n").unwrap();
    let line = line.strip_suffix(" HTTP/1.1").unwrap().to_owned();
    notes.lock().unwrap().push(Heard { line, head: head.to_owned(), body });
    let answer = match act {
        Act::Answer(status, body) => {
            format!("HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
        Act::Bytes(bytes) => bytes,
        Act::Hang => return std::future::pending().await,
        Act::Close => return,
    };
    // The client may have read enough.
    let _ = stream.write_all(&answer).await;
}
