//! Rollouts of stages whose gate file sources answer: before a candidate gets everything they are asked about the time of its ramp.
//!
//! The proxy's own numbers drive the ramp, and take it back, as everywhere. The plan then waits for an approval with a deadline; what
//! the sources say is told to the rollout, which alone decides and makes that durable: a pass approves, a failure rolls back, silence
//! is asked again for a while and then gives everything back. Nothing is promoted by silence. Meanwhile the candidate keeps its share
//! under its gates. Where the plan has an approval of its own there, the sources do not give it. A person may approve before they have
//! answered, and so override their silence; they are asked on until they answer or the rollout is over, and a failure takes everything
//! back.

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::control::status::RolloutStatus;
use crate::delivery::gate_file::GateFile;
use crate::delivery::judge::{self, Case, SOURCES_WITHIN, Said};
use crate::delivery::plane::Ended;
use crate::delivery::yard::Yard;
use crate::domain::delivery::shipyard::Mode;
use crate::domain::gate::{Inconclusive, Verdict};
use crate::domain::rollout::{Approval, Phase, Schedule};
use crate::domain::time;
use crate::domain::version::Name;
use crate::domain::weight::Weight;
use crate::formats::evaluation_window::Window;

/// How often they are asked again, and how long a rollout may take to show what came of an answer.
const AGAIN: Duration = Duration::from_secs(5);
/// How often is looked whether the rollout waits.
const LOOK: Duration = Duration::from_millis(100);

/// A rollout that sources have a say in.
pub(super) struct Sourced {
    gate: GateFile,
    /// Whether nobody else is asked, so that they approve too.
    alone: bool,
    /// How long they may say nothing.
    within: Duration,
}

impl Sourced {
    /// Finds out whether sources have a say, and lets the plan wait for them; in the manner of the original nobody is asked.
    pub(super) fn of(gate: &GateFile, mode: Mode, within: Duration, schedule: Schedule) -> (Option<Self>, Schedule) {
        if !gate.sourced || mode != Mode::Strict {
            return (None, schedule);
        }
        // Longer than the last question may take: what the rollout does of itself comes after what is told it here.
        let deadline = within.saturating_add(SOURCES_WITHIN).saturating_add(AGAIN);
        let (alone, schedule) = schedule.awaiting(Approval { deadline, then: Inconclusive::RollBack });
        (Some(Self { gate: gate.clone(), alone, within }), schedule)
    }

    /// Tells the rollout what the sources say whenever it waits, for as long as somebody listens.
    async fn speak(&self, yard: &Yard, case: &Case, name: &Name, of_it: impl Fn(&RolloutStatus) -> bool) -> Infallible {
        let mut share_since = None;
        let (mut waits_since, mut agreed) = (None, false);
        loop {
            let Some(rollout) = yard.ground.status(name).and_then(|status| status.rollout).filter(&of_it) else {
                sleep(LOOK).await;
                continue;
            };
            if rollout.weight > Weight::ZERO {
                share_since.get_or_insert_with(Timestamp::now);
            }
            let waits = rollout.phase == Phase::AwaitingApproval && rollout.durable;
            // Whoever approves before they have answered, or gives it everything, does not silence them: their no still counts.
            let goes_on = matches!(rollout.phase, Phase::Progressing | Phase::Watching);
            let may_fail = waits || (goes_on && (waits_since.is_some() || rollout.weight == Weight::FULL));
            if !may_fail {
                (waits_since, agreed) = (None, false);
            }
            let has_said = agreed && !(waits && self.alone);
            let Some(start) = share_since.filter(|_| may_fail && !has_said) else {
                sleep(LOOK).await;
                continue;
            };
            let since = *waits_since.get_or_insert_with(Instant::now);
            let said = self.ask(yard, case, start, since).await;
            // What is said of one wait approves no later one: the time of that is another. A failure is one whenever it is told.
            let waits_anew = |now: RolloutStatus| now.phase == Phase::AwaitingApproval && now.generation != rollout.generation;
            if said.verdict != Verdict::Fail
                && yard.ground.status(name).and_then(|status| status.rollout).filter(&of_it).is_some_and(waits_anew)
            {
                (waits_since, agreed) = (None, false);
                continue;
            }
            let (verdict, silent) = (said.verdict, since.elapsed());
            if verdict != Verdict::Inconclusive || silent >= self.within {
                yard.ground.rule(name, rollout.id, (verdict, self.alone), said.reason).await;
                agreed = verdict != Verdict::Inconclusive || !waits;
                sleep(AGAIN).await;
            } else {
                sleep(AGAIN.min(self.within - silent)).await;
            }
        }
    }

    /// Asks the sources about the time of the ramp so far; what settles something is kept.
    async fn ask(&self, yard: &Yard, case: &Case, start: Timestamp, since: Instant) -> Said {
        let end = Timestamp::now();
        let file = self.gate.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let Some(window) = Window::new(start, end) else {
            return Said { verdict: Verdict::Inconclusive, reason: "the ramp took no time".to_owned(), report: serde_json::Value::Null };
        };
        let said = judge::by_sources(yard, &self.gate, case, window).await;
        let silent = said.verdict == Verdict::Inconclusive;
        let reason = if silent {
            format!("the sources of {file} have said nothing of use for {}: {}", time::human(self.within), said.reason)
        } else {
            format!("{} by the sources of {file}: {}", said.verdict, said.reason)
        };
        let said = Said { reason, ..said };
        if silent && since.elapsed() < self.within { said } else { judge::keep(yard, case, (start, end), said) }
    }
}

/// Follows a rollout to its end, and tells it what the sources say where they have a say.
pub(super) async fn follow(
    yard: &Yard,
    sourced: Option<(&Sourced, &Case)>,
    (version, past): (&Name, u64),
    rollout: impl Future<Output = Ended>,
) -> Ended {
    let Some(((sourced, case), name)) = sourced.and_then(|both| Some((both, both.1.spot.name().ok()?))) else { return rollout.await };
    let of_it = |rollout: &RolloutStatus| rollout.id > past && rollout.canary.name == *version;
    tokio::select! {
        biased;
        ended = rollout => ended,
        never = sourced.speak(yard, case, &name, of_it) => match never {},
    }
}
