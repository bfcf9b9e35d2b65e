//! Keeps a certificate of the webhook's own valid and trusted, for as long as the process runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::kube::webhook::authority::{Own, Service, Unmade};
use crate::kube::webhook::bundle::Bundle;
use crate::proxy::certificates::{Expiry, TlsSlot};

/// How often it is seen to that the API server still trusts us: whoever applies the configuration anew may take that back.
const PERIOD: Duration = Duration::from_secs(60);
/// How soon it is tried again after it could not be seen to.
const AGAIN: Duration = Duration::from_secs(5);
/// How long API servers have to hear of an authority before its certificate is shown to them.
const HEARSAY: Duration = Duration::from_secs(10);

/// After how many failures in a row nobody is sent here any more: some minutes.
const MOST_FAILURES: u32 = 24;

/// A certificate in use, and what it takes to follow it up.
#[derive(Debug)]
pub struct Renewal {
    service: Service,
    /// The pod that it is in.
    holder: String,
    bundle: Bundle,
    own: Own,
    /// What is to be in use once API servers trust it.
    next: Option<Own>,
    slot: TlsSlot,
    expiry: Expiry,
}

impl Renewal {
    /// Begins with a certificate; nothing is said to the API server yet.
    ///
    /// # Errors
    ///
    /// Fails where none can be made.
    pub fn new(service: Service, holder: String, bundle: Bundle, now: Timestamp) -> Result<Self, Unmade> {
        let own = Own::make(&service, &holder, now)?;
        let slot = Arc::new(arc_swap::ArcSwap::new(Arc::clone(&own.server)));
        let expiry = Arc::new(own.expires.into());
        Ok(Self { service, holder, bundle, own, next: None, slot, expiry })
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

    /// Never ends: sees again and again that the certificate is young and trusted. `ready` holds true while it is, so far as is known: no
    /// longer once it has expired, or could not be seen to for some minutes.
    pub async fn keep(mut self, ready: Arc<watch::Sender<bool>>, now: impl Fn() -> Timestamp) {
        let mut failures = 0;
        loop {
            match self.see_to_it(seconds(now()), now()).await {
                Ok(()) => {
                    failures = 0;
                    ready.send_replace(true);
                    sleep(PERIOD).await;
                }
                Err(why) => {
                    failures += 1;
                    tracing::error!("{why}; it is tried again every {} s", AGAIN.as_secs());
                    if *ready.borrow() && (failures >= MOST_FAILURES || self.own.expires <= seconds(now())) {
                        tracing::error!(expires = self.own.expires, failures, "this process is not ready any more");
                        ready.send_replace(false);
                    }
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn see_to_it(&mut self, seconds: u64, now: Timestamp) -> Result<(), String> {
        // First what is in use: without it nobody is answered.
        if self.bundle.trust(&self.own.authority, seconds).await? {
            tracing::info!("API servers trust this process from now on");
        }
        if !self.own.is_old(seconds) {
            return Ok(());
        }
        // One that was made and is not trusted yet is kept: the bundle is not to fill with those of every attempt.
        let next = match self.next.take().filter(|next| !next.is_old(seconds)) {
            Some(next) => next,
            None => Own::make(&self.service, &self.holder, now).map_err(|error| error.to_string())?,
        };
        let next = self.next.insert(next);
        self.bundle.trust(&next.authority, seconds).await?;
        sleep(HEARSAY).await;
        if let Some(next) = self.next.take() {
            self.slot.store(Arc::clone(&next.server));
            self.expiry.store(next.expires, Ordering::Relaxed);
            self.own = next;
            tracing::info!(expires = self.own.expires, "a new certificate of our own is in use");
        }
        Ok(())
    }
}

/// Returns seconds since 1970; 0 before.
fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or_default()
}
