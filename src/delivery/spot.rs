//! One stage of a service, what it is called in the data plane, and by which host it is reached; one deployment in it.

use std::fmt;

use crate::domain::delivery::{Deployment, StageName};
use crate::domain::version::Name;

/// A project and a service in it.
pub(super) type Key = (Name, Name);

/// One stage of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) project: Name,
    pub(super) service: Name,
    pub(super) stage: StageName,
}

impl Spot {
    /// Returns the name of the stage's service in the data plane.
    ///
    /// # Errors
    ///
    /// Fails when it would have more than 63 characters.
    pub(super) fn name(&self) -> Result<Name, String> {
        let text = format!("{}.{}-{}", self.service, self.project, self.stage);
        text.parse()
            .map_err(|_| format!("{text:?} is longer than the 63 characters of a service's name; shorten project, stage or service"))
    }

    /// Returns the host name of the stage.
    pub(super) fn host(&self, domain: &str) -> String {
        format!("{}.{}-{}.{domain}", self.service, self.project, self.stage)
    }
}

/// Where a deployment belongs and which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) project: String,
    pub(super) stage: String,
    pub(super) service: String,
    /// The deployment's number within its service.
    pub(super) id: u64,
}

impl Place {
    /// Returns which deployment of a stage is meant.
    pub(super) fn of(spot: &Spot, deployment: &Deployment) -> Self {
        Self { project: spot.project.to_string(), stage: spot.stage.to_string(), service: spot.service.to_string(), id: deployment.id }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, stage, service, id } = self;
        write!(f, "deployment {id} of {service} of {project} in {stage}")
    }
}
