//! What a service makes of a trip: its evidence, and the end of the rollout.

use crate::control::service::Service;
use crate::control::shell::Shell;
use crate::domain::gate::Evidence;
use crate::domain::gate::evidence::Test;
use crate::domain::judge::Count;
use crate::domain::rollout::Event;
use crate::domain::time::Timestamp;
use crate::seam::tripwire as seam;

impl Service {
    /// Notes a trip as the data plane saw it, and ends the rollout.
    pub fn tripped(&mut self, rollout: u64, evident: Timestamp, at: Timestamp, now: Timestamp, shell: &mut dyn Shell) {
        if let Some(active) = self.active.as_mut().filter(|a| a.machine.record().id == rollout) {
            active.note_trip(evident, at);
        }
        self.check_trip(now, shell);
    }

    pub(super) fn check_trip(&mut self, now: Timestamp, shell: &mut dyn Shell) {
        if self.progressing().is_some()
            && let Some(evidence) = self.trip_evidence()
        {
            if let Some(active) = &mut self.active {
                active.find_trip(now);
            }
            self.drive(Event::Tripped(Box::new(evidence)), now, shell);
        }
    }

    /// Returns the evidence of the trip, when the trial has tripped.
    pub(super) fn trip_evidence(&mut self) -> Option<Evidence> {
        let active = self.active.as_mut()?;
        let trip = active.trial.trip()?;
        active.tripped = Some(trip);
        let counts = active.trial.counts().get(trip.wire).copied().unwrap_or_default();
        let (test, count) = match trip.test {
            seam::Test::Cumulative => (Test::Cumulative, counts.cumulative),
            seam::Test::Step => (Test::Step, counts.step),
        };
        let unanswered = count.unanswered.min(trip.breaches);
        active.judge.trip(trip.wire, test, Count { requests: trip.requests, breaches: trip.breaches, unanswered })
    }
}
