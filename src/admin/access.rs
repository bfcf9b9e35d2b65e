//! Who somebody is that talks to the admin listener, and what they may do.
//!
//! Over a Unix socket whoever may open its file may do everything. Over a loopback address those who say nothing of
//! themselves have the role the configuration leaves open. Over any other address somebody is known by a token or by a
//! name in a client certificate, or not at all.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use axum::http::{HeaderMap, Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::admin::{Admin, Token};
use crate::domain::rank::Rank;

/// The longest `Authorization` that is looked at, in bytes.
const LONGEST: usize = 2048;

/// Who may do what. Copies share everything.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Arc<[Token]>,
    clients: Arc<[(String, Rank)]>,
    hosts: Arc<[String]>,
    open: Rank,
    /// Where commands are taken without a token, for whoever is refused elsewhere.
    socket: Option<Arc<str>>,
}

/// How a connection came; the server adds it to each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Over what.
    pub way: Way,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The names in the client's certificate, which an authority of the listener vouches for.
    pub names: Arc<[String]>,
    /// From which address it comes; `None` over a Unix socket.
    pub source: Option<IpAddr>,
}

/// Over what a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A Unix socket; the user that opened it, where the system tells.
    Socket(Option<u32>),
    /// A listener on a loopback address.
    Loopback,
    /// A listener that other machines may reach.
    Network,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What they may do; `None` for nothing that is not for everybody.
    pub rank: Option<Rank>,
    /// Who they are, where that is known and not just said.
    pub name: Option<String>,
}

/// The token or the certificate is of nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

impl Default for Peer {
    /// Comes over a loopback address, as an in-process caller does.
    fn default() -> Self {
        Self { way: Way::Loopback, encrypted: false, names: Arc::default(), source: None }
    }
}

impl Default for Access {
    /// Everybody on this machine may do everything.
    fn default() -> Self {
        Self { tokens: Arc::default(), clients: Arc::default(), hosts: Arc::default(), open: Rank::Admin, socket: None }
    }
}

impl From<&Admin> for Access {
    fn from(admin: &Admin) -> Self {
        Self {
            tokens: admin.tokens.clone().into(),
            clients: admin.clients.clone().into(),
            hosts: admin.hosts.clone().into(),
            open: admin.open,
            socket: admin.listen.iter().find(|one| one.address.path().is_some()).map(|one| one.address.to_string().into()),
        }
    }
}

impl Access {
    /// Lets those who say nothing of themselves have this role.
    #[must_use]
    pub fn open_to(self, open: Rank) -> Self {
        Self { open, ..self }
    }

    /// Says whether somebody may command over an address at all.
    #[must_use]
    pub fn takes_commands(&self) -> bool {
        self.open >= Rank::Operator || self.is_guarded()
    }

    /// Says whether a token or a certificate would help.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        let commands = |rank: Rank| rank >= Rank::Operator;
        self.tokens.iter().any(|token| commands(token.rank)) || self.clients.iter().any(|(_, rank)| commands(*rank))
    }

    /// Returns where commands are taken without a token.
    #[must_use]
    pub fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// Says whether the configuration gives this listener a name.
    #[must_use]
    pub fn is_own(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Says who asks. A token goes before everything else: who brings one wants to be known by it.
    ///
    /// # Errors
    ///
    /// Fails when a token is brought that nobody has.
    pub fn caller(&self, peer: &Peer, headers: &HeaderMap) -> Result<Caller, Unknown> {
        // Where there is no token at all, what is brought was meant for somebody else.
        if !self.tokens.is_empty()
            && let Some(given) = presented(headers)
        {
            return self.holder(&given).ok_or(Unknown);
        }
        let client = self.clients.iter().find(|(name, _)| peer.names.iter().any(|shown| shown == name));
        if let Some((name, rank)) = client {
            return Ok(Caller { rank: Some(*rank), name: Some(name.clone()) });
        }
        Ok(match peer.way {
            Way::Socket(user) => Caller { rank: Some(Rank::Admin), name: user.map(|user| format!("uid {user}")) },
            Way::Loopback => Caller { rank: Some(self.open), name: None },
            Way::Network => Caller { rank: None, name: None },
        })
    }

    /// Finds whose token it is. Every token is compared, each in a time that tells nothing of it.
    fn holder(&self, given: &[u8]) -> Option<Caller> {
        let sum = digest::digest(&digest::SHA256, given);
        let mut found = None;
        for token in &*self.tokens {
            if verify_slices_are_equal(sum.as_ref(), &token.digest).is_ok() {
                found = Some(token);
            }
        }
        found.map(|token| Caller { rank: Some(token.rank), name: Some(token.name.clone()) })
    }
}

