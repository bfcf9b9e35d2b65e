//! The admin API as written: its listeners, its tokens and the names of its clients.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aws_lc_rs::digest;

use crate::config::admin::{Admin, AdminListen, Token};
use crate::config::listen::ListenSpec;
use crate::config::values;
use crate::domain::actor;
use crate::domain::address::Address;
use crate::domain::rank::{InvalidRank, Rank};
use crate::formats::yaml::fields::{self, Fields};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// The length of a token, in characters: at least 128 bits in hexadecimal digits.
const TOKEN: std::ops::RangeInclusive<usize> = 32..=512;
/// The longest name of somebody, in characters.
const LONGEST_NAME: usize = 80;

/// The admin API as written.
#[derive(Debug, Default)]
pub(super) struct AdminSpec {
    place: Place,
    listen: Option<At<Vec<ListenSpec>>>,
    tokens: Vec<HolderSpec>,
    clients: Vec<HolderSpec>,
    hosts: Vec<At<String>>,
}

/// Somebody with a role, as written.
#[derive(Debug)]
struct HolderSpec {
    name: Option<At<String>>,
    role: Option<At<String>>,
    file: Option<At<String>>,
}

impl AdminSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            return fields::text_of(node, path, report).map(|text| Self::default().at(text));
        }
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            listen: ListenSpec::read_all(&mut fields, report),
            tokens: HolderSpec::read_all(&mut fields, "tokens", report),
            clients: HolderSpec::read_all(&mut fields, "clients", report),
            hosts: fields.texts("hosts").map_or_else(Vec::new, |list| list.value),
        };
        fields.require("listen", "write an address or a list of them, such as unix:/run/portcullis/admin.sock");
        fields.close();
        Some(spec)
    }

    /// Listens at this address alone.
    pub(super) fn at(mut self, text: At<String>) -> Self {
        self.place = text.place.clone();
        self.listen = Some(At::new(vec![ListenSpec::plain(text)], self.place.clone()));
        self
    }

    fn listeners(&self) -> &[ListenSpec] {
        self.listen.as_ref().map_or(&[], |list| &list.value)
    }

    /// Compiles the addresses, for all rules that concern addresses alone.
    pub(super) fn addresses(&self, report: &Report<'_>) -> Vec<(Address, &Place)> {
        self.listeners().iter().filter_map(|one| one.address(report)).collect()
    }

    /// Compiles everything; `addresses` are its own, and `base` is the folder of the file.
    pub(super) fn compile(&self, addresses: &[(Address, &Place)], base: &Path, report: &Report<'_>) -> Option<Admin> {
        let tokens: Vec<Token> = self.tokens.iter().filter_map(|spec| spec.token(base, report)).collect();
        let clients: Vec<(String, Rank)> = self.clients.iter().filter_map(|spec| spec.holder(report)).collect();
        if addresses.len() != self.listeners().len() {
            return None;
        }
        let listen: Vec<AdminListen> =
            self.listeners().iter().zip(addresses).map(|(one, (address, _))| one.compile_admin(address, base, report)).collect();
        if listen.is_empty() {
            report.error(&self.place, "the admin API listens nowhere", "write an address, such as unix:/run/portcullis/admin.sock");
        }
        for (one, (_, place)) in listen.iter().zip(addresses) {
            let mutual = one.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) && !clients.is_empty();
            let safe = one.tls.is_some() && (mutual || !tokens.is_empty());
            if !is_near(&one.address) && !safe && !report.has_errors() {
                exposed(one, place, report);
            }
        }
        let has_socket = listen.iter().any(|one| one.address.path().is_some());
        let open = if tokens.is_empty() && clients.is_empty() && !has_socket { Rank::Admin } else { Rank::Viewer };
        let hosts = self.hosts.iter().map(|text| text.value.trim().to_ascii_lowercase()).collect();
        Some(Admin { listen, tokens, clients, hosts, open })
    }
}

/// Says whether only this machine reaches an address.
fn is_near(address: &Address) -> bool {
    address.ip().is_none_or(|address| address.ip().to_canonical().is_loopback())
}

