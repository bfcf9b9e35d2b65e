//! How the gates of one rollout relate: which says nothing beyond another, and how many there may be.

use crate::domain::gate::criterion::{Criterion, Slack, Timing};

/// The most gates with a tripwire: each has two of the 32 wires of a trial, one for the rollout and one for the step.
pub const MOST_WIRED: usize = 16;

/// The most gates. More would leave each so small a share of alpha that none could act in time.
pub const MOST: usize = 64;

/// Says whether every version that keeps to `one` also keeps to `other`, so that `other` adds nothing.
///
/// A criterion implies itself. A response head comes no later than the last byte, so a limit on the duration also bounds
/// the response time.
#[must_use]
pub fn implies(one: &Criterion, other: &Criterion) -> bool {
    let covers = |one: Timing, other: Timing| one == other || one == Timing::Duration;
    match (*one, *other) {
        (Criterion::Latency { share: a, limit: x, timing: s }, Criterion::Latency { share: b, limit: y, timing: t }) => {
            a <= b && x <= y && covers(s, t)
        }
        (Criterion::Errors { share: a, kinds: x }, Criterion::Errors { share: b, kinds: y }) => a <= b && x.and(y) == x,
        (Criterion::Mean { limit: x, timing: s }, Criterion::Mean { limit: y, timing: t }) => x <= y && covers(s, t),
        (Criterion::Apdex { satisfied: x, loss: a }, Criterion::Apdex { satisfied: y, loss: b }) => x <= y && a <= b,
        (Criterion::RelativeLatency { share: a, ratio: x, timing: s }, Criterion::RelativeLatency { share: b, ratio: y, timing: t }) => {
            a == b && x <= y && s == t
        }
        (Criterion::RelativeErrors { kinds: s, slack: x }, Criterion::RelativeErrors { kinds: t, slack: y }) => {
            s == t
                && match (x, y) {
                    (Slack::Times(x), Slack::Times(y)) => x <= y,
                    (Slack::Plus(x), Slack::Plus(y)) => x <= y,
                    (Slack::Times(_), Slack::Plus(_)) | (Slack::Plus(_), Slack::Times(_)) => false,
                }
        }
        _ => false,
    }
}

/// Finds each criterion that another implies, as pairs (implied, implying) of indices; of two equal ones the later is
/// implied. The time is quadratic in the number of criteria, of which there are at most [`MOST`].
#[must_use]
pub fn implied(criteria: &[Criterion]) -> Vec<(usize, usize)> {
    let by = |index: usize, other: &Criterion| {
        let implying = |(at, one): &(usize, &Criterion)| *at != index && implies(one, other) && (*at < index || !implies(other, one));
        criteria.iter().enumerate().find(implying).map(|(at, _)| (index, at))
    };
    criteria.iter().enumerate().filter_map(|(index, other)| by(index, other)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Criterion {
        text.parse().unwrap()
    }

    #[test]
    fn a_stricter_gate_implies_a_looser_one_of_the_same_figure() {
        for (one, other) in [
            ("p95 < 1s", "p95 < 1s"),
            ("p95 < 1s", "p95 < 2s"),
            ("p99 < 1s", "p95 < 2s"),
            ("p95 < 1s", "p50 < 2s"),
            ("p95(duration) < 1s", "p95 < 1s"),
            ("errors < 0.1%", "errors(5xx) < 1%"),
            ("mean(duration) < 1s", "mean < 2s"),
            ("apdex(300ms) > 0.95", "apdex(500ms) > 0.9"),
            ("p95 <= stable * 1.1", "p95 <= stable * 1.2"),
            ("errors <= stable + 0.1pp", "errors <= stable + 0.2pp"),
            ("errors(5xx) <= stable * 1.1", "errors(5xx) <= stable * 1.5"),
        ] {
            assert!(implies(&read(one), &read(other)), "{one} implies {other}");
        }
        for (one, other) in [
            ("p95 < 2s", "p95 < 1s"),
            ("p95 < 1s", "p99 < 2s"),
            ("p50 < 1s", "p95 < 2s"),
            ("p95 < 1s", "p95(duration) < 2s"),
            ("errors(5xx) < 0.1%", "errors < 1%"),
            ("p95 < 1s", "mean < 1h"),
            ("apdex(500ms) > 0.95", "apdex(300ms) > 0.9"),
            ("p95 <= stable * 1.1", "p99 <= stable * 1.1"),
            ("errors <= stable * 1.1", "errors <= stable + 50pp"),
        ] {
            assert!(!implies(&read(one), &read(other)), "{one} does not imply {other}");
        }
    }

    #[test]
    fn each_implied_gate_is_found_once_and_of_equal_ones_the_later() {
        let gates = |texts: &[&str]| implied(&texts.iter().map(|text| read(text)).collect::<Vec<_>>());
        assert_eq!(gates(&["p95 < 2s", "p95 < 1s", "errors < 1%"]), [(0, 1)]);
        assert_eq!(gates(&["p95 < 1s", "p95 < 1s", "p95 < 1s"]), [(1, 0), (2, 0)]);
        assert_eq!(gates(&["p99 < 1s", "p95 < 2s", "p50 < 3s"]), [(1, 0), (2, 0)]);
        assert_eq!(gates(&["p95 < 1s", "p99 < 2s"]), []);
    }
}