/// Returns the token that a request brings: after `Bearer`, or as the password of `Basic` (RFC 6750, RFC 7617), which is what
/// browsers can send. Anything else that stands in the field is a token of nobody.
fn presented(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    if value.len() > LONGEST {
        return Some(Vec::new());
    }
    let (scheme, rest) = value.iter().position(|byte| *byte == b' ').map_or((value, &[][..]), |at| value.split_at(at));
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    let pair = if scheme.eq_ignore_ascii_case(b"basic") { STANDARD.decode(rest).unwrap_or_default() } else { Vec::new() };
    Some(pair.iter().position(|byte| *byte == b':').and_then(|at| pair.get(at + 1..)).unwrap_or_default().to_vec())
}

/// Returns the role that a request takes; `None` for what everybody may know.
#[must_use]
pub fn needed(method: &Method, path: &str) -> Option<Rank> {
    if method.is_safe() {
        return (!matches!(path, "/livez" | "/healthz" | "/readyz" | "/version")).then_some(Rank::Viewer);
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    Some(match parts.as_slice() {
        ["v1", "projects"] | ["v1", "projects", _, "services" | "resources" | "monitoring"] => Rank::Admin,
        // Others ask for a verdict by a POST; it changes nothing.
        ["v1", "rollouts", _, "verdict"] => Rank::Viewer,
        ["v1", "events" | "rollouts" | "projects", ..] => Rank::Operator,
        _ => Rank::Admin,
    })
}

impl Caller {
    /// Returns the name for the journal. Who is known signs what they say of themselves.
    #[must_use]
    pub fn sign(&self, said: Option<String>, anybody: &str) -> String {
        match (&self.name, said) {
            (None, said) => said.unwrap_or_else(|| anybody.to_owned()),
            (Some(name), None) => name.clone(),
            (Some(name), Some(said)) if said == *name => said,
            (Some(name), Some(said)) => format!("{said} ({name})"),
        }
    }
}

tokio::task_local! {
    /// Who asks, for as long as their request is being answered: so no handler can forget to write it into the journal.
    pub(super) static CALLER: Caller;
}

/// Returns the name for the journal of whoever's request is being answered.
pub(super) fn signed(said: Option<String>, anybody: &str) -> String {
    let sign = |said: Option<String>| CALLER.try_with(|caller| caller.sign(said.clone(), anybody)).ok();
    sign(said.clone()).unwrap_or_else(|| said.unwrap_or_else(|| anybody.to_owned()))
}

/// Returns the name and the role of whoever's request is being answered.
pub(super) fn asking() -> (Option<String>, Option<Rank>) {
    CALLER.try_with(|caller| (caller.name.clone(), caller.rank)).unwrap_or_default()
}

/// Says whether whoever's request is being answered may command.
pub(super) fn may_command() -> bool {
    CALLER.try_with(|caller| caller.rank >= Some(Rank::Operator)).unwrap_or(false)
}

/// Says over what the connections of a listener at this address come.
#[must_use]
pub fn way_of(bound: IpAddr) -> Way {
    if bound.to_canonical().is_loopback() { Way::Loopback } else { Way::Network }
}
