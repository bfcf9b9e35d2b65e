//! Compiles an `slo.yaml` or an Analysis definition into the gates of a live rollout.
//!
//! An objective becomes gates at the limit from which it fails the evaluation by itself, all others having full points. What no
//! gate asks is left to the file's own grade at the end of a step, for which the figures that the proxy measures are named.

use std::collections::BTreeMap;

use crate::domain::gate::analysis::spec::{Definition, Operator as Fulfilled};
use crate::domain::gate::criterion::{Gate, Origin};
use crate::domain::gate::foreign::{self, Bound};
use crate::domain::gate::slo::criterion::{Criterion, EXAMPLES, Operator};
use crate::domain::gate::slo::live::{self, Figure, Measured};
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::spec::{Aggregate, Clause, Comparison, Include, Objective, Sets, Spec, TotalScore};
use crate::domain::gate::slo::written::{CriteriaSet, Objective as Written, Slo};

/// Something to say about one objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The position of the objective in the file, from 0.
    pub index: usize,
    /// What there is to say, one sentence without a full stop.
    pub message: String,
    /// How to mend it; `None` for what is only worth knowing.
    pub hint: Option<String>,
}

/// The gates of a file, and what there is to say about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// The gates, in the order of the objectives.
    pub gates: Vec<Gate>,
    /// The figure of each objective that the proxy measures, by the name under which the file's arithmetic asks for it.
    pub figures: BTreeMap<String, Measured>,
    /// Errors, which have a hint, and notes.
    pub remarks: Vec<Remark>,
}

impl Compiled {
    fn note(&mut self, index: usize, message: String) {
        self.remarks.push(Remark { index, message, hint: None });
    }

    fn error(&mut self, index: usize, message: String, hint: impl Into<String>) {
        self.remarks.push(Remark { index, message, hint: Some(hint.into()) });
    }

    /// Notes which figure answers an objective when a step is graded; returns why none does.
    fn measure(&mut self, name: &str, key: &str, query: Option<&str>) -> Result<(), String> {
        match live::recognise(name, query) {
            Ok(Measured { figure: Figure::Throughput | Figure::Requests, .. }) => {
                Err("the number of requests depends on the clients, not on the version alone".to_owned())
            }
            Ok(measured) => {
                self.figures.insert(key.to_owned(), measured);
                Ok(())
            }
            Err(error) => Err(error.reason),
        }
    }

    /// Says what becomes of an objective that cannot fail the evaluation by itself, and notes it where the proxy does not measure it.
    fn leave(&mut self, what: &str, (index, name): (usize, &str), measured: Result<(), String>, missing: &mut Vec<usize>) {
        match measured {
            Ok(()) => self.note(
                index,
                format!("the objective \"{name}\" cannot fail the {what} by itself, so no gate comes of it; the grade counts it"),
            ),
            Err(reason) => {
                missing.push(index);
                let counts = format!("it counts as missing when a step is graded, its points being open, because {reason}");
                self.note(index, format!("the objective \"{name}\" cannot fail the {what} by itself, so no gate comes of it; {counts}"));
            }
        }
    }

    /// Refuses a file whose grade could never be known, because too many points are those of objectives that are missing.
    fn refuse_endless(&mut self, names: &[&str], missing: &[usize], is_enough: bool) {
        if let (Some(first), false) = (missing.first(), is_enough) {
            let names =
                missing.iter().filter_map(|index| names.get(*index)).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "the proxy measures none of {names}, and without their points no step is ever graded, so nothing could be promoted"
            );
            self.error(
                *first,
                message,
                "take their pass criteria out, which makes them informational, or judge the file with 'portcullis evaluate'",
            );
        }
    }

    /// Adds the gate of one comparison that must hold.
    fn add(&mut self, index: usize, name: &str, query: Option<&str>, operator: Operator, bound: Bound) {
        let measured = match live::recognise(name, query) {
            Ok(measured) => measured,
            Err(error) => return self.error(index, error.to_string(), error.hint),
        };
        match foreign::criterion(measured, operator, bound) {
            Ok(criterion) => {
                self.gates.push(Gate::new(criterion, Origin::Compiled { indicator: name.to_owned() }));
                if let Some(difference) = foreign::difference(measured, bound) {
                    self.note(index, format!("{name}: {difference}"));
                }
            }
            Err(error) => self.error(index, format!("the objective \"{name}\" cannot be judged live: {}", error.reason), error.hint),
        }
    }
}

