//! Compiles how a service's canary is judged: the bounds on false verdicts, and what is tolerated, awaited and done in doubt.

use std::time::Duration;

use crate::config::service_spec::PolicySpec;
use crate::config::values;
use crate::domain::gate::Policy;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::quantities;

/// The shortest pause that can be tolerated, where any is.
const SHORTEST_BURST: Duration = Duration::from_millis(10);
/// The longest pause that can be tolerated.
const LONGEST_BURST: Duration = Duration::from_secs(60);
/// The longest time a step may last.
pub(super) const LONGEST_BAKE: Duration = Duration::from_secs(24 * 3600);
/// The longest watch.
const LONGEST_WATCH: Duration = Duration::from_secs(24 * 3600);

/// Compiles a policy; `None` after reporting why there is none.
pub(super) fn compile(spec: &PolicySpec, report: &Report<'_>) -> Option<Policy> {
    let default = Policy::default();
    let chance = |text: &Option<At<String>>| text.as_ref().map(|text| values::chance(text, report));
    let time = |text: &Option<At<String>>, least: Duration, most: Duration, default: Duration| match text {
        Some(text) => quantities::duration(text, least..=most, report),
        None => Some(default),
    };
    let alpha = chance(&spec.alpha).unwrap_or(Some(default.alpha));
    let alpha_brake = chance(&spec.alpha_brake).unwrap_or(alpha);
    let beta = chance(&spec.beta).unwrap_or(Some(default.beta));
    let burst_tolerance = time(&spec.burst_tolerance, Duration::ZERO, LONGEST_BURST, default.burst_tolerance);
    let warm_up = time(&spec.warm_up, Duration::ZERO, values::LONGEST, default.warm_up);
    let outcome_deadline = time(&spec.outcome_deadline, Duration::from_millis(1), values::LONGEST, default.outcome_deadline);
    let max_bake = time(&spec.max_bake, Duration::from_secs(1), LONGEST_BAKE, default.max_bake);
    let inconclusive = spec.inconclusive.as_ref().map_or(Some(default.inconclusive), |text| quantities::inconclusive(text, report));
    let watch = time(&spec.watch, Duration::ZERO, LONGEST_WATCH, default.watch);
    let min_clients = spec.min_clients.as_ref().map_or(Some(u16::from(default.min_clients)), |text| quantities::whole(text, 1..=8, report));
    let policy = Policy {
        alpha: alpha?,
        alpha_brake: alpha_brake?,
        beta: beta?,
        burst_tolerance: burst_tolerance?,
        warm_up: warm_up?,
        outcome_deadline: outcome_deadline?,
        max_bake: max_bake?,
        inconclusive: inconclusive?,
        watch: watch?,
        min_clients: u8::try_from(min_clients?).ok()?,
    };
    contradictions(spec, &policy, report);
    Some(policy)
}

/// Reports values that are good by themselves and contradict each other.
fn contradictions(spec: &PolicySpec, policy: &Policy, report: &Report<'_>) {
    if let Some(text) = &spec.burst_tolerance
        && policy.confirms()
        && policy.burst_tolerance < SHORTEST_BURST
    {
        let message = format!("a burst tolerance of {:?} is shorter than what can be told apart", text.value);
        report.error(&text.place, message, "write at least 10ms, or 0s for a trip that is final");
    }
    if let (false, Some(text)) = (policy.confirms(), &spec.alpha_brake)
        && policy.alpha_brake > policy.alpha
    {
        let message = format!(
            "with a burst_tolerance of 0s each trip is final, so the chance of a false rollback is {} and not {}",
            policy.alpha_brake, policy.alpha
        );
        report.error(&text.place, message, "leave alpha_brake out, or allow a burst_tolerance such as 1s");
    }
    if policy.warm_up >= policy.max_bake {
        let written = spec.warm_up.as_ref().or(spec.max_bake.as_ref());
        if let Some(text) = written {
            let message = "the warm-up is not over before the first step counts as inconclusive";
            report.error(&text.place, message, "let max_bake be longer than warm_up");
        }
    }
}
