//! What one request means to a gate, as soon as it means something: how much is lost, for breaking and for passing.
//!
//! Where a request leaves doubt, it counts against the conclusion: as good where a breach is to be shown, as bad where a pass is.

use std::time::Duration;

use crate::domain::gate::Criterion;
use crate::domain::gate::criterion::Timing;
use crate::domain::judge::arms::Request;
use crate::domain::start_order::Stage;
use crate::domain::time::{Timestamp, nanos};

/// How long the tests wait for the end of a request that neither ends nor breaches. A request without an answer then counts
/// as a bad one where a pass is to be shown and as a good one where a breach is, and an answer that still streams counts
/// neither way, or one slow upload or endless stream would keep every later request from counting, and all of them in memory.
pub const OVERDUE: Duration = Duration::from_secs(60);

/// The loss of a bad request in the counts of all gates but means, whose losses are nanoseconds.
pub(super) const WHOLE: u64 = 2;
/// The loss of a request that an Apdex counts half.
pub(super) const HALF: u64 = 1;
/// What stands for a latency that is not known at all.
pub(super) const ENDLESS: u64 = u64::MAX;

/// What a resolved request counts; `None` where it is no request of the gate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Score {
    /// Where a breach is to be shown: [`WHOLE`], [`HALF`] or 0, for a mean the nanoseconds at least.
    pub breach: Option<u64>,
    /// Where a pass is to be shown: as above, for a mean the nanoseconds at most.
    pub pass: Option<u64>,
    /// Whether it was still unanswered when it counted.
    pub unanswered: bool,
}

impl Score {
    pub const NEITHER: Self = Self { breach: None, pass: None, unanswered: false };

    const fn both(loss: u64, unanswered: bool) -> Self {
        Self { breach: Some(loss), pass: Some(loss), unanswered }
    }

    const fn bad(is: bool, unanswered: bool) -> Self {
        Self::both(if is { WHOLE } else { 0 }, unanswered)
    }
}

/// Says what a request counts for a criterion, `None` while it is not resolved. For a comparison of latencies, `limit` is the
/// one that was frozen for the request's block and arm.
pub(super) fn score(criterion: &Criterion, limit: Duration, request: &Request, known_until: Timestamp) -> Option<Score> {
    let lost = request.is_lost(known_until, OVERDUE);
    let out = if request.started { known_until.since(request.course.at) } else { Duration::ZERO };
    if lost {
        let pass = if matches!(criterion, Criterion::Mean { .. }) { ENDLESS } else { WHOLE };
        return Some(Score { breach: None, pass: Some(pass), unanswered: true });
    }
    match *criterion {
        Criterion::Latency { limit, timing, .. } => timed(limit, timing, request, out),
        Criterion::RelativeLatency { timing, .. } => timed(limit, timing, request, out),
        Criterion::Errors { kinds, .. } | Criterion::RelativeErrors { kinds, .. } => match request.course.stage {
            Stage::InFlight => (out > OVERDUE).then_some(Score { breach: Some(0), pass: Some(WHOLE), unanswered: true }),
            Stage::Answered => (out > OVERDUE).then_some(Score::NEITHER),
            Stage::Excluded => Some(Score::NEITHER),
            Stage::Ended { .. } => Some(Score::bad(kinds.meets(request.course.errors), false)),
        },
        Criterion::Apdex { satisfied, .. } => apdex(satisfied, request, out),
        Criterion::Mean { timing, .. } => mean(timing, request, out),
    }
}

/// A limit on a latency: exactly the limit is good, no answer is a breach, and being out for longer is one already.
fn timed(limit: Duration, timing: Timing, request: &Request, out: Duration) -> Option<Score> {
    let taken = if timing == Timing::Duration { request.course.duration } else { request.course.latency };
    let over = taken > nanos(limit);
    match (request.course.stage, timing) {
        (Stage::Ended { unanswered }, _) => Some(Score::bad(unanswered || over, unanswered)),
        (Stage::Answered, Timing::ResponseTime) => Some(Score::bad(over, false)),
        (Stage::InFlight, _) | (Stage::Answered, Timing::Duration) => {
            (out > limit).then_some(Score::bad(true, request.course.stage == Stage::InFlight))
        }
        (Stage::Excluded, _) => Some(if over { Score::bad(true, true) } else { Score::NEITHER }),
    }
}

/// Returns what an Apdex loses on an answer that took so long.
const fn lost(taken: u64, satisfied: Duration) -> u64 {
    if taken <= nanos_const(satisfied) {
        0
    } else if taken <= nanos_const(satisfied).saturating_mul(4) {
        HALF
    } else {
        WHOLE
    }
}

/// As [`nanos`], for limits, which are at most an hour.
const fn nanos_const(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

fn apdex(satisfied: Duration, request: &Request, out: Duration) -> Option<Score> {
    let loss = lost(request.course.latency, satisfied);
    match request.course.stage {
        Stage::Ended { unanswered } => {
            let failed = unanswered || crate::domain::error_kinds::ErrorKinds::DEFAULT.meets(request.course.errors);
            Some(Score::both(if failed { WHOLE } else { loss }, unanswered))
        }
        // It is known to be lost whole; whether it also fails changes nothing.
        Stage::Answered if loss == WHOLE => Some(Score::bad(true, false)),
        Stage::Answered => (out > OVERDUE).then_some(Score { breach: (loss > 0).then_some(loss), pass: None, unanswered: false }),
        Stage::InFlight => (lost(nanos(out), satisfied) == WHOLE).then_some(Score::bad(true, true)),
        Stage::Excluded => Some(Score { breach: (loss > 0).then_some(loss), pass: (loss > 0).then_some(WHOLE), unanswered: loss == WHOLE }),
    }
}

/// Says whether at least half of a request is lost for an Apdex, whatever becomes of it.
pub(super) fn is_half_lost(satisfied: Duration, request: &Request, known_until: Timestamp) -> bool {
    match request.course.stage {
        Stage::InFlight => request.started && known_until.since(request.course.at) > satisfied,
        _ => lost(request.course.latency, satisfied) > 0,
    }
}

fn mean(timing: Timing, request: &Request, out: Duration) -> Option<Score> {
    let taken = if timing == Timing::Duration { request.course.duration } else { request.course.latency };
    match (request.course.stage, timing) {
        // A request without an answer has no latency that could speak for the version.
        (Stage::Ended { unanswered: true }, _) => Some(Score { breach: Some(taken), pass: Some(ENDLESS), unanswered: true }),
        (Stage::Ended { .. }, _) | (Stage::Answered, Timing::ResponseTime) => Some(Score::both(taken, false)),
        // A client that left gives a lower bound where a breach is to be shown and no sample for a pass.
        (Stage::Excluded, _) => Some(Score { breach: Some(taken), pass: None, unanswered: true }),
        (Stage::Answered, Timing::Duration) => (out > OVERDUE).then_some(Score { breach: Some(nanos(out)), pass: None, unanswered: false }),
        (Stage::InFlight, _) => (out > OVERDUE).then_some(Score { breach: Some(nanos(out)), pass: Some(ENDLESS), unanswered: true }),
    }
}
