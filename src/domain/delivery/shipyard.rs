//! The stages of a project in their order, and how each one deploys, tests, judges and lets in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::rollout::{Ramp, Schedule, Start};
use crate::domain::version::Name;

/// The most stages of a project.
pub const MOST_STAGES: usize = 50;

/// The name of a stage: a letter, then letters, digits and hyphens, all small, not ending with a hyphen; 1 to 40 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StageName(String);

/// The reason why a text is not a [`StageName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a stage: use 1 to 40 small letters, digits and hyphens, beginning with a letter, not ending with a hyphen"
)]
pub struct InvalidStageName(String);

impl StageName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StageName {
    type Err = InvalidStageName;
    fn from_str(text: &str) -> Result<Self, InvalidStageName> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if first && text.len() <= 40 && !text.ends_with('-') && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidStageName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for StageName {
    type Error = InvalidStageName;
    fn try_from(text: String) -> Result<Self, InvalidStageName> {
        text.parse()
    }
}

impl From<StageName> for String {
    fn from(name: StageName) -> Self {
        name.0
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a project is delivered safely or as the original did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Tests first, then traffic; back to what was good; nothing goes on without a pass.
    #[default]
    Strict,
    /// As keptn 0.4: everything to the new version, then the tests, then back where the stage is blue/green.
    Keptn,
}

/// How a stage gives traffic to a new version.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// All at once after the health check, then the tests.
    Direct,
    /// Tests without ordinary users, then all at once; without tests a ramp under the gates.
    BlueGreen,
    /// Tests without ordinary users, then this schedule under the gates.
    Canary(Schedule),
}

impl Strategy {
    /// Returns the word used in files and events.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::BlueGreen => "blue_green_service",
            Self::Canary(_) => "canary",
        }
    }
}

/// Returns the ramp of a rollout whose stage names no plan: the traffic decides where it starts, three times as much
/// after at least ten seconds each.
#[must_use]
pub const fn default_schedule() -> Schedule {
    Schedule::Ramp(Ramp { start: Start::Auto, factor: 3, hold: Duration::from_secs(10), harm: None, approval: None })
}

/// Which tests a stage runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestStrategy {
    /// Few requests, no error allowed.
    Functional,
    /// Many requests, judged by the gate.
    Performance,
    /// A workload by its name.
    Workload(Name),
}

impl TestStrategy {
    /// Returns the word used in files and events.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Functional => "functional",
            Self::Performance => "performance",
            Self::Workload(name) => name.as_str(),
        }
    }
}

/// Who lets an artifact into a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entrance {
    /// Nobody needs to be asked.
    #[default]
    Automatic,
    /// Somebody must approve.
    Manual,
}

/// Who lets an artifact into a stage, by how it ended in the stage before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Approval {
    /// After a pass, and for what is sent to the stage directly.
    pub pass: Entrance,
    /// After a warning.
    pub warning: Entrance,
}

/// What judges a version in a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gate {
    /// The service's gate file.
    #[default]
    File,
    /// Nothing, by declaration: what passes its tests passes.
    None,
}

/// What a warning means in strict mode where the next stage does not say so itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnWarning {
    /// It goes on like a pass.
    #[default]
    Pass,
    /// The version stays in its stage, and somebody must approve before it goes on.
    Hold,
}

/// What happens to artifacts of one service that wait for a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The newest waits, older ones are dropped.
    #[default]
    Supersede,
    /// All wait, in their order.
    Queue,
}

/// One stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: StageName,
    /// How traffic is given.
    pub strategy: Strategy,
    /// Which tests it runs, where it runs any.
    pub test: Option<TestStrategy>,
    /// Who lets an artifact in; `None` is as automatic, unless the stage before holds warnings.
    pub approval: Option<Approval>,
    /// What judges.
    pub gate: Gate,
    /// Whether a version that fails after it got the traffic is taken back.
    pub rollback: bool,
    /// What a warning means.
    pub on_warning: OnWarning,
    /// Whether problems in this stage are remediated.
    pub remediation: bool,
}

impl Stage {
    /// Makes a stage with the defaults: judged by the gate file, with rollback, without tests, approval and remediation.
    #[must_use]
    pub const fn new(name: StageName, strategy: Strategy) -> Self {
        Self {
            name,
            strategy,
            test: None,
            approval: None,
            gate: Gate::File,
            rollback: true,
            on_warning: OnWarning::Pass,
            remediation: false,
        }
    }