fn exposed(one: &AdminListen, place: &Place, report: &Report<'_>) {
    let address = &one.address;
    let lacks = match &one.tls {
        None => "has no TLS",
        Some(tls) if tls.client_ca.is_none() => "asks for no token and no client certificate",
        Some(_) => "knows no token and no name of a client certificate",
    };
    let message = format!("the admin listener {address} can be reached from other machines and {lacks}");
    let hint = format!(
        "write admin: {{listen: [{{address: \"{address}\", tls: {{certificates: [{{chain: cert.pem, key: key.pem}}]}}}}], tokens: [{{name: ann, \
         role: operator, file: ann.token}}]}}, or 'client_ca' and 'clients' instead of tokens; or listen on 127.0.0.1 or a Unix socket"
    );
    report.error(place, message, hint);
}

impl HolderSpec {
    fn read_all(fields: &mut Fields<'_>, key: &'static str, report: &Report<'_>) -> Vec<Self> {
        let items = fields.list(key).map_or_else(Vec::new, |list| list.value);
        items.into_iter().filter_map(|(node, path)| Self::read(node, path, key == "tokens", report)).collect()
    }

    fn read(node: &Node, path: String, by_token: bool, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let (name, role) = (fields.text("name"), fields.text("role"));
        let file = if by_token { fields.text("file") } else { None };
        fields.require("name", "write who it is, such as ann, or a name of the client's certificate");
        fields.require("role", "write viewer, operator or admin");
        if by_token {
            fields.require("file", "name the file that holds the token; make one with: openssl rand -hex 32");
        }
        fields.close();
        Some(Self { name, role, file })
    }

    fn holder(&self, report: &Report<'_>) -> Option<(String, Rank)> {
        let (name, role) = (self.name.as_ref()?, self.role.as_ref()?);
        let text = name.value.trim();
        if text.is_empty() || text.chars().count() > LONGEST_NAME || text.chars().any(|c| !c.is_ascii_graphic()) {
            let hint = format!("write 1 to {LONGEST_NAME} visible ASCII characters without spaces");
            report.error(&name.place, format!("{:?} is no name for the journal", name.value), hint);
            return None;
        }
        if actor::is_reserved(text) {
            let message = format!("{text:?} is a part of the program, which signs so in the journal");
            report.error(&name.place, message, "write who it is, such as ann or ci, so that the journal tells people from the program");
            return None;
        }
        let rank = role.value.trim().parse::<Rank>();
        let wrong = |error: InvalidRank| report.error(&role.place, format!("{:?} is no role", role.value), error.to_string());
        Some((text.to_owned(), rank.map_err(wrong).ok()?))
    }

    fn token(&self, base: &Path, report: &Report<'_>) -> Option<Token> {
        let holder = self.holder(report);
        let file = self.file.as_ref()?;
        let digest = secret(&values::located(file, base)).map_err(|(message, hint)| report.error(&file.place, message, hint)).ok()?;
        let (name, rank) = holder?;
        Some(Token { name, rank, digest })
    }
}

/// Reads a token and returns its SHA-256.
fn secret(path: &Path) -> Result<[u8; 32], (String, String)> {
    let shown = path.display();
    let failed =
        |error: std::io::Error| (format!("the token {shown} cannot be read: {error}"), "name a file that this user may read".to_owned());
    let mode = fs::metadata(path).map_err(failed)?.mode();
    if mode & 0o006 != 0 {
        return Err((format!("everybody may read or write the token {shown}"), format!("run: chmod 600 {shown}")));
    }
    let text = fs::read(path).map_err(failed)?;
    let token = text.trim_ascii();
    if !TOKEN.contains(&token.len()) || !token.iter().all(u8::is_ascii_graphic) {
        let message = format!("the token {shown} is not {} to {} visible ASCII characters", TOKEN.start(), TOKEN.end());
        return Err((message, format!("make one with: openssl rand -hex 32 > {shown}")));
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
    Ok(sum)
}
