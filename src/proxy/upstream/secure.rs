//! TLS towards one version: its configuration, read anew when its files change, and what a failed handshake means.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::domain::outcome::Failure;
use crate::domain::transport::{Protocol, Tls};
use crate::formats::tls;
use crate::proxy::patrol::ROUND;
use crate::proxy::plain::Plain;

/// How long what was read of the files counts without a further look; one look is taken only when a connection is made.
const PERIOD: Duration = Duration::from_secs(5);

/// What one worker encrypts its connections to one version with.
pub struct Secure {
    tls: Tls,
    protocol: Protocol,
    current: RefCell<Option<Current>>,
    /// How many more sweeps `current` counts.
    fresh: Cell<u32>,
    /// It was said that the lists in use are out of date.
    told: Cell<bool>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ClientConfig>,
    /// Of the contents of the files that were last tried, good or bad.
    tried: u64,
}

impl Secure {
    /// Reads nothing yet.
    pub const fn new(tls: Tls, protocol: Protocol) -> Self {
        Self { tls, protocol, current: RefCell::new(None), fresh: Cell::new(0), told: Cell::new(false) }
    }

    /// Counts a sweep, one of which comes with every round of the patrol.
    pub fn sweep(&self) {
        self.fresh.set(self.fresh.get().saturating_sub(1));
    }

    /// Shakes hands over a connection to `address`; says whether HTTP/2 was agreed on.
    ///
    /// # Errors
    ///
    /// Fails as the version's fault, or as the proxy's where files could be used when the configuration was read and now cannot, such
    /// as a list of revoked certificates that has gone out of date since.
    pub async fn shake_hands(&self, socket: Plain, address: Option<IpAddr>) -> Result<(Box<TlsStream<Plain>>, bool), Failure> {
        let pinned = self.tls.name.as_deref().and_then(tls::server_name);
        let name = pinned.or_else(|| address.map(ServerName::from)).ok_or(Failure::TlsCertificate)?;
        let connector = TlsConnector::from(self.config().await?);
        let stream = connector.connect(name, socket).await.map_err(|error| self.failed(&error))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.protocol == Protocol::Http2 && !http2 {
            return Err(Failure::TlsHandshake);
        }
        Ok((Box::new(stream), http2))
    }

    /// Says what a failed handshake means, and once of lists in use that they are why.
    fn failed(&self, error: &io::Error) -> Failure {
        if is_outdated(error) && !self.told.replace(true) {
            let lists: Vec<_> = self.tls.crl.iter().map(|path| path.display().to_string()).collect();
            let lists = lists.join(", ");
            tracing::error!(
                lists,
                "a version cannot be reached: a list of revoked certificates is out of date; put a current one in its place"
            );
        }
        failure_of(error)
    }

    /// Returns the configuration, after a look at the files where the last one was long ago.
    async fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        let known = self.current.borrow().clone();
        if let Some(current) = &known
            && self.fresh.get() > 0
        {
            return Ok(Arc::clone(&current.config));
        }
        let (tls, protocol, tried) = (self.tls.clone(), self.protocol, known.as_ref().map(|current| current.tried));
        // Files may be on a slow disk, and this thread has others to serve.
        let read = tokio::task::spawn_blocking(move || {
            let now = digest(&tls);
            (tried != Some(now)).then(|| (tls::client(&tls, protocol), now))
        });
        let read = read.await.map_err(|_| Failure::ProxyExhausted)?;
        self.fresh.set((PERIOD.as_millis() / ROUND.as_millis()) as u32);
        let current = match (read, known) {
            (None, Some(known)) => known,
            (Some((Ok(config), tried)), _) => {
                self.told.set(false);
                Current { config: Arc::new(config), tried }
            }
            (Some((Err(problem), tried)), Some(known)) => {
                tracing::warn!(%problem, "the certificates for a version cannot be used; the last good ones stay in use");
                Current { tried, ..known }
            }
            (Some((Err(problem), _)), None) => {
                // They could be used when the configuration was read: it is no fault of the version.
                tracing::warn!(%problem, "a version cannot be reached over TLS");
                return Err(Failure::ProxyExhausted);
            }
            (None, None) => return Err(Failure::ProxyExhausted),
        };
        let config = Arc::clone(&current.config);
        *self.current.borrow_mut() = Some(current);
        Ok(config)
    }
}

/// Says what a failed handshake, or an error of TLS behind it, means; a version may refuse our certificate only after it.
pub fn failure_of(error: &io::Error) -> Failure {
    tls_failure(error).unwrap_or(match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            Failure::ConnectionTerminated
        }
        _ => Failure::TlsHandshake,
    })
}

/// Says what an error of TLS means; `None` for any other.
pub fn tls_failure(error: &io::Error) -> Option<Failure> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    if is_outdated(error) {
        // Our list is too old to say anything of the version.
        return Some(Failure::ProxyExhausted);
    }
    let of_certificate = match tls {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => true,
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::CertificateRequired
        ),
        _ => false,
    };
    Some(if of_certificate { Failure::TlsCertificate } else { Failure::TlsHandshake })
}

/// Says whether a list of revoked certificates is out of date.
fn is_outdated(error: &io::Error) -> bool {
    use rustls::Error::InvalidCertificate as Invalid;
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    let outdated = |error: &CertificateError| {
        matches!(error, CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. })
    };
    matches!(tls, Some(Invalid(error)) if outdated(error))
}

/// Sums up what is in the files, whether they can be read or not.
fn digest(tls: &Tls) -> u64 {
    let mut hasher = DefaultHasher::new();
    let own = tls.certificate.iter().flat_map(|pair| [&pair.chain, &pair.key]);
    for path in own.chain(&tls.ca).chain(&tls.crl) {
        std::fs::read(path).ok().hash(&mut hasher);
    }
    hasher.finish()
}
