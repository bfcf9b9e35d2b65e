//! What a target and a whole definition can say at all: criteria that hide each other, results that cannot occur.

use std::collections::BTreeSet;

use crate::domain::gate::analysis::keptn::total;
use crate::domain::gate::analysis::quantity::Quantity;
use crate::domain::gate::analysis::spec::{Definition, Objective, Operator, Outcome, Target};

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

/// The results a definition can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// It can pass.
    pub pass: bool,
    /// It can warn; `None` when there are too many combinations to say.
    pub warning: Option<bool>,
    /// It can fail.
    pub fail: bool,
}

/// Returns the results of a definition, given what each objective can come to.
///
/// More points never make a result worse, so the best and the worst total tell of pass and fail; only a warning needs
/// the totals between them.
#[must_use]
pub fn outcomes(definition: &Definition, possible: &[Vec<Outcome>]) -> Outcomes {
    let maximum = definition.objectives.iter().fold(0, |sum, objective| sum + full(objective));
    let judge = |(points, lost): (i64, bool)| {
        #[expect(clippy::cast_precision_loss, reason = "sums of weights")]
        total(&[(maximum as f64, points as f64, false), (0.0, 0.0, lost)], definition.total_score)
    };
    let extreme = |pick: fn(&[Outcome]) -> Option<&Outcome>| {
        let each = definition.objectives.iter().zip(possible);
        each.fold((0, false), |sum, (objective, possible)| pick(possible).map_or(sum, |outcome| add(sum, objective, *outcome)))
    };
    let (best, worst) = (judge(extreme(|all| all.iter().max())), judge(extreme(|all| all.iter().min())));
    let warning = totals(definition, possible).map(|totals| totals.into_iter().any(|total| judge(total).warning));
    Outcomes { pass: best.pass, warning, fail: !worst.pass && !worst.warning }
}

/// Returns the points of an objective, counted in halves, so that they stay whole. Weights are at most a milliard in a
/// file that loads strictly.
fn full(objective: &Objective) -> i64 {
    objective.weight.clamp(0, i64::from(u32::MAX)) * 2
}

fn add((points, lost): (i64, bool), objective: &Objective, outcome: Outcome) -> (i64, bool) {
    match outcome {
        Outcome::Pass => (points + full(objective), lost),
        Outcome::Warning => (points + full(objective) / 2, lost),
        Outcome::Fail => (points, lost || objective.key_objective),
    }
}

/// Returns every total, and whether a key objective is lost; `None` when there are too many.
fn totals(definition: &Definition, possible: &[Vec<Outcome>]) -> Option<BTreeSet<(i64, bool)>> {
    let mut totals = BTreeSet::from([(0, false)]);
    for (objective, possible) in definition.objectives.iter().zip(possible) {
        totals = totals.iter().flat_map(|sum| possible.iter().map(|outcome| add(*sum, objective, *outcome))).collect();
        if totals.len() > MAX_TOTALS {
            return None;
        }
    }
    Some(totals)
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
