//! One stage of a service: what it is called in the data plane, and by which host it is reached.

use crate::domain::delivery::StageName;
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
