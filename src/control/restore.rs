//! What a start makes of what was durable: who owns the traffic, and whether a rollout begins.
//!
//! The rule of the house: unknown is safe. A rollout that was progressing when the process ended may have been tripping at that
//! moment, so it does not go on; stable has everything and the operator is told.

use crate::domain::invariants;
use crate::domain::outcome::Role;
use crate::domain::rollout::{Entry, Phase, Record, ServiceState};
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

/// What was found for a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Nothing: it is new.
    Nothing,
    /// This.
    State(Box<ServiceState>),
    /// Something that cannot be read.
    Unreadable,
}

/// How a service starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// What is known of it from now on.
    pub state: ServiceState,
    /// The version whose rollout begins.
    pub begin: Option<Version>,
    /// What must be written, because the start itself decided something.
    pub write: Option<Entry>,
    /// What the operator should know.
    pub notice: Option<String>,
}

/// Decides how a service starts.
#[must_use]
pub fn start(service: &Name, stable: &Version, canary: Option<&Version>, known: Known) -> Start {
    let fresh = ServiceState {
        owner: stable.clone(),
        configured: stable.name.clone(),
        rollout: None,
        rejected: Vec::new(),
        tried: Vec::new(),
        asked: None,
    };
    let mut state = match known {
        Known::Nothing => return Start { state: fresh, begin: canary.cloned(), write: None, notice: None },
        Known::Unreadable => {
            let notice = format!(
                "what was decided for {service} before this start cannot be read: {} keeps 100% and no rollout begins",
                stable.name
            );
            return Start { state: fresh, begin: None, write: None, notice: Some(notice) };
        }
        Known::State(state) => *state,
    };
    let (mut write, mut notice) = (None, None);
    if let Some(record) = &mut state.rollout
        && !record.phase.is_terminal()
    {
        let (entry, sentence) = interrupt(service, record, state.asked.take());
        (write, notice) = (Some(entry), Some(sentence));
    }
    if state.configured == stable.name && state.owner.name != stable.name {
        // The configuration has not changed since a promotion: the promoted version stays, with its configured endpoints if
        // named, whatever became of the rollouts after it.
        if let Some(canary) = canary.filter(|c| c.name == state.owner.name) {
            state.owner = canary.clone();
        }
    } else {
        state.owner = stable.clone();
    }
    if state.configured != stable.name {
        // Written, or a later start that names the former owner again would find the promotion still in force.
        write = write.or_else(|| state.rollout.as_ref().map(|record| take_over(service, record, stable)));
        state.configured = stable.name.clone();
    }
    let begin = canary.filter(|canary| {
        let last = state.rollout.as_ref().is_some_and(|r| r.canary.name == canary.name);
        let tried = last || state.tried.contains(&canary.name);
        canary.name != state.owner.name && !state.rejected.contains(&canary.name) && !tried
    });
    if let (None, Some(canary), None) = (begin, canary, &notice)
        && canary.name != state.owner.name
    {
        let last = state.rollout.as_ref().filter(|r| r.canary.name == canary.name).map(|r| r.reason.as_str());
        let before = if state.rejected.contains(&canary.name) { "it was rolled back before" } else { "it was tried before" };
        let why = last.unwrap_or(before);
        notice = Some(format!("no rollout of {} begins: {why}; {} keeps 100%", canary.name, state.owner.name));
    }
    Start { begin: begin.cloned(), state, write, notice }
}

/// Notes that the configuration names another owner than before.
fn take_over(service: &Name, record: &Record, stable: &Version) -> Entry {
    Entry {
        service: service.clone(),
        rollout: record.id,
        at: None,
        stable: Some(record.stable.name.clone()),
        canary: Some(record.canary.name.clone()),
        actor: "restart".to_owned(),
        phase: record.phase,
        owner: Role::Stable,
        from: Weight::ZERO,
        to: Weight::ZERO,
        generation: record.generation,
        reason: format!("the configuration now names {} as the owner of {service}", stable.name),
        evidence: None,
        gates: Vec::new(),
    }
}

/// What the sentence about a rollout says that a restart has ended; no other end is told so.
const INTERRUPTED: &str = "was interrupted by a restart at";

/// Who ends a rollout because a new process takes over.
pub const HAND_OVER: &str = "hand-over";
/// Why, where the rollout begins again there.
pub const BEGINS_AGAIN: &str = "a new process takes over, where it begins again at its first step";

