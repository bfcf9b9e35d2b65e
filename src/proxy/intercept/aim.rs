//! Where a redirected connection was going, as the kernel remembers, and when it must not be taken there.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::proxy::plain::{Plain, Remote};

/// Why a redirected connection is not carried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was not redirected: somebody calls the listener itself.
    Direct,
    /// It was going to a listener of this process.
    Own,
    /// This process has made it, so that it would come back again.
    Loop,
    /// Where it was going cannot be connected to.
    Unreachable,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Own, Self::Loop, Self::Unreachable];

    /// Returns its position in [`Refused::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the label used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Own => "own",
            Self::Loop => "loop",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Asks where a connection was going.
type Ask = dyn Fn(&Plain) -> io::Result<SocketAddr> + Send + Sync;

/// A connection that carries another one on. Only both ends tell it from others: the system gives one local port to connections that go to
/// different places.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Dialed {
    near: SocketAddr,
    aim: SocketAddr,
}

/// What a listener knows of the connections that are redirected to it; copies share everything.
#[derive(Clone)]
pub struct Interception {
    ask: Arc<Ask>,
    /// Where this process listens.
    own: Arc<[SocketAddr]>,
    /// The connections that were made to carry others on, and how many of them are kept; written by workers as they make and end them, read
    /// by those that accept redirected ones.
    dialed: Arc<Mutex<HashMap<Dialed, usize>>>,
}

impl Interception {
    /// Asks the kernel where connections were going; `own` is where this process listens.
    #[must_use]
    pub fn by_kernel(own: Vec<SocketAddr>) -> Self {
        Self::by(original, own)
    }

    /// Asks `ask` instead of the kernel.
    #[must_use]
    pub fn by(ask: impl Fn(&Plain) -> io::Result<SocketAddr> + Send + Sync + 'static, own: Vec<SocketAddr>) -> Self {
        Self { ask: Arc::new(ask), own: own.into(), dialed: Arc::default() }
    }

    /// Returns where a connection was going.
    ///
    /// # Errors
    ///
    /// Says why it must not be taken there.
    pub fn aim(&self, socket: &Plain, remote: Remote) -> Result<SocketAddr, Refused> {
        let aim = (self.ask)(socket).map(canonical).map_err(|_| Refused::Direct)?;
        let Plain::Tcp(socket) = socket else { return Err(Refused::Direct) };
        if socket.local_addr().is_ok_and(|local| canonical(local) == aim) || aim.port() == 0 {
            return Err(Refused::Direct);
        }
        if self.own.iter().any(|own| is_at(*own, aim)) {
            return Err(Refused::Own);
        }
        if self.is_ours(remote, aim) { Err(Refused::Loop) } else { Ok(aim) }
    }

    /// Says whether the connection from `remote` that was going to `aim` was made by this process to carry another one on.
    pub(super) fn is_ours(&self, remote: Remote, aim: SocketAddr) -> bool {
        let Remote::Address(near) = remote else { return false };
        self.dialed().contains_key(&Dialed { near: canonical(near), aim: canonical(aim) })
    }

    /// Notes a connection from `near` to `aim` for as long as what is returned is kept.
    pub(super) fn note(&self, near: SocketAddr, aim: SocketAddr) -> Noted {
        let dialed = Dialed { near: canonical(near), aim: canonical(aim) };
        *self.dialed().entry(dialed).or_default() += 1;
        Noted { dialed, interception: self.clone() }
    }