/// Compiles an `slo.yaml`; `query` returns what an SLI's provider is asked, where a file says that.
#[must_use]
pub fn slo(spec: &Spec, query: &dyn Fn(&str) -> Option<String>) -> Compiled {
    let mut compiled = Compiled::default();
    let weights: f64 = spec.objectives.iter().filter(|one| !one.is_informational()).map(|one| f64::from(one.weight)).sum();
    let mut missing = Vec::new();
    for (index, objective) in spec.objectives.iter().enumerate() {
        let name = &objective.sli;
        if objective.is_informational() {
            compiled.note(index, format!("the objective \"{name}\" has no pass criteria, so no gate comes of it"));
            continue;
        }
        let query = query(name);
        let measured = compiled.measure(name, name, query.as_deref());
        let Some(sets) = failing_sets(spec, objective, weights) else {
            compiled.leave("evaluation", (index, name), measured, &mut missing);
            continue;
        };
        let [set] = sets.as_slice() else {
            let hint = "keep one list of criteria, or judge the file with 'portcullis evaluate'";
            compiled.error(index, format!("the objective \"{name}\" offers a choice of criteria, which no gate has"), hint);
            continue;
        };
        for clause in set {
            compiled.add(index, name, query.as_deref(), clause.criterion.operator, bound(&clause.criterion));
        }
    }
    let open: f64 = missing.iter().filter_map(|index| spec.objectives.get(*index)).map(|one| f64::from(one.weight)).sum();
    let names: Vec<&str> = spec.objectives.iter().map(|one| one.sli.as_str()).collect();
    compiled.refuse_endless(&names, &missing, missing.is_empty() || is_enough(spec, weights, open));
    compiled
}

/// Reads the criteria and percentages of an `slo.yaml` by the rules of a release of lighthouse.
///
/// # Errors
///
/// Returns what is wrong with which objective, or with `total_score` as the position behind the last.
pub fn released(file: &Slo, release: Lighthouse) -> Result<Spec, Remark> {
    let wrong = |index: usize, message: String, hint: &str| Remark { index, message, hint: Some(hint.to_owned()) };
    let clause = |index: usize, text: &String| {
        let criterion = Criterion::parse(text, release).map_err(|error| wrong(index, format!("{text:?}: {error}"), EXAMPLES))?;
        Ok(Clause { text: text.clone(), criterion })
    };
    let sets = |index: usize, sets: &Option<Vec<CriteriaSet>>| {
        let criteria = |set: &CriteriaSet| set.criteria.iter().flatten().map(|text| clause(index, text)).collect::<Result<Vec<_>, _>>();
        sets.iter().flatten().filter(|set| set.criteria.iter().flatten().next().is_some()).map(criteria).collect::<Result<Sets, _>>()
    };
    let objective = |(index, one): (usize, &Written)| {
        let weight =
            u32::try_from(one.weight).map_err(|_| wrong(index, format!("the weight {} is below 0", one.weight), "write 1 or more"))?;
        Ok(Objective {
            sli: one.sli.clone(),
            display_name: one.display_name.clone(),
            pass: sets(index, &one.pass)?,
            warning: sets(index, &one.warning)?,
            weight,
            key: one.key_sli,
            baseline_optional: true,
        })
    };
    let objectives = file.objectives.iter().enumerate().map(objective).collect::<Result<Vec<_>, _>>()?;
    let behind = objectives.len();
    let percent = |text: &str| text.trim_end_matches('%').trim().parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    let total = file.total_score.as_ref();
    let pass = total.and_then(|total| percent(&total.pass));
    let pass = pass.ok_or_else(|| wrong(behind, "total_score.pass is no percentage".to_owned(), "write for example pass: 90%"))?;
    let comparison = Comparison { count: 1, include: Include::All, aggregate: Aggregate::Average };
    let total = TotalScore { pass, warning: total.and_then(|total| percent(&total.warning)) };
    Ok(Spec { filter: file.filter.clone().unwrap_or_default(), comparison, objectives, total })
}

/// Returns the criteria that must hold lest the objective fail the evaluation; `None` when it cannot.
fn failing_sets<'s>(spec: &Spec, objective: &'s Objective, weights: f64) -> Option<&'s Sets> {
    let enough = |lost: f64| is_enough(spec, weights, lost);
    let weight = f64::from(objective.weight);
    if enough(weight) && !objective.key {
        return None;
    }
    let forgiven = !objective.warning.is_empty() && enough(weight / 2.0);
    Some(if forgiven { &objective.warning } else { &objective.pass })
}

