//! The file of a Unix socket that this process listens on: made without ever taking a living one's place, and removed at the end.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long another process may take to bind a socket in the same folder.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file of a listening Unix socket.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file, by which it is told from one that another process has put there since.
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens at a path, with this mode of the file, and replaces a file there on which nobody listens any more.
    ///
    /// # Errors
    ///
    /// Fails with [`ErrorKind::AddrInUse`] when another process listens there, with [`ErrorKind::AlreadyExists`] when something
    /// else than a socket is there, and when the file cannot be made.
    pub(super) fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
        let _alone = path.parent().and_then(lock);
        make_room(path)?;
        // Linux gives the file the mode of the socket, as far as the umask allows: at no time may more connect than are meant to.
        let unbound = File::from(OwnedFd::from(Socket::new(Domain::UNIX, Type::STREAM, None)?));
        unbound.set_permissions(Permissions::from_mode(mode))?;
        let socket = Socket::from(OwnedFd::from(unbound));
        socket.bind(&SockAddr::unix(path)?)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }

    /// Takes charge of the file at a path; `None` where there is none any more.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let there = fs::symlink_metadata(path).ok()?;
        Some(Self { path: path.to_owned(), identity: (there.dev(), there.ino()) })
    }

    /// Removes the file, unless another one has taken its place.
    pub(super) fn remove(&self) {
        let own = fs::symlink_metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == self.identity);
        if own && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the file of a socket cannot be removed");
        }
    }
}

/// Sees that nothing is at a path: removes a socket on which nobody listens, and leaves all else alone.
fn make_room(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is something else than a socket"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        // What the kernel says of a socket that nobody has open.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Its queue is full, so somebody has it open.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps others that bind here out of the same folder, so that of two that find a stale file none removes the other's new one.
/// Best effort: without permission to read the folder there is no lock.
fn lock(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    let begun = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_file_is_replaced_and_a_living_socket_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a closed socket leaves its file");
        let first = SocketFile::bind(&path, 0o600).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(SocketFile::bind(&path, 0o600).unwrap_err().kind(), ErrorKind::AddrInUse);
        let client = UnixStream::connect(&path).unwrap();
        assert!(first.accept().is_ok());
        drop(client);
    }

    #[test]
    fn the_mode_is_exact_whatever_the_umask_is() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let path = folder.path().join(format!("{mode:o}"));
            let _socket = SocketFile::bind(&path, mode).unwrap();
            assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, mode);
        }
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "precious").unwrap();
        assert_eq!(SocketFile::bind(&path, 0o600).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn only_the_own_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let socket = SocketFile::bind(&path, 0o600).unwrap();
        let own = SocketFile::at(&path).unwrap();
        let moved = folder.path().join("moved.sock");
        fs::rename(&path, &moved).unwrap();
        let _other = SocketFile::bind(&path, 0o600).unwrap();
        own.remove();
        assert!(path.exists(), "it belongs to another");
        fs::rename(&moved, &path).unwrap();
        own.remove();
        assert!(!path.exists());
        drop(socket);
    }

    #[test]
    fn of_many_that_find_a_stale_file_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        for _ in 0..20 {
            drop(UnixListener::bind(&path).unwrap());
            let bound: Vec<_> = std::thread::scope(|scope| {
                let starting: Vec<_> = (0..8).map(|_| scope.spawn(|| SocketFile::bind(&path, 0o600).ok())).collect();
                starting.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(bound.iter().flatten().count(), 1, "of eight");
            drop(bound);
            fs::remove_file(&path).unwrap();
        }
    }
}
