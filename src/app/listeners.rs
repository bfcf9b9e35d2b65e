//! The listening sockets: bound anew, handed in by a supervisor, or taken over from the process before this one.

use std::fs::DirBuilder;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};

use crate::admin::server::Door;
use crate::app::error::AppError;
use crate::app::socket_file::SocketFile;
use crate::config::{self, Settings};
use crate::domain::address::Address;
use crate::formats::tls::TlsFiles;
use crate::proxy::certificates::Certificates;
use crate::proxy::intercept::Interception;
use crate::proxy::listening::{Bound, Listening};
use crate::proxy::worker::DoorSetup;

/// All listening sockets of the process.
pub(super) struct Sockets {
    /// Those of the data plane, in the order of the configuration.
    pub(super) listen: Vec<Group>,
    /// Those of the admin API, in the order of the configuration, one each.
    pub(super) admin: Vec<Group>,
}

/// The sockets of one configured address, among which the kernel spreads connections.
pub(super) struct Group {
    /// How the address was configured; its port may be 0.
    pub(super) asked: Address,
    /// At least one; one of a Unix socket.
    pub(super) sockets: Vec<Bound>,
    /// The file of a Unix socket, where it goes with this process or its successor; a supervisor's stays.
    pub(super) file: Option<SocketFile>,
}

/// Sockets that others have bound.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) sockets: Vec<Heirloom>,
}

/// A socket that another process has bound.
pub(super) struct Heirloom {
    /// The address that was asked of it.
    pub(super) asked: Address,
    /// The socket.
    pub(super) socket: Bound,
    /// Whether the file of a Unix socket goes with this process.
    pub(super) with_file: bool,
}

impl Inherited {
    /// Returns those that a supervisor has handed in (`LISTEN_FDS`, sd_listen_fds(3)).
    ///
    /// # Errors
    ///
    /// Fails when one of them is no listening socket of TCP or of a Unix path.
    pub(super) fn of_supervisor() -> io::Result<Self> {
        let (mut fds, mut sockets) = (ListenFd::from_env(), Vec::new());
        for index in 0..fds.len() {
            // What is of the other kind is left at its place.
            let socket = match fds.take_unix_listener(index) {
                Ok(socket) => socket.map(Bound::Unix),
                Err(_) => fds.take_tcp_listener(index)?.map(Bound::Tcp),
            };
            if let Some(socket) = socket {
                sockets.push(Heirloom { asked: socket.address()?, socket, with_file: false });
            }
        }
        Ok(Self { sockets })
    }

    /// Takes all sockets that stand for an address.
    fn take(&mut self, asked: &Address) -> Vec<Heirloom> {
        let (own, others) = std::mem::take(&mut self.sockets).into_iter().partition(|one| one.asked == *asked);
        self.sockets = others;
        own
    }

    /// Takes the last socket that stands for an address.
    fn take_last(&mut self, asked: &Address) -> Option<Heirloom> {
        let last = self.sockets.iter().rposition(|one| one.asked == *asked)?;
        Some(self.sockets.remove(last))
    }
}

impl Sockets {
    /// Takes what was inherited and binds the rest. What nobody asks for is closed, with a warning.
    pub(super) fn open(settings: &Settings, mut inherited: Inherited) -> Result<Self, AppError> {
        // A process hands its admin listeners over last: any port may be asked for here and there.
        let inherited_admin: Vec<_> = settings.admin.listen.iter().rev().map(|one| inherited.take_last(&one.address)).collect();
        let mut listen = Vec::new();
        for config::Listen { address, mode, .. } in &settings.listen {
            let taken = inherited.take(address);
            let group = if taken.is_empty() { Group::bind(address, *mode, settings.workers)? } else { Group::of(address, taken) };
            listen.push(group);
        }
        let mut admin = Vec::new();
        for (config::admin::AdminListen { address, mode, .. }, taken) in settings.admin.listen.iter().zip(inherited_admin.into_iter().rev())
        {
            admin.push(match taken {
                Some(one) => Group::of(address, vec![one]),
                None => Group::bind_admin(address, *mode)?,
            });
        }
        for Heirloom { asked, .. } in inherited.sockets {
            tracing::warn!(address = %asked, "a socket was handed in that the configuration does not name; it is closed");
        }
        Ok(Self { listen, admin })
    }