/// Says whether a score is no failure although so many points are lost.
fn is_enough(spec: &Spec, weights: f64, lost: f64) -> bool {
    100.0 * (weights - lost) / weights >= spec.total.warning.unwrap_or(spec.total.pass)
}

const fn bound(criterion: &Criterion) -> Bound {
    let signed = if criterion.increase { criterion.value } else { -criterion.value };
    match (criterion.comparison, criterion.percentage) {
        (false, _) => Bound::Fixed(criterion.value),
        (true, true) => Bound::Percent(signed),
        (true, false) => Bound::Above(signed),
    }
}

/// Compiles an Analysis definition; `query` returns what the provider of a template is asked, where the file says that.
#[must_use]
pub fn analysis(definition: &Definition, query: &dyn Fn(&str) -> Option<String>) -> Compiled {
    let mut compiled = Compiled::default();
    let weights: f64 = definition.objectives.iter().map(|one| one.weight as f64).sum();
    let total = definition.total_score;
    let needed = total.pass_percentage.min(total.warning_percentage) as f64;
    let enough = |lost: f64| weights > 0.0 && 100.0 * (weights - lost) / weights >= needed;
    let mut missing = Vec::new();
    for (index, objective) in definition.objectives.iter().enumerate() {
        let name = &objective.reference.name;
        let weight = objective.weight as f64;
        if objective.target.is_empty() {
            compiled.note(index, format!("the objective \"{name}\" has no target, so no gate comes of it"));
            continue;
        }
        let query = query(name);
        let measured = compiled.measure(name, &objective.reference.value_key(), query.as_deref());
        let warns = objective.target.warning.as_ref().filter(|_| !enough(weight / 2.0));
        let fails = objective.target.failure.as_ref().filter(|_| warns.is_some() || !enough(weight) || objective.key_objective);
        if warns.is_none() && fails.is_none() {
            compiled.leave("analysis", (index, name), measured, &mut missing);
            continue;
        }
        for (operator, value) in strictest(warns.into_iter().chain(fails).flat_map(negated).collect()) {
            compiled.add(index, name, query.as_deref(), operator, Bound::Fixed(value));
        }
    }
    let open: f64 = missing.iter().filter_map(|index| definition.objectives.get(*index)).map(|one| one.weight as f64).sum();
    let names: Vec<&str> = definition.objectives.iter().map(|one| one.reference.name.as_str()).collect();
    compiled.refuse_endless(&names, &missing, missing.is_empty() || enough(open));
    compiled
}

/// Keeps the lowest of the upper limits, and everything that is none.
fn strictest(comparisons: Vec<(Operator, f64)>) -> Vec<(Operator, f64)> {
    let is_upper = |(operator, _): &(Operator, f64)| matches!(operator, Operator::Below | Operator::AtMost);
    let (upper, mut kept): (Vec<_>, Vec<_>) = comparisons.into_iter().partition(is_upper);
    kept.extend(upper.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)));
    kept
}

/// Returns the comparisons that hold when a failure is not fulfilled.
fn negated(broken: &Fulfilled) -> Vec<(Operator, f64)> {
    match broken {
        Fulfilled::GreaterThan(limit) => vec![(Operator::AtMost, limit.exact())],
        Fulfilled::GreaterThanOrEqual(limit) => vec![(Operator::Below, limit.exact())],
        Fulfilled::LessThan(limit) => vec![(Operator::AtLeast, limit.exact())],
        Fulfilled::LessThanOrEqual(limit) => vec![(Operator::Above, limit.exact())],
        Fulfilled::EqualTo(limit) => vec![(Operator::Equal, limit.exact())],
        // A range that does no harm begins at 0.
        Fulfilled::NotInRange(low, high) if low.exact() <= 0.0 => vec![(Operator::AtMost, high.exact())],
        Fulfilled::NotInRange(low, high) => vec![(Operator::AtLeast, low.exact()), (Operator::AtMost, high.exact())],
        Fulfilled::InRange(low, _) => vec![(Operator::Below, low.exact())],
    }
}

#[cfg(test)]
#[path = "foreign_slo_tests.rs"]
mod tests;
