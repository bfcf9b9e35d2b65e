//! The overload manager: looks again and again how much memory and how many descriptors are in use, and tells the data plane.

use std::fs;
use std::io;
use std::path::Path;
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
        let descriptors = if few { 0.0 } else { share(open_descriptors(Path::new("/proc/self/fd")), most_open) };
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

/// Returns how many descriptors a process has open, by the folder in which the kernel lists them. Since Linux 6.2 the folder's size says
/// it; where it says nothing they are counted, which takes a tenth of a millisecond for a hundred of them.
fn open_descriptors(folder: &Path) -> u64 {
    match fs::metadata(folder).map_or(0, |told| told.len()) {
        0 => fs::read_dir(folder).map_or(0, |entries| entries.count() as u64),
        told => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_as_many_as_are_listed() {
        // Other tests of this process open and close some meanwhile.
        let listed = || fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let kept: Vec<fs::File> = (0..500).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let (told, counted) = (open_descriptors(Path::new("/proc/self/fd")), listed());
        assert!(told >= 500 && told.abs_diff(counted) < 100, "{told} {counted}");
        drop(kept);
        // A folder whose size says nothing is what the one of an older kernel looks like.
        assert_eq!(open_descriptors(Path::new("/proc/self/ns")), fs::read_dir("/proc/self/ns").unwrap().count() as u64);
        assert_eq!(open_descriptors(Path::new("/proc/self/no-such")), 0);
    }

    #[test]
    fn a_few_connections_with_many_streams_are_not_few() {
        assert!(!are_few(10, 1024), "ten times a hundred requests use up 1024 descriptors");
        assert!(are_few(1, 1024) && are_few(1000, 1 << 20));
    }
}