    /// Returns where the data plane listens.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.listen.iter().filter_map(|group| group.sockets.first()?.address().ok()).collect()
    }

    /// Removes the files of the Unix sockets: nobody is to find them once this process ends without a successor.
    pub(super) fn remove_files(&self) {
        self.listen.iter().chain(&self.admin).filter_map(|group| group.file.as_ref()).for_each(SocketFile::remove);
    }

    /// Returns where the admin API listens.
    pub(super) fn admin_addresses(&self) -> Vec<Address> {
        self.admin.iter().filter_map(|group| group.sockets.first()?.address().ok()).collect()
    }

    /// Returns the sockets of the admin API, and keeps the certificates of those that have some in `certificates`.
    pub(super) fn admin_doors(&self, settings: &Settings, certificates: &mut Vec<Certificates>) -> Result<Vec<Door>, AppError> {
        let mut doors = Vec::new();
        for (group, one) in self.admin.iter().zip(&settings.admin.listen) {
            let tls = match one.tls.clone() {
                None => None,
                Some(files) => {
                    let loaded = load(files)?;
                    let slot = loaded.slot();
                    certificates.push(loaded);
                    Some(slot)
                }
            };
            if let Some(socket) = group.sockets.first() {
                doors.push(Door { socket: socket.try_clone()?, tls });
            }
        }
        Ok(doors)
    }

    /// Shares the sockets out to the workers. Where there are fewer of an address than workers, several accept from one; where
    /// there are more, a worker accepts from several, because what the kernel has put into a socket is lost with it.
    pub(super) fn for_workers(&self, workers: usize) -> io::Result<Vec<Vec<Listening>>> {
        let workers = workers.max(1);
        let mut shares: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
        for (door, group) in self.listen.iter().enumerate() {
            let count = group.sockets.len().max(workers);
            for (index, socket) in group.sockets.iter().cycle().take(count).enumerate() {
                if let Some(share) = shares.get_mut(index % workers) {
                    share.push(Listening { door, socket: socket.try_clone()? });
                }
            }
        }
        Ok(shares)
    }
}

impl Group {
    fn bind(address: &Address, mode: u32, workers: usize) -> Result<Self, AppError> {
        let sockets = match address {
            Address::Ip(address) => bind_for_all(*address, workers)?.into_iter().map(Bound::Tcp).collect(),
            Address::Socket(path) => vec![bind_path(path, mode)?],
        };
        Ok(Self { asked: address.clone(), sockets, file: address.path().and_then(SocketFile::at) })
    }

    /// Binds an address once. The folder of a Unix socket is made where it is missing, for its owner alone.
    fn bind_admin(address: &Address, mode: u32) -> Result<Self, AppError> {
        let socket = match address {
            Address::Ip(address) => Bound::Tcp(bind_plain(*address)?),
            Address::Socket(path) => {
                if let Some(folder) = path.parent() {
                    // What does not work here is told by binding below it.
                    let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
                }
                bind_path(path, mode)?
            }
        };
        Ok(Self { asked: address.clone(), sockets: vec![socket], file: address.path().and_then(SocketFile::at) })
    }

    /// Goes on with sockets that another process has bound.
    fn of(asked: &Address, taken: Vec<Heirloom>) -> Self {
        let with_file = taken.iter().any(|one| one.with_file);
        let file = asked.path().filter(|_| with_file).and_then(SocketFile::at);
        Self { asked: asked.clone(), sockets: taken.into_iter().map(|one| one.socket).collect(), file }
    }
}

fn bind_path(path: &Path, mode: u32) -> Result<Bound, AppError> {
    let bind = |source| AppError::Bind { address: Address::Socket(path.to_owned()), source };
    SocketFile::bind(path, mode).map(Bound::Unix).map_err(bind)
}

