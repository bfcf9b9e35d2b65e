//! Rollouts of stages whose gate file sources answer: before a candidate gets everything they are asked about the time of its ramp.
//!
//! The proxy's own numbers drive the ramp, and take it back, as everywhere. The plan then waits for an approval with a deadline,
//! which is given or denied here by what the sources say; meanwhile the candidate keeps its share under its gates. Sources that are down
//! or say nothing are asked again until the deadline, and then everything is given back: nothing is promoted by silence. An operator may
//! decide earlier, and where the plan has an approval of its own there, the sources can only deny it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::delivery::gate_file::GateFile;
use crate::delivery::judge::{self, Case};
use crate::delivery::yard::Yard;
use crate::domain::delivery::RolloutEnd;
use crate::domain::delivery::shipyard::Mode;
use crate::domain::gate::{Inconclusive, Verdict};
use crate::domain::rollout::{Approval, Phase, Schedule};
use crate::domain::version::Name;
use crate::formats::evaluation_window::Window;

/// How long sources may say nothing before everything is given back, and what the rollout itself does a little later.
const SILENCE: Duration = Duration::from_secs(600);
const WAIT: Approval = Approval { deadline: Duration::from_secs(900), then: Inconclusive::RollBack };
/// How often they are asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often is looked whether the rollout waits.
const LOOK: Duration = Duration::from_millis(100);

/// A rollout that sources have a say in.
pub(super) struct Sourced {
    gate: GateFile,
    /// Whether nobody else is asked, so that they approve too.
    alone: bool,
}

impl Sourced {
    /// Finds out whether sources have a say, and lets the plan wait for them; in the manner of the original nobody is asked.
    pub(super) fn of(gate: &GateFile, mode: Mode, schedule: Schedule) -> (Option<Self>, Schedule) {
        if !gate.sourced || mode != Mode::Strict {
            return (None, schedule);
        }
        let (alone, schedule) = schedule.awaiting(WAIT);
        (Some(Self { gate: gate.clone(), alone }), schedule)
    }

    /// Waits until the rollout waits, and gives or denies its approval; returns why it is denied, where the sources are against it.
    pub(super) async fn decide(&self, yard: &Yard, case: &Case, version: &Name, past: u64) -> Option<String> {
        let name = case.spot.name().ok()?;
        let start = Timestamp::now();
        let waits = || {
            let rollout = yard.ground.status(&name).and_then(|status| status.rollout);
            rollout.is_some_and(|one| one.id > past && one.canary.name == *version && one.phase == Phase::AwaitingApproval && one.durable)
        };
        while !waits() {
            sleep(LOOK).await;
        }
        let silent_from = Instant::now();
        loop {
            let end = Timestamp::now();
            let said = match Window::new(start, end) {
                Some(window) => judge::by_sources(yard, &self.gate, case, window).await,
                None => return None,
            };
            let said = judge::keep(yard, case, (start, end), said);
            match said.verdict {
                Verdict::Pass | Verdict::Warning if self.alone => yard.ground.decide(&name, true, said.reason).await,
                Verdict::Pass | Verdict::Warning => {}
                Verdict::Fail => {
                    yard.ground.decide(&name, false, said.reason.clone()).await;
                    return Some(said.reason);
                }
                Verdict::Inconclusive if silent_from.elapsed() < SILENCE && waits() => {
                    sleep(AGAIN).await;
                    continue;
                }
                Verdict::Inconclusive => {
                    yard.ground.decide(&name, false, format!("the sources were asked for {SILENCE:?}: {}", said.reason)).await;
                }
            }
            return None;
        }
    }
}

/// Follows a rollout to its end, with what the sources say of it where they have a say. What they are against has failed.
pub(super) async fn follow(
    yard: &Yard,
    sourced: Option<(&Sourced, &Case)>,
    (version, past): (&Name, u64),
    rollout: impl Future<Output = (RolloutEnd, String)>,
) -> (RolloutEnd, String) {
    let Some((sourced, case)) = sourced else { return rollout.await };
    let mut rollout = std::pin::pin!(rollout);
    let denied = tokio::select! {
        biased;
        ended = &mut rollout => return ended,
        denied = sourced.decide(yard, case, version, past) => denied,
    };
    match (rollout.await, denied) {
        ((RolloutEnd::Aborted, _), Some(why)) => (RolloutEnd::RolledBack, why),
        (ended, _) => ended,
    }
}
