//! Asks endpoints whether they are ready: GET of a path, where 2xx and 3xx are good, or a connection where no path is named.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::domain::endpoint::Endpoint;
use crate::domain::time::Timestamp;
use crate::domain::upkeep::{Checkup, Health};
use crate::domain::version::Version;
use crate::seam::reach::{Place, Reach};

/// How much of an answer is read to find its status.
const ENOUGH: usize = 12;

/// The checks of one endpoint.
struct Check {
    place: Arc<Place>,
    checkup: Rc<Cell<Checkup>>,
    due: Timestamp,
    asked: Rc<Cell<bool>>,
}

/// The checks of all versions that have some.
#[derive(Default)]
pub(super) struct Checks {
    /// By where the place lies: a check keeps its place from being another one.
    checks: HashMap<*const Place, Check>,
}

impl Checks {
    /// Asks every endpoint that is due.
    pub(super) fn turn(&mut self, versions: &[(Arc<Version>, Arc<Reach>)], now: Timestamp) {
        let mut checks = HashMap::new();
        for (version, reach) in versions {
            let Some(health) = &version.upkeep.health else { continue };
            // A version that comes by command may speak otherwise than the one whose checks it takes over.
            let health = Health { path: health.path.clone().filter(|_| version.transport.is_plain()), ..health.clone() };
            for place in &reach.list().load().places {
                let mut check = self.checks.remove(&Arc::as_ptr(place)).unwrap_or_else(|| Check::new(place, now));
                check.ask(&health, reach, now);
                checks.insert(Arc::as_ptr(place), check);
            }
        }
        self.checks = checks;
    }
}

impl Check {
    fn new(place: &Arc<Place>, now: Timestamp) -> Self {
        Self { place: Arc::clone(place), checkup: Rc::default(), due: now, asked: Rc::default() }
    }

    fn ask(&mut self, health: &Health, reach: &Arc<Reach>, now: Timestamp) {
        if now < self.due || self.asked.replace(true) {
            return;
        }
        self.due = now + health.interval;
        let (place, health, reach) = (Arc::clone(&self.place), health.clone(), Arc::clone(reach));
        let (checkup, asked) = (Rc::clone(&self.checkup), Rc::clone(&self.asked));
        // It ends with its time.
        tokio::task::spawn_local(async move {
            let good = is_good(place.target(), &health).await;
            let mut result = checkup.get();
            result.result(good, &health);
            checkup.set(result);
            reach.check(&place, result.ready);
            asked.set(false);
        });
    }
}

/// Asks one endpoint, within the time of a check.
pub(super) async fn is_good(target: &Endpoint, health: &Health) -> bool {
    let path = health.path.as_deref();
    let asked = async {
        match target {
            Endpoint::Address(address) => answers(TcpStream::connect(*address).await?, path, target).await,
            Endpoint::Socket(socket) => answers(UnixStream::connect(socket).await?, path, target).await,
            // A name is no place.
            Endpoint::Name { .. } | Endpoint::Slices(_) => Ok(false),
        }
    };
    tokio::time::timeout(health.timeout, asked).await.is_ok_and(|answer: io::Result<bool>| answer.unwrap_or(false))
}

async fn answers(mut socket: impl AsyncRead + AsyncWrite + Unpin, path: Option<&str>, target: &Endpoint) -> io::Result<bool> {
    let Some(path) = path else { return Ok(true) };
    let host = target.address().map_or_else(|| "localhost".to_owned(), |address| address.to_string());
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: portcullis-health\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while head.len() < ENOUGH && socket.read_buf(&mut head).await? > 0 {}
    Ok(is_good_status(&head))
}

/// Reads `HTTP/1.1 200` and the like.
fn is_good_status(head: &[u8]) -> bool {
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..5));
    matches!(status, Some([b' ', b'2' | b'3', tens, ones]) if tens.is_ascii_digit() && ones.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_and_3xx_are_good() {
        for good in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 204 x", "HTTP/1.1 399"] {
            assert!(is_good_status(good.as_bytes()), "{good}");
        }
        for bad in ["", "HTTP/1.1", "HTTP/1.1 199", "HTTP/1.1 404 Not Found", "HTTP/1.1 503", "HTTP/1.1 2", "HTTP/2 200", "SSH-2.0-x 200"] {
            assert!(!is_good_status(bad.as_bytes()), "{bad}");
        }
    }
}
