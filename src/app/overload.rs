//! The overload manager: looks again and again how much memory and how many descriptors are in use, and tells the data plane.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::app::memory::resident;
use crate::app::setup::most_descriptors;
use crate::proxy::pressure::{Level, Pressure};
use crate::proxy::rules::SettingsSlot;
use crate::proxy::settings::http2::STREAMS;
use crate::proxy::worker::Counters;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Watches for as long as the process lives.
pub(super) fn watch(pressure: Arc<Pressure>, counters: Arc<Counters>, settings: SettingsSlot) -> io::Result<()> {
    let most_open = most_descriptors();
    let watching = move || loop {
        let memory = settings.load().memory.map_or(0.0, |limit| share(resident(), limit));
        let few = are_few(counters.open.load(Ordering::Relaxed), most_open);
        let descriptors = if few { 0.0 } else { share(open_descriptors(), most_open) };
        let (before, used) = (pressure.level(), memory.max(descriptors));
        let now = before.next(used);
        if now != before {
            let what = if memory >= descriptors { "memory" } else { "descriptors" };
            let percent = (used * 100.0).round();
            match now {
                Level::Normal => tracing::info!("{percent} % of the {what} are in use: all is as usual again"),
                Level::Tight => tracing::warn!("{percent} % of the {what} are in use: connections end after their next answer"),
                Level::Full => tracing::warn!("{percent} % of the {what} are in use: requests are answered with 503"),
            }
            pressure.set_level(now);
        }
        thread::sleep(PERIOD);
    };
    thread::Builder::new().name("overload".to_owned()).spawn(watching)?;
    Ok(())
}

/// Says whether so many connections cannot have used up the descriptors. Counting those takes a while where there are many.
fn are_few(connections: u64, most_open: u64) -> bool {
    // Each stream of a connection may take one more, to an upstream.
    connections.saturating_mul(1 + u64::from(STREAMS)) < most_open / 8
}

fn share(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

fn open_descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_connections_with_many_streams_are_not_few() {
        assert!(!are_few(10, 1024), "ten times a hundred requests use up 1024 descriptors");
        assert!(are_few(1, 1024) && are_few(1000, 1 << 20));
    }
}
