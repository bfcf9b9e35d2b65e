//! What the handlers of one carts process share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;

use crate::carts::metrics::Metrics;
use crate::carts::settings::Settings;
use crate::carts::special::LastMinute;
use crate::carts::store::Store;

/// The state of one carts process.
#[derive(Debug)]
pub struct Service {
    pub settings: Settings,
    pub metrics: Metrics,
    /// Bounds the expensive articles that are worked on at once.
    pub workers: Semaphore,
    /// Guards the carts; every handler of a cart reads and writes, none holds it across an await.
    store: Mutex<Store>,
    /// Guards what can be changed at run time, written by the handlers of the knobs, never held across an await.
    knobs: Mutex<Knobs>,
    /// Guards the draw and the count of POSTs, written by each POST, never held across an await.
    posts: Mutex<Posts>,
}

/// What can be changed at run time, as written by whoever changed it.
#[derive(Debug)]
struct Knobs {
    delay: String,
    promotion: String,
}

#[derive(Debug)]
struct Posts {
    chance: StdRng,
    last_minute: LastMinute,
}

/// What one POST of an item is in for.
#[derive(Debug)]
pub struct Fate {
    /// How long it sleeps first.
    pub delay: Duration,
    /// Whether it then fails, and with which message.
    pub failure: Option<String>,
    /// How many POSTs there were in the last minute, at most 71.
    pub per_minute: usize,
}

impl Service {
    /// Starts with empty carts.
    pub fn new(settings: Settings) -> Self {
        let knobs = Knobs { delay: settings.delay_ms.to_string(), promotion: settings.failure_rate.to_string() };
        let mut chance = StdRng::seed_from_u64(settings.seed);
        Self {
            store: Mutex::new(Store::new(chance.random())),
            metrics: Metrics::new(),
            workers: Semaphore::new(4),
            knobs: Mutex::new(knobs),
            posts: Mutex::new(Posts { chance, last_minute: LastMinute::default() }),
            settings,
        }
    }

    /// Gives access to the carts.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the delay. Like the original it accepts any text, and what is not a number means no delay.
    pub fn set_delay(&self, text: &str) {
        self.knobs().delay = text.chars().take(64).collect();
    }

    /// Changes the failure rate. Like the original it accepts any text, and what is not a number fails every POST.
    pub fn set_promotion(&self, text: &str) {
        self.knobs().promotion = text.chars().take(64).collect();
    }

    /// Decides what a POST of an item that arrives now is in for.
    pub fn fate(&self, now: tokio::time::Instant) -> Fate {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let per_minute = posts.last_minute.note(now);
        let draw = posts.chance.random::<f64>() * 100.0;
        drop(posts);
        let knobs = self.knobs();
        let delay = knobs.delay.trim().parse::<i32>().ok().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        let failure = match knobs.promotion.parse::<i32>() {
            Ok(rate) => (draw < f64::from(rate)).then(|| "promotion campaign not yet implemented".to_owned()),
            Err(_) => Some(format!("For input string: {:?}", knobs.promotion)),
        };
        Fate { delay: Duration::from_millis(delay), failure, per_minute }
    }

    fn knobs(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
