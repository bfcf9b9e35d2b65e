//! Reads certificates and keys (PEM) into what TLS is served and begun with, and says how to mend what cannot be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::domain::transport::{Protocol, Tls};
use crate::formats::problem::Problem;
use crate::formats::{revocation, validity};

/// Where the certificates of a listener are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates with their keys; the first is for clients that name no server, or one that none of them is for.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities whose certificates clients must show; `None` when they need not show any.
    pub client_ca: Option<PathBuf>,
    /// Lists of certificates that those authorities have revoked; each one in a client's chain must then be on the terms of a list.
    pub crl: Vec<PathBuf>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and after it those that lead to an authority.
    pub chain: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Iterates over all files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.certificates.iter().flat_map(|pair| [pair.chain.as_path(), pair.key.as_path()]);
        pairs.chain(self.client_ca.as_deref()).chain(self.crl.iter().map(PathBuf::as_path))
    }
}

/// Reads the files and makes the configuration of a server: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, no early data.
///
/// # Errors
///
/// Returns the first file that cannot be read or used, and how to mend it.
pub fn server(files: &TlsFiles) -> Result<ServerConfig, Box<Problem>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut certificates = Certificates { named: Vec::new() };
    for pair in &files.certificates {
        certificates.named.push(Named::read(pair, &provider)?);
    }
    let first = files.certificates.first().map_or_else(PathBuf::new, |pair| pair.chain.clone());
    let unusable =
        |error: &dyn std::fmt::Display| problem(&first, format!("TLS cannot be served: {error}"), "see that the files are right");
    if certificates.named.is_empty() {
        return Err(unusable(&"there is no certificate"));
    }
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]).map_err(|e| unusable(&e))?;
    let builder = match &files.client_ca {
        Some(path) => builder.with_client_cert_verifier(verifier(path, &files.crl, &provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_cert_resolver(Arc::new(certificates));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.max_early_data_size = 0;
    if files.client_ca.is_some() {
        // A session that goes on is not verified again, and would outlive the client's certificate, or the list, that it began with.
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    } else {
        server.ticketer = aws_lc_rs::Ticketer::new().map_err(|e| unusable(&e))?;
    }
    Ok(server)
}

/// Returns when the first of the listener's own certificates expires, in seconds since 1970; `None` where that cannot be read. Those
/// that lead to an authority do not count: one that is no longer needed may have expired.
#[must_use]
pub fn expiry(files: &TlsFiles) -> Option<u64> {
    files.certificates.iter().filter_map(|pair| validity::not_after(certificates(&pair.chain).ok()?.first()?)).min()
}

/// Reads the files and makes the configuration of a client: TLS 1.2 and 1.3, the version's certificate always verified.
///
/// Without authorities of its own those count that the system trusts: unlike a list built into the program they are the operator's
/// to change, and are updated with the system.
///
/// # Errors
///
/// Returns the first file that cannot be read or used, and how to mend it.
pub fn client(tls: &Tls, protocol: Protocol) -> Result<ClientConfig, Box<Problem>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = match &tls.ca {
        Some(path) => authorities(path, "versions")?,
        None => system_authorities()?,
    };
    let unusable = |error: rustls::Error| {
        Box::new(Problem::error("", "", format!("TLS cannot be spoken: {error}")).with_hint("see that the files are right"))
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]).map_err(unusable)?;
    let builder = if tls.crl.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = verifier.with_crls(revocation::lists(&tls.crl)?).enforce_revocation_expiration().build();
        builder.with_webpki_verifier(verifier.map_err(|error| revocation::unusable(&tls.crl, &error))?)
    };
    let mut client = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let pair = CertificateFiles { chain: own.chain.clone(), key: own.key.clone() };
            let named = Named::read(&pair, &provider)?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(named.certified)))
        }
    };
    if !tls.crl.is_empty() {
        // A session that goes on is not verified again, and would outlive the list, or the certificate, that it began with.
        client.resumption = rustls::client::Resumption::disabled();
    }
    client.alpn_protocols = match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(client)
}

