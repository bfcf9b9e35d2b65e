//! What a target and a whole definition can say at all: criteria that hide each other, results that cannot occur.

use std::collections::BTreeSet;

use crate::domain::gate::analysis::keptn::{Total, total};
use crate::domain::gate::analysis::quantity::Quantity;
use crate::domain::gate::analysis::spec::{Definition, Operator, Outcome, Target};

/// The most different totals that are looked at.
const MAX_TOTALS: usize = 500;

/// Returns the outcomes that values from `lowest` to `highest` can have, by trying the bounds, their neighbours and the
/// points between them: between two neighbouring bounds every value has the same outcome.
#[must_use]
pub fn possible(target: &Target, lowest: f64, highest: f64) -> Vec<Outcome> {
    let mut bounds: Vec<f64> = [&target.failure, &target.warning].into_iter().flatten().flat_map(bounds).collect();
    bounds.sort_by(f64::total_cmp);
    let inside: Vec<f64> = bounds.windows(2).filter_map(|pair| Some(pair.first()? + (pair.get(1)? - pair.first()?) / 2.0)).collect();
    let mut tried = vec![lowest.max(-f64::MAX), highest.min(f64::MAX)];
    tried.extend(bounds.iter().flat_map(|bound| [bound.next_down(), *bound, bound.next_up()]));
    tried.extend(inside);
    let mut found = Vec::new();
    for value in tried.into_iter().filter(|value| (lowest..=highest).contains(value)) {
        let outcome = target.outcome(value, Quantity::exact);
        if !found.contains(&outcome) {
            found.push(outcome);
        }
    }
    found
}

fn bounds(operator: &Operator) -> Vec<f64> {
    match operator {
        Operator::EqualTo(at)
        | Operator::LessThanOrEqual(at)
        | Operator::LessThan(at)
        | Operator::GreaterThanOrEqual(at)
        | Operator::GreaterThan(at) => vec![at.exact()],
        Operator::InRange(low, high) | Operator::NotInRange(low, high) => vec![low.exact(), high.exact()],
    }
}

/// Returns whether the result of a definition can be pass, warning and fail, given what each objective can come to;
/// `None` when there are too many combinations to say.
#[must_use]
pub fn outcomes(definition: &Definition, possible: &[Vec<Outcome>]) -> Option<(bool, bool, bool)> {
    let mut totals = BTreeSet::from([(0_i64, false)]);
    let mut maximum = 0_i64;
    for (objective, possible) in definition.objectives.iter().zip(possible) {
        // Points are counted in halves, so that they stay whole.
        let full = objective.weight.saturating_mul(2);
        maximum = maximum.saturating_add(full);
        let mut next = BTreeSet::new();
        for (sum, lost) in totals {
            for outcome in possible {
                let (points, lost) = match outcome {
                    Outcome::Pass => (full, lost),
                    Outcome::Warning => (full / 2, lost),
                    Outcome::Fail => (0, lost || objective.key_objective),
                };
                next.insert((sum.saturating_add(points), lost));
            }
        }
        totals = next;
        if totals.len() > MAX_TOTALS {
            return None;
        }
    }
    let mut found = (false, false, false);
    for (sum, lost) in totals {
        #[expect(clippy::cast_precision_loss, reason = "sums of weights")]
        let one = [(maximum as f64, sum as f64, false), (0.0, 0.0, lost)];
        match total(&one, definition.total_score) {
            Total { pass: true, .. } => found.0 = true,
            Total { warning: true, .. } => found.1 = true,
            _ => found.2 = true,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcomes_of_a_target_are_found_at_and_between_its_bounds() {
        let q = |text: &str| Quantity::parse(text).unwrap();
        let above = |text: &str| Some(Operator::GreaterThan(q(text)));
        let of = |failure, warning, lowest| {
            let mut found = possible(&Target { failure, warning }, lowest, f64::INFINITY);
            found.sort_by_key(|outcome| *outcome as u8);
            found
        };
        assert_eq!(of(above("600"), above("300"), 0.0), [Outcome::Fail, Outcome::Warning, Outcome::Pass]);
        assert_eq!(of(above("300"), above("600"), 0.0), [Outcome::Fail, Outcome::Pass]);
        assert_eq!(of(Some(Operator::GreaterThanOrEqual(q("0"))), None, 0.0), [Outcome::Fail]);
        assert_eq!(of(Some(Operator::LessThan(q("0"))), None, 0.0), [Outcome::Pass]);
        assert_eq!(of(Some(Operator::InRange(q("5"), q("5"))), None, 0.0), [Outcome::Fail, Outcome::Pass]);
        assert_eq!(
            of(Some(Operator::EqualTo(q("1"))), Some(Operator::NotInRange(q("2"), q("3"))), 0.0),
            [Outcome::Fail, Outcome::Warning, Outcome::Pass]
        );
    }
}
