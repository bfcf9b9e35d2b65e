//! Picks from the journal the rollouts that are asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::admin::journal::Journal;
use crate::domain::rollout::Entry;
use crate::domain::version::Name;

/// Which rollouts are asked for: `SERVICE`, `SERVICE/NUMBER` or `SERVICE/VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service.
    pub service: Name,
    /// The rollout's number or its canary; absent: the newest.
    pub rollout: Option<String>,
}

/// Why a text asks for no rollout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write SERVICE or SERVICE/ROLLOUT, where ROLLOUT is a number or the name of the version on trial")]
pub struct InvalidTarget;

impl FromStr for Target {
    type Err = InvalidTarget;
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (service, rollout) = match text.split_once('/') {
            Some((service, rollout)) => (service, Some(rollout)),
            None => (text, None),
        };
        let rollout = rollout.map(|rollout| rollout.parse::<Name>().map(|name| name.to_string())).transpose();
        match (service.parse(), rollout) {
            (Ok(service), Ok(rollout)) => Ok(Self { service, rollout }),
            _ => Err(InvalidTarget),
        }
    }
}

/// What the journal says of one rollout, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The service.
    pub service: Name,
    /// The rollout.
    pub rollout: u64,
    /// Its entries with their sequence numbers, never empty.
    pub entries: Vec<(u64, Entry)>,
}

impl Story {
    /// Returns the version that owned the traffic when it began, and the version on trial, where they were recorded.
    pub fn versions(&self) -> (Option<&Name>, Option<&Name>) {
        let entries = || self.entries.iter().map(|(_, entry)| entry);
        (entries().find_map(|entry| entry.stable.as_ref()), entries().find_map(|entry| entry.canary.as_ref()))
    }

    /// Returns the word for where it stands.
    pub fn phase(&self) -> &'static str {
        self.entries.last().map_or("unknown", |(_, entry)| entry.phase.as_str())
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let canary = self.versions().1.map_or_else(String::new, |canary| format!("{canary}, "));
        write!(f, "{} ({canary}{})", self.rollout, self.phase().replace('_', " "))
    }
}

/// Why there is nothing to tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// No such rollout.
    #[error("there is no rollout {asked} of {service}; there are {known}")]
    NoRollout {
        /// What was asked for.
        asked: String,
        /// The service.
        service: Name,
        /// Those there are.
        known: String,
    },
    /// No rollout of that service.
    #[error("the journal has no rollout of {service}; it has rollouts of {known}")]
    NoService {
        /// The service.
        service: Name,
        /// Those there are.
        known: String,
    },
    /// Nothing at all.
    #[error("the journal has no rollouts")]
    Nothing,
}

/// Returns the rollouts that are asked for: without a target the newest of every service.
pub fn pick(journal: &Journal, target: Option<&Target>) -> Result<Vec<Story>, Untold> {
    let mut services = stories(journal);
    let Some(Target { service, rollout }) = target else {
        let newest: Vec<Story> = services.into_values().filter_map(|mut stories| stories.pop()).collect();
        return if newest.is_empty() { Err(Untold::Nothing) } else { Ok(newest) };
    };
    let Some(mut stories) = services.remove(service) else {
        let known: Vec<&str> = services.keys().map(Name::as_str).collect();
        let service = service.clone();
        return Err(if known.is_empty() { Untold::Nothing } else { Untold::NoService { service, known: known.join(", ") } });
    };
    let Some(asked) = rollout else { return Ok(stories.pop().into_iter().collect()) };
    let by_number = stories.iter().position(|story| asked.parse() == Ok(story.rollout));
    let by_name = || stories.iter().rposition(|story| story.versions().1.is_some_and(|canary| canary.as_str() == asked));
    match by_number.or_else(by_name) {
        Some(index) => Ok(vec![stories.swap_remove(index)]),
        None => {
            let known: Vec<String> = stories.iter().map(Story::to_string).collect();
            Err(Untold::NoRollout { asked: asked.clone(), service: service.clone(), known: known.join(", ") })
        }
    }
}

/// Sorts the journal into rollouts, the oldest of each service first.
fn stories(journal: &Journal) -> BTreeMap<Name, Vec<Story>> {
    let mut found: BTreeMap<(Name, u64), Vec<(u64, Entry)>> = BTreeMap::new();
    for line in &journal.entries {
        if let Some(entry) = &line.entry {
            found.entry((entry.service.clone(), entry.rollout)).or_default().push((line.sequence, entry.clone()));
        }
    }
    let mut services: BTreeMap<Name, Vec<Story>> = BTreeMap::new();
    for ((service, rollout), entries) in found {
        services.entry(service.clone()).or_default().push(Story { service, rollout, entries });
    }
    services
}