/// Reads the name a version's certificate must be for: a host name or an IP address.
#[must_use]
pub fn server_name(text: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(text.to_owned()).ok()
}

fn system_authorities() -> Result<RootCertStore, Box<Problem>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that are of no use; those are passed over.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        let message = format!("the system trusts no authority that versions could be verified with{why}");
        return Err(Box::new(Problem::error("", "", message).with_hint("write 'ca' with the file of the version's authority")));
    }
    Ok(roots)
}

/// The certificates of a listener.
#[derive(Debug)]
struct Certificates {
    named: Vec<Named>,
}

/// A certificate and the names it is for.
#[derive(Debug)]
struct Named {
    exact: Vec<String>,
    /// What follows the `*` of a wildcard, such as `.example.com`.
    below: Vec<String>,
    certified: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let found = wanted.and_then(|name| {
            let exact = self.named.iter().find(|named| named.exact.contains(&name));
            // A wildcard stands for one label.
            let below = || {
                let parent = name.find('.').and_then(|dot| name.get(dot..))?;
                self.named.iter().find(|named| named.below.iter().any(|below| below == parent))
            };
            exact.or_else(below)
        });
        found.or(self.named.first()).map(|named| Arc::clone(&named.certified))
    }
}

impl Named {
    fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, Box<Problem>> {
        let chain = certificates(&files.chain)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
            problem(&files.key, format!("there is no usable private key: {error}"), "write a PEM file with a private key")
        })?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                problem(&files.key, "the key is not the certificate's".to_owned(), "write the key the certificate was made for")
            }
            other => problem(&files.key, format!("the certificate or its key cannot be used: {other}"), "see that the files are right"),
        })?;
        let (mut exact, mut below) = (Vec::new(), Vec::new());
        if let Some(own) = certified.cert.first() {
            let parsed = webpki::EndEntityCert::try_from(own).map_err(|error| {
                problem(&files.chain, format!("the first certificate cannot be used: {error}"), "put the server's own certificate first")
            })?;
            for name in parsed.valid_dns_names() {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix('*') {
                    Some(parent) => below.push(parent.to_owned()),
                    None => exact.push(name),
                }
            }
        }
        Ok(Self { exact, below, certified: Arc::new(certified) })
    }
}

fn verifier(path: &Path, crl: &[PathBuf], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Box<Problem>> {
    let roots = authorities(path, "clients")?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    if crl.is_empty() {
        return builder.build().map_err(|error| unverified(path, "clients", &error));
    }
    let built = builder.with_crls(revocation::lists(crl)?).enforce_revocation_expiration().build();
    built.map_err(|error| revocation::unusable(crl, &error))
}

fn authorities(path: &Path, whose: &str) -> Result<RootCertStore, Box<Problem>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unverified(path, whose, &error))?;
    }
    Ok(roots)
}

fn unverified(path: &Path, whose: &str, error: &dyn std::fmt::Display) -> Box<Problem> {
    problem(path, format!("{whose} cannot be verified with these authorities: {error}"), "write the certificates of authorities (PEM)")
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Box<Problem>> {
    let unreadable = |error: &dyn std::fmt::Display| {
        problem(path, format!("the certificates cannot be read: {error}"), "write a PEM file that this user may read")
    };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(&error))?;
    if all.is_empty() {
        return Err(problem(path, "there is no certificate in the file".to_owned(), "write a PEM file with BEGIN CERTIFICATE"));
    }
    Ok(all)
}

