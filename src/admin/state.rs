//! What the handlers of the admin listener read and whom they tell.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::admin::access::Access;
use crate::admin::idempotency::Answers;
use crate::admin::live::Live;
use crate::admin::lockout::Patience;
use crate::admin::reading::Reading;
use crate::control::command::Commands;
use crate::control::controller::ServiceStore;
use crate::control::status::Board;
use crate::delivery::Desk;
use crate::domain::time::Timestamp;
use crate::seam::clock::Clock;
use crate::seam::routes::Routes;
use crate::telemetry::exposition::Exposition;

/// The controller counts as dead when it has judged nothing for this long: fifty of its ticks.
pub const JUDGED_WITHIN: Duration = Duration::from_secs(5);

/// What the handlers of the admin listener read and whom they tell.
#[derive(Clone)]
pub struct AdminState {
    /// What the controller shows.
    pub board: Board,
    /// What was decided, as it was made durable; here it is only read.
    pub store: Arc<ServiceStore>,
    /// The way to the controller.
    pub commands: Commands,
    /// The metrics.
    pub exposition: Exposition,
    /// The routing table, empty until the controller has published its first.
    pub routes: Routes,
    /// Turns true when the process drains.
    pub drain: watch::Receiver<bool>,
    /// The process's clock.
    pub clock: Clock,
    /// Who may do what here.
    pub access: Access,
    /// The way to the delivery, where artifacts are delivered.
    pub delivery: Option<Desk>,
    /// The answers to requests that may come again.
    pub answers: Answers,
    /// The turns of those who read the journal.
    pub reading: Reading,
    /// Who follows what happens, and the history of every service.
    pub live: Live,
    /// Who brings wrong tokens.
    pub patience: Patience,
}

/// One thing that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Why it does not hold, `None` when it does.
    pub failure: Option<&'static str>,
}

impl AdminState {
    /// Returns what must hold at `now` for the process to be alive.
    #[must_use]
    pub fn liveness(&self, now: Timestamp) -> [Check; 1] {
        let judged = Timestamp::from_nanos(self.board.snapshot().judged_ns);
        [Check {
            name: "controller",
            failure: (now.since(judged) > JUDGED_WITHIN).then_some("the controller has not judged for more than 5 s"),
        }]
    }

    /// Returns what must hold at `now` for the process to get traffic, and artifacts where it delivers.
    #[must_use]
    pub fn readiness(&self, now: Timestamp) -> Vec<Check> {
        let published = self.routes.current().number > 0;
        let draining = *self.drain.borrow();
        let delivery = self.delivery.iter().map(|desk| Check { name: "delivery", failure: desk.failure(now) });
        let plane = [
            Check { name: "table", failure: (!published).then_some("no routing table is published yet") },
            Check { name: "serving", failure: draining.then_some("the process drains") },
        ];
        plane.into_iter().chain(delivery).collect()
    }
}
