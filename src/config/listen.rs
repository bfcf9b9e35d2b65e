//! Where traffic comes in: an address, or an address with TLS or without HTTP.

use std::path::Path;

use crate::config::admin::AdminListen;
use crate::config::service_spec::ServiceSpec;
use crate::config::settings::Listen;
use crate::config::values;
use crate::domain::address::Address;
use crate::domain::version::Name;
use crate::formats::tls::{self, CertificateFiles, TlsFiles};
use crate::formats::yaml::fields::{self, Fields};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// The mode of a Unix socket's file where none is written: the owner and the group may connect.
const DEFAULT_MODE: u32 = 0o660;
/// The same of the admin API: the owner alone.
const ADMIN_MODE: u32 = 0o600;

/// One listener as written.
#[derive(Debug)]
pub(super) struct ListenSpec {
    address: Option<At<String>>,
    mode: Option<At<String>>,
    tls: Option<TlsSpec>,
    proxy_protocol: Vec<At<String>>,
    protocol: Option<At<String>>,
    service: Option<At<String>>,
    intercepted: Option<At<bool>>,
}

#[derive(Debug)]
struct TlsSpec {
    place: Place,
    certificates: Vec<PairSpec>,
    client_ca: Option<At<String>>,
    crl: Vec<At<String>>,
    misdirected: Option<At<String>>,
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
        Self { address: Some(address), mode: None, tls: None, proxy_protocol: Vec::new(), protocol: None, service: None, intercepted: None }
    }

    /// A listener that redirected connections come to.
    pub(super) fn intercepting(address: At<String>) -> Self {
        let intercepted = Some(At::new(true, address.place.clone()));
        Self { intercepted, ..Self::plain(address) }
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
            mode: fields.text("mode"),
            tls: fields.get("tls").and_then(|(node, path)| TlsSpec::read(node, path, report)),
            proxy_protocol: fields.texts("proxy_protocol").map_or_else(Vec::new, |list| list.value),
            protocol: fields.text("protocol"),
            service: fields.text("service"),
            intercepted: fields.boolean("intercepted"),
        };
        fields.require("address", "write an address with a port, such as 0.0.0.0:8443, or unix:/run/portcullis.sock");
        fields.close();
        Some(spec)
    }

    /// Says whether redirected connections come here.
    pub(super) fn is_intercepting(&self) -> bool {
        self.intercepted.as_ref().is_some_and(|flag| flag.value)
    }

    /// Compiles the address, for all rules that concern addresses alone.
    pub(super) fn address(&self, report: &Report<'_>) -> Option<(Address, &Place)> {
        let text = self.address.as_ref()?;
        Some((values::listener(text, report)?, &text.place))
    }

    /// Compiles what its certificates are, and sees that they can be used; `base` is the folder of the file.
    pub(super) fn compile(&self, address: &Address, services: &[ServiceSpec], base: &Path, report: &Report<'_>) -> Listen {
        let (proxied_socket, proxies) = values::peers(&self.proxy_protocol, report);
        Listen {
            address: address.clone(),
            mode: self.mode(address, DEFAULT_MODE, report),
            tls: self.tls.as_ref().and_then(|spec| spec.compile(base, report)),
            proxies,
            proxied_socket,
            service: self.service(services, report),
            one_host: self.tls.as_ref().is_some_and(|spec| spec.one_host(self.service.as_ref(), report)),
            intercepted: self.intercepted(address, report),
        }
    }
}

impl ListenSpec {
    /// Compiles a listener of the admin API, which speaks HTTP and knows nothing of services.
    pub(super) fn compile_admin(&self, address: &Address, base: &Path, report: &Report<'_>) -> AdminListen {
        let misdirected = self.tls.as_ref().and_then(|tls| tls.misdirected.as_ref());
        let foreign = self.protocol.as_ref().or(self.service.as_ref()).or(self.proxy_protocol.first()).or(misdirected);
        let foreign = foreign.map(|text| &text.place).or(self.intercepted.as_ref().map(|flag| &flag.place));
        if let Some(place) = foreign {
            let hint = "leave 'protocol', 'service', 'proxy_protocol', 'misdirected' and 'intercepted' out";
            report.error(place, "the admin API is HTTP without a proxy before it", hint);
        }
        AdminListen {
            address: address.clone(),
            mode: self.mode(address, ADMIN_MODE, report),
            tls: self.tls.as_ref().and_then(|spec| spec.compile(base, report)),
        }
    }

