//! Makes a certificate for the webhook, with an authority of its own that signs it and is forgotten at once.
//!
//! Only the authority's certificate leaves the process, as what API servers are to trust; both keys never do. So each process, and each
//! renewal, has an authority of its own.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use crate::formats::validity;

/// Days for which a certificate is valid.
const DAYS: i64 = 14;
/// Seconds before its end at which it is replaced: half of its life.
const BEFORE: u64 = 7 * 86_400;
/// The longest common name of a certificate, in characters (RFC 5280 appendix A.1).
const LONGEST_NAME: usize = 64;

/// The Service by which API servers call the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// Why a text names no Service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no Service; write NAME.NAMESPACE, such as portcullis-injector.portcullis")]
pub struct InvalidService(String);

impl std::str::FromStr for Service {
    type Err = InvalidService;
    fn from_str(text: &str) -> Result<Self, InvalidService> {
        let is_label = |part: &str| {
            let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !part.is_empty() && part.len() <= 63 && part.bytes().all(known) && !part.starts_with('-') && !part.ends_with('-')
        };
        match text.split_once('.') {
            Some((name, namespace)) if is_label(name) && is_label(namespace) => {
                Ok(Self { name: name.to_owned(), namespace: namespace.to_owned() })
            }
            _ => Err(InvalidService(text.chars().take(80).collect())),
        }
    }
}

impl Service {
    /// Returns the names it is called by; an API server calls `NAME.NAMESPACE.svc`.
    #[must_use]
    pub fn hosts(&self) -> [String; 3] {
        let within = format!("{}.{}", self.name, self.namespace);
        [format!("{within}.svc"), within, self.name.clone()]
    }
}

/// A certificate that was made here.
#[derive(Debug)]
pub struct Own {
    /// What TLS is served with.
    pub server: Arc<ServerConfig>,
    /// The certificate of its authority, PEM.
    pub authority: String,
    /// From when on both are valid, in seconds since 1970.
    pub begins: u64,
    /// When both expire, in seconds since 1970.
    pub expires: u64,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    /// The certificate itself.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] Error),
    /// What TLS makes of it.
    #[error("TLS cannot be served with the certificate that was made: {0}")]
    Tls(#[from] rustls::Error),
    /// The clock.
    #[error("no certificate could be made for a clock that says {0}; set the clock")]
    Clock(Timestamp),
}

impl Own {
    /// Makes one that is valid from the day before `now`, because clocks differ, for two weeks. `holder` is the pod it is made in: API
    /// servers keep few authorities of one holder.
    ///
    /// # Errors
    ///
    /// Fails when the clock is far from this century, or the system has no randomness.
    pub fn make(service: &Service, holder: &str, now: Timestamp) -> Result<Self, Unmade> {
        let (key, signer) = (KeyPair::generate()?, KeyPair::generate()?);
        let mut authority = CertificateParams::new(Vec::new())?;
        let begins = span(&mut authority, now)?;
        // Among several of one name a client sees by the key which one signed.
        authority.distinguished_name.push(DnType::OrganizationName, "portcullis webhook authority");
        authority.distinguished_name.push(DnType::CommonName, common_name(holder, now));
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut own = CertificateParams::new(service.hosts())?;
        span(&mut own, now)?;
        own.distinguished_name.push(DnType::CommonName, "portcullis webhook");
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        own.use_authority_key_identifier_extension = true;
        let trusted = authority.self_signed(&signer)?;
        let certificate = own.signed_by(&key, &Issuer::new(authority, signer))?;
        let expires = validity::not_after(certificate.der()).ok_or(Unmade::Clock(now))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|why| rustls::Error::General(why.to_owned()))?;
        let mut server = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { server: Arc::new(server), authority: trusted.pem(), begins, expires })
    }

    /// Says whether it is time for another one; also where the clock was set back to before it is valid. `now` is in seconds since 1970.
    #[must_use]
    pub const fn is_old(&self, now: u64) -> bool {
        now < self.begins || now.saturating_add(BEFORE) >= self.expires
    }
}

/// Returns the name of a holder as a certificate may have it, the end where it is too long, for the beginning is that of others too. Who has
/// none is told apart by the time.
fn common_name(holder: &str, now: Timestamp) -> String {
    let beyond = holder.chars().count().saturating_sub(LONGEST_NAME);
    if holder.is_empty() { now.to_string() } else { holder.chars().skip(beyond).collect() }
}

/// Sets from when until when it is valid, in whole days; returns from when, in seconds since 1970.
fn span(params: &mut CertificateParams, now: Timestamp) -> Result<u64, Unmade> {
    let day = |days: i64| {
        let day = TimeZone::UTC.to_datetime(now).date().checked_add(jiff::Span::new().days(days)).map_err(|_| Unmade::Clock(now))?;
        let (month, of_month) = (u8::try_from(day.month()).unwrap_or(1), u8::try_from(day.day()).unwrap_or(1));
        Ok::<_, Unmade>(date_time_ymd(day.year().into(), month, of_month))
    };
    (params.not_before, params.not_after) = (day(-1)?, day(DAYS)?);
    u64::try_from(params.not_before.unix_timestamp()).map_err(|_| Unmade::Clock(now))
}
