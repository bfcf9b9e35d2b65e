//! Where the admin API is, and who may do what there.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::config::surroundings::Surroundings;
use crate::domain::address::{Address, LONGEST_PATH};
use crate::domain::rank::Rank;
use crate::formats::tls::TlsFiles;

/// The address that shows where nothing is written.
pub(super) const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// The name of the socket's file where nothing is written.
const USUAL_FILE: &str = "admin.sock";

/// Where the admin API is, and who may do what there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens; at least one, none of them is one of the traffic's.
    pub listen: Vec<AdminListen>,
    /// Who brings which token.
    pub tokens: Vec<Token>,
    /// The roles of names in client certificates.
    pub clients: Vec<(String, Rank)>,
    /// The names by which it may be addressed besides those of this machine.
    pub hosts: Vec<String>,
    /// The role of whoever comes over a loopback address and says nothing of themselves.
    pub open: Rank,
}

/// One listener of the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminListen {
    /// Its address.
    pub address: Address,
    /// The mode of a Unix socket's file, at most 0o777.
    pub mode: u32,
    /// Its certificates; `None` where it speaks without encryption.
    pub tls: Option<TlsFiles>,
}

/// A token of somebody; the secret itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is, for the journal.
    pub name: String,
    /// What they may do.
    pub rank: Rank,
    /// The SHA-256 of the token.
    pub digest: [u8; 32],
}

/// Returns where the admin API is when nothing is written: a socket of the owner's, and an address that shows.
pub(super) fn usual(state: &Path, around: &Surroundings<'_>) -> Admin {
    let folder = runtime_folder(around.variable).unwrap_or_else(|| state.to_owned());
    let path = folder.join(USUAL_FILE);
    // A socket below a longer path could not be had; then there is the address alone.
    let fits = path.is_absolute() && path.as_os_str().len() <= LONGEST_PATH;
    let socket = fits.then_some(AdminListen { address: Address::Socket(path), mode: 0o600, tls: None });
    let open = if fits { Rank::Viewer } else { Rank::Admin };
    let address = AdminListen { address: USUAL.into(), mode: 0o600, tls: None };
    Admin { listen: socket.into_iter().chain([address]).collect(), tokens: Vec::new(), clients: Vec::new(), hosts: Vec::new(), open }
}

/// Returns the folder for sockets that systemd gives a unit, or that a user has.
fn runtime_folder(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // Several folders of a unit are separated by colons; the first is the one of its name.
    let of_unit =
        variable("RUNTIME_DIRECTORY").and_then(|folders| std::env::split_paths(&folders).next()).filter(|path| path.is_absolute());
    of_unit.or_else(|| folder("XDG_RUNTIME_DIR").map(|own| own.join("portcullis")))
}

/// Returns where a client finds the socket of a proxy whose configuration says nothing of it, the likeliest first.
#[must_use]
pub fn usual_sockets(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let own = runtime_folder(variable).map(|folder| folder.join(USUAL_FILE));
    own.into_iter().chain([Path::new("/run/portcullis").join(USUAL_FILE)]).collect()
}
