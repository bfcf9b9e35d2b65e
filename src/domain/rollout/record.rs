//! What is kept of a rollout across a restart, and what its journal says.

use serde::{Deserialize, Serialize};

use crate::domain::gate::{Evidence, Policy};
use crate::domain::outcome::Role;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The canary has a share and is judged.
    Progressing,
    /// A gate was breached: the canary has nothing but probes until that is confirmed or taken back.
    Braked,
    /// It waits for an operator: the evidence was inconclusive, or it was braked too often.
    Paused,
    /// Its step has passed and the plan wants somebody to approve before it goes on; it keeps its share under its gates.
    AwaitingApproval,
    /// Every step has passed: the canary has everything and is watched, with the way back open.
    Watching,
    /// Somebody or a clock has ended it and its canary is not known to be bad: its share goes back in steps, each as soon as stable
    /// bears it, and within a fixed time. It never grows again, and its gates stay armed.
    Receding,
    /// The canary passed and owns the traffic. Terminal.
    Promoted,
    /// A gate was breached; the canary has nothing. Terminal.
    RolledBack,
    /// It was stopped for another reason; the canary has nothing. Terminal.
    Aborted,
}

impl Phase {
    /// Every phase, in the order of a rollout's life.
    pub const ALL: [Self; 9] = [
        Self::Progressing,
        Self::Braked,
        Self::Paused,
        Self::AwaitingApproval,
        Self::Watching,
        Self::Receding,
        Self::Promoted,
        Self::RolledBack,
        Self::Aborted,
    ];

    /// Says whether the rollout is over.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack | Self::Aborted)
    }

    /// Returns the word used in the API, metrics and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Progressing => "progressing",
            Self::Braked => "braked",
            Self::Paused => "paused",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Watching => "watching",
            Self::Receding => "receding",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
        }
    }
}

/// One rollout as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The rollout's number within its service, growing.
    pub id: u64,
    /// The version that owned the traffic when it began.
    pub stable: Version,
    /// The version on trial.
    pub canary: Version,
    /// Where it stands.
    pub phase: Phase,
    /// The step of the plan, from 0.
    pub step: usize,
    /// The canary's share; nothing while braked, probes aside.
    pub weight: Weight,
    /// How often it was braked.
    #[serde(default)]
    pub brakes: u32,
    /// The generation of the last change.
    pub generation: u64,
    /// Why it stands there, one plain sentence.
    pub reason: String,
    /// What the last decision rests on.
    pub evidence: Option<Evidence>,
    /// Who decided last; `None` where an earlier release wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Whether a gate file, or whoever was asked beside it, let a step pass with a warning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warned: bool,
}

impl Record {
    /// Makes the record of a rollout that has not begun. `generation` is the last one its service has used.
    #[must_use]
    pub fn unbegun(id: u64, (stable, canary): (Version, Version), generation: u64) -> Self {
        Self {
            id,
            stable,
            canary,
            phase: Phase::Progressing,
            step: 0,
            weight: Weight::ZERO,
            brakes: 0,
            generation,
            reason: "not begun".to_owned(),
            evidence: None,
            actor: None,
            warned: false,
        }
    }

    /// Says whether the canary was braked too often and is held with nothing until somebody decides.
    ///
    /// A judge that looks back still sees what braked it, and it is known.
    #[must_use]
    pub fn is_held_for_brakes(&self) -> bool {
        self.phase == Phase::Paused && self.weight == Weight::ZERO && self.brakes > Policy::RESUMES
    }
}

/// What is kept of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceState {
    /// The version that owns the traffic.
    pub owner: Version,
    /// The owner named by the configuration when this was written; when it changes, the configuration wins.
    pub configured: Name,
    /// The last rollout.
    pub rollout: Option<Record>,
    /// Versions that were rolled back and stay so until someone asks for a retry; the newest 100.
    pub rejected: Vec<Name>,
    /// Versions whose rollout began: a start begins none of them by itself; the newest 100.
    #[serde(default)]
    pub tried: Vec<Name>,
    /// What an operator wants that waits for others; a restart forgets it with the rollout and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// How many rejected versions are remembered, and how many that were tried.
const REMEMBERED: usize = 100;

impl ServiceState {
    /// Notes that a version was rolled back.
    pub fn reject(&mut self, version: &Name) {
        remember(&mut self.rejected, version);
    }

    /// Notes that a rollout of a version began.
    pub fn has_tried(&mut self, version: &Name) {
        remember(&mut self.tried, version);
    }
}

/// Puts a name at the end of what is remembered, once.
fn remember(names: &mut Vec<Name>, name: &Name) {
    names.retain(|known| known != name);
    if names.len() >= REMEMBERED {
        names.remove(0);
    }
    names.push(name.clone());
}

/// Who decided where it was the canary's endpoints: none of them answered.
pub const ENDPOINTS: &str = "endpoints";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The service.
    pub service: Name,
    /// The rollout.
    pub rollout: u64,
    /// When it was written, RFC 3339 in UTC by the wall clock, for people; absent in what older programs wrote.
    #[serde(default)]
    pub at: Option<String>,
    /// The version that owned the traffic when the rollout began; absent in what older programs wrote.
    #[serde(default)]
    pub stable: Option<Name>,
    /// The version on trial; absent in what older programs wrote.
    #[serde(default)]
    pub canary: Option<Name>,
    /// Who decided: `gate`, `plan`, `restart`, [`ENDPOINTS`], or the operator's name.
    pub actor: String,
    /// The phase after the change.
    pub phase: Phase,
    /// Who owns the traffic after the change.
    pub owner: Role,
    /// The canary's share before the change.
    pub from: Weight,
    /// The canary's share after the change.
    pub to: Weight,
    /// The generation of the change.
    pub generation: u64,
    /// Why, one plain sentence.
    pub reason: String,
    /// What the decision rests on.
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// With a raise, a watch or a promotion: what the step or the watch has shown of every gate.
    #[serde(default)]
    pub gates: Vec<Evidence>,
}