/// Says whether the reason of a rollout that ended is that the process was restarted or succeeded, which says nothing of its version.
#[must_use]
pub fn was_interrupted(reason: &str) -> bool {
    let handed_over = reason.strip_prefix("aborted by ").and_then(|rest| rest.strip_prefix(HAND_OVER)?.strip_prefix(": "));
    (reason.starts_with("the rollout of ") && reason.contains(INTERRUPTED)) || handed_over.is_some_and(|why| why.starts_with(BEGINS_AGAIN))
}

/// Ends a rollout that was progressing when the process ended, and with it what an operator had asked for.
fn interrupt(service: &Name, record: &mut Record, asked: Option<String>) -> (Entry, String) {
    let durable = record.clone();
    let dropped = asked.map_or_else(String::new, |wish| format!("; what was asked is not carried out: {wish}"));
    let recedes = record.phase == Phase::Receding;
    let sentence = if recedes {
        // Somebody or a clock has ended it, so that it is not one that a restart has ended.
        format!("{}; a restart ended that at once{dropped}", record.reason)
    } else {
        format!(
            "the rollout of {} {INTERRUPTED} {}; {} keeps 100% until a new rollout is started{dropped}",
            record.canary.name, record.weight, record.stable.name
        )
    };
    let entry = Entry {
        service: service.clone(),
        rollout: record.id,
        at: None,
        stable: Some(record.stable.name.clone()),
        canary: Some(record.canary.name.clone()),
        actor: "restart".to_owned(),
        phase: Phase::Aborted,
        owner: Role::Stable,
        from: record.weight,
        to: Weight::ZERO,
        generation: record.generation + 1,
        reason: sentence.clone(),
        evidence: None,
        gates: Vec::new(),
    };
    record.phase = Phase::Aborted;
    record.weight = Weight::ZERO;
    record.generation += 1;
    record.reason.clone_from(&sentence);
    if !recedes {
        record.actor = Some(entry.actor.clone());
    }
    debug_assert_eq!(invariants::i11_unknown_is_safe(Some(&durable), record.weight), Ok(()));
    (entry, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str) -> Version {
        Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()])
    }

    fn state(owner: &str, phase: Phase, rejected: &[&str]) -> Known {
        let record = Record {
            id: 4,
            stable: version("v1"),
            canary: version("v2"),
            phase,
            step: 1,
            brakes: 0,
            weight: if phase == Phase::Progressing { "30%".parse().unwrap() } else { Weight::ZERO },
            generation: 9,
            reason: "because".to_owned(),
            evidence: None,
            actor: None,
            warned: false,
        };
        let rejected = rejected.iter().map(|n| n.parse().unwrap()).collect();
        Known::State(Box::new(ServiceState {
            owner: version(owner),
            configured: "v1".parse().unwrap(),
            rollout: Some(record),
            rejected,
            tried: vec!["v0".parse().unwrap()],
            asked: None,
        }))
    }

    fn started(canary: Option<&str>, known: Known) -> Start {
        let canary = canary.map(version);
        start(&"carts".parse().unwrap(), &version("v1"), canary.as_ref(), known)
    }

    #[test]
    fn a_new_service_begins_its_rollout() {
        assert_eq!(started(Some("v2"), Known::Nothing).begin, Some(version("v2")));
    }

    #[test]
    fn an_unreadable_state_leaves_everything_with_stable() {
        let start = started(Some("v2"), Known::Unreadable);
        assert_eq!((start.begin, start.state.owner), (None, version("v1")));
        assert!(start.notice.unwrap().contains("v1 keeps 100%"));
    }

    #[test]
    fn a_progressing_rollout_is_interrupted_and_not_resumed() {
        let start = started(Some("v2"), state("v1", Phase::Progressing, &[]));
        let record = start.state.rollout.unwrap();
        assert_eq!((start.begin, record.phase, record.weight, record.generation), (None, Phase::Aborted, Weight::ZERO, 10));
        assert_eq!(start.write.unwrap().actor, "restart");
        assert_eq!(start.state.owner, version("v1"));
        assert!(was_interrupted(&record.reason) && !was_interrupted("aborted by operator: it was interrupted by a restart at noon"));
        assert!(was_interrupted(&format!("aborted by {HAND_OVER}: {BEGINS_AGAIN}")));
        assert!(was_interrupted(&format!("aborted by {HAND_OVER}: {BEGINS_AGAIN}; what was asked is not carried out: ann wants more")));
        assert!(!was_interrupted("aborted by hand-over: a new process takes over; start the rollout again there"));
    }

    #[test]
    fn what_an_operator_had_asked_for_is_told_with_the_interruption_and_forgotten() {
        let Known::State(mut found) = state("v1", Phase::Paused, &[]) else { unreachable!() };
        found.asked = Some("ann wants to give v2 30%: it is Monday".to_owned());
        let start = started(None, Known::State(found));
        let told = start.write.unwrap().reason;
        assert!(told.ends_with("; what was asked is not carried out: ann wants to give v2 30%: it is Monday"), "{told}");
        assert!(start.notice.unwrap().contains("ann wants to give v2 30%") && was_interrupted(&told));
        assert_eq!(start.state.asked, None);
    }

    #[test]
    fn what_receded_is_not_begun_again_because_somebody_has_ended_it() {
        let Known::State(mut found) = state("v1", Phase::Receding, &[]) else { unreachable!() };
        let record = found.rollout.as_mut().unwrap();
        (record.weight, record.reason) = ("40%".parse().unwrap(), "aborted by ann: enough; v2 has 40% now".to_owned());
        let start = started(Some("v2"), Known::State(found));
        let (record, entry) = (start.state.rollout.unwrap(), start.write.unwrap());
        assert_eq!((start.begin, record.phase, record.weight), (None, Phase::Aborted, Weight::ZERO));
        assert_eq!((entry.from.to_string().as_str(), entry.to), ("40%", Weight::ZERO));
        assert_eq!(record.reason, "aborted by ann: enough; v2 has 40% now; a restart ended that at once");
        assert!(!was_interrupted(&record.reason));
        let handed = format!("aborted by ann: enough; {HAND_OVER} ends that at once: {BEGINS_AGAIN}");
        assert!(!was_interrupted(&handed));
    }

    #[test]
    fn whatever_was_not_over_is_interrupted() {
        for phase in Phase::ALL {
            let start = started(None, state("v1", phase, &[]));
            let found = start.state.rollout.unwrap().phase;
            assert_eq!(found, if phase.is_terminal() { phase } else { Phase::Aborted }, "{}", phase.as_str());
            assert_eq!(start.write.is_some(), !phase.is_terminal(), "{}", phase.as_str());
        }
    }

    #[test]
    fn a_rolled_back_version_stays_rolled_back_and_another_one_may_begin() {
        let again = started(Some("v2"), state("v1", Phase::RolledBack, &["v2"]));
        assert_eq!((again.begin, again.state.owner), (None, version("v1")));
        assert!(again.notice.unwrap().contains("because"));
        let other = started(Some("v3"), state("v1", Phase::RolledBack, &["v2"]));
        assert_eq!(other.begin, Some(version("v3")));
        let older = started(Some("v0"), state("v1", Phase::RolledBack, &["v0", "v2"]));
        assert_eq!(older.begin, None, "every rejected version is remembered, not only the last");
    }

    #[test]
    fn a_promoted_version_stays_until_the_configuration_names_another_owner() {
        let start = started(Some("v2"), state("v2", Phase::Promoted, &[]));
        assert_eq!((start.state.owner.name.as_str(), start.begin), ("v2", None));
        let gone = started(None, state("v2", Phase::Promoted, &[]));
        assert_eq!(gone.state.owner.name.as_str(), "v2", "the endpoints are those that were written");
        let named = super::start(&"carts".parse().unwrap(), &version("v5"), None, state("v2", Phase::Promoted, &[]));
        assert_eq!(named.state.owner.name.as_str(), "v5");
        assert_eq!(named.state.configured.as_str(), "v5");
        let written = named.write.expect("else a start that names v1 again would find v2 as the owner");
        assert_eq!((written.actor.as_str(), written.phase, written.to), ("restart", Phase::Promoted, Weight::ZERO));
        assert!(written.reason.contains("v5"), "{}", written.reason);
    }

    #[test]
    fn a_promoted_owner_outlives_later_rollouts_that_did_not_make_it() {
        for phase in [Phase::RolledBack, Phase::Aborted, Phase::Progressing] {
            let Known::State(mut found) = state("v9", phase, &[]) else { unreachable!() };
            found.rollout.as_mut().unwrap().stable = version("v9");
            let start = started(Some("v9"), Known::State(found.clone()));
            assert_eq!(start.state.owner.name.as_str(), "v9", "v9 was promoted before v2 ended as {}", phase.as_str());
            let named = super::start(&"carts".parse().unwrap(), &version("v5"), None, Known::State(found));
            assert_eq!(named.state.owner.name.as_str(), "v5");
        }
    }

    #[test]
    fn an_aborted_rollout_waits_for_the_operator() {
        let start = started(Some("v2"), state("v1", Phase::Aborted, &[]));
        assert_eq!(start.begin, None);
        assert!(start.notice.is_some());
        let later = started(Some("v0"), state("v2", Phase::Promoted, &[]));
        assert_eq!(later.begin, None, "also when another version was tried since");
        assert!(later.notice.unwrap().contains("it was tried before"));
    }
}
