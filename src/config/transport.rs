//! How a version is spoken to, as written beside its endpoints: which HTTP, and TLS.

use std::path::{Path, PathBuf};

use crate::config::values;
use crate::domain::endpoint::Endpoint;
use crate::domain::transport::{Certificate, Protocol, Tls, Transport};
use crate::formats::tls;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::Node;

/// How a version is spoken to, as written.
#[derive(Debug, Default)]
pub(super) struct TransportSpec {
    protocol: Option<At<String>>,
    /// Absent where nothing is written, or nothing that can be read.
    tls: Option<TlsSpec>,
}

#[derive(Debug)]
struct TlsSpec {
    place: Place,
    ca: Option<At<String>>,
    name: Option<At<String>>,
    certificate: Option<PairSpec>,
    crl: Vec<At<String>>,
}

/// Our certificate and its key as written.
#[derive(Debug)]
struct PairSpec {
    chain: Option<At<String>>,
    key: Option<At<String>>,
}

impl TransportSpec {
    /// Reads the keys of a version that concern it.
    pub(super) fn read(fields: &mut Fields<'_>, report: &Report<'_>) -> Self {
        Self { protocol: fields.text("protocol"), tls: fields.get("tls").and_then(|(node, path)| TlsSpec::read(node, path, report)) }
    }

    /// Says whether anything is encrypted.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Compiles it for a version with these endpoints as written; `base` is the folder of the file. Sees that the files can be used.
    pub(super) fn compile(&self, endpoints: &[At<String>], base: &Path, report: &Report<'_>) -> Option<Transport> {
        let protocol = match &self.protocol {
            None => Some(Protocol::Auto),
            Some(text) => {
                let known = Protocol::NAMED.iter().find(|(name, _)| *name == text.value).map(|(_, protocol)| *protocol);
                if known.is_none() {
                    let hint = "write auto, http1 or http2";
                    report.error(&text.place, format!("{:?} is no protocol a version is spoken to with", text.value), hint);
                }
                known
            }
        };
        let tls = match &self.tls {
            None => None,
            Some(spec) => Some(spec.compile(protocol.unwrap_or_default(), endpoints, base, report)?),
        };
        Some(Transport { protocol: protocol?, tls })
    }
}

impl TlsSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            ca: fields.text("ca"),
            name: fields.text("name"),
            certificate: fields.get("certificate").and_then(|(node, path)| PairSpec::read(node, path, report)),
            crl: fields.one_or_more("crl").map_or_else(Vec::new, |list| list.value),
        };
        fields.close();
        Some(spec)
    }

    fn compile(&self, protocol: Protocol, endpoints: &[At<String>], base: &Path, report: &Report<'_>) -> Option<Tls> {
        let certificate = match &self.certificate {
            None => None,
            Some(PairSpec { chain, key }) => Some(Certificate { chain: located(chain, base)?, key: located(key, base)? }),
        };
        let ca = self.ca.as_ref().map(|ca| values::located(ca, base));
        let crl = self.crl.iter().map(|file| values::located(file, base)).collect();
        let tls = Tls { ca, name: self.name(endpoints, report)?, certificate, crl };
        match tls::client(&tls, protocol) {
            Ok(_) => Some(tls),
            Err(problem) => {
                let message = if problem.file.is_empty() { problem.message } else { format!("{}: {}", problem.file, problem.message) };
                report.error(&self.place, message, problem.hint.unwrap_or_default());
                None
            }
        }
    }

    /// Finds the name the certificate must be for: as written, else the host name that all endpoints have, else the address
    /// connected to. `None` after reporting that there is none.
    fn name(&self, endpoints: &[At<String>], report: &Report<'_>) -> Option<Option<String>> {
        if let Some(text) = &self.name {
            let usable = tls::server_name(&text.value).is_some();
            if !usable {
                let hint = "write a host name or an IP address without a port, such as carts.internal";
                report.error(&text.place, format!("{:?} is no name a certificate can be for", text.value), hint);
            }
            return usable.then(|| Some(text.value.clone()));
        }
        let read: Vec<Endpoint> = endpoints.iter().filter_map(|text| text.value.parse().ok()).collect();
        let host = |endpoint: &Endpoint| match endpoint {
            Endpoint::Name { host, .. } => Some(host.clone()),
            Endpoint::Address(_) | Endpoint::Socket(_) | Endpoint::Slices(_) => None,
        };
        let names: Vec<String> = read.iter().filter_map(host).collect();
        let one = names.first().filter(|first| names.len() == read.len() && names.iter().all(|name| name == *first));
        if let Some(name) = one {
            return Some(Some(name.clone()));
        }
        if names.is_empty() && !read.iter().any(|endpoint| matches!(endpoint, Endpoint::Socket(_) | Endpoint::Slices(_))) {
            return Some(None);
        }
        let hint = "write the name the version's certificate is for, such as tls: {name: carts.internal}";
        report.error(&self.place, "the endpoints do not say what name the version's certificate is for", hint);
        None
    }
}

impl PairSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let pair = Self { chain: fields.text("chain"), key: fields.text("key") };
        fields.require("chain", "name the file with our certificate and those that lead to an authority");
        fields.require("key", "name the file with the certificate's private key");
        fields.close();
        Some(pair)
    }
}

fn located(text: &Option<At<String>>, base: &Path) -> Option<PathBuf> {
    text.as_ref().map(|text| values::located(text, base))
}
