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
use crate::proxy::worker::Counters;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Watches for as long as the process lives.
pub(super) fn watch(pressure: Arc<Pressure>, counters: Arc<Counters>, settings: SettingsSlot) -> io::Result<()> {
    let most_open = most_descriptors();
    let watching = move || loop {
        let memory = settings.load().memory.map_or(0.0, |limit| share(resident(), limit));
        // Counting descriptors takes a while where there are many, and where there are few connections there are few of them.
        let few = counters.open.load(Ordering::Relaxed) < most_open / 8;
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

fn share(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

fn open_descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}
