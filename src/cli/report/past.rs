//! What is known of a service's past: the journal, and how its versions answered lately.

use std::path::Path;

use crate::admin::journal::Journal;
use crate::cli::admin::Admin;
use crate::cli::why::source::{self, SourceError};
use crate::cli::why::story::{self, Story, Target, Untold};
use crate::control::status::ServiceStatus;
use crate::domain::rollout::Entry;
use crate::domain::version::Name;
use crate::telemetry::history::{Chart, Point, Spectra};

/// What is known of a service.
pub struct Past {
    /// What was decided.
    pub journal: Journal,
    /// How both versions answered lately; without points where the proxy has ended.
    pub chart: Chart,
    /// Where it stands; absent where the proxy has ended.
    pub status: Option<ServiceStatus>,
}

impl Past {
    /// Asks a running proxy.
    pub fn ask(remote: &Admin, service: &Name) -> Result<Self, SourceError> {
        let status = remote.get(&format!("/v1/rollouts/{service}"))?;
        let chart = remote.get(&format!("/v1/rollouts/{service}/history"))?;
        Ok(Self { journal: source::ask(remote, Some(service))?, chart, status: Some(status) })
    }

    /// Reads what an ended proxy left; of how the versions answered only the evidence is kept.
    pub fn read(folder: &Path) -> Result<Self, SourceError> {
        let chart = Chart { window_seconds: 0, points: Vec::new(), spectra: Spectra::default() };
        Ok(Self { journal: source::read(folder)?, chart, status: None })
    }

    /// Returns the rollout that is asked for, the newest where none is.
    pub fn story(&self, target: &Target) -> Result<Story, Untold> {
        let mut stories = story::pick(&self.journal, Some(target))?;
        stories.pop().ok_or(Untold::Nothing)
    }

    /// Returns the points between the first and the last entry of a rollout, and half a minute on either side; all of them where
    /// the journal does not say when that was.
    pub fn points(&self, story: &Story) -> Vec<&Point> {
        const MORE: u64 = 30_000;
        let at = |entry: Option<&(u64, Entry)>| at_ms(&entry?.1);
        let from = at(story.entries.first()).map_or(0, |at| at.saturating_sub(MORE));
        let over = story.entries.last().is_some_and(|(_, entry)| entry.phase.is_terminal());
        let to = at(story.entries.last()).filter(|_| over).map_or(u64::MAX, |at| at.saturating_add(MORE));
        self.chart.points.iter().filter(|point| (from..=to).contains(&point.at_ms)).collect()
    }
}

/// Returns when an entry was written, in milliseconds since 1970, where it says so.
pub fn at_ms(entry: &Entry) -> Option<u64> {
    let at = entry.at.as_deref()?.parse::<jiff::Timestamp>().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

/// Thins a list out to at most `most`, evenly and with its last.
pub fn thinned<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    let every = all.len().div_ceil(most.max(1)).max(1);
    all.iter().rev().step_by(every).rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_newest_and_the_distance() {
        let all: Vec<u32> = (0..100).collect();
        assert_eq!(thinned(&all, 200), all);
        assert_eq!(thinned(&all, 4), [24, 49, 74, 99]);
        assert_eq!(thinned(&all, 30).len(), 25);
        assert!(thinned::<u32>(&[], 4).is_empty());
        assert_eq!(thinned(&all, 0), [99]);
    }
}