    /// Says whether redirected connections come here. They are TCP, and whoever made them knows nothing of us.
    fn intercepted(&self, address: &Address, report: &Report<'_>) -> bool {
        let Some(At { value: true, place }) = &self.intercepted else { return false };
        let tls = self.tls.as_ref().map(|tls| ("tls", &tls.place));
        let others =
            [("proxy_protocol", self.proxy_protocol.first()), ("protocol", self.protocol.as_ref()), ("service", self.service.as_ref())];
        let others = others.into_iter().filter_map(|(key, text)| Some((key, &text?.place)));
        for (key, place) in tls.into_iter().chain(others) {
            let message = format!("redirected connections are told by their first bytes what they are, so that '{key}' has no place here");
            report.error(place, message, format!("leave '{key}' out, or 'intercepted'"));
        }
        if address.path().is_some() {
            report.error(place, "no connection is redirected to a Unix socket", "write an address with a port, such as 127.0.0.1:4140");
        }
        true
    }

    /// Compiles the mode of a Unix socket's file.
    fn mode(&self, address: &Address, usual: u32, report: &Report<'_>) -> u32 {
        let Some(text) = &self.mode else { return usual };
        if address.path().is_none() {
            report.error(&text.place, "an address with a port has no file that could have a mode", "leave 'mode' out");
        }
        let digits = text.value.strip_prefix("0o").unwrap_or(&text.value);
        let octal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if octal && mode <= 0o777 => mode,
            _ => {
                let hint = "write octal digits such as 0660, which lets the owner and the group connect";
                report.error(&text.place, format!("{:?} is not the mode of a file", text.value), hint);
                usual
            }
        }
    }

    /// Compiles which service gets every connection as it is; `None` where HTTP is spoken.
    fn service(&self, services: &[ServiceSpec], report: &Report<'_>) -> Option<Name> {
        let protocol = self.protocol.as_ref();
        match protocol.map(|text| text.value.as_str()) {
            None | Some("auto") => {
                if let Some(service) = &self.service {
                    let hint = "write 'protocol: tcp' to pass connections on as they are, or leave 'service' out";
                    report.error(&service.place, "HTTP requests find their service by host and path, not by listener", hint);
                }
                return None;
            }
            Some("tcp") => {}
            Some(other) => {
                let place = protocol.map(|text| &text.place)?;
                report.error(place, format!("{other:?} is no protocol of a listener"), "write auto or tcp");
                return None;
            }
        }
        let Some(service) = &self.service else {
            let hint = "write for example {address: 0.0.0.0:5432, protocol: tcp, service: db}";
            report.error(&protocol?.place, "nothing says which service gets the connections of this listener", hint);
            return None;
        };
        let named = |spec: &&ServiceSpec| spec.name.as_ref().is_some_and(|name| name.value == service.value);
        let Some(spec) = services.iter().find(named) else {
            let hint = "write the 'name' of one of the services";
            report.error(&service.place, format!("there is no service {:?}", service.value), hint);
            return None;
        };
        if spec.stable.iter().chain(&spec.canary).any(|version| version.transport.is_encrypted()) {
            let message =
                format!("the service {:?} encrypts to its versions, but these connections are passed on as they are", service.value);
            report.error(&service.place, message, "leave 'tls' out of its versions; TLS of the client's own passes through");
            return None;
        }
        values::parsed(service, "write for example db", report)
    }
}

impl TlsSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let pairs = fields.list("certificates").map_or_else(Vec::new, |list| list.value);
        let certificates = pairs.into_iter().filter_map(|(node, path)| Self::read_pair(node, path, report)).collect();
        let (client_ca, misdirected) = (fields.text("client_ca"), fields.text("misdirected"));
        let crl = fields.one_or_more("crl").map_or_else(Vec::new, |list| list.value);
        let spec = Self { place: fields.place().clone(), certificates, client_ca, crl, misdirected };
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

    /// Says whether requests for another host than the connection are refused.
    fn one_host(&self, service: Option<&At<String>>, report: &Report<'_>) -> bool {
        let Some(misdirected) = &self.misdirected else { return false };
        match (misdirected.value.as_str(), service) {
            ("allow", _) => return false,
            ("refuse", None) => return true,
            ("refuse", Some(_)) => {
                let message = "these connections are passed on as they are, so that no request is seen on them";
                report.error(&misdirected.place, message, "leave 'misdirected' out");
            }
            (other, _) => {
                let message = format!("{other:?} is nothing to do with a request for another host than the connection");
                report.error(&misdirected.place, message, "write refuse or allow");
            }
        }
        false
    }

    fn compile(&self, base: &Path, report: &Report<'_>) -> Option<TlsFiles> {
        let client_ca = self.client_ca.as_ref().map(|ca| values::located(ca, base));
        let crl: Vec<_> = self.crl.iter().map(|file| values::located(file, base)).collect();
        if let (None, Some(first)) = (&client_ca, self.crl.first()) {
            let hint = "write 'client_ca' with the file of the authorities, or leave 'crl' out";
            report.error(&first.place, "clients need show no certificate here, so that none could be revoked", hint);
        }
        let mut files = TlsFiles { certificates: Vec::new(), client_ca, crl };
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