    fn dialed(&self) -> MutexGuard<'_, HashMap<Dialed, usize>> {
        // A map is whole after each of its calls, whoever panics.
        self.dialed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a connection carries another one on.
pub struct Noted {
    dialed: Dialed,
    interception: Interception,
}

impl Drop for Noted {
    fn drop(&mut self) {
        let mut dialed = self.interception.dialed();
        // A later one may have the same ends before this is forgotten.
        if let Some(count) = dialed.get_mut(&self.dialed) {
            *count -= 1;
            if *count == 0 {
                dialed.remove(&self.dialed);
            }
        }
    }
}

/// Asks the kernel (`SO_ORIGINAL_DST`, ip(7) and ip6tables). It knows nothing of a connection that was not redirected, or says that it was
/// going where it is.
fn original(socket: &Plain) -> io::Result<SocketAddr> {
    let Plain::Tcp(tcp) = socket else { return Err(io::ErrorKind::Unsupported.into()) };
    let known = socket.as_socket();
    let v4 = tcp.local_addr()?.ip().to_canonical().is_ipv4();
    let address = if v4 { known.original_dst_v4() } else { known.original_dst_v6() }?;
    address.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Says whether whoever connects to `aim` comes to a listener at `own`.
fn is_at(own: SocketAddr, aim: SocketAddr) -> bool {
    let own = canonical(own);
    own.port() == aim.port() && (own.ip() == aim.ip() || own.ip().is_unspecified() && is_here(aim.ip()))
}

/// Says whether an address is one of this machine's: only those can be bound.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (Plain, Remote, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (_near, far) = tokio::join!(tokio::net::TcpStream::connect(at), listener.accept());
        let (socket, remote) = far.unwrap();
        (Plain::Tcp(socket), Remote::Address(remote), at)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn only_a_connection_on_its_way_to_somebody_else_is_taken_there() {
        let (socket, remote, at) = pair().await;
        let aim = |to: &str, own: &str| {
            let (to, own) = (to.parse().unwrap(), own.parse().unwrap());
            Interception::by(move |_| Ok(to), vec![own]).aim(&socket, remote)
        };
        assert_eq!(aim("192.0.2.1:80", "127.0.0.1:9090"), Ok("192.0.2.1:80".parse().unwrap()));
        assert_eq!(aim("[::ffff:192.0.2.1]:80", "127.0.0.1:9090"), Ok("192.0.2.1:80".parse().unwrap()));
        assert_eq!(aim(&at.to_string(), "127.0.0.1:9090"), Err(Refused::Direct));
        assert_eq!(aim("192.0.2.1:0", "127.0.0.1:9090"), Err(Refused::Direct));
        for (to, own) in [
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            ("127.0.0.1:9090", "0.0.0.0:9090"),
            ("127.9.9.9:9090", "[::]:9090"),
            ("[::1]:9090", "[::]:9090"),
            ("192.0.2.1:9090", "192.0.2.1:9090"),
        ] {
            assert_eq!(aim(to, own), Err(Refused::Own), "{to} with a listener at {own}");
        }
        assert!(aim("192.0.2.1:9090", "0.0.0.0:9090").is_ok(), "the port of another machine is not ours");
        let unknown = Interception::by(|_| Err(io::ErrorKind::NotFound.into()), Vec::new());
        assert_eq!(unknown.aim(&socket, remote), Err(Refused::Direct));
        assert_eq!(Interception::by_kernel(Vec::new()).aim(&socket, remote), Err(Refused::Direct), "the kernel says so too");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_this_process_has_made_does_not_come_back() {
        let (socket, remote, _) = pair().await;
        let interception = Interception::by(|_| Ok("192.0.2.1:80".parse().unwrap()), Vec::new());
        let Remote::Address(near) = remote else { panic!("a pair over TCP") };
        let aim = "192.0.2.1:80".parse().unwrap();
        let (noted, again) = (interception.note(near, aim), interception.note(near, aim));
        assert_eq!(interception.clone().aim(&socket, remote), Err(Refused::Loop));
        drop(noted);
        assert_eq!(interception.aim(&socket, remote), Err(Refused::Loop), "another one has the same ends");
        drop(again);
        assert!(interception.aim(&socket, remote).is_ok());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_port_that_this_process_uses_to_another_place_is_not_taken_for_its_own() {
        let (socket, remote, _) = pair().await;
        let interception = Interception::by(|_| Ok("[::ffff:192.0.2.1]:80".parse().unwrap()), Vec::new());
        let Remote::Address(near) = remote else { panic!("a pair over TCP") };
        let others = ["192.0.2.1:81", "192.0.2.2:80"].map(|other| interception.note(near, other.parse().unwrap()));
        assert_eq!(interception.aim(&socket, remote), Ok("192.0.2.1:80".parse().unwrap()));
        let noted = interception.note(near, "192.0.2.1:80".parse().unwrap());
        drop(others);
        assert_eq!(interception.aim(&socket, remote), Err(Refused::Loop), "those to other places that end leave it");
        drop(noted);
        assert!(interception.dialed().is_empty());
    }
}
