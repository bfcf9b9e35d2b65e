//! Keeps a certificate of the webhook's own valid and trusted, for as long as the process runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::kube::webhook::authority::{Own, Service};
use crate::kube::webhook::bundle::Bundle;
use crate::proxy::certificates::{Expiry, TlsSlot};

/// How often it is seen to that the API server still trusts us: whoever applies the configuration anew may take that back.
const PERIOD: Duration = Duration::from_secs(60);
/// How soon it is tried again after it could not be seen to.
const AGAIN: Duration = Duration::from_secs(5);
/// How long API servers have to hear of an authority before its certificate is shown to them.
const HEARSAY: Duration = Duration::from_secs(10);

/// A certificate in use, and what it takes to follow it up.
#[derive(Debug)]
pub struct Renewal {
    service: Service,
    bundle: Bundle,
    own: Own,
    slot: TlsSlot,
    expiry: Expiry,
}

impl Renewal {
    /// Begins with a certificate; nothing is said to the API server yet.
    #[must_use]
    pub fn new(service: Service, bundle: Bundle, own: Own) -> Self {
        let slot = Arc::new(arc_swap::ArcSwap::new(Arc::clone(&own.server)));
        let expiry = Arc::new(own.expires.into());
        Self { service, bundle, own, slot, expiry }
    }

    /// Returns where the configuration of TLS is found.
    #[must_use]
    pub fn slot(&self) -> TlsSlot {
        Arc::clone(&self.slot)
    }

    /// Returns where it is found when the certificate expires.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        Arc::clone(&self.expiry)
    }

    /// Never ends: sees again and again that the certificate is young and trusted. `ready` holds true from the first time on that it is.
    pub async fn keep(mut self, ready: Arc<watch::Sender<bool>>, now: impl Fn() -> Timestamp) {
        loop {
            match self.see_to_it(now()).await {
                Ok(()) => {
                    ready.send_replace(true);
                    sleep(PERIOD).await;
                }
                Err(why) => {
                    tracing::error!("{why}; it is tried again every {} s", AGAIN.as_secs());
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn see_to_it(&mut self, now: Timestamp) -> Result<(), String> {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        if self.own.is_old(seconds) {
            let next = Own::make(&self.service, now).map_err(|error| error.to_string())?;
            self.bundle.trust(&next.authority, seconds).await?;
            sleep(HEARSAY).await;
            self.slot.store(Arc::clone(&next.server));
            self.expiry.store(next.expires, Ordering::Relaxed);
            self.own = next;
            tracing::info!(expires = self.own.expires, "a new certificate of our own is in use");
        }
        if self.bundle.trust(&self.own.authority, seconds).await? {
            tracing::info!("API servers trust this process from now on");
        }
        Ok(())
    }
}
