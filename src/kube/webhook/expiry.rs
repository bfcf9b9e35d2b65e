//! Tells while a certificate from files is about to expire, or has: whoever was to replace it has not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::proxy::certificates::Expiry;

const DAY: u64 = 86_400;
/// Seconds before its end from which on it is told. Whoever replaces certificates in time does it long before, unless they are for less.
const NEAR: u64 = 14 * DAY;
/// How often it is looked at, and how often the same is told again.
const PERIOD: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(DAY);

/// Says what there is to tell of a certificate that expires then; `None` where there is nothing. Both in seconds since 1970.
#[must_use]
pub fn told(expires: u64, now: u64) -> Option<String> {
    if now >= expires {
        let days = (now - expires) / DAY;
        return Some(format!("the certificate expired {days} days ago, and API servers do not take it; renew its files"));
    }
    let left = expires - now;
    let unit = if left < DAY { format!("{} hours", left / 3600) } else { format!("{} days", left / DAY) };
    (left < NEAR).then(|| format!("the certificate expires in {unit}; renew its files, after that API servers do not take it"))
}

/// Never ends: tells of it when it begins, when other files are in use, and once a day.
pub async fn watch(expiry: Expiry, now: impl Fn() -> Timestamp, mut tell: impl FnMut(String)) {
    let mut last = None;
    loop {
        let expires = expiry.load(Ordering::Relaxed);
        if last.is_none_or(|(of, at): (u64, Instant)| of != expires || at.elapsed() >= AGAIN) {
            last = Some((expires, Instant::now()));
            if let Some(words) = told(expires, u64::try_from(now().as_second()).unwrap_or_default()) {
                tell(words);
            }
        }
        sleep(PERIOD).await;
    }
}
