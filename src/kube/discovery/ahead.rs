//! Asks for endpoints before a version has them: at the start, and before a configuration that names them is put in force.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::domain::endpoint::Endpoint;
use crate::seam::endpoints::{Endpoints, Watch};

/// How often is looked whether they have come.
const LOOK: Duration = Duration::from_millis(10);
/// How much longer they stay wanted, so that the version that is to have them can come into use.
const GRACE: Duration = Duration::from_secs(10);

/// What asks ahead; copies share everything.
#[derive(Clone)]
pub struct Ahead {
    endpoints: Endpoints,
    within: Duration,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What was asked for, and until when it is wanted; written by whoever asks, pruned by the thread that watches.
    asked: Mutex<HashMap<Endpoint, Instant>>,
    /// Wakes the thread that watches.
    news: Notify,
}

impl Ahead {
    pub(super) fn new(endpoints: Endpoints, within: Duration) -> Self {
        Self { endpoints, within, shared: Arc::default() }
    }

    /// Waits until the cluster has told of each of these, for as long as the configuration allows and `goes_on` says so. Returns those
    /// of which nothing has come, with the reason.
    pub fn come(&self, wanted: impl IntoIterator<Item = Endpoint>, mut goes_on: impl FnMut() -> bool) -> Vec<(Endpoint, String)> {
        let mut missing: Vec<Endpoint> = wanted.into_iter().filter(|endpoint| matches!(endpoint, Endpoint::Slices(_))).collect();
        missing.retain(|endpoint| !self.has_come(endpoint));
        if missing.is_empty() {
            return Vec::new();
        }
        let deadline = Instant::now() + self.within;
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(missing.iter().map(|one| (one.clone(), deadline + GRACE)));
        self.shared.news.notify_one();
        while goes_on() && Instant::now() < deadline {
            missing.retain(|endpoint| !self.has_come(endpoint));
            if missing.is_empty() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        missing.into_iter().map(|endpoint| (endpoint.clone(), self.why(&endpoint))).collect()
    }

    /// Returns what is wanted now.
    pub(super) fn open(&self) -> Vec<Endpoint> {
        let (mut asked, now) = (self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        asked.retain(|_, until| now < *until);
        asked.keys().cloned().collect()
    }

    /// Waits until something is asked for, since it was last waited.
    pub(super) async fn asked(&self) {
        self.shared.news.notified().await;
    }

    fn has_come(&self, endpoint: &Endpoint) -> bool {
        matches!(self.endpoints.watch(endpoint), Some(Watch::Current | Watch::Lost(_)))
    }

    fn why(&self, endpoint: &Endpoint) -> String {
        match self.endpoints.watch(endpoint) {
            Some(Watch::Waiting(Some(why))) => why,
            _ => format!("the cluster has told nothing within {:?}", self.within),
        }
    }
}