/// Binds an address once per worker.
fn bind_for_all(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, AppError> {
    // Without SO_REUSEPORT first: two processes that both set it would share the port and never notice. It holds the port until the
    // others have it, but never listens: whoever came to it would be lost with it.
    let probe = reserve(address).map_err(|source| AppError::Bind { address: address.into(), source })?;
    let local = probe.local_addr().map_err(|source| AppError::Bind { address: address.into(), source })?;
    let fixed = local.as_socket().unwrap_or(address);
    (0..workers.max(1)).map(|_| bind_shared(fixed).map_err(|source| AppError::Bind { address: fixed.into(), source })).collect()
}

fn bind_plain(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).map_err(|source| AppError::Bind { address: address.into(), source })
}

/// Binds an address that nobody listens on, and does not listen there.
fn reserve(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn load(files: TlsFiles) -> Result<Certificates, AppError> {
    Certificates::load(files).map_err(|problem| AppError::Certificates(problem.to_string()))
}

/// Makes what is particular to each listener, and reads the certificates of those that have some.
pub(super) fn doors(listen: &[config::Listen], sockets: &Sockets) -> Result<(Vec<Certificates>, Vec<DoorSetup>), AppError> {
    let own = sockets.addresses().into_iter().chain(sockets.admin_addresses());
    let own = own.filter_map(|address| if let Address::Ip(address) = address { Some(address) } else { None }).collect();
    let interception = Interception::by_kernel(own);
    let (mut certificates, mut doors) = (Vec::new(), Vec::new());
    for one in listen {
        let mut door = DoorSetup {
            tls: None,
            proxies: one.proxies.clone(),
            proxied_socket: one.proxied_socket,
            service: one.service.clone(),
            one_host: one.one_host,
            intercepted: one.intercepted.then(|| interception.clone()),
        };
        if let Some(files) = one.tls.clone() {
            let loaded = load(files)?;
            door.tls = Some(loaded.slot());
            certificates.push(loaded);
        }
        doors.push(door);
    }
    Ok((certificates, doors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(sockets: usize) -> Group {
        Group::bind(&Address::Ip(([127, 0, 0, 1], 0).into()), 0, sockets).unwrap()
    }

    #[test]
    fn every_socket_has_a_worker_and_every_worker_a_socket_of_each_address() {
        for (sockets, workers) in [(1, 1), (2, 2), (1, 3), (4, 2), (3, 2), (2, 5)] {
            let all = Sockets { listen: vec![group(sockets), group(1)], admin: Vec::new() };
            let shares = all.for_workers(workers).unwrap();
            assert_eq!(shares.len(), workers);
            for door in 0..2 {
                let ports: Vec<usize> = shares.iter().map(|share| share.iter().filter(|l| l.door == door).count()).collect();
                let expected = all.listen[door].sockets.len().max(workers);
                assert!(ports.iter().all(|count| *count > 0), "{sockets} sockets, {workers} workers: {ports:?}");
                assert_eq!(ports.iter().sum::<usize>(), expected);
            }
        }
    }

    #[test]
    fn nobody_connects_to_a_socket_that_is_given_up() {
        let held = reserve(([127, 0, 0, 1], 0).into()).unwrap();
        let address = held.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(std::net::TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _shared = bind_for_all(address, 2).unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok(), "it is no hindrance to those that listen");
    }

    #[test]
    fn a_port_that_another_process_listens_on_is_refused() {
        let address = bind_plain(([127, 0, 0, 1], 0).into()).unwrap().local_addr().unwrap();
        let _shared = bind_for_all(address, 1).unwrap();
        assert!(matches!(bind_for_all(address, 1), Err(AppError::Bind { .. })));
    }

    #[test]
    fn what_was_inherited_is_used_and_the_rest_is_bound() {
        let (one, other) = (bind_plain(([127, 0, 0, 1], 0).into()).unwrap(), bind_plain(([127, 0, 0, 1], 0).into()).unwrap());
        let address = Address::Ip(one.local_addr().unwrap());
        let sockets = [one, other].map(Bound::Tcp).into_iter();
        let given = |socket: Bound| Heirloom { asked: socket.address().unwrap(), socket, with_file: false };
        let mut inherited = Inherited { sockets: sockets.map(given).collect() };
        assert_eq!(inherited.take(&address).len(), 1);
        assert_eq!((inherited.take(&address).len(), inherited.sockets.len()), (0, 1));
    }
}
