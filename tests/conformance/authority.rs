//! An authority for tests: certificates, lists of those it has revoked, and clients that trust it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis::formats::tls::CertificateFiles;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;

/// An authority made for one test, and what it has signed.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = TempDir::new().unwrap();
        // No two have the same name: one whose name is known but whose key is another would be taken for a broken signature.
        params.distinguished_name.push(DnType::CommonName, folder.path().display().to_string());
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { folder, issuer };
        fs::write(authority.file("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for this name and writes it, over an older one if there is one.
    pub fn sign(&self, stem: &str, name: &str) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = CertificateFiles { chain: self.file(&format!("{stem}.pem")), key: self.file(&format!("{stem}.key")) };
        fs::write(&files.chain, signed.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// Signs a certificate with this number.
    pub fn sign_numbered(&self, stem: &str, name: &str, number: u64) -> CertificateFiles {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec![name.to_owned()]).unwrap());
        params.serial_number = Some(SerialNumber::from(number));
        let files = CertificateFiles { chain: self.file(&format!("{stem}.pem")), key: self.file(&format!("{stem}.key")) };
        fs::write(&files.chain, self.certify(params, &key)).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// Writes a list of the certificates it has revoked, which is good until a year begins; returns its file.
    pub fn revoke(&self, numbers: &[u64], year: i32) -> PathBuf {
        self.publish(CertificateRevocationListParams { next_update: date_time_ymd(year, 1, 1), ..list_of(numbers) })
    }

    /// Writes such a list that is good for this long, to the second.
    pub fn revoke_for(&self, numbers: &[u64], time: Duration) -> PathBuf {
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        let next_update = date_time_ymd(1970, 1, 1) + Duration::from_secs(until.as_secs());
        self.publish(CertificateRevocationListParams { next_update, ..list_of(numbers) })
    }

    fn publish(&self, params: CertificateRevocationListParams) -> PathBuf {
        fs::write(self.file("crl.pem"), params.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        self.file("crl.pem")
    }

    /// Signs a certificate of its own making; returns it as PEM.
    pub fn certify(&self, params: CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// A client that trusts this authority, speaks these protocols and shows this certificate.
    pub fn client(&self, protocols: &[&str], shows: Option<&CertificateFiles>) -> Arc<ClientConfig> {
        let mut config = self.config(rustls::ALL_VERSIONS, shows);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Makes a client that speaks this version of TLS only.
    pub fn client_of(&self, version: &'static SupportedProtocolVersion, shows: Option<&CertificateFiles>) -> Arc<ClientConfig> {
        Arc::new(self.config(&[version], shows))
    }

    fn config(&self, versions: &[&'static SupportedProtocolVersion], shows: Option<&CertificateFiles>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        match shows {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = CertificateDer::pem_file_iter(&files.chain).unwrap().map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap()).unwrap()
            }
        }
    }
}

/// A list of revoked certificates that is out of date.
fn list_of(numbers: &[u64]) -> CertificateRevocationListParams {
    let revoked = |number: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*number),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2020, 1, 2),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: numbers.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}
