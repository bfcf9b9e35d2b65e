//! What users begin TLS with: the system's authorities, those of a file, or trust in whatever comes.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::domain::transport::{Protocol, Tls};
use crate::formats::problem::Problem;
use crate::formats::tls;

/// Whose certificates are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'p> {
    /// Those of the authorities that the system trusts.
    System,
    /// Those of the authorities in a file (PEM).
    File(&'p Path),
    /// Any: whoever answers is taken for the server.
    Anybody,
}

/// Makes the configuration of a client that offers this HTTP by ALPN.
///
/// # Errors
///
/// Says which authorities cannot be used and how to mend it.
pub fn client(trust: Trust<'_>, protocol: Protocol) -> Result<Arc<ClientConfig>, Box<Problem>> {
    let ca = match trust {
        Trust::System => None,
        Trust::File(path) => Some(path.to_owned()),
        Trust::Anybody => return anybody(protocol).map(Arc::new),
    };
    let system = ca.is_none();
    let made = tls::client(&Tls { ca, ..Tls::default() }, protocol);
    made.map(Arc::new).map_err(|problem| {
        if system {
            let message = "the system trusts no authority that the server could be verified with";
            Box::new(Problem::error("", "", message).with_hint("name the file of the server's authority with --ca, or use --insecure"))
        } else {
            problem
        }
    })
}

fn anybody(protocol: Protocol) -> Result<ClientConfig, Box<Problem>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions);
    let builder = builder.map_err(|error| Box::new(Problem::error("", "", format!("TLS cannot be spoken: {error}"))))?;
    let mut client = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody { provider })).with_no_client_auth();
    client.alpn_protocols = match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(client)
}

/// Takes any certificate; that its owner holds the key is still checked.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