    /// Returns the schedule of a rollout in this stage.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        match &self.strategy {
            Strategy::Canary(schedule) => schedule.clone(),
            Strategy::Direct | Strategy::BlueGreen => default_schedule(),
        }
    }
}

/// The stages of a project: at least one, with names of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Shipyard {
    stages: Vec<Stage>,
    concurrency: Concurrency,
    mode: Mode,
}

/// The reason why stages are not a [`Shipyard`]. Indices count from 0, the text counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShipyard {
    /// There is no stage.
    #[error("a shipyard needs at least one stage")]
    Empty,
    /// There are too many.
    #[error("a shipyard has at most {MOST_STAGES} stages, and this one has {0}")]
    TooMany(usize),
    /// Two stages have one name.
    #[error("stage {} is named {name} like stage {}", .index + 1, .first + 1)]
    Twice {
        /// Which stage.
        index: usize,
        /// The first one of that name.
        first: usize,
        /// The name.
        name: StageName,
    },
    /// A canary that nothing judges.
    #[error("stage {name} gives shares to a canary and has no gate, so nothing could ever let its share grow")]
    Unjudged {
        /// Which stage.
        index: usize,
        /// Its name.
        name: StageName,
    },
    /// A strategy that the original did not have.
    #[error("stage {name} is a canary, which keptn 0.4 did not have")]
    Foreign {
        /// Which stage.
        index: usize,
        /// Its name.
        name: StageName,
    },
}

impl InvalidShipyard {
    /// Returns the index of the stage at fault, counted from 0, where it is one stage's fault.
    #[must_use]
    pub const fn stage(&self) -> Option<usize> {
        match self {
            Self::Twice { index, .. } | Self::Unjudged { index, .. } | Self::Foreign { index, .. } => Some(*index),
            Self::Empty | Self::TooMany(_) => None,
        }
    }
}

impl Shipyard {
    /// Makes a shipyard.
    ///
    /// # Errors
    ///
    /// Fails with the first of its [`Shipyard::problems`].
    pub fn new(stages: Vec<Stage>, concurrency: Concurrency, mode: Mode) -> Result<Self, InvalidShipyard> {
        match Self::problems(&stages, mode).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { stages, concurrency, mode }),
        }
    }

    /// Returns everything that keeps these stages from being a shipyard, in their order.
    #[must_use]
    pub fn problems(stages: &[Stage], mode: Mode) -> Vec<InvalidShipyard> {
        let mut problems = Vec::new();
        if stages.is_empty() {
            problems.push(InvalidShipyard::Empty);
        }
        if stages.len() > MOST_STAGES {
            problems.push(InvalidShipyard::TooMany(stages.len()));
        }
        for (index, stage) in stages.iter().enumerate().take(MOST_STAGES) {
            let name = &stage.name;
            match stages.iter().position(|other| other.name == *name) {
                Some(first) if first < index => problems.push(InvalidShipyard::Twice { index, first, name: name.clone() }),
                _ => {}
            }
            if matches!(stage.strategy, Strategy::Canary(_)) {
                match (mode, stage.gate) {
                    (Mode::Keptn, _) => problems.push(InvalidShipyard::Foreign { index, name: name.clone() }),
                    (Mode::Strict, Gate::None) => problems.push(InvalidShipyard::Unjudged { index, name: name.clone() }),
                    (Mode::Strict, Gate::File) => {}
                }
            }
        }
        problems
    }

    /// Returns the stages in their order; never empty.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Returns a stage by its name.
    #[must_use]
    pub fn stage(&self, name: &StageName) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == *name)
    }

    /// Returns the stage after this one.
    #[must_use]
    pub fn next(&self, name: &StageName) -> Option<&Stage> {
        let index = self.stages.iter().position(|stage| stage.name == *name)?;
        self.stages.get(index + 1)
    }

    /// Returns what happens to artifacts that wait.
    #[must_use]
    pub const fn concurrency(&self) -> Concurrency {
        self.concurrency
    }

    /// Returns whether delivery is strict or as in the original.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}
