//! Where traffic comes in: an address, or an address with TLS.

use std::net::SocketAddr;
use std::path::Path;

use crate::config::settings::Listen;
use crate::config::values;
use crate::formats::tls::{self, CertificateFiles, TlsFiles};
use crate::formats::yaml::fields::{self, Fields};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// One listener as written.
#[derive(Debug)]
pub(super) struct ListenSpec {
    address: Option<At<String>>,
    tls: Option<TlsSpec>,
    proxy_protocol: Vec<At<String>>,
    protocol: Option<At<String>>,
    service: Option<At<String>>,
}

#[derive(Debug)]
struct TlsSpec {
    place: Place,
    certificates: Vec<PairSpec>,
    client_ca: Option<At<String>>,
}

/// A certificate and its key as written.
#[derive(Debug)]
struct PairSpec {
    chain: Option<At<String>>,
    key: Option<At<String>>,
}

impl ListenSpec {
    /// A listener without TLS.
    pub(super) const fn plain(address: At<String>) -> Self {
        Self { address: Some(address), tls: None, proxy_protocol: Vec::new(), protocol: None, service: None }
    }

    /// Reads one listener or a list of them.
    pub(super) fn read_all(fields: &mut Fields<'_>, report: &Report<'_>) -> Option<At<Vec<Self>>> {
        let (node, path) = fields.get("listen")?;
        let place = fields::place_of(node, path.clone());
        if matches!(node.value, Value::List(_)) {
            let At { value, place } = fields.list("listen")?;
            return Some(At::new(value.into_iter().filter_map(|(item, path)| Self::read(item, path, report)).collect(), place));
        }
        Some(At::new(vec![Self::read(node, path, report)?], place))
    }

    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            return fields::text_of(node, path, report).map(Self::plain);
        }
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            address: fields.text("address"),
            tls: fields.get("tls").and_then(|(node, path)| TlsSpec::read(node, path, report)),
            proxy_protocol: fields.texts("proxy_protocol").map_or_else(Vec::new, |list| list.value),
            protocol: fields.text("protocol"),
            service: fields.text("service"),
        };
        fields.require("address", "write an address with a port, such as 0.0.0.0:8443");
        fields.close();
        Some(spec)
    }

    /// Compiles the address, for all rules that concern addresses alone.
    pub(super) fn address(&self, report: &Report<'_>) -> Option<(SocketAddr, &Place)> {
        let text = self.address.as_ref()?;
        Some((values::address(text, report)?, &text.place))
    }

    /// Compiles what its certificates are, and sees that they can be used; `base` is the folder of the file.
    pub(super) fn compile(&self, address: SocketAddr, base: &Path, report: &Report<'_>) -> Listen {
        Listen {
            address,
            tls: self.tls.as_ref().and_then(|spec| spec.compile(base, report)),
            proxies: self.proxy_protocol.iter().filter_map(|text| values::network(text, report)).collect(),
            service: None,
        }
    }
}

impl TlsSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let pairs = fields.list("certificates").map_or_else(Vec::new, |list| list.value);
        let certificates = pairs.into_iter().filter_map(|(node, path)| Self::read_pair(node, path, report)).collect();
        let spec = Self { place: fields.place().clone(), certificates, client_ca: fields.text("client_ca") };
        fields.require("certificates", "write - {chain: cert.pem, key: key.pem}");
        fields.close();
        Some(spec)
    }

    fn read_pair(node: &Node, path: String, report: &Report<'_>) -> Option<PairSpec> {
        let mut fields = Fields::open(node, path, report)?;
        let pair = PairSpec { chain: fields.text("chain"), key: fields.text("key") };
        fields.require("chain", "name the file with the certificate and those that lead to an authority");
        fields.require("key", "name the file with the certificate's private key");
        fields.close();
        Some(pair)
    }

    fn compile(&self, base: &Path, report: &Report<'_>) -> Option<TlsFiles> {
        let mut files = TlsFiles { certificates: Vec::new(), client_ca: self.client_ca.as_ref().map(|ca| values::located(ca, base)) };
        for PairSpec { chain, key } in &self.certificates {
            let (chain, key) = (values::located(chain.as_ref()?, base), values::located(key.as_ref()?, base));
            files.certificates.push(CertificateFiles { chain, key });
        }
        match tls::server(&files) {
            Ok(_) => Some(files),
            Err(problem) => {
                let message = if problem.file.is_empty() { problem.message } else { format!("{}: {}", problem.file, problem.message) };
                report.error(&self.place, message, problem.hint.unwrap_or_default());
                None
            }
        }
    }
}
