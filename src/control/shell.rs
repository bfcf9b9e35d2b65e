//! What a service needs of the world: publish, persist, look, tell.

use std::sync::Arc;

use crate::control::inquiry::Inquiry;
use crate::domain::rollout::{Dated, Effect, Event, Rollout, ServiceState};
use crate::domain::standing::Standing;
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::seam::table::Epoch;
use crate::seam::valve::Valve;

/// What a service needs of the world: publish, persist, tell.
pub trait Shell {
    /// Publishes an epoch for this service.
    fn publish(&mut self, service: &Name, epoch: Arc<Epoch>);
    /// Writes the state and the lines of the journal durably, all or nothing.
    ///
    /// # Errors
    ///
    /// Returns why it could not be written.
    fn persist(&mut self, service: &Name, state: &ServiceState, lines: &[Dated]) -> Result<(), String>;
    /// Returns the time; a write may have taken long.
    fn now(&self) -> Timestamp;
    /// Counts a rollback.
    fn rolled_back(&mut self, service: &Name);
    /// Returns whether a version can be reached.
    fn standing(&self, _version: &Arc<Version>) -> Standing {
        Standing::Usable
    }
    /// Returns how many endpoints of a version are usable.
    fn usable(&self, _version: &Arc<Version>) -> u32 {
        1
    }
    /// Returns how many workers there are.
    fn workers(&self) -> usize {
        1
    }
    /// Bounds what a version may hold over all workers, or no longer.
    fn narrow(&mut self, _version: &Arc<Version>, _valve: Option<Arc<Valve>>) {}
    /// Asks others; the answer may never come.
    fn consult(&mut self, _inquiry: Inquiry) {}
    /// Lets a worker that waits for this core have its turn, where one does; to be called between pieces of long work.
    fn offer_core(&mut self) {}
    /// Tells people.
    fn notify(&mut self, service: &Name, sentence: String, alarm: bool);
    /// Lets the machine take in one event; a shell that watches checks the step on the way.
    fn step(&mut self, rollout: &mut Rollout, now: Timestamp, event: Event) -> Vec<Effect> {
        rollout.handle(now, event)
    }
}