fn problem(path: &Path, message: String, hint: &str) -> Box<Problem> {
    Box::new(Problem::error(&path.display().to_string(), "", message).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;
    use crate::domain::transport::Certificate;

    /// Writes a self-signed certificate for these names, made anew.
    fn pair(folder: &TempDir, stem: &str, names: &[&str]) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let files = CertificateFiles { chain: folder.path().join(format!("{stem}.pem")), key: folder.path().join(format!("{stem}.key")) };
        fs::write(&files.chain, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn message(files: TlsFiles) -> String {
        server(&files).unwrap_err().to_string()
    }

    #[test]
    fn names_are_read_from_the_certificates() {
        let folder = TempDir::new().unwrap();
        let provider = aws_lc_rs::default_provider();
        let named = Named::read(&pair(&folder, "a", &["A.test", "*.b.test"]), &provider).unwrap();
        assert_eq!((named.exact, named.below), (vec!["a.test".to_owned()], vec![".b.test".to_owned()]));
    }

    #[test]
    fn good_files_make_a_server_with_and_without_client_certificates() {
        let folder = TempDir::new().unwrap();
        let one = pair(&folder, "a", &["a.test"]);
        let plain = TlsFiles { certificates: vec![one.clone()], client_ca: None, crl: Vec::new() };
        let config = server(&plain).unwrap();
        assert_eq!((config.alpn_protocols.len(), config.max_early_data_size), (2, 0));
        assert_eq!(plain.paths().count(), 2);
        let mutual = TlsFiles { client_ca: Some(one.chain.clone()), certificates: vec![one], crl: Vec::new() };
        server(&mutual).unwrap();
        assert_eq!(mutual.paths().count(), 3);
    }

    #[test]
    fn bad_files_say_which_and_how_to_mend_them() {
        let folder = TempDir::new().unwrap();
        let (one, other) = (pair(&folder, "a", &["a.test"]), pair(&folder, "b", &["b.test"]));
        let with = |chain: &Path, key: &Path| TlsFiles {
            certificates: vec![CertificateFiles { chain: chain.to_owned(), key: key.to_owned() }],
            client_ca: None,
            crl: Vec::new(),
        };
        let crossed = message(with(&one.chain, &other.key));
        assert!(crossed.contains("b.key") && crossed.contains("not the certificate's"), "{crossed}");
        let missing = message(with(&folder.path().join("none.pem"), &one.key));
        assert!(missing.contains("none.pem"), "{missing}");
        let empty = message(with(&one.key, &one.key));
        assert!(empty.contains("no certificate in the file"), "{empty}");
        let keyless = message(with(&one.chain, &one.chain));
        assert!(keyless.contains("private key"), "{keyless}");
        let garbage = folder.path().join("garbage.pem");
        fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n").unwrap();
        let garbled = message(with(&garbage, &one.key));
        assert!(garbled.contains("garbage.pem") || garbled.contains("a.key"), "{garbled}");
        let rootless = message(TlsFiles { certificates: vec![one], client_ca: Some(garbage), crl: Vec::new() });
        assert!(rootless.contains("authorities"), "{rootless}");
        assert!(message(TlsFiles::default()).contains("no certificate"));
    }

    #[test]
    fn a_client_has_authorities_or_says_which_file_has_none() {
        let folder = TempDir::new().unwrap();
        let (one, other) = (pair(&folder, "a", &["a.test"]), pair(&folder, "b", &["b.test"]));
        let own = |chain: &Path, key: &Path| Some(Certificate { chain: chain.to_owned(), key: key.to_owned() });
        let tls = Tls { ca: Some(one.chain.clone()), name: None, certificate: own(&other.chain, &other.key), crl: Vec::new() };
        for (protocol, names) in [
            (Protocol::Auto, vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
            (Protocol::Http1, vec![b"http/1.1".to_vec()]),
            (Protocol::Http2, vec![b"h2".to_vec()]),
        ] {
            let made = client(&tls, protocol).unwrap();
            assert!(made.client_auth_cert_resolver.has_certs());
            assert_eq!(made.alpn_protocols, names);
        }
        let crossed = Tls { certificate: own(&one.chain, &other.key), ..tls.clone() };
        assert!(client(&crossed, Protocol::Auto).unwrap_err().to_string().contains("not the certificate's"));
        let keyed = Tls { ca: Some(one.key), ..tls };
        let message = client(&keyed, Protocol::Auto).unwrap_err().to_string();
        assert!(message.contains("a.key") && message.contains("no certificate in the file"), "{message}");
    }

    #[test]
    fn names_of_servers_are_hosts_or_addresses() {
        assert!(["a.test", "127.0.0.1", "::1"].iter().all(|name| server_name(name).is_some()));
        assert!(["", "a b", "a.test:443", "[::1]"].iter().all(|name| server_name(name).is_none()));
    }
}
