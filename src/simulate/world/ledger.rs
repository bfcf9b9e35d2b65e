//! What a run counts: requests of both versions, harm, and when the canary's share was taken back.

use crate::domain::invariants::{self, Broken};
use crate::domain::outcome::Role;
use crate::domain::rollout::Phase;
use crate::domain::time::Timestamp;
use crate::simulate::outcome::{Brake, Outcome};
use crate::simulate::world::flight::End;

/// Requests of one version.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    decided: u64,
    answered: u64,
    failed: u64,
    aborted: u64,
    in_flight: u64,
}

/// What a run counts.
#[derive(Debug)]
pub struct Ledger {
    stable: Tally,
    canary: Tally,
    /// When the canary went bad, once that is known.
    onset: Option<Timestamp>,
    /// Requests and bad ones of the canary since then.
    requests: u64,
    harmed: u64,
    brake: Option<(Timestamp, Brake)>,
    trips: u64,
    /// Whether the canary's share has ever gone down.
    fell: bool,
    /// Requests of the stable version since then that came late or failed, and those that were refused.
    late: u64,
    shed: u64,
}

impl Ledger {
    /// Opens the ledger of a run whose canary goes bad at `onset`, `None` when that depends on the requests it gets.
    pub fn new(onset: Option<Timestamp>) -> Self {
        Self {
            stable: Tally::default(),
            canary: Tally::default(),
            onset,
            requests: 0,
            harmed: 0,
            brake: None,
            trips: 0,
            fell: false,
            late: 0,
            shed: 0,
        }
    }

    fn tally(&mut self, role: Role) -> &mut Tally {
        match role {
            Role::Stable | Role::Beside => &mut self.stable,
            Role::Canary => &mut self.canary,
        }
    }

    /// Notes that the canary goes bad with the next request.
    pub fn goes_bad(&mut self, now: Timestamp) {
        self.onset = self.onset.or(Some(now));
    }

    /// Counts a request that begins.
    pub fn begin(&mut self, role: Role, harmed: bool, now: Timestamp) {
        let tally = self.tally(role);
        tally.decided += 1;
        tally.in_flight += 1;
        if role == Role::Stable && (self.fell || self.brake.is_some()) {
            self.late += u64::from(harmed);
        }
        if role == Role::Canary && self.onset.is_some_and(|onset| now >= onset) {
            self.requests += 1;
            self.harmed += u64::from(harmed);
        }
    }

    /// Counts a request that was refused for the stable version's sake.
    pub fn shed(&mut self) {
        self.shed += 1;
        self.stable.decided += 1;
        self.stable.failed += 1;
    }

    /// Counts a request that ends.
    pub fn end(&mut self, role: Role, how: End) {
        let tally = self.tally(role);
        tally.in_flight = tally.in_flight.saturating_sub(1);
        match how {
            End::Complete => tally.answered += 1,
            End::Refused | End::TimeOut => tally.failed += 1,
            End::Left => tally.aborted += 1,
        }
    }

    /// Counts every request in flight as lost with the process.
    pub fn lose_all(&mut self) {
        for tally in [&mut self.stable, &mut self.canary] {
            tally.failed += std::mem::take(&mut tally.in_flight);
        }
    }

    /// I14, and that what is counted as in flight is.
    pub fn check(&self, flights: usize) -> Result<(), Broken> {
        for t in [self.stable, self.canary] {
            invariants::i14_requests_are_conserved(t.decided, t.answered, t.failed, t.aborted, t.in_flight)?;
        }
        let in_flight = self.stable.in_flight + self.canary.in_flight;
        if in_flight == flights as u64 {
            Ok(())
        } else {
            Err(Broken { name: "I14", what: format!("{in_flight} are counted as in flight, {flights} are") })
        }
    }

    /// Notes that the canary's share has gone down, to nothing or on the way there.
    pub const fn falls(&mut self) {
        self.fell = true;
    }

    /// Notes that the canary's share was taken back by a wire or by the controller.
    pub fn braked(&mut self, now: Timestamp, breaches: u64) {
        self.trips += 1;
        if self.brake.is_none() {
            let (harmed, requests) = (self.harmed, self.requests);
            self.brake = Some((now, Brake { at: 0.0, harmed, requests, breaches }));
        }
    }

    /// Closes the ledger; its times then count from when the rollout began.
    pub fn close(self, phase: Phase, times: Times, broken: Option<String>) -> Outcome {
        let begun = times.begun.unwrap_or_default();
        let seconds = |at: Timestamp| at.since(begun).as_secs_f64();
        Outcome {
            phase,
            ended: times.ended.map(seconds),
            onset: self.onset.map_or(0.0, seconds),
            full: times.full.map(seconds),
            brake: self.brake.map(|(at, brake)| Brake { at: seconds(at), ..brake }),
            brakes: self.trips,
            harmed: self.harmed,
            canary_requests: self.canary.decided,
            requests: self.canary.decided + self.stable.decided,
            late: self.late,
            shed: self.shed,
            broken,
        }
    }
}

/// When a rollout began, gave the canary everything, and ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// When it began.
    pub begun: Option<Timestamp>,
    /// When the canary first got everything.
    pub full: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}
